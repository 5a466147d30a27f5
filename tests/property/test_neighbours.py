"""Step and guard each judge measured nodes: the guard never takes more of a limit than the step."""

from __future__ import annotations

import os
from random import Random

import pytest

from rampd.ext import codes
from tests.core import NS, Node, Rack, World, world
from tests.property.test_allocate import parents

SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1


def made_of(random: Random) -> World:
    count = random.randint(1, 5)
    racks = sorted(
        (Rack(node=random.randrange(count)) for _ in range(random.randint(1, 8))), key=lambda rack: rack.node
    )
    nodes = [
        Node(random.uniform(100e3, 900e3), parent, measured=random.random() < 0.7, phase_a=random.choice([0.0, 500.0]))
        for parent in parents(random, count)
    ]
    made = world(racks, nodes, max_w=1e6, import_w=2e6, default_w=1e6)
    for v in range(count):
        made.limits.span_ns[v] = random.choice([1, 3]) * NS
    return made


def disturb(random: Random, made: World) -> None:
    limits = made.limits
    made.meter(random.uniform(500e3, 900e3))
    made.cool(0)
    drawn_w = [0.0] * limits.site.nodes
    for i in range(limits.site.racks):
        if random.random() < 0.6:
            quality = random.choice([codes.GOOD] * 12 + list(codes.Quality))
            made.rack(i, random.uniform(-5e3, 110e3), quality=quality)
        drawn_w[limits.node[i]] += made.inputs.value[limits.power_slot[i]]
    for v in range(limits.site.nodes - 1, -1, -1):
        if v > 0:
            drawn_w[limits.node_parent[v]] += drawn_w[v]
        if limits.draw_slot[v] >= 0 and random.random() < 0.3:
            other_w = random.choice([0.0, 20e3, 100e3])
            wild = random.choice([1.0] * 12 + [-1.0, 0.0, 0.5, 2.0, 9.0, float("nan")])
            quality = random.choice([codes.GOOD] * 12 + list(codes.Quality))
            amps = [random.uniform(0.0, 700.0) for _ in range(3)]
            made.feed(v, wild * (drawn_w[v] + other_w), *amps, quality=quality)
            if random.random() < 0.2:
                made.inputs.quality[limits.amps_slot[3 * v + random.randrange(3)]] = codes.SENTINEL


@pytest.mark.parametrize("seed", range(30 * SEEDS))
def test_the_guard_takes_no_more_than_the_step(seed: int) -> None:
    random = Random(f"neighbours {seed}")
    made = made_of(random)
    nodes = range(made.limits.site.nodes)
    for _ in range(1500):
        disturb(random, made)
        made.tick(random.choice([0.1, 0.1, 0.5, 2.0]))
        state, watch = made.state, made.watch
        for v in nodes:
            assert 0.0 <= watch.taken_w[v] <= state.taken_w[v] + 1e-3
            assert state.phase_w[v] <= 0.8 * made.limits.node_w[v] + 1e-3
            below_w = sum(state.other_w[k] for k in nodes if made.limits.node_parent[k] == v)
            assert state.other_w[v] >= below_w - 1e-6
            if made.limits.draw_slot[v] < 0:
                assert (state.learnt_w[v], state.phase_w[v]) == (0.0, 0.0)
                assert state.other_w[v] == pytest.approx(below_w)
