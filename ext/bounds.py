# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Each rack's least and most for this tick, how far it gets in one move, and what nodes must keep free for it.

Nearly all racks are as usual: for them this is arithmetic without a question, which runs over all racks. What is
different about the others is said afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        ACT_NO_RAISE,
        ACT_SAFE,
        ACT_SHED,
        ACT_TRIP,
        AVAILABLE,
        ESTOP,
        LOCKED,
        UNRESPONSIVE,
        WHY_COOLING,
        WHY_GRID,
        WHY_LOCKED,
        WHY_MANUAL,
        WHY_MAX,
        WHY_SHED,
        WHY_STALE,
        WHY_TRIP,
        WHY_UNRESPONSIVE,
    )
    from rampd.ext.rest import rests
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def usual(limits: Limits, state: State) -> None:
    """Bounds of all racks as if nothing were the matter with any: between what it goes down to and what it wants.

    Lower than it was seen to go it does not go: others make up for it. In short loops, which are compiled to vectors.
    """
    why = state.bound_why
    for i in range(limits.site.racks):
        lo_w = state.bottom_w[i]
        state.lo_w[i] = lo_w
        state.hi_w[i] = min(limits.max_w[i], max(lo_w, state.demand_w[i]))
    for i in range(limits.site.racks):
        # A rack that wants less than it may gets a little more than it wants, so that a rise of demand is seen.
        state.head_w[i] = min(limits.max_w[i] - state.hi_w[i], limits.headroom_w[i])
    for i in range(limits.site.racks):
        applied_w = state.applied_w[i]
        cap_w = state.cap_w[i]
        # It falls from what it wants: above that nothing is drawn.
        state.floor_w[i] = min(applied_w, min(cap_w, state.hi_w[i]) - limits.fall_w[i])
        state.reach_w[i] = max(applied_w, cap_w + limits.rise_w[i])
    for i in range(limits.site.racks):
        why[i] = WHY_MAX


def apart(inputs: Inputs, limits: Limits, state: State) -> int:
    """Lists the racks that need a look of their own: not as usual, above their set point or their least, or on the way.

    Returns how many, in their order.
    """
    value = inputs.value
    slot = limits.power_slot
    as_usual = state.usual
    applied_w = state.applied_w
    lo_w = state.lo_w
    pending_w = state.pending_w
    odd = state.odd
    count = 0
    for i in range(limits.site.racks):
        odd[count] = i
        count += (as_usual[i] == 0) | (max(max(lo_w[i], pending_w[i]), value[slot[i]]) > applied_w[i])
    return count


def restrict(inputs: Inputs, limits: Limits, state: State, i: int) -> float:
    """The ends of a rack that is not as usual: not known yet, in other hands, stale, or kept from rising.

    Returns what its node must keep free for it.
    """
    max_w = limits.max_w[i]
    action = state.action[i]
    lo_w = state.bottom_w[i]
    if action >= ACT_NO_RAISE or state.verb == ESTOP:
        lo_w = limits.min_w[i]
    hi_w = min(max_w, max(lo_w, state.demand_w[i]))
    why = WHY_MAX
    reserve_w = min(max_w - hi_w, limits.headroom_w[i])
    state.head_w[i] = reserve_w
    if not state.known[i]:
        lo_w = 0.0
        hi_w = 0.0
        reserve_w = max_w
        why = WHY_STALE
    elif inputs.rack_state[i] != AVAILABLE:
        lo_w = min(state.power_w[i], max_w)
        hi_w = lo_w
        # Whoever holds it may raise it, and one that was restarted does; the guard counts it like this.
        reserve_w = max_w - hi_w
        why = WHY_UNRESPONSIVE if inputs.rack_state[i] == UNRESPONSIVE else WHY_MANUAL
        if inputs.rack_state[i] == LOCKED:
            why = WHY_LOCKED
    elif action >= ACT_NO_RAISE or state.stale[i]:
        if action == ACT_TRIP:
            lo_w = 0.0
            hi_w = 0.0
            why = WHY_TRIP
        elif action >= ACT_SAFE:
            hi_w = lo_w
            why = WHY_GRID if action == ACT_SHED else WHY_COOLING
        elif action >= ACT_NO_RAISE:
            # What it may not do is rise, see `bounds`; its share is what it was, so that it does not drain to others.
            why = WHY_COOLING if state.loop_action[limits.loop[i]] >= ACT_NO_RAISE else WHY_STALE
            if state.fault_hold or state.shedding or state.returning:
                why = WHY_GRID
            if state.stale[i] or not state.meter_good:
                why = WHY_STALE
        if state.stale[i]:
            # Whatever it is given, it counts at its rating.
            reserve_w = max_w - lo_w
    state.lo_w[i] = lo_w
    state.hi_w[i] = hi_w
    state.bound_why[i] = why
    return reserve_w


def wake(limits: Limits, state: State, i: int, room_w: float) -> float:
    """Keeps a rack that is off there unless it may rise and the reference has room for its least; what is then left.

    Half of the room will do where the others can go down by as much as is missing: its least is a step like others.
    """
    lo_w = state.lo_w[i]
    may = state.hi_w[i] > lo_w and state.action[i] < ACT_NO_RAISE and not shut(limits, state, i)
    need_w = lo_w
    # What the hall can go down to is 0 until it was looked at.
    if state.least_w != 0.0:
        spare_w = (state.reference_w + state.beside_w - state.least_w) / state.through
        need_w = 0.5 * lo_w if spare_w >= lo_w else lo_w
    if may and room_w >= need_w and state.rise_w >= lo_w:
        state.wakes_w = max(state.wakes_w, lo_w)
        return room_w - lo_w
    state.lo_w[i] = 0.0
    state.hi_w[i] = 0.0
    state.bound_why[i] = WHY_SHED
    return room_w


def look(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """Bounds of a rack that needs a look of its own, and what it means to its node beyond what a usual one does."""
    v = limits.node[i]
    applied_w = state.applied_w[i]
    draws_w = applied_w
    reserve_w = 0.0
    as_usual = state.usual[i] != 0
    if not as_usual:
        # In this order: it sets the headroom as well.
        reserve_w = restrict(inputs, limits, state, i)
        reserve_w -= state.head_w[i]
        draws_w = limits.max_w[i]
    if as_usual or live(inputs, state, i):
        # What a lowered rack has not given up yet; once its fall should have been read, it just draws more.
        drawn_w = inputs.value[limits.power_slot[i]]
        late_w = drawn_w - max(applied_w, state.lo_w[i])
        draws_w = max(applied_w, min(drawn_w, limits.max_w[i]))
        if late_w > 0.0:
            if arrived(inputs, limits, state, i):
                reserve_w += late_w
            else:
                # One that makes way for slow ones comes back: what it draws meanwhile is its own, nobody else's place.
                back_w = 0.0
                if state.slow_count and not state.slow[i] and state.action[i] < ACT_NO_RAISE:
                    back_w = min(max(0.0, late_w + state.ahead_w[i] - drawn_w), late_w)
                state.used_w[v] += back_w
                state.flow_w[v] += late_w - back_w
    if state.tick < state.pending_tick[i]:
        draws_w = max(draws_w, state.pending_w[i])
    else:
        state.pending_w[i] = 0.0
    state.reserve_w[v] += reserve_w
    state.worst_w[v] += draws_w - applied_w


def bounds(inputs: Inputs, limits: Limits, state: State) -> None:
    """Sets lo, hi, floor, reach and headroom of every rack, and what nodes keep free."""
    usual(limits, state)
    state.wakes_w = 0.0
    # What the reference has room for beyond the set points that stand: racks that are off come back within it only.
    wake_w = state.reference_w + state.beside_w - state.disturbance_w
    wake_w = wake_w / state.through + state.idle_w - state.stand_w
    if state.verb == ESTOP or state.fault_hold:
        wake_w = 0.0
    for v in range(limits.site.nodes):
        state.flow_w[v] = 0.0
        state.reserve_w[v] = 0.0
        state.worst_w[v] = 0.0
        state.used_w[v] = 0.0
    for k in range(apart(inputs, limits, state)):
        i = state.odd[k]
        look(inputs, limits, state, i)
        if state.applied_w[i] <= 0.0 and state.lo_w[i] > 0.0 and inputs.rack_state[i] == AVAILABLE:
            wake_w = wake(limits, state, i, wake_w)
        if not state.usual[i] and state.action[i] >= ACT_NO_RAISE:
            state.reach_w[i] = max(state.applied_w[i], state.lo_w[i])
    if limits.site.measured:
        stay(limits, state)
    gather(limits, state)
    overhang(limits, state)
    if limits.site.resting:
        rests(limits, state)
    keep_free(limits, state)


def gather(limits: Limits, state: State) -> None:
    """What the racks at each node keep free, may draw and have by their set points; added to what `look` found."""
    head_w = state.head_w
    applied_w = state.applied_w
    lo_w = state.lo_w
    hi_w = state.hi_w
    for v in range(limits.site.nodes):
        reserve_w = state.reserve_w[v]
        worst_w = state.worst_w[v]
        used_w = state.used_w[v]
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            now_w = applied_w[i]
            reserve_w += head_w[i]
            worst_w += now_w
            used_w += max(lo_w[i], min(now_w, hi_w[i]))
        state.reserve_w[v] = reserve_w
        state.worst_w[v] = worst_w
        state.used_w[v] = used_w


def overhang(limits: Limits, state: State) -> None:
    """Nodes keep free as well by what the level of a rack in steps lies above what it wants beyond its headroom.

    It stays at the level above its demand, for below it there is only one that cuts it.
    """
    for k in range(limits.stepped_first[limits.site.tiers]):
        i = limits.stepped[k]
        over_w = state.applied_w[i] - state.hi_w[i] - state.head_w[i]
        if over_w > 0.0 and state.usual[i]:
            state.reserve_w[limits.node[i]] += over_w


def live(inputs: Inputs, state: State, i: int) -> bool:
    """Whether a rack is in our hands and its reading is fresh."""
    return state.known[i] != 0 and inputs.rack_state[i] == AVAILABLE and not state.stale[i]


def shut(limits: Limits, state: State, i: int) -> bool:
    """Whether the meter of a node above a rack shows more than its limit."""
    v = limits.node[i]
    while v >= 0:
        if state.over[v]:
            return True
        v = limits.node_parent[v]
    return False


def stay(limits: Limits, state: State) -> None:
    """Racks below a node whose meter shows more than its limit do not rise: what they cannot have goes to others."""
    for v in range(limits.site.nodes):
        if state.over[v]:
            for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
                state.reach_w[i] = min(state.reach_w[i], max(state.applied_w[i], state.lo_w[i]))


def broken(limits: Limits, state: State, i: int) -> bool:
    """Whether a node above a rack draws more than its limit already, or may: nothing rises below it."""
    v = limits.node[i]
    while v >= 0:
        if state.over[v] or state.worst_w[v] > (limits.node_w[v] - state.taken_w[v]) * (1.0 + 1e-9):
            return True
        v = limits.node_parent[v]
    return False


def arrived(inputs: Inputs, limits: Limits, state: State, i: int) -> bool:
    """Whether a rack's newest reading is from a second or more after its set point took effect."""
    history = limits.site.history
    since = state.dead_down[i] + 1_000_000_000 // limits.site.period_ns
    since += max(0, state.now_ns - inputs.at_ns[limits.power_slot[i]]) // limits.site.period_ns
    row = (state.tick + history - min(since, history - 1)) % history
    return state.past_w[row * limits.site.racks + i] <= state.applied_w[i] * 1.001


def keep_free(limits: Limits, state: State) -> None:
    """What nodes keep free, with the racks below: what is still to fall there keeps others from rising, no more.

    `flow_w` is what lowered racks have not given up yet, `used_w` what the set points take; `late_w` of it passes soon.
    """
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        if v > 0:
            parent = limits.node_parent[v]
            state.worst_w[parent] += state.worst_w[v]
            state.reserve_w[parent] += state.reserve_w[v]
            state.flow_w[parent] += state.flow_w[v]
            state.used_w[parent] += state.used_w[v]
        room_w = limits.node_w[v] - state.taken_w[v] - state.reserve_w[v] - state.used_w[v]
        # Where loops bind it bars raises (see `fit`), not shares: who makes room would take it back on the way.
        state.late_w[v] = 0.0 if state.tight else min(state.flow_w[v], max(0.0, room_w))
    for v in range(limits.site.nodes):
        state.reserve_w[v] += state.late_w[v]
