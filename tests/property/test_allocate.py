"""The allocation against its definition: linear programmes on small trees, a certificate of optimality on large ones.

Interpreted; the compiled kernel is held to the same bits elsewhere. RAMPD_LONG=1 runs ten times as many trees.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from random import Random

import highspy
import numpy as np
import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Cooling, Node, Rack, World, world

TREES = 10_000
SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1
# What one programme leaves to the next, in parts of the largest sum.
SLACK = 1e-8


@dataclass
class Case:
    """A tree with the bounds of its racks; `total_w` is what is to be shared, `loops_w` what each loop carries."""

    racks: list[Rack]
    nodes: list[Node]
    lo_w: list[float]
    hi_w: list[float]
    total_w: float
    loops_w: list[float] = field(default_factory=list)

    def below(self, v: int) -> list[int]:
        """Racks at and below a node."""
        return [i for i in range(len(self.racks)) if v in self.path(self.racks[i].node)]

    def path(self, v: int) -> list[int]:
        """A node and all above it."""
        found = []
        while v >= 0:
            found.append(v)
            v = self.nodes[v].parent
        return found

    def made(self) -> World:
        loops = [Cooling()] * max(1, len(self.loops_w))
        made = world(self.racks, self.nodes, loops, import_w=codes.ENDLESS)
        made.state.tight = len(self.loops_w) > 0
        for loop, carries_w in enumerate(self.loops_w):
            made.state.loop_cap_w[loop] = carries_w
        for i, (lo_w, hi_w) in enumerate(zip(self.lo_w, self.hi_w, strict=True)):
            made.state.lo_w[i] = lo_w
            made.state.hi_w[i] = hi_w
            made.state.ours[i] = 1
        return made

    def solved(self, total_w: float | None = None, on: World | None = None) -> list[float]:
        """The kernel's answer."""
        made = self.made() if on is None else on
        state = made.state
        asked_w = self.total_w if total_w is None else total_w
        sum_w = interpreted.allocate.allocate(made.limits, state, state.lo_w, state.hi_w, asked_w, state.share_w)
        shares = state.share_w[: len(self.racks)]
        assert sum_w == pytest.approx(sum(shares), rel=1e-12)
        return shares


def parents(random: Random, nodes: int) -> list[int]:
    """A random tree, parents first and every subtree in one piece."""
    found = [-1]
    path = [0]
    for v in range(1, nodes):
        del path[random.randint(1, len(path)) :]
        found.append(path[-1])
        path.append(v)
    return found


def case(random: Random, racks: int, nodes: int, *, tight: float = 0.6, tiers: int = 3) -> Case:
    """A random tree whose lower bounds fit: a share `tight` of its nodes can be full, some without any headroom."""
    tree = parents(random, nodes)
    made = sorted(
        (
            Rack(
                node=random.randrange(nodes), tier=random.randrange(tiers),
                weight=random.choice([1.0, 1.0, 1.0, 0.5, 2.0, random.uniform(0.1, 10.0)]),
            )
            for _ in range(racks)
        ),
        key=lambda rack: rack.node,
    )  # fmt: skip
    lo_w, hi_w = [], []
    for _ in made:
        least_w = random.choice([0.0, random.uniform(0, 60e3)])
        lo_w.append(least_w)
        hi_w.append(least_w + random.choice([0.0, random.uniform(0, 90e3), 80e3, 80e3]))
    low_w, high_w = [0.0] * nodes, [0.0] * nodes
    for rack, a_w, b_w in zip(made, lo_w, hi_w, strict=True):
        low_w[rack.node] += a_w
        high_w[rack.node] += b_w
    for v in range(nodes - 1, 0, -1):
        low_w[tree[v]] += low_w[v]
        high_w[tree[v]] += high_w[v]
    limits = [
        low_w[v] * (1 + 1e-12) + random.choice([0.0, 0.2, 0.5, 0.8, random.random()]) * (high_w[v] - low_w[v])
        if random.random() < tight
        else 1e12
        for v in range(nodes)
    ]
    total_w = random.choice(
        [random.uniform(low_w[0], max(high_w[0], 1.0)), 1.2 * high_w[0] + 1.0, 0.5 * low_w[0], low_w[0]]
    )
    return Case(made, [Node(w, p) for w, p in zip(limits, tree, strict=True)], lo_w, hi_w, total_w)


class Programme:
    """One tree as a linear programme that is changed from question to question; HiGHS starts from the last answer.

    Unknowns are the racks' powers above their least and one fill level, in parts of the largest sum. Rows are the nodes
    and the total, then what was found and is kept (the sum, the tiers), then each rack against the level.
    """

    def __init__(self, of: Case) -> None:
        self.count = len(of.racks)
        lo, hi = np.array(of.lo_w), np.array(of.hi_w)
        self.scale = max(hi.sum(), 1.0)
        self.span = (hi - lo) / self.scale
        self.tiers = sorted({rack.tier for rack in of.racks})
        below = [of.below(v) for v in range(len(of.nodes))]
        below += [[i for i, rack in enumerate(of.racks) if rack.loop == loop] for loop in range(len(of.loops_w))]
        most_w = [node.limit_w for node in of.nodes] + of.loops_w
        room = [(w - lo[racks].sum()) / self.scale for w, racks in zip(most_w, below, strict=True)]
        room.append((of.total_w - lo.sum()) / self.scale)
        everything = list(range(self.count))
        kept = [everything] + [[i for i in everything if of.racks[i].tier == tier] for tier in self.tiers]
        self.first_kept = len(room)
        self.first_level = self.first_kept + len(kept)
        self.weights = np.array([rack.weight for rack in of.racks])
        matrix = np.zeros((self.first_level + self.count, self.count + 1))
        for row, racks in enumerate([*below, everything, *kept]):
            matrix[row, racks] = 1.0
        matrix[self.first_level :, : self.count] = np.eye(self.count)
        matrix[self.first_level :, self.count] = -self.weights * self.span
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = matrix.shape
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_ = np.zeros(self.count + 1)
        lp.col_lower_ = np.zeros(self.count + 1)
        lp.col_upper_ = np.append(self.span, np.inf)
        lp.row_lower_ = np.full(lp.num_row_, -np.inf)
        lp.row_upper_ = np.append(np.maximum(room, 0.0), np.full(lp.num_row_ - self.first_kept, np.inf))
        rows, columns = np.nonzero(matrix)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.searchsorted(rows, np.arange(lp.num_row_ + 1)).astype(np.int32)
        lp.a_matrix_.index_ = columns.astype(np.int32)
        lp.a_matrix_.value_ = matrix[rows, columns]
        self.highs = highspy.Highs()
        for name, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
            assert self.highs.setOptionValue(name, value) == highspy.HighsStatus.kOk
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            assert self.highs.setOptionValue(name, 1e-10) == highspy.HighsStatus.kOk
        self.highs.passModel(lp)
        self.columns = np.arange(self.count + 1, dtype=np.int32)

    def best(self, gain: np.ndarray) -> float:
        """The most that the unknowns give, counted so."""
        self.highs.changeColsCost(self.count + 1, self.columns, gain)
        self.highs.run()
        assert self.highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return float(self.highs.getInfo().objective_function_value)

    def keep(self, at: int, racks: np.ndarray) -> None:
        """The most that a set of racks can have; from here on they have it."""
        most = self.best(np.append(racks.astype(float), 0.0))
        self.highs.changeRowBounds(self.first_kept + at, most - SLACK, np.inf)

    def fill(self, active: list[int]) -> None:
        """Raises the level of some racks together; what holds it holds in every solution: those racks are done."""
        for i in active:
            self.highs.changeRowBounds(self.first_level + i, 0.0, np.inf)
        while active:
            level = self.best(np.append(np.zeros(self.count), 1.0))
            duals = self.highs.getSolution().row_dual
            done = [i for i in active if abs(duals[self.first_level + i]) > 1e-9]
            assert done
            for i in done:
                at = min(self.weights[i] * level * self.span[i], self.span[i])
                self.highs.changeColBounds(i, max(0.0, at - 0.01 * SLACK), min(self.span[i], at + 0.01 * SLACK))
                self.highs.changeRowBounds(self.first_level + i, -np.inf, np.inf)
            active = [i for i in active if i not in done]


def oracle(of: Case) -> list[float]:
    """Caps, the total, every tier's total, then leximin within each tier: one linear programme after another."""
    programme = Programme(of)
    tier_of = np.array([rack.tier for rack in of.racks])
    programme.keep(0, np.ones(programme.count))
    for at, tier in enumerate(programme.tiers):
        programme.keep(1 + at, tier_of == tier)
    for tier in programme.tiers:
        programme.fill([i for i in range(programme.count) if tier_of[i] == tier and programme.span[i] > 1e-12])
    above = programme.highs.getSolution().col_value[: programme.count]
    if not programme.span.max() > 1e-12:
        above = [0.0] * programme.count
    return [lo_w + programme.scale * x for lo_w, x in zip(of.lo_w, above, strict=True)]


def certify(of: Case, share_w: list[float], slack: float = 1e-6) -> None:
    """Every rack below its most has a full node or loop where nothing less protected and nobody fuller takes more."""
    racks, nodes, first = of.racks, of.nodes, len(of.nodes)
    slack_w = slack * max(sum(of.hi_w), 1.0) / len(racks) ** 0.5
    # Loops stand after the nodes.
    sums_w, least_w = [0.0] * (first + len(of.loops_w)), [0.0] * (first + len(of.loops_w))
    # The fullest rack of the least protected tier that takes anything.
    last: list[tuple[int, float]] = [(-1, 0.0)] * (first + len(of.loops_w))
    fill = []
    for i, rack in enumerate(racks):
        assert of.lo_w[i] <= share_w[i] <= of.hi_w[i]
        span_w = of.hi_w[i] - of.lo_w[i]
        fill.append((share_w[i] - of.lo_w[i]) / (span_w * rack.weight) if span_w > 0.0 else 0.0)
        for at in (rack.node, first + rack.loop)[: 2 if of.loops_w else 1]:
            if share_w[i] > of.lo_w[i] + slack_w:
                last[at] = max(last[at], (rack.tier, fill[i]))
            sums_w[at] += share_w[i]
            least_w[at] += of.lo_w[i]
    for v in range(len(nodes) - 1, 0, -1):
        up = nodes[v].parent
        sums_w[up] += sums_w[v]
        least_w[up] += least_w[v]
        last[up] = max(last[up], last[v])
    limits_w = [node.limit_w for node in nodes] + of.loops_w
    for v, limit_w in enumerate(limits_w):
        assert sums_w[v] <= max(limit_w, least_w[v]) * (1.0 + 2e-9) + 1e-3
    assert sums_w[0] <= max(of.total_w, least_w[0]) + 1e-3
    for i, rack in enumerate(racks):
        if share_w[i] >= of.hi_w[i] - slack_w:
            continue
        width = slack_w / (rack.weight * (of.hi_w[i] - of.lo_w[i])) + 1e-6
        for v in of.path(rack.node) + ([first + rack.loop] if of.loops_w else []):
            most_w = min(limits_w[v], of.total_w) if v == 0 else limits_w[v]
            full = sums_w[v] >= max(most_w, least_w[v]) - slack_w
            tier, fullest = last[v]
            if full and (tier < rack.tier or (tier == rack.tier and fullest <= fill[i] + width)):
                break
        else:
            raise AssertionError(f"rack {i} at {share_w[i]:.3f} of {of.hi_w[i]:.3f} W is held by nothing")


@pytest.mark.parametrize("batch", range(20))
def test_the_share_is_that_of_the_linear_programmes(batch: int) -> None:
    for seed in range(TREES * batch // 20, TREES * (batch + 1) // 20):
        random = Random(f"oracle {seed}")
        # Most trees are small, where every kind of degeneracy comes up often.
        of = case(random, random.choice([random.randint(1, 8), random.randint(1, 40)]), random.randint(1, 12))
        share_w, right_w = of.solved(), oracle(of)
        within_w = 1e-6 * max(of.total_w, 0.1 * sum(of.hi_w), 1.0)
        for i, (found_w, wanted_w) in enumerate(zip(share_w, right_w, strict=True)):
            assert abs(found_w - wanted_w) <= within_w, f"tree {seed}, rack {i}: {found_w} W, not {wanted_w} W"
        certify(of, share_w)


@pytest.mark.parametrize(
    ("racks", "nodes", "trees"),
    [(40, 12, 300), (400, 80, 40), (2_000, 300, 12), (10_000, 1_200, 6)],
    ids=["40 racks", "400 racks", "2,000 racks", "10,000 racks"],
)
def test_a_certificate_of_optimality(racks: int, nodes: int, trees: int) -> None:
    random = Random(f"certificate {racks}")
    for _ in range(trees * SEEDS):
        of = case(random, racks, nodes)
        certify(of, of.solved())


def test_the_certificate_refuses_what_is_not_fair() -> None:
    of = Case([Rack(), Rack(), Rack(tier=1)], [Node(150e3)], [0.0] * 3, [100e3] * 3, 1e12)
    right_w = of.solved()
    assert right_w == [75e3, 75e3, 0.0]
    certify(of, right_w)
    for wrong_w in ([74e3, 76e3, 0.0], [74e3, 74e3, 2e3], [70e3, 70e3, 0.0], [76e3, 76e3, 0.0]):
        with pytest.raises(AssertionError):
            certify(of, wrong_w)


@pytest.mark.parametrize("seed", range(40 * SEEDS))
def test_more_for_all_is_less_for_nobody(seed: int) -> None:
    random = Random(f"monotone {seed}")
    of = case(random, random.randint(2, 40), random.randint(1, 12))
    made = of.made()
    most_w = 1.1 * sum(of.hi_w)
    before_w = [0.0] * len(of.racks)
    for part in range(26):
        share_w = of.solved(most_w * part / 25, made)
        assert all(b_w >= a_w - 1e-3 for a_w, b_w in zip(before_w, share_w, strict=True))
        before_w = share_w


@pytest.mark.parametrize("seed", range(60 * SEEDS))
def test_settling_moves_the_free_racks_as_the_allocation_does(seed: int) -> None:
    random = Random(f"settle {seed}")
    of = case(random, random.randint(1, 60), random.randint(1, 12))
    pinned = [i for i in range(len(of.racks)) if random.random() < 0.5]
    for i in pinned:
        of.racks[i] = replace(of.racks[i], quantum_w=3125.0)
        of.hi_w[i] = of.lo_w[i]
    made = of.made()
    state = made.state
    right_w = of.solved(on=made)
    for i in range(len(of.racks)):
        state.share_w[i] = of.lo_w[i] if i in pinned else -1.0
    sum_w = interpreted.allocate.settle(made.limits, state, state.lo_w, state.hi_w, of.total_w, state.share_w)
    assert state.share_w[: len(of.racks)] == right_w
    assert sum_w == pytest.approx(sum(right_w), rel=1e-12)


@pytest.mark.parametrize("seed", range(60 * SEEDS))
def test_no_cap_is_broken_by_a_milliwatt(seed: int) -> None:
    random = Random(f"caps {seed}")
    of = case(random, random.randint(1, 200), random.randint(1, 30), tight=0.95)
    made = of.made()
    # What the nodes keep free counts like load.
    reserve_w = [0.0] * len(of.nodes)
    for v in range(len(of.nodes)):
        if random.random() < 0.3:
            reserve_w[v] = random.uniform(0.0, 30e3)
    for v in range(len(of.nodes) - 1, 0, -1):
        reserve_w[of.nodes[v].parent] += reserve_w[v]
    for v, kept_w in enumerate(reserve_w):
        made.state.reserve_w[v] = kept_w
    share_w = of.solved(on=made)
    for v, node in enumerate(of.nodes):
        below = of.below(v)
        least_w = sum(of.lo_w[i] for i in below)
        assert sum(share_w[i] for i in below) <= max(node.limit_w - reserve_w[v], least_w) + 1e-3
    assert all(a <= x <= b for a, x, b in zip(of.lo_w, share_w, of.hi_w, strict=True))


FLAT = [Node()]
ROWS = {
    # name: racks, nodes, lo, hi, total -> shares
    "one rack":                 ([Rack()], FLAT, [20.0], [100.0], 60.0, [60.0]),
    "one rack, too much":       ([Rack()], FLAT, [20.0], [100.0], 160.0, [100.0]),
    "one rack, too little":     ([Rack()], FLAT, [20.0], [100.0], 10.0, [20.0]),
    "no range":                 ([Rack(), Rack()], FLAT, [50.0, 20.0], [50.0, 20.0], 500.0, [50.0, 20.0]),
    "nothing asked":            ([Rack(), Rack()], FLAT, [0.0, 0.0], [9.0, 9.0], 0.0, [0.0, 0.0]),
    "negative total":           ([Rack(), Rack()], FLAT, [0.0, 5.0], [9.0, 9.0], -1.0, [0.0, 5.0]),
    "equal shares of range":    ([Rack(), Rack()], FLAT, [0.0, 20.0], [100.0, 120.0], 120.0, [50.0, 70.0]),
    "share of unequal range":   ([Rack(), Rack()], FLAT, [0.0, 0.0], [100.0, 50.0], 75.0, [50.0, 25.0]),
    "twice the weight":         ([Rack(weight=2.0), Rack()], FLAT, [0.0, 0.0], [100.0, 100.0], 90.0, [60.0, 30.0]),
    "weight, then full":        ([Rack(weight=2.0), Rack()], FLAT, [0.0, 0.0], [100.0, 100.0], 180.0, [100.0, 80.0]),
    "tier 0 keeps most":        ([Rack(), Rack(tier=1)], FLAT, [0.0, 0.0], [100.0, 100.0], 130.0, [100.0, 30.0]),
    "tier 1 sheds first":       ([Rack(), Rack(tier=1)], FLAT, [10.0, 10.0], [100.0, 100.0], 60.0, [50.0, 10.0]),
    "a node holds back":        ([Rack(), Rack(node=1)], [Node(), Node(30.0, 0)], [0.0] * 2, [100.0] * 2, 90.0,
                                 [60.0, 30.0]),
    "a node without headroom":  ([Rack(), Rack(node=1)], [Node(), Node(20.0, 0)], [0.0, 20.0], [100.0] * 2, 150.0,
                                 [100.0, 20.0]),
    "a node already over":      ([Rack(), Rack(node=1)], [Node(), Node(5.0, 0)], [0.0, 20.0], [100.0] * 2, 150.0,
                                 [100.0, 20.0]),
    "the root holds back":      ([Rack(), Rack(node=1)], [Node(80.0), Node(30.0, 0)], [0.0] * 2, [100.0] * 2, 500.0,
                                 [50.0, 30.0]),
    "an empty node":            ([Rack(node=2)], [Node(), Node(0.0, 0), Node(70.0, 0)], [0.0], [100.0], 99.0, [70.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rows(row: tuple[list[Rack], list[Node], list[float], list[float], float, list[float]]) -> None:
    racks, nodes, lo_w, hi_w, total_w, shares = row
    assert Case(racks, nodes, lo_w, hi_w, total_w).solved() == pytest.approx(shares, abs=1e-9)


def test_the_order_of_the_racks_of_a_node_does_not_matter() -> None:
    random = Random("order")
    of = case(random, 30, 6)
    order = sorted(range(30), key=lambda i: (of.racks[i].node, random.random()))
    other = Case(
        [of.racks[i] for i in order], of.nodes, [of.lo_w[i] for i in order], [of.hi_w[i] for i in order], of.total_w
    )
    share_w, shuffled_w = of.solved(), other.solved()
    for at, i in enumerate(order):
        assert shuffled_w[at] == pytest.approx(share_w[i], abs=1e-6)


GIVE_WAY = {
    # name: racks, nodes, lo, hi -> lo afterwards
    "it fits":                ([Rack(), Rack()], [Node(100.0)], [40.0, 40.0], [90.0] * 2, [40.0, 40.0]),
    "to the last digit":      ([Rack(), Rack()], [Node(0.3)], [0.1, 0.2], [90.0] * 2, [0.1, 0.2]),
    "highest tier first":     ([Rack(), Rack(tier=1)], [Node(60.0)], [40.0, 40.0], [90.0] * 2, [40.0, 0.0]),
    "only as many as needed": ([Rack(), Rack(), Rack()], [Node(90.0)], [40.0] * 3, [90.0] * 3, [0.0, 40.0, 40.0]),
    "then the next tier":     ([Rack(), Rack(tier=1)], [Node(30.0)], [40.0, 40.0], [90.0] * 2, [0.0, 0.0]),
    "not ours stays":         ([Rack(), Rack(tier=1)], [Node(60.0)], [40.0, 40.0], [90.0, 40.0], [0.0, 40.0]),
    "below that node only":   ([Rack(tier=1), Rack(node=1)], [Node(), Node(30.0, 0)], [40.0] * 2, [90.0] * 2,
                               [40.0, 0.0]),
    "the root too":           ([Rack(tier=1), Rack(node=1)], [Node(50.0), Node(60.0, 0)], [40.0] * 2, [90.0] * 2,
                               [0.0, 40.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", GIVE_WAY.values(), ids=GIVE_WAY.keys())
def test_where_least_powers_do_not_fit_racks_go_off(
    row: tuple[list[Rack], list[Node], list[float], list[float], list[float]],
) -> None:
    racks, nodes, lo_w, hi_w, after_w = row
    made = Case(racks, nodes, lo_w, hi_w, 0.0).made()
    state = made.state
    for i in range(len(racks)):
        state.ours[i] = lo_w[i] < hi_w[i]
    count = interpreted.allocate.give_way(made.limits, state, state.lo_w, state.hi_w)
    assert state.lo_w[: len(racks)] == after_w
    assert count == sum(a != b for a, b in zip(lo_w, after_w, strict=True))
    for i in range(len(racks)):
        assert state.hi_w[i] == (hi_w[i] if after_w[i] == lo_w[i] else 0.0)


@pytest.mark.parametrize("seed", range(40 * SEEDS))
def test_after_giving_way_every_cap_that_racks_can_keep_is_kept(seed: int) -> None:
    random = Random(f"give way {seed}")
    of = case(random, random.randint(1, 60), random.randint(1, 12))
    of.hi_w = [max(hi_w, lo_w + 1.0) for lo_w, hi_w in zip(of.lo_w, of.hi_w, strict=True)]
    of.nodes = [Node(random.uniform(0.2, 1.2) * sum(of.lo_w[i] for i in of.below(v)) + 1.0, node.parent)
                for v, node in enumerate(of.nodes)]  # fmt: skip
    made = of.made()
    state = made.state
    interpreted.allocate.give_way(made.limits, state, state.lo_w, state.hi_w)
    share_w = of.solved(on=made)
    for v, node in enumerate(of.nodes):
        assert sum(share_w[i] for i in of.below(v)) <= node.limit_w + 1e-3
