"""Who is followed: every mode against every authority, and what a change of mode does to what holds."""

from __future__ import annotations

import json

import pytest

from rampd.daemon.arbitrate import Mode, Source
from rampd.daemon.site import Composed
from rampd.ext import codes
from tests.office import Clock, Office, kept

WHO = {"grid": "iso", "operator": "operator:ann", "plain operator": "operator"}

ROWS = {
    # mode, who holds, who asks, verb -> what becomes of it
    "remote: the newest replaces":        ("remote", "grid", "grid", "setpoint", ("accepted", "ok")),
    "remote: the operator outranks":      ("remote", "grid", "operator", "setpoint", ("accepted", "ok")),
    "remote: who may say operator":       ("remote", "operator", "plain operator", "setpoint", ("accepted", "ok")),
    "remote: the grid does not":          ("remote", "operator", "grid", "setpoint", ("rejected", "outranked")),
    "remote: nor holds":                  ("remote", "operator", "grid", "hold", ("rejected", "outranked")),
    "remote: nor releases":               ("remote", "operator", "grid", "release", ("rejected", "outranked")),
    "remote: but stops":                  ("remote", "operator", "grid", "estop", ("accepted", "ok")),
    "remote: mode is the operator's":     ("remote", None, "grid", "mode", ("rejected", "authority")),
    "auto: the grid is not followed":     ("auto", None, "grid", "setpoint", ("rejected", "mode")),
    "auto: nor may it release":           ("auto", None, "grid", "release", ("rejected", "mode")),
    "auto: the operator is":              ("auto", None, "operator", "setpoint", ("accepted", "ok")),
    "auto: anybody stops":                ("auto", None, "grid", "estop", ("accepted", "ok")),
    "auto: anybody plans":                ("auto", None, "grid", "schedule", ("accepted", "ok")),
    "hand: the grid is not followed":     ("hand", None, "grid", "setpoint", ("rejected", "mode")),
    "hand: nor may it leave hand":        ("hand", None, "grid", "mode", ("rejected", "mode")),
    "hand: the operator is":              ("hand", None, "operator", "setpoint", ("accepted", "ok")),
    "hand: anybody stops":                ("hand", None, "grid", "estop", ("accepted", "ok")),
}  # fmt: skip


def mode(office: Office, name: str, **fields: object) -> str:
    return office.send("mode", mode=name, who=WHO["operator"], **fields)


def fields_of(verb: str) -> dict[str, object]:
    return {"setpoint": {"percent": 60}, "mode": {"mode": "remote"}, "schedule": {"intervals": []}}.get(verb, {})


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_authority(office: Office, row: tuple[str, str | None, str, str, tuple[str, str]]) -> None:
    name, holder, who, verb, expected = row
    mode(office, name)
    office.run(0.3)
    live = None if holder is None else office.send("setpoint", percent=80, who=WHO[holder])
    office.tick()
    before = bytes(office.inputs.command)
    command = office.send(verb, who=WHO[who], **fields_of(verb))
    stages = office.stages(command)
    assert ("accepted" in stages, stages[-1] == "rejected") == (expected[0] == "accepted", expected[0] == "rejected")
    if expected[0] == "rejected":
        assert office.last(command) == expected
        assert bytes(office.inputs.command) == before, "a refused command changed something"
        assert live is None or office.last(live)[0] != "ended"


@pytest.mark.parametrize("who", ["", "operators", "Operator", "an operator", "operator2", "operator/ann", "root"])
def test_who_is_no_operator(office: Office, who: str) -> None:
    assert office.last(office.send("mode", mode="hand", who=who)) == ("rejected", "authority")
    assert office.desk.mode is Mode.REMOTE


def test_into_hand_holds_where_the_site_is_and_ends_what_the_grid_asked(office: Office) -> None:
    live = office.send("setpoint", percent=80, who="iso")
    office.tick()
    change = mode(office, "hand", lease_s=120)
    assert office.last(live) == ("ended", "mode")
    assert office.slot()[1] == codes.HOLD
    assert office.slot()[3] == pytest.approx(120)
    office.tick()
    assert office.stages(change) == ["received", "accepted", "started", "reached"]
    office.out.lapsed = 1
    office.tick()
    assert office.last(change) == ("ended", "lease_ended")
    assert office.desk.mode is Mode.HAND, "the mode outlives what held"


def test_into_hand_leaves_the_operators_command(office: Office) -> None:
    live = office.send("setpoint", percent=80, who="operator")
    office.tick()
    before = bytes(office.inputs.command)
    change = mode(office, "hand")
    assert office.last(change) == ("reached", "ok")
    assert bytes(office.inputs.command) == before
    assert office.last(live)[0] != "ended"


@pytest.mark.parametrize("name", ["auto", "remote"])
def test_out_of_hand_lets_go(office: Office, name: str) -> None:
    mode(office, "hand")
    live = office.send("setpoint", percent=60, who="operator")
    office.tick()
    change = mode(office, name)
    assert office.last(live) == ("ended", "mode")
    assert office.slot()[1] == codes.STAND
    office.out.goal_w = office.out.reference_w = 496e3
    office.run(5, power_w=496e3)
    assert office.stages(change) == ["received", "accepted", "started", "reached", "ended"], "each once"


def test_whatever_was_handled_is_known_by_its_last_stage(office: Office, composed: Composed) -> None:
    rack = composed.racks[0].id
    later = {"start": office.clock.stamp(100)}
    asked = {
        "setpoint": {"percent": 50}, "hold": {}, "release": {}, "estop": {}, "reset": {},
        f"rack/{rack}": {"use": "hands_off"}, "schedule": {"intervals": []}, "mode": {"mode": "remote"},
    }  # fmt: skip
    for verb, fields in asked.items():
        command = office.send(verb, who="operator", **fields)
        office.run(3)
        assert office.desk.journal.last_stage(command) == office.stages(command)[-1], verb
    waits = office.send("setpoint", percent=50, interval=later)
    assert office.desk.journal.last_stage(waits) == "accepted"
    office.send("setpoint", power_w=9e9, id=waits)
    assert office.desk.journal.last_stage(waits) == "accepted", "what was refused of it is no stage"


def test_a_mode_with_too_long_a_lease_changes_nothing(office: Office) -> None:
    assert office.last(mode(office, "hand", lease_s=14401)) == ("rejected", "lease")
    assert (office.desk.mode, office.slot()[0]) == (Mode.REMOTE, 0)


def test_the_lost_channel_of_the_grid_is_none_of_the_operators_business(office: Office) -> None:
    office.send("setpoint", percent=60, who="operator", lease_s=600)
    office.silent = True
    office.run(100)
    assert office.inputs.command.lost_ns == 0
    assert office.slot()[3] == pytest.approx(500, abs=0.5)
    assert office.desk.channel_state == "lost"


def test_who_stopped_the_site_resets_it(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("estop", who="operator")
    assert office.last(mode(office, "hand")) == ("rejected", "estop")
    assert office.last(office.send("reset", who="iso")) == ("rejected", "authority")
    office.send("estop", who="iso")
    restarted = kept(office)(composed, clock)
    assert restarted.desk.holder is Source.STOP
    assert restarted.last(restarted.send("reset", who="iso")) == ("rejected", "authority")
    assert restarted.slot()[1] == codes.ESTOP
    assert restarted.last(restarted.send("reset", who="operator")) == ("accepted", "ok")
    assert restarted.last(restarted.send("setpoint", percent=80, who="iso")) == ("accepted", "ok")


def test_the_operator_may_reset_what_the_grid_stopped(office: Office) -> None:
    office.send("estop", who="iso")
    assert office.last(office.send("reset", who="operator")) == ("accepted", "ok")


def test_a_restart_keeps_the_mode_and_whose_command_holds(office: Office, composed: Composed, clock: Clock) -> None:
    mode(office, "auto")
    live = office.send("setpoint", percent=60, who="operator:ann")
    office.tick()
    restarted = kept(office)(composed, clock)
    assert (restarted.desk.mode, restarted.desk.holder) == (Mode.AUTO, Source.OPERATOR)
    assert restarted.desk.live is not None
    assert restarted.desk.live.id == live
    assert restarted.last(restarted.send("setpoint", percent=90, who="iso")) == ("rejected", "mode")


def test_a_mode_that_cannot_be_read_is_hand(office: Office, composed: Composed, clock: Clock) -> None:
    office.desk.journal.stand(mode="sideways")
    assert kept(office)(composed, clock).desk.mode is Mode.HAND


def test_the_trail_says_who_did_what_and_what_it_replaced(office: Office) -> None:
    first = office.send("setpoint", percent=60, who="iso", reason="peak", lease_s=60)
    office.tick()
    second = office.send("setpoint", percent=80, who="operator:ann", reason="test")
    refused = office.send("setpoint", percent=50, who="iso")
    office.tick()
    office.out.lapsed = 1
    office.tick()
    lines = [json.loads(line) for line in office.desk.journal.take()[0].splitlines()]
    assert [(line["seq"], line["id"], line["stage"], line["source"]) for line in lines] == [
        (1, first, "accepted", "remote"), (2, second, "accepted", "operator"), (3, refused, "rejected", "remote"),
        (4, second, "ended", "operator"),
    ]  # fmt: skip
    assert (lines[0]["who"], lines[0]["reason"], lines[0]["verb"]) == ("iso", "peak", "setpoint")
    assert lines[0]["asked"] == {"lease_s": 60.0, "target_w": 297600.0, "ramp_s": 0.0, "w_per_s": 0.0}
    assert (lines[1]["replaced"], lines[1]["who"], lines[1]["reason"]) == (first, "operator:ann", "test")
    assert (lines[2]["code"], "outranks" in lines[2]["message"]) == ("outranked", True)
    assert lines[3]["code"] == "lease_ended"
    assert all(line["at"].endswith("Z") for line in lines)


def test_the_operator_resets_what_the_core_has_latched_and_the_live_command_goes_on(office: Office) -> None:
    live = office.send("setpoint", percent=60)
    before = office.slot()[:3]
    office.desk.latched = lambda: {"gpu-loop-1": ["leak"]}
    assert office.last(office.send("reset", who="grid")) == ("rejected", "authority")
    assert office.inputs.command.resets == 0
    reset = office.send("reset", who="operator:ann")
    assert office.stages(reset) == ["received", "accepted"]
    assert office.inputs.command.resets == 1
    assert office.slot()[:3] == before
    assert office.stages(live) == ["received", "accepted"]
    # The grid ends its own stop and nothing else; the operator both.
    for who, resets in (("iso", 1), ("operator", 2)):
        office.send("estop", who="iso")
        assert office.last(office.send("reset", who=who)) == ("accepted", "ok")
        assert office.inputs.command.resets == resets
