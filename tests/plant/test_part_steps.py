"""Steps that are parts of the range, where slow racks pass through while fast ones make way: halls of every size.

What a hall of few racks can be held to is half a step of its miners.
"""

from __future__ import annotations

import numpy as np
import pytest

from rampd.daemon import halls, qualify, scores
from rampd.daemon.closed import ClosedLoop
from rampd.ext import codes

QUANTUM_W = halls.ASIC_KW / 32 * 1e3 * halls.OVERHEAD


@pytest.mark.parametrize(
    ("racks", "beyond", "late_s"), [(24, 0.05, 2.5), (40, 0.02, 1.0), (120, 0.02, 0.0)],
    ids=["24 racks", "40 racks", "120 racks"],
)  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_parts_of_the_range(racks: int, beyond: float, late_s: float, seed: int) -> None:
    loop = ClosedLoop(qualify.hall(seed, racks_of=racks), seed)
    loop.run(15.0)
    for part in (0.7, 0.85, 0.6, 0.9, 0.5, 0.8):
        target_w, first = part * loop.config.site.max_mw * 1e6, loop.tick
        step_w = target_w - float(np.mean(loop.poi_w[-20:]))
        found = qualify.step(loop, part, 40.0)
        grain = QUANTUM_W / abs(step_w)
        there_s = scores.settled(np.array(loop.poi_w[first:]), target_w, step_w, loop.dt_s, max(0.02, 0.6 * grain))
        assert found.overshoot_ratio <= beyond + 0.5 * grain, f"to {part}"
        assert there_s <= max(5.0, found.optimum_s + 0.5) + late_s, f"to {part}"
    assert loop.vetoes() == 0


@pytest.mark.parametrize("hz", [1, 2, 5, 50])
def test_at_any_rate_of_ticks(hz: int) -> None:
    config = qualify.hall(2, racks_of=60)
    loop = ClosedLoop(config.model_copy(update={"control": config.control.model_copy(update={"hz": hz})}), 2)
    loop.run(15.0)
    for part in (0.7, 0.9, 0.4):
        found = qualify.step(loop, part, 40.0)
        # Whoever looks once a second sees it a few seconds later.
        assert found.t_s <= max(5.0, found.optimum_s + 0.5) + 3.0 + 5.0 / hz, f"to {part}"
        assert found.overshoot_ratio <= 0.02, f"to {part}"
        assert found.error_ratio <= 0.02, f"to {part}"
    assert loop.vetoes() == 0


def test_a_stop_asks_for_no_way_back() -> None:
    loop = ClosedLoop(qualify.hall(1, racks_of=24), 1)
    loop.run(15.0)
    loop.command(0.7 * loop.config.site.max_mw * 1e6, ramp_s=5.0)
    # Fast racks are on their way back, slow ones arrive.
    loop.run(3.0)
    loop.command(0.0, verb=codes.ESTOP)
    loop.run(0.2)
    assert loop.setpoint_w == pytest.approx(loop.fleet.min_w)
