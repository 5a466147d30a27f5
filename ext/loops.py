# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Shares under the cooling loops, which cross the tree: within a tier, what fills a loop is shared like a full node.

A rack is held by its node's level or by its loop's, whichever is lower. The loops' levels are found by turns: the tree
is filled without them, a loop that is then too full gets the level at which it is just full, racks above that stay
there, and what they leave goes to others by the tree. Levels of nodes only rise in this, those of loops only fall, so
the turns come to the one fair solution; the last one is cut where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ENDLESS
    from rampd.ext.exchange import clear, deal_out, exchange, offer
    from rampd.ext.tree import fill_tier, measure
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Limits, State


def burden(limits: Limits, state: State, power_w: Doubles) -> None:
    """Sets `loop_load_w` to what the racks of each loop come to."""
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
    for i in range(limits.site.racks):
        state.loop_load_w[limits.loop[i]] += power_w[i]


def carry(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles) -> bool:
    """Whether the loops carry what the tree has just been filled with."""
    group = limits.group
    part = state.group_part
    load_w = state.loop_load_w
    for loop in range(limits.site.loops):
        load_w[loop] = 0.0
    for i in range(limits.site.racks):
        least_w = lo_w[i]
        load_w[limits.loop[i]] += least_w + part[group[i]] * (hi_w[i] - least_w)
    for loop in range(limits.site.loops):
        if load_w[loop] > state.loop_cap_w[loop] * (1.0 + 1e-9):
            return False
    return True


def fill_within(limits: Limits, state: State, lo_w: Doubles, hi_w: Doubles, total_w: float) -> None:
    """Sets in `cut_w` what each rack gets: tier by tier, then at any tier's cost if the sum is short of the total."""
    measure(limits, state, lo_w, hi_w)
    burden(limits, state, lo_w)
    for i in range(limits.site.racks):
        state.cut_w[i] = ENDLESS
    for g in range(limits.site.groups):
        state.group_part[g] = 0.0
    clear(limits, state)
    for tier in range(limits.site.tiers):
        if state.used_w[0] < total_w:
            fill_tier_within(limits, state, tier, lo_w, hi_w, total_w)
        take(limits, state, tier, lo_w, hi_w)
        if offer(limits, state, tier, lo_w, hi_w) > 0.0 and state.used_w[0] < total_w:
            exchange(limits, state, total_w, False)
    if state.used_w[0] < total_w:
        exchange(limits, state, total_w, True)
    if state.exchanged:
        deal_out(limits, state, lo_w, hi_w)


def fill_tier_within(
    limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles, total_w: float
) -> None:  # fmt: skip
    """Fills one tier, turn by turn; adds what it takes to `used_w`."""
    turns = 12
    for loop in range(limits.site.loops):
        state.loop_level[loop] = ENDLESS
    for v in range(limits.site.nodes):
        state.served_w[v] = state.used_w[v]
    fill_tier(limits, state, tier, total_w)
    for turn in range(turns):
        if not crowd(limits, state, tier, lo_w, hi_w):
            break
        level(limits, state, tier, lo_w, hi_w)
        cut(limits, state, tier, lo_w, hi_w)
        # What the last turn cuts is left to nobody: the nodes count it as taken.
        if turn < turns - 1:
            begin_anew(limits, state, tier, lo_w, hi_w)
            fill_tier(limits, state, tier, total_w)


def take(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> None:
    """Adds to the loops what a tier takes, and leaves in `cut_w` what each of its racks does."""
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        i = limits.ranked[k]
        state.cut_w[i] = min(share(limits, state, i, lo_w, hi_w), state.cut_w[i])
        state.loop_load_w[limits.loop[i]] += state.cut_w[i] - lo_w[i]


def share(limits: Limits, state: State, i: int, lo_w: Doubles, hi_w: Doubles) -> float:
    """What a rack's node gives it, whatever its loop carries."""
    return lo_w[i] + state.group_part[limits.group[i]] * (hi_w[i] - lo_w[i])


def crowd(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> bool:
    """Whether a tier fills a loop beyond what it carries; those loops are marked by a level of 0."""
    for loop in range(limits.site.loops):
        state.loop_flow_w[loop] = 0.0
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        i = limits.ranked[k]
        state.loop_flow_w[limits.loop[i]] += min(share(limits, state, i, lo_w, hi_w), state.cut_w[i]) - lo_w[i]
    found = False
    for loop in range(limits.site.loops):
        cap_w = state.loop_cap_w[loop]
        if state.loop_flow_w[loop] > 0.0 and state.loop_load_w[loop] + state.loop_flow_w[loop] > cap_w * (1.0 + 1e-9):
            state.loop_level[loop] = 0.0
            found = True
    return found


def level(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> None:
    """The level at which a tier just fills each marked loop: Newton from the left, all loops at once."""
    rising = True
    # A level passes a rack's end with each step.
    for _ in range(limits.ranked_first[tier + 1] - limits.ranked_first[tier] + 1):
        if not rising:
            break
        rising = False
        for loop in range(limits.site.loops):
            state.loop_flow_w[loop] = 0.0
            state.loop_slope_w[loop] = 0.0
        for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
            i = limits.ranked[k]
            loop = limits.loop[i]
            at = state.loop_level[loop]
            if at < ENDLESS:
                range_w = hi_w[i] - lo_w[i]
                part = state.group_part[limits.group[i]]
                full_at = limits.full_at[limits.group[i]]
                if at >= part * full_at:
                    state.loop_flow_w[loop] += part * range_w
                else:
                    state.loop_flow_w[loop] += at / full_at * range_w
                    state.loop_slope_w[loop] += range_w / full_at
        for loop in range(limits.site.loops):
            at = state.loop_level[loop]
            room_w = state.loop_cap_w[loop] - state.loop_load_w[loop]
            if at < ENDLESS and state.loop_slope_w[loop] > 0.0 and state.loop_flow_w[loop] < room_w:
                further = at + (room_w - state.loop_flow_w[loop]) / state.loop_slope_w[loop]
                rising = rising or further > at
                state.loop_level[loop] = further


def cut(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> None:
    """Racks above the level of their loop stay there."""
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        i = limits.ranked[k]
        g = limits.group[i]
        at = state.loop_level[limits.loop[i]]
        if at < state.group_part[g] * limits.full_at[g]:
            state.cut_w[i] = lo_w[i] + at / limits.full_at[g] * (hi_w[i] - lo_w[i])


def begin_anew(limits: Limits, state: State, tier: int, lo_w: Doubles, hi_w: Doubles) -> None:
    """Takes back what a tier was given, but for the racks that were cut: the others are to be filled beside them."""
    for v in range(limits.site.nodes):
        state.used_w[v] = state.served_w[v]
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        state.range_w[limits.group[limits.ranked[k]]] = 0.0
    for k in range(limits.ranked_first[tier], limits.ranked_first[tier + 1]):
        i = limits.ranked[k]
        if state.cut_w[i] < ENDLESS:
            v = limits.node[i]
            while v >= 0:
                state.used_w[v] += state.cut_w[i] - lo_w[i]
                v = limits.node_parent[v]
        else:
            state.range_w[limits.group[i]] += hi_w[i] - lo_w[i]
