"""From shares to set points: what is dealt out anew falls here as it rises elsewhere. A site of 1 MW, 2 kW of slack."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, world

FREE, FINE, FAR = 0, 1, 2
KINDS = [
    Rack(min_w=20e3, max_w=100e3),
    Rack(min_w=20e3, max_w=100e3, quantum_w=5e3),
    Rack(min_w=36e3, max_w=109e3, levels_w=(36e3, 72e3, 109e3)),
]

ROWS = {
    # rack, set point, share, sum of set points and of the model less the total -> set point
    "a rise within the slack":            (FREE, 50e3, 51e3, 0.0, 0.0, 51e3),
    "a rise in part":                     (FREE, 50e3, 60e3, 0.0, 0.0, 52e3),
    "a rise that the sum needs":          (FREE, 50e3, 60e3, -10e3, -10e3, 60e3),
    "no rise beyond the slack":           (FREE, 50e3, 60e3, 2e3, 2e3, 50e3),
    "no fall while nobody rose":          (FREE, 50e3, 40e3, 0.0, 0.0, 50e3),
    "no fall for what has not risen yet": (FREE, 50e3, 40e3, 2e3, 0.0, 50e3),
    "a fall for what has risen":          (FREE, 50e3, 40e3, 2e3, 2e3, 48e3),
    "a fall that the sum needs":          (FREE, 50e3, 40e3, 12e3, 12e3, 40e3),
    "what was told too much falls":       (FREE, 50e3, 40e3, 12e3, 0.0, 40e3),
    "a step up, its nearer end":          (FINE, 50e3, 55e3, 0.0, 0.0, 55e3),
    "of many steps those that fit":       (FINE, 50e3, 80e3, 0.0, 0.0, 55e3),
    "no step down":                       (FINE, 50e3, 45e3, 0.0, 0.0, 50e3),
    "a step down, its nearer end":        (FINE, 50e3, 45e3, 2e3, 2e3, 45e3),
    "nothing between off and the least":  (FINE, 0.0, 60e3, -2e3, -2e3, 0.0),
    "on at once":                         (FINE, 0.0, 20e3, -8e3, -8e3, 20e3),
    "a far level stays":                  (FAR, 36e3, 109e3, 0.0, 0.0, 36e3),
    "the level that fits":                (FAR, 36e3, 109e3, -15e3, -15e3, 72e3),
    "the next level down":                (FAR, 109e3, 36e3, 16e3, 16e3, 72e3),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_in_step(row: tuple[int, float, float, float, float, float]) -> None:
    i, applied_w, share_w, stand_w, model_w, expected_w = row
    made = world(KINDS)
    state, made.limits.site.grain_w = made.state, 0.0
    made.limits.site.max_w = 1e6
    state.applied_w[i], state.demand_w[i], state.hi_w[i] = applied_w, 109e3, 109e3
    state.bound_why[i] = codes.WHY_MAX
    state.total_w, state.stand_w, state.model_w = 500e3, 500e3 + stand_w, 500e3 + model_w
    assert interpreted.move.in_step(made.limits, state, i, share_w) == pytest.approx(expected_w)


@pytest.mark.parametrize("free", ["full node", "cap", "slow"])
def test_what_waits_for_nobody(free: str) -> None:
    made = world(KINDS)
    state = made.state
    state.applied_w[0], state.demand_w[0] = 50e3, 100e3
    state.hi_w[0] = 30e3 if free == "cap" else 100e3
    state.bound_why[0] = codes.WHY_NODE if free == "full node" else codes.WHY_MAX
    state.slow[0] = free == "slow"
    state.total_w = state.stand_w = state.model_w = 500e3
    assert interpreted.move.in_step(made.limits, state, 0, 30e3) == 30e3
