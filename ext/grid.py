# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the grid does and what the site owes it: faults, primary frequency response, under-frequency steps, the return.

FAULT is voltage outside 0.9 to 1.1 of nominal, an open breaker, or a frequency that no live bus has; everything holds,
and for ten seconds after it the load comes back as it was. After an under-frequency step, an import excess, a breaker
that was open, an emergency stop, or when a loop cools again that did not, it comes back slowly, no higher than it was
on average in the ten minutes before. A frequency that cannot be read counts as it was, and nothing rises meanwhile, on
a site where it decides something; so does what showed a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.beside import droop
    from rampd.ext.codes import (
        ACT_DERATE,
        BASE_SLOTS,
        ESTOP,
        R_BREAKER,
        R_FAULT,
        R_FREQUENCY_LOST,
        R_IMPORT_EXCEEDED,
        R_UNDER_FREQUENCY,
        SECOND_NS,
        WHY_COOLING,
        WHY_TRIP,
    )
    from rampd.ext.failsafe import fresh
    from rampd.ext.ladder import acts, hold
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def strays(part: float) -> bool:
    """Whether a part of nominal is one that no live bus has."""
    return part < 0.9 or part > 1.1


def faulted(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> bool:
    """Whether readings show a fault now; `fault_seen` has what each showed when it was last read."""
    site = limits.site
    read = 0
    shown = 0
    for k in range(3):
        slot = limits.voltage_slot[k]
        if fresh(inputs, slot, site.meter_stale_ns, now_ns):
            read |= 1 << k
            shown |= strays(inputs.value[slot] / site.nominal_v) << k
    if fresh(inputs, site.frequency_slot, site.meter_stale_ns, now_ns):
        read |= 8
        shown |= strays(inputs.value[site.frequency_slot] / site.nominal_hz) << 3
    if fresh(inputs, site.breaker_slot, site.meter_stale_ns, now_ns):
        read |= 16
        shown |= (inputs.value[site.breaker_slot] == 0.0) << 4
    state.fault_seen = (state.fault_seen & ~read) | shown
    return shown != 0


def owes(limits: Limits, state: State) -> bool:
    """Whether the frequency decides anything: under-frequency steps, a droop, or that a ramp up is held now."""
    site = limits.site
    return site.under_steps > 0 or site.droop > 0.0 or (site.hold_hz > 0.0 and state.away_hz <= -site.hold_hz)


def shed(limits: Limits, state: State, seen: bool, now_ns: int) -> None:
    """Under-frequency steps: from which tier on racks go down; they stay so until the frequency was above the first.

    Only time in which it was seen there counts.
    """
    steps = limits.site.under_steps
    hz = limits.site.nominal_hz + state.away_hz
    if steps == 0 or (not state.shedding and hz > limits.under_hz[0]):
        return
    for k in range(steps):
        if hz <= limits.under_hz[k]:
            state.shed_tier = min(state.shed_tier, limits.under_tier[k]) if state.shedding else limits.under_tier[k]
            state.shedding = 1
    if not hold(limits, state, 0, R_UNDER_FREQUENCY, not seen or hz <= limits.under_hz[0], now_ns):
        state.shedding = 0
        come_back(limits, state, now_ns)


def exceeds(inputs: Inputs, limits: Limits, state: State) -> bool:
    """Whether the purchase is above the import limit by more than tracking leaves: the racks alone, or by the meter.

    One reading may be wild: it takes a second one, of another value or a second younger. What the load does by itself
    is no emergency, the target is cut for it, unless every reading of ten seconds is above.
    """
    site = limits.site
    limit_w = site.import_w + 0.0025 * site.max_w
    beyond_w = limit_w + min(state.noise_w, 0.05 * site.max_w)
    alone = state.racks_w - site.generation_w > beyond_w
    if not state.meter_good:
        return alone
    found_w = inputs.value[site.power_slot]
    at_ns = inputs.at_ns[site.power_slot]
    if found_w <= limit_w:
        state.lasts_ns = 0
    elif state.lasts_ns == 0:
        state.lasts_ns = at_ns
    lasts = state.lasts_ns > 0 and at_ns - state.lasts_ns >= 10 * SECOND_NS
    if found_w <= beyond_w:
        state.above_ns = 0
        return alone or lasts
    if state.above_ns == 0:
        state.above_ns = at_ns
        state.above_w = found_w
    return alone or lasts or found_w != state.above_w or at_ns - state.above_ns >= SECOND_NS


def part(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Sets `parted`: for a second the breaker's contact has said open and the meter nothing, as long as both are read.

    Either alone may be a broken wire or a wild reading: a fault, in which everything holds.
    """
    site = limits.site
    if not fresh(inputs, site.breaker_slot, site.meter_stale_ns, now_ns):
        return
    if inputs.value[site.breaker_slot] != 0.0:
        state.parted = 0
        state.parted_ns = 0
    elif fresh(inputs, site.power_slot, site.meter_stale_ns, now_ns):
        at_ns = min(inputs.at_ns[site.breaker_slot], inputs.at_ns[site.power_slot])
        if abs(inputs.value[site.power_slot]) > 0.005 * site.max_w:
            state.parted = 0
            state.parted_ns = 0
        elif state.parted_ns == 0:
            state.parted_ns = at_ns
        elif at_ns - state.parted_ns >= SECOND_NS:
            state.parted = 1


def overdraw(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The emergency of an exceeded import limit, or of a breaker that has opened: it ends ten seconds after it.

    Its return is told from its begin, for a restart meanwhile, and begins anew with its end.
    """
    part(inputs, limits, state, now_ns)
    above = exceeds(inputs, limits, state)
    unknown = acts(state, 0, R_IMPORT_EXCEEDED) and not state.meter_good
    emergency = hold(limits, state, 0, R_IMPORT_EXCEEDED, above or unknown, now_ns)
    emergency = hold(limits, state, 0, R_BREAKER, state.parted != 0, now_ns) or emergency
    state.exceeding = above or state.parted != 0
    if emergency != (state.exceeded != 0):
        come_back(limits, state, now_ns)
    state.exceeded = emergency


def baseline(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Means over ten seconds of what is purchased in undisturbed operation, for ten minutes."""
    if not state.meter_good or state.fault_hold or state.shedding or state.returning or state.verb == ESTOP:
        return
    if state.cooling_lost:
        return
    at = now_ns // (10 * SECOND_NS)
    if at != state.base_at:
        if state.base_n > 0:
            state.base_w[state.base_count % BASE_SLOTS] = state.base_sum_w / state.base_n
            state.base_count += 1
        state.base_at = at
        state.base_sum_w = 0.0
        state.base_n = 0
    state.base_sum_w += state.meter_w if state.started else inputs.value[limits.site.power_slot]
    state.base_n += 1


def cap(limits: Limits, state: State) -> float:
    """The most that a return leads to: the mean of the ten minutes before, all where nobody knows it; W."""
    count = min(state.base_count, BASE_SLOTS)
    sum_w = 0.0
    for k in range(count):
        sum_w += state.base_w[k]
    return sum_w / count if count > 0 else limits.site.max_w


def come_back(limits: Limits, state: State, now_ns: int) -> None:
    """Begins the return: from the present, by feeders, to the mean of the ten minutes before at most."""
    state.returning = 1
    state.return_ns = now_ns
    state.return_cap_w = cap(limits, state)
    power_w = (1.0 + limits.site.loss_ratio) * state.model_w + state.disturbance_w
    state.reference_w = min(state.reference_w + state.regulation_w, power_w - state.response_w)
    # Nothing regulates on the way back: it begins where the purchase stands.
    state.regulation_w = 0.0
    state.beside_w = state.response_w
    # What was asked of racks that could not is not waiting for them.
    state.total_w = min(state.total_w, state.stand_w)


def uncooled(limits: Limits, state: State) -> bool:
    """Whether a loop does not cool its racks, so that they are lowered, or a node is tripped, so that its are off."""
    for zone in range(1 + limits.site.feeders + limits.site.links, limits.site.zones):
        if state.zone_action[zone] >= ACT_DERATE:
            return True
    return False


def kept_back(limits: Limits, state: State) -> float:
    """What racks that cooling or a trip held back in the tick before would draw more if it did not; W at the meter."""
    sum_w = 0.0
    for i in range(limits.site.racks):
        if state.ours[i] and state.bound_why[i] in (WHY_COOLING, WHY_TRIP):
            wants_w = min(limits.max_w[i], state.demand_w[i])
            sum_w += state.gain[i] * max(0.0, wants_w - state.power_w[i])
    return (1.0 + limits.site.loss_ratio) * sum_w


def recover(limits: Limits, state: State, now_ns: int) -> None:
    """Begins the return after a loop cools its racks again or a trip was reset, of what others have not taken over.

    What idle racks leave of the reference, or a ramp has not brought yet, no loop has lost.
    """
    lost = uncooled(limits, state)
    if state.cooling_lost and not lost and not state.shedding and state.verb != ESTOP:
        short_w = state.reference_w + state.beside_w
        short_w -= (1.0 + limits.site.loss_ratio) * state.model_w + state.disturbance_w
        if min(short_w, kept_back(limits, state)) > 0.01 * limits.site.max_w:
            come_back(limits, state, now_ns)
    state.cooling_lost = lost


def resume(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """At the first tick: the step, the return, the mean before them and the regulation that a restart has interrupted.

    Nobody has seen the frequency above the step yet.
    """
    if inputs.return_cap_w > 0.0:
        state.base_w[0] = inputs.return_cap_w
        state.base_count = 1
    state.return_cap_w = inputs.return_cap_w
    state.returning = inputs.returning
    state.return_ns = inputs.return_ns
    state.climbing = inputs.regulated
    state.regulation_w = inputs.held_w
    state.beside_w = inputs.held_w
    if inputs.shedding and limits.site.under_steps > 0:
        state.shedding = 1
        state.shed_tier = inputs.shed_tier
        hold(limits, state, 0, R_UNDER_FREQUENCY, True, now_ns)


def blind(limits: Limits, state: State, now_ns: int) -> bool:
    """Whether the site has been without its meter for longer than what it showed last is believed."""
    return state.started != 0 and not state.meter_good and now_ns - state.blind_ns >= limits.site.blind_max_ns


def observe(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """One tick of what the grid shows."""
    site = limits.site
    state.fault = faulted(inputs, limits, state, now_ns)
    if state.fault or state.fault_seen == 0:
        state.fault_ns = now_ns
    holds = hold(limits, state, 0, R_FAULT, state.fault_seen != 0, now_ns)
    # One that nobody could see the end of for so long bars every raise, and no longer what must fall.
    unread = now_ns - state.fault_ns >= site.blind_max_ns
    state.fault_hold = holds and not unread and not blind(limits, state, now_ns)
    seen = fresh(inputs, site.frequency_slot, site.meter_stale_ns, now_ns)
    # After a fault the load holds for a while; a frequency that falls then is what the steps are for.
    if not state.fault:
        if seen:
            state.away_hz = inputs.value[site.frequency_slot] - site.nominal_hz
            state.droop_w = droop(limits, state.away_hz)
        else:
            # One that was high holds up no ramp down.
            state.away_hz = min(state.away_hz, 0.0)
        shed(limits, state, seen, now_ns)
    lost = site.frequency_slot >= 0 and state.started != 0 and not seen and owes(limits, state)
    hold(limits, state, 0, R_FREQUENCY_LOST, lost, now_ns)
    if state.started:
        overdraw(inputs, limits, state, now_ns)
    baseline(inputs, limits, state, now_ns)
    if state.returning and now_ns - state.return_ns >= 3600 * SECOND_NS:
        state.returning = 0
    if state.shedding or state.verb == ESTOP:
        # A restart before the return begins must know it as well.
        state.return_cap_w = cap(limits, state)
