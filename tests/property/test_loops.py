"""Shares under loops that cross the tree: the joint linear programme, and a certificate of fairness.

Interpreted; the compiled kernel is held to the same bits elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import highspy
import numpy as np
import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Node, Rack
from tests.property.test_allocate import SEEDS, SLACK, Case, case, certify

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


class Joint:
    """Nodes, loops and the total as one linear programme; unknowns are the racks' powers above their least, in MW."""

    def __init__(self, of: Case) -> None:
        self.of = of
        self.tier_of = np.array([rack.tier for rack in of.racks])
        self.lo, self.span = np.array(of.lo_w), np.array(of.hi_w) - np.array(of.lo_w)
        count, nodes, loops = len(of.racks), len(of.nodes), len(of.loops_w)
        taken = np.zeros(nodes + loops)
        columns: list[list[int]] = []
        for i, rack in enumerate(of.racks):
            columns.append([*of.path(rack.node), nodes + rack.loop])
            taken[columns[-1]] += self.lo[i]
        most = np.array([node.limit_w for node in of.nodes] + of.loops_w) - taken
        self.tiers = sorted(set(self.tier_of))
        self.kept = {tier: nodes + loops + 2 + k for k, tier in enumerate(self.tiers)}
        for i in range(count):
            columns[i] += [nodes + loops, nodes + loops + 1, self.kept[self.tier_of[i]]]
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = count, nodes + loops + 2 + len(self.tiers)
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.zeros(count), np.zeros(count), self.span / 1e6
        upper = np.full(lp.num_row_, np.inf)
        upper[: nodes + loops] = np.maximum(most, 0.0) / 1e6
        upper[nodes + loops] = max(of.total_w - self.lo.sum(), 0.0) / 1e6
        lp.row_lower_, lp.row_upper_ = np.full(lp.num_row_, -np.inf), upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.cumsum([0, *map(len, columns)]).astype(np.int32)
        lp.a_matrix_.index_ = np.concatenate(columns).astype(np.int32)
        lp.a_matrix_.value_ = np.ones(len(lp.a_matrix_.index_))
        self.highs = highspy.Highs()
        # The number of threads is one for all programmes of a process.
        for name, value in (("output_flag", False), ("threads", 1)):
            assert self.highs.setOptionValue(name, value) == highspy.HighsStatus.kOk
        self.highs.passModel(lp)

    def most(self, racks: np.ndarray, row: int) -> float:
        """The most that these racks can have above their least; they have it from here on; W."""
        self.highs.changeColsCost(len(racks), np.arange(len(racks), dtype=np.int32), racks.astype(float))
        self.highs.run()
        assert self.highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        found = float(self.highs.getInfo().objective_function_value)
        self.highs.changeRowBounds(row, found - SLACK, np.inf)
        return 1e6 * found

    def off(self, shares: list[float]) -> float:
        """How far a tier's total, or the sum, is from the programme that takes the sum first; of the sum."""
        above = np.array(shares) - self.lo
        row = min(self.kept.values()) - 1
        by_w = [above.sum() - self.most(np.ones(len(above)), row)]
        for tier, row in self.kept.items():
            by_w.append(above[self.tier_of == tier].sum() - self.most(self.tier_of == tier, row))
        return float(max(np.abs(by_w))) / max(1.0, sum(shares))


def test_it_is_the_joint_programme() -> None:
    gave_way = 0
    for seed in range(HALLS * SEEDS):
        of = hall(seed)
        made = of.made()
        shares = of.solved(on=made)
        assert Joint(of).off(shares) <= 1e-6, seed
        if made.state.exchanged:
            gave_way += 1
            alike(of, shares)
        else:
            certify(of, shares)
    assert 0.02 * HALLS * SEEDS <= gave_way <= 0.2 * HALLS * SEEDS


def alike(of: Case, shares: list[float]) -> None:
    """Racks of one tier, node, loop and weight have one part of their range each."""
    parts: dict[tuple[int, int, int, float], float] = {}
    for rack, lo_w, hi_w, share_w in zip(of.racks, of.lo_w, of.hi_w, shares, strict=True):
        if hi_w > lo_w:
            part, bundle = (share_w - lo_w) / (hi_w - lo_w), (rack.tier, rack.node, rack.loop, rack.weight)
            assert parts.setdefault(bundle, part) == pytest.approx(part, abs=1e-6)


@pytest.mark.parametrize(
    ("racks", "nodes", "loops", "halls"), [(300, 20, 30, 6), (2_000, 80, 40, 2), (10_000, 400, 300, 1)],
    ids=["300", "2,000", "10,000"],
)  # fmt: skip
def test_in_large_halls_to_within_a_part_in_a_hundred(racks: int, nodes: int, loops: int, halls: int) -> None:
    random = Random(f"large {racks}")
    gave_way = 0
    for _ in range(halls * SEEDS):
        of = replace(hung(random, case(random, racks, nodes, tight=0.4), loops), total_w=1e12)
        made = of.made()
        shares = of.solved(on=made)
        gave_way += made.state.exchanged
        assert Joint(of).off(shares) <= 0.01
        for v in range(nodes):
            assert sum(shares[i] for i in of.below(v)) <= of.nodes[v].limit_w * (1 + 1e-9)
        for loop, carries_w in enumerate(of.loops_w):
            hung_w = sum(w for w, rack in zip(shares, of.racks, strict=True) if rack.loop == loop)
            assert hung_w <= carries_w * (1 + 2e-9)
    assert gave_way >= 0.5 * halls * SEEDS


def test_a_little_more_or_less_moves_little() -> None:
    """What loops carry is measured: its noise must not send the shares from one solution to another."""
    tried = 0
    for seed in range(HALLS * SEEDS):
        random = Random(f"little {seed}")
        of = hung(random, case(random, random.randint(10, 60), random.randint(2, 12)), random.randint(2, 8))
        made = of.made()
        shares = np.array(of.solved(on=made))
        if made.state.exchanged:
            tried += 1
            by_w = 1e-5 * sum(of.hi_w)
            more = [w + by_w * random.uniform(-1.0, 1.0) / len(of.loops_w) for w in of.loops_w]
            moved_w = np.abs(np.array(replace(of, loops_w=more).solved()) - shares).sum()
            assert moved_w <= 20.0 * by_w, seed
    assert tried >= 0.04 * HALLS * SEEDS


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
    "one gives way for two":        ([Rack(), Rack(tier=1), Rack(node=1, tier=1, loop=1)],
                                     [Node(), Node(100.0, 0)], 500.0, [100.0, 500.0], [100.0, 0.0, 100.0]),
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
