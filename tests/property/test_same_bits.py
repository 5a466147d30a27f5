"""The compiled tick and the interpreted kernels on the same images: every byte of their memories, tick by tick."""

from __future__ import annotations

import math
import os
from array import array
from random import Random
from typing import Any

import pytest

from rampd.ext import codes, views
from rampd.ext.image import Memory
from tests import interpreted
from tests.core import NS, Cooling, Node, Rack, World, dump, world
from tests.property.test_allocate import parents

SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1
TICKS = 60
NAN, INF = float("nan"), float("inf")


def steps(random: Random) -> dict[str, Any]:
    """How a rack moves: freely, in equal steps, or through a list; some must rest between changes."""
    rest = random.choice([{}, {"on_s": 1.0, "off_s": 2.0}, {"wear_s": 2.0, "budget_s": 5.0}])
    return random.choice([{}, {}, {"quantum_w": 3125.0, **rest}, {"levels_w": (20e3, 30e3, 50e3), **rest}])


def made_of(random: Random) -> World:
    nodes = random.randint(1, 6)
    racks = sorted(
        (
            Rack(
                min_w=random.choice([0.0, 20e3]), max_w=random.choice([50e3, 100e3]), node=random.randrange(nodes),
                loop=random.randrange(2), tier=random.randrange(3), weight=random.choice([0.5, 1.0, 3.0]),
                up_w_per_s=random.choice([5e3, 200e3]),
                down_w_per_s=random.choice([50e3, 400e3]), dead_up_s=random.choice([0.0, 0.1, 1.0]),
                dead_down_s=random.choice([0.0, 0.2, 1.2]), readback=random.random() < 0.8, **steps(random),
            )
            for _ in range(random.randint(1, 10))
        ),
        key=lambda rack: rack.node,
    )  # fmt: skip
    most_w = sum(rack.max_w for rack in racks)
    limits = [random.choice([1e12, most_w, random.uniform(0.1, 1.0) * most_w]) for _ in range(nodes)]
    return world(
        racks, [
            Node(w, p, measured=random.random() < 0.4, phase_a=random.choice([0.0, 300.0]))
            for w, p in zip(limits, parents(random, nodes), strict=True)
        ],
        [Cooling(leak=random.random() < 0.5) for _ in range(2)], measured=random.random() < 0.7,
        windows=[(15.0, codes.NORMAL, 0.1 * most_w, 0.1 * most_w), (5.0, codes.DISPATCHED, most_w, 0.5 * most_w)],
        under=[(59.7, 2), (59.5, 1)], droop=random.choice([0.0, 0.05]), deadband_hz=0.017, hold_hz=0.05,
        stagger_ns=random.choice([0, 2 * 10**9]), hold_max_ns=5 * 10**9,
        blind_max_ns=3 * 10**9, return_up=0.01 * most_w,
        phases=random.choice([1, 4]), align_ticks=random.choice([1, 3]), after_hold=random.randrange(2),
        raise_after=random.randrange(2), max_w=1.1 * most_w, min_w=random.choice([0.0, 0.2 * most_w]),
        import_w=random.uniform(0.6, 1.2) * most_w, default_w=random.uniform(0.3, 1.0) * most_w, loss_ratio=0.015,
        feedback_s=random.choice([0.5, 2.0]), lead_s=random.choice([0.5, 2.0]), normal_up=0.02 * most_w,
        normal_down=0.03 * most_w, dispatched_up=0.2 * most_w, dispatched_down=0.3 * most_w,
        generation_w=random.choice([0.0, 0.0, 0.1, 2.0]) * most_w, freeze_w=random.choice([10e3, 40e3, 150e3]),
        freeze_ns=random.choice([1, 2]) * 10**9, meter_delay_ns=random.choice([0, 100_000_000]),
        swing_limit_w=random.choice([0.0, 0.1, 0.3]) * most_w,
    )  # fmt: skip


def feed(random: Random, made: World, racks_w: float) -> None:
    """What measured nodes show: less than all racks, as much, or more."""
    for v in range(made.limits.site.nodes):
        if made.limits.draw_slot[v] >= 0 and random.random() < 0.4:
            drawn_w = random.choice([0.5, 1.0, 1.0, 1.2]) * racks_w
            made.feed(v, drawn_w, *(random.choice([0.0, 0.0004, 0.001]) * drawn_w for _ in range(3)))


def disturb(random: Random, made: World, wild: bool) -> None:
    """The next image: a plausible plant, with boundary values, bad qualities, odd times and, where wild, any double."""
    site, limits = made.limits.site, made.limits
    sum_w = 0.0
    for i in range(site.racks):
        draws_w = made.state.applied_w[i] if made.state.known[i] else limits.max_w[i]
        power_w = random.choice([draws_w, 0.99 * draws_w, 0.7 * draws_w, 0.0, limits.min_w[i], limits.max_w[i]])
        sum_w += power_w
        if random.random() < 0.4:
            made.rack(i, power_w, random.choice([draws_w, limits.min_w[i], 0.0]))
        made.inputs.rack_state[i] = random.choice([codes.AVAILABLE] * 12 + list(codes.RackState))
    if random.random() < 0.6:
        # For a while it shows too little.
        part = 1.02 if made.state.tick % 60 < 30 else 0.3
        made.meter(part * sum_w + random.uniform(-1e3, 1e3))
    if site.frequency_slot >= 0 and random.random() < 0.4:
        made.grid(
            hz=random.choice([60.0] * 6 + [59.95, 60.1, 59.7, 59.5, 59.71, 40.0]),
            volts=random.choice([8000.0] * 9 + [7200.0, 7000.0, 9000.0]), closed=random.choice([1.0] * 9 + [0.0]),
        )  # fmt: skip
    feed(random, made, sum_w)
    for k in range(site.loops):
        if random.random() < 0.3:
            made.cool(
                k, supply_c=random.choice([30.0, 30.0, 37.9, 38.0, 39.0, 40.0, 42.5, 45.0]),
                flow_lpm=random.choice([2000.0, 2000.0, 100.0, 99.0, 10.0, 0.0]),
                leak=random.choice([0.0, 0.0, 0.0, 1.0]), dew_point_c=random.choice([12.0, 12.0, 28.0, 28.1]),
            )  # fmt: skip
    for slot in range(site.slots):
        if random.random() < 0.05:
            made.put(slot, made.inputs.value[slot], age_s=random.choice([-0.3, 0.0, 0.07, 2.0, 2.001, 5.0, 10.0, 60.0]))
        if random.random() < 0.02:
            made.inputs.quality[slot] = random.choice(list(codes.Quality))
        if wild and random.random() < 0.05:
            made.inputs.value[slot] = random.choice(
                [NAN, INF, -INF, 0.0, -0.0, -1.0, 1e300, -1e300, 5e-324, math.nextafter(100e3, INF), 1e-9]
            )
    if random.random() < 0.1:
        verb = random.choice([codes.TRACK, codes.TRACK, codes.HOLD, codes.STAND, codes.ESTOP])
        made.command(
            verb, random.choice([0.0, 0.5, 1.0, 2.0]) * site.max_w,
            envelope=random.choice([codes.NORMAL, codes.DISPATCHED]),
            ramp_s=random.choice([0.0, 0.1, 5.0]), rate_w_per_s=random.choice([0.0, 0.0, 1e4]),
            lease_s=random.choice([0.3, 2.0, 900.0]),
        )  # fmt: skip
        made.inputs.command.shape = random.choice(list(codes.Shape))
    if random.random() < 0.05:
        made.inputs.command.lost_ns = random.choice([0, made.now_ns])
        made.inputs.command.outlived = random.choice([0, 1])


def remind(random: Random, made: World) -> None:
    """What was so before a restart, in one of two worlds."""
    if random.random() < 0.5:
        return
    inputs, now_ns = made.inputs, made.now_ns
    inputs.shedding, inputs.shed_tier = random.randint(0, 1), random.randint(0, 3)
    inputs.returning, inputs.return_ns = random.randint(0, 1), now_ns - random.choice([0, 1, 3590, 3600]) * NS
    inputs.return_cap_w = random.choice([0.0, 1.0, 0.5, 1.1]) * made.limits.site.max_w
    inputs.regulated, inputs.held_w = random.randint(0, 1), random.choice([0.0, -0.1, 0.2]) * made.limits.site.max_w
    inputs.doubted = random.choice([0, 1 << codes.R_METER_FROZEN, 1 << codes.R_METER_IMPLAUSIBLE])
    inputs.rest_w = random.choice([0.0, 0.1]) * made.limits.site.max_w
    site = made.limits.site
    for zone in range(site.zones - site.nodes, site.zones):
        inputs.latched[zone] = random.choice([0, 0, 0, 1 << codes.R_OVERLOAD])
    for i in range(made.limits.site.racks):
        inputs.free_ns[i], inputs.worn_ns[i] = (random.choice([0, now_ns + random.randint(0, 20 * NS)]) for _ in "ab")


def interpret(made: World, memory: Memory) -> int:
    """One tick as the loop does it, by the interpreter, on a memory of its own."""
    state, watch = views.state(memory), views.watch(memory)
    fault = interpreted.step.step(made.inputs, made.limits, state, made.now_ns)
    if fault != codes.FAULT_NONE:
        for i in range(made.limits.site.racks):
            state.asked_w[i] = state.applied_w[i]
    interpreted.guard.check(made.inputs, made.limits, watch, state.asked_w, state.applied_w, made.now_ns)
    interpreted.ladder.heed(made.limits, state, watch.tripped)
    interpreted.model.record(made.limits, state)
    return int(fault)


def same(made: World, other: Memory) -> views.State:
    """One tick of both: every byte of the two memories is one; the interpreted state."""
    lengths = made.lengths()
    made.wall.publish(made.now_ns)
    made.loop.tick_at(made.now_ns)
    fault = interpret(made, other)
    assert views.outputs(made.out).fault == fault
    compiled = made.bytes()
    for name, raw in (dump(views.state(other), lengths) | dump(views.watch(other), lengths)).items():
        assert raw == compiled[name], f"{name} at tick {views.state(other).tick}"
    return views.state(other)


def play(seed: str, wild: bool) -> None:
    random = Random(seed)
    made = made_of(random)
    other = Memory(made.configuration)
    remind(random, made)
    for _ in range(TICKS):
        disturb(random, made, wild)
        made.now_s += random.choice([0.05, 0.05, 0.05, 0.05, 0.049, 0.3, 3.0, 0.0, -0.05])
        state = same(made, other)
        out = views.outputs(made.out)
        racks = made.limits.site.racks
        assert out.setpoint_w[:racks] == state.applied_w[:racks] or wild
        assert (out.tick, out.verb, out.site_why) == (state.tick, state.verb, state.site_why)
        assert math.isfinite(out.coming_w_per_s)


@pytest.mark.parametrize("seed", range(40 * SEEDS))
def test_the_same_bits_on_plausible_images(seed: int) -> None:
    play(f"bits {seed}", wild=False)


@pytest.mark.parametrize("seed", range(40 * SEEDS))
def test_the_same_bits_on_any_image(seed: int) -> None:
    play(f"wild {seed}", wild=True)


def crossing(random: Random) -> World:
    """A hall whose nodes and loops are too small for all of its racks."""
    nodes, loops = random.randint(3, 7), random.randint(2, 5)
    racks = sorted(
        (Rack(node=random.randrange(nodes), loop=random.randrange(loops), tier=random.randrange(3), **steps(random))
         for _ in range(random.randint(12, 30))),
        key=lambda rack: rack.node,
    )  # fmt: skip
    tree = [Node(), *(Node(random.uniform(20e3, 400e3), 0) for _ in range(nodes - 1))]
    return world(racks, tree, [Cooling(min_flow_lpm=10.0)] * loops, max_w=4e6, import_w=5e6, default_w=4e6)


@pytest.mark.parametrize("part", range(4))
def test_the_same_bits_where_racks_give_way_for_others(part: int) -> None:
    gave_way = 0
    for seed in range(10 * SEEDS * part, 10 * SEEDS * (part + 1)):
        random = Random(f"crossing {seed}")
        made = crossing(random)
        other = Memory(made.configuration)
        flows = [random.uniform(20.0, 300.0) for _ in range(made.limits.site.loops)]
        for _ in range(TICKS):
            made.now_s += 0.25
            draws_w = [made.state.applied_w[i] if made.state.known[i] else 50e3 for i in range(made.limits.site.racks)]
            for i, draw_w in enumerate(draws_w):
                made.rack(i, draw_w, draw_w)
            made.meter(sum(draws_w))
            for loop, flow_lpm in enumerate(flows):
                made.cool(loop, flow_lpm=flow_lpm * random.uniform(0.98, 1.02))
            gave_way += same(made, other).exchanged
    assert gave_way >= 20 * SEEDS


def test_the_same_bits_where_readings_are_ahead_of_the_tick() -> None:
    """Whole periods of a negative age: the compiler rounds them to zero, the interpreter down."""
    random = Random("ahead")
    made = world([Rack(dead_down_s=0.5), Rack(node=1, dead_down_s=0.2)], [Node(), Node(90e3, 0)], max_w=200e3)
    other = Memory(made.configuration)
    made.cool(0)
    for tick in range(2 * TICKS):
        made.now_s += 0.05
        for i in (0, 1):
            # Racks that draw on beyond their set points: what they have not given up may have been read, or not yet.
            made.rack(i, 90e3, made.state.applied_w[i] if tick > 0 else 90e3, age_s=random.uniform(-0.4, 0.1))
        made.meter(180e3)
        if tick % 20 == 10:
            made.command(codes.TRACK, random.uniform(50e3, 190e3))
        same(made, other)


IMAGES = 100_000
WORLDS = 200
BOUNDARIES = (NAN, INF, -INF, 0.0, -0.0, -1.0, 1e300, 5e-324, 20e3, 100e3, math.nextafter(100e3, INF), 38.0, 40.0, 60.0)


def guard_inputs(random: Random, made: World) -> None:
    """Anything anywhere: a few slots, set points, states and times of the last image are replaced."""
    site, limits = made.limits.site, made.limits
    for _ in range(4):
        slot = random.randrange(site.slots)
        power_w = random.uniform(0.0, 120e3)
        made.inputs.value[slot] = random.choice(BOUNDARIES) if random.random() < 0.3 else power_w
        made.inputs.quality[slot] = random.choice([codes.GOOD] * 5 + list(codes.Quality))
        made.inputs.at_ns[slot] = made.now_ns - random.choice([0, 0, 0, 0, 2_000_000_000, 5_000_000_001, -50_000_000])
    for i in range(site.racks):
        asked_w = random.choice([made.watch.last_w[i], random.uniform(limits.min_w[i], limits.max_w[i])])
        made.state.asked_w[i] = random.choice(BOUNDARIES) if random.random() < 0.1 else asked_w
    made.inputs.rack_state[random.randrange(site.racks)] = random.choice([codes.AVAILABLE] * 4 + list(codes.RackState))
    if random.random() < 0.05:
        made.command(random.choice(list(codes.Verb)), envelope=random.choice(list(codes.Envelope)),
                     lease_s=random.choice([0.2, 900.0]))  # fmt: skip


@pytest.mark.parametrize("part", range(10))
def test_the_guard_gives_the_same_bits_on_a_hundred_thousand_images(part: int) -> None:
    seen: set[int] = set()
    for world_at in range(part * WORLDS // 10, (part + 1) * WORLDS // 10):
        random = Random(f"guard bits {world_at}")
        made = made_of(random)
        other = Memory(made.configuration)
        state, watch = views.state(other), views.watch(other)
        racks = made.limits.site.racks
        lengths = made.lengths()
        for _ in range(IMAGES // WORLDS):
            guard_inputs(random, made)
            made.now_s += random.choice([0.05, 0.05, 0.05, 0.7, 3.0])
            made.wall.publish(made.now_ns)
            made.loop.check_at(made.now_ns)
            interpreted.guard.check(made.inputs, made.limits, watch, made.state.asked_w, state.applied_w, made.now_ns)
            assert bytes(array("d", made.state.applied_w[:racks])) == bytes(array("d", state.applied_w[:racks]))
            assert dump(made.watch, lengths) == dump(watch, lengths)
        seen |= {k for k in range(codes.VETOES) if watch.vetoes[k]}
    assert len(seen) >= codes.VETOES - 1
