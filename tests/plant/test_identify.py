"""What the core learns of its racks, in closed loop: a hall that is not as its site file says gets better by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rampd.daemon import proving, qualify
from rampd.daemon.closed import ClosedLoop
from rampd.drivers.sim.fleet import pointer
from rampd.ext import views

SAID_S, TRUE_S = (0.3, 0.6), (0.8, 1.6)


def hall(true_s: tuple[float, float] = SAID_S, least: float = proving.FLOOR) -> ClosedLoop:
    """Sixty racks of which the site file says one thing; the plant has other dead times and another least."""
    said = proving.hall(1, SAID_S, racks_of=60)
    racks = [
        rack.model_copy(
            update={"dead_up_s": true.dead_up_s, "dead_down_s": true.dead_down_s, "min_kw": least * rack.max_kw}
        )
        for rack, true in zip(said.racks, proving.hall(1, true_s, racks_of=60).racks, strict=True)
    ]
    loop = ClosedLoop(said, 1)
    loop.fleet = ClosedLoop(said.model_copy(update={"racks": tuple(racks)}), 1).fleet
    loop.run(15.0)
    return loop


def believed(loop: ClosedLoop, name: str) -> Any:
    return pointer(getattr(views.state(loop.memory), name), loop.count).copy()


def test_later_racks_are_learned_and_the_next_steps_are_good() -> None:
    loop = hall(TRUE_S)
    steps = []
    for _ in range(5):
        steps.append(qualify.step(loop, 0.45, 40.0))
        qualify.step(loop, 1.0, 50.0)
    # Half of the first step is run on what the site file says.
    assert steps[0].overshoot_ratio > 0.04
    assert steps[0].t_s > 5.0
    assert steps[-1].overshoot_ratio <= 0.02
    assert steps[-1].t_s <= 5.0
    true_s, found_s = loop.fleet.dead_down * loop.dt_s, believed(loop, "dead_down_s")
    assert np.all(found_s <= true_s + 0.15), "no rack is held to be later than it is"
    assert found_s.mean() > 0.6 * true_s.mean()


def test_a_higher_least_is_learned_and_left_to_others() -> None:
    loop = hall(least=0.45)
    miners = ~loop.fleet.gpu
    steps = []
    for _ in range(4):
        steps.append(qualify.step(loop, 0.55, 40.0))
        qualify.step(loop, 1.0, 40.0)
    least = believed(loop, "bottom_w")[miners] / loop.fleet.max_w[miners]
    # In steps of a miner; half way in each excursion.
    assert np.all((least > 0.36) & (least <= 0.45))
    # 8.7 s where nothing is learned.
    assert steps[-1].t_s <= 7.5
    assert steps[-1].error_ratio <= 0.005


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hall_as_its_site_file_says_is_not_changed_in_an_hour(seed: int) -> None:
    config = proving.hall(seed, (0.2, 2.0), racks_of=40)
    loop = ClosedLoop(config, seed)
    # The simulated racks of `Fleet` scatter by a tenth: here they are what was said.
    fleet, limits = loop.fleet, loop.limits
    for i in range(loop.count):
        fleet.dead_down[i], fleet.dead_up[i] = limits.dead_down[i] - 1, limits.dead_up[i] - 1
        fleet.down_w[i], fleet.up_w[i] = limits.down_w_per_s[i] * loop.dt_s, limits.up_w_per_s[i] * loop.dt_s
    np.maximum(fleet.dead_down, 1, out=fleet.dead_down)
    np.maximum(fleet.dead_up, 1, out=fleet.dead_up)
    random = np.random.default_rng(seed)
    for _ in range(60):
        loop.command(
            float(random.uniform(0.35, 1.0)) * config.site.max_mw * 1e6, ramp_s=float(random.choice([0.0, 5.0, 20.0]))
        )
        loop.run(60.0)
    period_s = loop.dt_s
    for name, given in (("dead_down", limits.dead_down), ("dead_up", limits.dead_up)):
        # A rise that is given in parts may look a little later than it is.
        most = [given[i] * (1.2 if name == "dead_up" else 1.0) for i in range(loop.count)]
        found = believed(loop, name)
        assert (found >= [given[i] for i in range(loop.count)]).all(), name
        assert (found <= most).all(), name
        assert np.count_nonzero(found != [given[i] for i in range(loop.count)]) <= 0.1 * loop.count, name
        off_s = believed(loop, f"{name}_s") - period_s * believed(loop, name)
        assert np.abs(off_s).max() <= 0.5 * period_s
    for name in ("down_w_per_s", "up_w_per_s"):
        given = getattr(limits, name)
        assert believed(loop, name) == pytest.approx([given[i] for i in range(loop.count)], rel=0.02), name
    assert believed(loop, "bottom_w").tolist() == [limits.min_w[i] for i in range(loop.count)]
    assert believed(loop, "success").min() >= 0.99
