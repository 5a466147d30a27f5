"""A state directory that takes nothing: the site is followed all the same, and says from memory what it cannot keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import halls
from tests.bus import Client
from tests.hall import Hall
from tests.waits import until


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    """Four racks; where the state directory should be there is a file, as root may write into any folder."""
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    return Hall(tmp_path, racks=halls.SMALLEST, state=True)


def told(client: Client) -> list[dict[str, Any]]:
    return [one.payload for one in list(client.messages) if one.topic.startswith("event/")]


def test_a_disk_that_takes_nothing_from_the_start(hall: Hall) -> None:
    with hall:
        hall.start_sim()
        hall.start_broker()
        with hall.client() as client:
            hall.start_daemon()
            until(lambda: told(client), 30, "it is told that nothing can be kept")
            hall.until_ready()
            client.until_stage(client.command("setpoint", percent=80, ramp_s=5), "started", 10)
            (alarm,) = told(client)
            assert (alarm["type"], alarm["durable"], "seq" in alarm) == ("unwritable", False, False)
            assert "state" in alarm["message"]
            (hall.folder / "state").unlink()
            until(lambda: client.of("event/journal")[1:], 20, "what waited is told once the disk takes it")
            _, first, *others = told(client)
            assert (first["type"], first["state"]) == ("daemon", "started")
            assert [one["seq"] for one in (first, *others)] == list(range(1, len(others) + 2))
            assert [one.payload["state"] for one in client.of("event/journal")] == ["unwritable", "writable"]
