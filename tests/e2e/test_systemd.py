"""What the service manager hears from the daemon, and whether it accepts and trusts the unit."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import pytest

from tests.hall import ROOT, Hall, tool
from tests.waits import ever, until

WATCHDOG_S = 1.5
UNIT = ROOT / "systemd" / "rampd@.service"


class Manager:
    """The service manager's socket: every message with its time of arrival and its sender, unless it does not read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.heard: list[tuple[float, int, str]] = []
        self.reads = True
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self._socket.setblocking(False)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.wait(0.02):
            try:
                while self.reads:
                    data, rights, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
                    pid = int.from_bytes(rights[0][2][:4], sys.byteorder)
                    self.heard.append((time.monotonic(), pid, data.decode()))
            except BlockingIOError:
                continue

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def of(self, word: str, since_s: float = 0.0) -> list[tuple[float, int, str]]:
        """What was heard so far with such a line."""
        return [one for one in list(self.heard) if word in one[2].split("\n") and one[0] >= since_s]


@contextmanager
def managed(
    folder: Path, path: str, faults: str = "", watchdog_s: float = WATCHDOG_S
) -> Iterator[tuple[Hall, Manager]]:
    """A hall whose daemon is told of a manager that watches it."""
    manager = Manager(path)
    try:
        with Hall(folder, racks=4, faults=faults) as hall:
            hall.start_broker()
            hall.start_daemon(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(round(watchdog_s * 1e6))})
            yield hall, manager
    finally:
        manager.close()


STORIES: dict[str, Callable[[Path], None]] = {}


def story(play: Callable[[Path], None]) -> Callable[[Path], None]:
    """A run with a hall of its own; all of them run side by side, each is a test."""
    STORIES[play.__name__] = play
    return play


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {name: pool.submit(play, tmp_path_factory.mktemp(name)) for name, play in STORIES.items()}


@pytest.mark.parametrize(
    "name",
    [
        "ready_only_under_control_then_fed_then_stopping",
        "a_process_that_stands_still_is_not_fed_and_one_that_resumes_is",
        "a_hall_that_hangs_is_not_cured_by_a_restart",
        "a_manager_that_does_not_read_does_not_stop_control",
        "without_a_manager_nothing_is_missing",
    ],
)
def test_that(stories: dict[str, Future[None]], name: str) -> None:
    assert len(stories) == 5
    stories[name].result()


@story
def ready_only_under_control_then_fed_then_stopping(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as short, managed(folder, f"{short}/notify") as (hall, manager):
        until(lambda: hall.ready[0] == 503, 30, "the daemon serves HTTP")
        assert not ever(lambda: manager.of("READY=1"), 1.5), "nothing is under control yet"
        hall.start_sim()
        until(lambda: manager.of("READY=1"), 15, "READY")
        assert hall.ready == (200, "ok")
        assert {pid for _, pid, _ in manager.heard} == {hall.daemon.pid}, (
            "NotifyAccess=main hears the main process only"
        )
        assert "STATUS=4 racks under control" in manager.heard[0][2]
        begun_s = time.monotonic()
        until(lambda: len(manager.of("WATCHDOG=1", begun_s)) >= 5, 6 * WATCHDOG_S, "the watchdog is fed")
        fed_s = [at for at, _, _ in manager.of("WATCHDOG=1", begun_s)]
        assert max(b - a for a, b in itertools.pairwise(fed_s)) < WATCHDOG_S / 2 + 0.2
        assert len(manager.of("READY=1")) == 1
        assert not manager.of("STOPPING=1")
        assert hall.daemon.stop(SIGTERM) == 0
        until(lambda: manager.of("STOPPING=1"), 5, "STOPPING")
        assert len(manager.of("STOPPING=1")) == 1


@story
def a_process_that_stands_still_is_not_fed_and_one_that_resumes_is(folder: Path) -> None:
    with managed(folder, f"@{folder}") as (hall, manager):
        hall.start_sim()
        until(lambda: manager.of("WATCHDOG=1"), 15, "the watchdog is fed")
        hall.daemon.send(SIGSTOP)
        stopped_s = time.monotonic()
        assert not ever(lambda: manager.of("WATCHDOG=1", stopped_s + 0.3), 2 * WATCHDOG_S)
        hall.daemon.send(SIGCONT)
        resumed_s = time.monotonic()
        until(lambda: manager.of("WATCHDOG=1", resumed_s), 3 * WATCHDOG_S, "it is fed again")


@story
def a_hall_that_hangs_is_not_cured_by_a_restart(folder: Path) -> None:
    """Devices that do not answer are the field's trouble: the daemon is fed, and says that it is not ready."""
    faults = '[[fault]]\ndevice = "*"\nkind = "half_open"\nat_s = 8.0\nfor_s = 9.0\n'
    with managed(folder, f"@{folder}", faults) as (hall, manager):
        hall.start_sim()
        until(lambda: manager.of("WATCHDOG=1"), 15, "the watchdog is fed")
        hall.until_time(8)
        until(lambda: hall.ready[0] == 503, 5, "it is not ready")
        since_s = time.monotonic()
        until(lambda: hall.since_s > 17, 10, "the end of the fault")
        fed_s = [since_s, *(at for at, _, _ in manager.of("WATCHDOG=1", since_s)), time.monotonic()]
        assert max(b - a for a, b in itertools.pairwise(fed_s)) < WATCHDOG_S
        until(lambda: hall.ready[0] == 200, 6, "it is ready again")
        assert len(manager.of("READY=1")) == 1


@story
def a_manager_that_does_not_read_does_not_stop_control(folder: Path) -> None:
    with managed(folder, f"@{folder}", watchdog_s=0.03) as (hall, manager):
        manager.reads = False
        hall.start_sim()
        until(lambda: hall.ready[0] == 200, 15, "it is ready")
        # A hundred pings a second fill the manager's queue at once.
        ticks = hall.metrics().value("rampd_modbus_request_seconds_count")
        assert not ever(lambda: hall.ready[0] != 200, 8), "the daemon waits for the manager"
        assert hall.metrics().value("rampd_modbus_request_seconds_count") > ticks + 50
        manager.reads = True
        read_s = time.monotonic() + 0.5
        until(lambda: manager.of("WATCHDOG=1", read_s), 5, "the manager hears of it again")


@story
def without_a_manager_nothing_is_missing(folder: Path) -> None:
    with Hall(folder, racks=4) as hall:
        hall.start()
        assert hall.daemon.stop(SIGTERM) == 0
        assert "service manager" not in hall.daemon.words


def unit(folder: Path) -> Path:
    """The unit as installed, with programs that are here."""
    rampd = shutil.which("rampd", path=str(Path(sys.executable).parent))
    assert rampd is not None, "rampd is not installed beside this Python"
    text = UNIT.read_text(encoding="utf-8")
    assert "/opt/rampd/bin/rampd" in text
    path = folder / "rampd@hall.service"
    path.write_text(text.replace("/opt/rampd/bin/rampd", rampd), encoding="utf-8")
    return path


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    command = [tool("systemd-analyze", "systemd"), "verify", "--man=no", "--recursive-errors=yes", str(unit(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_not_accept_a_misspelt_one(tmp_path: Path) -> None:
    path = unit(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("WatchdogSec", "WatchDogSecs"), encoding="utf-8")
    command = [tool("systemd-analyze", "systemd"), "verify", "--man=no", "--recursive-errors=yes", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    command = [tool("systemd-analyze", "systemd"), "security", "--offline=true", "--threshold=15", "--no-pager"]
    done = subprocess.run([*command, str(unit(tmp_path))], capture_output=True, text=True, timeout=60, check=False)
    left = [line for line in done.stdout.splitlines() if line.startswith("✗") or "level" in line]
    assert done.returncode == 0, "\n".join(left)


def test_the_unit_and_the_daemon_agree(tmp_path: Path) -> None:
    """The times that depend on each other: watchdog, restart, dead-man; and a wrong site file is not tried again."""
    settings = dict(
        line.split("=", 1)
        for line in UNIT.read_text(encoding="utf-8").splitlines()
        if "=" in line and line[0] not in "#["
    )
    assert settings["Type"] == "notify"
    assert settings["NotifyAccess"] == "main"
    assert settings["RestartPreventExitStatus"] == "78"
    watchdog_s, restart_s = float(settings["WatchdogSec"].removesuffix("s")), settings["RestartSec"]
    assert restart_s.endswith("ms")
    with Hall(tmp_path, racks=4) as hall:
        assert watchdog_s + float(restart_s.removesuffix("ms")) / 1e3 < hall.config.control.deadman_s
    assert os.access(UNIT, os.R_OK)
