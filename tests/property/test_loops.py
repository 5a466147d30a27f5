"""Shares under loops that cross the tree: a certificate of fairness, and the joint linear programme.

Interpreted; the compiled kernel is held to the same bits elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Node, Rack
from tests.property.test_allocate import SEEDS, Case, Programme, case, certify

HALLS = 300


def hung(random: Random, of: Case, loops: int) -> Case:
    """The racks of a tree on loops at random; each carries the least of its racks and more or less of their range."""
    of.racks = [replace(rack, loop=random.randrange(loops)) for rack in of.racks]
    for loop in range(loops):
        own = [i for i, rack in enumerate(of.racks) if rack.loop == loop]
        least_w, most_w = sum(of.lo_w[i] for i in own), sum(of.hi_w[i] for i in own)
        of.loops_w.append(least_w + random.choice([0.3, 0.6, 0.9, 2.0, random.random()]) * (most_w - least_w))
    return of


def hall(seed: int) -> Case:
    random = Random(f"loops {seed}")
    of = case(random, random.randint(4, 40), random.randint(1, 10), tight=0.4)
    return hung(random, of, random.randint(1, 5))


@pytest.mark.parametrize("batch", range(6))
def test_a_certificate_of_fairness(batch: int) -> None:
    for seed in range(HALLS * SEEDS * batch // 6, HALLS * SEEDS * (batch + 1) // 6):
        of = hall(seed)
        certify(of, of.solved())


@pytest.mark.parametrize(
    ("racks", "nodes", "loops", "halls"), [(2_000, 80, 40, 6), (10_000, 400, 300, 1)], ids=["2,000", "10,000"]
)
def test_in_large_halls(racks: int, nodes: int, loops: int, halls: int) -> None:
    random = Random(f"large {racks}")
    for _ in range(halls * SEEDS):
        of = hung(random, case(random, racks, nodes), loops)
        certify(of, of.solved())


def test_the_certificate_refuses_what_is_not_fair() -> None:
    racks = [Rack(loop=0), Rack(loop=1), Rack(loop=0, tier=1), Rack(loop=1, tier=1)]
    of = Case(racks, [Node(250e3)], [0.0] * 4, [100e3] * 4, 1e12, [120e3, 90e3])
    right_w = of.solved()
    assert right_w == pytest.approx([100e3, 90e3, 20e3, 0.0], abs=1e-3)
    certify(of, right_w)
    for wrong_w in (
        [60e3, 90e3, 60e3, 0.0],
        [100e3, 45e3, 20e3, 45e3],
        [100e3, 80e3, 20e3, 0.0],
        [100e3, 90e3, 40e3, 0.0],
    ):
        with pytest.raises(AssertionError):
            certify(of, wrong_w)


def test_tier_by_tier_it_is_the_joint_programme_but_where_a_protected_rack_would_give_way() -> None:
    """A rack below a full node and on a full loop could make room for two: a programme takes it, fairness does not."""
    off = []
    for seed in range(HALLS):
        of = hall(seed)
        programme, tier_of = Programme(of), np.array([rack.tier for rack in of.racks])
        for at, tier in enumerate(programme.tiers):
            programme.keep(1 + at, tier_of == tier)
        right_w = np.array(of.lo_w) + programme.scale * np.array(programme.highs.getSolution().col_value[:-1])
        share_w = np.array(of.solved())
        scale_w = min(max(of.total_w, 1.0), sum(of.hi_w))
        by_w = [abs((share_w - right_w)[tier_of == tier].sum()) for tier in programme.tiers]
        if max([*by_w, abs((share_w - right_w).sum())]) > 0.01 * scale_w:
            off.append(seed)
    assert len(off) <= 0.02 * HALLS, off


def test_where_the_turns_end_early_no_node_and_no_loop_is_too_full() -> None:
    """Forty nodes and loops in a chain: each turn moves what the next loop is to carry, and the turns are fewer."""
    count = 40
    racks = []
    for k in range(count):
        weight = 1.1**-k
        racks += [Rack(node=1 + k, loop=k, weight=1.1 * weight), Rack(node=1 + k, loop=k + 1, weight=weight)]
        racks += [Rack(node=1 + k, loop=k, tier=1), Rack(node=1 + k, loop=count + 1, tier=1)]
    nodes = [Node(), *[Node(100e3, 0)] * count]
    of = Case(racks, nodes, [0.0] * len(racks), [100e3] * len(racks), 1e12, [10e3, *[100e3] * count, 1e12])
    share_w = of.solved()
    for v in range(1, count + 1):
        assert sum(share_w[i] for i in of.below(v)) <= 100e3 * (1 + 1e-8)
    for loop, carries_w in enumerate(of.loops_w):
        assert sum(w for w, rack in zip(share_w, racks, strict=True) if rack.loop == loop) <= carries_w * (1 + 1e-8)
    with pytest.raises(AssertionError):
        certify(of, share_w)


TWO = [Rack(), Rack(loop=1)]
ROWS = {
    # name: racks, nodes, total, what the loops carry -> shares of racks that could have 0 to 100 W
    "a loop holds back":            (TWO, [Node()], 500.0, [30.0, 500.0], [30.0, 100.0]),
    "others take what it leaves":   (TWO, [Node()], 110.0, [30.0, 500.0], [30.0, 80.0]),
    "no flow":                      (TWO, [Node()], 500.0, [0.0, 500.0], [0.0, 100.0]),
    "tier by tier":                 ([Rack(tier=1), Rack()], [Node()], 500.0, [120.0], [20.0, 100.0]),
    "by weight":                    ([Rack(weight=2.0), Rack()], [Node()], 500.0, [90.0], [60.0, 30.0]),
    "below a full node":            ([*TWO, Rack(loop=1)], [Node(150.0)], 500.0, [20.0, 500.0], [20.0, 65.0, 65.0]),
    "a node leaves some of a loop": ([Rack(), Rack(node=1)], [Node(), Node(10.0, 0)], 500.0, [80.0], [70.0, 10.0]),
    "two of three on one":          ([*TWO, Rack(node=1)], [Node(), Node(500.0, 0)], 500.0, [100.0, 500.0],
                                     [50.0, 100.0, 50.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rows(row: tuple[list[Rack], list[Node], float, list[float], list[float]]) -> None:
    racks, nodes, total_w, loops_w, shares = row
    of = Case(racks, nodes, [0.0] * len(racks), [100.0] * len(racks), total_w, loops_w)
    assert of.solved() == pytest.approx(shares, abs=1e-6)


@pytest.mark.parametrize("seed", range(40 * SEEDS))
def test_settling_keeps_to_the_loops_as_well(seed: int) -> None:
    random = Random(f"settle on loops {seed}")
    of = hung(random, case(random, random.randint(4, 60), random.randint(1, 12)), random.randint(1, 5))
    pinned = [i for i in range(len(of.racks)) if random.random() < 0.5]
    for i in pinned:
        of.racks[i] = replace(of.racks[i], quantum_w=3125.0)
        of.hi_w[i] = of.lo_w[i]
    made = of.made()
    right_w = of.solved(on=made)
    for i in range(len(of.racks)):
        made.state.share_w[i] = of.lo_w[i] if i in pinned else -1.0
    interpreted.allocate.settle(
        made.limits, made.state, made.state.lo_w, made.state.hi_w, of.total_w, made.state.share_w
    )
    assert made.state.share_w[: len(of.racks)] == right_w


def test_shares_may_be_written_where_the_least_stands() -> None:
    """What is made up beyond a share is dealt out in place."""
    of = hall(0)
    right_w = of.solved()
    made = of.made()
    state = made.state
    interpreted.allocate.allocate(made.limits, state, state.lo_w, state.hi_w, of.total_w, state.lo_w)
    assert state.lo_w[: len(of.racks)] == right_w
    assert state.cut == 1
    assert any(state.cut_w[i] < codes.ENDLESS for i in range(len(of.racks)))
