"""The journal of commands: what survives a restart, a broken file, and a crash in the middle of writing."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import journal as module
from rampd.daemon.journal import KEEP_S, Journal


class Clock:
    """The module's `time`."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "commands.json"
    first = Journal.open(path)
    assert (first.seen, first.live, first.dirty) == ({}, None, False)
    first.remember("a", "received")
    first.remember("a", "reached")
    first.keep({"id": "a", "target_w": 5e5})
    assert first.dirty
    first.write(first.text())
    assert not first.dirty
    second = Journal.open(path)
    assert second.seen["a"][1] == "reached"
    assert second.live == {"id": "a", "target_w": 5e5}
    assert not second.dirty
    assert [p.name for p in path.parent.iterdir()] == ["commands.json"]


def test_ids_are_forgotten_after_a_day(clock: Clock) -> None:
    journal = Journal(None)
    journal.remember("old", "reached")
    clock.now_s += KEEP_S - 1
    journal.remember("new", "reached")
    assert set(journal.seen) == {"old", "new"}
    clock.now_s += 2
    journal.remember("newest", "reached")
    assert set(journal.seen) == {"new", "newest"}


def test_an_id_that_is_used_again_lives_on(clock: Clock) -> None:
    journal = Journal(None)
    journal.remember("a", "accepted")
    clock.now_s += KEEP_S - 1
    journal.remember("a", "reached")
    clock.now_s += 2
    journal.remember("b", "accepted")
    assert set(journal.seen) == {"a", "b"}


def test_it_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    journal = Journal(None)
    for name in "abcde":
        journal.remember(name, "rejected")
    assert list(journal.seen) == ["c", "d", "e"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", "{}", '{"seen": {}}', '{"seen": [], "live": null}',
        '{"seen": {"a": 1}, "live": null}', '{"seen": {"a": []}, "live": null}',
        '{"seen": {"a": ["x", "y"]}, "live": null}', '{"seen": {"a": null}, "live": {}}',
    ],
)  # fmt: skip
def test_a_broken_file_is_said_and_replaced(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.json"
    path.write_text(text, encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        journal = Journal.open(path)
    assert str(path) in caplog.text
    assert journal.live is None
    journal.remember("a", "received")
    journal.write(journal.text())
    assert set(json.loads(path.read_text(encoding="utf-8"))["seen"]) == {"a"}


@pytest.mark.parametrize("live", [7, "x", [1]])
def test_a_live_command_that_is_none_is_none(tmp_path: Path, live: Any) -> None:
    path = tmp_path / "commands.json"
    path.write_text(json.dumps({"seen": {"a": [1.0, "reached"]}, "live": live}), encoding="utf-8")
    journal = Journal.open(path)
    assert journal.live is None
    assert set(journal.seen) == {"a"}


def test_bytes_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert Journal.open(path).seen == {}
    assert "not readable" in caplog.text


def test_a_crash_in_the_middle_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "commands.json"
    journal = Journal.open(path)
    journal.remember("a", "reached")
    journal.write(journal.text())
    before = path.read_bytes()

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    journal.remember("b", "reached")
    with pytest.raises(KeyboardInterrupt):
        journal.write(journal.text())
    assert path.read_bytes() == before
    monkeypatch.undo()
    # The rest of the attempt does not stand in the way of the next.
    journal.write(journal.text())
    assert set(Journal.open(path).seen) == {"a", "b"}


def test_it_reaches_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "commands.json"
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append("replace"), replace(self, target))[1])
    journal = Journal.open(path)
    journal.keep(None)
    journal.write(journal.text())
    assert order == ["fsync", "replace"]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal.open(None)
    journal.remember("a", "received")
    journal.write(journal.text())
    assert list(tmp_path.iterdir()) == []
