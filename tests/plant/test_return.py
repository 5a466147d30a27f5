"""The return after an emergency, at the cap that it stands at until a fresh command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rampd.daemon import proving, sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Window
from rampd.ext import codes, views
from tests import sites


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


WINDOW_S, WINDOW_MW = 15.0, 0.05


def test_below_a_dispatched_command_it_keeps_the_normal_windows(tmp_path: Path) -> None:
    """Nobody has asked for that rise: the command that stands was reached before the frequency fell."""
    path = sites.site(tmp_path)
    under = "\n[[under]]\nhz = 59.7\ntier = 2\n\n[restore]\nup_mw_per_min = 1.2\nstagger_s = 0\n"
    path.write_text(path.read_text(encoding="utf-8") + under, encoding="utf-8")
    config = sitecheck.load(path)
    windows = (Window(s=WINDOW_S, up_mw=WINDOW_MW, down_mw=WINDOW_MW),)
    normal = config.normal.model_copy(update={"up_mw_per_min": 20.0, "window": windows})
    loop = ClosedLoop(config.model_copy(update={"normal": normal}), 1)
    loop.run(15.0)
    # No higher than the mean of the ten minutes before.
    set_w = 0.9 * config.site.max_mw * 1e6
    loop.command(set_w, ramp_s=5.0, lease_s=3600.0)
    loop.run(60.0)
    loop.hz = lambda now_s: 59.6 if now_s < 77.0 else 60.0
    loop.run(15.0)
    first = len(loop.reference_w)
    low_w = loop.reference_w[-1]
    assert low_w < 0.8 * set_w
    out = loop.run(90.0)
    assert out.returning
    back_w = loop.reference_w[first:]
    assert back_w[-1] - low_w > 2.0 * WINDOW_MW * 1e6
    span = round(WINDOW_S / loop.dt_s)
    rises_w = [later_w - before_w for before_w, later_w in zip(back_w, back_w[span:], strict=False)]
    assert max(rises_w) <= 1.01 * WINDOW_MW * 1e6
    # A fresh one is followed at its own.
    loop.command(set_w, ramp_s=5.0, lease_s=3600.0)
    loop.run(10.0)
    assert loop.poi_w[-1] == pytest.approx(set_w, rel=0.03)
    assert loop.vetoes() == 0
