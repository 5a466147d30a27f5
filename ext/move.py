# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""From shares to set points: whose turn it is, and how much of a move the sum can take now.

Rising has the envelope, falling what the sum needs; what must fall for safety waits for neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.beside import quickest
    from rampd.ext.bounds import broken
    from rampd.ext.bridge import pressed
    from rampd.ext.codes import (
        ACT_DERATE,
        ACT_NO_RAISE,
        ACT_SAFE,
        AVAILABLE,
        EMERGENCY,
        ESTOP,
        FAULT_NONE,
        FAULT_SETPOINT,
        LOCKED,
        MANUAL,
        SITE_IMPORT,
        WHY_COOLING,
        WHY_NODE,
    )
    from rampd.ext.failsafe import fresh, level
    from rampd.ext.levels import above, below, beyond, changes_once, has_all, in_steps
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def most(limits: Limits, state: State, up: bool) -> float:
    """The most that the set points may rise or fall at once in sum; W."""
    site = limits.site
    if not up:
        return 1.2 * max(site.dispatched_down, site.jump_w)
    return 1.2 * max(quickest(limits, state), 0.1 * site.dispatched_up, site.jump_w)


def refill(limits: Limits, state: State) -> None:
    """How far the set points may rise and fall in sum: a second's worth of the envelope, refilled tick by tick.

    It holds at least what one rack must take at once, which would never come otherwise.
    """
    site = limits.site
    up = quickest(limits, state)
    dt_s = site.period_ns * 1e-9
    state.rise_w = min(state.rise_w + 1.2 * up * dt_s, most(limits, state, True))
    state.fall_w = min(state.fall_w + 1.2 * site.dispatched_down * dt_s, most(limits, state, False))
    state.give_w = min(state.give_w + 1.2 * up * dt_s, max(0.002 * site.max_w, 0.4 * site.grain_w))


def afford(limits: Limits, state: State, i: int, share_w: float, safe: bool) -> float:
    """A rack's share, or as much of its way there as the sum may take now; safety waits for nothing on the way down."""
    applied_w = state.applied_w[i]
    rises = share_w > applied_w
    if (rises and share_w - applied_w > state.rise_w) or (
        not rises and applied_w - share_w > state.fall_w and not safe
    ):
        if changes_once(limits, i) and abs(share_w - applied_w) <= most(limits, state, rises):
            # It waits for all of its one change.
            return applied_w
        part_w = state.rise_w if rises else -state.fall_w
        least_w = limits.min_w[i]
        if min(share_w, applied_w) < least_w and not (rises and applied_w + part_w >= least_w):
            return applied_w
        if applied_w < least_w and not in_steps(limits, i):
            # One that was off goes to its least first.
            part_w = least_w - applied_w
        share_w = applied_w + (0.0 if abs(part_w) < 0.001 * limits.max_w[i] else part_w)
        if in_steps(limits, i):
            level_w = below(limits, i, share_w)
            share_w = max(applied_w, level_w) if rises else min(applied_w, above(limits, i, level_w))
            share_w = applied_w if share_w < least_w else share_w
    state.rise_w -= min(state.rise_w, max(0.0, share_w - applied_w))
    state.fall_w -= min(state.fall_w, max(0.0, applied_w - share_w))
    return share_w


def drawn(limits: Limits, state: State, i: int, setpoint_w: float) -> float:
    """What a rack takes of a set point."""
    return min(setpoint_w, max(state.demand_w[i], min(setpoint_w, limits.min_w[i])))


def load_loops(limits: Limits, state: State) -> None:
    """Sets `loop_load_w` to what the racks of each loop take of their set points."""
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
    for i in range(limits.site.racks):
        state.loop_load_w[limits.loop[i]] += drawn(limits, state, i, state.applied_w[i])


def too_much(limits: Limits, state: State, i: int) -> float:
    """By how much the loop of a rack, or a node above it, is given more than it carries; W."""
    loop = limits.loop[i]
    over_w = max(0.0, state.loop_load_w[loop] - state.loop_cap_w[loop])
    v = limits.node[i]
    while v >= 0:
        over_w = max(over_w, state.worst_w[v] - (limits.node_w[v] - state.taken_w[v]))
        v = limits.node_parent[v]
    return over_w


def in_step(limits: Limits, state: State, i: int, share_w: float) -> float:
    """A share, or as much of the way there as the sum needs: what is dealt out anew falls here as it rises elsewhere.

    Falling is quick and rising has its envelope: who fell first and rose later would not be where it was told. So one
    rises a little ahead, and the others fall as far as that. Full nodes, caps and slow racks do not wait; where loops
    bind, one falls at once by what is too much, and gives way for others no faster than these may rise.
    Where the import limit leaves no room to rise ahead, the others fall ahead instead, by a whole step.
    """
    site = limits.site
    now_w = drawn(limits, state, i, state.applied_w[i])
    way_w = drawn(limits, state, i, share_w) - now_w
    slack_w = max(0.002 * site.max_w, 0.4 * site.grain_w)
    short = state.room_w < state.total_w + slack_w
    low_w = state.total_w
    if short:
        low_w = min(low_w, state.room_w - max(slack_w, site.jump_w))
        slack_w = max(0.0, state.room_w - state.total_w)
    gives = way_w < 0.0 and state.bound_why[i] in (WHY_NODE, WHY_COOLING)
    if way_w < 0.0:
        if state.hi_w[i] < now_w or (gives and not state.tight):
            return share_w
        # What was told to rise counts once it has; what is told beyond the slack is too much in any case.
        model_w = state.model_w * ((1.0 + limits.site.loss_ratio) / state.through)
        room_w = max(0.0, max(state.stand_w - slack_w, min(state.stand_w, model_w)) - low_w)
    else:
        room_w = max(0.0, state.total_w + slack_w - state.stand_w)
    if gives:
        room_w = max(room_w, state.give_w, too_much(limits, state, i))
    if state.slow_count:
        # One that bridged comes back before the sum shows it.
        room_w = max(room_w, abs(state.back_w[i] - state.applied_w[i]))
    # One that changes once does so whole: its change is due when half of it is.
    rises_short = short and way_w > 0.0
    if abs(way_w) <= room_w or state.slow[i] or (changes_once(limits, i) and not rises_short):
        return share_w
    stepped = in_steps(limits, i)
    # Of a step the nearer end will do, also of the one between off and the least; below the import limit all of it.
    part = 1.0 if rises_short else 0.4
    if part * abs(way_w) <= room_w and (stepped or min(share_w, state.applied_w[i]) < limits.min_w[i]):
        return share_w
    far_w = now_w + room_w if way_w > 0.0 else now_w - room_w
    if stepped:
        far_w = below(limits, i, now_w + room_w / part if way_w > 0.0 else now_w - room_w / part)
        if way_w > 0.0:
            far_w = max(state.applied_w[i], far_w)
        else:
            far_w = min(state.applied_w[i], max(share_w, above(limits, i, far_w)))
    if way_w > 0.0 and far_w < limits.min_w[i] and part * (limits.min_w[i] - now_w) <= room_w:
        far_w = limits.min_w[i]
    # Between off and its least there is nothing to be had.
    return far_w if far_w >= limits.min_w[i] else state.applied_w[i]


def in_hand(inputs: Inputs, limits: Limits, state: State, i: int) -> float:
    """The set point of a rack that others hold: what it shows, so that it comes back from there.

    It goes up only where the rack might be raised, and no further than what the envelope has left. Its demand is what
    it was given, so that it rises from there like any rack that wants more, and no other falls to make room for it.
    One that is locked out may be off whatever it shows: it comes back from what it draws.
    """
    applied_w = state.applied_w[i]
    if not state.known[i] or not fresh(inputs, limits.limit_slot[i], limits.stale_ns[i], state.now_ns):
        return applied_w
    shown_w = inputs.value[limits.limit_slot[i]]
    if inputs.rack_state[i] == LOCKED:
        if not fresh(inputs, limits.power_slot[i], limits.stale_ns[i], state.now_ns):
            return applied_w
        shown_w = min(shown_w, max(inputs.value[limits.power_slot[i]], limits.min_w[i]))
    shown_w = level(limits, i, shown_w)
    if limits.level_first[i] < limits.level_first[i + 1]:
        shown_w = max(0.0, below(limits, i, shown_w))
    barred = state.action[i] >= ACT_NO_RAISE or not state.meter_good or state.fault_hold or broken(limits, state, i)
    if shown_w > applied_w and barred:
        return applied_w
    if in_steps(limits, i):
        if shown_w > applied_w + state.rise_w or shown_w < applied_w - state.fall_w:
            return applied_w
    else:
        shown_w = max(min(shown_w, applied_w + state.rise_w), applied_w - state.fall_w)
    state.demand_w[i] = min(state.demand_w[i], max(shown_w, limits.min_w[i]))
    state.rise_w -= max(0.0, shown_w - applied_w)
    state.fall_w -= max(0.0, applied_w - shown_w)
    return shown_w


def wanted(limits: Limits, state: State, i: int) -> float:
    """A rack's share as a set point that it can take, with a little headroom where it has all that it wants.

    Steps so fine that they were not rounded yet are rounded here; what one leaves the next takes up.
    """
    share_w = state.share_w[i]
    if ACT_NO_RAISE <= state.action[i] < ACT_SAFE:
        # A step is held until the share is a step lower.
        if in_steps(limits, i) and below(limits, i, share_w) < share_w:
            share_w = above(limits, i, below(limits, i, share_w))
        share_w = min(share_w, max(state.applied_w[i], state.lo_w[i]))
    elif (
        has_all(state, i)
        and state.hi_w[i] >= limits.min_w[i]
        and state.hi_w[i] > 0.0
        and state.action[i] < ACT_NO_RAISE
    ):
        if in_steps(limits, i):
            level_w = beyond(limits, i, share_w) if state.head_w[i] > 0.0 else below(limits, i, share_w)
            next_w = above(limits, i, state.applied_w[i])
            if changes_once(limits, i):
                # It has no use for a part of its way.
                next_w = max(next_w, below(limits, i, share_w))
            share_w = max(state.lo_w[i], min(level_w, next_w))
        else:
            # Headroom grows slowly: it is a raise like any other.
            pace_w = 0.005 * limits.max_w[i]
            share_w = max(share_w, min(share_w + state.head_w[i], state.applied_w[i] + pace_w))
    elif limits.quantum_w[i] > 0.0 and state.lo_w[i] < share_w < state.hi_w[i]:
        near_w = min(share_w + state.left_w + 0.5 * limits.quantum_w[i], state.hi_w[i])
        whole_w = max(state.lo_w[i], below(limits, i, near_w))
        state.left_w += share_w - whole_w
        share_w = whole_w
    return min(share_w, limits.max_w[i])


def held(state: State, i: int) -> bool:
    """Whether a fault of the grid keeps a rack that has all it may have where it is."""
    waits = state.fault_hold != 0 and not state.parted and state.action[i] < ACT_SAFE and state.verb != ESTOP
    return waits and has_all(state, i)


def fit(inputs: Inputs, limits: Limits, state: State, i: int, share_w: float) -> float:
    """A raise, or as much of it as the nodes above carry while what was told to fall there is still on its way."""
    applied_w = state.applied_w[i]
    if broken(limits, state, i):
        return applied_w
    # Up to what it draws it counts already.
    stands_w = max(applied_w, min(inputs.value[limits.power_slot[i]], limits.max_w[i]), state.pending_w[i])
    fits_w = share_w
    v = limits.node[i]
    while v >= 0:
        fits_w = min(fits_w, stands_w + max(0.0, limits.node_w[v] - state.taken_w[v] - state.worst_w[v]))
        v = limits.node_parent[v]
    if fits_w < share_w:
        share_w = fits_w
        if in_steps(limits, i):
            share_w = below(limits, i, fits_w)
            if share_w < limits.min_w[i] <= fits_w:
                share_w = limits.min_w[i]
        if share_w < max(limits.min_w[i], applied_w + 0.001 * limits.max_w[i]):
            return applied_w
    v = limits.node[i]
    while v >= 0:
        state.worst_w[v] += max(0.0, share_w - stands_w)
        v = limits.node_parent[v]
    return share_w


def stopping(state: State) -> bool:
    """Whether every rack goes down without waiting for its turn or for others."""
    stopped = state.verb == ESTOP or state.envelope == EMERGENCY or state.shedding != 0
    return stopped or state.exceeding != 0 or state.site_why == SITE_IMPORT


def take_turn(inputs: Inputs, limits: Limits, state: State, i: int, turn: bool, prompt: bool, safe: bool) -> None:
    """Moves one rack towards its share, or, when it is not its turn, down for safety."""
    share_w = wanted(limits, state, i)
    # What falls for safety waits for nobody; what rises meanwhile waits for that.
    falls = share_w < state.applied_w[i]
    if not ((safe and falls) or prompt or state.fault_hold):
        share_w = in_step(limits, state, i, share_w)
    if not (turn or prompt) and share_w >= state.applied_w[i]:
        return
    small = abs(share_w - state.applied_w[i]) < 0.001 * limits.max_w[i]
    # A full node is held to the watt.
    small = small and not (share_w < state.applied_w[i] and state.bound_why[i] == WHY_NODE)
    if small and share_w != limits.min_w[i] and share_w != limits.max_w[i]:
        return
    if share_w > state.applied_w[i]:
        share_w = fit(inputs, limits, state, i, share_w)
    state.asked_w[i] = afford(limits, state, i, share_w, safe)
    moved_w = drawn(limits, state, i, state.asked_w[i]) - drawn(limits, state, i, state.applied_w[i])
    if state.tight and moved_w < 0.0:
        state.loop_load_w[limits.loop[i]] += moved_w
        state.give_w -= min(state.give_w, -moved_w)
    if not state.slow[i]:
        state.stand_w += moved_w


def move(inputs: Inputs, limits: Limits, state: State) -> int:
    """Set points of the racks whose turn it is; each rack moves on its own phase, so that the sum is smooth.

    What must fall for safety, what others hold and what is slow and has a new command do not wait for their turn.
    Returns a fault code.
    """
    phases = limits.site.phases
    refill(limits, state)
    state.left_w = 0.0
    if state.tight:
        load_loops(limits, state)
    for i in range(limits.site.racks):
        state.asked_w[i] = state.applied_w[i]
    begun = state.taken_tick == state.tick and state.slow_count > 0
    stops = stopping(state)
    at_once = state.envelope == EMERGENCY or state.exceeding != 0
    everyone = state.urgent != 0 or begun or at_once
    i = 0 if everyone else (phases - state.tick % phases) % phases
    while i < limits.site.racks:
        turn = not everyone or (state.tick + i) % phases == 0
        prompt = begun and pressed(limits, state, i)
        if inputs.rack_state[i] in (MANUAL, LOCKED):
            state.asked_w[i] = in_hand(inputs, limits, state, i)
        elif (
            (turn or prompt or state.action[i] >= ACT_SAFE or at_once)
            and state.known[i]
            and inputs.rack_state[i] == AVAILABLE
            and state.now_ns >= state.free_ns[i]
            and not held(state, i)
        ):
            if not state.share_w[i] >= 0.0 or state.share_w[i] > limits.max_w[i] * (1.0 + 1e-9):
                return FAULT_SETPOINT
            take_turn(inputs, limits, state, i, turn, prompt, stops or state.action[i] >= ACT_DERATE)
        i += 1 if everyone else phases
    return FAULT_NONE
