"""A rack that others hold: its set point follows what it shows, so that it comes back from there. Powers in kW."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Node, Rack, World, world

FREE = Rack(min_w=20e3, max_w=100e3)
LIST = Rack(min_w=0.0, max_w=100e3, levels_w=(0.0, 40e3, 60e3, 100e3))
STEP = Rack(min_w=0.0, max_w=100e3, quantum_w=10e3)
BLIND = Rack(min_w=20e3, max_w=100e3, readback=False)

ROWS = {
    # rack, set point, shown, age s, action, meter good, room to rise, to fall -> set point
    "lowered by hand":          (FREE, 80, 50, 0, codes.ACT_NONE, 1, 100, 100, 50),
    "raised by hand":           (FREE, 50, 80, 0, codes.ACT_NONE, 1, 100, 100, 80),
    "no raise while it is hot": (FREE, 50, 80, 0, codes.ACT_NO_RAISE, 1, 100, 100, 50),
    "but down":                 (FREE, 80, 50, 0, codes.ACT_DERATE, 1, 100, 100, 50),
    "no raise without a meter": (FREE, 50, 80, 0, codes.ACT_NONE, 0, 100, 100, 50),
    "as fast as the rest may":  (FREE, 50, 80, 0, codes.ACT_NONE, 1, 10, 100, 60),
    "and down as well":         (FREE, 80, 50, 0, codes.ACT_NONE, 1, 100, 10, 70),
    "old readings say nothing": (FREE, 80, 50, 6, codes.ACT_NONE, 1, 100, 100, 80),
    "below its least":          (FREE, 80, 15, 0, codes.ACT_NONE, 1, 100, 100, 20),
    "off":                      (FREE, 80, 3, 0, codes.ACT_NONE, 1, 100, 100, 0),
    "above its most":           (FREE, 80, 130, 0, codes.ACT_NONE, 1, 100, 100, 100),
    "nothing to read":          (BLIND, 80, 50, 0, codes.ACT_NONE, 1, 100, 100, 80),
    "a level":                  (LIST, 40, 60, 0, codes.ACT_NONE, 1, 100, 100, 60),
    "nearly a level":           (LIST, 100, 59.9, 0, codes.ACT_NONE, 1, 100, 100, 40),
    "a level too far":          (LIST, 40, 100, 0, codes.ACT_NONE, 1, 50, 100, 40),
    "a step too far down":      (STEP, 90, 10, 0, codes.ACT_NONE, 1, 100, 50, 90),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(row: tuple[Rack, float, float, float, int, int, float, float, float]) -> None:
    rack, applied_kw, shown_kw, age_s, action, meter_good, rise_kw, fall_kw, expected_kw = row
    made = world([rack])
    state = made.state
    state.known[0], state.applied_w[0], state.action[0] = 1, applied_kw * 1e3, action
    state.now_ns, state.meter_good = made.now_ns, meter_good
    state.rise_w, state.fall_w, state.demand_w[0] = rise_kw * 1e3, fall_kw * 1e3, 100e3
    if rack.readback:
        made.rack(0, shown_kw * 1e3, shown_kw * 1e3, age_s=age_s)
    found_w = interpreted.move.in_hand(made.inputs, made.limits, state, 0)
    assert found_w == expected_kw * 1e3
    change_kw = expected_kw - applied_kw
    assert state.rise_w == pytest.approx((rise_kw - max(0.0, change_kw)) * 1e3)
    assert state.fall_w == pytest.approx((fall_kw - max(0.0, -change_kw)) * 1e3)
    assert state.demand_w[0] <= 100e3


LOCKED_ROWS = {
    # set point, shown, drawn, age s of the drawn -> set point
    "off, and shows its limit":    (80, 80, 0, 0, 20),
    "on, and shows its limit":     (80, 80, 50, 0, 50),
    "it draws what it shows":      (80, 50, 90, 0, 50),
    "nobody knows what it draws":  (80, 80, 50, 6, 80),
    "its limit is off":            (80, 3, 50, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("row", LOCKED_ROWS.values(), ids=LOCKED_ROWS.keys())
def test_one_that_is_locked_out_comes_back_from_what_it_draws(row: tuple[float, float, float, float, float]) -> None:
    applied_kw, shown_kw, drawn_kw, age_s, expected_kw = row
    made = world([FREE])
    state = made.state
    made.inputs.rack_state[0] = codes.LOCKED
    state.known[0], state.applied_w[0], state.meter_good, state.now_ns = 1, applied_kw * 1e3, 1, made.now_ns
    state.rise_w, state.fall_w, state.demand_w[0] = 100e3, 100e3, 100e3
    made.rack(0, drawn_kw * 1e3, shown_kw * 1e3)
    made.put(made.limits.power_slot[0], drawn_kw * 1e3, age_s=age_s)
    assert interpreted.move.in_hand(made.inputs, made.limits, state, 0) == expected_kw * 1e3


def test_a_rack_that_is_locked_out_follows_what_it_draws_tick_by_tick() -> None:
    """The others take its share; once it is free it rises from there."""
    made = world([FREE, FREE], max_w=200e3, default_w=120e3, import_w=220e3, generation_w=0.0)
    for i in range(2):
        made.rack(i, 60e3, 60e3)
    made.meter(120e3)
    made.tick()
    made.inputs.rack_state[0] = codes.LOCKED

    def pass_s(seconds: float, drawn_w: float | None) -> None:
        for _ in range(round(seconds / 0.05)):
            own_w = made.state.applied_w[0] if drawn_w is None else drawn_w
            made.rack(0, own_w, made.state.applied_w[0] if drawn_w is None else 60e3)
            made.rack(1, made.state.applied_w[1], made.state.applied_w[1])
            made.meter(own_w + made.state.applied_w[1])
            made.cool(0)
            made.tick()

    pass_s(20.0, 0.0)
    assert made.state.applied_w[:2] == [20e3, pytest.approx(100e3, rel=0.01)]
    assert codes.Why(made.tick().why[0]) is codes.Why.WHY_LOCKED
    made.inputs.rack_state[0] = codes.AVAILABLE
    pass_s(0.05, 0.0)
    assert made.state.applied_w[0] <= 25e3
    pass_s(30.0, None)
    assert sum(made.state.applied_w[:2]) == pytest.approx(120e3, rel=0.01)
    assert made.vetoes() == {}


def test_an_unknown_rack_is_not_guessed() -> None:
    made = world([FREE])
    made.state.now_ns = made.now_ns
    made.rack(0, 50e3, 50e3)
    assert interpreted.move.in_hand(made.inputs, made.limits, made.state, 0) == 0.0


def two(shown_kw: float) -> World:
    """Two racks at 80 kW under a node of 170 kW, the first in hand at so much; after two seconds."""
    made = world([FREE, FREE], [Node(170e3)], max_w=170e3, default_w=170e3, import_w=200e3)
    made.meter(160e3)
    for i in range(2):
        made.rack(i, 80e3, 80e3)
    made.tick()
    made.inputs.rack_state[0] = codes.MANUAL
    for _ in range(40):
        made.rack(0, shown_kw * 1e3, shown_kw * 1e3)
        made.rack(1, made.state.applied_w[1])
        made.meter(shown_kw * 1e3 + made.state.applied_w[1])
        made.cool(0)
        made.tick()
    return made


@pytest.mark.parametrize("shown_kw", [30.0, 80.0])
def test_the_others_leave_it_its_rating_as_the_guard_counts_it(shown_kw: float) -> None:
    made = two(shown_kw)
    assert made.state.applied_w[0] == shown_kw * 1e3
    assert made.state.applied_w[1] <= 70e3
    assert "SAFE" not in made.vetoes(), "the guard did not have to bring the node to its least"


def test_one_that_is_switched_off_by_hand_is_not_said_to_be_shed() -> None:
    made = world([FREE, FREE], phases=1, max_w=200e3, default_w=200e3, import_w=300e3)
    made.inputs.rack_state[1] = codes.MANUAL
    for _ in range(100):
        made.cool(0)
        made.rack(0, 100e3, 100e3)
        made.rack(1, 0.0, 0.0)
        made.meter(100e3)
        made.tick()
    assert made.state.hi_w[1] == 0.0
    assert made.state.why[1] == codes.WHY_MANUAL
