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
    from rampd.ext.allocate import fill, give_way
    from rampd.ext.ballast import standing
    from rampd.ext.beside import quickest, stand_beside
    from rampd.ext.bounds import bounds, shut
    from rampd.ext.bridge import ahead, come_back, expect, make_up
    from rampd.ext.codes import (
        ACT_NO_RAISE,
        ACT_SAFE,
        ACT_TRIP,
        AVAILABLE,
        DISPATCHED,
        ENDLESS,
        ESTOP,
        FAULT_CLOCK,
        FAULT_NONE,
        SECOND_NS,
        SITE_ESTOP,
        SITE_FAULT,
        SITE_FLOOR,
        SITE_IMPORT,
        SITE_METER,
        SITE_RATE,
        SITE_REFERENCE,
        SITE_ROOM,
        WHY_COOLING,
        WHY_DEMAND,
        WHY_MAX,
        WHY_MIN,
        WHY_NODE,
        WHY_RATE,
        WHY_SHARE,
        WHY_SHED,
        WHY_STALE,
        WHY_TRIP,
    )
    from rampd.ext.failsafe import judge
    from rampd.ext.firm import firm, span
    from rampd.ext.foresee import foresee
    from rampd.ext.grid import observe, recover, resume
    from rampd.ext.identify import begin
    from rampd.ext.ladder import attend
    from rampd.ext.levels import in_steps, quantise
    from rampd.ext.meter import compare
    from rampd.ext.model import advance
    from rampd.ext.move import move, stopping
    from rampd.ext.neighbours import tell_apart
    from rampd.ext.ramp import follow
    from rampd.ext.rest import recall
    from rampd.ext.swing import swing
    from rampd.ext.thermal import allow, caps
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def room(limits: Limits, state: State) -> float:
    """What the import limit leaves for the racks, below the load's own peaks; W.

    No more than itself, whatever the meter makes of the rest: nothing but generation makes that negative.
    """
    rest_w = max(state.disturbance_w, -limits.site.generation_w)
    # An open breaker lets nothing in.
    import_w = 0.0 if state.parted else limits.site.import_w - state.surge_w
    return (import_w - rest_w) / state.through + state.idle_w


def owe(limits: Limits, state: State, want_w: float, dt_s: float) -> float:
    """What is wanted of the racks, less what they are owed of it: what something kept them from, and does no longer.

    The reference has gone on meanwhile; where nobody has asked for a faster change they come after it along the normal
    ramp, and regulation beside it gives no leave for more. What they have already is not taken from them, and what the
    reference has given up is not owed.
    """
    site = limits.site
    up = site.normal_up
    if state.returning or state.climbing:
        up = min(up, site.return_up)
    beyond_w = 0.0
    # Racks that were not looked at yet are kept from nothing.
    if state.most_w != 0.0:
        beyond_w = want_w - ((state.most_w - state.disturbance_w) / state.through + state.idle_w)
    owed_w = state.owed_w - up * dt_s - max(0.0, state.led_w - state.reference_w) / state.through
    state.led_w = state.reference_w
    state.owed_w = max(0.0, owed_w, min(beyond_w, state.kept_w))
    if state.envelope == DISPATCHED and state.rate_w_per_s > site.normal_up:
        return want_w
    return min(want_w, max(state.total_w, want_w - state.owed_w))


def target(limits: Limits, state: State, dt_s: float) -> float:
    """What the racks must be given in sum so that the meter shows the reference, within import limit and envelope."""
    site = limits.site
    want_w = (state.reference_w + state.beside_w - state.disturbance_w) / state.through + state.idle_w
    cap_w = room(limits, state)
    if not state.meter_good:
        state.site_why = SITE_METER
    if state.verb == ESTOP:
        state.site_why = SITE_ESTOP
        return 0.0
    if state.fault_hold:
        state.site_why = SITE_FAULT
        return min(ENDLESS, max(0.0, cap_w))
    given_w = owe(limits, state, want_w, dt_s)
    if given_w < want_w:
        state.site_why = SITE_RATE
        want_w = given_w
    # The feedback moves a little faster than the envelope, so that the meter can stay on the reference.
    up = quickest(limits, state)
    # The racks follow within one move or by one step; a target that ran ahead of them would come back as a jump.
    stand_w = state.stand_w
    move_s = site.phases * site.period_ns * 1e-9 + 0.1
    down = site.dispatched_down
    # Less than that, spread over all racks, would be too little to be written to any.
    lead_w = max(1.2 * up * move_s, 0.002 * site.max_w)
    # Nor for one that is off to come to its least: half of that will do.
    lead_w = max(lead_w, 0.5 * state.wakes_w)
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


def explain(limits: Limits, state: State, i: int) -> None:
    """Says what holds a rack where it is, before its share is held to what it can reach."""
    share_w = state.share_w[i]
    why = state.bound_why[i]
    if why == WHY_MAX and state.hi_w[i] < limits.max_w[i]:
        why = WHY_DEMAND
    crowded = why == WHY_NODE or (why == WHY_COOLING and state.action[i] < ACT_NO_RAISE)
    if share_w < state.hi_w[i] and not crowded:
        # What bounds it from above does not bind.
        why = WHY_MIN if share_w <= state.lo_w[i] else WHY_SHARE
    if share_w > max(state.reach_w[i], state.lo_w[i]) or share_w < min(state.floor_w[i], state.hi_w[i]):
        why = WHY_NODE if shut(limits, state, i) else WHY_RATE
        why = state.bound_why[i] if state.action[i] >= ACT_NO_RAISE else why
    if state.hi_w[i] == 0.0 and limits.min_w[i] > 0.0 and state.known[i] and state.ours[i]:
        why = WHY_TRIP if state.action[i] == ACT_TRIP else WHY_SHED
    state.why[i] = why


def crowd(limits: Limits, state: State) -> None:
    """Marks the racks whose share is less than they could have because a node above them is full, or their loop."""
    share_w = state.share_w
    hi_w = state.hi_w
    bound_why = state.bound_why
    for v in range(limits.site.nodes):
        parent = limits.node_parent[v]
        full = state.used_w[v] + state.reserve_w[v] >= (limits.node_w[v] - state.taken_w[v]) * (1.0 - 1e-9)
        full = full or (parent >= 0 and state.flow_w[parent] > 0.0)
        state.flow_w[v] = 1.0 if full else 0.0
        if full:
            for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
                why = bound_why[i]
                bound_why[i] = WHY_NODE if share_w[i] < hi_w[i] else why
    if state.cut:
        for i in range(limits.site.racks):
            loop = limits.loop[i]
            full = state.loop_load_w[loop] >= state.loop_cap_w[loop] * (1.0 - 1e-9)
            if full and share_w[i] < hi_w[i] and bound_why[i] != WHY_NODE:
                bound_why[i] = WHY_COOLING


def some_follow(limits: Limits, state: State) -> bool:
    """Whether a slow rack that moves freely has room both ways: what steps leave open it takes up in time."""
    for i in range(limits.site.racks):
        if state.slow[i] and state.ours[i] and not in_steps(limits, i):
            room_w = 0.002 * limits.max_w[i]
            if state.lo_w[i] + room_w < state.share_w[i] < state.hi_w[i] - room_w:
                return True
    return False


def share(limits: Limits, state: State, total_w: float) -> None:
    """The fair share of every rack, held to what it can reach in one move; what slow ones miss, fast ones bridge."""
    state.room_w = room(limits, state)
    give_way(limits, state, state.lo_w, state.hi_w)
    fair_w = fill(limits, state, state.lo_w, state.hi_w, total_w, state.share_w)
    crowd(limits, state)
    if state.slow_count:
        ahead(limits, state, state.room_w)
    phases = limits.site.phases
    i = (phases - state.tick % phases) % phases
    while i < limits.site.racks:
        explain(limits, state, i)
        i += phases
    for i in range(limits.site.racks):
        lo_w = state.lo_w[i]
        hi_w = state.hi_w[i]
        floor_w = min(max(state.floor_w[i], lo_w), hi_w)
        reach_w = max(min(state.reach_w[i], hi_w), lo_w)
        state.floor_w[i] = floor_w
        state.reach_w[i] = reach_w
        state.share_w[i] = min(max(state.share_w[i], floor_w), reach_w)
    if state.slow_count:
        come_back(limits, state, fair_w, stopping(state) or state.fault_hold != 0)
    sum_w = expect(limits, state)
    if state.slow_count or abs(sum_w - fair_w) > 2e-4 * fair_w:
        make_up(limits, state, sum_w, fair_w, False)
    grain_w = quantise(limits, state, state.room_w - fair_w)
    # Racks that move freely make up for the rounding as far as they can. For the last digits of a sum nobody moves.
    if limits.stepped_first[limits.site.tiers] > 0 or sum_w != fair_w:
        sum_w = expect(limits, state)
    if abs(sum_w - fair_w) > 1e-9 * fair_w:
        sum_w = make_up(limits, state, sum_w, fair_w, True)
    if abs(sum_w - fair_w) < 1.0 or (grain_w > 0.0 and state.slow_count and some_follow(limits, state)):
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
    if not state.started:
        state.site_why = SITE_METER
    for i in range(limits.site.racks):
        state.asked_w[i] = state.applied_w[i]
        state.why[i] = WHY_STALE
        down = state.action[i] >= ACT_SAFE or inputs.command.verb == ESTOP
        if down and state.known[i] and inputs.rack_state[i] == AVAILABLE:
            least_w = 0.0 if state.action[i] == ACT_TRIP else limits.min_w[i]
            state.asked_w[i] = min(state.applied_w[i], least_w)


def waiting(limits: Limits, state: State) -> bool:
    """Whether the hall is still being taken over: racks are missing, and have not been missing for long.

    Shares among the racks that happen to be known first would move racks for nothing. What a rack below its set point
    wants, whether it is idle or on its way there, shows once it has had the time to answer.
    """
    since_ns = state.now_ns - state.first_ns
    if since_ns > limits.site.rack_stale_ns or state.verb == ESTOP:
        return False
    # How much may fall counts in time that has passed.
    if since_ns == 0:
        return True
    for i in range(limits.site.racks):
        if not state.known[i]:
            return True
        answer_ns = 2 * SECOND_NS
        if state.gap_ns[i] > 0:
            answer_ns = min(answer_ns, 2 * state.gap_ns[i] + state.dead_up[i] * limits.site.period_ns)
        below = state.demand_w[i] < state.applied_w[i] and state.ours[i] and not state.stale[i]
        if below and since_ns < answer_ns:
            return True
    return False


def step(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> int:
    """One tick; set points end in `asked_w`. Returns a fault code, FAULT_NONE when all is well."""
    dt_s = limits.site.period_ns * 1e-9
    if state.now_ns == 0:
        state.first_ns = now_ns
        begin(limits, state)
        recall(inputs, limits, state)
        state.shown_ns = now_ns
    else:
        if now_ns <= state.now_ns:
            return FAULT_CLOCK
        dt_s = min((now_ns - state.now_ns) * 1e-9, 1.0)
    state.now_ns = now_ns
    state.tick += 1
    attend(inputs, limits, state)
    if state.tick == 1:
        resume(inputs, limits, state, now_ns)
    observe(inputs, limits, state, now_ns)
    judge(inputs, limits, state, now_ns)
    advance(inputs, limits, state, now_ns, dt_s)
    if limits.site.measured:
        tell_apart(inputs, limits, state, now_ns)
    compare(inputs, limits, state, now_ns)
    swing(inputs, limits, state)
    caps(inputs, limits, state, now_ns)
    recover(limits, state, now_ns)
    if not state.started:
        state.total_w = state.model_w
        stand(inputs, limits, state)
        return FAULT_NONE
    before_w = state.reference_w
    follow(inputs, limits, state, now_ns, dt_s)
    stand_beside(inputs, limits, state, state.reference_w - before_w, now_ns, dt_s)
    if waiting(limits, state):
        stand(inputs, limits, state)
        return FAULT_NONE
    bounds(inputs, limits, state)
    allow(inputs, limits, state)
    total_w = target(limits, state, dt_s)
    standing(limits, state, total_w)
    share(limits, state, total_w)
    if not state.fault_hold:
        state.total_w = total_w
    if state.tick % limits.site.phases == 0:
        span(limits, state)
    firm(inputs, limits, state)
    foresee(limits, state, dt_s)
    return move(inputs, limits, state)
