# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""One tier's shares under the limits of the tree: max-min fair by progressive filling.

x = lo + min(1, weight * level) * (hi - lo), one level for a whole tier, held back where a node is full. On a tree this
is the unique leximin solution (a laminar family of limits is a polymatroid; Megiddo 1974, Bertsekas and Gallager, Data
Networks, 6.5).

Nodes stand parents first, so that the nodes below `v` are `v + 1 .. node_end[v]` and one backward sweep sums a subtree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ENDLESS
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Limits, State


def gather(limits: Limits, state: State) -> None:
    """Adds what nodes carry themselves to the nodes above them."""
    nodes = limits.site.nodes
    for back in range(nodes - 1):
        v = nodes - 1 - back
        state.used_w[limits.node_parent[v]] += state.used_w[v]


def load(limits: Limits, state: State, lo_w: Doubles) -> None:
    """Sets `used_w` to what the lower bounds take at every node."""
    nodes = limits.site.nodes
    for v in range(nodes):
        sum_w = 0.0
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            sum_w += lo_w[i]
        state.used_w[v] = sum_w
    gather(limits, state)


def measure(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles) -> None:
    """Sets `used_w` to what the lower bounds take at every node, `range_w` to what each group can have above them."""
    range_w = state.range_w
    group = limits.group
    for g in range(limits.site.groups):
        range_w[g] = 0.0
    for v in range(limits.site.nodes):
        used_w = 0.0
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            least_w = lo_w[i]
            used_w += least_w
            range_w[group[i]] += hi_w[i] - least_w
        state.used_w[v] = used_w
    gather(limits, state)


def sweep(limits: Limits, state: State, tier: int, top: int, level: float) -> None:
    """Flow and slope of the subtree of `top` at one tier's fill level; limits below `top` apply, its own not."""
    end = limits.node_end[top]
    state.flow_w[top] = 0.0
    state.slope_w[top] = 0.0
    for v in range(top + 1, end):
        state.flow_w[v] = 0.0
        state.slope_w[v] = 0.0
    base = tier * (limits.site.nodes + 1)
    for back in range(end - top):
        v = end - 1 - back
        flow_w = state.flow_w[v]
        slope_w = state.slope_w[v]
        for g in range(limits.group_first[base + v], limits.group_first[base + v + 1]):
            if level >= limits.full_at[g]:
                flow_w += state.range_w[g]
            else:
                rising_w = state.range_w[g] / limits.full_at[g]
                flow_w += rising_w * level
                slope_w += rising_w
        if v == top:
            state.flow_w[v] = flow_w
            state.slope_w[v] = slope_w
            break
        if level >= state.fill[v]:
            flow_w = state.full_w[v]
            slope_w = 0.0
        parent = limits.node_parent[v]
        state.flow_w[parent] += flow_w
        state.slope_w[parent] += slope_w


def solve(limits: Limits, state: State, tier: int, top: int, room_w: float) -> float:
    """The level at which the subtree of `top` draws `room_w`: Newton from the left on a concave, linear-piece sum."""
    level = 0.0
    for _ in range(limits.site.nodes + limits.site.groups + 2):
        sweep(limits, state, tier, top, level)
        if state.flow_w[top] >= room_w or state.slope_w[top] <= 0.0:
            break
        further = level + (room_w - state.flow_w[top]) / state.slope_w[top]
        if further <= level:
            break
        level = further
    return level


def fits(limits: Limits, state: State, tier: int, v: int, room_w: float) -> bool:
    """Whether all that a tier can take below a node fits into its room; else the level at which the node is full."""
    full_w = state.full_w[v]
    room_w -= state.used_w[v]
    if full_w <= room_w or full_w <= 0.0:
        return True
    room_w = max(0.0, room_w)
    level = 0.0
    if room_w > 0.0:
        at = tier * (limits.site.nodes + 1) + v
        g = limits.group_first[at]
        if limits.node_end[v] == v + 1 and limits.group_first[at + 1] == g + 1:
            # Nothing below it and one group at it: it fills in proportion.
            level = limits.full_at[g] * (room_w / state.range_w[g])
        else:
            level = solve(limits, state, tier, v, room_w)
    state.fill[v] = level
    state.full_w[v] = room_w
    return False


def fill_tier(limits: Limits, state: State, tier: int, total_w: float) -> None:
    """Fills one tier: where each node is full, then the level each group reaches. Adds what it takes to `used_w`."""
    nodes = limits.site.nodes
    base = tier * (nodes + 1)
    tier_w = 0.0
    for v in range(nodes):
        state.fill[v] = ENDLESS
        state.full_w[v] = 0.0
    for g in range(limits.group_first[base], limits.group_first[base + nodes]):
        state.full_w[limits.group_node[g]] += state.range_w[g]
        tier_w += state.range_w[g]
    if tier_w <= 0.0:
        # Racks that their loops hold have no range left: the tree does not.
        for g in range(limits.group_first[base], limits.group_first[base + nodes]):
            state.group_part[g] = 1.0
        return
    scarce = False
    # Many nodes in a row have one parent: their sum stays in a register until another comes.
    parent = 0
    below_w = state.full_w[0]
    for back in range(nodes - 1):
        v = nodes - 1 - back
        if limits.node_parent[v] != parent:
            state.full_w[parent] = below_w
            parent = limits.node_parent[v]
            below_w = state.full_w[parent]
        if not fits(limits, state, tier, v, limits.node_w[v] - state.taken_w[v] - state.reserve_w[v]):
            scarce = True
        below_w += state.full_w[v]
    state.full_w[parent] = below_w
    if not fits(limits, state, tier, 0, min(limits.node_w[0] - state.taken_w[0] - state.reserve_w[0], total_w)):
        scarce = True
    if not scarce:
        # All of the tier fits everywhere.
        for v in range(nodes):
            state.used_w[v] += state.full_w[v]
        for g in range(limits.group_first[base], limits.group_first[base + nodes]):
            state.group_part[g] = 1.0
        return
    for v in range(nodes):
        state.flow_w[v] = 0.0
        if v > 0:
            state.fill[v] = min(state.fill[v], state.fill[limits.node_parent[v]])
        for g in range(limits.group_first[base + v], limits.group_first[base + v + 1]):
            part = min(1.0, state.fill[v] / limits.full_at[g])
            state.group_part[g] = part
            state.flow_w[v] += part * state.range_w[g]
    for back in range(nodes):
        v = nodes - 1 - back
        state.used_w[v] += state.flow_w[v]
        if v > 0:
            state.flow_w[limits.node_parent[v]] += state.flow_w[v]
