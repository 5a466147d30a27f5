"""What is an event and what is none, on a desk whose core says what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rampd.daemon.events import TYPES, Events
from rampd.daemon.happenings import GUARD_EVERY_S, Happenings
from rampd.ext import codes, views
from tests.office import Office

MAX_W = 496e3


class Watched:
    """An office under observation."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.events = Events()
        self.up = {"meter": True, "rack-1": True, "rack-2": True}
        self.happenings = Happenings(office.desk, self.events, lambda: list(self.up.items()), MAX_W)
        office.desk.answers.events = self.events
        office.out.total_w, office.out.detune = 450e3, 1.0
        self.run(1.5)
        self.told()

    def run(self, seconds: float, **facts: Any) -> None:
        for _ in range(round(10 * seconds)):
            self.office.tick(**facts)
            self.happenings.tick(self.office.out, self.office.clock.now_s, self.office.clock.wall_s)

    def told(self, kind: str = "") -> list[dict[str, Any]]:
        """What was noted since, of one type or all."""
        found = []
        while (entry := self.events.first()) is not None:
            self.events.delivered(entry["seq"])
            listed = {"seq", "at", "type", *TYPES[entry["type"]][1].split(", ")}
            assert set(entry) <= listed, "the page on events names every field"
            if kind in ("", entry["type"]):
                found.append(entry)
        return found


@pytest.fixture
def watched(office: Office) -> Watched:
    return Watched(office)


def test_a_site_at_rest_tells_nothing(watched: Watched) -> None:
    watched.run(30)
    assert watched.told() == []


class TwoMeters:
    """What is asked of two meters, without them: which counts and why, and how far they are apart."""

    def __init__(self) -> None:
        self.first, self.second = SimpleNamespace(name="poi"), SimpleNamespace(name="check")
        self.counts = self.first
        self.why = ""
        self.twins = SimpleNamespace(differ=False, apart_w=math.nan)


def test_which_of_two_meters_counts_and_that_they_differ(watched: Watched) -> None:
    meters: Any = TwoMeters()
    watched.happenings.standby = meters
    watched.run(2)
    assert watched.told() == []
    meters.counts, meters.why = meters.second, "doubted"
    watched.run(2)
    (told,) = watched.told("meter")
    assert {key: told[key] for key in told if key not in ("seq", "at", "type")} == {
        "state": "counts", "device": "check", "why": "doubted",
    }  # fmt: skip
    for differ, state in ((True, "differ"), (False, "agree")):
        meters.twins.differ, meters.twins.apart_w = differ, 20e3
        watched.run(2)
        (told,) = watched.told("meter")
        assert (told["state"], told["apart_w"]) == (state, 20e3)


def test_the_life_of_a_command(watched: Watched) -> None:
    command = watched.office.send("setpoint", percent=50, who="iso")
    watched.run(3, power_w=248e3)
    watched.office.send("release")
    watched.run(0.5)
    told = watched.told("command")
    of = [(one["stage"], one["source"], one["who"]) for one in told if one["id"] == command]
    assert of == [(stage, "remote", "iso") for stage in ("accepted", "reached", "ended")]


def test_a_refused_command_is_no_event(watched: Watched) -> None:
    watched.office.send("setpoint", power_w=9e9)
    watched.run(0.5)
    assert watched.told() == []


def test_what_is_followed_and_by_whom(watched: Watched) -> None:
    command = watched.office.send("hold", who="operator:ann")
    watched.run(0.5)
    (hold,) = watched.told("mode")
    assert (hold["mode"], hold["was"], hold["control"], hold["command_id"]) == ("hold", "default", "remote", command)
    watched.office.send("mode", mode="auto", who="operator:ann")
    watched.run(0.5)
    (auto,) = watched.told("mode")
    assert (auto["control"], auto["was"]) == ("auto", "remote")


@pytest.mark.parametrize(
    ("verb", "envelope", "cause"),
    [
        (codes.TRACK, codes.DISPATCHED, "remote"),
        (codes.ESTOP, codes.EMERGENCY, "stop"),
        (codes.TRACK, codes.EMERGENCY, "import"),
    ],
)
def test_an_envelope_has_its_cause(watched: Watched, verb: int, envelope: int, cause: str) -> None:
    command = watched.office.send("setpoint", percent=50)
    watched.office.tick()
    watched.office.out.verb, watched.office.out.envelope = verb, envelope
    watched.run(0.1, follow=False)
    (one,) = watched.told("envelope")
    assert one | {"was": "normal", "cause": cause, "command_id": command} == one


EMERGENCIES = {
    # verb, shedding while it lasts -> cause of its begin, of its end
    "a stop":      (codes.ESTOP, 0, "stop", "remote"),
    "a frequency": (codes.TRACK, 1, "frequency", "frequency"),
    "an import":   (codes.TRACK, 0, "import", "import"),
}  # fmt: skip


@pytest.mark.parametrize("row", EMERGENCIES.values(), ids=EMERGENCIES.keys())
def test_an_emergency_has_its_cause_and_so_has_its_end(watched: Watched, row: tuple[int, int, str, str]) -> None:
    verb, shedding, begin, end = row
    watched.office.send("setpoint", percent=50)
    watched.office.tick()
    out = watched.office.out
    out.verb, out.shedding, out.envelope = verb, shedding, codes.EMERGENCY
    watched.run(1.0, follow=False)
    out.verb, out.shedding, out.envelope = codes.TRACK, 0, codes.DISPATCHED
    watched.run(1.0, follow=False)
    told = [(one["was"], one["envelope"], one["cause"]) for one in watched.told("envelope")]
    assert told == [("normal", "emergency", begin), ("emergency", "dispatched", end)]


def test_the_guard_is_summed_up(watched: Watched) -> None:
    for _ in range(50):
        watched.office.out.vetoes[codes.VETO_NODE] += 2
        watched.run(0.1)
    assert [one["vetoes"] for one in watched.told("guard")] == [{"node": 2}]
    watched.run(GUARD_EVERY_S)
    assert [one["vetoes"] for one in watched.told("guard")] == [{"node": 98}]
    watched.run(30)
    assert watched.told("guard") == []


@pytest.mark.parametrize(("step_s", "told"), [(3600.0, 1), (-2.0, 1), (0.3, 0)])
def test_a_clock_that_is_set(watched: Watched, step_s: float, told: int) -> None:
    watched.office.clock.wall_s += step_s
    watched.run(2)
    assert [one["step_s"] for one in watched.told("clock")] == [pytest.approx(step_s)] * told


def test_devices_that_fall_silent_together_are_one_event(watched: Watched) -> None:
    watched.up |= {"rack-1": False, "rack-2": False, "never": False}
    watched.run(5)
    watched.up["rack-2"] = True
    watched.run(5)
    told = [(one["state"], one["devices"], one["count"]) for one in watched.told("device")]
    assert told == [("lost", ["rack-1", "rack-2"], 2), ("back", ["rack-2"], 1)]


def test_a_device_that_flaps_is_an_event_a_minute(watched: Watched) -> None:
    """Twenty minutes of a plug that is half out: down and up every four seconds, and then it is put right."""
    for _ in range(300):
        for up in (False, True):
            watched.up["rack-1"] = up
            watched.run(2)
    watched.run(120)
    first, second, *sums = watched.told("device")
    assert [(one["state"], "falls" in one) for one in (first, second)] == [("lost", False), ("back", False)]
    assert len(sums) == pytest.approx(20, abs=1)
    assert 1 + sum(one["falls"] for one in sums) == 300
    assert sums[-1]["state"] == "back"


def test_a_state_directory_that_takes_nothing(watched: Watched) -> None:
    journal = watched.office.desk.journal
    assert journal.path is not None
    journal.save()
    watched.run(1)
    assert watched.told("journal") == []
    journal.path.with_suffix(".new").mkdir()
    watched.office.send("estop")
    for _ in range(3):
        journal.save()
        watched.run(1)
    (begun,) = watched.told("journal")
    assert begun["state"] == "unwritable"
    assert "commands.new" in begun["message"]
    journal.path.with_suffix(".new").rmdir()
    journal.save()
    watched.run(1)
    (ended,) = watched.told("journal")
    assert (ended["state"], "message" in ended) == ("writable", False)


def test_a_feedback_that_swings(watched: Watched) -> None:
    watched.office.out.detune = 2.0
    watched.run(1)
    watched.office.out.detune = 1.0
    watched.run(1)
    assert [one["slowed"] for one in watched.told("limit_cycle")] == [2.0, 1.0]


def meter(out: views.Outputs) -> None:
    out.power_w -= 0.1 * MAX_W


def racks(out: views.Outputs) -> None:
    out.fell_w += 0.1 * MAX_W
    meter(out)


@pytest.mark.parametrize("what", [meter, racks])
def test_load_that_goes_by_itself(watched: Watched, what: Callable[[views.Outputs], None]) -> None:
    watched.run(70)
    what(watched.office.out)
    watched.run(1, follow=False)
    assert len(watched.told("load_drop")) == (what is racks)
    watched.run(1)
    what(watched.office.out)
    watched.run(30, follow=False)
    found = watched.told("load_drop")
    assert [(one["by"], one["power_w"]) for one in found] == [("meter", 0.8 * MAX_W)] * (what is meter)


def test_what_is_told_of_it(watched: Watched) -> None:
    watched.run(70)
    racks(watched.office.out)
    watched.run(30, follow=False)
    (drop,) = watched.told("load_drop")
    assert drop | {"seq": 0, "at": ""} == {
        "seq": 0, "at": "", "type": "load_drop", "fell_w": 0.1 * MAX_W, "within_s": pytest.approx(0.3, abs=0.11),
        "by": "racks", "power_w": 0.9 * MAX_W,
    }  # fmt: skip
