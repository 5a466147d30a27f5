"""What the kernel grants the control thread: a real-time class, and memory that stays in RAM."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import Final

PRIORITY: Final = 50
CAP_IPC_LOCK: Final = 14
MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2
MCL_ONFAULT: Final = 4


def be_realtime() -> str:
    """Puts the calling thread into SCHED_FIFO; "" or why not."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return f"real time is not permitted: {error.strerror}"
    return ""


def may_lock(capabilities: int, limit_bytes: int) -> bool:
    """Whether everything may be locked, now and later: under a limit, what is allocated beyond it would fail."""
    return bool(capabilities >> CAP_IPC_LOCK & 1) or limit_bytes == resource.RLIM_INFINITY


def lock_memory() -> str:
    """Keeps every page of the process in RAM once it was touched; "" or why not."""
    limit_bytes = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if not may_lock(_capabilities(), limit_bytes):
        return f"memory may be locked up to {limit_bytes // 1024} KiB only: set LimitMEMLOCK=infinity"
    libc = ctypes.CDLL(None, use_errno=True)
    # On touch: else each thread's whole stack would be taken at once.
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"memory cannot be locked: {os.strerror(ctypes.get_errno())}"
    return ""


def _capabilities() -> int:
    """The effective ones of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
