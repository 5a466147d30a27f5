"""The evidence of a real daemon: what it recorded replays to the same bits, also while it is still writing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import recording
from rampd.daemon.site import compose
from tests.hall import RAMPD, Client, Hall, until


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    with Hall(tmp_path_factory.mktemp("evidence"), state=True) as hall:
        hall.start()
        yield hall


@pytest.fixture(scope="module")
def bus(hall: Hall) -> Iterator[Client]:
    with hall.client() as client:
        until(lambda: client.of("state"), 20, "the first state message")
        yield client


def rampd(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run([*RAMPD, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def replayed(folder: Path) -> tuple[int, dict[str, Any]]:
    code, out, _ = rampd("replay", str(folder), "--json")
    return code, json.loads(out)


def test_what_is_recorded_replays_while_it_is_written(hall: Hall, bus: Client) -> None:
    command = bus.command("setpoint", percent=70, ramp_s=5)
    bus.until_stage(command, "reached", 30)
    folder = hall.folder / "state" / "recordings"
    until(lambda: replayed(folder)[1]["files"][0]["ticks"] > 200, 30, "ten seconds are written")
    code, found = replayed(folder)
    assert found["agrees"] and code == 0, found
    assert hall.metrics().value("rampd_recording_dropped_total") == 0
    assert hall.metrics().value("rampd_recording_bytes_total") > 0


def test_after_the_end_all_of_it_is_there(hall: Hall) -> None:
    hall.daemon.stop()
    folder = hall.folder / "state" / "recordings"
    (path,) = recording.paths(folder)
    code, out, err = rampd("replay", str(folder))
    assert code == 0, out + err
    assert "the set points agree bit for bit" in out
    with recording.Recording(path) as found:
        assert found.head.racks == [rack.id for rack in compose(hall.config).racks]
        assert found.config["site"]["id"] == hall.config.site.id
    code, out, _ = rampd("replay", str(path), "--until", "+5", "--json")
    assert code == 0
    # Twenty a second, less what a busy machine skipped.
    assert 50 <= json.loads(out)["files"][0]["ticks"] <= 101
    path.write_bytes(path.read_bytes()[:-7])
    code, out, _ = rampd("replay", str(path))
    assert code == 1
    assert "cut off" in out
    code, _, err = rampd("replay", str(hall.site))
    assert (code, "no recording of rampd" in err) == (1, True)
