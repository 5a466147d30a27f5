"""A site meter that shows too little, against the simulated hall; and healthy halls, whose meter is never doubted.

A fuse of a voltage transformer, a wrong scale or sign, a bypassed current transformer: the meter answers, moves, and
shows a half, nothing, or what is drawn as if it were supplied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import qualify, sitecheck
from rampd.daemon.closed import ClosedLoop as FastLoop
from rampd.daemon.config import Config
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop, hall

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REASON = 1 << codes.R_METER_IMPLAUSIBLE
NOTICED_S = 4.0
"""Two seconds of contradiction, the racks read within half a second, the meter ten times a second."""


def example(name: str, **site: Any) -> Config:
    config = sitecheck.load(EXAMPLES / name / "site.toml")
    return config.model_copy(update={"site": config.site.model_copy(update=site)})


SMALL = {"max_mw": 0.95, "default_mw": 0.95, "import_limit_mw": 1.0}
"""Twelve racks that could draw half as much again as the site may purchase."""


@pytest.mark.parametrize("gain", (0.5, 0.0, -1.0))
@pytest.mark.parametrize("target", (0.5, 0.95))
def test_a_meter_that_shows_too_little_raises_nothing(gain: float, target: float) -> None:
    loop = ClosedLoop(example("bench-12", **SMALL))
    loop.run(45.0)
    loop.command(target * 1e6, ramp_s=5.0)
    loop.run(40.0)
    stood_w, begin_s = loop.mean_w(5.0), loop.now_s
    loop.meter_gain = gain
    out = loop.run(NOTICED_S)
    assert out.zone_reasons[0] & REASON
    assert not out.meter_good
    # Sent upwards as well, it stays where it was.
    loop.command(0.95e6, ramp_s=5.0)
    out = loop.run(60.0)
    assert out.zone_reasons[0] & REASON
    assert max(loop.since(begin_s)) <= 1.02 * stood_w
    # It goes down by the racks' model, and the rest of the load as it was known.
    loop.command(0.4e6, ramp_s=5.0)
    out = loop.run(30.0)
    assert loop.mean_w(5.0) == pytest.approx(0.4e6, rel=0.05)
    # Put right, it is believed.
    loop.meter_gain = 1.0
    loop.run(11.5)
    loop.command(0.9e6, ramp_s=5.0)
    out = loop.run(60.0)
    assert (out.zone_reasons[0], out.meter_good) == (0, 1)
    assert loop.mean_w(5.0) == pytest.approx(0.9e6, rel=0.01)
    assert max(loop.since(begin_s)) <= 1.0e6
    assert loop.vetoes() == 0


@pytest.mark.parametrize("gain", (0.5, 0.0, -1.0))
def test_a_meter_that_was_wrong_from_the_start_moves_the_site_down_at_most(gain: float) -> None:
    """The hall is found above its import limit, by the racks alone; the rest of its load nobody knows."""
    loop = ClosedLoop(example("bench-12", **SMALL), meter_gain=gain)
    out = loop.run(NOTICED_S)
    assert out.zone_reasons[0] & REASON
    low_w = loop.mean_w(0.1)
    loop.command(0.95e6, ramp_s=5.0)
    out = loop.run(60.0)
    assert max(loop.since(loop.now_s - 60.0)) <= low_w
    assert sum(loop.plant.racks.power_w) <= 1.0e6
    assert out.zone_reasons[0] & REASON


@pytest.mark.parametrize("gain", (0.9, 0.8))
def test_a_meter_that_is_too_little_wrong_to_be_doubted_leaves_the_racks_below_the_limit(gain: float) -> None:
    loop = ClosedLoop(example("bench-12", **SMALL))
    loop.run(45.0)
    loop.meter_gain = gain
    for _ in range(1200):
        loop.run(loop.dt_s)
        assert sum(loop.plant.racks.power_w) <= 1.0e6


def never_doubted(loop: ClosedLoop | FastLoop, seconds: float) -> None:
    watch = views.watch(loop.memory)
    for _ in range(round(seconds / loop.dt_s)):
        out = loop.run(loop.dt_s)
        assert not out.zone_reasons[0] & REASON
        assert not watch.implausible


HEALTHY: Mapping[str, Mapping[str, float]] = {
    "as it is": {}, "late meter": {"late_s": 0.5}, "racks that do not take it": {"deaf": 0.05},
    "noisy jobs": {"noise": 0.03}, "idle": {"utilisation": 0.3}, "racks that answer late": {"dead": 1.5},
}  # fmt: skip


@pytest.mark.parametrize("kind", HEALTHY)
@pytest.mark.parametrize("name", ("bench-12", "mixed-10", "hall-48mw"))
def test_a_healthy_hall_at_full_rate(name: str, kind: str) -> None:
    config, changes = example(name), dict(HEALTHY[kind])
    late_s, deaf = changes.pop("late_s", 0.0), changes.pop("deaf", 0.0)
    loop = ClosedLoop(config, plant_spec=hall(config, **changes), meter_late_s=late_s)
    if deaf:
        loop.deaf = {rack.id for rack in config.racks[:: round(1.0 / deaf)]}
    never_doubted(loop, 8.0)
    for part in (0.4, 1.0):
        loop.command(part * config.site.max_mw * 1e6)
        never_doubted(loop, 12.0)


def test_a_job_that_ends_at_once_and_comes_back() -> None:
    """Eight megawatts of a training job; the racks of the simulated field are read ten at a time."""
    config = qualify.hall(1)
    jobs = tuple(replace(job, crash_s=40.0, resume_s=70.0) for job in qualify.training(config, (8.0,), 1))
    never_doubted(FastLoop(config, 1, jobs=jobs), 100.0)
