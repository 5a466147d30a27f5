"""Racks that move in steps, shared out: caps, sums and tiers against every way to round the shares. Interpreted.

RAMPD_LONG=1 runs ten times as many trees.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Node, Rack, World, world
from tests.property.test_allocate import Case, case

SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1


def stepped(random: Random, racks: int, nodes: int, share: float, tiers: int = 3) -> Case:
    """A random tree where a share of the racks, twelve at most, moves in steps or through a list."""
    of = case(random, racks, nodes, tiers=tiers)
    count = 0
    for i, rack in enumerate(of.racks):
        width_w = random.choice([30e3, 60e3, 100e3])
        levels = random.choice([(0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.3, 0.7, 1.0), (0.4, 1.0), (0.2, 0.5, 1.0)])
        of.lo_w[i], of.hi_w[i] = 0.2 * width_w, width_w
        if random.random() < share and count < 12:
            count += 1
            listed = tuple(width_w * level for level in levels)
            of.racks[i] = replace(rack, min_w=listed[0], max_w=width_w, levels_w=listed)
            of.lo_w[i] = listed[0]
        else:
            of.racks[i] = replace(rack, min_w=of.lo_w[i], max_w=width_w)
    limits = []
    for v in range(nodes):
        low_w, high_w = (sum(w[i] for i in of.below(v)) for w in (of.lo_w, of.hi_w))
        limits.append(random.choice([1e12, low_w + random.choice([0.3, 0.6, 0.9, random.random()]) * (high_w - low_w)]))
    of.nodes = [Node(w, p) for w, p in zip(limits, [node.parent for node in of.nodes], strict=True)]
    of.total_w = random.uniform(sum(of.lo_w), sum(of.hi_w))
    return of


def shared(of: Case) -> tuple[list[float], list[float]]:
    """What the step shares out with racks that reach anything at once, and the shares if none moved in steps."""
    made = of.made()
    state, count = made.state, len(of.racks)
    relaxed_w = of.solved(on=made)
    for i in range(count):
        state.floor_w[i], state.reach_w[i] = of.lo_w[i], of.hi_w[i]
        state.applied_w[i] = of.racks[i].levels_w[0] if of.racks[i].levels_w else of.lo_w[i]
    state.rise_w = codes.ENDLESS
    interpreted.step.share(made.limits, state, of.total_w)
    return state.share_w[:count], relaxed_w


def gap_w(of: Case) -> float:
    """The largest step."""
    return max((b - a for rack in of.racks for a, b in itertools.pairwise(rack.levels_w)), default=0.0)


def best_w(of: Case, relaxed_w: list[float]) -> float:
    """How near to the sum of the relaxed shares any rounding of them comes, free racks following as they may."""
    moving = [i for i, rack in enumerate(of.racks) if rack.levels_w]
    choices = [
        {max(w for w in of.racks[i].levels_w if w <= relaxed_w[i] + 1e-6),
         min(w for w in of.racks[i].levels_w if w >= relaxed_w[i] - 1e-6)}
        for i in moving
    ]  # fmt: skip
    grid = np.array(list(itertools.product(*choices)))
    wanted_w = sum(relaxed_w)
    least, most = np.zeros((len(of.nodes), len(grid))), np.zeros((len(of.nodes), len(grid)))
    for i, rack in enumerate(of.racks):
        at = moving.index(i) if i in moving else -1
        least[rack.node] += grid[:, at] if at >= 0 else of.lo_w[i]
        most[rack.node] += grid[:, at] if at >= 0 else of.hi_w[i]
    possible = np.ones(len(grid), dtype=bool)
    for v in range(len(of.nodes) - 1, -1, -1):
        possible &= least[v] <= of.nodes[v].limit_w + 1e-6
        most[v] = np.minimum(most[v], of.nodes[v].limit_w)
        if v:
            least[of.nodes[v].parent] += least[v]
            most[of.nodes[v].parent] += most[v]
    away = np.maximum(np.maximum(least[0] - wanted_w, wanted_w - most[0]), 0.0)
    return float(away[possible].min())


@pytest.mark.parametrize("seed", range(400 * SEEDS))
def test_caps_hold_and_the_sum_is_within_half_a_step_of_the_best(seed: int) -> None:
    random = Random(f"levels {seed}")
    of = stepped(random, random.randint(1, 16), random.randint(1, 6), random.choice([0.5, 1.0]))
    share_w, relaxed_w = shared(of)
    for i, rack in enumerate(of.racks):
        assert not rack.levels_w or share_w[i] in rack.levels_w
        assert of.lo_w[i] <= share_w[i] <= of.hi_w[i]
    for v, node in enumerate(of.nodes):
        below = of.below(v)
        assert sum(share_w[i] for i in below) <= max(node.limit_w, sum(of.lo_w[i] for i in below)) + 1e-3
    away_w = abs(sum(share_w) - sum(relaxed_w))
    assert away_w <= best_w(of, relaxed_w) + 0.5 * gap_w(of) + 1e-3


@pytest.mark.parametrize("seed", range(200 * SEEDS))
def test_where_racks_without_steps_have_room_the_sum_is_exact(seed: int) -> None:
    random = Random(f"room {seed}")
    of = stepped(random, random.randint(1, 12), random.randint(1, 4), 1.0)
    # A free rack of the last tier at every node, with room both ways in the middle of what the rest needs.
    width_w = 4.0 * len(of.racks) * max(gap_w(of), 1.0)
    for v in range(len(of.nodes)):
        of.racks.append(Rack(min_w=0.0, max_w=width_w, node=v, tier=2))
        of.lo_w.append(0.0)
        of.hi_w.append(width_w)
    order = sorted(range(len(of.racks)), key=lambda i: of.racks[i].node)
    of.racks, of.lo_w, of.hi_w = ([x[i] for i in order] for x in (of.racks, of.lo_w, of.hi_w))
    of.nodes = [Node(1e12, node.parent) for node in of.nodes]
    of.total_w = sum(w for w, rack in zip(of.hi_w, of.racks, strict=True) if rack.levels_w) + 0.5 * width_w
    share_w, relaxed_w = shared(of)
    assert sum(share_w) == pytest.approx(sum(relaxed_w), abs=1e-3)
    assert sum(share_w) == pytest.approx(of.total_w, abs=1e-3)


@pytest.mark.parametrize("seed", range(300 * SEEDS))
def test_tiers_keep_their_totals_within_a_step(seed: int) -> None:
    random = Random(f"tiers {seed}")
    of = stepped(random, random.randint(2, 40), random.randint(1, 6), 1.0)
    of.nodes = [Node(1e12, node.parent) for node in of.nodes]
    share_w, relaxed_w = shared(of)
    for tier in {rack.tier for rack in of.racks}:
        kept_w, wanted_w = (
            sum(w for w, rack in zip(of_w, of.racks, strict=True) if rack.tier == tier) for of_w in (share_w, relaxed_w)
        )
        assert abs(kept_w - wanted_w) <= gap_w(of) + 1e-3
    assert abs(sum(share_w) - sum(relaxed_w)) <= 0.5 * gap_w(of) + 1e-3


def resting(random: Random) -> World:
    racks = [
        Rack(min_w=0.0, levels_w=random.choice([(0.0, 100e3), (0.0, 50e3, 100e3)]),
             on_s=random.choice([0.5, 3.0]), off_s=random.choice([0.5, 3.0]))
        for _ in range(random.randint(1, 8))
    ] + [Rack() for _ in range(random.randint(0, 3))]  # fmt: skip
    most_w = sum(rack.max_w for rack in racks)
    return world(racks, max_w=most_w, default_w=most_w, import_w=1.1 * most_w, dispatched_up=most_w,
                 dispatched_down=most_w, phases=random.choice([1, 5]))  # fmt: skip


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])
@pytest.mark.parametrize("seed", range(20 * SEEDS))
def test_no_rack_changes_twice_within_its_minimum_time(seed: int, restarts: bool) -> None:
    random = Random(f"rest {seed}")
    made = resting(random)
    racks = range(made.limits.site.racks)
    limit_w, drawn_w = ([made.limits.max_w[i] for i in racks] for _ in "ab")
    changed: dict[int, tuple[float, bool]] = {}
    changes = 0
    for tick in range(600):
        if restarts and tick % 130 == 129:
            made.restart(random.choice([0.0, 0.4]))
        if tick % random.choice([7, 20, 60]) == 0:
            made.command(codes.TRACK, random.choice([0.0, random.random(), 1.0]) * made.limits.site.max_w)
        made.refresh()
        for i in racks:
            made.rack(i, drawn_w[i], limit_w[i])
        made.meter(sum(drawn_w) + random.uniform(-3e3, 3e3) if tick else 800e3)
        out = made.tick()
        for i in racks:
            if not out.active[i]:
                continue
            before_w, limit_w[i], drawn_w[i] = limit_w[i], out.setpoint_w[i], made.state.power_w[i]
            if limit_w[i] == before_w:
                continue
            if (since := changed.get(i)) is not None:
                least_ns = made.limits.on_ns[i] if since[1] else made.limits.off_ns[i]
                assert made.now_s - since[0] >= least_ns * 1e-9 - 1e-6
            changed[i] = (made.now_s, limit_w[i] > before_w)
            changes += 1
    assert changes >= len(racks)
