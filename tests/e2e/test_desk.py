"""Authorities, modes, schedules and racks in hand, on a real broker and a real field: what the plant does counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from signal import SIGKILL
from typing import Any

import pytest

from rampd.daemon import halls
from tests.bus import Client, after
from tests.hall import Hall
from tests.waits import until

OPERATOR = "operator:ann"


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """Four racks that all rise quickly, with a state directory."""
    edit = {"up_mw_per_min = 0.198\ndown_mw_per_min = 0.198": "up_mw_per_min = 30\ndown_mw_per_min = 30"}
    folder, columns = tmp_path_factory.mktemp("desk"), {"asic.up_kw_per_s": "109"}
    with Hall(folder, racks=halls.SMALLEST, state=True, columns=columns, edit=edit) as hall:
        yield hall.start()


@pytest.fixture
def bus(hall: Hall) -> Iterator[Client]:
    """A client of a site in remote mode, without commands and schedule."""
    with hall.client() as client:
        yield client
        for verb, fields in (("mode", {"mode": "remote"}), ("schedule", {"intervals": []}), ("release", {})):
            client.until_stage(client.command(verb, who=OPERATOR, **fields), "accepted", 5)


def stands(hall: Hall, percent: float) -> None:
    goal_w = percent / 100 * hall.config.site.max_mw * 1e6
    until(lambda: hall.settled(goal_w, ratio=0.03), 40, f"the purchase stands at {percent:g} %")


def refused(bus: Client, verb: str, **fields: Any) -> str:
    command = bus.command(verb, **fields)
    until(lambda: bus.stages(command)[-1:] == ["rejected"], 5, f"{verb} is refused")
    return str(bus.acks(command)[-1]["code"])


def ended(bus: Client, command_id: str, code: str) -> None:
    until(lambda: (bus.acks(command_id)[-1]["stage"], bus.acks(command_id)[-1]["code"]) == ("ended", code), 5, code)


def trail(hall: Hall) -> list[dict[str, Any]]:
    lines = (hall.folder / "state" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_schedule_is_followed_under_commands_and_over_a_restart(hall: Hall, bus: Client) -> None:
    plan = bus.command("schedule", intervals=[{"start": after(-1), "end": after(300), "percent": 80}])
    bus.until_stage(plan, "started", 10)
    stands(hall, 80)
    assert (bus.next_state()["source"], bus.state["mode"]) == ("schedule", "dispatched")
    grid = bus.command("setpoint", percent=60, ramp_s=2)
    bus.until_stage(grid, "started", 5)
    stands(hall, 60)
    assert bus.next_state()["source"] == "remote"
    bus.command("release")
    stands(hall, 80)
    until(lambda: plan in (hall.folder / "state" / "commands.json").read_text(), 5, "the journal has the schedule")
    began = len(hall.truth())
    hall.daemon.stop(SIGKILL)
    hall.start_daemon()
    hall.until_ready()
    until(lambda: bus.state["source"] == "schedule", 15, "the schedule is followed again")
    stands(hall, 80)
    level_w = 0.8 * hall.config.site.max_mw * 1e6
    assert max(line["poi_w"] for line in hall.truth()[began:]) < 1.08 * level_w, "the restart raised nothing"


def test_hand_holds_the_site_and_shuts_the_grid_out(hall: Hall, bus: Client) -> None:
    grid = bus.command("setpoint", percent=70, ramp_s=2)
    bus.until_stage(grid, "started", 5)
    stands(hall, 70)
    assert refused(bus, "mode", mode="hand") == "authority"
    bus.until_stage(bus.command("mode", mode="hand", who=OPERATOR), "accepted", 5)
    until(lambda: bus.state["control"] == "hand", 5, "the state says hand")
    ended(bus, grid, "mode")
    stands(hall, 70)
    assert refused(bus, "setpoint", percent=90) == "mode"
    own = bus.command("setpoint", percent=85, ramp_s=2, who=OPERATOR)
    bus.until_stage(own, "started", 5)
    stands(hall, 85)
    bus.until_stage(bus.command("mode", mode="remote", who=OPERATOR), "accepted", 5)
    until(lambda: bus.state["source"] == "default", 5, "nothing holds")
    ended(bus, own, "mode")


def test_a_rack_in_hand_and_back(hall: Hall, bus: Client) -> None:
    grid = bus.command("setpoint", percent=70, ramp_s=2)
    bus.until_stage(grid, "started", 5)
    stands(hall, 70)
    shown = hall.metrics().value("rampd_rack_power_watts", rack="gpu-001")
    held = bus.command("rack/gpu-001", use="setpoint", power_w=50e3, who=OPERATOR)
    bus.until_stage(held, "reached", 20)
    assert shown > 60e3
    assert hall.metric("rampd_rack_state", rack="gpu-001", state="manual") == 1

    def obeys() -> bool:
        return abs(hall.metrics().value("rampd_rack_power_watts", rack="gpu-001") - 50e3) < 3e3

    until(obeys, 20, "the rack draws what the operator said")
    stands(hall, 70)
    back = bus.command("rack/gpu-001", use="auto", who=OPERATOR)
    bus.until_stage(back, "reached", 5)
    ended(bus, held, "given_back")
    until(lambda: hall.metric("rampd_rack_state", rack="gpu-001", state="available") == 1, 10, "it is available")
    stands(hall, 70)


def test_the_trail_has_all_of_it(hall: Hall, bus: Client) -> None:
    bus.until_stage(bus.command("setpoint", percent=75, who="iso", reason="the last line"), "started", 5)
    until(lambda: trail(hall)[-1].get("reason") == "the last line", 5, "the trail is written")
    lines = trail(hall)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1)), "numbered without gaps over the restart"
    assert {"schedule", "setpoint", "mode", "rack/gpu-001", "release"} <= {line["verb"] for line in lines}
    assert {line["who"] for line in lines if line["verb"] == "rack/gpu-001"} == {OPERATOR}
    assert {"mode", "authority"} <= {line.get("code") for line in lines}


def test_no_limit_was_broken(hall: Hall) -> None:
    assert hall.limits_broken() == []
