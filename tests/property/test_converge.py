"""From any state that a small mixed hall may get into, with all racks answering, it comes to its reference and stays.

Ten racks of ten kinds, some given a few large levels or long dead times; commands in both envelopes, a rack that is
silent for a while, one that wants less for a while. In simulated time, with the compiled core.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rampd.daemon import sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Config, Normal
from rampd.ext import codes, views

SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1
EXAMPLE = sitecheck.load(Path(__file__).resolve().parents[2] / "examples" / "mixed-10" / "site.toml")
FULL_W = EXAMPLE.site.max_mw * 1e6


def drawn(random: np.random.Generator) -> Config:
    """The example with other racks: a third of the GPU racks in three levels, a third slow; ramps fast or slow."""
    racks = []
    for rack in EXAMPLE.racks:
        most_kw = rack.max_kw
        kind = random.integers(0, 3) if rack.kind == "gpu" else 2
        if kind == 0:
            update = {"levels_kw": (0.3 * most_kw, 0.6 * most_kw, most_kw), "quantum_kw": 0.0, "min_kw": 0.3 * most_kw}
        elif kind == 1:
            update = {
                "dead_up_s": float(random.uniform(0.2, 20.0)), "dead_down_s": float(random.uniform(0.2, 4.0)),
                "up_kw_per_s": most_kw / float(random.uniform(0.5, 20.0)),
            }  # fmt: skip
        else:
            update = {}
        racks.append(rack.model_copy(update=update))
    per_min = float(random.choice([0.3, 6.0]))
    normal = Normal(up_mw_per_min=per_min, down_mw_per_min=per_min)
    return EXAMPLE.model_copy(update={"racks": tuple(racks), "normal": normal})


def disturb(loop: ClosedLoop, random: np.random.Generator) -> None:
    """A command, and one rack that is silent or wants less for a while."""
    normal = random.random() < 0.3
    loop.command(
        float(random.uniform(0.2, 1.0)) * FULL_W, ramp_s=0.0 if normal else 5.0,
        envelope=codes.NORMAL if normal else codes.DISPATCHED,
    )  # fmt: skip
    loop.run(float(random.uniform(1.0, 30.0)))
    who, seconds = int(random.integers(0, loop.count)), float(random.uniform(1.0, 30.0))
    if random.random() < 0.5:
        loop.fleet.dead[who] = True
        loop.run(seconds)
        loop.fleet.dead[who] = False
        loop.asked_at[who] = -1
        loop.setpoint_w[who] = views.outputs(loop.out).setpoint_w[who]
        loop.state[who] = codes.AVAILABLE
    else:
        wanted_w = loop.fleet.demand_w[who]
        loop.fleet.demand_w[who] *= random.uniform(0.0, 1.0)
        loop.run(seconds)
        loop.fleet.demand_w[who] = wanted_w


# 111: standing caps of racks in large steps stood between two of their levels.
@pytest.mark.parametrize("seed", sorted({*range(16 * SEEDS), 111}))
def test_it_comes_to_its_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    loop = ClosedLoop(drawn(random), seed)
    limits = loop.limits
    # The plant's miners go in the steps that they were said to have.
    loop.fleet.quantum_w[:] = limits.quantum_w[: loop.count]
    loop.run(15.0)
    for _ in range(4):
        disturb(loop, random)
    target_w = float(random.uniform(0.35, 0.95)) * FULL_W
    loop.command(target_w, envelope=codes.NORMAL)
    # The slowest rack of all takes half a minute before it moves and two minutes for its way.
    loop.run(240.0)
    state = views.state(loop.memory)
    for _ in range(6):
        loop.run(20.0)
        free = state.grain_w == 0.0
        near_w = max(0.02 * target_w, 0.0 if free else 0.5 * limits.site.grain_w)
        reached_w = min(max(target_w, state.least_w), state.most_w)
        assert loop.reference_w[-1] == pytest.approx(target_w)
        assert abs(float(np.mean(loop.poi_w[-200:])) - reached_w) <= near_w
    assert loop.vetoes() == 0
