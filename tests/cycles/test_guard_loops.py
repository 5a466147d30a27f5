"""The guard and the cooling loops: which readings bar a raise, and which let a loop's own racks fall at once.

Racks a and b are on loop 0, c on loop 1, which has no leak bits. The least flow is 100 l/min. All powers in kW.
"""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests.core import World
from tests.guarding import Given, Row, hall, play, standing

NAN = float("nan")
LOW = (40.0, 40.0, 40.0)
HIGH = (100.0, 100.0, 100.0)
# Asked of a hall that stands high: what loop 0 gives up is more than the budget of a second.
DOWN = (20.0, 20.0, 100.0)
WAITS = (100.0, 20.0, 100.0)


def loop(k: int, **shown: float) -> tuple[Given, ...]:
    return (lambda w: w.cool(k, **shown),)


def both(**shown: float) -> tuple[Given, ...]:
    return loop(0, **shown) + loop(1, **shown)


def flow(value: float, **reading: float) -> tuple[Given, ...]:
    """The flow of loop 0 alone, as the decoder leaves it."""
    return (lambda w: w.put(w.limits.flow_slot[0], value, **reading),)


def leak_bits(value: float, **reading: float) -> tuple[Given, ...]:
    """The leak bits of loop 0 alone."""
    return (lambda w: w.put(w.limits.leak_slot[0], value, **reading),)


def dew(celsius: float, **reading: float) -> tuple[Given, ...]:
    """The dew point at loop 0, whose supply is at 32 degC and stays 2 K above it."""
    return (lambda w: w.put(w.limits.dew_slot[0], celsius, **reading),)


def margin(kelvin: float) -> Given:
    return lambda w: w.limits.margin_k.__setitem__(0, kelvin)


def slot_0(name: str) -> Given:
    """A reading of loop 0 stands where the meter does, which shows 300 kW."""
    return lambda w: getattr(w.limits, name).__setitem__(0, 0)


def least_flow(lpm: float) -> Given:
    return lambda w: w.limits.min_flow_lpm.__setitem__(0, lpm)


ROWS = {
    # 4. No raise on a loop that is warm, damp, leaks or lacks flow, or whose supply is not known.
    "supply just cool":               Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, loop(0, supply_c=37.99)),
    "supply warm":                    Row(LOW, (50.0, 50.0, 50.0), (40.0, 40.0, 50.0), {"COOLING": 2},
                                          loop(0, supply_c=38.0)),
    "CDU just fresh":                 Row(LOW, (40.0, 40.0, 50.0), (40.0, 40.0, 50.0), {}, loop(1, age_s=10.0)),
    "CDU stale":                      Row(LOW, (40.0, 40.0, 50.0), LOW, {"COOLING": 1}, loop(1, age_s=10.01)),
    "flow low":                       Row(LOW, (50.0, 50.0, 50.0), (40.0, 40.0, 50.0), {"COOLING": 2},
                                          loop(0, flow_lpm=99.9)),
    "leak":                           Row(LOW, (50.0, 50.0, 50.0), (40.0, 40.0, 50.0), {"COOLING": 2},
                                          loop(0, leak=1.0)),
    "just above the margin":          Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, dew(30.0)),
    "near the dew point":             Row(LOW, (50.0, 50.0, 50.0), (40.0, 40.0, 50.0), {"COOLING": 2}, dew(30.01)),
    "without a margin":               Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (*dew(32.0), margin(0.0))),
    "a dew point just fresh":         Row(LOW, (50.0, 40.0, 40.0), LOW, {"COOLING": 1}, dew(31.0, age_s=10.0)),
    "an old one shows nothing":       Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, dew(31.0, age_s=10.01)),
    "a bad one shows nothing":        Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          dew(31.0, quality=codes.RANGE)),
    "dew point in the first slot":    Row(LOW, (50.0, 40.0, 40.0), LOW, {"COOLING": 1}, (slot_0("dew_slot"),)),
    "no dew point":                   Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (*dew(31.0), lambda w: w.limits.dew_slot.__setitem__(0, -1))),
    "damp racks may fall":            Row(LOW, (30.0, 40.0, 40.0), (30.0, 40.0, 40.0), {}, dew(31.0)),
    # 3. The fall of a loop's own racks is free of the budget: 100 kW.
    "hot loops fall freely":          Row(HIGH, (20.0, 20.0, 20.0), (20.0, 20.0, 20.0), {}, both(supply_c=40.0)),
    "warm is not hot":                Row(HIGH, DOWN, WAITS, {"FALL": 1}, both(supply_c=39.9)),
    "cold racks wait for hot ones":   Row(HIGH, (20.0, 20.0, 20.0), DOWN, {"FALL": 1}, loop(0, supply_c=40.0)),
    "a bad temperature is no reason": Row(HIGH, DOWN, WAITS, {"FALL": 1},
                                          loop(0, supply_c=50.0, quality=codes.SENTINEL)),
    "an old temperature is a reason": Row(HIGH, DOWN, DOWN, {}, loop(0, supply_c=40.0, age_s=60.0)),
    "low flow is a reason":           Row(HIGH, DOWN, DOWN, {}, flow(99.9)),
    "the least flow is none":         Row(HIGH, DOWN, WAITS, {"FALL": 1}, flow(100.0)),
    "no flow, every rack off":        Row(HIGH, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), {}, both(flow_lpm=0.0)),
    "only the loop's own racks":      Row(HIGH, (20.0, 20.0, 20.0), DOWN, {"FALL": 1}, flow(0.0)),
    "and of the other loop's, its":   Row(HIGH, (20.0, 20.0, 20.0), (100.0, 100.0, 20.0), {"FALL": 2},
                                          loop(1, flow_lpm=0.0)),
    "a flow just fresh":              Row(HIGH, DOWN, DOWN, {}, flow(0.0, age_s=10.0)),
    "an old flow is no reason":       Row(HIGH, DOWN, WAITS, {"FALL": 1}, flow(0.0, age_s=10.01)),
    "a bad flow is no reason":        Row(HIGH, DOWN, WAITS, {"FALL": 1}, flow(0.0, quality=codes.REFUSED)),
    "a flow that is no number":       Row(HIGH, DOWN, WAITS, {"FALL": 1}, flow(NAN)),
    "no least flow configured":       Row(HIGH, DOWN, WAITS, {"FALL": 1}, (*flow(0.0), least_flow(0.0))),
    "flow in the first slot":         Row(HIGH, DOWN, DOWN, {}, (slot_0("flow_slot"), least_flow(300.1e3))),
    "damp is none":                   Row(HIGH, DOWN, WAITS, {"FALL": 1}, dew(31.0)),
    "a leak is a reason":             Row(HIGH, (0.0, 0.0, 100.0), (0.0, 0.0, 100.0), {}, leak_bits(1.0)),
    "any bit of it":                  Row(HIGH, (0.0, 0.0, 100.0), (0.0, 0.0, 100.0), {}, leak_bits(64.0)),
    "an old leak is a reason":        Row(HIGH, DOWN, DOWN, {}, leak_bits(1.0, age_s=60.0)),
    "a leak in the first slot":       Row(HIGH, (0.0, 0.0, 100.0), (0.0, 0.0, 100.0), {}, (slot_0("leak_slot"),)),
    "a bad leak bit is none":         Row(HIGH, DOWN, WAITS, {"FALL": 1}, leak_bits(1.0, quality=codes.SENTINEL)),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(row: Row) -> None:
    play(row)


def given(made: World, *so: Given) -> World:
    for one in so:
        one(made)
    return made


def test_what_falls_for_its_cooling_leaves_the_others_no_budget() -> None:
    """The sum falls no faster than it must: what a dispatch asks of other loops comes once the second is over."""
    made = given(standing(hall(), *HIGH), *flow(0.0))
    assert made.guard(20e3, 20e3, 100e3) == [20e3, 20e3, 100e3]
    assert made.guard(20e3, 20e3, 99e3) == [20e3, 20e3, 100e3]
    assert made.vetoes() == {"FALL": 1}
    made.now_s += 0.5
    made.refresh()
    assert made.guard(20e3, 20e3, 50e3) == [20e3, 20e3, 50e3]
    assert made.vetoes() == {"FALL": 1}


def test_once_the_flow_is_back_the_budget_binds_again() -> None:
    made = given(standing(hall(), *HIGH), *flow(0.0))
    assert made.guard(20e3, 100e3, 100e3) == [20e3, 100e3, 100e3]
    given(made, *flow(2000.0))
    assert made.guard(20e3, 20e3, 100e3) == [20e3, 100e3, 100e3]
    assert made.vetoes() == {"FALL": 1}
