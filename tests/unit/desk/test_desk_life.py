"""Who is followed, for how long, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.daemon import waiting
from rampd.daemon.messages import Command
from rampd.ext import codes
from tests.office import Office


def test_a_set_point_is_received_accepted_started_reached(office: Office) -> None:
    command = office.send("setpoint", percent=50, ramp_s=5, lease_s=60)
    assert office.stages(command) == ["received", "accepted"]
    assert office.slot() == (1, codes.TRACK, 248e3, pytest.approx(60))
    assert office.inputs.command.ramp_s == 5
    office.tick(follow=False)
    assert office.stages(command)[-1] == "accepted", "the core has not taken it yet"
    office.run(0.5, power_w=400e3)
    assert office.stages(command)[-1] == "started"
    office.run(3.0, power_w=248e3)
    assert office.stages(command) == ["received", "accepted", "started", "reached"]


@pytest.mark.parametrize(
    ("fields", "target_w"),
    [({"power_w": 3e5}, 3e5), ({"percent": 100}, 496e3), ({"by_w": -1e5}, 396e3), ({"power_w": 496e3}, 496e3)],
)
def test_the_power_that_is_asked_for(office: Office, fields: dict[str, float], target_w: float) -> None:
    office.send("setpoint", **fields)
    assert office.slot()[2] == pytest.approx(target_w)


def test_a_change_counts_from_the_reference(office: Office) -> None:
    office.send("setpoint", percent=50)
    office.tick()
    office.send("setpoint", by_w=50e3)
    assert office.slot()[2] == pytest.approx(298e3)


def test_a_passing_value_does_not_reach(office: Office) -> None:
    command = office.send("setpoint", percent=50)
    office.run(3, power_w=400e3)
    office.run(0.5, power_w=248e3)
    office.run(3, power_w=200e3)
    assert "reached" not in office.stages(command)


@pytest.mark.parametrize(("power_w", "stage"), [(228e3, "reached"), (248e3, "started")])
def test_primary_response_stands_beside_what_is_reached(office: Office, power_w: float, stage: str) -> None:
    command = office.send("setpoint", percent=50)
    office.out.response_w = -20e3
    office.run(3.0, power_w=power_w)
    assert office.stages(command)[-1] == stage


def test_a_soft_landing_is_not_waited_for(office: Office) -> None:
    command = office.send("setpoint", percent=50)
    office.tick(power_w=248e3)
    office.out.reference_w += 1e3
    office.run(2.5, follow=False, power_w=248e3)
    assert office.stages(command)[-1] == "reached", "the reference lies well within the band"


def test_the_right_power_at_the_wrong_time_does_not_reach(office: Office) -> None:
    command = office.send("setpoint", percent=50)
    office.tick(power_w=496e3)
    office.out.reference_w = 350e3
    office.run(10, follow=False, power_w=248e3)
    assert office.stages(command)[-1] == "started", "the reference is still on its way"


@pytest.mark.parametrize("w_per_s", [10e3, 30e3])
def test_what_drifts_through_the_band_does_not_reach(office: Office, w_per_s: float) -> None:
    command = office.send("setpoint", percent=50)
    for k in range(100):
        office.tick(power_w=298e3 - 0.1 * k * w_per_s)
    assert office.stages(command)[-1] == "started"


@pytest.mark.parametrize(("power_w", "stage"), [(300e3, "partial"), (495e3, "failed")])
def test_what_does_not_come_is_said(office: Office, power_w: float, stage: str) -> None:
    command = office.send("setpoint", percent=50, ramp_s=5)
    office.run(60, power_w=power_w)
    assert office.last(command) == (stage, "short")
    assert office.stages(command).count(stage) == 1, "once"


def test_a_partial_one_may_still_get_there(office: Office) -> None:
    command = office.send("setpoint", percent=50, ramp_s=5)
    office.run(60, power_w=300e3)
    office.run(4, power_w=248e3)
    assert office.stages(command)[-2:] == ["partial", "reached"]


def test_a_ramp_that_the_site_does_not_allow_is_accepted_with_a_word(office: Office) -> None:
    command = office.send("setpoint", percent=25, ramp_s=1)
    assert office.last(command) == ("accepted", "ok")
    assert "not in 1 s" in office.said[-1].payload["message"]


@pytest.mark.parametrize(
    ("fields", "shape", "seconds"),
    [
        # 248 kW at 149 kW/s at most: 1.66 s straight, half as long again bent.
        ({}, codes.LINEAR, "1.7 s"),
        ({"shape": "linear"}, codes.LINEAR, "1.7 s"),
        ({"shape": "s-curve"}, codes.S_CURVE, "2.5 s"),
    ],
)
def test_the_shape_of_a_ramp(office: Office, fields: dict[str, str], shape: int, seconds: str) -> None:
    office.send("setpoint", percent=50, ramp_s=1, **fields)
    assert office.inputs.command.shape == shape
    assert f"allows it in {seconds}, not in 1 s" in office.said[-1].payload["message"]
    office.send("setpoint", percent=60)
    assert office.inputs.command.shape == codes.LINEAR, "a shape is of its own command only"


def test_the_newest_replaces(office: Office) -> None:
    first = office.send("setpoint", percent=50)
    office.tick()
    second = office.send("setpoint", percent=60)
    assert office.last(first) == ("ended", "replaced")
    assert office.stages(second) == ["received", "accepted"]
    assert office.slot()[0] == 2


def test_the_core_says_when_the_lease_has_ended(office: Office) -> None:
    command = office.send("setpoint", percent=50, lease_s=2)
    office.tick()
    office.out.lapsed = 1
    office.tick()
    assert office.last(command) == ("ended", "lease_ended")
    assert office.desk.live is None
    assert office.desk.journal.live is None


def test_hold_is_reached_at_once_and_release_ends(office: Office) -> None:
    command = office.send("hold", lease_s=60)
    office.tick()
    assert office.stages(command) == ["received", "accepted", "started", "reached"]
    release = office.send("release")
    assert office.slot()[1] == codes.STAND
    assert office.last(command) == ("ended", "replaced")
    office.run(4)
    assert office.last(release) == ("ended", "released")
    assert office.desk.live is None


# Leases and intervals.


@pytest.mark.parametrize(
    ("fields", "lease_s"),
    [
        ({}, 900),
        ({"lease_s": 5}, 5),
        ({"lease_s": 14400}, 14400),
        ({"interval": lambda c: {"end": c.stamp(100)}}, 100),
        ({"lease_s": 50, "interval": lambda c: {"end": c.stamp(100)}}, 50),
        ({"lease_s": 500, "interval": lambda c: {"end": c.stamp(100)}}, 100),
        ({"interval": lambda c: {"start": c.stamp(-10), "end": c.stamp(100)}}, 100),
        ({"interval": lambda c: {"end": c.stamp(1e6)}}, 14400),
    ],
)
def test_how_long_it_holds(office: Office, fields: dict[str, Any], lease_s: float) -> None:
    given = {key: value(office.clock) if callable(value) else value for key, value in fields.items()}
    office.send("setpoint", percent=50, **given)
    assert office.slot()[3] == pytest.approx(lease_s, abs=0.01)


def test_one_that_begins_later_waits(office: Office) -> None:
    command = office.send(
        "setpoint", percent=50, interval={"start": office.clock.stamp(3), "end": office.clock.stamp(9)}
    )
    assert office.last(command) == ("accepted", "ok")
    office.run(2.8)
    assert office.slot()[0] == 0
    office.run(0.4)
    assert office.slot() == (1, codes.TRACK, 248e3, pytest.approx(6, abs=0.3))
    office.run(3, power_w=248e3)
    assert office.stages(command) == ["received", "accepted", "started", "reached"], "each stage is said once"


def test_what_begins_later_says_then_what_there_is_to_say(office: Office) -> None:
    """What it replaces and what the site's ramp limit makes of it is known then, and stands in the trail."""
    before = office.send("setpoint", percent=80)
    command = office.send("setpoint", percent=50, ramp_s=1e-3, interval={"start": office.clock.stamp(3)})
    office.run(3.5)
    started = [r.payload for r in office.said if r.payload["id"] == command][-1]
    assert started["stage"] == "started"
    assert "the ramp limit of the site allows it in" in started["message"]
    assert office.last(before) == ("ended", "replaced")
    office.desk.journal.save()
    entries = [one for one in office.desk.journal.trail.read() if one["id"] == command]
    assert [one["stage"] for one in entries] == ["accepted", "started"]
    assert entries[-1]["replaced"] == before
    assert entries[-1]["asked"]["target_w"] == 248e3


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("setpoint", {"percent": 50}, "ok"),
        ("setpoint", {"by_w": -1e9}, "ok"),
        ("setpoint", {"percent": 5}, "ok"),
        ("setpoint", {"power_w": 9e9}, "limit"),
        ("setpoint", {"power_w": 9e9, "best_effort": True}, "ok"),
        ("setpoint", {"percent": 50, "lease_s": 20000}, "lease"),
        ("hold", {"lease_s": 20000}, "lease"),
        ("hold", {}, "ok"),
        ("release", {}, "malformed"),
        ("reset", {}, "malformed"),
    ],
)
def test_what_begins_later_is_checked_at_the_door(office: Office, verb: str, fields: dict[str, Any], code: str) -> None:
    later = {"start": office.clock.stamp(60)}
    assert office.last(office.send(verb, interval=later, **fields))[1] == code
    assert len(office.desk.waiting.items) == (code == "ok")


@pytest.mark.parametrize(
    ("start_s", "end_s", "code"),
    [(7.9 * 86400, None, "ok"), (8.1 * 86400, None, "horizon"), (1e10, None, "horizon"), (60, 30, "expired")],
)
def test_how_far_ahead_a_command_may_begin(office: Office, start_s: float, end_s: float | None, code: str) -> None:
    stamp = office.clock.stamp
    interval = {"start": stamp(start_s)} | ({} if end_s is None else {"end": stamp(end_s)})
    assert office.last(office.send("setpoint", percent=50, interval=interval))[1] == code


def test_what_waits_is_called_off_by_its_id(office: Office) -> None:
    live = office.send("setpoint", percent=80)
    later = {"start": office.clock.stamp(5)}
    first, second = (office.send("setpoint", percent=percent, interval=later, who="iso") for percent in (50, 60))
    release = office.send("release", command_id=first)
    assert office.stages(release) == ["received", "accepted", "reached"]
    assert office.last(first) == ("ended", "released")
    assert office.last(office.send("release", command_id=first)) == ("rejected", "nothing")
    assert office.desk.live is not None
    assert office.desk.live.id == live
    office.run(6)
    assert office.last(second)[0] == "started"
    assert office.last(first) == ("ended", "released")


def test_a_release_by_id_ends_what_holds(office: Office) -> None:
    live = office.send("setpoint", percent=80)
    waits = office.send("setpoint", percent=50, interval={"start": office.clock.stamp(50)})
    assert office.last(office.send("release", command_id=live)) == ("accepted", "ok")
    assert office.last(live) == ("ended", "replaced")
    assert office.last(waits) == ("accepted", "ok")
    assert office.last(office.send("hold", command_id=live)) == ("rejected", "malformed")


def test_what_the_operator_planned_is_not_the_grids_to_call_off(office: Office) -> None:
    waits = office.send("setpoint", percent=50, interval={"start": office.clock.stamp(50)}, who="operator")
    assert office.last(office.send("release", command_id=waits, who="iso")) == ("rejected", "outranked")
    assert office.last(office.send("release", command_id=waits, who="operator")) == ("reached", "ok")


@pytest.mark.parametrize(("late_s", "last"), [(30, ("started", "ok")), (3600, ("failed", "missed"))])
def test_a_clock_that_jumps_over_its_time(office: Office, late_s: float, last: tuple[str, str]) -> None:
    waits = office.send("setpoint", percent=50, interval={"start": office.clock.stamp(50)})
    office.clock.wall_s += 50 + late_s
    office.tick()
    office.tick()
    assert office.last(waits) == last


@pytest.mark.parametrize(("ahead_s", "code"), [(86000, "ok"), (86500, "horizon"), (1e9, "horizon")])
def test_no_command_is_valid_for_longer_than_its_id_is_known(office: Office, ahead_s: float, code: str) -> None:
    assert office.last(office.send("setpoint", percent=50, expires_at=office.clock.stamp(ahead_s)))[1] == code


def test_a_command_that_is_long_valid_is_not_followed_twice(office: Office) -> None:
    fields = {"issued_at": office.clock.stamp(0), "expires_at": office.clock.stamp(86000)}
    command = office.send("setpoint", percent=50, **fields)
    office.clock.wall_s += 85900
    assert office.last(office.send("setpoint", percent=50, id=command, **fields)) == ("rejected", "repeated")
    office.clock.wall_s += 200
    office.send("hold")
    assert office.last(office.send("setpoint", percent=50, id=command, **fields))[0] == "rejected"


def test_many_that_begin_together_are_noted_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times a hundred records would hold up everything else."""
    start = {"start": office.clock.stamp(20)}
    later = {"start": office.clock.stamp(90)}
    many = [office.send("setpoint", percent=50, interval=start) for _ in range(waiting.MOST - 1)]
    waits = office.send("setpoint", percent=60, interval=later)
    noted: list[list[dict[str, Any]]] = []

    def count(**rest: Any) -> None:
        noted.append(rest["waiting"])

    def never(*_: object, **__: object) -> None:
        raise AssertionError("each is dumped once, when it is added")

    monkeypatch.setattr(office.desk.journal, "stand", count)
    monkeypatch.setattr(Command, "model_dump", never)
    office.run(21)
    assert all(office.last(name)[0] != "accepted" for name in many)
    (records,) = noted
    assert [one["command"]["id"] for one in records] == [waits]


def test_only_so_many_may_wait(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST", 2)
    later = {"start": office.clock.stamp(60)}
    found = [office.last(office.send("setpoint", percent=50, interval=later)) for _ in range(3)]
    assert found == [("accepted", "ok"), ("accepted", "ok"), ("rejected", "busy")]


# Answers.


def test_answers_go_where_they_were_asked_for(office: Office) -> None:
    office.send("setpoint", percent=50, id="a")
    office.send("setpoint", percent=50, id="b", reply_to="over/there")
    office.send("setpoint", percent=50, id="c", reply_to="over/there", topic="v5/topic", correlation=b"77")
    office.send("setpoint", percent=500, id="d", topic="v5/topic", correlation=b"78")
    topics = {r.payload["id"]: (r.topic, r.correlation) for r in office.said}
    assert topics == {
        "a": (None, None), "b": ("over/there", None), "c": ("v5/topic", b"77"), "d": ("v5/topic", b"78"),
    }  # fmt: skip


NO_TOPICS = [
    "a/#", "+/a", "$SYS/a", "rampd/v1/desk/cmd/setpoint", "x" * 300, "\N{EURO SIGN}" * 90, "a/\x01", "a\x7f", "a\x85",
    "a\ufdd0", "a\uffff", "a\U0001fffe", "/" * 40, "rampd/v1/desk", "rampd/v1/desk/state", "rampd/v1/desk/status",
    "rampd/v1/desk/rack/gpu-001/telemetry", "rampd/v1/desk/ack",
]  # fmt: skip


@pytest.mark.parametrize("topic", NO_TOPICS)
def test_a_topic_that_cannot_be_answered_on_is_refused_on_the_sites_own(office: Office, topic: str) -> None:
    command = office.send("setpoint", percent=50, topic=topic)
    assert office.last(command) == ("rejected", "malformed")
    assert {r.topic for r in office.said} == {None}
    assert office.slot()[0] == 0


@pytest.mark.parametrize("topic", NO_TOPICS)
def test_nor_where_the_payload_asks_for_it(office: Office, topic: str) -> None:
    command = office.send("setpoint", percent=50, reply_to=topic)
    assert office.last(command) == ("rejected", "malformed")
    assert {r.topic for r in office.said} == {None}


@pytest.mark.parametrize("topic", ["a", "grid/answers/2", "rampd/v1/desk/ack/mine", "a/b/\N{EURO SIGN}", "/" * 31])
def test_a_plain_topic_is_answered_on(office: Office, topic: str) -> None:
    office.send("setpoint", percent=50, reply_to=topic)
    assert {r.topic for r in office.said} == {topic}


def test_every_stage_is_counted(office: Office) -> None:
    office.send("setpoint", percent=50)
    office.send("setpoint", power_w=9e9)
    office.send("dance")
    counts = office.desk.answers.counts
    assert counts["setpoint", "accepted", "ok"] == 1
    assert counts["setpoint", "rejected", "limit"] == 1
    assert counts["unknown", "rejected", "unsupported"] == 1, "a sender cannot make new series"
