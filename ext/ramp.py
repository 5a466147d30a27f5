# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""The reference: what the meter should show now, moving from where it is to the command's goal within its envelope.

A command that lives no longer is replaced by the default, along the normal ramp, and raises only where the site
allows that. A silent channel is waited for. Nothing here reads the meter except to start from the present.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        AFTER_BACK,
        DISPATCHED,
        EMERGENCY,
        ENDLESS,
        ESTOP,
        HOLD,
        NORMAL,
        S_CURVE,
        SITE_CHANNEL,
        SITE_FREQUENCY,
        SITE_REFERENCE,
        SITE_RETURN,
        SITE_WINDOW,
        STAND,
        TRACK,
    )
    from rampd.ext.grid import blind, come_back
    from rampd.ext.window import highest, lowest, note, slope
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def live(inputs: Inputs, limits: Limits, now_ns: int) -> bool:
    """Whether a command still holds: estop until reset, others until their lease ends.

    While its channel is silent a lease does not run, for as long as the site waits for the channel.
    """
    command = inputs.command
    if command.verb == ESTOP:
        return True
    if command.lost_ns > 0:
        return command.verb != STAND and now_ns - command.lost_ns < limits.site.hold_max_ns
    return command.verb != STAND and now_ns < command.expires_ns


def goal(limits: Limits, asked_w: float) -> float:
    """A commanded power within the site's limits."""
    return min(max(asked_w, limits.site.min_w), limits.site.max_w)


def envelope(limits: Limits, state: State, noise_w: float, up: bool) -> float:
    """The most that the present envelope lets the reference move, W/s: its rate, and what its windows leave."""
    site = limits.site
    if state.envelope == DISPATCHED:
        most = site.dispatched_up if up else site.dispatched_down
    else:
        most = site.normal_up if up else site.normal_down
    if (state.returning or state.climbing) and up:
        most = min(most, site.return_up)
    if state.astray:
        most = min(most, site.normal_up, slope(limits, NORMAL, noise_w, True))
    return min(most, slope(limits, state.envelope, noise_w, up))


def pace(inputs: Inputs, limits: Limits, state: State) -> float:
    """Rate of the reference in W/s that the command itself asks for, ENDLESS: none, which leaves it to the envelope.

    A ramp of so many seconds is shaped so that the meter, not the reference, is there at its end.
    """
    command = inputs.command
    if command.rate_w_per_s > 0.0:
        return command.rate_w_per_s
    if command.ramp_s > 0.0:
        span_w = abs(state.goal_w - state.reference_w)
        return span_w / max(command.ramp_s - limits.site.lead_s, 0.25 * command.ramp_s)
    return ENDLESS


def rest(limits: Limits, state: State, up: bool) -> None:
    """Towards the default under the normal envelope; upward only where that is allowed."""
    state.envelope = NORMAL
    state.goal_w = limits.site.default_w
    if state.goal_w > state.reference_w and not up:
        state.goal_w = state.reference_w


def take(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Begins a new command from the present reference, or from the present power where that is much nearer to the goal.

    Racks that draw less than they may, or cannot go as low as they were told, would only take up the first part of
    the ramp. Noise is no reason to jump.
    """
    command = inputs.command
    stopped = state.verb == ESTOP
    state.seq = command.seq
    state.taken_tick = state.tick
    state.verb = command.verb
    state.lapsed = 0
    state.astray = 0
    state.curve_s = 0.0
    if not command.resumed:
        state.climbing = 0
    if now_ns >= command.regulation_ns and command.regulation_after == AFTER_BACK:
        # Nobody regulates any more: the command begins where that has brought the purchase.
        state.reference_w += state.regulation_w
        state.beside_w -= state.regulation_w
        state.regulation_w = 0.0
    # Regulation and what is given for the frequency stand beside the reference, and are no part of it.
    power_w = state.meter_w - state.beside_w if state.meter_good else state.reference_w
    if abs(power_w - state.reference_w) <= max(0.02 * limits.site.max_w, state.noise_w) and command.verb != HOLD:
        power_w = state.reference_w
    if command.verb == ESTOP:
        state.envelope = EMERGENCY
        state.goal_w = 0.0
        return
    if command.verb == HOLD:
        state.envelope = command.envelope
        state.goal_w = min(state.reference_w, power_w)
        state.reference_w = state.goal_w
        state.from_w = state.goal_w
        return
    if command.verb == STAND:
        rest(limits, state, True)
        if stopped:
            come_back(limits, state, now_ns)
    else:
        state.envelope = command.envelope
        state.goal_w = goal(limits, command.target_w)
        if not command.resumed:
            state.returning = state.exceeded
    if state.goal_w < state.reference_w:
        state.reference_w = min(state.reference_w, max(power_w, state.goal_w))
    else:
        state.reference_w = max(state.reference_w, min(power_w, state.goal_w))
    state.from_w = state.reference_w
    state.rate_w_per_s = pace(inputs, limits, state)
    if state.verb == TRACK and command.shape == S_CURVE and state.rate_w_per_s > 0.0:
        # Its steepest part is half as steep again as its mean.
        span_w = abs(state.goal_w - state.reference_w)
        most = envelope(limits, state, state.noise_w, state.goal_w > state.reference_w)
        state.curve_s = max(span_w / state.rate_w_per_s, 1.5 * span_w / most if most > 0.0 else 0.0)
        state.curve_at_s = 0.0


def advance_curve(state: State, dt_s: float) -> float:
    """How far an S-curve brings the reference in this tick; W, never past its goal."""
    before = min(1.0, state.curve_at_s / state.curve_s)
    state.curve_at_s += dt_s
    after = min(1.0, state.curve_at_s / state.curve_s)
    rise = after * after * (3.0 - 2.0 * after) - before * before * (3.0 - 2.0 * before)
    if after >= 1.0:
        # What was held back on the way is made up for at the command's rate.
        state.curve_s = 0.0
    return abs(state.goal_w - state.from_w) * rise


def may_raise(inputs: Inputs, limits: Limits) -> bool:
    """Whether the end of a command is a reason to rise: where the site says so, and never for a lost channel."""
    return limits.site.raise_after != 0 and inputs.command.lost_ns == 0 and not inputs.command.outlived


def settle(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """What holds when no new command came: the live one, its end, or the default."""
    if state.verb != STAND and not live(inputs, limits, now_ns):
        state.verb = STAND
        state.lapsed = 1
        state.curve_s = 0.0
        if limits.site.after_hold and inputs.command.lost_ns == 0:
            state.envelope = NORMAL
            state.goal_w = state.reference_w
        else:
            rest(limits, state, may_raise(inputs, limits))
    elif state.seq == 0:
        rest(limits, state, may_raise(inputs, limits))


def held(inputs: Inputs, limits: Limits, state: State) -> bool:
    """Whether the ramp stands still: its channel is silent, or it goes against the frequency. Says which."""
    site = limits.site
    if state.verb != STAND and inputs.command.lost_ns > 0:
        state.site_why = SITE_CHANNEL
        return True
    up = state.goal_w > state.reference_w
    if site.hold_hz > 0.0 and ((up and state.away_hz <= -site.hold_hz) or (not up and state.away_hz >= site.hold_hz)):
        state.site_why = SITE_FREQUENCY
        return state.goal_w != state.reference_w
    return False


def land(step_w: float, rest_w: float, dt_s: float) -> float:
    """A tick's step towards a goal that is `rest_w` away: the last bit of a fast ramp takes six seconds.

    The cooling follows the racks for seconds in the same direction; the feedback alone would see that too late.
    """
    return min(step_w, max(rest_w - 0.009 * step_w / dt_s, 0.0015 * step_w))


def on_its_way(state: State) -> bool:
    """Whether the reference is between where the command has brought it and the goal: only there its rate holds."""
    return min(state.from_w, state.goal_w) <= state.reference_w <= max(state.from_w, state.goal_w)


def stride(inputs: Inputs, limits: Limits, state: State, most: float, dt_s: float) -> float:
    """How far the reference may go in this tick, W: at the command's rate, and at `most` W/s.

    What a shed or a lost meter threw off its way returns to it.
    """
    if state.verb == STAND:
        return most * dt_s
    if not on_its_way(state):
        return min(most * dt_s, abs(state.from_w - state.reference_w))
    if state.curve_s > 0.0:
        return min(advance_curve(state, dt_s), most * dt_s)
    step_w = min(state.rate_w_per_s, most) * dt_s
    return land(step_w, abs(state.goal_w - state.reference_w), dt_s) if inputs.command.ramp_s > 0.0 else step_w


def follow(inputs: Inputs, limits: Limits, state: State, now_ns: int, dt_s: float) -> None:
    """One tick of the reference; `site_why` says what held it."""
    state.site_why = SITE_REFERENCE
    state.pace_w = 0.0
    state.heading_w = state.reference_w
    if state.fault_hold and inputs.command.verb != ESTOP:
        fresh = inputs.command.verb == TRACK and inputs.command.seq != state.seq and not inputs.command.resumed
        if state.exceeded and fresh:
            # One that comes while the breaker is open does not end the return, as in any emergency.
            take(inputs, limits, state, now_ns)
        return
    if inputs.command.seq != state.seq:
        take(inputs, limits, state, now_ns)
    else:
        settle(inputs, limits, state, now_ns)
    if state.verb == ESTOP:
        state.reference_w = state.goal_w
        return
    note(limits, state, now_ns)
    if held(inputs, limits, state):
        return
    goal_w = state.goal_w
    if state.returning and goal_w > state.return_cap_w:
        goal_w = max(state.return_cap_w, min(state.reference_w, goal_w))
        state.site_why = SITE_RETURN
    # Without a meter for so long nobody knows what the rest of the site draws: no longer above the default, whatever
    # rate was asked for; nor how noisy it is: what was last seen is no reason to stay.
    lost = blind(limits, state, now_ns)
    if lost:
        goal_w = min(goal_w, limits.site.default_w)
    up = goal_w > state.reference_w
    state.astray = up and (state.returning != 0 or state.climbing != 0 or not on_its_way(state))
    most = envelope(limits, state, 0.0 if lost else state.noise_w, up)
    step_w = stride(inputs, limits, state, most, dt_s)
    if lost:
        step_w = max(step_w, min(most * dt_s, state.reference_w - limits.site.default_w))
    # Where nobody may rise, fast racks that made room for slow ones that begin early could not come back.
    state.heading_w = state.reference_w if lost else goal_w
    # Without a meter the reference does not rise.
    state.pace_w = 0.0 if up and not state.meter_good else step_w
    if not up:
        least_w = lowest(limits, state)
        if state.reference_w - step_w < least_w:
            state.site_why = SITE_WINDOW
        state.reference_w = max(goal_w, state.reference_w - step_w, least_w)
    elif state.meter_good:
        most_w = highest(limits, state)
        if state.reference_w + step_w > most_w:
            state.site_why = SITE_WINDOW
        state.reference_w = min(goal_w, state.reference_w + step_w, most_w)
    if state.curve_s <= 0.0 and on_its_way(state):
        state.from_w = state.reference_w
    note(limits, state, now_ns)
