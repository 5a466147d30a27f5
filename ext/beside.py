# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What stands beside the reference: regulation and primary frequency response, as far as the site's limits leave room.

A regulation signal says how far the purchase is to be beside the set point, every few seconds; it is followed at the
dispatched limits. One that falls silent ends: what it has moved goes back along the normal ramp, together with what the
reference moves, once it is known that its channel lives. Until then it stays: silence raises nothing. The droop asks
for as much as the frequency is off. With the reference both lead no lower than the site's least, which generation
behind the meter needs, regulation no higher than its most, and response no higher than the import limit. Regulation
leads no farther than the racks can follow either: what they cannot give does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        AFTER_BACK,
        AFTER_HELD,
        AFTER_LOWER,
        DISPATCHED,
        ESTOP,
        NORMAL,
        SITE_CHANNEL,
        SITE_FLOOR,
        SITE_IMPORT,
        SITE_MAXIMUM,
        SITE_MINIMUM,
        SITE_REFERENCE,
        SITE_ROOM,
    )
    from rampd.ext.window import slope
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def droop(limits: Limits, away_hz: float) -> float:
    """Primary frequency response in W of purchase: beyond the deadband, full at the droop (BAL-001-TRE)."""
    site = limits.site
    if site.droop <= 0.0:
        return 0.0
    span_hz = site.nominal_hz * site.droop - site.deadband_hz
    if away_hz < -site.deadband_hz:
        return max(-1.0, (away_hz + site.deadband_hz) / span_hz) * site.max_w
    if away_hz > site.deadband_hz:
        return min(1.0, (away_hz - site.deadband_hz) / span_hz) * site.max_w
    return 0.0


def bounded(by_w: float, at_w: float, least_w: float, most_w: float) -> float:
    """What two limits leave of a change from a power; from beyond a limit already it goes no farther."""
    return min(max(by_w, min(0.0, least_w - at_w)), max(0.0, most_w - at_w))


def highest(limits: Limits, state: State) -> float:
    """How high regulation may lead; W. A little above the racks' most: what they want is found out by giving it.

    Racks that were not looked at yet bound nothing.
    """
    if state.most_w == 0.0:
        return limits.site.max_w
    return min(limits.site.max_w, state.most_w + 0.0025 * limits.site.max_w)


def regulable(limits: Limits, state: State, by_w: float, at_w: float) -> float:
    """What the site's least and most, and the racks', leave of regulation beside a reference; W."""
    return bounded(by_w, at_w, max(limits.site.min_w, state.least_w), highest(limits, state))


def unmet(limits: Limits, state: State) -> float:
    """How far the purchase stays from where the signal wants it; W. What racks keep back of the set point counts."""
    want_w = state.reference_w + state.signal_w
    return want_w - min(max(want_w, limits.site.min_w, state.least_w), highest(limits, state))


def given(limits: Limits, state: State, at_w: float) -> float:
    """What will stand beside a reference once regulation is where its signal wants it; W."""
    site = limits.site
    regulation_w = regulable(limits, state, state.signal_w, at_w)
    return regulation_w + bounded(state.droop_w, at_w + regulation_w, site.min_w, site.import_w)


def quickest(limits: Limits, state: State) -> float:
    """How fast the racks may rise in sum, W/s: a set point or a regulation signal with leave for it, or nobody."""
    dispatched = state.envelope == DISPATCHED or state.regulating != 0
    return limits.site.dispatched_up if dispatched else limits.site.normal_up


def stranded(inputs: Inputs, state: State, now_ns: int) -> bool:
    """Whether regulation stands where it is because its channel was lost."""
    command = inputs.command
    ended = now_ns >= command.regulation_ns and command.regulation_after in (AFTER_HELD, AFTER_LOWER)
    return ended and state.regulation_w != 0.0


def hear(inputs: Inputs, state: State, moved_w: float, now_ns: int) -> None:
    """Whether a regulation signal holds and what it wants; in an emergency and on the way back from it none does.

    What has ended wants to be where it is, until it is known that its channel lives. One that was lost for too long
    goes down only, and what it has lowered goes back as far as the reference falls.
    """
    command = inputs.command
    emergency = state.verb == ESTOP or state.shedding != 0 or state.exceeded != 0 or state.returning != 0
    state.regulating = now_ns < command.regulation_ns and not emergency
    state.signal_w = 0.0
    if state.regulating:
        state.signal_w = command.regulation_w
    elif command.regulation_after == AFTER_LOWER:
        state.signal_w = min(0.0, state.regulation_w + max(0.0, -moved_w))
    elif command.regulation_after != AFTER_BACK:
        state.signal_w = state.regulation_w
    if state.regulating and command.regulation_seq != state.regulation_seq:
        state.regulation_seq = command.regulation_seq
        # Slow racks begin with the signal.
        state.taken_tick = state.tick


def regulate(limits: Limits, state: State, moved_w: float, dt_s: float) -> float:
    """Where regulation wants to be after this tick, in which the reference has moved by so much; W.

    The load's own noise does not keep what has ended from going back. Without a meter nothing rises.
    """
    site = limits.site
    up = state.signal_w > state.regulation_w
    if state.fault_hold or (up and not state.meter_good):
        return state.regulation_w
    if state.regulating:
        most = min(site.dispatched_up if up else site.dispatched_down, slope(limits, DISPATCHED, 0.0, up))
        step_w = most * dt_s
    else:
        most = min(site.normal_up if up else site.normal_down, slope(limits, NORMAL, 0.0, up))
        step_w = max(0.0, most * dt_s - max(0.0, moved_w if up else -moved_w))
    return state.regulation_w + min(max(state.signal_w - state.regulation_w, -step_w), step_w)


def stand_beside(inputs: Inputs, limits: Limits, state: State, moved_w: float, now_ns: int, dt_s: float) -> None:
    """Regulation and response of this tick beside its reference, none during a stop; says which limit holds them."""
    site = limits.site
    hear(inputs, state, moved_w, now_ns)
    state.beside_w = 0.0
    state.response_w = 0.0
    state.unmet_w = 0.0
    if state.verb == ESTOP:
        state.regulation_w = 0.0
        return
    if stranded(inputs, state, now_ns) and state.site_why == SITE_REFERENCE:
        state.site_why = SITE_CHANNEL
    wanted_w = regulate(limits, state, moved_w, dt_s)
    if state.regulating:
        state.unmet_w = unmet(limits, state)
    if not state.fault_hold:
        # What racks cannot give for a while is no reason to give up what silence holds, and to rise after it.
        stays = not state.regulating and inputs.command.regulation_after != AFTER_BACK
        least_w = site.min_w if stays else max(site.min_w, state.least_w)
        state.regulation_w = bounded(wanted_w, state.reference_w, least_w, highest(limits, state))
    state.response_w = bounded(state.droop_w, state.reference_w + state.regulation_w, site.min_w, site.import_w)
    state.beside_w = state.regulation_w + state.response_w
    bind(limits, state, state.regulation_w - wanted_w, state.response_w - state.droop_w)


def bind(limits: Limits, state: State, regulation_w: float, response_w: float) -> None:
    """Says which limit holds regulation or response, by how far each is from what it wants to be."""
    site = limits.site
    if regulation_w > 0.0:
        state.site_why = SITE_FLOOR if state.least_w > site.min_w else SITE_MINIMUM
    elif response_w > 0.0:
        state.site_why = SITE_MINIMUM
    elif response_w < 0.0:
        state.site_why = SITE_IMPORT
    elif regulation_w < 0.0:
        state.site_why = SITE_ROOM if state.reference_w + state.regulation_w < site.max_w else SITE_MAXIMUM
