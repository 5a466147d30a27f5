# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks that move in steps, equal ones (miners on or off) or a list of levels: shares rounded so that sums stay right.

Every share is rounded down; what that leaves of a tier goes back level by level, first to racks that already have
theirs, so that a target between two steps moves one rack and not all. A level is given only where every node above has
room for it. What is left over, at most half a step, goes to the next tier.

A rack with minimum times has two levels only: where it stands, and where the goal of the ramp takes it. So it changes
once, when half of that is due, and not with the first part of a ramp that it would then sit out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import floor

    from rampd.ext.allocate import allocate
    from rampd.ext.beside import given, quickest
    from rampd.ext.codes import ENDLESS, WHY_COOLING, WHY_NODE
    from rampd.ext.loops import burden
    from rampd.ext.tree import load
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def in_steps(limits: Limits, i: int) -> bool:
    """Whether a rack takes only some set points: equal steps, or a list of levels."""
    return limits.quantum_w[i] > 0.0 or limits.level_first[i] < limits.level_first[i + 1]


def changes_once(limits: Limits, i: int) -> bool:
    """Whether a rack stays for a minimum time after a change: it changes once in the course of a ramp."""
    return limits.site.resting != 0 and limits.on_ns[i] + limits.off_ns[i] > 0


def below(limits: Limits, i: int, power_w: float) -> float:
    """The highest level of a rack that is no higher than a power; -1 where even the lowest is."""
    quantum_w = limits.quantum_w[i]
    if quantum_w > 0.0:
        return quantum_w * floor(power_w / quantum_w + 1e-10)
    first = limits.level_first[i]
    last = limits.level_first[i + 1]
    if first == last:
        return power_w
    found_w = -1.0
    for k in range(first, last):
        if limits.level_w[k] > power_w + 1e-10 * limits.max_w[i]:
            break
        found_w = limits.level_w[k]
    return found_w


def above(limits: Limits, i: int, level_w: float) -> float:
    """The next level of a stepped rack above one that it has."""
    quantum_w = limits.quantum_w[i]
    if quantum_w > 0.0:
        return quantum_w * (floor(level_w / quantum_w + 1e-10) + 1.0)
    for k in range(limits.level_first[i], limits.level_first[i + 1]):
        if limits.level_w[k] > level_w + 1e-10 * limits.max_w[i]:
            return limits.level_w[k]
    return ENDLESS


def has_all(state: State, i: int) -> bool:
    """Whether a rack's share is all that it may have, but for the last digits of a sum."""
    return state.share_w[i] >= state.hi_w[i] * (1.0 - 1e-9)


def beyond(limits: Limits, i: int, power_w: float) -> float:
    """The level that shows whether a stepped rack wants more than a power; its most where there is none.

    One or two steps above it: how much a rack draws less than its level is known to a step. In a list of levels the
    next one, or the one after that where the next is nearer than half of the step between these.
    """
    quantum_w = limits.quantum_w[i]
    if quantum_w > 0.0:
        return below(limits, i, min(power_w + 2.0 * quantum_w, limits.max_w[i]))
    level_w = above(limits, i, below(limits, i, power_w))
    next_w = above(limits, i, level_w)
    if level_w - power_w < 0.5 * (next_w - level_w):
        level_w = next_w
    return below(limits, i, min(level_w, limits.max_w[i]))


def room(limits: Limits, state: State, i: int, by_w: float) -> bool:
    """Whether the loop of a rack and every node above it carry so much more."""
    loop = limits.loop[i]
    if state.tight and state.loop_load_w[loop] + by_w > state.loop_cap_w[loop] * (1.0 + 1e-12):
        return False
    v = limits.node[i]
    while v >= 0:
        if state.used_w[v] + by_w > limits.node_w[v] - state.taken_w[v] - state.reserve_w[v]:
            return False
        v = limits.node_parent[v]
    return True


def give(limits: Limits, state: State, i: int) -> float:
    """Takes a rack to its next level, in it, in its loop and in the nodes above it; returns by how much."""
    by_w = state.next_w[i] - state.share_w[i]
    state.loop_load_w[limits.loop[i]] += by_w
    pin(state, i, state.next_w[i])
    state.next_w[i] = 0.0
    v = limits.node[i]
    while v >= 0:
        state.used_w[v] += by_w
        v = limits.node_parent[v]
    return by_w


def spread(limits: Limits, state: State) -> None:
    """Sets `end_w` of racks with minimum times to the level that the goal of the ramp gives each.

    What one level leaves of the goal the next rack takes up, so that their sum is right with one change of each. What
    is left in the end is one level more where that is nearer: those that move freely make room for the rest.
    """
    site = limits.site
    rest_w = max(state.disturbance_w, -site.generation_w)
    goal_w = state.goal_w + given(limits, state, state.goal_w)
    total_w = (min(goal_w, site.import_w - state.surge_w) - rest_w) / state.through + state.idle_w
    allocate(limits, state, state.lo_w, state.hi_w, max(0.0, total_w), state.end_w)
    left_w = 0.0
    last = -1
    for loop in range(site.loops):
        state.loop_flow_w[loop] = 0.0
    for k in range(limits.stepped_first[site.tiers]):
        i = limits.stepped[k]
        if changes_once(limits, i) and state.lo_w[i] < state.hi_w[i]:
            share_w = state.end_w[i]
            loop = limits.loop[i]
            # Below a full node a rack takes up nothing that others left, on a full loop what is left of this.
            full = state.bound_why[i] == WHY_NODE
            shares_loop = state.bound_why[i] == WHY_COOLING
            if shares_loop:
                share_w += state.loop_flow_w[loop]
            elif not full:
                share_w += left_w
            whole_w = state.hi_w[i]
            if share_w < whole_w:
                whole_w = max(below(limits, i, share_w), state.lo_w[i])
                last = last if full or shares_loop else i
            if shares_loop:
                state.loop_flow_w[loop] += state.end_w[i] - whole_w
            else:
                left_w += state.end_w[i] - whole_w
            state.end_w[i] = whole_w
    room_w = (site.import_w - state.surge_w - goal_w) / state.through
    if last >= 0 and room_w >= 0.0:
        gap_w = above(limits, last, state.end_w[last]) - state.end_w[last]
        # One that stands there stays there: what lies between two levels is noisy.
        part = 0.4 if state.applied_w[last] >= state.end_w[last] + gap_w else 0.6
        nearer = left_w >= part * gap_w and state.end_w[last] + gap_w <= state.hi_w[last]
        # Above the import limit nothing is nearer, unless the others do make room.
        if nearer and (room_w >= gap_w - left_w or yielding(limits, state) >= gap_w - left_w):
            state.end_w[last] += gap_w


def yielding(limits: Limits, state: State) -> float:
    """How far the racks that move freely can go below what the goal of the ramp gives them; W."""
    sum_w = 0.0
    for i in range(limits.site.racks):
        if not in_steps(limits, i):
            sum_w += max(0.0, state.end_w[i] - state.lo_w[i])
    return sum_w


def ends(limits: Limits, state: State) -> None:
    """Sets `end_w` of racks with minimum times: where each goes in one change.

    What the envelope does not let the sum do at once, a rack does in several changes.
    """
    site = limits.site
    up = quickest(limits, state)
    move_s = min(1.0, 2.0 * site.phases * site.period_ns * 1e-9)
    spread(limits, state)
    for k in range(limits.stepped_first[site.tiers]):
        i = limits.stepped[k]
        if changes_once(limits, i) and state.lo_w[i] < state.hi_w[i]:
            applied_w = state.applied_w[i]
            most_w = max(above(limits, i, applied_w), below(limits, i, applied_w + 1.2 * up * move_s))
            least_w = below(limits, i, applied_w - 1.2 * site.dispatched_down * move_s)
            state.end_w[i] = min(max(state.end_w[i], least_w), max(most_w, state.lo_w[i]))


def stand_or_end(limits: Limits, state: State, i: int) -> float:
    """Of where a rack that changes once stands and where it ends the lower; `next_w` is the higher, 0: they are one."""
    share_w = state.share_w[i]
    state.next_w[i] = 0.0
    if state.lo_w[i] >= state.hi_w[i] or (state.head_w[i] > 0.0 and has_all(state, i)):
        return share_w
    stands_w = max(state.lo_w[i], min(state.applied_w[i], state.hi_w[i]))
    whole_w = min(stands_w, state.end_w[i])
    next_w = max(stands_w, state.end_w[i])
    if whole_w < next_w <= state.reach_w[i] * (1.0 + 1e-12):
        state.next_w[i] = next_w
    return whole_w


def pin(state: State, i: int, level_w: float) -> None:
    """A stepped rack's share is a level, and nothing moves it from there in this tick."""
    state.share_w[i] = level_w
    state.floor_w[i] = level_w
    state.reach_w[i] = level_w


def round_down(limits: Limits, state: State, tier: int) -> float:
    """Rounds the shares of a tier down and notes what that leaves and which levels may go back; the smallest of these.

    A rack that has all it wants is left alone: its set point stands above that, see `move`. Those that may have a level
    back are listed in `odd`, from the tier's place among the stepped racks up to -1.
    """
    grain_w = ENDLESS
    spare_w = 0.0
    slow_w = 0.0
    scarce = state.rise_w < limits.site.grain_w
    some_slow = state.slow_count > 0
    at = limits.stepped_first[tier]
    for k in range(at, limits.stepped_first[tier + 1]):
        i = limits.stepped[k]
        share_w = state.share_w[i]
        whole_w = share_w
        back_w = 0.0
        if changes_once(limits, i):
            whole_w = stand_or_end(limits, state, i)
            back_w = state.next_w[i]
        elif scarce and waits(limits, state, i):
            whole_w = state.applied_w[i]
        elif state.lo_w[i] < state.hi_w[i] and not (state.head_w[i] > 0.0 and has_all(state, i)):
            whole_w = -1.0
            quantum_w = limits.quantum_w[i]
            if quantum_w > 0.0:
                # Both ends of an equal step come from one division.
                steps = int(share_w / quantum_w + 1e-10)
                whole_w = quantum_w * steps
                back_w = quantum_w * (steps + 1)
            if whole_w < state.lo_w[i]:
                whole_w = max(below(limits, i, share_w), state.lo_w[i])
                back_w = above(limits, i, whole_w)
            most_w = min(state.hi_w[i], state.reach_w[i])
            # What a rack wants may lie between two levels: it takes the higher one.
            if most_w == state.demand_w[i]:
                most_w = limits.max_w[i]
            if back_w > most_w * (1.0 + 1e-12):
                back_w = 0.0
        if back_w > 0.0:
            grain_w = min(grain_w, back_w - whole_w)
            state.odd[at] = i
            at += 1
        if some_slow and state.slow[i]:
            slow_w += share_w - whole_w
        else:
            spare_w += share_w - whole_w
        state.next_w[i] = back_w
        pin(state, i, whole_w)
    if at < limits.stepped_first[tier + 1]:
        state.odd[at] = -1
    state.tier_spare_w[tier] = spare_w
    state.tier_spare_w[limits.site.tiers + tier] = slow_w
    return grain_w


def waits(limits: Limits, state: State, i: int) -> bool:
    """Whether a rack's next level is more than the sum may rise by now: others follow meanwhile."""
    applied_w = state.applied_w[i]
    if not state.share_w[i] > applied_w >= state.lo_w[i]:
        return False
    return above(limits, i, applied_w) - applied_w > state.rise_w


def give_back(
    limits: Limits, state: State, tier: int, spare_w: float, over_w: float, grain_w: float, held: bool, slow: bool
) -> float:  # fmt: skip
    """Gives levels of a tier to racks that hold them already, or to those that do not; what is then left.

    A level is given where half of it is left, and no more than `over_w` of it is not. Else less than half of `grain_w`,
    the smallest that may be given, is left for certain.
    """
    if spare_w < 0.5 * grain_w:
        return spare_w
    for k in range(limits.stepped_first[tier], limits.stepped_first[tier + 1]):
        i = state.odd[k]
        if i < 0:
            break
        if state.next_w[i] <= 0.0 or (state.slow[i] != 0) != slow:
            continue
        gap_w = state.next_w[i] - state.share_w[i]
        has_it = state.applied_w[i] >= state.next_w[i] - 0.01 * gap_w
        near = spare_w >= 0.5 * gap_w and gap_w - spare_w <= over_w
        if has_it == held and near and room(limits, state, i, gap_w):
            spare_w -= give(limits, state, i)
            if spare_w < 0.5 * grain_w:
                break
    return spare_w


def deal(limits: Limits, state: State, over_w: float, grain_w: float, slow: bool) -> None:
    """Gives back what rounding left of the slow racks to these, or of the others to those."""
    first = limits.site.tiers if slow else 0
    spare_w = 0.0
    for tier in range(limits.site.tiers):
        spare_w += state.tier_spare_w[first + tier]
        spare_w = give_back(limits, state, tier, spare_w, over_w, grain_w, True, slow)
        spare_w = give_back(limits, state, tier, spare_w, over_w, grain_w, False, slow)


def freely(limits: Limits, state: State) -> float:
    """How far the racks that move freely can make room in this move; W."""
    sum_w = 0.0
    for k in range(limits.stepped_first[limits.site.tiers], limits.site.racks):
        i = limits.stepped[k]
        sum_w += max(0.0, state.share_w[i] - state.floor_w[i])
    return sum_w


def quantise(limits: Limits, state: State, over_w: float) -> float:
    """Rounds `share_w` of stepped racks and pins their bounds there; the smallest step that one may take, 0: none.

    Their sum comes to within half a step of what it was; to no more than `over_w` above, unless others make room.
    Slow ones among themselves: the others make up for what these draw, not for what they are to have.
    """
    grain_w = ENDLESS
    if limits.site.resting:
        ends(limits, state)
    for tier in range(limits.site.tiers):
        grain_w = min(grain_w, round_down(limits, state, tier))
    if grain_w == ENDLESS:
        return 0.0
    load(limits, state, state.share_w)
    if state.tight:
        burden(limits, state, state.share_w)
    # The last digits of a sum keep nobody from a level.
    over_w = max(over_w, 0.0) + 1e-9 * limits.site.max_w
    if over_w < 0.5 * limits.site.grain_w:
        over_w += freely(limits, state)
    if state.slow_count:
        deal(limits, state, over_w, grain_w, True)
    deal(limits, state, over_w, grain_w, False)
    return grain_w
