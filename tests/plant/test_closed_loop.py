"""The core against the simulated hall: 100 -> 40 -> 100 % in five seconds, and what may go wrong meanwhile.

Settled is a mean over a second within 1 % of the step for ten seconds; overshoot and error are parts of the step.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.config import Config
from rampd.ext import codes, views
from tests.closed_loop import START_S, ClosedLoop, hall

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HALLS = ("bench-12", "hall-48mw")
DOWN_S = 5.0
UP_S = 26.0  # an ASIC wakes its miners at 5.5 kW/s


@pytest.fixture(scope="module", params=HALLS)
def config(request: pytest.FixtureRequest) -> Config:
    return example(request.param)


def example(name: str) -> Config:
    return sitecheck.load(EXAMPLES / name / "site.toml")


def full_w(loop: ClosedLoop) -> float:
    return loop.config.site.max_mw * 1e6


def leg(loop: ClosedLoop, target_w: float, within_s: float) -> None:
    """One five-second command, held to the bars; and no limit broken, nothing withheld.

    The cooling follows the racks for half a minute: the error counts after that.
    """
    begin_w, begin_s = loop.mean_w(1.0), loop.now_s
    step_w = abs(target_w - begin_w)
    loop.command(target_w, ramp_s=5.0)
    loop.run(45.0)
    # Nothing is nearer than the miners' step.
    grain_w = 1.05e3 * max(rack.quantum_kw for rack in loop.config.racks)
    settled_s = loop.settled_s(begin_s, target_w, max(0.01 * step_w, grain_w))
    assert settled_s is not None
    assert settled_s <= within_s
    sign = 1.0 if target_w > begin_w else -1.0
    assert max(sign * (poi_w - target_w) for poi_w in loop.since(begin_s)) <= 0.02 * step_w
    assert abs(loop.mean_w(10.0) - target_w) <= max(0.005 * step_w, 0.0025 * full_w(loop), grain_w)
    nothing_broken(loop)
    assert loop.vetoes() == 0


def nothing_broken(loop: ClosedLoop) -> None:
    assert loop.over_w["rack"] <= 1e-3
    assert loop.over_w["node"] <= 1e-3
    assert loop.over_w["site"] <= 1e-3


@pytest.mark.parametrize("seed", range(1, 6))
def test_down_in_five_seconds_and_up_again(config: Config, seed: int) -> None:
    loop = ClosedLoop(config, seed)
    loop.run(15.0)
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    leg(loop, full_w(loop), UP_S)


@pytest.mark.parametrize("targets", [(0.7, 0.9, 0.5), (0.25, 0.8)], ids=str)
def test_other_steps(targets: tuple[float, ...]) -> None:
    loop = ClosedLoop(example("hall-48mw"))
    loop.run(15.0)
    for part in targets:
        leg(loop, part * full_w(loop), DOWN_S if part < loop.mean_w(1.0) / full_w(loop) else UP_S)


def test_a_small_step(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    for part in (0.95, 0.9, 0.95):
        loop.command(part * full_w(loop), ramp_s=5.0)
        loop.run(45.0)
        assert loop.mean_w(10.0) == pytest.approx(part * full_w(loop), rel=0.005)
    nothing_broken(loop)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("dead", (0.5, 1.5))
@pytest.mark.parametrize("seed", (1, 2))
def test_dead_times_other_than_configured(config: Config, dead: float, seed: int) -> None:
    loop = ClosedLoop(config, seed, hall(config, dead=dead))
    loop.run(15.0)
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    # Of twelve racks the slowest alone is 1 % of the step: 22 s of slope after 2 s of dead time and a move.
    leg(loop, full_w(loop), UP_S + 1.5)


@pytest.mark.parametrize("late_s", (0.05, 0.1))
@pytest.mark.parametrize("seed", (1, 2))
def test_a_meter_later_than_configured(config: Config, late_s: float, seed: int) -> None:
    loop = ClosedLoop(config, seed, meter_late_s=late_s)
    loop.run(15.0)
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    leg(loop, full_w(loop), UP_S)


@pytest.mark.parametrize("late_s", (0.2, 0.4, 0.6))
def test_a_much_later_meter_is_slower_but_stable(config: Config, late_s: float) -> None:
    loop = ClosedLoop(config, 1, meter_late_s=late_s)
    loop.run(15.0)
    target_w = 0.4 * full_w(loop)
    begin_s, step_w = loop.now_s, loop.mean_w(1.0) - target_w
    loop.command(target_w, ramp_s=5.0)
    loop.run(40.0)
    assert loop.settled_s(begin_s, target_w, 0.01 * step_w, hold_s=20.0) is not None
    assert abs(loop.mean_w(10.0) - target_w) <= 0.005 * step_w
    nothing_broken(loop)
    assert loop.vetoes() == 0


@pytest.mark.parametrize("seed", (1, 2))
def test_racks_that_show_nothing(config: Config, seed: int) -> None:
    loop = ClosedLoop(config, seed)
    loop.run(15.0)
    loop.silent.update(rack.id for rack in config.racks[3::12])
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    before_w = views.outputs(loop.out).setpoint_w[: len(loop.composed.racks)]
    # A rack that shows nothing is not raised again, and its power does not drain to the others.
    leg(loop, 0.88 * full_w(loop), UP_S)
    out = views.outputs(loop.out)
    for i, rack in enumerate(loop.composed.racks):
        if rack.id in loop.silent:
            assert out.stale[i]
            assert 0.9 * before_w[i] <= out.setpoint_w[i] <= before_w[i] + 0.002 * rack.max_kw * 1e3


@pytest.mark.parametrize("seed", (1, 2))
def test_racks_that_do_not_take_what_is_written(seed: int) -> None:
    config = example("hall-48mw")
    loop = ClosedLoop(config, seed)
    loop.run(15.0)
    loop.deaf.update(rack.id for rack in config.racks[3::25])
    # Noticed after 1.5 s; what they do not deliver the others do.
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    leg(loop, 0.9 * full_w(loop), UP_S)


@pytest.mark.parametrize("seed", (1, 2))
def test_noisy_jobs(config: Config, seed: int) -> None:
    loop = ClosedLoop(config, seed, hall(config, noise=0.03))
    loop.run(15.0)
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    leg(loop, 0.9 * full_w(loop), UP_S)


@pytest.mark.parametrize("lost_after_s", (0.5, 1.5, 3.0))
def test_the_meter_is_lost_in_mid_ramp(config: Config, lost_after_s: float) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    target_w = 0.4 * full_w(loop)
    step_w = loop.mean_w(1.0) - target_w
    loop.command(target_w, ramp_s=5.0)
    loop.run(lost_after_s)
    loop.silent.add(config.site.meter)
    loop.run(2.0)
    racks = len(config.racks)
    stood_w = views.outputs(loop.out).setpoint_w[:racks]
    for _ in range(400):
        out = loop.run(loop.dt_s)
        now_w = out.setpoint_w[:racks]
        if not out.meter_good:
            assert all(b_w <= a_w for a_w, b_w in zip(stood_w, now_w, strict=True))
        stood_w = now_w
    assert not views.outputs(loop.out).meter_good
    # The model alone brings the hall down.
    assert loop.mean_w(5.0) <= target_w + 0.05 * step_w
    loop.silent.clear()
    back_s = loop.now_s
    loop.run(40.0)
    assert loop.settled_s(back_s, target_w, 0.01 * step_w) is not None
    assert abs(loop.mean_w(10.0) - target_w) <= 0.005 * step_w
    nothing_broken(loop)


@pytest.mark.parametrize("frozen_after_s", (-3.0, 0.5, 1.5))
def test_the_meter_freezes_in_mid_ramp(config: Config, frozen_after_s: float) -> None:
    """It answers on time and shows what it showed: the hall goes down by the racks' own readings, and not below."""
    loop = ClosedLoop(config)
    loop.run(15.0 + min(0.0, frozen_after_s))
    loop.meter_frozen = frozen_after_s < 0.0
    loop.run(15.0 - loop.now_s + START_S)
    target_w = 0.4 * full_w(loop)
    step_w = loop.mean_w(1.0) - target_w
    loop.command(target_w, ramp_s=5.0)
    begin_s = loop.now_s
    loop.run(max(0.0, frozen_after_s))
    loop.meter_frozen = True
    stood_w: list[float] = []
    while loop.now_s < begin_s + 20.0:
        out = loop.run(loop.dt_s)
        now_w = out.setpoint_w[: len(config.racks)]
        if not out.meter_good and stood_w:
            assert all(b_w <= a_w for a_w, b_w in zip(stood_w, now_w, strict=True))
        stood_w = [] if out.meter_good else now_w
    assert out.zone_reasons[0] == 1 << codes.R_METER_FROZEN
    assert (out.meter_good, out.site_why) == (0, codes.SITE_METER)
    # It learned a little from the meter before the racks contradicted it.
    assert target_w - 0.03 * step_w <= min(loop.since(begin_s))
    assert loop.mean_w(5.0) <= target_w + 0.02 * step_w
    loop.meter_frozen = False
    back_s = loop.now_s
    out = loop.run(9.5)
    assert not out.meter_good
    out = loop.run(40.0)
    assert (out.zone_reasons[0], out.meter_good) == (0, 1)
    assert loop.settled_s(back_s, target_w, 0.01 * step_w) is not None
    assert abs(loop.mean_w(10.0) - target_w) <= 0.005 * step_w
    nothing_broken(loop)


def test_a_meter_that_freezes_at_the_end_of_a_ramp_does_no_harm(config: Config) -> None:
    """What is left of the ramp is less than one rack could pretend: it cannot be told, and is not followed either."""
    loop = ClosedLoop(config)
    loop.run(15.0)
    target_w = 0.4 * full_w(loop)
    step_w = loop.mean_w(1.0) - target_w
    loop.command(target_w, ramp_s=5.0)
    begin_s = loop.now_s
    loop.run(3.0)
    loop.meter_frozen = True
    loop.run(30.0)
    assert target_w - 0.05 * step_w <= min(loop.since(begin_s))
    assert loop.mean_w(5.0) <= target_w + 0.02 * step_w
    nothing_broken(loop)


def test_a_coarse_meter_of_a_quiet_hall_is_believed(config: Config) -> None:
    """It shows steps of a hundredth of the site: most of the time the same, while nothing much moves."""
    loop = ClosedLoop(config, meter_step_w=0.01 * config.site.max_mw * 1e6)
    loop.run(15.0)
    for part in (1.0, 0.4, 0.42, 0.7, 0.69, 0.68, 1.0):
        loop.command(part * full_w(loop), ramp_s=5.0)
        for _ in range(400):
            assert loop.run(loop.dt_s).meter_good
    assert loop.vetoes() == 0


def test_no_raise_while_the_meter_is_lost(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    leg(loop, 0.4 * full_w(loop), DOWN_S)
    loop.silent.add(config.site.meter)
    loop.run(2.5)
    stood_w = loop.mean_w(1.0)
    loop.command(0.9 * full_w(loop), ramp_s=5.0)
    loop.run(20.0)
    assert max(loop.since(loop.now_s - 20.0)) <= 1.01 * stood_w
    loop.silent.clear()
    loop.run(40.0)
    assert loop.mean_w(10.0) == pytest.approx(0.9 * full_w(loop), rel=0.005)
    nothing_broken(loop)


def test_one_loop_loses_its_pumps(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    loop.command(0.6 * full_w(loop), ramp_s=5.0)
    loop.run(20.0)
    failed = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    loop.plant.loops[failed].pumps = 0.0
    loop.run(60.0)
    members = [(i, rack) for i, rack in enumerate(loop.composed.racks) if rack.loop == config.loops[failed].id]
    out = views.outputs(loop.out)
    # Its racks are at their least.
    assert all(out.setpoint_w[i] <= rack.min_kw * 1e3 * 1.001 for i, rack in members)
    assert all(out.action[i] >= codes.ACT_DERATE for i, _ in members)
    others = [i for i, rack in enumerate(loop.composed.racks) if rack.loop != config.loops[failed].id]
    assert all(out.action[i] == codes.ACT_NONE for i in others)
    # The others carry what these gave up.
    assert loop.mean_w(10.0) == pytest.approx(0.6 * full_w(loop), rel=0.01)
    nothing_broken(loop)


@pytest.mark.parametrize("part", (0.0, 0.05))
def test_a_target_below_the_floor_is_met_in_part(config: Config, part: float) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    loop.command(part * full_w(loop), ramp_s=5.0)
    out = loop.run(30.0)
    floor_w = sum(rack.min_kw for rack in config.racks) * 1e3
    assert out.site_why == codes.SITE_FLOOR
    last = loop.since(loop.now_s - 15.0)
    assert max(last) - min(last) <= 0.02 * full_w(loop)
    assert floor_w <= loop.mean_w(10.0) <= 1.2 * floor_w + 0.01 * full_w(loop)
    assert all(out.setpoint_w[i] == rack.min_kw * 1e3 for i, rack in enumerate(loop.composed.racks))
    # It winds nothing up: the way back is as good as any other.
    leg(loop, 0.7 * full_w(loop), UP_S)


def test_a_target_above_what_the_site_may_is_held_at_its_most(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    loop.command(0.5 * full_w(loop), ramp_s=5.0)
    loop.run(15.0)
    loop.command(3.0 * full_w(loop), ramp_s=5.0)
    loop.run(60.0)
    assert loop.mean_w(10.0) == pytest.approx(full_w(loop), rel=0.005)
    nothing_broken(loop)


@pytest.mark.parametrize("feeder_kw", [500.0, 600.0])
def test_below_tight_feeders_the_published_most_and_firm_capacity_are_what_a_call_brings(feeder_kw: float) -> None:
    config = example("bench-12")
    nodes = tuple(
        node.model_copy(update={"rating_kw": feeder_kw / node.derating} if node.kind == "feeder" else {})
        for node in config.nodes
    )
    loop = ClosedLoop(config.model_copy(update={"nodes": nodes}))
    for part in (0.3, 1.0, 0.3):
        loop.run(30.0)
        loop.command(part * full_w(loop), ramp_s=5.0)
    out = loop.run(30.0)
    before_w, most_w, firm_up_w = loop.mean_w(5.0), out.most_w, out.firm_up_60_w
    loop.command(full_w(loop), ramp_s=5.0)
    out = loop.run(60.0)
    # The flow has fallen with the racks: what it will carry again is not counted before it does.
    assert before_w + firm_up_w < 1.01 * loop.mean_w(5.0)
    assert most_w < 1.01 * loop.mean_w(5.0)
    assert out.most_w == pytest.approx(loop.mean_w(5.0), rel=0.005)
    assert 0.85 * (loop.mean_w(5.0) - before_w) <= firm_up_w
    assert out.firm_up_60_w <= 0.01 * full_w(loop), "every feeder is full"
    assert out.site_why == codes.SITE_ROOM


def test_a_lease_ends_and_the_default_comes_at_the_normal_rate(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    target_w = 0.7 * full_w(loop)
    loop.command(target_w, ramp_s=5.0, lease_s=20.0)
    loop.run(19.9)
    assert not views.outputs(loop.out).lapsed
    begin_s = loop.now_s
    out = loop.run(15.0)
    assert (out.lapsed, out.envelope, out.verb) == (1, codes.NORMAL, codes.STAND)
    per_s = config.normal.up_mw_per_min * 1e6 / 60.0
    means = loop.since(begin_s)
    width = round(1.0 / loop.dt_s)
    means = [sum(means[i : i + width]) / width for i in range(len(means) - width)]
    noise_w = 0.01 * full_w(loop)
    for seconds in (2, 5, 10):
        span = seconds * width
        most_w = max(b_w - a_w for a_w, b_w in zip(means, means[span:], strict=False))
        assert most_w <= seconds * per_s + noise_w
    loop.run(0.35 * full_w(loop) / per_s + 10.0 - 15.0)
    assert loop.mean_w(5.0) == pytest.approx(config.site.default_mw * 1e6, rel=0.005)
    nothing_broken(loop)


def test_estop_and_its_release(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    begin_s = loop.now_s
    loop.command(0.0, verb=codes.ESTOP)
    out = loop.run(5.0)
    assert out.site_why == codes.SITE_ESTOP
    floor_w = sum(rack.min_kw for rack in config.racks) * 1e3
    assert loop.mean_w(1.0) <= 1.1 * floor_w + 0.04 * full_w(loop)
    # No lease ends it.
    loop.inputs.command.expires_ns = round((begin_s + 6.0) * 1e9)
    loop.run(10.0)
    assert views.outputs(loop.out).verb == codes.ESTOP
    low_w = loop.mean_w(1.0)
    released_s = loop.now_s
    loop.command(0.0, verb=codes.STAND)
    loop.run(15.0)
    per_s = config.normal.up_mw_per_min * 1e6 / 60.0
    assert max(loop.since(released_s)) <= low_w + 15.0 * per_s + 0.01 * full_w(loop)
    nothing_broken(loop)


@pytest.mark.parametrize("hand_kw", [60.0, 132.0])
def test_into_hand_and_back_moves_nothing_but_that_rack(hand_kw: float) -> None:
    """A GPU rack at a set point of the operator's: the purchase stays on its reference, also when it comes back."""
    loop = ClosedLoop(example("bench-12"))
    loop.run(15.0)
    target_w = 0.7 * full_w(loop)
    loop.command(target_w, ramp_s=5.0)
    loop.run(30.0)
    begin_s = loop.now_s
    i = [rack.id for rack in loop.composed.racks].index("gpu-001")
    loop.inputs.rack_state[i] = codes.MANUAL
    loop.plant.set_limit(loop.index["gpu-001"], hand_kw * 1e3, loop.now_s)
    loop.run(30.0)
    assert views.outputs(loop.out).setpoint_w[i] == pytest.approx(hand_kw * 1e3)
    loop.inputs.rack_state[i] = codes.AVAILABLE
    loop.written[i] = -1.0
    returned_s = loop.now_s
    loop.run(90.0)
    step_w = 132e3
    assert max(abs(poi_w - target_w) for poi_w in loop.since(begin_s)) <= step_w, "others make up for what was done"
    assert max(abs(poi_w - target_w) for poi_w in loop.since(returned_s)) <= 0.01 * full_w(loop)
    nothing_broken(loop)
    assert loop.vetoes() == 0
