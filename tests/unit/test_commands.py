"""The command desk on a clock of its own: who is followed, for how long, and what is said about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import commands, halls, journal, sitecheck
from rampd.daemon.commands import Desk, Reply
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed, compose
from rampd.ext import codes, views
from rampd.ext.image import InputWall

S = 1_000_000_000
ENDED = {"ended", "rejected", "failed"}


class Clock:
    """What the desk and the journal take for `time`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * S)

    def time(self) -> float:
        return self.wall_s

    def stamp(self, seconds: float) -> str:
        return datetime.fromtimestamp(self.wall_s + seconds, UTC).isoformat()


class Office:
    """A desk, what it says, and a core that follows at once or not at all. Powers in W; the site goes to 496 kW."""

    def __init__(self, composed: Composed, clock: Clock, kept: Journal) -> None:
        self.clock = clock
        self.wall = InputWall(composed.limits)
        self.inputs = views.inputs(self.wall)
        self.said: list[Reply] = []
        self.desk = Desk(composed, self.inputs, kept, self.said.append)
        self.out = views.Outputs()
        self.out.started = self.out.meter_good = 1
        self.out.power_w = self.out.reference_w = self.out.goal_w = 496e3
        self.out.least_w, self.out.most_w = 95e3, 496e3

    def send(self, verb: str, **fields: Any) -> str:
        """One command; returns its id."""
        options = {key: fields.pop(key) for key in ("retained", "topic", "correlation") if key in fields}
        made = {
            "id": f"c{len(self.said)}", "issued_at": self.clock.stamp(0), "expires_at": self.clock.stamp(30),
        } | fields  # fmt: skip
        payload = json.dumps({key: value for key, value in made.items() if value is not None})
        self.desk.receive(verb, payload.encode(), **options)
        return str(made["id"])

    def tick(self, seconds: float = 0.1, *, follow: bool = True, power_w: float | None = None) -> None:
        """The core takes the command, and with `power_w` the meter shows that."""
        self.clock.now_s += seconds
        self.clock.wall_s += seconds
        command = self.inputs.command
        if follow and command.seq:
            self.out.seq, self.out.verb = command.seq, command.verb
            if command.verb == codes.TRACK:
                self.out.goal_w = self.out.reference_w = command.target_w
        if power_w is not None:
            self.out.power_w = power_w
        self.desk.tick(self.out, self.clock.monotonic_ns())

    def run(self, seconds: float, **facts: Any) -> None:
        for _ in range(round(seconds / 0.1)):
            self.tick(**facts)

    def stages(self, command_id: str) -> list[str]:
        return [r.payload["stage"] for r in self.said if r.payload["id"] == command_id]

    def last(self, command_id: str) -> tuple[str, str]:
        payload = [r.payload for r in self.said if r.payload["id"] == command_id][-1]
        return payload["stage"], payload["code"]

    def slot(self) -> tuple[int, int, float, float]:
        """What the core is asked: number, verb, power, seconds left."""
        command = self.inputs.command
        return command.seq, command.verb, command.target_w, (command.expires_ns - self.clock.monotonic_ns()) / S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(commands, "time", made)
    monkeypatch.setattr(journal, "time", made)
    return made


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Composed:
    return compose(sitecheck.load(halls.write(halls.Hall("desk", 4), tmp_path_factory.mktemp("desk"))))


@pytest.fixture
def office(composed: Composed, clock: Clock) -> Office:
    made = Office(composed, clock, Journal(None))
    made.tick()
    return made


# A command's life.


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


def test_only_so_many_may_wait(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING", 2)
    later = {"start": office.clock.stamp(60)}
    found = [office.last(office.send("setpoint", percent=50, interval=later)) for _ in range(3)]
    assert found == [("accepted", "ok"), ("accepted", "ok"), ("rejected", "busy")]


# What changes nothing.


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("setpoint", {"percent": 50, "retained": True}, "retained"),
        (
            "setpoint",
            {"percent": 50, "expires_at": lambda c: c.stamp(-1), "issued_at": lambda c: c.stamp(-9)},
            "expired",
        ),
        ("setpoint", {"percent": 50, "issued_at": lambda c: c.stamp(31), "expires_at": lambda c: c.stamp(60)}, "clock"),
        ("setpoint", {"power_w": 497e3}, "limit"),
        ("setpoint", {"by_w": 200e3}, "limit"),
        ("setpoint", {"by_w": -497e3}, "limit"),
        ("setpoint", {"power_w": 90e3}, "unreachable"),
        ("setpoint", {"percent": 50, "lease_s": 14401}, "lease"),
        ("setpoint", {"percent": 50, "interval": lambda c: {"end": c.stamp(-1)}}, "expired"),
        ("setpoint", {}, "malformed"),
        ("reset", {}, "nothing"),
        ("mode", {}, "unsupported"),
    ],
)
def test_refused(office: Office, verb: str, fields: dict[str, Any], code: str) -> None:
    live = office.send("setpoint", percent=80)
    office.tick()
    before = (office.slot()[:3], bytes(office.inputs.command))
    given = {key: value(office.clock) if callable(value) else value for key, value in fields.items()}
    command = office.send(verb, **given)
    office.tick()
    assert office.last(command) == ("rejected", code)
    assert (office.slot()[:3], bytes(office.inputs.command)) == before
    assert office.stages(live)[-1] in ("started", "reached")
    assert office.desk.live is not None
    assert office.desk.live.id == live


def test_a_clock_that_is_a_little_ahead_is_forgiven(office: Office) -> None:
    command = office.send("setpoint", percent=50, issued_at=office.clock.stamp(29))
    assert office.last(command) == ("accepted", "ok")


def test_an_id_is_followed_once(office: Office) -> None:
    office.send("setpoint", percent=50, id="one")
    office.send("setpoint", percent=60, id="one")
    assert office.last("one") == ("rejected", "repeated")
    assert office.slot()[2] == 248e3
    # Also one that was refused: its sender may not try until it fits.
    office.send("setpoint", power_w=9e9, id="two")
    office.send("setpoint", percent=60, id="two")
    assert office.last("two") == ("rejected", "repeated")


def test_nothing_is_followed_before_the_meter_was_read(composed: Composed, clock: Clock) -> None:
    office = Office(composed, clock, Journal(None))
    assert office.last(office.send("setpoint", percent=50)) == ("rejected", "not_ready")
    assert office.slot()[0] == 0
    assert office.last(office.send("estop")) == ("accepted", "ok"), "to stop needs no meter"


@pytest.mark.parametrize(("power_w", "target_w"), [(9e9, 496e3), (-5.0, 0.0), (90e3, 90e3)])
def test_best_effort_goes_as_far_as_it_goes(office: Office, power_w: float, target_w: float) -> None:
    command = office.send("setpoint", power_w=power_w, best_effort=True)
    assert office.last(command) == ("accepted", "ok")
    assert office.slot()[2] == target_w


# The emergency stop.


def test_the_stop_holds_until_reset(office: Office) -> None:
    stop = office.send("estop")
    assert office.slot()[1] == codes.ESTOP
    for verb in ("setpoint", "hold", "release"):
        command = office.send(verb, **({"percent": 90} if verb == "setpoint" else {}))
        assert office.last(command) == ("rejected", "estop")
        assert office.slot()[1] == codes.ESTOP
    office.run(2, power_w=95e3)
    assert office.last(stop) == ("reached", "ok")
    reset = office.send("reset")
    assert office.last(reset) == ("accepted", "ok")
    assert office.slot()[1] == codes.STAND
    assert office.last(office.send("setpoint", percent=90)) == ("accepted", "ok")


def test_a_reset_for_what_the_core_has_latched_leaves_the_live_command_alone(office: Office) -> None:
    live = office.send("setpoint", percent=60)
    before = office.slot()[:3]
    office.desk.latched = lambda: {"gpu-loop-1": ["leak"]}
    reset = office.send("reset")
    assert office.stages(reset) == ["received", "accepted"]
    assert "gpu-loop-1: leak" in office.said[-1].payload["message"]
    assert office.inputs.command.resets == 1
    assert office.slot()[:3] == before
    assert office.stages(live) == ["received", "accepted"]
    # One reset ends a stop as well.
    office.send("estop")
    assert office.last(office.send("reset")) == ("accepted", "ok")
    assert (office.inputs.command.resets, office.slot()[1]) == (2, codes.STAND)


def test_what_waited_does_not_end_the_stop(office: Office) -> None:
    waiting = office.send("setpoint", percent=90, interval={"start": office.clock.stamp(3)})
    office.send("estop")
    office.run(6, power_w=95e3)
    assert office.slot()[1] == codes.ESTOP
    assert office.last(waiting) == ("failed", "estop")


def test_a_stop_during_a_stop_stays_one(office: Office) -> None:
    office.send("estop")
    again = office.send("estop")
    assert office.last(again) == ("accepted", "ok")
    assert office.last(office.send("setpoint", percent=90)) == ("rejected", "estop")


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


@pytest.mark.parametrize("topic", ["a/#", "+/a", "$SYS/a", "rampd/v1/desk/cmd/setpoint", "x" * 300])
def test_a_topic_that_cannot_be_answered_on_is_refused_on_the_sites_own(office: Office, topic: str) -> None:
    command = office.send("setpoint", percent=50, topic=topic)
    assert office.last(command) == ("rejected", "malformed")
    assert {r.topic for r in office.said} == {None}
    assert office.slot()[0] == 0


def test_every_stage_is_counted(office: Office) -> None:
    office.send("setpoint", percent=50)
    office.send("setpoint", power_w=9e9)
    office.send("dance")
    counts = office.desk.counts
    assert counts["setpoint", "accepted", "ok"] == 1
    assert counts["setpoint", "rejected", "limit"] == 1
    assert counts["unknown", "rejected", "unsupported"] == 1, "a sender cannot make new series"


# Over a restart.


def kept(office: Office) -> Callable[[Composed, Clock], Office]:
    """The journal as another process finds it."""
    text = office.desk.journal.text()

    def again(composed: Composed, clock: Clock) -> Office:
        path = Path("unused")
        found = Journal(path)
        data = json.loads(text)
        found.seen = {key: (value[0], value[1]) for key, value in data["seen"].items()}
        found.live = data["live"]
        made = Office(composed, clock, found)
        made.desk.resume()
        made.tick()
        return made

    return again


def test_a_lease_goes_on_for_its_rest(office: Office, composed: Composed, clock: Clock) -> None:
    live = office.send("setpoint", percent=50, lease_s=100, reply_to="over/there")
    office.tick()
    again = kept(office)
    clock.now_s, clock.wall_s = 5.0, clock.wall_s + 40
    restarted = again(composed, clock)
    assert restarted.slot() == (1, codes.TRACK, 248e3, pytest.approx(60, abs=0.5))
    assert restarted.desk.live is not None
    assert restarted.desk.live.id == live
    restarted.send("setpoint", percent=90, id=live)
    assert restarted.last(live) == ("rejected", "repeated")
    restarted.run(5, power_w=248e3)
    assert ("over/there", "reached") in {(r.topic, r.payload["stage"]) for r in restarted.said}


def test_a_lease_that_ended_meanwhile_is_over(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("setpoint", percent=50, lease_s=10)
    again = kept(office)
    clock.wall_s += 11
    restarted = again(composed, clock)
    assert restarted.slot()[0] == 0
    assert restarted.desk.journal.live is None


def test_a_clock_set_back_gives_no_longer_lease_than_the_site_allows(
    office: Office, composed: Composed, clock: Clock
) -> None:
    office.send("setpoint", percent=50, lease_s=10)
    again = kept(office)
    clock.wall_s -= 1e6
    assert again(composed, clock).slot()[3] <= 14400


def test_a_stop_outlasts_everything(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("estop")
    again = kept(office)
    clock.wall_s += 1e5
    restarted = again(composed, clock)
    assert restarted.slot()[1] == codes.ESTOP
    assert restarted.last(restarted.send("setpoint", percent=90)) == ("rejected", "estop")
    assert restarted.last(restarted.send("reset")) == ("accepted", "ok")


@pytest.mark.parametrize(
    "live",
    [
        {}, {"id": "a"}, {"id": "a", "verb": 1, "target_w": "x", "envelope": 1, "until": 2e9},
        {"id": "a", "verb": None, "target_w": 1.0, "envelope": 1, "until": 2e9},
    ],
)  # fmt: skip
def test_a_live_command_that_makes_no_sense_is_dropped(
    composed: Composed, clock: Clock, live: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = Journal(None)
    found.live = live
    office = Office(composed, clock, found)
    office.desk.resume()
    assert office.slot()[0] == 0
    assert "not usable" in caplog.text
    assert not math.isnan(office.out.power_w)
