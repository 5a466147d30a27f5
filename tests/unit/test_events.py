"""The queue of events: no number twice, nothing lost over a restart, and what is lost is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import events
from rampd.daemon.events import Events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "events.jsonl"


def write(queue: Events) -> None:
    """What the write task does, once."""
    work = queue.take()
    queue.written(work, *queue.write(work))


def told(queue: Events, most: int = 10_000) -> list[dict[str, Any]]:
    """Delivers what may go out."""
    found: list[dict[str, Any]] = []
    while len(found) < most and (entry := queue.first()) is not None:
        found.append(entry)
        queue.delivered(entry.get("seq"))
    return found


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [one["seq"] for one in found if "seq" in one]


def note(queue: Events, count: int) -> None:
    for k in range(count):
        queue.note("clock", step_s=float(k))


def test_events_are_told_in_order_and_once(path: Path) -> None:
    queue = Events.open(path)
    queue.note("mode", mode="hold", command_id=None)
    queue.note("clock", step_s=3.0)
    assert queue.first() is None, "not before it is on disk"
    write(queue)
    first, second = told(queue)
    assert (first["seq"], first["type"], first["mode"]) == (1, "mode", "hold")
    assert "command_id" not in first
    assert (second["seq"], second["step_s"]) == (2, 3.0)
    assert queue.count == 0


def test_an_unknown_type_is_a_mistake_in_the_code(path: Path) -> None:
    with pytest.raises(KeyError):
        Events.open(path).note("party")


@pytest.mark.parametrize("delivered", [0, 2, 5])
def test_a_restart_goes_on_where_it_was(path: Path, delivered: int) -> None:
    queue = Events.open(path)
    note(queue, 5)
    write(queue)
    told(queue, delivered)
    write(queue)
    for _ in range(2):
        queue.close()
        queue = Events.open(path)
        assert queue.count == 5 - delivered
        write(queue)
    note(queue, 1)
    write(queue)
    assert numbers(told(queue)) == list(range(delivered + 1, 7))


def test_what_was_not_written_has_no_number_that_somebody_saw(path: Path) -> None:
    queue = Events.open(path)
    note(queue, 2)
    write(queue)
    note(queue, 3)
    assert numbers(told(queue)) == [1, 2]
    again = Events.open(path)
    note(again, 1)
    write(again)
    assert numbers(told(again)) == [1, 2, events.AHEAD + 3], "it may not have been told, as far as the file knows"


def test_after_a_crash_numbers_go_on_beyond_what_was_set_aside(path: Path) -> None:
    queue = Events.open(path)
    seen: list[int] = []
    for _ in range(4):
        for _ in range(30):
            note(queue, 100)
            write(queue)
            seen += numbers(told(queue))
        write(queue)
        queue = Events.open(path)
        assert queue.seq >= seen[-1] + events.AHEAD // 2
    assert len(set(seen)) == len(seen) == 12000


def test_a_full_disk_and_a_crash_give_no_number_twice(path: Path) -> None:
    queue = Events.open(path)
    note(queue, 3)
    write(queue)
    seen = numbers(told(queue))
    aside = path.rename(path.with_suffix(".aside"))
    path.mkdir()
    for _ in range(3 * events.AHEAD // 100):
        note(queue, 100)
        write(queue)
        seen += numbers(told(queue))
    assert seen[-1] == events.AHEAD + 3 < queue.seq, "told as far as numbers are set aside, and no further"
    path.rmdir()
    aside.rename(path)
    again = Events.open(path)
    note(again, 1)
    write(again)
    assert numbers(told(again)) == [1, 2, 3, events.AHEAD + 4]


def test_a_clean_end_leaves_no_number_out(path: Path) -> None:
    queue = Events.open(path)
    for first in (1, 3, 5):
        note(queue, 2)
        write(queue)
        assert numbers(told(queue)) == [first, first + 1]
        queue.close()
        queue = Events.open(path)


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_at_the_bound_the_oldest_go_and_that_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, restarts: int
) -> None:
    monkeypatch.setattr(events, "MOST", 5)
    queue = Events.open(path)
    note(queue, 12)
    assert (queue.dropped, queue.count) == (7, 6)
    write(queue)
    for _ in range(restarts):
        queue = Events.open(path)
        write(queue)
    found = told(queue)
    assert (found[0]["type"], found[0]["first"], found[0]["seq"], found[0]["count"]) == ("dropped", 1, 7, 7)
    assert numbers(found) == [7, 8, 9, 10, 11, 12]


def test_what_is_dropped_while_it_is_told_is_told_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST", 3)
    queue = Events()
    note(queue, 5)
    first = queue.first()
    note(queue, 2)
    assert first is not None
    queue.delivered(first["seq"])
    found = told(queue)
    assert [(first["first"], first["seq"]), (found[0]["first"], found[0]["seq"])] == [(1, 2), (3, 4)]
    assert numbers(found) == [4, 5, 6, 7]


def test_an_event_that_is_dropped_on_its_way_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST", 3)
    queue = Events()
    note(queue, 3)
    first = queue.first()
    note(queue, 1)
    assert first is not None
    queue.delivered(first["seq"])
    assert numbers(told(queue)) == [2, 3, 4]


def test_the_file_stays_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LARGEST", 2000)
    queue = Events.open(path)
    for _ in range(100):
        note(queue, 1)
        write(queue)
        told(queue)
        write(queue)
        assert path.stat().st_size < 2500
    queue.close()
    assert Events.open(path).seq == 100


@pytest.mark.parametrize(
    ("tail", "seq"),
    [
        (b'{"seq": 4, "ty', events.AHEAD + 3),
        (b"\x00\xff\n", events.AHEAD + 3),
        (b"[]\n{}\n", None),
        (b'{"seq": 2, "type": "clock"}\n{"seq": "x"}\n', None),
    ],
)
def test_a_broken_file_gives_no_number_twice(path: Path, tail: bytes, seq: int | None) -> None:
    queue = Events.open(path)
    note(queue, 3)
    write(queue)
    with path.open("ab") as file:
        file.write(tail)
    again = Events.open(path)
    assert again.count == 3
    assert again.seq == seq if seq is not None else again.seq > 1_700_000_000
    note(again, 1)
    write(again)
    assert len(told(Events.open(path))) == 4


@pytest.mark.parametrize(
    "line",
    [
        '{"next": 1e999}', '{"done": Infinity}', '{"done": NaN}', '{"gap": [1e999, 2]}',
        '{"seq": Infinity, "type": "clock"}', f'{{"next": 1{400 * "0"}}}', "",
    ],
)  # fmt: skip
def test_a_file_without_a_usable_line_gives_no_number_twice(path: Path, line: str) -> None:
    path.parent.mkdir()
    path.write_text(line, encoding="utf-8")
    queue = Events.open(path)
    assert (queue.count, queue.seq > 1_700_000_000) == (0, True)
    note(queue, 1)
    write(queue)
    assert numbers(told(queue)) == [queue.seq]


def test_what_was_told_without_a_disk_is_not_told_again(path: Path) -> None:
    queue = Events.open(path)
    note(queue, 1)
    write(queue)
    aside = path.rename(path.with_suffix(".aside"))
    path.mkdir()
    note(queue, 2)
    write(queue)
    assert numbers(told(queue, 2)) == [1, 2]
    path.rmdir()
    aside.rename(path)
    assert queue.dirty, "tried again"
    write(queue)
    assert numbers(told(Events.open(path))) == [3]


def test_a_disk_that_never_took_anything_is_told_from_memory(path: Path) -> None:
    """No number is set aside, so that none may be given: what is told has none, and is told once."""
    path.parent.write_text("a file where the folder should be", encoding="utf-8")
    queue = Events.open(path)
    note(queue, 2)
    assert told(queue) == [], "it may yet be written"
    write(queue)
    (alarm,) = told(queue)
    assert set(alarm) == {"at", "type", *events.TYPES["unwritable"][1].split(", ")}
    assert (alarm["type"], alarm["durable"], alarm["waiting"]) == ("unwritable", False, 2)
    assert str(path.parent) in alarm["message"]
    note(queue, 1)
    write(queue)
    assert told(queue) == []
    path.parent.unlink()
    write(queue)
    assert numbers(told(queue)) == [1, 2, 3]


def used_up(queue: Events) -> None:
    """Notes more than there are numbers for while the disk takes nothing: one alarm, after the last that has one."""
    said: list[dict[str, Any]] = []
    for _ in range(2 * events.AHEAD // 100):
        note(queue, 100)
        write(queue)
        said += told(queue)
    assert [one["type"] for one in said if "seq" not in one] == ["unwritable"]
    assert said[-1]["type"] == "unwritable"


def test_so_is_one_that_has_taken_nothing_for_long_and_every_time(path: Path) -> None:
    queue = Events.open(path)
    for _ in range(2):
        note(queue, 1)
        write(queue)
        told(queue)
        aside = path.rename(path.with_suffix(".aside"))
        path.mkdir()
        used_up(queue)
        path.rmdir()
        aside.rename(path)
        write(queue)
        told(queue)


def test_events_that_only_wait_for_the_next_attempt_raise_no_alarm(path: Path) -> None:
    """Numbers are left for what is noted while another is on its way; the alarm is for when there are none."""
    queue = Events.open(path)
    note(queue, 1)
    write(queue)
    told(queue)
    write(queue)
    path.unlink()
    path.mkdir()
    note(queue, 1)
    write(queue)
    on_its_way = queue.first()
    assert on_its_way is not None
    note(queue, 1)
    queue.delivered(on_its_way["seq"])
    assert told(queue) == []
    used_up(queue)


def test_a_disk_that_stalls_makes_no_endless_queue(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST", 10)
    queue = Events.open(path)
    note(queue, 1000)
    assert len(queue.take().entries) <= 12


async def test_the_write_task_writes_what_is_noted(path: Path) -> None:
    queue = Events.open(path)
    task = asyncio.create_task(queue.keep(0.01))
    note(queue, 3)
    async with asyncio.timeout(5):
        while queue.first() is None:
            await queue.changed.wait()
            queue.changed.clear()
    task.cancel()
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["seq"] for line in lines[:-1]] == [1, 2, 3]
    assert lines[-1] == {"next": events.AHEAD + 4}
