"""The order of racks, groups and nodes in the image: filled once, so that the tick only runs along it.

Racks stand in the order of their nodes, nodes parents first, so that every subtree is one piece of both. A group is
the racks of one tier, node and weight: they fill alike.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from rampd.ext import reasons
from rampd.ext.views import Limits

ROUND: Final = 0.02
"""No meter of a node rounds by so much of its rating."""
Group = tuple[int, int, float]
FINE: Final = 0.005
"""Steps of at most this part of a rack's most are no steps."""


def groups(racks: Sequence[Group]) -> list[Group]:
    """The groups of racks that are given as (tier, node, weight)."""
    return sorted(set(racks))


def arrange(limits: Limits) -> None:
    """Fills every index from the racks' tier, node, weight and levels, and the nodes' parents; and the racks' reach.

    Raises ValueError where racks or nodes do not stand in order.
    """
    site = limits.site
    racks, nodes = range(site.racks), range(site.nodes)
    places = [limits.node[i] for i in racks]
    if places != sorted(places) or any(limits.node_parent[v] >= v for v in nodes):
        raise ValueError("racks stand in the order of their nodes, nodes after their parents")
    _tree(limits)
    for v in range(site.nodes + 1):
        limits.rack_first[v] = bisect_left(places, v)
    for v in nodes:
        most_w = [limits.max_w[i] for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]])]
        limits.pretend_w[v] = max(ROUND * limits.rating_w[v], min(1.5 * max(most_w, default=0.0), 0.5 * sum(most_w)))
    found = groups([(limits.tier[i], limits.node[i], limits.weight[i]) for i in racks])
    index = {group: g for g, group in enumerate(found)}
    for i in racks:
        limits.group[i] = index[limits.tier[i], limits.node[i], limits.weight[i]]
    for g, (_, node_at, weight) in enumerate(found):
        limits.group_node[g] = node_at
        limits.full_at[g] = 1.0 / weight
    # Groups are sorted by tier, then node: those of (tier, node) run to the first of the next node.
    at = [(tier, node_at) for tier, node_at, _ in found]
    for tier in range(site.tiers):
        for v in range(site.nodes + 1):
            limits.group_first[tier * (site.nodes + 1) + v] = bisect_left(at, (tier, v))
    _stepped(limits)
    ranked = sorted((limits.tier[i], i) for i in racks)
    for k, (_, i) in enumerate(ranked):
        limits.ranked[k] = i
    for tier in range(site.tiers + 1):
        limits.ranked_first[tier] = bisect_left(ranked, (tier, -1))
    _network(limits)
    _zones(limits)
    reasons.fill(limits)
    move_s = site.phases * site.period_ns * 1e-9
    for i in racks:
        # It may well be faster than it was said to be.
        down_s, up_s = (move_s + dead[i] * site.period_ns * 1e-9 for dead in (limits.dead_down, limits.dead_up))
        # A step is taken at once, however slowly the power follows it.
        limits.fall_w[i] = 1.3 * limits.down_w_per_s[i] * down_s + _step_w(limits, i)
        limits.rise_w[i] = 1.3 * limits.up_w_per_s[i] * up_s + _step_w(limits, i)
        limits.loop_max_w[limits.loop[i]] += limits.max_w[i]
        limits.headroom_w[i] = max(0.08 * limits.max_w[i], 2.0 * limits.quantum_w[i])


def _tree(limits: Limits) -> None:
    nodes = limits.site.nodes
    for v in range(nodes):
        limits.node_end[v] = v + 1
    for v in range(nodes - 1, 0, -1):
        parent = limits.node_parent[v]
        limits.node_end[parent] = max(limits.node_end[parent], limits.node_end[v])


def _network(limits: Limits) -> None:
    """The tree, the loops and the bundles of racks between them as arcs, each forward and backward.

    A bundle is the racks of one tier, node and loop. Arcs stand by the vertex that they leave: the nodes, each with the
    arc to its parent first, the loops, each with the arc to the outlet first, and the outlet. A watt of a tier costs
    less than nothing, and as much less as no sum over less protected tiers comes to; between equal ways the shorter one
    is cheaper.
    """
    site = limits.site
    nodes, outlet = site.nodes, site.nodes + site.loops
    bits = min(6, 48 // site.tiers)
    bundles = sorted({(limits.node[i], limits.loop[i], limits.tier[i]) for i in range(site.racks)})
    ends = [(v, limits.node_parent[v], 0.0) for v in range(1, nodes)]
    ends += [(nodes + loop, outlet, 0.0) for loop in range(site.loops)]
    ends += [(v, nodes + loop, -float(1 << 6 + bits * (site.tiers - 1 - tier))) for v, loop, tier in bundles]
    arcs = [(tail, head, cost + 1.0, k) for k, (tail, head, cost) in enumerate(ends)]
    arcs += [(head, tail, 1.0 - cost, k - len(ends)) for k, (tail, head, cost) in enumerate(ends)]
    # The arcs of the tree and to the outlet come before those of bundles and those back.
    arcs.sort(key=lambda arc: (arc[0], not 0 <= arc[3] < nodes - 1 + site.loops))
    place = {k: at for at, (*_, k) in enumerate(arcs)}
    for at, (_, head, cost, k) in enumerate(arcs):
        limits.arc_head[at], limits.arc_cost[at] = head, cost
        limits.arc_back[at] = place[k - len(ends) if k >= 0 else k + len(ends)]
    tails = [tail for tail, *_ in arcs]
    for vertex in range(outlet + 2):
        limits.arc_first[vertex] = bisect_left(tails, vertex)
    first = nodes - 1 + site.loops
    arc_of = {bundle: place[first + k] for k, bundle in enumerate(bundles)}
    for i in range(site.racks):
        limits.bundle[i] = arc_of[limits.node[i], limits.loop[i], limits.tier[i]]


def _coarse(limits: Limits, i: int) -> bool:
    """Whether a rack's steps count: finer ones are met by moving freely and rounding at the end."""
    if limits.level_first[i] < limits.level_first[i + 1] or limits.on_ns[i] + limits.off_ns[i] + limits.wear_ns[i] > 0:
        return True
    return limits.quantum_w[i] > FINE * limits.max_w[i]


def _stepped(limits: Limits) -> None:
    """Racks that move in steps, by tier, then the others; the largest step; whether some must rest between changes."""
    site = limits.site
    stepped = sorted((limits.tier[i], i) for i in range(site.racks) if _coarse(limits, i))
    found = {i for _, i in stepped}
    for k, i in enumerate([*(i for _, i in stepped), *(i for i in range(site.racks) if i not in found)]):
        limits.stepped[k] = i
    for tier in range(site.tiers + 1):
        limits.stepped_first[tier] = bisect_left(stepped, (tier, -1))
    site.grain_w = 0.0
    for _, i in stepped:
        site.grain_w = max(site.grain_w, _step_w(limits, i))
    site.jump_w = max(site.grain_w, *(limits.min_w[i] for i in range(site.racks)))
    site.resting = any(limits.on_ns[i] + limits.off_ns[i] + limits.wear_ns[i] > 0 for _, i in stepped)


def _step_w(limits: Limits, i: int) -> float:
    """The largest step of a rack; 0 where it takes any set point."""
    levels = [limits.level_w[k] for k in range(limits.level_first[i], limits.level_first[i + 1])]
    return max((b - a for a, b in pairwise(levels)), default=limits.quantum_w[i])


def _zones(limits: Limits) -> None:
    """How many racks each feeder and link has."""
    site = limits.site
    for i in range(site.racks):
        limits.zone_racks[1 + limits.feeder[i]] += 1
        if limits.link[i] >= 0:
            limits.zone_racks[1 + site.feeders + limits.link[i]] += 1
