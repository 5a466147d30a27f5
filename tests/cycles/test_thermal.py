"""What a loop's water carries, and how its racks share that."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Cooling, Rack, World, world


def hall(**cooling: float) -> World:
    made = world([Rack(), Rack(), Rack(loop=1)], loops=[Cooling(**cooling), Cooling()])
    made.state.tick = 1
    for i in range(3):
        made.state.lo_w[i], made.state.hi_w[i] = 20e3, 100e3
    return made


def share(made: World) -> list[float]:
    """What the racks get in kW where all is wanted."""
    limits, state = made.limits, made.state
    interpreted.thermal.caps(made.inputs, limits, state, made.now_ns)
    interpreted.thermal.allow(made.inputs, limits, state)
    interpreted.allocate.allocate(limits, state, state.lo_w, state.hi_w, 1e6, state.share_w)
    for i in range(3):
        state.floor_w[i], state.reach_w[i] = state.lo_w[i], state.hi_w[i]
    state.rise_w = 1e6
    interpreted.levels.quantise(limits, state, 0.0)
    return [round(w / 1e3, 3) for w in state.share_w[:3]]


CAPACITY = {
    # supply degC, flow l/min -> kW that 60 degC of return carry
    "plenty":        (32.0, 2000.0, 3869.197),
    "half the flow": (32.0, 1000.0, 1934.598),
    "warmer":        (46.0, 1000.0, 967.299),
    "no flow":       (32.0, 0.0, 0.0),
    "above return":  (61.0, 1000.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("supply_c", "flow_lpm", "kw"), CAPACITY.values(), ids=CAPACITY.keys())
def test_capacity(supply_c: float, flow_lpm: float, kw: float) -> None:
    made = hall()
    made.cool(0, supply_c=supply_c, flow_lpm=flow_lpm)
    assert interpreted.thermal.capacity(made.inputs, made.limits, 0) / 1e3 == pytest.approx(kw, abs=2e-3)


def test_racks_share_what_the_flow_carries() -> None:
    made = hall()
    # 60 l/min over 28 K carry 116.1 kW: 76.1 above the least of both, 38.0 each.
    made.cool(0, flow_lpm=60.0)
    assert share(made) == [58.038, 58.038, 100.0]


def test_the_most_protected_tier_keeps_most_of_what_the_flow_carries() -> None:
    made = world([Rack(tier=1), Rack(), Rack(tier=1, loop=1)], loops=[Cooling(), Cooling()])
    made.state.tick = 1
    for i in range(3):
        made.state.lo_w[i], made.state.hi_w[i] = 20e3, 100e3
    made.cool(0, flow_lpm=60.0)
    assert share(made) == [20.0, 96.076, 100.0]


def test_below_the_least_there_is_nothing_to_share() -> None:
    made = hall()
    made.cool(0, flow_lpm=1.0)
    assert share(made) == [20.0, 20.0, 100.0]


def test_stale_readings_keep_the_last_cap() -> None:
    made = hall()
    made.cool(0, flow_lpm=60.0)
    share(made)
    made.state.hi_w[0] = made.state.hi_w[1] = 100e3
    made.state.tick = 2
    made.cool(0, flow_lpm=2000.0, age_s=11.0)
    assert share(made) == [58.038, 58.038, 100.0]


def test_before_the_first_reading_there_is_no_cap() -> None:
    made = hall()
    made.cool(0, flow_lpm=60.0, quality=codes.NEVER)
    assert share(made) == [100.0, 100.0, 100.0]


DERATE = {
    # supply degC between derate 40 and trip 45 -> share in kW
    "at its begin": (40.0, 100.0),
    "a fifth":      (41.0, 84.0),
    "half":         (42.5, 60.0),
    "at its end":   (45.0, 20.0),
    "beyond":       (50.0, 20.0),
}  # fmt: skip


@pytest.mark.parametrize(("supply_c", "kw"), DERATE.values(), ids=DERATE.keys())
def test_derating_is_linear_to_the_least(supply_c: float, kw: float) -> None:
    made = hall()
    made.cool(0, supply_c=supply_c)
    made.state.loop_action[0] = codes.ACT_DERATE
    assert share(made) == [kw, kw, 100.0]


# Three stepped racks of 100 kW on one loop, 30 K: what the flow carries goes out in whole levels.
STEPPED = {
    # flow l/min, step kW, set points that stand -> shares
    "one of three":            (60.0, 100.0, (0, 0, 0), [100.0, 0.0, 0.0]),
    "who has it keeps it":     (60.0, 100.0, (0, 100, 0), [0.0, 100.0, 0.0]),
    "two of three":            (120.0, 100.0, (0, 0, 100), [100.0, 0.0, 100.0]),
    "not even one":            (40.0, 100.0, (0, 0, 0), [0.0, 0.0, 0.0]),
    "steps of a quarter":      (60.0, 25.0, (25, 25, 25), [50.0, 25.0, 25.0]),
    "all":                     (160.0, 100.0, (0, 0, 0), [100.0, 100.0, 100.0]),
}  # fmt: skip


@pytest.mark.parametrize(("flow_lpm", "step_kw", "stand_kw", "shares_kw"), STEPPED.values(), ids=STEPPED.keys())
def test_stepped_racks_get_whole_levels_of_what_the_flow_carries(
    flow_lpm: float, step_kw: float, stand_kw: tuple[int, ...], shares_kw: list[float]
) -> None:
    made = world([Rack(min_w=0.0, quantum_w=step_kw * 1e3)] * 3, loops=[Cooling()])
    made.state.tick = 1
    for i in range(3):
        made.state.lo_w[i], made.state.hi_w[i], made.state.applied_w[i] = 0.0, 100e3, stand_kw[i] * 1e3
    made.cool(0, flow_lpm=flow_lpm)
    assert share(made) == shares_kw
