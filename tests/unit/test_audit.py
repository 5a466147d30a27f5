"""The audit trail: numbered lines that are only ever appended, bounded on disk and under a flood."""

from __future__ import annotations

import errno
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import audit
from rampd.daemon.audit import BURST, Trail

NOW_S = 1_800_000_000.0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_and_what_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "deep" / "audit.jsonl")
    trail.note(NOW_S, id="a", who="operator", reason="", power_w=None, asked={"target_w": 5e5})
    trail.note(NOW_S + 1, id="b", message="x")
    trail.write(trail.take())
    assert trail.path is not None
    first, second = lines(trail.path)
    assert first == {
        "seq": 1, "at": "2027-01-15T08:00:00.000Z", "id": "a", "who": "operator", "asked": {"target_w": 5e5},
    }  # fmt: skip
    assert second["seq"] == 2
    assert datetime.fromisoformat(second["at"]).timestamp() == NOW_S + 1


def test_numbers_go_on_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for expected in (1, 2, 3):
        trail = Trail(path)
        assert [entry["seq"] for entry in trail.read()] == list(range(1, expected))
        trail.note(NOW_S, id="a")
        trail.write(trail.take())
    assert [line["seq"] for line in lines(path)] == [1, 2, 3]


@pytest.mark.parametrize("spoilt", [b'{"seq": 2, "id"', b"\xff\xfe\x00", b"[" * 2000, b"7\n", b'{"seq": "x"}\n', b"\n"])
def test_a_spoilt_line_spoils_no_other(tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    trail = Trail(path)
    trail.note(NOW_S, id="a")
    trail.write(trail.take())
    with path.open("ab") as file:
        file.write(spoilt)
    again = Trail(path)
    assert [entry["id"] for entry in again.read()] == ["a"]
    again.note(NOW_S, id="b")
    again.write(again.take())
    assert [entry["id"] for entry in Trail(path).read()] == ["a", "b"]


def test_it_keeps_two_files_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 2000)
    trail = Trail(tmp_path / "audit.jsonl")
    for k in range(200):
        trail.note(NOW_S + k, id=f"c{k}")
        trail.write(trail.take())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.1.jsonl", "audit.jsonl"]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    numbers = [entry["seq"] for entry in Trail(tmp_path / "audit.jsonl").read()]
    assert numbers == list(range(numbers[0], 201))
    assert len(numbers) > 30


def test_a_flood_of_refusals_is_counted(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "audit.jsonl")
    for k in range(1000):
        trail.note(NOW_S + k * 0.01, refused=True, id=f"x{k}")
    trail.note(NOW_S + 11, id="good")
    found = [json.loads(line) for line in trail.take().splitlines()]
    assert len(found) <= BURST + 11
    assert len(found) + sum(line.get("left_out", 0) for line in found) == 1001
    assert found[-1]["id"] == "good"
    trail.note(NOW_S - 1e6, refused=True, id="a clock set back")
    trail.note(NOW_S + 100, refused=True, id="later")
    assert '"later"' in trail.take(), "after a pause they are written again"


def test_what_waits_for_the_disk_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_PENDING", 3)
    trail = Trail()
    for k in range(5):
        trail.note(NOW_S, id=f"c{k}")
    assert [json.loads(line)["id"] for line in trail.take().splitlines()] == ["c2", "c3", "c4"]
    trail.note(NOW_S, id="next")
    assert json.loads(trail.take())["left_out"] == 1


@pytest.mark.parametrize("fails", ["rename", "append"])
def test_a_file_that_begins_is_counted_also_where_its_first_write_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """The name was changed, or the line written, and the disk failed after it."""
    monkeypatch.setattr(audit, "LARGEST", 300)
    trail = Trail(tmp_path / "audit.jsonl")
    trail.note(NOW_S, id="a", message="x" * 200)
    trail.write(trail.take())
    assert trail.full == 0
    done = getattr(audit.durable, fails)

    def fail(*given: Any) -> None:
        done(*given)
        raise OSError(errno.EIO, "the disk")

    trail.note(NOW_S, id="b", message="x" * 100)
    text = trail.take()
    monkeypatch.setattr(audit.durable, fails, fail)
    with pytest.raises(OSError, match="the disk"):
        trail.write(text)
    monkeypatch.setattr(audit.durable, fails, done)
    assert trail.full == 0, "it may not have begun"
    trail.write(text)
    assert trail.full == 1
    trail.note(NOW_S, id="c")
    trail.write(trail.take())
    assert trail.full == 1
