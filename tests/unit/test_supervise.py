"""When the watchdog is fed, and what the service manager is told."""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from rampd.daemon import supervise
from rampd.daemon.supervise import Watch

S = 1_000_000_000


@dataclass
class Facts:
    """What the watch looks at."""

    tick: int = 1
    fault: int = 0
    actuation_ns: int = 0
    overdue: int = 0


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def watch(facts: Facts) -> Watch:
    return Watch(lambda: facts.tick, lambda: facts.fault, lambda: facts.actuation_ns, lambda: facts.overdue, 2 * S)


def test_all_moves(watch: Watch, facts: Facts) -> None:
    for k in range(1, 6):
        facts.tick, facts.actuation_ns = 20 * k, k * S
        assert watch.problem(k * S) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tick": 20}, "stands still"),
        ({"fault": 2}, "fault 2"),
        ({"actuation_ns": 8 * S - 1}, "actuation does not follow"),
        ({"overdue": 3}, "3 set points wait"),
    ],
)
def test_one_thing_stands(watch: Watch, facts: Facts, change: dict[str, int], words: str) -> None:
    facts.tick, facts.actuation_ns = 20, 9 * S
    assert watch.problem(9 * S) == ""
    facts.tick, facts.actuation_ns = 40, 10 * S
    for name, value in change.items():
        setattr(facts, name, value)
    assert words in watch.problem(10 * S)
    # And it clears by itself.
    facts.tick, facts.fault, facts.actuation_ns, facts.overdue = 60, 0, 11 * S, 0
    assert watch.problem(11 * S) == ""


def test_actuation_may_be_as_old_as_allowed(watch: Watch, facts: Facts) -> None:
    facts.tick, facts.actuation_ns = 2, 8 * S
    assert watch.problem(10 * S) == ""


@pytest.mark.parametrize(
    ("usec", "pid", "feed_s"),
    [
        ("3000000", None, 1.0),
        ("3000000", "mine", 1.0),
        ("3000000", "1", None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
        (None, None, None),
    ],
)
def test_how_often(usec: str | None, pid: str | None, feed_s: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "mine" else pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert supervise.watchdog_s() == feed_s


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(abstract: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = f"{folder}/notify"
        manager.bind(f"\0{path}" if abstract else path)
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{path}" if abstract else path)
        assert supervise.notify("READY=1\nSTATUS=ü")
        assert manager.recv(100).decode() == "READY=1\nSTATUS=ü"


def test_without_a_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not supervise.notify("READY=1")
    assert caplog.text == ""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not supervise.notify("READY=1")
    assert "does not listen" in caplog.text
