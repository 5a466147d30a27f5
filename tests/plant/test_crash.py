"""A training job of 8 MW ends at once and its demand comes back: the fall is an event, the return keeps the window.

IESO: at most 5 MW in any 15 s. Nobody dispatches; the rest of the hall goes on as it was.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rampd.daemon import qualify, scores
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.commands import Desk
from rampd.daemon.events import Events
from rampd.daemon.happenings import Happenings
from rampd.daemon.journal import Journal
from rampd.ext import views

CRASH_S, MOST_W, WINDOW = 200.0, 5e6, 16


def rises(power_w: qualify.Floats, dt_s: float) -> qualify.Floats:
    """The most that each window of fifteen seconds rises from one of its seconds to a later one; W."""
    seconds = scores.rolling(power_w, dt_s, 1.0)[:: round(1.0 / dt_s)]
    frames = np.lib.stride_tricks.sliding_window_view(seconds, WINDOW)
    found: qualify.Floats = (frames - np.minimum.accumulate(frames, axis=1)).max(axis=1)
    return found


@pytest.mark.parametrize(("seed", "away_s"), [(1, 120.0), (2, 60.0)])
def test_the_return_of_a_crashed_job_keeps_the_window(seed: int, away_s: float) -> None:
    config = qualify.hall(seed)
    back_s = CRASH_S + away_s
    jobs = tuple(replace(job, crash_s=CRASH_S, resume_s=back_s) for job in qualify.training(config, (8.0,), seed))
    loop = ClosedLoop(config, seed, jobs=jobs)
    others = np.setdiff1d(np.arange(loop.count), jobs[0].racks)
    loop.run(CRASH_S)
    before_w = loop.fleet.power_w[others].sum()
    loop.run(away_s)
    # Racks that want less than their least set point drag nobody down with them.
    assert loop.fleet.power_w[others].sum() >= 0.99 * before_w
    loop.run(100.0)
    assert rises(np.array(loop.poi_w)[round(back_s / loop.dt_s) :], loop.dt_s).max() <= MOST_W
    # And it has come back: nine tenths of what the windows left it before.
    state = views.state(loop.memory)
    assert sum(state.applied_w[i] for i in jobs[0].racks) >= 0.65 * loop.fleet.max_w[list(jobs[0].racks)].sum()
    assert loop.vetoes() == 0


def test_the_crash_is_an_event_and_the_training_is_none() -> None:
    config = qualify.hall(1)
    jobs = tuple(replace(job, crash_s=CRASH_S) for job in qualify.training(config, (8.0,), 1))
    loop, events = ClosedLoop(config, 1, jobs=jobs), Events()
    desk = Desk(loop.composed, loop.inputs, Journal(None), lambda _: None)
    happenings = Happenings(desk, events, list, config.site.max_mw * 1e6)
    told: list[float] = []
    while loop.now_s < CRASH_S + 30.0:
        happenings.tick(loop.run(0.1), loop.now_s, loop.now_s)
        while (event := events.first()) is not None:
            events.delivered(event["seq"])
            if event["type"] == "load_drop":
                told.append(loop.now_s)
                assert event["fell_w"] > 4e6
    assert len(told) == 1
    assert CRASH_S < told[0] < CRASH_S + 10.0
