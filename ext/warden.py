# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The guard's rule of nodes: above a limit nothing rises, then racks go to their least; what still is above trips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import VETO_NODE, VETO_SAFE, VETO_TRIP
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Inputs, Limits, Watch


def veto(watch: Watch, i: int, why: int) -> None:
    """Counts a veto and marks the rack."""
    watch.vetoes[why] += 1
    watch.vetoed[i] = 1


def total(limits: Limits, watch: Watch, out_w: Doubles) -> None:
    """Sums the worst case at every node into `sum_w`, and marks nodes that are broken themselves or below such.

    The most that a rack may draw while its set point goes from the last to the next one, and no less than its reading:
    one that is on draws at least its least, whatever it is asked.
    """
    for v in range(limits.site.nodes):
        sum_w = 0.0
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            sum_w += max(max(watch.last_w[i], out_w[i]), watch.least_w[i])
        watch.sum_w[v] = sum_w
    for back in range(limits.site.nodes - 1):
        v = limits.site.nodes - 1 - back
        watch.sum_w[limits.node_parent[v]] += watch.sum_w[v]
    for v in range(limits.site.nodes):
        parent = limits.node_parent[v]
        broken = watch.sum_w[v] > (limits.node_w[v] - watch.taken_w[v]) * (1.0 + 1e-9)
        watch.breach[v] = broken or (parent >= 0 and watch.breach[parent] != 0)


def nodes(limits: Limits, watch: Watch, out_w: Doubles, now_ns: int) -> None:
    """Withdraws raises below every broken node; after `breach_ns` above its limit its racks go to their least.

    Raises only, where by its own meter alone it is above.
    """
    total(limits, watch, out_w)
    withdrawn = False
    for v in range(limits.site.nodes):
        if watch.breach[v] == 0 and watch.shut[v] == 0:
            continue
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            if watch.known[i] and out_w[i] > watch.last_w[i]:
                out_w[i] = watch.last_w[i]
                veto(watch, i, VETO_NODE)
                withdrawn = True
    if withdrawn:
        total(limits, watch, out_w)
    for v in range(limits.site.nodes):
        if watch.breach[v] == 0:
            watch.over_ns[v] = 0
            continue
        if watch.over_ns[v] == 0:
            watch.over_ns[v] = now_ns
        if now_ns - watch.over_ns[v] < limits.site.breach_ns:
            continue
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            if watch.known[i] and out_w[i] > limits.min_w[i]:
                out_w[i] = limits.min_w[i]
                veto(watch, i, VETO_SAFE)


def load(limits: Limits, watch: Watch, v: int, now_ns: int) -> float:
    """What a node draws by the lesser of its own last readings, where they are fresh and its meter not doubted; W.

    Else what the racks below it draw by theirs, and what draws there beside them. What is silent, or never was read,
    draws as it did.
    """
    read = limits.draw_slot[v] >= 0 and now_ns - watch.read_ns[v] <= limits.node_stale_ns[v]
    if read and now_ns >= watch.until_ns[v]:
        return min(watch.read_w[v], watch.read_before_w[v])
    sum_w = watch.other_w[v]
    for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
        sum_w += min(limits.max_w[i], max(0.0, watch.heard_w[i]))
    return sum_w


def trips(inputs: Inputs, limits: Limits, watch: Watch, out_w: Doubles, now_ns: int) -> None:
    """Switches off what is below a node that draws more than its limit for `trip_ns`, its racks sent to their least.

    What silent racks could draw sends the others to their least, and trips nothing. It stays off until an operator's
    reset that finds the node below its limit.
    """
    reset = inputs.command.resets != watch.resets
    watch.resets = inputs.command.resets
    for v in range(limits.site.nodes):
        sent = watch.over_ns[v] != 0 and now_ns - watch.over_ns[v] >= limits.site.breach_ns
        if not sent and watch.tripped[v] == 0:
            watch.hot_ns[v] = 0
            continue
        if load(limits, watch, v, now_ns) <= limits.node_w[v] - watch.phase_w[v]:
            watch.hot_ns[v] = 0
            if reset:
                watch.tripped[v] = 0
        elif watch.hot_ns[v] == 0:
            watch.hot_ns[v] = now_ns
        elif now_ns - watch.hot_ns[v] >= limits.trip_ns[v]:
            watch.tripped[v] = 1
        if watch.tripped[v]:
            for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
                if out_w[i] > 0.0:
                    out_w[i] = 0.0
                    veto(watch, i, VETO_TRIP)
