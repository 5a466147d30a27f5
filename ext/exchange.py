# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks that give way for two others, where a full node and a full loop meet in them.

Power flows from the root of the tree through its nodes and, rack by rack, into the loops: two laminar families of
limits are a network, and what they carry at most is a maximum flow. Racks of one tier, node and loop are a bundle, one
arc of it. From a fair fill, flow is raised along the cheapest path that has room (successive shortest paths: Ahuja,
Magnanti and Orlin, Network Flows, 9.7), which may lead back through a bundle: its racks make room at their node for one
bundle and in their loop for another. A watt of a protected tier costs more than all that less protected ones could
gain by it, so that every tier's total is what the joint linear programme gives it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ENDLESS
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Limits, State


def clear(limits: Limits, state: State) -> None:
    """No bundle can rise or fall yet."""
    for i in range(limits.site.racks):
        arc = limits.bundle[i]
        state.arc_left_w[arc] = 0.0
        state.arc_left_w[limits.arc_back[arc]] = 0.0
    state.exchanged = 0


def offer(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> float:
    """Adds what the racks of a tier could have more and less than `cut_w`; returns how much more in all."""
    more_w = 0.0
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        i = limits.ranked[k]
        arc = limits.bundle[i]
        up_w = max(0.0, hi_w[i] - state.cut_w[i])
        state.arc_left_w[arc] += up_w
        state.arc_left_w[limits.arc_back[arc]] += max(0.0, state.cut_w[i] - lo_w[i])
        more_w += up_w
    return more_w


def exchange(limits: Limits, state: State, total_w: float, dear: bool) -> None:
    """Raises the sum towards `total_w`: only where no more protected tier pays for it, or, `dear`, at any cost."""
    outlet = limits.site.nodes + limits.site.loops
    grain_w = 1e-9 * limits.site.max_w
    room_w = min(total_w, limits.node_w[0] - state.taken_w[0] - state.reserve_w[0]) - state.used_w[0]
    raised_w = 0.0
    # In halls beyond some 4,000 racks fewer turns, so that a tick stays within its time.
    turns = max(16, min(64, 500_000 // limits.arc_first[outlet + 1]))
    find_room(limits, state)
    for _ in range(turns):
        if room_w - raised_w <= grain_w or not weigh(limits, state, grain_w):
            break
        if state.vertex_cost[outlet] == ENDLESS or (state.vertex_cost[outlet] >= 0.0 and not dear):
            break
        raised_w += push(limits, state, room_w - raised_w, grain_w)
    if raised_w > 0.0:
        state.exchanged = 1
        state.used_w[0] += raised_w
        take_room(limits, state)


def find_room(limits: Limits, state: State) -> None:
    """What nodes below the root and loops carry more; `served_w` and `loop_flow_w` keep it."""
    left_w = state.arc_left_w
    first = limits.arc_first
    nodes = limits.site.nodes
    for v in range(1, nodes):
        # The first arc of a node leads up, its pair down to it. What was lowered below may go elsewhere.
        up = first[v]
        room_w = limits.node_w[v] - state.taken_w[v] - state.reserve_w[v] - state.used_w[v]
        state.served_w[v] = max(0.0, room_w)
        left_w[limits.arc_back[up]] = state.served_w[v]
        left_w[up] = ENDLESS
    for loop in range(limits.site.loops):
        state.loop_flow_w[loop] = max(0.0, state.loop_cap_w[loop] - state.loop_load_w[loop])
        left_w[first[nodes + loop]] = state.loop_flow_w[loop]


def take_room(limits: Limits, state: State) -> None:
    """Adds to the nodes and loops what the arcs to them have taken of that room."""
    left_w = state.arc_left_w
    first = limits.arc_first
    nodes = limits.site.nodes
    for v in range(1, nodes):
        state.used_w[v] += state.served_w[v] - left_w[limits.arc_back[first[v]]]
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] += state.loop_flow_w[loop] - left_w[first[nodes + loop]]


def weigh(limits: Limits, state: State, grain_w: float) -> bool:
    """Sets the cost of the cheapest way from the root to each vertex (Bellman and Ford); whether all were found."""
    vertices = limits.site.nodes + limits.site.loops + 1
    cost = state.vertex_cost
    news = state.vertex_arc
    for v in range(vertices):
        cost[v] = ENDLESS
        news[v] = 0
    cost[0] = 0.0
    news[0] = 1
    for _ in range(min(vertices, 128)):
        found = True
        for v in range(vertices):
            if not news[v]:
                continue
            news[v] = 0
            at = cost[v]
            for arc in range(limits.arc_first[v], limits.arc_first[v + 1]):
                if state.arc_left_w[arc] > grain_w:
                    head = limits.arc_head[arc]
                    if at + limits.arc_cost[arc] < cost[head]:
                        cost[head] = at + limits.arc_cost[arc]
                        news[head] = 1
                        found = False
        if found:
            return True
    return False


def push(limits: Limits, state: State, most_w: float, grain_w: float) -> float:
    """Fills every cheapest way to the outlet, one after the other; returns by how much the sum rose."""
    outlet = limits.site.nodes + limits.site.loops
    cost = state.vertex_cost
    left_w = state.arc_left_w
    for v in range(outlet + 1):
        state.vertex_arc[v] = limits.arc_first[v]
    raised_w = 0.0
    depth = 0
    v = 0
    while True:
        if v == outlet:
            by_w = most_w - raised_w
            for k in range(depth):
                by_w = min(by_w, left_w[state.way[k]])
            for k in range(depth):
                arc = state.way[k]
                left_w[arc] -= by_w
                left_w[limits.arc_back[arc]] += by_w
            raised_w += by_w
            if most_w - raised_w <= grain_w:
                break
            depth = 0
            v = 0
            continue
        arc = state.vertex_arc[v]
        if arc < limits.arc_first[v + 1]:
            head = limits.arc_head[arc]
            if left_w[arc] > grain_w and cost[head] == cost[v] + limits.arc_cost[arc]:
                state.way[depth] = arc
                depth += 1
                v = head
            else:
                state.vertex_arc[v] += 1
        elif depth > 0:
            depth -= 1
            v = limits.arc_head[limits.arc_back[state.way[depth]]]
            state.vertex_arc[v] += 1
        else:
            break
    return raised_w


def deal_out(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles) -> None:
    """Shares what each bundle has got or given among its racks, in `cut_w`, by what each has of that."""
    left_w = state.arc_left_w
    whole_w = state.arc_whole_w
    for i in range(limits.site.racks):
        up = limits.bundle[i]
        whole_w[up] = 0.0
        whole_w[limits.arc_back[up]] = 0.0
    for i in range(limits.site.racks):
        up = limits.bundle[i]
        whole_w[up] += max(0.0, hi_w[i] - state.cut_w[i])
        whole_w[limits.arc_back[up]] += max(0.0, state.cut_w[i] - lo_w[i])
    for i in range(limits.site.racks):
        up = limits.bundle[i]
        down = limits.arc_back[up]
        if left_w[up] < whole_w[up]:
            state.cut_w[i] += (1.0 - left_w[up] / whole_w[up]) * max(0.0, hi_w[i] - state.cut_w[i])
        elif left_w[down] < whole_w[down]:
            state.cut_w[i] -= (1.0 - left_w[down] / whole_w[down]) * max(0.0, state.cut_w[i] - lo_w[i])
