"""Halls whose racks are either on or off, on loops whose pumps follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.config import Config
from rampd.daemon.equipment import Rack
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop

BENCH = Path(__file__).resolve().parents[2] / "examples/bench-12/site.toml"


def bench(coarse: dict[str, dict[str, object]]) -> Config:
    """The bench of twelve with other figures for its racks, by kind."""
    config = sitecheck.load(BENCH)
    racks = tuple(
        Rack.model_validate(rack.model_dump() | {"fallback_kw": None} | coarse[rack.kind]) for rack in config.racks
    )
    return config.model_copy(update={"racks": racks})


@pytest.mark.parametrize("percents", ((60.0, 75.0), (35.0, 70.0, 50.0)))
@pytest.mark.parametrize(
    "coarse",
    (
        {"asic": {"min_kw": 0.0, "quantum_kw": 109.0}, "gpu": {"min_kw": 60.0, "max_kw": 60.0}},
        {"asic": {"min_kw": 0.0, "quantum_kw": 109.0}, "gpu": {}},
        {"asic": {"min_kw": 0.0, "quantum_kw": 0.0, "levels_kw": (0.0, 109.0)}, "gpu": {}},
    ),
    ids=("miners as one, GPUs fixed", "miners as one", "two levels"),
)
def test_what_is_off_comes_back(coarse: dict[str, dict[str, object]], percents: tuple[float, ...]) -> None:
    """The flow that is left carries less than a step of every rack, and more than one."""
    loop = ClosedLoop(bench(coarse))
    loop.run(15.0)
    for percent in percents:
        target_w = percent / 100.0 * loop.config.site.max_mw * 1e6
        loop.command(target_w, ramp_s=5.0)
        loop.run(90.0)
        assert loop.mean_w(10.0) == pytest.approx(target_w, abs=0.6 * 132e3), percent
    assert max(loop.over_w.values()) <= 0.0
    assert views.outputs(loop.out).fault == codes.FAULT_NONE


def changes(loop: ClosedLoop, racks: list[int], seconds: float) -> list[int]:
    """How often the set points of some racks change."""
    found = dict.fromkeys(racks, 0)
    last_w = list(views.outputs(loop.out).setpoint_w[: len(loop.composed.racks)])
    for _ in range(round(seconds / loop.dt_s)):
        out = loop.run(loop.dt_s)
        for i in racks:
            found[i] += out.setpoint_w[i] != last_w[i]
            last_w[i] = out.setpoint_w[i]
    return list(found.values())


@pytest.mark.parametrize("percent", (0.0, 25.0, 50.0))
@pytest.mark.parametrize("gpu", ({}, {"min_kw": 60.0, "max_kw": 60.0}), ids=("GPUs follow", "GPUs fixed"))
def test_miners_with_minimum_times_change_once_and_bring_what_firm_capacity_says(
    gpu: dict[str, object], percent: float
) -> None:
    """A miner that spent its change on the first part of the ramp would sit the rest of it out."""
    loop = ClosedLoop(bench({"asic": {"min_on_s": 120.0, "min_off_s": 120.0}, "gpu": gpu}))
    loop.run(180.0)
    before_w, firm_w = loop.mean_w(5.0), views.outputs(loop.out).firm_down_w
    miners = [i for i, rack in enumerate(loop.composed.racks) if rack.kind == "asic"]
    loop.command(percent / 100.0 * loop.config.site.max_mw * 1e6, ramp_s=5.0)
    within_5_s = changes(loop, miners, 5.5)
    brought_w = before_w - loop.mean_w(0.5)
    later = changes(loop, miners, 60.0)
    # Half of the last miner's change may not be due.
    assert brought_w >= min(firm_w, before_w - loop.config.site.max_mw * 1e4 * percent - 0.5 * 109e3)
    assert max(a + b for a, b in zip(within_5_s, later, strict=True)) == 1
    assert max(loop.over_w.values()) <= 0.0


@pytest.mark.parametrize("levels", ((), (0.0, 36.0, 72.0, 109.0)), ids=("equal steps", "levels"))
@pytest.mark.parametrize("percent", (38.0, 46.0, 52.0, 63.0, 74.0))
def test_at_a_constant_target_no_level_is_switched_for_ever(percent: float, levels: tuple[float, ...]) -> None:
    """Racks in steps of which some answer late: what rounding leaves of these is not given to the others as well."""
    config = bench({"asic": {"quantum_kw": 0.0 if levels else 3.40625, "levels_kw": levels, "min_kw": 0.0}, "gpu": {}})
    late = {rack.id for rack in config.racks if rack.kind == "asic"}
    late = set(sorted(late)[::2])
    racks = tuple(rack.model_copy(update={"dead_up_s": 2.0}) if rack.id in late else rack for rack in config.racks)
    loop = ClosedLoop(config.model_copy(update={"racks": racks}))
    loop.run(15.0)
    target_w = percent / 100.0 * loop.config.site.max_mw * 1e6
    loop.command(target_w, ramp_s=5.0)
    loop.run(60.0)
    stepped = [i for i, rack in enumerate(loop.composed.racks) if rack.kind == "asic"]
    stood = [views.outputs(loop.out).setpoint_w[i] for i in stepped]
    changes = 0
    for _ in range(60):
        loop.run(0.5)
        stands = [views.outputs(loop.out).setpoint_w[i] for i in stepped]
        changes += sum(abs(now - was) > 1e3 for now, was in zip(stands, stood, strict=True))
        stood = stands
    assert changes <= 4
    # Half a step is rounding.
    assert loop.mean_w(20.0) == pytest.approx(target_w, abs=0.6 * (37e3 if levels else 3.40625e3))


@pytest.mark.parametrize("percent", (30.0, 40.0))
def test_slow_racks_that_move_freely_take_up_what_steps_leave(percent: float) -> None:
    coarse: dict[str, object] = {"min_kw": 0.0, "quantum_kw": 109.0, "dead_up_s": 3.0, "dead_down_s": 3.0}
    loop = ClosedLoop(bench({"asic": coarse, "gpu": {"dead_up_s": 2.0, "dead_down_s": 2.0}}))
    loop.run(15.0)
    target_w = percent / 100.0 * loop.config.site.max_mw * 1e6
    loop.command(target_w, ramp_s=5.0)
    loop.run(90.0)
    assert loop.mean_w(20.0) == pytest.approx(target_w, abs=0.0025 * loop.config.site.max_mw * 1e6)
