"""What a power cut leaves: the disk is told of contents, names and removals, in this order and before anything else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rampd.daemon import audit, durable
from rampd.daemon.audit import Trail
from rampd.daemon.events import Events
from rampd.daemon.journal import Journal

MANY = 300


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the disk is told, as it is told: what is synchronised, and what takes another's place."""
    said: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(place: int) -> None:
        name = Path(f"/proc/self/fd/{place}").readlink().name
        said.append("the folder" if stat.S_ISDIR(os.fstat(place).st_mode) else name)
        fsync(place)

    def replaced(path: Path, to: Path) -> Path:
        said.append(f"{path.name} -> {to.name}")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    return said


def journal(folder: Path) -> Callable[[], None]:
    one = Journal.open(folder / "commands.json")

    def write() -> None:
        one.keep({"id": f"c{one.live}"[-20:]})
        one.save()

    return write


def trail(folder: Path) -> Callable[[], None]:
    one = Trail(folder / "audit.jsonl")

    def write() -> None:
        one.note(0.0, id="a", message="x" * MANY)
        one.write(one.take())

    return write


def queue(folder: Path) -> Callable[[], None]:
    one = Events.open(folder / "events.jsonl")

    def write() -> None:
        one.note("clock", step_s=1.0)
        work = one.take()
        one.written(work, *one.write(work))

    return write


@pytest.mark.parametrize(
    ("made", "first", "second"),
    [
        (journal, ["commands.new", "commands.new -> commands.json", "the folder"], None),
        (trail, ["the folder", "audit.jsonl"], ["audit.jsonl"]),
        (queue, ["the folder", "events.jsonl"], ["events.jsonl"]),
    ],
)
def test_what_is_made_and_what_is_added(
    tmp_path: Path, calls: list[str], made: Callable[[Path], Callable[[], None]], first: list[str],
    second: list[str] | None,
) -> None:  # fmt: skip
    write = made(tmp_path / "state")
    write()
    assert calls == first
    calls.clear()
    write()
    assert calls == (first if second is None else second)


def test_a_trail_that_is_full_makes_room(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 2 * MANY)
    write = trail(tmp_path)
    write()
    calls.clear()
    write()
    assert calls == ["audit.jsonl -> audit.1.jsonl", "the folder", "the folder", "audit.jsonl"]


def test_events_that_are_written_anew(tmp_path: Path, calls: list[str]) -> None:
    queue(tmp_path)()
    calls.clear()
    queue(tmp_path)()
    assert calls == ["events.new", "events.new -> events.jsonl", "the folder"]


def test_a_file_that_was_made_and_not_yet_named_on_disk_is_named_with_its_first_line(
    tmp_path: Path, calls: list[str]
) -> None:
    path = tmp_path / "log"
    path.touch()
    assert durable.append(path, b"one\n") == 4
    assert durable.append(path, b"two\n") == 8
    assert calls == ["the folder", "log", "log"]
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_folder_that_cannot_be_synchronised_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(durable, "sync_folder", broken)
    one = Events.open(tmp_path / "events.jsonl")
    one.note("clock", step_s=1.0)
    assert one.write(one.take()) == ("the disk is gone", 0)
