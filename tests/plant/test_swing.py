"""A feedback that swings by itself, in closed loop: told too short a time for dead times that nobody knows."""

from __future__ import annotations

import numpy as np

from rampd.daemon import proving
from rampd.daemon.closed import ClosedLoop
from rampd.ext import views


def test_a_feedback_that_is_too_fast_is_slowed_and_swings_less() -> None:
    config = proving.hall(1, (0.2, 0.6), racks_of=24)
    late = tuple(rack.model_copy(update={"dead_up_s": 1.8, "dead_down_s": 1.8}) for rack in config.racks)
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
