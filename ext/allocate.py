# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Shares a total among racks: tier by tier, max-min fair within a tier, under the limits of the tree and the loops.

Filling the most protected tier first maximises every tier's total in order of protection. The loops are looked at
where a tree without them gives one more than it carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.loops import carry, fill_within
    from rampd.ext.rest import stir
    from rampd.ext.tree import fill_tier, load, measure
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Limits, State


def total(values_w: Doubles, count: int) -> float:
    """The sum of so many values, in four lanes that are added at the end: no addition waits for the one before it."""
    first_w = 0.0
    second_w = 0.0
    third_w = 0.0
    fourth_w = 0.0
    for k in range(count // 4):
        first_w += values_w[4 * k]
        second_w += values_w[4 * k + 1]
        third_w += values_w[4 * k + 2]
        fourth_w += values_w[4 * k + 3]
    for k in range(count // 4 * 4, count):
        first_w += values_w[k]
    return (first_w + second_w) + (third_w + fourth_w)


def give_way(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles) -> int:
    """Where the lower bounds break a limit, racks below go off whole, the highest tier first. Returns how many.

    Only racks that may be moved give way, also before their minimum time has passed. The bounds are left measured.
    """
    count = 0
    measure(limits, state, lo_w, hi_w)
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        # The last digits of sums switch nothing off.
        room_w = (limits.node_w[v] - state.taken_w[v]) * (1.0 + 1e-12) - state.reserve_w[v]
        for rank in range(limits.site.tiers):
            tier = limits.site.tiers - 1 - rank
            if state.used_w[v] <= room_w:
                break
            for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
                if state.used_w[v] <= room_w:
                    break
                # A stale one counts at its rating whatever it is given: that it goes off helps nobody.
                if limits.tier[i] != tier or not state.ours[i] or state.stale[i] or lo_w[i] <= 0.0:
                    continue
                at = limits.node[i]
                while at >= 0:
                    state.used_w[at] -= lo_w[i]
                    at = limits.node_parent[at]
                lo_w[i] = 0.0
                hi_w[i] = 0.0
                stir(state, i)
                count += 1
    if count > 0:
        measure(limits, state, lo_w, hi_w)
    return count


def allocate(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles, total_w: float, out_w: Doubles) -> float:
    """Writes each rack's share to `out_w` and returns their sum: the nearest to `total_w` that the bounds allow.

    Watts; `lo_w <= hi_w`. A node whose lower bounds already exceed its limit gets nothing above them.
    """
    measure(limits, state, lo_w, hi_w)
    return fill(limits, state, lo_w, hi_w, total_w, out_w)


def fill(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles, total_w: float, out_w: Doubles) -> float:
    """Shares as `allocate` does, with bounds that are measured already."""
    fill_groups(limits, state, total_w)
    confine(limits, state, lo_w, hi_w, total_w)
    part = state.group_part
    group = limits.group
    for i in range(limits.site.racks):
        least_w = lo_w[i]
        out_w[i] = least_w + part[group[i]] * (hi_w[i] - least_w)
    if state.cut:
        for i in range(limits.site.racks):
            out_w[i] = state.cut_w[i]
    return total(out_w, limits.site.racks)


def fill_groups(limits: Limits, state: State, total_w: float) -> None:
    """Sets the part of its range that each group gets."""
    for g in range(limits.site.groups):
        state.group_part[g] = 0.0
    for tier in range(limits.site.tiers):
        if state.used_w[0] >= total_w:
            break
        fill_tier(limits, state, tier, total_w)


def confine(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles, total_w: float) -> None:
    """Fills anew where a loop does not carry what the tree alone has given; `cut` says whether."""
    state.cut = 0
    if state.tight and not carry(limits, state, lo_w, hi_w):
        fill_within(limits, state, lo_w, hi_w, total_w)
        state.cut = 1


def settle(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles, total_w: float, out_w: Doubles) -> float:
    """What `allocate` does, when the racks that move in steps have one level in all three: only the others move."""
    range_w = state.range_w
    part = state.group_part
    group = limits.group
    stepped = limits.stepped_first[limits.site.tiers]
    load(limits, state, lo_w)
    for g in range(limits.site.groups):
        range_w[g] = 0.0
    for k in range(stepped, limits.site.racks):
        i = limits.stepped[k]
        range_w[group[i]] += hi_w[i] - lo_w[i]
    fill_groups(limits, state, total_w)
    confine(limits, state, lo_w, hi_w, total_w)
    for k in range(stepped, limits.site.racks):
        i = limits.stepped[k]
        least_w = lo_w[i]
        out_w[i] = state.cut_w[i] if state.cut else least_w + part[group[i]] * (hi_w[i] - least_w)
    return total(out_w, limits.site.racks)
