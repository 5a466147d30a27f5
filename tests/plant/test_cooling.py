"""A loop loses pumps, where a dispatch lowers only slowly: its own racks do not wait for that, the others stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.config import Config
from rampd.daemon.equipment import Rack
from rampd.drivers.sim.cooling import WATER_W_PER_K_LPM
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop, hall

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Of the site's most in a second: a loop's racks would take a minute and more.
SLOW = 0.005
MOVE_S = 0.5
READ_S = 1.1


@pytest.fixture(scope="module", params=("bench-12", "hall-48mw"))
def config(request: pytest.FixtureRequest) -> Config:
    loaded = sitecheck.load(EXAMPLES / request.param / "site.toml")
    slow = {"up_mw_per_s": SLOW * loaded.site.max_mw, "down_mw_per_s": SLOW * loaded.site.max_mw}
    return loaded.model_copy(update={"dispatched": loaded.dispatched.model_copy(update=slow)})


def falls_in_s(racks: list[Rack]) -> float:
    """What the slowest of the racks takes from its most to its least by itself."""
    return max(rack.dead_down_s + (rack.max_kw - rack.min_kw) / rack.down_kw_per_s for rack in racks)


def test_a_loop_without_pumps_is_down_as_soon_as_its_racks_can(config: Config) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    # No less than it draws: nothing falls for the command.
    loop.command(config.site.max_mw * 1e6, ramp_s=5.0)
    loop.run(10.0)
    failed = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    own = [i for i, rack in enumerate(loop.composed.racks) if rack.loop == config.loops[failed].id]
    racks = [loop.composed.racks[i] for i in own]
    others = sorted(set(range(len(loop.composed.racks))) - set(own))
    least_w = sum(rack.min_kw for rack in racks) * 1e3

    def drawn_w() -> float:
        return sum(loop.plant.racks.power_w[loop.index[rack.id]] for rack in racks)

    stood_w = drawn_w()
    assert stood_w > 3.0 * least_w
    # What convection moves is no flow in the small hall and hardly any in the large one: both reasons are seen.
    loop.plant.loops[failed].pumps = 0.0
    loop.plant.loops[failed].flow_lpm = 0.01 * loop.plant.loops[failed].design_lpm
    seen_s, deadline_s = 0.0, loop.now_s + READ_S
    setpoints_w = loop.run(loop.dt_s).setpoint_w[: len(loop.composed.racks)]
    while drawn_w() > 1.01 * least_w:
        before_w, out = setpoints_w, loop.run(loop.dt_s)
        setpoints_w = out.setpoint_w[: len(loop.composed.racks)]
        assert all(setpoints_w[i] >= before_w[i] for i in others)
        if seen_s == 0.0 and loop.inputs.value[loop.limits.flow_slot[failed]] < config.loops[failed].min_flow_lpm:
            seen_s = loop.now_s
            deadline_s = seen_s + falls_in_s(racks) + MOVE_S + 2 * loop.dt_s
        assert loop.now_s <= deadline_s
    paced_w = loop.limits.site.dispatched_down * (loop.now_s - seen_s)
    assert stood_w - drawn_w() > 5.0 * paced_w, "no dispatch falls like this"
    out = loop.run(20.0)
    assert all(out.setpoint_w[i] == rack.min_kw * 1e3 for i, rack in zip(own, racks, strict=True))
    assert all(out.action[i] == codes.ACT_NONE for i in others)
    assert out.vetoes[codes.VETO_FALL] == 0


DARK = {
    # what of the CDU cannot be read before and after most of its pumps fail
    "nothing":                  ((), ()),
    "the return, from then on": ((), ("return_c",)),
    "the return, never":        (("return_c",), ("return_c",)),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), DARK.values(), ids=DARK.keys())
def test_what_the_flow_carries_does_not_hang_on_the_return_sensor(
    config: Config, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    loop = ClosedLoop(config)
    failed = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    cooling, plant = config.loops[failed], loop.plant.loops[failed]
    own = [i for i, rack in enumerate(loop.composed.racks) if rack.loop == cooling.id]
    loop.dark = {(cooling.id, name) for name in before}
    loop.run(15.0)
    assert loop.limits.loop_max_w[failed] < views.state(loop.memory).loop_w[failed] < codes.ENDLESS
    loop.dark = {(cooling.id, name) for name in after}
    plant.pumps = 0.15
    # The flow is above its least: the racks are lowered at the pace of a dispatch.
    out = loop.run(60.0)
    carried_w = WATER_W_PER_K_LPM * plant.flow_lpm * (cooling.return_max_c - plant.supply_c)
    assert plant.flow_lpm > cooling.min_flow_lpm
    assert carried_w < 0.6 * loop.limits.loop_max_w[failed]
    assert sum(loop.plant.racks.power_w[loop.index[loop.composed.racks[i].id]] for i in own) <= 1.01 * carried_w
    assert sum(out.setpoint_w[i] for i in own) == pytest.approx(carried_w, rel=0.02)
    assert loop.vetoes() == 0


def test_the_most_protected_racks_of_a_loop_keep_their_power(config: Config) -> None:
    """And the others have all that these leave of what the flow carries."""
    failed = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    name = config.loops[failed].id
    racks = [
        rack.model_copy(update={"tier": 0}) if rack.loop == name and i % 3 == 0 else rack
        for i, rack in enumerate(config.racks)
    ]
    loop = ClosedLoop(config.model_copy(update={"racks": tuple(racks)}))
    own = [i for i, rack in enumerate(loop.composed.racks) if rack.loop == name]
    loop.run(15.0)
    loop.plant.loops[failed].pumps = 0.25
    out = loop.run(60.0)
    carried_w = WATER_W_PER_K_LPM * loop.plant.loops[failed].flow_lpm * (
        config.loops[failed].return_max_c - loop.plant.loops[failed].supply_c
    )  # fmt: skip
    kept = [i for i in own if loop.composed.racks[i].tier == 0]
    assert 0 < len(kept) < len(own)
    assert all(out.setpoint_w[i] >= 0.99 * loop.composed.racks[i].max_kw * 1e3 for i in kept)
    assert max(out.setpoint_w[i] / loop.composed.racks[i].max_kw for i in own if i not in kept) < 900.0
    assert sum(out.setpoint_w[i] for i in own) == pytest.approx(carried_w, rel=0.02)
    assert loop.vetoes() == 0


def test_what_a_loop_lost_comes_back_as_after_an_emergency(config: Config) -> None:
    """No faster than [restore] allows, where a dispatched command holds that would let it rise at once."""
    fast = config.dispatched.model_copy(update={"up_mw_per_s": 0.3 * config.site.max_mw})
    loop = ClosedLoop(config.model_copy(update={"dispatched": fast}))
    loop.run(15.0)
    loop.command(config.site.max_mw * 1e6, ramp_s=5.0, lease_s=3600.0)
    loop.run(30.0)
    stood_w = loop.mean_w(10.0)
    failed = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    loop.plant.loops[failed].pumps = 0.0
    loop.run(60.0)
    lost_w = stood_w - loop.mean_w(5.0)
    assert lost_w > 0.03 * stood_w
    loop.plant.loops[failed].pumps = 1.0
    loop.run(5.0)
    loop.inputs.command.resets += 1
    deadline_s = loop.now_s + 60.0
    while not views.state(loop.memory).returning and loop.now_s < deadline_s:
        loop.run(loop.dt_s)
    begin_s, least_w = loop.now_s, loop.mean_w(1.0)
    loop.run(60.0)
    slack_w = 0.005 * stood_w
    for k, power_w in enumerate(loop.since(begin_s)):
        assert power_w <= least_w + loop.limits.site.return_up * k * loop.dt_s + slack_w
    assert loop.mean_w(1.0) >= least_w + 0.5 * min(lost_w, 60.0 * loop.limits.site.return_up)
    # A fresh command ends it.
    loop.command(config.site.max_mw * 1e6, ramp_s=5.0)
    loop.run(90.0)
    assert not views.state(loop.memory).returning
    assert loop.mean_w(10.0) == pytest.approx(stood_w, abs=slack_w)
    assert loop.vetoes() == 0


def test_what_idle_racks_leave_of_the_reference_no_loop_has_lost(config: Config) -> None:
    """A loop that is a little too warm for a while holds a hall at what it draws for no hour."""
    loop = ClosedLoop(config, plant_spec=hall(config, utilisation=0.5))
    loop.run(15.0)
    loop.command(config.site.max_mw * 1e6, ramp_s=5.0, lease_s=3600.0)
    loop.run(60.0)
    state = views.state(loop.memory)
    warm = next(i for i, cooling in enumerate(config.loops) if cooling.id.startswith("gpu"))
    idle_w = state.reference_w - loop.mean_w(10.0)
    assert idle_w > 0.1 * config.site.max_mw * 1e6
    for _ in range(round(5.0 / loop.dt_s)):
        loop.plant.loops[warm].supply_c = config.loops[warm].derate_c + 0.05
        loop.run(loop.dt_s)
    assert state.cooling_lost
    for _ in range(round(60.0 / loop.dt_s)):
        loop.plant.loops[warm].supply_c = loop.plant.loops[warm].spec.supply_c
        loop.run(loop.dt_s)
    assert not state.cooling_lost
    assert not state.returning
    assert state.reference_w == state.goal_w
