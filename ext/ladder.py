# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The mechanism of the failsafe ladder: reasons begin, stay, end, and the worst of them says what is done.

A zone is the site, a feeder, a link, a cooling loop or a node, in this order; each has a bit and a timer for every
reason. What the reasons are, what they do and how they end stands in `ext/reasons.py`; what is so, kernels say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import R_OVERLOAD, REASONS
if TYPE_CHECKING:
    from rampd.ext.views import Bytes, Inputs, Limits, State


def attend(inputs: Inputs, limits: Limits, state: State) -> None:
    """At the begin of a tick: whether an operator has reset, and at the first what was latched before a restart."""
    if state.tick <= 1:
        state.resets = inputs.command.resets
        for zone in range(limits.site.zones):
            state.zone_latched[zone] = inputs.latched[zone]
            state.zone_reasons[zone] = inputs.latched[zone]
    state.resetting = inputs.command.resets != state.resets
    state.resets = inputs.command.resets


def hold(limits: Limits, state: State, zone: int, reason: int, is_so: bool, now_ns: int) -> bool:
    """Whether a reason acts for a zone in this tick, in which its condition holds or does not.

    It begins at once. Its clear time starts over with every tick in which the condition holds: it drains at once and
    refills as fast as time goes. One that latches needs a reset besides, given when the condition no longer holds.
    """
    bit = 1
    bit <<= reason
    at = zone * REASONS + reason
    if is_so:
        state.zone_reasons[zone] |= bit
        state.zone_until_ns[at] = now_ns + limits.reason_clear_ns[reason]
        if limits.reason_latches[reason]:
            state.zone_latched[zone] |= bit
        return True
    if state.zone_reasons[zone] & bit == 0:
        return False
    if state.resetting:
        state.zone_latched[zone] &= ~bit
    if now_ns < state.zone_until_ns[at] or state.zone_latched[zone] & bit != 0:
        return True
    state.zone_reasons[zone] &= ~bit
    return False


def acts(state: State, zone: int, reason: int) -> bool:
    """Whether a reason acts for a zone."""
    return (state.zone_reasons[zone] >> reason) & 1 != 0


def worst(limits: Limits, reasons: int) -> int:
    """The worst action of a set of reasons on racks; of none, ACT_NONE."""
    action = 0
    reason = 0
    while reasons != 0:
        if reasons & 1 != 0:
            action = max(action, limits.reason_action[reason])
        reasons >>= 1
        reason += 1
    return action


def heed(limits: Limits, state: State, tripped: Bytes) -> None:
    """Takes over which nodes the guard has tripped: that begins and ends there, and nothing else of a node latches."""
    first = limits.site.zones - limits.site.nodes
    for v in range(limits.site.nodes):
        state.zone_latched[first + v] = (1 << R_OVERLOAD) if tripped[v] else 0
        others = state.zone_reasons[first + v] & ~(1 << R_OVERLOAD)
        state.zone_reasons[first + v] = others | state.zone_latched[first + v]
