"""The fleet of the proofs: which set point acts, against a search of everything that was asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rampd.drivers.sim.fleet import Fleet
from tests.plant.test_plant import GPU, plant_of

DT = 0.05
TICKS = 400


@pytest.mark.parametrize("seed", range(3))
def test_what_acts_is_the_farthest_in_the_quicker_direction_between_the_dead_times(seed: int) -> None:
    random = np.random.default_rng(seed)
    dead_s = random.integers(1, 40, (8, 2)) * DT
    racks = tuple(
        replace(GPU, id=f"r{k}", dead_up_s=float(up), dead_down_s=float(down)) for k, (up, down) in enumerate(dead_s)
    )
    fleet = Fleet(plant_of(*racks), seed, dt_s=DT, scatter=False)
    asked_w = np.tile(fleet.max_w, (TICKS, 1))
    for tick in range(1, TICKS):
        moved = random.random(len(racks)) < 0.1
        asked_w[tick] = np.where(moved, random.uniform(0.4, 1.0, len(racks)) * fleet.max_w, asked_w[tick - 1])
        fleet.step(asked_w[tick])
        for k in range(len(racks)):
            up, down = int(fleet.dead_up[k]), int(fleet.dead_down[k])
            window_w = asked_w[max(0, tick - max(up, down)) : max(0, tick - min(up, down)) + 1, k]
            assert fleet.acting_w[k] == (window_w.min() if down <= up else window_w.max()), (tick, k)
