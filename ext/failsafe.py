# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What may be believed and what must not rise: freshness of meter, racks and cooling, and the action that follows.

Guilty until fresh: a rack takes part once its power, and its read-back where it has one, were read. The worst action of
a rack's own reading, its loop and the meter wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ACT_DERATE, ACT_NO_RAISE, ACT_NONE, ACT_SAFE, ACT_SHED, ENDLESS, GOOD, SECOND_NS
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def fresh(inputs: Inputs, slot: int, stale_ns: int, now_ns: int) -> bool:
    """Whether a slot holds a good value that is not too old, and is a number whatever its quality says."""
    if slot < 0 or inputs.quality[slot] != GOOD or now_ns - inputs.at_ns[slot] > stale_ns:
        return False
    return inputs.value[slot] * 0.0 == 0.0


def level(limits: Limits, i: int, asked_w: float) -> float:
    """A power as a set point that the rack can take: off, or between its least and its most."""
    if asked_w < 0.5 * limits.min_w[i]:
        return 0.0
    return min(max(asked_w, limits.min_w[i]), limits.max_w[i])


def freeze(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Whether the meter shows the same to the last bit while the hall has moved by the racks' own readings.

    What counts is how far they moved since the meter last did (`own_w`, see model.learn): by more than any one rack
    could pretend, and for longer than a reading may be old. It is over once the meter moves and ten seconds brought no
    contradiction.
    """
    site = limits.site
    at_ns = inputs.at_ns[site.power_slot]
    if inputs.value[site.power_slot] != state.shown_w:
        state.shown_w = inputs.value[site.power_slot]
        state.shown_ns = at_ns
        state.own_w = 0.0
        state.still_ns = 0
        if state.thaw_ns == 0:
            state.thaw_ns = now_ns
    elif not abs(state.own_w) > site.freeze_w:
        state.still_ns = 0
    elif state.still_ns == 0:
        state.still_ns = at_ns
        state.thaw_ns = 0
    elif at_ns - state.still_ns >= site.freeze_ns:
        state.meter_frozen = 1
    if state.thaw_ns != 0 and now_ns - state.thaw_ns >= 10 * SECOND_NS:
        state.meter_frozen = 0


def meter(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The meter is good when fresh and alive, and after a gap only once it stayed so for a second."""
    is_fresh = fresh(inputs, limits.site.power_slot, limits.site.meter_stale_ns, now_ns)
    if is_fresh:
        freeze(inputs, limits, state, now_ns)
    if not is_fresh or state.meter_frozen:
        if state.meter_good:
            state.blind_ns = now_ns
        state.meter_good = 0
        state.meter_clear_ns = 0
        return
    if state.meter_clear_ns == 0:
        state.meter_clear_ns = now_ns
    if not state.started or now_ns - state.meter_clear_ns >= SECOND_NS:
        state.meter_good = 1


def cooling(inputs: Inputs, limits: Limits, state: State, loop: int, now_ns: int) -> int:
    """The action of one loop from its supply temperature, flow, leak bits and the age of its readings."""
    stale_ns = limits.site.loop_stale_ns
    action = ACT_NONE
    if not (
        fresh(inputs, limits.supply_slot[loop], stale_ns, now_ns)
        and fresh(inputs, limits.flow_slot[loop], stale_ns, now_ns)
    ):
        action = ACT_NO_RAISE
    else:
        supply_c = inputs.value[limits.supply_slot[loop]]
        if supply_c >= limits.trip_c[loop]:
            action = ACT_SAFE
        elif supply_c >= limits.derate_c[loop]:
            action = ACT_DERATE
        elif supply_c >= limits.warn_c[loop]:
            action = ACT_NO_RAISE
        if inputs.value[limits.flow_slot[loop]] < limits.min_flow_lpm[loop]:
            action = max(action, ACT_DERATE)
    leak = limits.leak_slot[loop]
    if leak >= 0 and inputs.quality[leak] == GOOD and inputs.value[leak] != 0.0:
        action = ACT_SAFE
    return action


def judge(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Sets what this tick may believe: meter, loop actions, racks' staleness and actions; adopts racks first seen."""
    meter(inputs, limits, state, now_ns)
    for loop in range(limits.site.loops):
        action = cooling(inputs, limits, state, loop, now_ns)
        if action >= state.loop_action[loop] or state.loop_w[loop] >= ENDLESS:
            # Worse at once; and before its first good reading there is nothing to clear.
            state.loop_action[loop] = action
            state.loop_clear_ns[loop] = now_ns
        elif now_ns - state.loop_clear_ns[loop] >= 10 * SECOND_NS:
            # Down the ladder only after ten quiet seconds, so that a reading at the edge does not flap the hall.
            state.loop_action[loop] = action
            state.loop_clear_ns[loop] = now_ns
    for i in range(limits.site.racks):
        slot = limits.power_slot[i]
        is_fresh = fresh(inputs, slot, limits.stale_ns[i], now_ns)
        state.stale[i] = not is_fresh
        if is_fresh and not state.known[i]:
            adopt(inputs, limits, state, i, now_ns)
        action = state.loop_action[limits.loop[i]]
        if not is_fresh or not state.meter_good or state.shedding or state.fault_hold:
            action = max(action, ACT_NO_RAISE)
        if state.shedding and limits.tier[i] >= state.shed_tier:
            action = max(action, ACT_SHED)
        if state.returning and now_ns < state.return_ns + limits.feeder[i] * limits.site.stagger_ns:
            action = max(action, ACT_NO_RAISE)
        state.action[i] = action


def adopt(inputs: Inputs, limits: Limits, state: State, i: int, now_ns: int) -> None:
    """Takes a rack over where it stands: its read-back set point, or what it draws where there is none."""
    power_w = inputs.value[limits.power_slot[i]]
    found_w = power_w
    if limits.limit_slot[i] >= 0:
        if not fresh(inputs, limits.limit_slot[i], limits.stale_ns[i], now_ns):
            return
        found_w = inputs.value[limits.limit_slot[i]]
    found_w = level(limits, i, found_w)
    state.known[i] = 1
    state.applied_w[i] = found_w
    state.asked_w[i] = found_w
    state.cap_w[i] = found_w
    margin_w = max(0.05 * limits.max_w[i], 1.2 * limits.quantum_w[i])
    state.demand_w[i] = limits.max_w[i] if power_w >= found_w - margin_w else max(power_w, limits.min_w[i])
    for k in range(limits.site.history):
        state.past_w[k * limits.site.racks + i] = found_w
