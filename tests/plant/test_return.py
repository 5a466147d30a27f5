"""The return after an emergency, at the cap that it stands at until a fresh command."""

from __future__ import annotations

import numpy as np
import pytest

from rampd.daemon import proving
from rampd.daemon.closed import ClosedLoop
from rampd.ext import codes, views


def test_at_the_cap_slow_racks_have_the_part_of_the_others() -> None:
    """What the return holds back does not come in their dead time, and fast ones need not make way for it."""
    loop = ClosedLoop(proving.hall(1, racks_of=40), 1)
    loop.run(15.0)
    loop.command(0.6 * loop.config.site.max_mw * 1e6, ramp_s=5.0, lease_s=3600.0)
    loop.run(60.0)
    loop.command(0.0, verb=codes.ESTOP)
    loop.run(10.0)
    loop.command(0.0, verb=codes.STAND)
    loop.run(200.0)
    state, limits = views.state(loop.memory), loop.limits
    assert state.returning
    assert state.reference_w == state.heading_w < 0.8 * state.goal_w
    parts: dict[bool, list[float]] = {False: [], True: []}
    for i in range(loop.count):
        # Those of the other tier have all.
        if limits.tier[i] == 1:
            part = (state.share_w[i] - limits.min_w[i]) / (limits.max_w[i] - limits.min_w[i])
            parts[bool(state.slow[i])].append(part)
    assert 0.0 < np.mean(parts[True]) < 0.5
    assert np.mean(parts[True]) == pytest.approx(np.mean(parts[False]), abs=0.03)
