"""Regulation beside whatever set point holds: who may, for how long, and what is said. 50 kW are offered."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from rampd.ext import codes
from tests.office import Clock, Office, S


@pytest.fixture
def office(composed: Composed, clock: Clock, tmp_path: Path) -> Office:
    grid = composed.config.grid.model_copy(update={"regulation_mw": 0.05})
    composed = compose(composed.config.model_copy(update={"grid": grid}))
    made = Office(composed, clock, Journal.open(tmp_path / "commands.json"))
    made.tick()
    return made


def regulation(office: Office) -> tuple[float, float]:
    """What the core is asked: kW, seconds left."""
    command = office.inputs.command
    left_ns = command.regulation_ns - office.clock.monotonic_ns()
    return command.regulation_w / 1e3, max(0.0, left_ns * 1e-9)


def trail(office: Office) -> list[dict[str, Any]]:
    """What the audit trail has of it."""
    lines = [json.loads(line) for line in office.desk.journal.trail.pending]
    return [line for line in lines if line.get("verb") == "regulation"]


@pytest.mark.parametrize(
    ("fields", "kw", "lease_s"),
    [
        ({"power_w": 30e3}, 30.0, 12.0),
        ({"power_w": -50e3, "lease_s": 6}, -50.0, 6.0),
        ({"part": 1}, 50.0, 12.0),
        ({"part": -0.5}, -25.0, 12.0),
    ],
)
def test_what_is_asked(office: Office, fields: dict[str, float], kw: float, lease_s: float) -> None:
    command = office.send("setpoint", percent=50)
    slot = office.slot()
    signal = office.send("regulation", **fields)
    assert office.stages(signal) == ["received", "accepted"]
    assert regulation(office) == (kw, pytest.approx(lease_s))
    # The set point goes on as it was.
    assert office.slot() == slot
    office.tick()
    assert office.desk.live is not None
    assert (office.desk.live.id, office.desk.regulation.id) == (command, signal)


REFUSED = {
    "more than is offered":    ({"power_w": 50.1e3}, "limit", "+0.050 MW: the site offers regulation of 0.05 MW"),
    "more than there is":      ({"part": 1.01}, "malformed", "part"),
    "both":                    ({"part": 1, "power_w": 1.0}, "malformed", "exactly one of power_w and part"),
    "neither":                 ({}, "malformed", "exactly one of power_w and part"),
    "for too long":            ({"part": 1, "lease_s": 13}, "lease", "lease_s 13 exceeds the site's 12"),
    "an old one":              ({"part": 1, "issued_at": "2027-01-01T00:00:00Z"}, "late", "before rampd started"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_changes_nothing(office: Office, fields: dict[str, Any], code: str, words: str) -> None:
    office.send("regulation", part=0.2)
    office.tick()
    before = regulation(office)
    signal = office.send("regulation", **fields)
    assert office.last(signal) == ("rejected", code)
    assert words in office.said[-1].payload["message"]
    assert regulation(office) == before


def test_signals_that_expire_late_are_refused_and_leave_room_for_commands(office: Office) -> None:
    signal = office.send("regulation", part=0.1, expires_at=office.clock.stamp(301))
    assert office.last(signal) == ("rejected", "horizon")
    said = office.said[-1].payload["message"]
    assert said.startswith("expires_at lies 301 s ahead, 300 s are the most for a signal: let it expire within seconds")
    signal = office.send("regulation", part=0.1, expires_at=office.clock.stamp(299))
    assert office.last(signal) == ("accepted", "ok")
    # Twenty a second, of five minutes each, are forgotten soon enough, and none of them is followed twice.
    ids = office.desk.journal.ids
    for k in range(40_000):
        now_s = office.clock.time() + 0.05 * k
        assert not ids.full(now_s)
        ids.note(f"s{k}", "received", now_s, now_s + 300.0)
        ids.note(f"s{k}", "accepted", now_s)
    assert ids.find("s34001", now_s) is not None
    office.clock.wall_s = now_s
    assert office.last(office.send("setpoint", percent=50)) == ("accepted", "ok")


def test_of_two_the_one_that_was_issued_later_holds(office: Office) -> None:
    first = office.send("regulation", part=0.2, issued_at=office.clock.stamp(1))
    second = office.send("regulation", part=0.3)
    assert office.last(second) == ("rejected", "late")
    assert office.said[-1].payload["message"] == f"a signal that was issued after it holds, {first}"


def test_a_signal_from_before_a_restart_is_not_followed_again(office: Office, composed: Composed, clock: Clock) -> None:
    fields = {"id": "once", "part": 0.2, "issued_at": clock.stamp(0), "expires_at": clock.stamp(200)}
    office.tick()
    office.send("regulation", **fields)
    office.run(20.0)
    made = Office(office.desk.composed, clock, Journal.open(office.desk.journal.path))
    made.tick()
    assert made.last(made.send("regulation", **fields)) == ("rejected", "late")
    assert made.last(made.send("regulation", part=0.2)) == ("accepted", "ok")
    # What was issued before has expired by now: whatever the wall clock does, a fresh one is followed.
    clock.now_s += 301.0
    clock.wall_s -= 3600.0
    made.tick()
    made.desk.regulation.end("lease_ended")
    assert made.last(made.send("regulation", part=0.2)) == ("accepted", "ok")


def test_a_site_that_offers_none_takes_none(composed: Composed, clock: Clock, tmp_path: Path) -> None:
    made = Office(composed, clock, Journal.open(tmp_path / "none.json"))
    made.tick()
    assert made.last(made.send("regulation", part=0)) == ("rejected", "limit")
    assert regulation(made) == (0.0, 0.0)


def test_a_stream_is_answered_and_the_trail_has_its_begin_and_its_end(office: Office) -> None:
    sent = []
    for k in range(5):
        sent.append(office.send("regulation", part=k / 10, who="iso"))
        office.run(4.0)
    assert [office.stages(one) for one in sent] == [["received", "accepted"]] * 5
    office.run(7.0)
    assert office.desk.regulation.id == sent[-1]
    office.run(2.0)
    assert office.last(sent[-1]) == ("ended", "lease_ended")
    assert office.desk.regulation.id is None
    told = [(line["id"], line["stage"], line["source"], line["who"], line["message"]) for line in trail(office)]
    assert told == [
        (sent[0], "accepted", "regulation", "iso", "within 0.05 MW of the set point"),
        (sent[-1], "ended", "regulation", "iso", "5 signals"),
    ]
    # Begun anew it is told anew.
    office.send("regulation", part=0.1)
    assert [line["stage"] for line in trail(office)] == ["accepted", "ended", "accepted"]


BELOW = {
    # what holds -> whether a signal is taken beside it
    "the default":          (lambda office: None, None),
    "a remote set point":   (lambda office: office.send("setpoint", percent=50), None),
    "a remote hold":        (lambda office: office.send("hold"), None),
    "the operator":         (lambda office: office.send("setpoint", percent=50, who="operator:ann"), "outranked"),
    "a stop":               (lambda office: office.send("estop"), "estop"),
    "auto":                 (lambda office: office.send("mode", mode="auto", who="operator:ann"), "mode"),
    "hand":                 (lambda office: office.send("mode", mode="hand", who="operator:ann"), "mode"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "code"), BELOW.values(), ids=BELOW.keys())
def test_it_stands_beside_whoever_is_below_the_operator(office: Office, given: Any, code: str | None) -> None:
    first = office.send("regulation", part=0.2)
    office.tick()
    given(office)
    office.tick()
    if code is None:
        assert office.last(first) == ("accepted", "ok")
        assert regulation(office)[1] > 0
    else:
        assert office.last(first) == ("ended", "outranked" if code == "estop" else code)
        assert regulation(office)[1] == 0
    second = office.send("regulation", part=0.3)
    assert office.last(second) == (("accepted", "ok") if code is None else ("rejected", code))


@pytest.mark.parametrize("fields", [{"envelope": codes.EMERGENCY}, {"returning": 1}])
def test_an_emergency_ends_it_and_so_does_the_way_back(office: Office, fields: dict[str, int]) -> None:
    first = office.send("regulation", part=0.2)
    for name, value in fields.items():
        setattr(office.out, name, value)
    office.tick()
    assert office.last(first) == ("ended", "emergency")
    assert office.last(office.send("regulation", part=0.2)) == ("rejected", "emergency")
    office.out.envelope, office.out.returning = codes.NORMAL, 0
    office.tick()
    assert office.last(office.send("regulation", part=0.2)) == ("accepted", "ok")


def test_what_the_racks_cannot_give_is_said_once_of_a_signal(office: Office) -> None:
    office.out.reference_w = 100e3
    sent = []
    for unmet_w in (-30e3, -30e3, -0.4e3, -30e3):
        signal = office.send("regulation", part=-1)
        sent.append(signal)
        office.out.regulating, office.out.unmet_w = 1, unmet_w
        # Of the one before; then the core has taken it.
        office.tick()
        assert office.last(signal) == ("accepted", "ok")
        office.out.regulation_seq = office.inputs.command.regulation_seq
        office.run(3.0)
    told = [office.stages(one)[2:] for one in sent]
    assert told == [["partial"], ["partial"], [], ["partial"]]
    (said,) = [one.payload for one in office.said if one.payload["id"] == sent[0] and one.payload["stage"] == "partial"]
    assert (said["code"], said["message"]) == (
        "short", "0.030 MW short of -0.050 MW: the purchase goes no lower than 0.080 MW",
    )  # fmt: skip
    assert [line["stage"] for line in trail(office)] == ["accepted", "partial"]
    # Another stream tells it anew, upward as well.
    office.out.regulating = 0
    office.run(13.0)
    signal = office.send("regulation", part=1)
    office.out.regulating, office.out.unmet_w = 1, 20e3
    office.out.regulation_seq = office.inputs.command.regulation_seq
    office.tick()
    assert office.last(signal) == ("partial", "short")
    assert office.said[-1].payload["message"].endswith("the purchase goes no higher than 0.130 MW")
    assert trail(office)[-1]["stage"] == "partial"


HELD = {
    # what the core shows, part -> what is said
    "a fault":              ({"site_why": codes.SITE_FAULT}, -0.5, "fault of the grid"),
    "no meter, up":         ({"meter_good": 0}, 0.5, "nothing rises"),
    "no meter, less down":  ({"meter_good": 0, "regulation_w": -30e3}, -0.5, "nothing rises"),
    "no meter, down":       ({"meter_good": 0}, -0.5, ""),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "part", "words"), HELD.values(), ids=HELD.keys())
def test_a_signal_that_cannot_be_followed_now_is_told_so(
    office: Office, fields: dict[str, float], part: float, words: str
) -> None:
    for name, value in fields.items():
        setattr(office.out, name, value)
    office.tick()
    signal = office.send("regulation", part=part)
    assert office.last(signal) == ("accepted", "held" if words else "ok")
    assert words in office.said[-1].payload["message"]
    assert regulation(office)[1] > 0


def after(office: Office) -> codes.After:
    """What the core is told of the end of a signal."""
    return codes.After(office.inputs.command.regulation_after)


def silence(office: Office, seconds: float) -> None:
    office.silent = True
    office.run(seconds)
    office.silent = False


def test_it_goes_back_only_where_the_channel_was_heard_since(office: Office) -> None:
    signal = office.send("regulation", part=-1, lease_s=3)
    assert after(office) is codes.AFTER_FLAT
    office.run(1.0)
    silence(office, 4.0)
    # Over, and nobody knows yet whether the signal alone is missing.
    assert (regulation(office)[1], after(office), office.desk.regulation.id) == (0.0, codes.AFTER_FLAT, signal)
    office.tick()
    assert office.last(signal) == ("ended", "lease_ended")
    assert after(office) is codes.AFTER_BACK
    office.send("regulation", part=-1)
    assert after(office) is codes.AFTER_FLAT


def test_a_lost_channel_holds_it_where_it_is_until_a_fresh_signal(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    signal = office.send("regulation", part=-1)
    office.out.regulation_w = -50e3
    silence(office, 5.2)
    assert (regulation(office)[1], after(office)) == (0.0, codes.AFTER_HELD)
    assert "regulation is held" in caplog.text
    office.run(30.0)
    assert (after(office), office.desk.channel_state) == (codes.AFTER_HELD, "fresh_command")
    assert office.desk.regulation.id == signal
    fresh = office.send("regulation", part=-0.5)
    assert office.last(fresh) == ("accepted", "ok")
    assert (regulation(office), after(office)) == ((-25.0, pytest.approx(12.0)), codes.AFTER_FLAT)
    office.tick()
    assert office.desk.channel_state == "up"
    assert [line["stage"] for line in trail(office)] == ["accepted"]


def test_after_the_longest_hold_it_only_goes_down_until_a_fresh_command(office: Office) -> None:
    signal = office.send("regulation", part=-1)
    office.out.regulation_w = -50e3
    silence(office, office.desk.channel.hold_max_ns / S + 1)
    assert office.last(signal) == ("ended", "channel_lost")
    office.run(10.0)
    assert (after(office), office.desk.channel_state) == (codes.AFTER_LOWER, "fresh_command")
    office.send("setpoint", percent=50)
    office.tick()
    assert (after(office), office.desk.channel_state) == (codes.AFTER_BACK, "up")


def test_what_goes_back_already_is_held_as_well(office: Office) -> None:
    signal = office.send("regulation", part=-1, lease_s=2)
    office.out.regulation_w = -30e3
    office.run(3.0)
    assert (office.last(signal), after(office)) == (("ended", "lease_ended"), codes.AFTER_BACK)
    silence(office, 5.2)
    office.tick()
    assert (after(office), office.desk.channel_state) == (codes.AFTER_HELD, "fresh_command")
    silence(office, office.desk.channel.hold_max_ns / S)
    office.tick()
    assert after(office) is codes.AFTER_LOWER
    # Once nothing of it is left, nobody waits for a command.
    office.out.regulation_w = 0.0
    office.tick()
    assert office.desk.channel_state == "up"
    assert office.stages(signal) == ["received", "accepted", "ended"]


def test_what_the_operator_lets_go_is_not_held(office: Office) -> None:
    office.send("regulation", part=-1)
    office.out.regulation_w = -50e3
    office.send("mode", mode="auto", who="operator:ann")
    silence(office, 6.0)
    assert after(office) is codes.AFTER_BACK


def test_what_was_planned_for_later_begins_on_a_channel_that_lives_again(office: Office) -> None:
    later = office.send("setpoint", percent=50, interval={"start": office.clock.stamp(20)})
    office.send("regulation", part=-1)
    office.out.regulation_w = -50e3
    silence(office, 6.0)
    office.tick()
    assert office.desk.channel_state == "fresh_command"
    office.run(15.0)
    assert office.stages(later)[-1] == "started"
    assert (after(office), office.desk.channel_state) == (codes.AFTER_BACK, "up")


FRESH = {
    "a set point":   ("setpoint", {"percent": 50}),
    "a hold":        ("hold", {}),
    "a release":     ("release", {}),
    "a schedule":    ("schedule", {"intervals": []}),
    "a mode":        ("mode", {"mode": "remote", "who": "operator:ann"}),
    "a stop":        ("estop", {}),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "fields"), FRESH.values(), ids=FRESH.keys())
@pytest.mark.parametrize("lost", [True, False])
def test_a_fresh_command_lets_it_go_and_what_holds_alone(
    office: Office, lost: bool, verb: str, fields: dict[str, Any]
) -> None:
    signal = office.send("regulation", part=-1)
    if lost:
        silence(office, 6.0)
        office.tick()
    office.send(verb, **fields)
    ends = lost or verb == "estop"
    assert after(office) is (codes.AFTER_BACK if ends else codes.AFTER_FLAT)
    assert (office.desk.regulation.id is None) == ends
    if lost:
        assert office.last(signal) == ("ended", "outranked" if verb == "estop" else "replaced")


def test_an_interval_of_the_schedule_is_no_fresh_command(office: Office) -> None:
    ends = [office.clock.stamp(seconds) for seconds in (-1, 8, 600)]
    intervals = [{"start": a, "end": b, "percent": 50} for a, b in pairwise(ends)]
    office.send("schedule", intervals=intervals)
    office.send("regulation", part=-1)
    seq = office.slot()[0]
    silence(office, 10.0)
    assert office.slot()[0] == seq + 1
    assert after(office) is codes.AFTER_HELD


def test_an_emergency_ends_what_is_held(office: Office) -> None:
    signal = office.send("regulation", part=-1)
    silence(office, 6.0)
    office.out.returning = 1
    office.tick()
    assert (office.last(signal), after(office)) == (("ended", "emergency"), codes.AFTER_BACK)


def test_a_restart_begins_without(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("regulation", part=0.2)
    office.desk.journal.save()
    made = Office(composed, clock, Journal.open(office.desk.journal.path))
    made.tick()
    assert regulation(made) == (0.0, 0.0)
    assert made.desk.regulation.id is None
