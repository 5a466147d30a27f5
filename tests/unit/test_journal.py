"""The journal of commands: what survives a restart, a broken file, and a crash in the middle of writing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import audit
from rampd.daemon import journal as module
from rampd.daemon.ids import KEEP_S
from rampd.daemon.journal import Journal
from rampd.daemon.messages import Stage, stamp
from tests.field import until


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


def save(journal: Journal) -> None:
    journal.save()


def accept(journal: Journal, name: str, stage: Stage = "accepted") -> None:
    """As the desk does it: remembered, and a line in the trail."""
    journal.remember(name, stage)
    journal.trail.note(module.time.time(), id=name, stage=stage)


def known(journal: Journal, *names: str) -> list[str]:
    """Those of the names that are remembered."""
    return [name for name in names if journal.last_stage(name) is not None]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "commands.json"
    first = Journal.open(path)
    assert (first.live, first.rest, first.pending) == (None, {}, False)
    accept(first, "a")
    accept(first, "a", "reached")
    first.keep({"id": "a", "target_w": 5e5})
    first.stand(mode="hand", schedule={"id": "s"})
    first.stand(schedule=None)
    assert first.pending
    save(first)
    assert not first.pending
    second = Journal.open(path)
    assert second.last_stage("a") == "reached"
    assert (second.live, second.rest) == ({"id": "a", "target_w": 5e5}, {"mode": "hand"})
    assert not second.pending
    assert sorted(p.name for p in path.parent.iterdir()) == ["audit.jsonl", "commands.json"]


def test_the_file_is_written_when_something_in_it_changed(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "commands.json")
    journal.keep({"id": "a"})
    save(journal)
    accept(journal, "b")
    journal.keep({"id": "a"})
    lines, text = journal.take()
    assert (len(lines.splitlines()), text) == (1, None)


def test_ids_of_the_last_day_are_known_again(tmp_path: Path, clock: Clock) -> None:
    journal = Journal.open(tmp_path / "commands.json")
    accept(journal, "old")
    clock.now_s += KEEP_S - 10
    accept(journal, "new")
    save(journal)
    clock.now_s += 20
    again = Journal.open(tmp_path / "commands.json")
    assert known(again, "old", "new") == ["new"]


def test_an_id_is_protected_as_long_after_a_restart_as_before(tmp_path: Path, clock: Clock) -> None:
    journal = Journal.open(tmp_path / "commands.json")
    journal.remember("a", "received", clock.now_s + 30)
    journal.remember("a", "accepted")
    journal.trail.note(clock.now_s, id="a", stage="accepted", expires_at=journal.expires_at("a"))
    save(journal)
    again = Journal.open(tmp_path / "commands.json")
    assert again.expires_at("a") == stamp(clock.now_s + 30)


STANDS: dict[str, Any] = {"live": {"id": "s", "who": "iso", "verb": 3}, "latched": {"loop-1": ["leak", "trip"]}}
IN_HAND = {"r1": {"id": "h", "who": "operator", "limit_w": None}, "r2": {"id": "i", "limit_w": 5e3}, "r3": 7}


def stood(path: Path, *, rolls: int = 0) -> Journal:
    """The next process, that cannot read the file; the trail filled up so often meanwhile."""
    journal = Journal.open(path)
    journal.keep(STANDS["live"])
    journal.stand(racks=IN_HAND)
    journal.latch(STANDS["latched"])
    save(journal)
    for k in range(1000 * rolls):
        accept(journal, f"x{k}", "reached")
        save(journal)
    path.write_text("{", encoding="utf-8")
    return Journal.open(path)


@pytest.mark.parametrize("rolls", [0, 2])
def test_the_trail_says_what_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rolls: int) -> None:
    """However often it was full since: a stop, racks that nobody may touch, and what waits for a reset."""
    monkeypatch.setattr(audit, "LARGEST", 50_000)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    found = stood(tmp_path / "commands.json", rolls=rolls)
    assert found.trail.seq > 1000 * rolls
    assert len((tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()) < 1000
    assert found.unreadable
    assert found.live == STANDS["live"]
    assert found.latched == STANDS["latched"]
    untouched = {"limit_w": None, "until": None, "topic": None}
    assert found.rest["racks"] == {
        "r1": {"id": "h", "who": "operator"} | untouched, "r3": {"id": "unknown", "who": ""} | untouched,
    }  # fmt: skip


async def follow_a_while(journal: Journal) -> None:
    """As a process does from its start, until its first line is on disk."""
    first = f'"seq": {journal.trail.seq + 1},'
    place = journal.trail.path
    assert place is not None
    follow = asyncio.create_task(journal.follow(0.01))
    await until(lambda: place.is_file() and first in place.read_text(encoding="utf-8"))
    follow.cancel()
    await asyncio.gather(follow, return_exceptions=True)
    # A write that is under way goes on in its thread: it would come after what the test writes.
    journal.save()


async def test_the_trail_says_it_from_the_start(tmp_path: Path) -> None:
    """Where it never did: a file of another version."""
    path = tmp_path / "commands.json"
    found = {"live": STANDS["live"], "rest": {"latched": STANDS["latched"]}}
    path.write_text(json.dumps(found), encoding="utf-8")
    await follow_a_while(Journal.open(path))
    path.write_text("{", encoding="utf-8")
    again = Journal.open(path)
    assert (again.unreadable, again.live, again.latched) == (True, STANDS["live"], STANDS["latched"])


async def test_the_trail_says_it_however_often_a_last_write_filled_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LARGEST", 2000)
    path = tmp_path / "commands.json"
    journal = Journal.open(path)
    journal.latch(STANDS["latched"])
    save(journal)
    for _ in range(3):
        journal = Journal.open(path)
        await follow_a_while(journal)
        while not journal.trail.full:
            journal.trail.note(module.time.time(), id="x", stage="reached", message="y" * 300)
            save(journal)
    path.write_text("{", encoding="utf-8")
    assert Journal.open(path).latched == STANDS["latched"]


@pytest.mark.parametrize("attempts", [0, 3])
def test_the_trail_says_it_after_lines_were_lost(tmp_path: Path, attempts: int) -> None:
    """While the disk took nothing, or so many came at once."""
    path = tmp_path / "commands.json"
    journal = Journal.open(path)
    journal.keep(STANDS["live"])
    journal.latch(STANDS["latched"])
    for _ in range(1 + attempts):
        for k in range(audit.MOST_PENDING + 1):
            accept(journal, f"x{k}", "reached")
        if attempts:
            journal.put_back(journal.take())
            assert len(journal.trail.pending) == audit.MOST_PENDING
    save(journal)
    path.write_text("{", encoding="utf-8")
    again = Journal.open(path)
    assert (again.live, again.latched) == (STANDS["live"], STANDS["latched"])


def test_what_was_reset_does_not_stand(tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    journal = stood(path)
    journal.keep(None)
    journal.latch({"loop-1": ["trip"]})
    save(journal)
    path.write_text("{", encoding="utf-8")
    assert (Journal.open(path).live, Journal.open(path).latched) == (None, {"loop-1": ["trip"]})
    journal.latch({})
    save(journal)
    path.write_text("{", encoding="utf-8")
    assert Journal.open(path).latched == {}


@pytest.mark.parametrize("wrong", [7, "x", [1], {"r": 7}, {"r": [7]}, None])
def test_what_stands_there_of_the_wrong_kind_is_nothing(tmp_path: Path, wrong: Any) -> None:
    line = {"seq": 1, "verb": "stands", "stop": wrong, "untouched": wrong, "latched": wrong}
    (tmp_path / "audit.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    (tmp_path / "commands.json").write_text("{", encoding="utf-8")
    found = Journal.open(tmp_path / "commands.json")
    assert set(found.latched) <= {"r"}
    assert set(found.rest.get("racks", {})) <= {"r"}
    assert (found.live is not None) == isinstance(wrong, dict)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "{}", '{"live": null}', '{"rest": {}}', "[" * 5000, '{"live": {"id": "a"}}'],
)
def test_a_broken_file_is_said_and_replaced(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.json"
    path.write_text(text, encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        journal = Journal.open(path)
    assert str(path) in caplog.text
    assert (journal.live, journal.rest) == (None, {})
    journal.keep({"id": "a"})
    save(journal)
    assert json.loads(path.read_text(encoding="utf-8")) == {"live": {"id": "a"}, "rest": {}}


@pytest.mark.parametrize("wrong", [7, "x", [1]])
def test_what_is_of_the_wrong_kind_is_nothing(tmp_path: Path, wrong: Any) -> None:
    path = tmp_path / "commands.json"
    path.write_text(json.dumps({"live": wrong, "rest": wrong}), encoding="utf-8")
    journal = Journal.open(path)
    assert (journal.live, journal.rest, journal.unreadable) == (None, {}, True)


def test_what_is_noted_while_the_disk_fails_stays_in_order(tmp_path: Path) -> None:
    """The write is another thread's: what it could not do comes back before what was noted meanwhile."""
    in_the_way = tmp_path / "state"
    in_the_way.write_text("no folder", encoding="utf-8")
    journal = Journal.open(in_the_way / "commands.json")
    accept(journal, "first")
    work = journal.take()
    left = journal.write(work)
    assert (left, journal.dirty, list(journal.trail.pending)) == (work, False, []), "a write changes nothing by itself"
    accept(journal, "second")
    journal.put_back(left)
    assert [json.loads(line)["id"] for line in journal.take().lines.splitlines()] == ["first", "second"]


@pytest.mark.parametrize("entry", [{}, {"id": 7, "stage": "x"}, {"id": "a"}, {"id": "a", "stage": "x", "at": "then"}])
def test_a_line_that_names_no_command_is_passed_over(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "audit.jsonl").write_text(json.dumps({"seq": 1} | entry) + "\n", encoding="utf-8")
    journal = Journal.open(tmp_path / "commands.json")
    assert (known(journal, "a"), journal.trail.seq) == ([], 1)


def test_bytes_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "commands.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert Journal.open(path).live is None
    assert "not readable" in caplog.text


def test_a_crash_in_the_middle_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "commands.json"
    journal = Journal.open(path)
    journal.keep({"id": "a"})
    save(journal)
    before = path.read_bytes()

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    journal.keep({"id": "b"})
    with pytest.raises(KeyboardInterrupt):
        save(journal)
    assert path.read_bytes() == before
    monkeypatch.undo()
    # The rest of the attempt does not stand in the way of the next.
    journal.keep({"id": "c"})
    save(journal)
    assert Journal.open(path).live == {"id": "c"}


def test_a_disk_that_takes_nothing_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("no folder", encoding="utf-8")
    journal = Journal.open(in_the_way / "commands.json")
    for name in "abc":
        accept(journal, name)
        journal.keep({"id": name})
        save(journal)
        assert journal.dirty
    assert caplog.text.count("cannot be written") == 1
    assert (journal.writable, journal.failures) == (False, 3)
    assert "state" in journal.problem
    in_the_way.unlink()
    save(journal)
    assert (journal.writable, journal.failures, journal.problem) == (True, 3, "")
    again = Journal.open(in_the_way / "commands.json")
    assert (again.live, known(again, *"abc")) == ({"id": "c"}, ["a", "b", "c"])


async def test_a_disk_that_takes_nothing_is_known_before_there_is_something_to_keep(tmp_path: Path) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("no folder", encoding="utf-8")
    journal = Journal.open(in_the_way / "commands.json")
    follow = asyncio.create_task(journal.follow(0.01))
    await until(lambda: not journal.writable)
    in_the_way.unlink()
    await until(lambda: journal.writable)
    follow.cancel()
    await asyncio.gather(follow, return_exceptions=True)


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal.open(None)
    accept(journal, "a")
    journal.keep({"id": "a"})
    save(journal)
    assert list(tmp_path.iterdir()) == []
