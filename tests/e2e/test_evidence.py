"""The evidence of a real daemon: what it recorded replays to the same bits, also while it is still writing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import recording
from rampd.daemon.site import compose
from tests.bus import Client
from tests.hall import RAMPD, Hall
from tests.waits import until


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


def test_why_a_rack_stands_where_it_stands(hall: Hall, bus: Client) -> None:
    rack = next(rack.id for rack in hall.config.racks if rack.kind == "asic")
    command = bus.command("setpoint", percent=60, ramp_s=5, lease_s=600, who="ann@grid")
    bus.until_stage(command, "reached", 30)
    code, out, err = rampd("why", rack, "--config", str(hall.site))
    assert code == 0, err
    assert f"command {command} by ann@grid, until " in out
    assert f"rack {rack} at " in out
    reference_mw = 0.6 * hall.config.site.max_mw
    assert f"its share of the site's reference {reference_mw:.3f} MW" in out
    code, out, _ = rampd("why", "--config", str(hall.site), "--json")
    found = json.loads(out)
    assert (code, found["site"]["binding"], found["site"]["command_id"]) == (0, "reference", command)
    assert sum(found["racks"].values()) == len(hall.config.racks)
    code, _, err = rampd("why", "asic-000", "--config", str(hall.site))
    assert (code, "there is no rack 'asic-000'; did you mean" in err) == (2, True)


def test_a_question_that_is_none_is_not_answered_and_harms_nothing(hall: Hall, bus: Client) -> None:
    for payload in (b"\xff", b"[]", b'{"id": "a/b"}', b'{"id": "' + b"x" * 5000 + b'"}', b"[" * 900):
        bus.publish("ask/why", payload)
    bus.publish("ask/why", b'{"id": "kept"}', retain=True)
    bus.publish("ask/why", b"", retain=True)
    bus.publish("ask/why", b'{"id": "good"}')
    until(lambda: bus.of("answer/good"), 5, "the good question is answered")
    heard = {message.topic for message in bus.messages if message.topic.startswith("answer/")}
    assert not any("x" in topic or "a/b" in topic for topic in heard)


def test_why_at_a_moment_of_the_recording(hall: Hall, bus: Client) -> None:
    folder = hall.folder / "state" / "recordings"
    rack = next(rack.id for rack in hall.config.racks if rack.kind == "asic")
    goal_w = pytest.approx(0.6e6 * hall.config.site.max_mw)
    found: dict[str, Any] = {}

    def landed() -> bool:
        code, out, _ = rampd("why", "--config", str(hall.site), "--json")
        return code == 0 and json.loads(out)["site"]["reference_w"] == goal_w

    until(landed, 30, "the last bit of the ramp is done")
    at = bus.next_state()["at"]

    def written() -> bool:
        code, out, _ = rampd("why", rack, "--at", at, "--recording", str(folder), "--json")
        found.update(json.loads(out) if code == 0 else {})
        return code == 0 and abs(seconds(found["site"]["at"]) - seconds(at)) < 0.2

    until(written, 30, "that moment is written")
    assert (found["rack"]["id"], found["rack"]["binding"]) == (rack, "share")
    assert found["site"]["who"] == "ann@grid"
    assert found["site"]["command_id"] == bus.state["command_id"]
    assert found["site"]["reference_w"] == goal_w
    code, _, err = rampd("why", "--at", "1999-12-31", "--recording", str(folder))
    assert (code, "had begun by then" in err) == (2, True)
    code, _, err = rampd("why", "--at", "noon", "--recording", str(folder))
    assert (code, "write +90" in err) == (2, True)


def seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


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
