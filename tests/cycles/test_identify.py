"""What racks have shown: one that is not as configured is learned from its moves, one that is stays as it is. kW, s."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world

DT = 0.05
READ = 10


@dataclass
class Truth:
    """The rack as it is; `deaf` is the chance that it ignores a set point, `noise` that of a reading, of its most."""

    dead_down_s: float = 0.4
    dead_up_s: float = 0.4
    down_kw_per_s: float = 100.0
    up_kw_per_s: float = 100.0
    least_kw: float = 20.0
    step_kw: float = 0.0
    deaf: float = 0.0
    noise: float = 0.0
    wants_kw: float = 1000.0
    random: Random = field(default_factory=lambda: Random("rack"))
    cap_kw: float = 100.0
    goal_kw: float = 100.0
    heard_kw: float = 100.0
    coming: list[tuple[int, float]] = field(default_factory=list)

    def hear(self, tick: int, asked_kw: float) -> None:
        if asked_kw != self.heard_kw:
            dead_s = self.dead_down_s if asked_kw < self.heard_kw else self.dead_up_s
            self.heard_kw = asked_kw
            if self.random.random() >= self.deaf:
                self.coming.append((tick + round(dead_s / DT), asked_kw))

    def draw(self, tick: int) -> float:
        while self.coming and self.coming[0][0] <= tick:
            self.goal_kw = self.coming.pop(0)[1]
        goal_kw = max(self.least_kw, self.goal_kw)
        if self.step_kw:
            goal_kw = goal_kw // self.step_kw * self.step_kw
        fall_kw, rise_kw = self.down_kw_per_s * DT, self.up_kw_per_s * DT
        self.cap_kw = min(max(goal_kw, self.cap_kw - fall_kw), self.cap_kw + rise_kw)
        return min(self.cap_kw, self.wants_kw) + 100.0 * self.noise * self.random.uniform(-1.0, 1.0)


def run(made: World, plant: Truth, set_points_kw: Sequence[float], every_s: float = 15.0) -> None:
    """The rack is given one set point after the other; the core reads it twice a second."""
    state = made.state
    state.meter_good = state.known[0] = state.ours[0] = 1
    state.applied_w[0] = state.cap_w[0] = state.demand_w[0] = 100e3
    for k in range(made.limits.site.history):
        state.past_w[k] = 100e3
    ticks = round(every_s / DT)
    plant.hear(0, 100.0)
    for move, asked_kw in enumerate([100.0, *set_points_kw]):
        # Moves and readings fall on each other as they like.
        at = 3 + move * 7 % READ
        for k in range(ticks):
            state.tick += 1
            made.now_s += DT
            state.now_ns = made.now_ns
            power_kw = plant.draw(state.tick)
            if state.tick % READ == 0:
                made.rack(0, power_kw * 1e3, state.applied_w[0])
            interpreted.failsafe.hear(made.inputs, made.limits, state, made.now_ns)
            interpreted.model.advance(made.inputs, made.limits, state, made.now_ns, DT)
            if k == at:
                state.applied_w[0] = asked_kw * 1e3
            interpreted.model.record(made.limits, state)
            plant.hear(state.tick + 1, state.applied_w[0] / 1e3)


def one(**rack: float) -> World:
    usual = {"dead_down_s": 0.4, "dead_up_s": 0.4, "down_w_per_s": 100e3, "up_w_per_s": 100e3}
    given: dict[str, Any] = usual | rack
    return world([Rack(**given)])


def beliefs(made: World) -> dict[str, float]:
    state = made.state
    return {
        "dead_down_s": state.dead_down_s[0] - DT, "dead_up_s": state.dead_up_s[0] - DT,
        "down": state.down_w_per_s[0] / 1e3, "up": state.up_w_per_s[0] / 1e3, "least": state.bottom_w[0] / 1e3,
        "success": state.success[0], "step": state.step_w[0] / 1e3, "error": state.error_w[0] / 1e3,
    }  # fmt: skip


UP_AND_DOWN = [30.0, 100.0, 40.0, 90.0, 25.0, 70.0]


def moves(count: int) -> list[float]:
    return list(itertools.islice(itertools.cycle(UP_AND_DOWN), count))


AS_CONFIGURED = {
    "quick":           ({}, Truth()),
    "late":            ({"dead_down_s": 2.5, "dead_up_s": 1.5}, Truth(dead_down_s=2.5, dead_up_s=1.5)),
    "slow up":         ({"up_w_per_s": 5e3}, Truth(up_kw_per_s=5.0)),
    "slow":            ({"down_w_per_s": 20e3, "up_w_per_s": 20e3}, Truth(down_kw_per_s=20.0, up_kw_per_s=20.0)),
    "in steps":        ({"quantum_w": 5e3}, Truth(step_kw=5.0)),
    "with noise":      ({}, Truth(noise=0.003)),
    "wants less":      ({}, Truth(wants_kw=60.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", AS_CONFIGURED)
def test_a_rack_that_is_as_configured_is_not_changed(name: str) -> None:
    given, plant = AS_CONFIGURED[name]
    made = one(**given)
    before = beliefs(made)
    run(made, plant, moves(60), 25.0)
    after = beliefs(made)
    for key in ("dead_down_s", "dead_up_s", "down", "up", "least"):
        assert after[key] == pytest.approx(before[key], rel=1e-9), key
    assert after["success"] >= 0.99


@pytest.mark.parametrize("slope_kw", [100.0, 30.0])
@pytest.mark.parametrize("stop_kw", range(33, 70, 3))
def test_a_rack_that_stops_between_two_readings_is_not_slow(stop_kw: int, slope_kw: float) -> None:
    """At its demand on the way up, at its least on the way down."""
    given = {"up_w_per_s": slope_kw * 1e3, "down_w_per_s": slope_kw * 1e3}
    for stops in ({"wants_kw": float(stop_kw)}, {"least_kw": float(stop_kw)}):
        made = one(**given)
        run(made, Truth(up_kw_per_s=slope_kw, down_kw_per_s=slope_kw, **stops), moves(30), 25.0)
        found = beliefs(made)
        assert (found["up"], found["down"]) == (slope_kw, slope_kw), stops


RESTS = {
    # rests as (cap, power) kW, read twice if not said -> part of its cap that it draws
    "as told":                         ([(100, 100), (60, 60)], 1.0),
    "nine tenths of it":               ([(100, 90), (60, 54)], 0.9),
    "and of a cap above it":           ([(100, 90), (95, 85.5)], 0.9),
    "more than its cap":               ([(80, 96), (60, 72)], 1.2),
    "it wants less":                   ([(100, 70), (90, 70)], 1.0),
    "and gets it all the same":        ([(100, 70), (60, 60)], 1.0),
    "and then a part of its cap":      ([(100, 70), (60, 54)], 0.9),
    "raised, it wants less":           ([(60, 60), (100, 90)], 1.0),
    "it does not follow":              ([(100, 100), (60, 100)], 1.0),
    "it stands at its least":          ([(100, 100), (50, 55), (40, 55)], 1.0),
    "it fell idle as it was lowered":  ([(100, 100), (60, 20)], 1.0),
    "it wants less under the same cap": ([(100, 100), (100, 80), (99.5, 80)], 1.0),
    "it wanted less just before":      ([(100, 100), (100, 90, 1), (93, 90)], 1.0),
    "it has more after all":           ([(100, 100), (60, 40), (60, 60)], 1.0),
}  # fmt: skip


def told(made: World, cap_kw: float, before_kw: float | None = None) -> None:
    """A set point that has acted; `before_kw`: and was another one until just now."""
    state = made.state
    state.cap_w[0] = state.applied_w[0] = cap_kw * 1e3
    for row in range(made.limits.site.history):
        state.past_w[row] = 1e3 * (cap_kw if before_kw is None else before_kw)


@pytest.mark.parametrize("row", RESTS.values(), ids=RESTS.keys())
def test_what_part_of_its_cap_a_rack_draws(row: tuple[list[tuple[float, ...]], float]) -> None:
    rests, gain = row
    made = one()
    state = made.state
    state.gain[0] = 1.0
    for cap_kw, power_kw, *times in rests:
        told(made, cap_kw)
        for _ in range(int(times[0]) if times else 2):
            interpreted.identify.weigh(made.limits, state, 0, power_kw * 1e3)
            state.seen_w[0] = power_kw * 1e3
    assert state.gain[0] == pytest.approx(gain)


def test_a_power_that_lags_behind_its_falling_cap_is_no_higher_gain() -> None:
    made = one()
    state = made.state
    state.gain[0] = 0.9
    state.seen_w[0] = 60e3
    told(made, 60.0, before_kw=67.0)
    interpreted.identify.weigh(made.limits, state, 0, 60e3)
    assert state.gain[0] == 0.9
    told(made, 60.0)
    interpreted.identify.weigh(made.limits, state, 0, 60e3)
    assert state.gain[0] == 1.0


@pytest.mark.parametrize(("slope_kw", "part"), [(10.0, 0.26), (10.0, 0.30), (20.0, 0.26)])
def test_a_rack_that_takes_all_the_time_to_the_mark_is_slow_not_late(slope_kw: float, part: float) -> None:
    """It passes the mark in the last reading of its excursion, which tells nothing of its slope yet."""
    made = one(up_w_per_s=slope_kw * 1e3, down_w_per_s=slope_kw * 1e3)
    run(made, Truth(up_kw_per_s=part * slope_kw, down_kw_per_s=part * slope_kw), moves(8), 40.0)
    found = beliefs(made)
    assert (found["dead_up_s"], found["dead_down_s"]) == (pytest.approx(0.4), pytest.approx(0.4))
    assert found["down"] < 0.5 * slope_kw
    assert not made.state.slow[0]


OTHERWISE = {
    # what differs -> belief, after how many moves at most, from, to
    "later down":        (Truth(dead_down_s=1.4), "dead_down_s", 16, 1.0, 1.45),
    "later up":          (Truth(dead_up_s=1.4), "dead_up_s", 24, 1.0, 1.45),
    "much later":        (Truth(dead_down_s=4.0), "dead_down_s", 20, 1.4, 1.91),
    "slower down":       (Truth(down_kw_per_s=25.0), "down", 24, 20.0, 40.0),
    "slower up":         (Truth(up_kw_per_s=25.0), "up", 24, 20.0, 40.0),
    "higher least":      (Truth(least_kw=45.0), "least", 14, 40.0, 45.5),
    "in steps":          (Truth(step_kw=7.0), "step", 40, 4.5, 7.0),
    "deaf now and then": (Truth(deaf=0.4), "success", 120, 0.45, 0.85),
}  # fmt: skip


@pytest.mark.parametrize("row", OTHERWISE.values(), ids=OTHERWISE.keys())
def test_a_rack_that_is_not_as_configured_is_learned(row: tuple[Truth, str, int, float, float]) -> None:
    plant, key, count, low, high = row
    made = one()
    run(made, plant, moves(count), 20.0)
    assert low <= beliefs(made)[key] <= high


def test_faster_is_believed_slowly_and_within_bounds() -> None:
    made = one(dead_down_s=2.0, down_w_per_s=10e3)
    plant = Truth(dead_down_s=0.2, down_kw_per_s=30.0)
    run(made, plant, moves(6), 20.0)
    early = beliefs(made)
    assert early["dead_down_s"] > 1.2
    assert early["down"] <= 13.0
    for _ in range(3):
        made.state.excursion[0] = codes.EXCURSION_NONE
        run(made, plant, moves(60), 20.0)
    late = beliefs(made)
    assert late["dead_down_s"] >= 0.5 * 2.0 - DT
    assert late["dead_down_s"] < 1.3
    assert late["down"] <= 13.0 + 1e-9


def test_a_rack_that_answers_late_is_treated_like_one_that_was_said_to() -> None:
    made = one()
    run(made, Truth(dead_down_s=2.0), moves(30), 20.0)
    assert (made.state.slow[0], made.state.slow_count) == (1, 1)


def test_a_least_that_was_only_for_a_while_is_forgotten_at_once_when_seen_lower() -> None:
    made = one()
    plant = Truth(least_kw=45.0)
    run(made, plant, moves(18), 20.0)
    assert made.state.bottom_w[0] >= 40e3
    plant.least_kw = 20.0
    run(made, plant, [25.0, 100.0], 20.0)
    assert made.state.bottom_w[0] <= 26e3


def test_one_odd_reading_changes_little() -> None:
    made = one()
    run(made, Truth(), moves(4), 20.0)
    # A reading from another rack in the middle of the way.
    for value_w in (0.0, 1e9, 100e3):
        made.now_s += 0.5
        made.rack(0, value_w)
        interpreted.identify.take(made.inputs, made.limits, made.state, 0)
    found = beliefs(made)
    assert 50.0 <= found["down"] <= 130.0
    assert found["dead_down_s"] <= 1.0
    assert found["least"] == 20.0


def test_dead_times_stay_within_the_history_of_set_points() -> None:
    made = one(dead_down_s=10.0)
    run(made, Truth(dead_down_s=25.0), moves(10), 60.0)
    assert made.state.dead_down[0] <= made.limits.site.history - 2
