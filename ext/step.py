# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""One tick of the control: judge, model, reference, target, bounds, allocation, moves.

A pure function of the image, the configuration, the command, its own memory and `now`. It reads no clock, file or
socket; the same compiled step runs in the daemon, in tests and in a simulated day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.allocate import allocate, give_way
    from rampd.ext.ballast import standing
    from rampd.ext.bridge import ahead, expect, make_up
    from rampd.ext.codes import (
        ACT_DERATE,
        ACT_NO_RAISE,
        ACT_SAFE,
        ACT_SHED,
        AVAILABLE,
        DISPATCHED,
        EMERGENCY,
        ENDLESS,
        ESTOP,
        FAULT_CLOCK,
        FAULT_NONE,
        SITE_ESTOP,
        SITE_FAULT,
        SITE_FLOOR,
        SITE_IMPORT,
        SITE_METER,
        SITE_RATE,
        SITE_REFERENCE,
        SITE_ROOM,
        UNRESPONSIVE,
        WHY_COOLING,
        WHY_DEMAND,
        WHY_GRID,
        WHY_MANUAL,
        WHY_MAX,
        WHY_MIN,
        WHY_NODE,
        WHY_RATE,
        WHY_REST,
        WHY_SHARE,
        WHY_SHED,
        WHY_STALE,
        WHY_UNRESPONSIVE,
    )
    from rampd.ext.failsafe import judge
    from rampd.ext.firm import firm, span
    from rampd.ext.grid import observe
    from rampd.ext.identify import begin
    from rampd.ext.ladder import attend
    from rampd.ext.levels import quantise
    from rampd.ext.model import advance, compare
    from rampd.ext.move import move
    from rampd.ext.ramp import follow
    from rampd.ext.swing import swing
    from rampd.ext.thermal import caps, narrow
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def room(limits: Limits, state: State) -> float:
    """What the import limit leaves for the racks; W.

    No more than itself, whatever the meter makes of the rest: nothing but generation makes that negative.
    """
    rest_w = max(state.disturbance_w, -limits.site.generation_w)
    return (limits.site.import_w - rest_w) / (1.0 + limits.site.loss_ratio) + state.idle_w


def target(limits: Limits, state: State, dt_s: float) -> float:
    """What the racks must be given in sum so that the meter shows the reference, within import limit and envelope."""
    site = limits.site
    gain = 1.0 + site.loss_ratio
    want_w = (state.reference_w + state.response_w - state.disturbance_w) / gain + state.idle_w
    cap_w = room(limits, state)
    if not state.meter_good:
        state.site_why = SITE_METER
    if state.verb == ESTOP:
        state.site_why = SITE_ESTOP
        return 0.0
    if state.fault_hold:
        state.site_why = SITE_FAULT
        return min(ENDLESS, max(0.0, cap_w))
    # The feedback moves a little faster than the envelope, so that the meter can stay on the reference.
    up = site.dispatched_up if state.envelope == DISPATCHED else site.normal_up
    # The racks follow within one move or by one step; a target that ran ahead of them would come back as a jump.
    stand_w = state.stand_w
    move_s = site.phases * site.period_ns * 1e-9 + 0.1
    down = site.dispatched_down
    # Less than that, spread over all racks, would be too little to be written to any.
    lead_w = max(1.2 * up * move_s, 0.002 * site.max_w)
    most_w = min(state.total_w + 1.2 * up * dt_s, stand_w + lead_w + 0.6 * site.grain_w)
    least_w = max(state.total_w - 1.2 * down * dt_s, stand_w - 1.2 * down * move_s - 0.6 * site.grain_w)
    most_w = max(most_w, least_w)
    if want_w > most_w:
        want_w = most_w
        state.site_why = SITE_RATE
    elif want_w < least_w:
        want_w = least_w
        state.site_why = SITE_RATE
    if want_w > cap_w:
        want_w = cap_w
        state.site_why = SITE_IMPORT
    return max(0.0, want_w)


def stay(state: State, i: int) -> None:
    """A rack whose minimum time has not passed stays where it is; safety ends that time."""
    if state.action[i] >= ACT_DERATE or state.verb == ESTOP or state.envelope == EMERGENCY:
        state.free_ns[i] = 0
    elif state.ours[i] and state.lo_w[i] < state.hi_w[i]:
        state.lo_w[i] = max(state.lo_w[i], min(state.applied_w[i], state.hi_w[i]))
        state.hi_w[i] = state.lo_w[i]
        state.bound_why[i] = WHY_REST


def ends(inputs: Inputs, limits: Limits, state: State, i: int) -> float:
    """A rack's least and most for this tick and what holds its most; returns what its node must keep free for it."""
    max_w = limits.max_w[i]
    action = state.action[i]
    # Lower than it was seen to go it does not go: others make up for it.
    lo_w = state.bottom_w[i] if action < ACT_NO_RAISE and state.verb != ESTOP else limits.min_w[i]
    hi_w = min(max_w, max(lo_w, state.demand_w[i]))
    why = WHY_MAX if hi_w == max_w else WHY_DEMAND
    # A rack that wants less than it may gets a little more than it wants, so that a rise of demand is seen.
    reserve_w = min(max_w - hi_w, max(0.08 * max_w, 1.2 * limits.quantum_w[i]))
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
    elif action >= ACT_NO_RAISE or state.stale[i]:
        if action >= ACT_SAFE:
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


def wake(state: State, i: int, room_w: float) -> float:
    """Keeps a rack that is off there unless it may rise and the reference has room for its least; what is then left."""
    lo_w = state.lo_w[i]
    may = state.hi_w[i] > lo_w and state.action[i] < ACT_NO_RAISE
    if may and room_w >= lo_w and state.rise_w >= lo_w:
        return room_w - lo_w
    state.lo_w[i] = 0.0
    state.hi_w[i] = 0.0
    state.bound_why[i] = WHY_SHED
    return room_w


def bounds(inputs: Inputs, limits: Limits, state: State) -> None:
    """Each rack's least and most for this tick, what it can reach in one move, and what nodes must keep free for it."""
    # What the reference has room for beyond the set points that stand: racks that are off come back within it only.
    wake_w = state.reference_w + state.response_w - state.disturbance_w
    wake_w = wake_w / (1.0 + limits.site.loss_ratio) + state.idle_w - state.stand_w
    if state.verb == ESTOP or state.fault_hold:
        wake_w = 0.0
    for v in range(limits.site.nodes):
        kept_w = 0.0
        falling_w = 0.0
        used_w = 0.0
        worst_w = 0.0
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            applied_w = state.applied_w[i]
            kept_w += ends(inputs, limits, state, i)
            most_w = limits.max_w[i]
            if state.known[i] and inputs.rack_state[i] == AVAILABLE:
                lo_w = max(applied_w, state.lo_w[i])
                if not state.stale[i]:
                    # What a lowered rack has not given up yet; once its fall should have been read, it just draws more.
                    late_w = inputs.value[limits.power_slot[i]] - lo_w
                    most_w = max(applied_w, min(inputs.value[limits.power_slot[i]], most_w))
                    if late_w > 0.0 and arrived(inputs, limits, state, i):
                        kept_w += late_w
                    elif late_w > 0.0:
                        falling_w += late_w
                if applied_w <= 0.0 and lo_w > 0.0:
                    wake_w = wake(state, i, wake_w)
            worst_w += most_w
            used_w += max(state.lo_w[i], min(applied_w, state.hi_w[i]))
            if state.now_ns < state.free_ns[i]:
                stay(state, i)
            cap_w = state.cap_w[i]
            state.floor_w[i] = min(applied_w, cap_w - limits.fall_w[i])
            state.reach_w[i] = max(applied_w, cap_w + limits.rise_w[i])
            if state.action[i] >= ACT_NO_RAISE:
                state.reach_w[i] = max(applied_w, state.lo_w[i])
        state.worst_w[v] = worst_w
        state.reserve_w[v] = kept_w
        state.flow_w[v] = falling_w
        state.used_w[v] = used_w
    if limits.site.resting:
        for k in range(limits.stepped_first[limits.site.tiers]):
            i = limits.stepped[k]
            if limits.on_ns[i] + limits.off_ns[i] > 0:
                # It changes once and then rests, so it goes all the way at once.
                state.floor_w[i] = 0.0
                if state.action[i] < ACT_NO_RAISE:
                    state.reach_w[i] = limits.max_w[i]
    keep_free(limits, state)


def arrived(inputs: Inputs, limits: Limits, state: State, i: int) -> bool:
    """Whether a rack's newest reading is from a second or more after its set point took effect."""
    history = limits.site.history
    since = state.dead_down[i] + 1_000_000_000 // limits.site.period_ns
    since += (state.now_ns - inputs.at_ns[limits.power_slot[i]]) // limits.site.period_ns
    row = (state.tick + history - min(since, history - 1)) % history
    return state.past_w[row * limits.site.racks + i] <= state.applied_w[i] * 1.001


def keep_free(limits: Limits, state: State) -> None:
    """What nodes keep free, with the racks below: what is still to fall there keeps others from rising, no more.

    `flow_w` is what lowered racks have not given up yet, `used_w` what the set points take.
    """
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        if v > 0:
            parent = limits.node_parent[v]
            state.worst_w[parent] += state.worst_w[v]
            state.reserve_w[parent] += state.reserve_w[v]
            state.flow_w[parent] += state.flow_w[v]
            state.used_w[parent] += state.used_w[v]
        room_w = limits.node_w[v] - state.reserve_w[v] - state.used_w[v]
        late_w = min(state.flow_w[v], max(0.0, room_w))
        state.used_w[v] = late_w
    for v in range(limits.site.nodes):
        state.reserve_w[v] += state.used_w[v]


def explain(limits: Limits, state: State, i: int) -> None:
    """Says what holds a rack where it is, before its share is held to what it can reach."""
    share_w = state.share_w[i]
    why = state.bound_why[i]
    if share_w < state.hi_w[i] and why != WHY_NODE:
        # What bounds it from above does not bind.
        why = WHY_MIN if share_w <= state.lo_w[i] else WHY_SHARE
    if share_w > max(state.reach_w[i], state.lo_w[i]) or share_w < min(state.floor_w[i], state.hi_w[i]):
        why = state.bound_why[i] if state.action[i] >= ACT_NO_RAISE else WHY_RATE
    if state.hi_w[i] == 0.0 and limits.min_w[i] > 0.0 and state.known[i] and state.ours[i]:
        why = WHY_SHED
    state.why[i] = why


def crowd(limits: Limits, state: State) -> None:
    """Marks the racks whose share is less than they could have because a node above them is full."""
    count = 0
    for v in range(limits.site.nodes):
        parent = limits.node_parent[v]
        full = state.used_w[v] + state.reserve_w[v] >= limits.node_w[v] * (1.0 - 1e-9)
        full = full or (parent >= 0 and state.flow_w[parent] > 0.0)
        state.flow_w[v] = 1.0 if full else 0.0
        count += full
    if count == 0:
        return
    for i in range(limits.site.racks):
        if state.flow_w[limits.node[i]] > 0.0 and state.share_w[i] < state.hi_w[i]:
            state.bound_why[i] = WHY_NODE


def share(limits: Limits, state: State, total_w: float) -> None:
    """The fair share of every rack, held to what it can reach in one move; what slow ones miss, fast ones bridge."""
    give_way(limits, state, state.lo_w, state.hi_w)
    fair_w = allocate(limits, state, state.lo_w, state.hi_w, total_w, state.share_w)
    crowd(limits, state)
    if state.slow_count:
        ahead(limits, state, room(limits, state))
    phases = limits.site.phases
    i = (phases - state.tick % phases) % phases
    while i < limits.site.racks:
        explain(limits, state, i)
        i += phases
    sum_w = 0.0
    for i in range(limits.site.racks):
        if state.lo_w[i] == state.hi_w[i]:
            state.floor_w[i] = state.hi_w[i]
            state.reach_w[i] = state.hi_w[i]
        else:
            state.floor_w[i] = min(max(state.floor_w[i], state.lo_w[i]), state.hi_w[i])
            state.reach_w[i] = max(min(state.reach_w[i], state.hi_w[i]), state.lo_w[i])
        state.share_w[i] = min(max(state.share_w[i], state.floor_w[i]), state.reach_w[i])
        sum_w += state.share_w[i]
    if state.slow_count:
        sum_w = expect(limits, state)
    if state.slow_count or abs(sum_w - fair_w) > 2e-4 * fair_w:
        make_up(limits, state, sum_w, fair_w)
    grain_w = quantise(limits, state)
    # Racks that move freely make up for the rounding as far as they can.
    if limits.stepped_first[limits.site.tiers] > 0 or sum_w != fair_w:
        sum_w = make_up(limits, state, expect(limits, state), fair_w)
    if abs(sum_w - fair_w) < 1.0:
        grain_w = 0.0
    state.grain_w = grain_w
    if state.site_why in (SITE_REFERENCE, SITE_RATE):
        # What the racks may have binds before the time that it takes.
        beyond = state.tick > limits.site.phases and state.reference_w > state.most_w + 1.0
        if fair_w < total_w - 1.0 or beyond:
            state.site_why = SITE_ROOM
        elif fair_w > total_w + 1.0:
            state.site_why = SITE_FLOOR


def stand(inputs: Inputs, limits: Limits, state: State) -> None:
    """While the hall is not under control yet its racks stay where they are, but for what safety or a stop demands."""
    for i in range(limits.site.racks):
        state.asked_w[i] = state.applied_w[i]
        down = state.action[i] >= ACT_SAFE or inputs.command.verb == ESTOP
        if down and state.known[i] and inputs.rack_state[i] == AVAILABLE:
            state.asked_w[i] = min(state.applied_w[i], limits.min_w[i])


def waiting(limits: Limits, state: State) -> bool:
    """Whether the hall is still being taken over: racks are missing, and have not been missing for long.

    Shares among the racks that happen to be known first would move racks for nothing.
    """
    if state.now_ns - state.first_ns > limits.site.rack_stale_ns or state.verb == ESTOP:
        return False
    for i in range(limits.site.racks):
        if not state.known[i]:
            return True
    return False


def step(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> int:
    """One tick; set points end in `asked_w`. Returns a fault code, FAULT_NONE when all is well."""
    dt_s = limits.site.period_ns * 1e-9
    if state.now_ns == 0:
        state.first_ns = now_ns
        begin(limits, state)
        state.shown_ns = now_ns
    else:
        if now_ns <= state.now_ns:
            return FAULT_CLOCK
        dt_s = min((now_ns - state.now_ns) * 1e-9, 1.0)
    state.now_ns = now_ns
    state.tick += 1
    attend(inputs, limits, state)
    observe(inputs, limits, state, now_ns)
    judge(inputs, limits, state, now_ns)
    advance(inputs, limits, state, now_ns, dt_s)
    compare(inputs, limits, state, now_ns)
    swing(inputs, limits, state)
    caps(inputs, limits, state, now_ns)
    if not state.started:
        state.total_w = state.model_w
        stand(inputs, limits, state)
        return FAULT_NONE
    follow(inputs, limits, state, now_ns, dt_s)
    if waiting(limits, state):
        stand(inputs, limits, state)
        return FAULT_NONE
    bounds(inputs, limits, state)
    narrow(inputs, limits, state)
    total_w = target(limits, state, dt_s)
    standing(limits, state, total_w)
    share(limits, state, total_w)
    if not state.fault_hold:
        state.total_w = total_w
    if state.tick % limits.site.phases == 0:
        span(limits, state)
    firm(inputs, limits, state)
    return move(inputs, limits, state)
