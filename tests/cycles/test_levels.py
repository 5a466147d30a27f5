"""Racks that move in whole steps of 10 kW: shares before, shares after."""

from __future__ import annotations

import pytest

from tests import interpreted
from tests.core import Node, Rack, world

STEP = Rack(min_w=0.0, quantum_w=10.0)
FREE = Rack(min_w=0.0)
WIDE = [Node()]
ROWS = {
    # racks, nodes, share, applied -> share, grain (the step that no continuous rack makes up for)
    "whole already":             ([STEP, STEP], WIDE, [30.0, 50.0], [0.0, 0.0], [30.0, 50.0], 10.0),
    "rounded down":              ([STEP], WIDE, [34.0], [0.0], [30.0], 10.0),
    "rounded up from half":      ([STEP], WIDE, [35.0], [0.0], [40.0], 10.0),
    "the sum stays right":       ([STEP] * 4, WIDE, [15.0] * 4, [0.0] * 4, [20.0, 20.0, 10.0, 10.0], 10.0),
    "who has the step keeps it": ([STEP] * 4, WIDE, [15.0] * 4, [0.0, 0.0, 20.0, 20.0], [10.0, 10.0, 20.0, 20.0], 10.0),
    "between two steps":         ([STEP] * 3, WIDE, [13.0] * 3, [10.0, 20.0, 10.0], [10.0, 20.0, 10.0], 10.0),
    "nearly a step is a step":   ([STEP], WIDE, [30.0 - 1e-6], [0.0], [30.0], 10.0),
    "never above the most":      ([STEP, STEP], WIDE, [100.0, 16.0], [0.0, 0.0], [100.0, 20.0], 10.0),
    "no room at the node":       ([STEP, STEP], [Node(35.0)], [15.0, 19.0], [0.0, 0.0], [20.0, 10.0], 10.0),
    "continuous racks stay":     ([FREE, STEP], WIDE, [33.0, 34.0], [0.0, 0.0], [33.0, 30.0], 0.0),
    "a full one makes up none":  ([FREE, STEP], WIDE, [100.0, 34.0], [0.0, 0.0], [100.0, 30.0], 10.0),
    "only continuous racks":     ([FREE, FREE], WIDE, [33.3, 44.4], [0.0, 0.0], [33.3, 44.4], 0.0),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(
    row: tuple[list[Rack], list[Node], list[float], list[float], list[float], float],
) -> None:
    racks, nodes, share, applied, expected, grain = row
    made = world(racks, nodes)
    state = made.state
    for i in range(len(racks)):
        state.share_w[i], state.applied_w[i] = share[i], applied[i]
        state.lo_w[i], state.hi_w[i], state.reach_w[i] = 0.0, 100.0, 100.0
    interpreted.levels.quantise(made.limits, state)
    assert state.share_w[: len(racks)] == pytest.approx(expected)
    assert state.grain_w == grain


def test_racks_that_may_not_move_stay_and_out_of_reach_is_out_of_reach() -> None:
    made = world([STEP, STEP, STEP])
    state = made.state
    for i, (lo_w, hi_w, reach_w) in enumerate([(34.0, 34.0, 34.0), (0.0, 100.0, 35.0), (0.0, 100.0, 100.0)]):
        state.lo_w[i], state.hi_w[i], state.reach_w[i], state.share_w[i] = lo_w, hi_w, reach_w, 34.0 + (i > 0)
    interpreted.levels.quantise(made.limits, state)
    assert state.share_w[:3] == [34.0, 30.0, 40.0]


def test_below_the_first_step_above_the_least_the_share_stays() -> None:
    made = world([STEP])
    state = made.state
    state.lo_w[0], state.hi_w[0], state.reach_w[0], state.share_w[0] = 32.0, 100.0, 100.0, 34.0
    interpreted.levels.quantise(made.limits, state)
    assert state.share_w[0] == 34.0
