"""The schedule: followed beneath every command, over a restart, and never a reason to rise by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rampd.daemon.arbitrate import Source
from rampd.daemon.site import Composed
from rampd.ext import codes
from tests.office import Clock, Office, kept


def plan(office: Office, *slots: tuple[float, float, float], **fields: Any) -> str:
    """A schedule of (from s, to s, percent), counted from now."""
    stamp = office.clock.stamp
    intervals = [{"start": stamp(a), "end": stamp(b), "percent": percent} for a, b, percent in slots]
    return office.send("schedule", intervals=intervals, **fields)


def percent(office: Office) -> float | None:
    """What the core is asked for, in percent of the site; None: to stand at its default."""
    command = office.inputs.command
    return round(command.target_w / 4960, 3) if command.verb == codes.TRACK else None


def lapse(office: Office) -> None:
    """The core ends what holds, at the power it stands at, and takes up what comes next."""
    office.out.lapsed = 1
    office.tick()
    office.out.lapsed = 0
    office.tick()


def test_each_interval_is_followed_at_its_time(office: Office) -> None:
    command = plan(office, (10, 20, 60), (20, 30, 80), (40, 50, 50))
    assert office.last(command) == ("accepted", "ok")
    seen = []
    office.run(0.5)
    for _ in range(6):
        seen.append((percent(office), office.desk.holder.name))
        office.run(10)
        if office.inputs.command.expires_ns < office.clock.monotonic_ns() and office.desk.live is not None:
            lapse(office)
    assert seen == [
        (None, "DEFAULT"), (60, "SCHEDULE"), (80, "SCHEDULE"), (80, "DEFAULT"), (50, "SCHEDULE"), (50, "DEFAULT"),
    ]  # fmt: skip
    assert office.last(command) == ("ended", "schedule_ended")
    assert office.desk.agenda.plan is None


def test_an_interval_is_leased_to_its_end_and_over_a_seam(office: Office) -> None:
    plan(office, (0, 10, 60), (10, 30, 80))
    assert office.slot() == (1, codes.TRACK, pytest.approx(297.6e3), pytest.approx(12))
    assert office.inputs.command.envelope == codes.NORMAL
    office.run(10.1)
    assert office.slot() == (2, codes.TRACK, pytest.approx(396.8e3), pytest.approx(19.9, abs=0.2))


@pytest.mark.parametrize("verb", ["setpoint", "hold"])
def test_a_command_overrides_and_release_gives_back(office: Office, verb: str) -> None:
    scheduled = plan(office, (0, 600, 60))
    office.tick()
    command = office.send(verb, percent=40 if verb == "setpoint" else None)
    office.tick()
    assert office.desk.holder is Source.REMOTE
    assert "ended" not in office.stages(scheduled)
    release = office.send("release")
    assert office.last(command) == ("ended", "replaced")
    assert (percent(office), office.desk.holder) == (60, Source.SCHEDULE)
    assert office.last(release) == ("ended", "released")


def test_the_present_value_is_followed_not_the_one_that_was_overridden(office: Office) -> None:
    plan(office, (0, 20, 60), (20, 600, 50))
    office.send("setpoint", percent=80, lease_s=30)
    office.run(31)
    lapse(office)
    assert percent(office) == 50


@pytest.mark.parametrize(("at_percent", "expected"), [(40, 40), (90, 80)])
def test_the_end_of_a_lease_does_not_raise_by_the_schedule(
    cautious: Office, at_percent: float, expected: float
) -> None:
    plan(cautious, (0, 60, 80), (60, 600, 85))
    cautious.send("setpoint", percent=at_percent, lease_s=30)
    cautious.run(31)
    lapse(cautious)
    assert percent(cautious) == expected
    cautious.run(30)
    assert percent(cautious) == 85, "the next interval is a reason of its own"


def test_where_the_site_allows_it_the_schedule_is_gone_up_to(office: Office) -> None:
    plan(office, (0, 600, 80))
    office.send("setpoint", percent=40, lease_s=30)
    office.run(31)
    lapse(office)
    assert percent(office) == 80


def test_after_a_lost_channel_no_interval_raises_until_a_fresh_command(office: Office) -> None:
    assert office.desk.composed.config.lease.raise_after
    plan(office, (0, 400, 80), (400, 600, 90), (600, 900, 30), (900, 2000, 80))
    office.send("setpoint", percent=40, lease_s=300)
    office.tick()
    office.silent = True
    office.run(310)
    lapse(office)
    seen = [percent(office)]
    office.silent = False
    for seconds in (100, 200, 300):
        office.run(seconds)
        seen.append(percent(office))
    assert seen == [40, 40, 30, 30], "never above the present level; down it may"
    assert office.desk.channel_state == "fresh_command"
    restarted = kept(office)(office.desk.composed, office.clock, power_w=148.8e3)
    restarted.run(1)
    assert (percent(restarted), restarted.desk.channel_state) == (30, "fresh_command"), "nor after a restart"
    restarted.send("release")
    assert (percent(restarted), restarted.desk.channel_state) == (80, "up")


def test_modes(office: Office) -> None:
    scheduled = plan(office, (0, 600, 60), who="iso")
    office.tick()
    office.send("mode", mode="hand", who="operator")
    assert (office.slot()[1], office.desk.holder) == (codes.HOLD, Source.OPERATOR)
    second = plan(office, (-1, 600, 70))
    assert office.last(scheduled) == ("ended", "replaced")
    assert "not followed while in hand" in office.said[-1].payload["message"]
    assert office.slot()[1] == codes.HOLD
    office.send("mode", mode="auto", who="operator")
    assert (percent(office), office.desk.holder) == (70, Source.SCHEDULE)
    assert office.desk.agenda.plan is not None
    assert office.desk.agenda.plan.id == second


def test_an_empty_schedule_ends_it(office: Office) -> None:
    first = plan(office, (0, 600, 60))
    office.tick()
    none = plan(office)
    assert office.last(first) == ("ended", "replaced")
    assert office.stages(none)[:2] == ["received", "accepted"]
    assert office.slot()[1] == codes.STAND
    assert office.desk.agenda.plan is None


@pytest.mark.parametrize(("begins_s", "expected"), [(-1, 70), (30, None)])
def test_a_new_schedule_ends_what_the_old_one_had_for_now(
    office: Office, begins_s: float, expected: float | None
) -> None:
    plan(office, (-1, 600, 60))
    office.tick()
    plan(office, (begins_s, 600, 70))
    assert percent(office) == expected
    office.run(31)
    assert percent(office) == 70


@pytest.mark.parametrize(
    ("slots", "fields", "code"),
    [
        ([(-20, -10, 50)], {}, "expired"),
        ([(0, 10, 50), (8 * 86400, 8 * 86400 + 10, 50)], {}, "horizon"),
        ([(0, 10, 50)], {"intervals": [{"start": 0, "end": 10, "power_w": 5e6}]}, "limit"),
        ([(0, 10, 50)], {"intervals": [{"start": 0, "end": 10, "power_w": -1}]}, "limit"),
        ([(0, 10, 50)], {"retained": True}, "retained"),
    ],
)
def test_refused_and_the_one_that_stands_goes_on(
    office: Office, slots: list[tuple[float, float, float]], fields: dict[str, Any], code: str
) -> None:
    standing = plan(office, (0, 600, 60))
    office.tick()
    for one in fields.get("intervals", []):
        one |= {"start": office.clock.stamp(one["start"]), "end": office.clock.stamp(one["end"])}
    before = bytes(office.inputs.command)
    command = office.send("schedule", **fields) if "intervals" in fields else plan(office, *slots, **fields)
    assert office.last(command) == ("rejected", code)
    assert bytes(office.inputs.command) == before
    assert office.desk.agenda.plan is not None
    assert office.desk.agenda.plan.id == standing


def test_a_stop_ends_what_the_schedule_does_until_reset(office: Office) -> None:
    plan(office, (0, 600, 60))
    office.send("estop")
    office.run(2)
    assert office.slot()[1] == codes.ESTOP
    office.send("reset")
    assert percent(office) == 60


# Over a restart.


def test_a_restart_within_an_interval_goes_on_with_it(office: Office, composed: Composed, clock: Clock) -> None:
    command = plan(office, (0, 600, 80), reply_to="over/there")
    office.run(1, power_w=396.8e3)
    again = kept(office)
    clock.now_s, clock.wall_s = clock.now_s + 5, clock.wall_s + 5
    restarted = again(composed, clock)
    assert (percent(restarted), restarted.desk.holder) == (80, Source.SCHEDULE)
    assert restarted.last(restarted.send("schedule", id=command, intervals=[])) == ("rejected", "repeated")
    restarted.run(5, power_w=396.8e3)
    assert ("over/there", "reached") in {(r.topic, r.payload["stage"]) for r in restarted.said}


@pytest.mark.parametrize(("slot_percent", "expected"), [(90, 60), (40, 40)])
def test_an_interval_that_began_meanwhile_does_not_raise(
    office: Office, composed: Composed, clock: Clock, slot_percent: float, expected: float
) -> None:
    plan(office, (0, 60, 60), (60, 120, slot_percent), (120, 180, 70))
    office.run(1)
    again = kept(office)
    clock.now_s, clock.wall_s = clock.now_s + 90, clock.wall_s + 90
    restarted = again(composed, clock, power_w=297.6e3)
    assert percent(restarted) == expected
    restarted.run(35)
    assert percent(restarted) == 70, "the next one is followed as it is"


def test_an_interval_that_begins_after_a_restart_is_followed_as_it_is(
    office: Office, composed: Composed, clock: Clock
) -> None:
    plan(office, (60, 120, 90))
    restarted = kept(office)(composed, clock, power_w=297.6e3)
    restarted.run(61)
    assert percent(restarted) == 90


@pytest.mark.parametrize(
    "wrong",
    [7, {}, {"id": "a", "topic": None, "intervals": [{"start": 1}]}, {"id": "a", "topic": None, "intervals": "x"}],
)
def test_a_schedule_that_makes_no_sense_is_dropped(
    office: Office, composed: Composed, clock: Clock, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    office.desk.journal.stand(schedule=wrong, interval=-1)
    restarted = kept(office)(composed, clock)
    assert (restarted.desk.agenda.plan, restarted.slot()[0]) == (None, 0)
    assert "not usable" in caplog.text


@pytest.mark.parametrize("wrong", [7, [], [1], ["x", 0], {"a": 1}])
def test_a_lid_that_makes_no_sense_lets_nothing_rise(
    office: Office, composed: Composed, clock: Clock, wrong: Any
) -> None:
    plan(office, (0, 600, 80))
    office.tick()
    office.desk.journal.stand(lid=wrong)
    restarted = kept(office)(composed, clock, power_w=297.6e3)
    restarted.run(1)
    assert percent(restarted) == 0, "as low as the site goes"
    restarted.send("release")
    assert percent(restarted) == 80


# What waits.


def test_what_waits_outlasts_a_restart(office: Office, composed: Composed, clock: Clock) -> None:
    later = office.send("setpoint", percent=50, interval={"start": clock.stamp(60)}, reply_to="over/there")
    restarted = kept(office)(composed, clock)
    restarted.run(59)
    assert restarted.slot()[0] == 0
    restarted.run(2)
    assert percent(restarted) == 50
    assert ("over/there", "started") in {(r.topic, r.payload["stage"]) for r in restarted.said}
    assert restarted.stages(later)[-1] == "started"
    assert "waiting" not in restarted.desk.journal.rest or restarted.desk.journal.rest["waiting"] == []


def test_what_should_have_begun_meanwhile_does_not_begin(office: Office, composed: Composed, clock: Clock) -> None:
    later = office.send("setpoint", percent=50, interval={"start": clock.stamp(60), "end": clock.stamp(600)})
    again = kept(office)
    clock.now_s, clock.wall_s = clock.now_s + 90, clock.wall_s + 90
    restarted = again(composed, clock)
    assert restarted.last(later) == ("failed", "missed")
    restarted.run(5)
    assert restarted.slot()[0] == 0


@pytest.mark.parametrize("wrong", [7, [7], [{}], [{"start_s": 4e9, "verb": "dance", "command": {}, "topic": None}]])
def test_what_waits_and_makes_no_sense(office: Office, composed: Composed, clock: Clock, wrong: Any) -> None:
    office.desk.journal.stand(waiting=wrong)
    assert kept(office)(composed, clock).desk.waiting.items == []


# A signal every four seconds.


def test_a_base_point_every_four_seconds_floods_neither_sender_nor_disk(office: Office) -> None:
    """UDSP: set points with short leases, an hour of them; each is told once and stands in the trail once."""
    disk = 0
    for k in range(900):
        office.send("setpoint", power_w=300e3 + 1e3 * (k % 60), lease_s=12, who="iso", id=f"udsp-{k}")
        assert office.slot()[3] == pytest.approx(12)
        for _ in range(40):
            office.tick(power_w=office.inputs.command.target_w)
            lines, text = office.desk.journal.take()
            disk += len(lines) + len(text or "")
    assert office.stages("udsp-500") == ["received", "accepted", "started", "reached", "ended"]
    assert len(office.said) <= 5 * 900
    assert disk / 3600 < 500, "bytes a second"
    assert office.desk.live is not None
    office.out.lapsed = 1
    office.run(0.1)
    last = json.loads(office.desk.journal.take()[0].splitlines()[-1])
    assert (last["id"], last["code"]) == ("udsp-899", "lease_ended")


def test_a_lease_that_ended_while_rampd_was_away_does_not_raise_to_the_schedule(
    office: Office, composed: Composed, clock: Clock
) -> None:
    plan(office, (0, 600, 90), (600, 900, 80))
    command = office.send("setpoint", percent=40, lease_s=10)
    office.tick(power_w=198.4e3)
    again = kept(office)
    clock.now_s, clock.wall_s = 5.0, clock.wall_s + 60
    restarted = again(composed, clock, power_w=198.4e3)
    assert restarted.last(command) == ("ended", "lease_ended")
    assert percent(restarted) == 40
    # The next interval is a reason of its own.
    restarted.run(1.0)
    clock.now_s, clock.wall_s = clock.now_s + 550, clock.wall_s + 550
    restarted.tick()
    assert percent(restarted) == 80
