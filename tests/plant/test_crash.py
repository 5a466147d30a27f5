"""A training job of 8 MW ends at once and its demand comes back: the fall is an event, the return keeps the window.

IESO: at most 5 MW in any 15 s. Nobody dispatches; the rest of the hall goes on as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rampd.daemon import qualify, scores
from rampd.daemon.closed import START_S, ClosedLoop
from rampd.daemon.commands import Desk
from rampd.daemon.events import Events
from rampd.daemon.happenings import Happenings
from rampd.daemon.journal import Journal
from rampd.drivers.sim.fleet import Fleet, Job
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


Told = list[tuple[float, dict[str, Any]]]


class Watched:
    """A hall whose events are heard: ten looks a second, as the daemon has them. `crests_w` is what `racks` drew."""

    def __init__(self, seed: int, jobs: tuple[Job, ...] = (), racks: tuple[int, ...] = ()) -> None:
        config = qualify.hall(seed)
        self.loop, self.events = ClosedLoop(config, seed, jobs=jobs), Events()
        self.full_w = config.site.max_mw * 1e6
        desk = Desk(self.loop.composed, self.loop.inputs, Journal(None), lambda _: None)
        self.happenings = Happenings(desk, self.events, list, self.full_w)
        self.racks = list(racks)
        self.drawn_w: list[float] = []

    def run(self, seconds: float, change: Callable[[Fleet], None] = lambda _: None) -> Told:
        """When load was told to have gone, and what of it; `change` is asked before each look."""
        loop, found = self.loop, []
        for _ in range(round(seconds / 0.1)):
            change(loop.fleet)
            self.happenings.tick(loop.run(0.1), loop.now_s, loop.now_s)
            self.drawn_w.append(float(loop.fleet.power_w[self.racks].sum()))
            while (event := self.events.first()) is not None:
                self.events.delivered(event["seq"])
                if event["type"] == "load_drop":
                    found.append((loop.now_s, event))
        return found

    def lost_w(self, crash_s: float) -> float:
        """What the crest of the racks' power fell by."""
        crash = round(crash_s / 0.1)
        return max(self.drawn_w[crash - 60 : crash]) - self.drawn_w[-1]


def crashing(seed: int, place: float, after_s: float = 145.0) -> Job:
    """A job of 8 MW that crashes so far within one of its periods; what comes before `duty` is its crest."""
    (job,) = qualify.training(qualify.hall(seed), (8.0,), seed)
    crash_s = (math.ceil(after_s / job.period_s) + place - job.phase) * job.period_s
    return replace(job, crash_s=crash_s)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("place", [0.4, 0.95])
def test_a_crash_is_told_once_and_within_a_second(seed: int, place: float) -> None:
    """At the crest of the job, and in its trough: there the purchase falls by little, but its next crest is missing."""
    job = crashing(seed, place)
    assert (place < job.duty) == (place == 0.4)
    watched = Watched(seed, (job,), job.racks)
    ((at_s, event),) = watched.run(job.crash_s + 60.0)
    assert job.crash_s < at_s <= job.crash_s + 1.0
    assert event["fell_w"] == pytest.approx(watched.lost_w(job.crash_s), rel=0.05)
    assert event["by"] == "racks"


@pytest.mark.parametrize("off_s", [0.0, 0.25])
def test_a_crash_as_a_minute_ends_is_told_as_well(off_s: float) -> None:
    """Troughs are kept by the minute of the core's clock."""
    crash_s = 180.0 - START_S % 60.0 + off_s
    job = replace(crashing(1, 0.0), crash_s=crash_s)
    ((at_s, _),) = Watched(1, (job,)).run(crash_s + 10.0)
    assert crash_s < at_s <= crash_s + 1.0


def test_a_job_that_comes_back_and_crashes_again_is_told_again() -> None:
    job = crashing(3, 0.4)
    watched = Watched(3, (job,), job.racks)
    first = watched.run(job.crash_s + 60.0)
    # It goes on from here, and crashes for good.
    watched.loop.fleet.jobs = (replace(job, crash_s=job.crash_s + 105.0),)
    second = watched.run(60.0)
    assert [round(at_s - job.crash_s, 1) for at_s, _ in first + second] == [
        pytest.approx(0.7, abs=0.3), pytest.approx(105.7, abs=0.3),
    ]  # fmt: skip
    assert second[0][1]["fell_w"] == pytest.approx(watched.lost_w(job.crash_s + 105.0), rel=0.05)


def test_a_crash_beside_other_jobs_is_told() -> None:
    jobs = qualify.training(qualify.hall(2), qualify.JOBS_MW, 2)
    crash_s = 152.3
    watched = Watched(2, (replace(jobs[0], crash_s=crash_s), *jobs[1:]), jobs[0].racks)
    ((at_s, event),) = watched.run(crash_s + 60.0)
    assert crash_s < at_s <= crash_s + 1.0
    assert event["fell_w"] == pytest.approx(watched.lost_w(crash_s), rel=0.1)


def test_racks_that_trip_are_told() -> None:
    """Four PDUs: their racks read 0 from now on."""
    watched = Watched(1, racks=tuple(range(40, 80)))
    assert watched.run(100.0) == []
    watched.loop.fleet.demand_w[40:80] = 0.0
    ((at_s, event),) = watched.run(60.0)
    assert at_s <= 101.0
    assert event["fell_w"] == pytest.approx(watched.lost_w(100.0), rel=0.02)


@pytest.mark.parametrize(("seed", "sizes_mw"), [(1, (8.0,)), (2, (20.0,)), (3, qualify.JOBS_MW), (4, qualify.JOBS_MW)])
def test_training_is_none(seed: int, sizes_mw: tuple[float, ...]) -> None:
    assert Watched(seed, qualify.training(qualify.hall(seed), sizes_mw, seed)).run(400.0) == []


@pytest.mark.parametrize(("period_s", "duty"), [(1.5, 0.8), (2.0007, 0.8), (2.503, 0.5), (4.001, 0.8)])
def test_training_in_step_with_the_readings_is_none(period_s: float, duty: float) -> None:
    """Each rack is read in the same places of the period for long, and then in others."""
    (job,) = qualify.training(qualify.hall(1), (20.0,), 1)
    assert Watched(1, (replace(job, period_s=period_s, duty=duty),)).run(300.0) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_job_that_begins_is_told_once_at_most(seed: int) -> None:
    """Its first trough cannot be told from a crash."""
    (job,) = qualify.training(qualify.hall(seed), (8.0,), seed)
    watched = Watched(seed)
    assert watched.run(100.0) == []
    watched.loop.fleet.jobs, watched.loop.fleet.jobs_at = (job,), [np.array(job.racks)]
    assert len(watched.run(200.0)) <= 1


@pytest.mark.parametrize(("seed", "sizes_mw"), [(1, ()), (2, qualify.JOBS_MW)])
def test_ramps_are_none(seed: int, sizes_mw: tuple[float, ...]) -> None:
    watched = Watched(seed, qualify.training(qualify.hall(seed), sizes_mw, seed))
    told = watched.run(70.0)
    for part, seconds in ((0.4, 60.0), (1.0, 40.0), (0.4, 20.0), (0.7, 60.0), (1.0, 60.0)):
        watched.loop.command(part * watched.full_w, ramp_s=5.0)
        told += watched.run(seconds)
    assert told == []


@pytest.mark.parametrize(("tau_s", "sd"), [(1.0, 0.2), (5.0, 0.35), (20.0, 0.5)])
def test_inference_that_wanders_is_none(tau_s: float, sd: float) -> None:
    """Each rack for itself, around two thirds of its most."""
    watched, random = Watched(1), np.random.default_rng(1)
    most_w = watched.loop.fleet.max_w.copy()
    away = random.standard_normal(watched.loop.count)

    def wander(fleet: Fleet) -> None:
        away[:] += -0.1 / tau_s * away + math.sqrt(0.2 / tau_s) * random.standard_normal(len(away))
        fleet.demand_w = most_w * np.clip(0.65 + sd * away, 0.1, 1.0)

    assert watched.run(300.0, wander) == []
