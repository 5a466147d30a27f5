"""What the kernel grants is what the daemon says; nothing is locked where a later allocation could fail for it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from rampd.daemon import realtime

PROGRAM = """
import json, os, re, threading
from pathlib import Path
from rampd.daemon import realtime

def locked():
    return int(re.search(r"VmLck:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

found = {"before": locked(), "lock": realtime.lock_memory()}
kept = bytearray(64 << 20)
found["after"] = locked()

def control():
    found["fifo"] = realtime.be_realtime()
    found["policy"] = os.sched_getscheduler(0)

thread = threading.Thread(target=control)
thread.start()
thread.join()
found["main_policy"] = os.sched_getscheduler(0)
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("capabilities", "limit_bytes", "wanted"),
    [
        (0, 8 << 20, False),
        (0, 1 << 40, False),
        (0, resource.RLIM_INFINITY, True),
        (1 << realtime.CAP_IPC_LOCK, 0, True),
        (~(1 << realtime.CAP_IPC_LOCK) & 0x1FFFFFFFFFF, 8 << 20, False),
    ],
)
def test_memory_is_locked_only_without_a_limit(capabilities: int, limit_bytes: int, wanted: bool) -> None:
    assert realtime.may_lock(capabilities, limit_bytes) is wanted


def test_what_it_says_is_what_the_kernel_did() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert found["before"] == 0
    # What is touched afterwards is locked as well.
    assert (found["after"] >= 64 << 10) is (found["lock"] == ""), found
    assert (found["policy"] == 1) is (found["fifo"] == ""), found
    assert found["main_policy"] == 0, "the event loop stays an ordinary thread"
