"""Swings in closed loop: what is said of the purchase, and a feedback told too short a time for its dead times."""

from __future__ import annotations

import numpy as np

from rampd.daemon import proving
from rampd.daemon.closed import ClosedLoop
from rampd.ext import codes, views


def said(loop: ClosedLoop, seconds: float) -> list[bool]:
    """Tick by tick, whether the purchase is said to swing."""
    return [bool(loop.run(loop.dt_s).zone_reasons[0] & 1 << codes.R_SWING) for _ in range(round(seconds / loop.dt_s))]


def test_a_dispatch_is_no_swing_however_far_it_goes() -> None:
    loop = ClosedLoop(proving.hall(1), 1)
    full_w = loop.config.site.max_mw * 1e6
    loop.run(15.0)
    for part in (0.4, 1.0):
        loop.command(part * full_w, ramp_s=5.0)
        assert not any(said(loop, 12.0))
        assert np.ptp(loop.poi_w[-round(12.0 / loop.dt_s) :]) > 1.5 * loop.limits.site.swing_limit_w


def test_training_of_which_more_shows_than_the_site_may_is_said() -> None:
    """A job of 16 MW, which nobody caps: 11 MW in five seconds. One of 8 MW stays below the limit of 10."""
    config = proving.hall(1)
    seen = []
    for size_mw in (8.0, 16.0):
        loop = ClosedLoop(config, 1, jobs=proving.training(config, (size_mw,), 1))
        loop.controlled = False
        seen.append(any(said(loop, 25.0)))
    assert seen == [False, True]


def test_a_feedback_that_is_too_fast_is_slowed_and_swings_less() -> None:
    config = proving.hall(1, (0.2, 0.6), racks_of=24)
    late = tuple(rack.model_copy(update={"dead_up_s": 2.2, "dead_down_s": 2.2}) for rack in config.racks)
    loop = ClosedLoop(config, 1)
    loop.fleet = ClosedLoop(config.model_copy(update={"racks": late}), 1).fleet
    site = loop.limits.site
    site.feedback_s, site.align_ticks = 0.15, 1
    full_w = config.site.max_mw * 1e6
    loop.run(15.0)
    loop.command(0.6 * full_w, ramp_s=5.0)
    loop.run(55.0)
    before_w = float(np.ptp(loop.poi_w[-round(10.0 / loop.dt_s) :]))
    assert views.state(loop.memory).detune >= 1.0
    loop.run(60.0)
    out = views.outputs(loop.out)
    assert out.detune >= 2.0
    after_w = float(np.ptp(loop.poi_w[-round(10.0 / loop.dt_s) :]))
    assert before_w > 0.015 * full_w
    assert after_w < 0.8 * before_w
    assert out.swing_w <= before_w
