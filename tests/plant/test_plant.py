"""The simulated plant against physics: what racks, loops, losses and the meter do over time."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

from rampd.daemon import simulate, sitecheck
from rampd.drivers.sim.cooling import WATER_W_PER_K_LPM, Loop
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.racks import FALLBACK, FREE, LIMITED, Racks
from rampd.drivers.sim.spec import LoopSpec, NodeSpec, PlantSpec, RackSpec, SimError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DT = 0.025
GPU = RackSpec("gpu", "gpu", "pdu", "loop", 40e3, 132e3, 165e3, 165e3, 0.2, 0.2, 66e3)
ASIC = RackSpec("asic", "asic", "pdu", "loop", 0.0, 109e3, 5.5e3, 218e3, 1.0, 0.1, 0.0)
MINER_W = 109e3 / 32


def example(name: str) -> PlantSpec:
    return simulate.spec(sitecheck.load(EXAMPLES / name / "site.toml")).plant


def plant_of(*racks: RackSpec, **changes: float) -> PlantSpec:
    heat_w = sum(rack.max_w for rack in racks)
    nodes = (NodeSpec("main", "", 2 * heat_w), NodeSpec("pdu", "main", heat_w))
    return PlantSpec(racks, nodes, (LoopSpec("loop", 32.0, heat_w),), 1.1 * heat_w, **changes)


def run(racks: Racks, until_s: float, from_s: float = 0.0) -> list[tuple[float, float]]:
    """Time and power of the first rack, step by step."""
    seen = []
    for n in range(round((until_s - from_s) / DT)):
        now_s = from_s + (n + 1) * DT
        racks.step(now_s, DT)
        seen.append((now_s, racks.power_w[0]))
    return seen


def first(seen: list[tuple[float, float]], reached: float, falling: bool) -> float:
    return next(t for t, w in seen if (w <= reached if falling else w >= reached))


@pytest.mark.parametrize("seed", range(8))
def test_a_gpu_rack_follows_after_its_dead_time(seed: int) -> None:
    racks = Racks([GPU], seed)
    run(racks, 1.0)
    racks.set_limit(0, 60e3, 1.0)
    down = run(racks, 6.0, 1.0)
    # 132 kW at 165 kW/s is 0.8 s, 0.64 to 1.0 s on a given rack; the dead time is 0.14 to 0.26 s.
    started = first(down, 0.98 * 132e3, falling=True) - 1.0
    assert 0.14 <= started <= 0.26 + 0.1
    arrived = first(down, 60e3 + 0.01 * 72e3, falling=True) - 1.0
    assert 0.14 + 0.5 <= arrived <= 0.26 + 1.0 + 2 * DT
    racks.set_limit(0, 132e3, 6.0)
    up = run(racks, 11.0, 6.0)
    assert 0.5 <= first(up, 0.97 * 132e3, falling=False) - 6.0 <= 1.4


@pytest.mark.parametrize(
    ("slope", "shortest", "longest"), [(1e9, 0.1, 0.1), (132e3, 0.8, 1.25), (10e3, 2.0, 2.0)]
)  # W/s, s to 99 %
def test_the_lag_stays_between_a_tenth_and_two_seconds(slope: float, shortest: float, longest: float) -> None:
    spec = RackSpec("gpu", "gpu", "pdu", "loop", 0.0, 132e3, slope, slope, 0.0, 0.0, 0.0, jitter=0.0, noise=0.0)
    racks = Racks([spec], 1)
    racks.set_limit(0, 32e3, 0.0)
    arrived = first(run(racks, 5.0), 33e3, falling=True)
    assert shortest - DT <= arrived <= longest + 2 * DT


@pytest.mark.parametrize("limit_w", [0.0, 1.0, 10e3, 40e3, 80e3, 132e3, 500e3])
def test_a_gpu_rack_stays_between_floor_and_cap(limit_w: float) -> None:
    racks = Racks([GPU], 3)
    racks.set_limit(0, limit_w, 0.0)
    run(racks, 10.0)
    cap_w = 0.0 if limit_w == 0 else min(132e3, max(40e3, limit_w))
    settled = [w for _, w in run(racks, 70.0, 10.0)]
    assert max(settled) <= cap_w
    # A floor or a cap may be undershot by the jitter; at full power the job itself wants a little less at times.
    assert min(settled) >= cap_w * (0.998 if limit_w < 132e3 else 0.95)


@pytest.mark.parametrize(
    ("limit_w", "miners"), [(109e3, 32), (108e3, 31), (55e3, 16), (54.4e3, 15), (MINER_W, 1), (MINER_W - 1, 0), (0, 0)]
)
def test_an_asic_rack_runs_whole_miners(limit_w: float, miners: int) -> None:
    racks = Racks([ASIC], 1)
    racks.set_limit(0, limit_w, 0.0)
    run(racks, 5.0)
    power_w = [w for _, w in run(racks, 10.0, 5.0)]
    assert max(power_w) <= miners * MINER_W + 1e-6
    assert min(power_w) >= miners * MINER_W * 0.998


@pytest.mark.parametrize("seed", range(8))
def test_an_asic_rack_sleeps_at_once_and_wakes_slowly(seed: int) -> None:
    racks = Racks([ASIC], seed)
    racks.set_limit(0, 0.0, 0.0)
    down = run(racks, 3.0)
    assert 0.3 <= first(down, 0.01 * 109e3, falling=True) <= 0.8
    racks.set_limit(0, 109e3, 3.0)
    up = run(racks, 40.0, 3.0)
    assert 0.7 <= first(up, 1.0, falling=False) - 3.0 <= 1.3 + 2 * DT
    # 109 kW at 5.5 kW/s x 0.9 to 1.15.
    assert 17.0 <= first(up, 0.98 * 109e3, falling=False) - 3.0 <= 23.5


def test_a_fast_command_down_overtakes_a_slow_one_up() -> None:
    racks = Racks([ASIC], 1)
    racks.set_limit(0, 30e3, 0.0)
    run(racks, 5.0)
    racks.set_limit(0, 109e3, 5.0)
    racks.set_limit(0, 20e3, 5.1)
    assert max(w for _, w in run(racks, 15.0, 5.1)) <= 30e3


def test_less_of_a_rise_that_is_on_its_way_is_still_a_rise() -> None:
    racks = Racks([ASIC], 1)
    racks.set_limit(0, 30e3, 0.0)
    run(racks, 5.0)
    racks.set_limit(0, 109e3, 5.0)
    racks.set_limit(0, 60e3, 5.1)
    after = run(racks, 25.0, 5.1)
    assert all(w <= 30e3 for now_s, w in after if now_s < 5.0 + 0.7 * ASIC.dead_up_s)
    assert after[-1][1] == pytest.approx(60e3, abs=ASIC.max_w / ASIC.miners)


def test_the_dead_man_falls_back_and_every_write_arms_it() -> None:
    racks = Racks([GPU], 1)
    racks.set_fallback(0, 50e3, 0.0)
    racks.set_deadman(0, 10.0, 0.0)
    racks.set_limit(0, 100e3, 0.0)
    run(racks, 8.0)
    assert (racks.state[0], racks.limit_w[0]) == (LIMITED, 100e3)
    assert racks.deadman_left_s(0, 8.0) == pytest.approx(2.0)
    racks.set_limit(0, 100e3, 8.0)
    run(racks, 17.9, 8.0)
    assert racks.state[0] == LIMITED
    run(racks, 21.0, 17.9)
    assert (racks.state[0], racks.limit_w[0], racks.deadman_left_s(0, 21.0)) == (FALLBACK, 50e3, 0.0)
    assert racks.power_w[0] <= 50e3
    racks.set_limit(0, 132e3, 21.0)
    assert (racks.state[0], racks.deadman_left_s(0, 21.0)) == (FREE, 10.0)
    racks.power_on(0, 22.0)
    run(racks, 60.0, 22.0)
    assert (racks.state[0], racks.deadman_s[0], racks.fallback_w[0]) == (FREE, 0.0, 66e3)


def test_a_stuck_rack_does_not_follow() -> None:
    racks = Racks([GPU], 1)
    racks.stuck.add(0)
    racks.set_limit(0, 40e3, 0.0)
    assert len({w for _, w in run(racks, 3.0)}) == 1
    racks.stuck.clear()
    assert run(racks, 6.0, 3.0)[-1][1] <= 40e3


@pytest.mark.parametrize("hall", ["bench-12", "hall-48mw"])
@pytest.mark.parametrize("level", [1.0, 0.4])
def test_the_noise_of_an_example_hall_is_small(hall: str, level: float) -> None:
    spec = example(hall)
    plant = Plant(spec, 1)
    for i, rack in enumerate(spec.racks):
        plant.set_limit(i, max(rack.min_w, level * rack.max_w), 0.0)
    # Cooling has long settled after 5 min.
    for n in range(300):
        plant.step(n + 1.0)
    means = []
    for second in range(60):
        powers = []
        for n in range(20):
            plant.step(301.0 + second + n * 0.05)
            powers.append(plant.poi_w)
        means.append(statistics.fmean(powers))
    centre = statistics.fmean(means)
    assert max(abs(mean - centre) for mean in means) < 0.003 * centre


@pytest.mark.parametrize("hall", ["bench-12", "hall-48mw"])
def test_a_hall_starts_settled_at_full_load(hall: str) -> None:
    spec = example(hall)
    it_max_w = sum(rack.max_w for rack in spec.racks)
    plant = Plant(spec, 1)
    assert plant.meter_w == pytest.approx(1.055 * it_max_w, rel=0.005)
    assert 0.035 <= plant.cooling_w / plant.it_w <= 0.041
    assert plant.racks.limit_w == [rack.max_w for rack in spec.racks]
    before = (plant.poi_w, plant.loops[0].supply_c, plant.loops[0].return_c)
    for n in range(400):
        plant.step((n + 1) * DT)
    assert (plant.poi_w, plant.loops[0].supply_c, plant.loops[0].return_c) == pytest.approx(before, rel=0.005)


def test_sums_agree_from_rack_to_meter() -> None:
    spec = example("hall-48mw")
    plant = Plant(spec, 1)
    for n in range(80):
        plant.step((n + 1) * DT)
    names = [node.id for node in spec.nodes]
    for index, node in enumerate(spec.nodes):
        own = sum(w for rack, w in zip(spec.racks, plant.racks.power_w, strict=True) if rack.node == node.id)
        below = sum(plant.node_w[names.index(child.id)] for child in spec.nodes if child.parent == node.id)
        assert plant.node_w[index] == pytest.approx(own + below)
    assert plant.node_w[names.index("main")] == pytest.approx(plant.it_w)
    assert plant.poi_w == pytest.approx(plant.it_w * 1.015 + sum(loop.power_w for loop in plant.loops))


def test_the_meter_shows_the_mean_of_its_interval() -> None:
    plant = Plant(plant_of(GPU, ASIC, meter_refresh_s=0.2), 1)
    plant.set_limit(1, 0.0, 0.0)
    shown, powers = [plant.meter_w], []
    for n in range(40):
        plant.step((n + 1) * DT)
        powers.append(plant.poi_w)
        if plant.meter_w != shown[-1]:
            shown.append(plant.meter_w)
            assert plant.meter_w == pytest.approx(statistics.fmean(powers[-8:]))
    assert len(shown) == 1 + 40 // 8


def test_the_frequency_wanders_within_bounds() -> None:
    plant = Plant(plant_of(GPU), 1)
    seen = []
    for n in range(20000):
        plant.step((n + 1) * 0.5)
        seen.append(plant.frequency_hz - 60.0)
    assert max(map(abs, seen)) <= 0.05
    assert statistics.pstdev(seen) == pytest.approx(0.015, rel=0.2)


@pytest.mark.parametrize("heat_w", [0.1e6, 0.4e6, 1.0e6])
def test_a_loop_settles_at_supply_plus_heat_over_flow(heat_w: float) -> None:
    loop = Loop(LoopSpec("loop", 32.0, 1e6), 0.7e6)
    for _ in range(20000):
        loop.step(heat_w, DT)
    assert loop.supply_c == pytest.approx(32.0, abs=0.05)
    assert loop.return_c == pytest.approx(32.0 + heat_w / (WATER_W_PER_K_LPM * loop.flow_lpm), abs=0.05)
    assert loop.removed_w == pytest.approx(heat_w, abs=0.005e6)


def test_a_loop_conserves_energy_while_it_moves() -> None:
    loop = Loop(LoopSpec("loop", 32.0, 1e6), 1e6)
    stored_j, net_j = loop.stored_j, 0.0
    for n in range(8000):
        heat_w = 1e6 if n % 2400 < 1200 else 0.3e6
        net_j += (heat_w - loop.removed_w) * DT
        loop.step(heat_w, DT)
    assert loop.stored_j - stored_j == pytest.approx(net_j, rel=1e-6, abs=1.0)


def test_pumps_lead_and_chillers_lag() -> None:
    loop = Loop(LoopSpec("loop", 32.0, 1e6), 0.4e6)
    flow_lpm, removed_w = loop.flow_lpm, loop.removed_w
    warmest = loop.supply_c
    for n in range(round(60 / DT)):
        loop.step(1e6, DT)
        warmest = max(warmest, loop.supply_c)
        if n == round(5 / DT):
            assert (loop.flow_lpm - flow_lpm) / (loop.design_lpm - flow_lpm) > 0.6
            assert (loop.removed_w - removed_w) / 0.6e6 < 0.25
    # A rise from 40 to 100 % passes well below the first warning, 6 K above the set point.
    assert 32.5 < warmest < 35.0


def test_without_pumps_a_loaded_loop_boils() -> None:
    loop = Loop(LoopSpec("loop", 32.0, 1e6), 1e6)
    loop.pumps = 0.0
    for _ in range(round(60 / DT)):
        loop.step(1e6, DT)
    assert loop.flow_lpm < 0.02 * loop.design_lpm
    assert 65.0 < loop.return_c <= 95.0
    loop.pumps = 1.0
    for _ in range(round(600 / DT)):
        loop.step(1e6, DT)
    assert loop.return_c == pytest.approx(44.0, abs=0.5)


@pytest.mark.parametrize(
    ("heat_w", "supply_c"),
    [(0.5e6, (32.0, 32.5)), (0.6e6, (32.0, 33.0)), (1.0e6, (45.0, 95.0))],
    ids=["less than they carry", "what they carry", "more than they carry"],
)
def test_half_of_the_chillers(heat_w: float, supply_c: tuple[float, float]) -> None:
    """Of 1.2 MW that all carry; what they do not take stays in the water, and they work it off when they are back."""
    loop = Loop(LoopSpec("loop", 32.0, 1e6), heat_w)
    loop.chillers = 0.5
    for _ in range(round(300 / DT)):
        loop.step(heat_w, DT)
    assert loop.removed_w == pytest.approx(min(0.6e6, heat_w), rel=1e-3)
    assert supply_c[0] - 0.1 <= loop.supply_c <= supply_c[1]
    loop.chillers = 1.0
    for _ in range(round(1500 / DT)):
        loop.step(heat_w, DT)
    assert loop.supply_c == pytest.approx(32.0, abs=0.5)


def test_equal_seeds_give_equal_days() -> None:
    def day(seed: int) -> list[float]:
        plant = Plant(example("bench-12"), seed)
        seen = []
        for n in range(400):
            if n == 100:
                plant.set_limit(0, 50e3, n * DT)
                plant.set_limit(11, 0.0, n * DT)
            plant.step((n + 1) * DT)
            seen += [plant.meter_w, plant.meter_hz, plant.loops[0].return_c, *plant.racks.power_w]
        return seen

    assert day(7) == day(7)
    assert day(7) != day(8)


def test_a_missed_step_does_not_change_where_things_go() -> None:
    powers = []
    for steps in ([DT] * 80, [DT] * 20 + [1.0] + [DT] * 20):
        racks = Racks([GPU, ASIC], 1)
        racks.set_limit(0, 60e3, 0.0)
        racks.set_limit(1, 40e3, 0.0)
        now_s = 0.0
        for dt_s in steps:
            now_s += dt_s
            racks.step(now_s, dt_s)
        powers.append(tuple(racks.power_w))
    assert powers[0] == pytest.approx(powers[1], rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": (NodeSpec("main", "", 1e6),)}, "node 'pdu', which the hall does not have"),
        ({"loops": ()}, "loop 'loop', which the hall does not have"),
        ({"nodes": (NodeSpec("main", "pdu", 1e6), NodeSpec("pdu", "main", 1e6))}, "does not end in a root"),
    ],
)
def test_parts_that_do_not_fit_are_named(change: dict[str, object], message: str) -> None:
    spec = plant_of(GPU)
    broken = PlantSpec(
        racks=spec.racks,
        nodes=change.get("nodes", spec.nodes),  # type: ignore[arg-type]
        loops=change.get("loops", spec.loops),  # type: ignore[arg-type]
        import_limit_w=math.inf,
    )
    with pytest.raises(SimError, match=message):
        Plant(broken, 1)
