# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The reference: what the meter should show now, moving from where it is to the command's goal within its envelope.

A command that lives no longer is replaced by the default, along the normal ramp, and raises only where the site
allows that. Nothing here reads the meter except to start from the present.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import DISPATCHED, EMERGENCY, ESTOP, HOLD, NORMAL, STAND, TRACK
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def live(inputs: Inputs, now_ns: int) -> bool:
    """Whether a command still holds: estop until reset, every other one until its lease ends."""
    command = inputs.command
    return command.verb == ESTOP or (command.verb != STAND and now_ns < command.expires_ns)


def goal(limits: Limits, asked_w: float) -> float:
    """A commanded power within the site's limits."""
    return min(max(asked_w, limits.site.min_w), limits.site.max_w)


def pace(inputs: Inputs, limits: Limits, state: State) -> float:
    """Rate of the reference in W/s: what was asked, never above the envelope.

    A ramp of so many seconds is shaped so that the meter, not the reference, is there at its end.
    """
    command = inputs.command
    up = state.goal_w > state.reference_w
    if state.envelope == DISPATCHED:
        most = limits.site.dispatched_up if up else limits.site.dispatched_down
    else:
        most = limits.site.normal_up if up else limits.site.normal_down
    if state.verb != TRACK:
        return most
    if command.rate_w_per_s > 0.0:
        return min(most, command.rate_w_per_s)
    if command.ramp_s > 0.0:
        span_w = abs(state.goal_w - state.reference_w)
        return min(most, span_w / max(command.ramp_s - limits.site.lead_s, 0.25 * command.ramp_s))
    return most


def rest(limits: Limits, state: State, may_raise: bool) -> None:
    """Towards the default under the normal envelope; upward only where that is allowed."""
    state.envelope = NORMAL
    state.goal_w = limits.site.default_w
    if state.goal_w > state.reference_w and not may_raise:
        state.goal_w = state.reference_w


def take(inputs: Inputs, limits: Limits, state: State) -> None:
    """Begins a new command from the present reference, or from the present power where that is nearer to the goal.

    Racks that draw less than they may, or cannot go as low as they were told, would only take up the first part of
    the ramp.
    """
    command = inputs.command
    state.seq = command.seq
    state.verb = command.verb
    state.lapsed = 0
    power_w = inputs.value[limits.site.power_slot] if state.meter_good else state.reference_w
    if command.verb == ESTOP:
        state.envelope = EMERGENCY
        state.goal_w = 0.0
        return
    if command.verb == HOLD:
        state.envelope = command.envelope
        state.goal_w = min(state.reference_w, power_w)
        state.reference_w = state.goal_w
        return
    if command.verb == STAND:
        rest(limits, state, True)
    else:
        state.envelope = command.envelope
        state.goal_w = goal(limits, command.target_w)
    if state.goal_w < state.reference_w:
        state.reference_w = min(state.reference_w, max(power_w, state.goal_w))
    else:
        state.reference_w = max(state.reference_w, min(power_w, state.goal_w))
    state.rate_w_per_s = pace(inputs, limits, state)


def follow(inputs: Inputs, limits: Limits, state: State, now_ns: int, dt_s: float) -> None:
    """One tick of the reference."""
    if inputs.command.seq != state.seq:
        take(inputs, limits, state)
    elif state.verb != STAND and not live(inputs, now_ns):
        state.verb = STAND
        state.lapsed = 1
        if limits.site.after_hold:
            state.envelope = NORMAL
            state.goal_w = state.reference_w
        else:
            rest(limits, state, limits.site.raise_after != 0)
    elif state.seq == 0:
        rest(limits, state, limits.site.raise_after != 0)
    if state.verb == ESTOP:
        state.reference_w = state.goal_w
        return
    if state.verb != TRACK:
        state.rate_w_per_s = pace(inputs, limits, state)
    step_w = state.rate_w_per_s * dt_s
    if state.goal_w < state.reference_w:
        state.reference_w = max(state.goal_w, state.reference_w - step_w)
    elif state.meter_good:
        state.reference_w = min(state.goal_w, state.reference_w + step_w)
