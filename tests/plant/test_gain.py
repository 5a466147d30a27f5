"""Racks that draw a part of their cap or more than it, and jobs that pause: the purchase is what was told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rampd.daemon import qualify, sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.proving import hall
from rampd.ext import views

BENCH = Path(__file__).resolve().parents[2] / "examples/bench-12/site.toml"


def mean_ratio(loop: ClosedLoop, seconds: float = 2.0) -> float:
    """The purchase of the last seconds as a part of the site's most."""
    return float(np.mean(loop.poi_w[-round(seconds / loop.dt_s) :])) / (loop.config.site.max_mw * 1e6)


GAINS = {
    # racks draw so much of their caps -> what stands for certain when nobody asks for less
    1.0: 0.99, 0.97: 0.97, 0.94: 0.94, 0.92: 0.92, 0.9: 0.89, 1.1: 0.99, 1.3: 0.99,
}  # fmt: skip


@pytest.mark.parametrize("gain", GAINS)
def test_racks_that_draw_another_part_of_their_caps_do_not_walk_away(gain: float) -> None:
    loop = ClosedLoop(sitecheck.load(BENCH))
    loop.over = np.full(loop.count, gain)
    loop.run(120.0)
    assert GAINS[gain] <= mean_ratio(loop) <= 1.01


@pytest.mark.parametrize("gain", [0.75, 0.85, 0.92, 1.0, 1.15, 1.3])
def test_the_purchase_is_what_was_told_whatever_part_racks_draw(gain: float) -> None:
    loop = ClosedLoop(hall(1, (0.2, 1.0), racks_of=60))
    loop.over = np.full(loop.count, gain)
    full_w = loop.config.site.max_mw * 1e6
    loop.run(30.0)
    for part in (0.7, 0.5) if gain >= 0.85 else (0.5, 0.4):
        loop.command(part * full_w, ramp_s=5.0)
        loop.run(60.0)
        assert mean_ratio(loop) == pytest.approx(part, abs=0.005)
    # What they draw more than asked is not taken for the least that they go to.
    assert views.outputs(loop.out).least_w <= 0.5 * full_w


def drawing(gain: float, scatter: float = 0.0, import_ratio: float | None = None) -> ClosedLoop:
    """A hall whose racks draw so much of every cap, miners as well; `scatter` is the deviation from rack to rack.

    `import_ratio` is another import limit, in parts of the site's most.
    """
    config = hall(1, racks_of=120)
    if import_ratio is not None:
        site = config.site.model_copy(update={"import_limit_mw": import_ratio * config.site.max_mw})
        config = config.model_copy(update={"site": site})
    loop = ClosedLoop(config)
    fleet = loop.fleet
    loop.over = gain + scatter * np.random.default_rng(1).standard_normal(loop.count)
    fleet.quantum_w = fleet.quantum_w * loop.over
    fleet.min_w = np.where(fleet.gpu, fleet.min_w, fleet.min_w * loop.over)
    most = np.maximum(1.0, loop.over)
    fleet.max_w, fleet.demand_w = fleet.max_w * most, fleet.demand_w * most
    return loop


@pytest.mark.parametrize(
    ("gain", "scatter"), [(1.0, 0.0), (0.9, 0.0), (0.95, 0.0), (1.05, 0.0), (1.15, 0.0), (1.0, 0.04)]
)
def test_a_step_takes_no_longer_once_the_gains_are_known(gain: float, scatter: float) -> None:
    """Without them in the model the feedback makes up for what they are off, after the ramp: in 10 to 17 s."""
    # What draws more than it is told begins above the usual import limit: in an emergency.
    loop = drawing(gain, scatter, 1.5)
    loop.run(60.0)
    for part in (0.4, 0.8):
        qualify.step(loop, part)
    for part in (0.5, 0.75, 0.4):
        found = qualify.step(loop, part, 30.0)
        assert found.overshoot_ratio <= 0.02
        # Upward miners take their time, whatever their gain.
        assert part > 0.7 or found.t_s <= 6.5


def test_what_racks_draw_more_than_asked_is_no_higher_least() -> None:
    """Not even before their gain is known: what was taken for their least then is tried again in small parts."""
    loop = drawing(1.08)
    loop.run(60.0)
    for part in (0.45, 0.8) * 6:
        loop.command(part * loop.config.site.max_mw * 1e6, ramp_s=5.0)
        loop.run(60.0)
    state = views.state(loop.memory)
    for i in range(loop.count):
        assert state.bottom_w[i] <= 1.02 * loop.limits.min_w[i]


@pytest.mark.parametrize("quantum_kw", [0.0, 3.4])
def test_a_rack_whose_job_pauses_has_its_power_back_soon_after(quantum_kw: float) -> None:
    """Also where not a digit of a reading differs: there no noise helps it on its way."""
    config = sitecheck.load(BENCH)
    racks = tuple(rack.model_copy(update={"quantum_kw": quantum_kw}) for rack in config.racks)
    loop = ClosedLoop(config.model_copy(update={"racks": racks}), noise=0.0)
    wanted_w = loop.fleet.demand_w.copy()
    loop.run(20.0)
    for _ in range(3):
        loop.fleet.demand_w = 0.6 * wanted_w
        loop.run(60.0)
        assert mean_ratio(loop) < 0.7
        loop.fleet.demand_w = wanted_w
        loop.run(60.0)
        assert mean_ratio(loop) > 0.98


def test_miners_that_draw_a_little_less_than_their_level_come_back() -> None:
    """As those do that were asked while some of them could not wake yet: what they draw then is not what they want."""
    config = sitecheck.load(BENCH)
    racks = tuple(
        rack.model_copy(update={"quantum_kw": 109 / 14} if rack.kind == "asic" else {}) for rack in config.racks
    )
    loop = ClosedLoop(config.model_copy(update={"racks": racks}))
    miners = np.array([rack.kind == "asic" for rack in loop.composed.racks])
    loop.over = np.where(miners, 0.97, 1.0)
    wanted_w = loop.fleet.demand_w.copy()
    loop.run(20.0)
    loop.fleet.demand_w = np.where(miners, 0.62 * wanted_w, wanted_w)
    loop.run(60.0)
    loop.fleet.demand_w = wanted_w
    loop.run(90.0)
    assert mean_ratio(loop) > 0.98
