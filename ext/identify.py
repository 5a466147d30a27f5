# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What a rack has shown in ordinary operation: dead time, slope, least, step, gain, how often it obeys, how exactly.

Everything begins as configured. A move of the set points is an excursion: the reading that first shows it and the one
before bound the dead time, readings on the way give the slope where the set point was far beyond them. Only what
contradicts the belief changes it: slower is believed by half at once, faster by a tenth, and never beyond bounds around
the configuration. Between two readings everything is possible, so a rack that is as configured is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import AVAILABLE, EXCURSION_DOWN, EXCURSION_NONE, EXCURSION_UP
    from rampd.ext.levels import below
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def begin(limits: Limits, state: State) -> None:
    """Nothing is known yet: the configuration holds, that of the feedback as well."""
    period_s = limits.site.period_ns * 1e-9
    state.slow_count = limits.site.slow
    state.detune = 1.0
    state.through = 1.0 + limits.site.loss_ratio
    for i in range(limits.site.racks):
        state.dead_up[i] = limits.dead_up[i]
        state.dead_down[i] = limits.dead_down[i]
        state.dead_up_s[i] = limits.dead_up[i] * period_s
        state.dead_down_s[i] = limits.dead_down[i] * period_s
        state.up_w_per_s[i] = limits.up_w_per_s[i]
        state.down_w_per_s[i] = limits.down_w_per_s[i]
        state.bottom_w[i] = limits.min_w[i]
        state.success[i] = 0.99
        state.gain[i] = 1.0
        state.slow[i] = limits.slow[i]
        state.edge_tick[i] = -limits.site.history


def moved(limits: Limits, state: State, i: int, before_w: float) -> None:
    """The guard let a new set point pass: begins an excursion, goes on with one, or ends one that turns round.

    The mark lies in the middle of the first large part of it: power passes it only because of that part.
    """
    now_w = state.applied_w[i]
    down = now_w < before_w
    width_w = limits.max_w[i]
    since_ns = state.now_ns - state.moved_ns[i]
    state.moved_ns[i] = state.now_ns
    if state.excursion[i] != EXCURSION_NONE:
        if down != (state.excursion[i] == EXCURSION_DOWN):
            if state.passed[i]:
                dead(limits, state, i)
            state.excursion[i] = EXCURSION_NONE
            return
    else:
        # From rest only, read just now; upward where the cap binds, downward where it will.
        quiet_ns = 1_500_000_000 + 2 * state.gap_ns[i] + state.dead_up[i] * limits.site.period_ns
        if since_ns < quiet_ns or state.stale[i] or state.gap_ns[i] == 0 or not state.ours[i]:
            return
        if not down and state.swings[i]:
            return
        if not down and state.seen_w[i] < state.gain[i] * before_w - max(0.02 * width_w, 1.1 * limits.quantum_w[i]):
            return
        if down and state.seen_w[i] <= state.gain[i] * state.bottom_w[i] + 0.02 * width_w:
            return
        state.excursion[i] = EXCURSION_DOWN if down else EXCURSION_UP
        state.start_w[i] = state.seen_w[i]
        state.led_ns[i] = 0
        state.passed[i] = 0
        state.pace_w_per_s[i] = 0.0
    start_w = state.start_w[i]
    far_w = start_w - now_w if down else now_w - start_w
    if state.led_ns[i] == 0 and far_w >= 0.06 * width_w:
        # Where the set point stood above the power, the move begins at the power.
        from_w = min(before_w, start_w) if down else max(before_w, start_w)
        part_w = abs(now_w - from_w)
        if part_w < max(0.04 * width_w, 2.2 * limits.quantum_w[i]):
            # In small parts: whether and how fast it moves is seen, not when it began.
            state.led_ns[i] = -1
            state.mark_w[i] = start_w - 0.03 * width_w if down else start_w + 0.03 * width_w
            state.aim_w[i] = state.mark_w[i]
            return
        state.led_ns[i] = state.now_ns
        state.aim_w[i] = now_w
        state.mark_w[i] = 0.5 * (from_w + now_w)
        # A cap that stood far above the power has that way to go as well.
        state.lead_w[i] = abs(state.mark_w[i] - before_w)


def bounded(value: float, least: float, most: float) -> float:
    """A value within bounds; the least where it is none."""
    return least if not value >= least else min(value, most)


def revise(belief: float, low: float, high: float, slower_is_more: bool) -> float:
    """A belief after an observation of `low` to `high`: unchanged within it, else towards its nearer end."""
    if belief < low:
        return belief + (0.5 if slower_is_more else 0.1) * (low - belief)
    if belief > high:
        return belief - (0.1 if slower_is_more else 0.5) * (belief - high)
    return belief


def longest(limits: Limits, given: int) -> int:
    """The longest dead time in ticks that is believed of a rack: twice what was given and a second."""
    return min(2 * given + 1_000_000_000 // limits.site.period_ns, limits.site.history - 2)


def dead(limits: Limits, state: State, i: int) -> None:
    """The power passed the mark between two readings: that bounds the dead time, less the way to the mark."""
    if state.led_ns[i] < 0 or state.gap_ns[i] > 1_500_000_000:
        return
    down = state.excursion[i] == EXCURSION_DOWN
    period_s = limits.site.period_ns * 1e-9
    slope_w = state.down_w_per_s[i] if down else state.up_w_per_s[i]
    if state.pace_w_per_s[i] > 0.0:
        slope_w = min(slope_w, state.pace_w_per_s[i])
    low_s = (state.before_ns[i] - state.led_ns[i]) * 1e-9 - state.lead_w[i] / slope_w - period_s
    high_s = (state.after_ns[i] - state.led_ns[i]) * 1e-9 + period_s
    given = limits.dead_down[i] if down else limits.dead_up[i]
    most_s = longest(limits, given) * period_s
    belief_s = state.dead_down_s[i] if down else state.dead_up_s[i]
    found_s = bounded(revise(belief_s, low_s, high_s, True), 0.5 * given * period_s, most_s)
    ticks = longest(limits, given)
    while ticks > 1 and ticks * period_s > found_s + 0.5 * period_s:
        ticks -= 1
    if down:
        state.dead_down_s[i] = found_s
        state.dead_down[i] = ticks
    else:
        state.dead_up_s[i] = found_s
        state.dead_up[i] = ticks
    hesitate(limits, state, i)


def hesitate(limits: Limits, state: State, i: int) -> None:
    """A rack that turns out to answer late is treated like one that was said to."""
    if limits.slow[i]:
        return
    longest_s = max(state.dead_up_s[i], state.dead_down_s[i])
    slow = longest_s > 1.3 or (state.slow[i] != 0 and longest_s > 1.1)
    if slow != (state.slow[i] != 0):
        state.slow_count += 1 if slow else -1
        state.slow[i] = slow


def near_its_goal(limits: Limits, state: State, i: int, down: bool) -> bool:
    """Whether the last reading was near where a rack goes.

    That is the part of the move that made it pass, and what was given before any dead time ago, looked up only
    where it matters.
    """
    goal_w = state.aim_w[i]
    near_w = 0.1 * limits.max_w[i] + limits.quantum_w[i]
    if (state.seen_w[i] - goal_w if down else goal_w - state.seen_w[i]) >= near_w:
        return False
    given_ticks = limits.dead_down[i] if down else limits.dead_up[i]
    ago = max(0, state.now_ns - state.seen_ns[i]) // limits.site.period_ns + longest(limits, given_ticks) + 2
    if ago < limits.site.history:
        row = (state.tick + limits.site.history - ago) % limits.site.history
        past_w = state.past_w[row * limits.site.racks + i]
        goal_w = min(goal_w, past_w) if down else max(goal_w, past_w)
    return (state.seen_w[i] - goal_w if down else goal_w - state.seen_w[i]) < near_w


def slope(limits: Limits, state: State, i: int, measured_w: float, at_ns: int) -> None:
    """The reading that passed the mark, and a later one that is still far from where the rack goes: that is its slope.

    It is the one before the newest: only of that it is certain that the rack had not met its least or demand by then.
    """
    down = state.excursion[i] == EXCURSION_DOWN
    since_s = (at_ns - state.after_ns[i]) * 1e-9
    way_w = state.after_w[i] - measured_w if down else measured_w - state.after_w[i]
    last_s = (at_ns - state.seen_ns[i]) * 1e-9
    last_w = state.seen_w[i] - measured_w if down else measured_w - state.seen_w[i]
    if state.seen_ns[i] <= state.after_ns[i] or 2.0 * last_w * since_s < way_w * last_s or last_w <= 0.0:
        return
    since_s -= last_s
    way_w -= last_w
    if near_its_goal(limits, state, i, down):
        return
    # Readings of a rack in steps are exact to a step.
    loose_w = 0.01 * limits.max_w[i] + limits.quantum_w[i]
    low = 0.9 * (way_w - loose_w) / since_s
    high = 1.1 * (way_w + loose_w) / since_s
    given = limits.down_w_per_s[i] if down else limits.up_w_per_s[i]
    state.pace_w_per_s[i] = max(0.2 * given, way_w / since_s)
    if down:
        state.down_w_per_s[i] = bounded(revise(state.down_w_per_s[i], low, high, False), 0.2 * given, 1.3 * given)
    else:
        state.up_w_per_s[i] = bounded(revise(state.up_w_per_s[i], low, high, False), 0.2 * given, 1.3 * given)


def earlier(limits: Limits, state: State, i: int) -> float:
    """A rack's set point of a second before its dead time, W: what its power may still be following."""
    dead_ticks = max(state.dead_up[i], state.dead_down[i])
    ago = min(dead_ticks + 1_000_000_000 // limits.site.period_ns, limits.site.history - 1)
    row = (state.tick + limits.site.history - ago) % limits.site.history
    return max(state.applied_w[i], state.past_w[row * limits.site.racks + i])


def weigh(limits: Limits, state: State, i: int, measured_w: float) -> None:
    """A rack at rest, not read for the first time there: what part of its cap it draws, where it is the cap that binds.

    It is where the cap fell below what the rack drew before, or the power changed with the cap and in proportion; above
    its cap only the latter. What it draws less than its cap otherwise is what it wants.
    """
    cap_w = state.cap_w[i]
    width_w = limits.max_w[i]
    stood_cap_w = state.stood_cap_w[i]
    way_w = abs(cap_w - stood_cap_w)
    if measured_w <= 1.01 * state.gain[i] * state.bottom_w[i] and measured_w < 0.99 * cap_w:
        # Between its least and what it draws in proportion nobody can tell.
        return
    if cap_w < 0.1 * width_w or abs(measured_w - state.seen_w[i]) > 0.01 * width_w:
        if way_w <= 0.003 * width_w:
            # Its work changes: what it drew under this cap says nothing about the next.
            state.stood_cap_w[i] = 0.0
        return
    gain = measured_w / cap_w
    if gain > state.gain[i]:
        past_w = earlier(limits, state, i)
        if past_w > cap_w + 0.003 * width_w:
            # Behind a cap that falls the power lags: of the highest that it may still follow it draws at least this.
            regard(limits, state, i, max(state.gain[i], min(measured_w / past_w, 1.0)))
            return
    if stood_cap_w > 0.0 and way_w >= 0.02 * width_w:
        if abs(measured_w - state.seen_w[i]) > 0.004 * width_w:
            # A cap that binds keeps the power still; work that wanders below it does not.
            return
        before = state.stood_w[i] / stood_cap_w
        follows = abs(gain - before) <= before * min(0.3 * way_w / max(cap_w, stood_cap_w), 0.03)
        if 0.5 <= gain <= 1.5 and (follows or (gain <= 1.0 and cap_w < state.stood_w[i])):
            regard(limits, state, i, gain)
    elif stood_cap_w > 0.0 and way_w > 0.003 * width_w:
        return
    regard(limits, state, i, max(state.gain[i], min(gain, 1.0)))
    if stood_cap_w == 0.0 or way_w > 0.003 * width_w:
        # One that creeps stands where it stood.
        state.stood_cap_w[i] = cap_w
    state.stood_w[i] = measured_w


def regard(limits: Limits, state: State, i: int, gain: float) -> None:
    """A gain is believed where it differs by more than noise; a least that was seen by the old one goes with it."""
    before = state.gain[i]
    if abs(gain - before) < 0.01:
        return
    state.gain[i] = gain
    if state.bottom_w[i] > limits.min_w[i]:
        rest(limits, state, i, state.bottom_w[i] * before / gain)


def judge(state: State, i: int, obeyed: bool) -> None:
    """Takes a move down into the share of those that were obeyed. Upward a rack may simply want no more."""
    state.success[i] += 0.04 * ((1.0 if obeyed else 0.0) - state.success[i])


def rest(limits: Limits, state: State, i: int, least_w: float) -> None:
    """The least that is believed of a rack: one of its levels, not below what was given."""
    state.bottom_w[i] = max(limits.min_w[i], min(below(limits, i, least_w), 0.9 * limits.max_w[i]))


def settle(limits: Limits, state: State, i: int, measured_w: float) -> None:
    """The end of an excursion: where a lowered rack stands still above its set point is its least, as a set point.

    What it draws less than asked is its step, where it moves in some.
    """
    width_w = limits.max_w[i]
    asked_w = state.applied_w[i]
    over_w = measured_w - asked_w
    takes_w = measured_w / state.gain[i]
    if state.excursion[i] == EXCURSION_DOWN:
        still = abs(measured_w - state.seen_w[i]) <= 0.01 * width_w
        bottom_w = state.bottom_w[i]
        if takes_w - asked_w > 0.03 * width_w and still:
            rest(limits, state, i, bottom_w + 0.5 * max(0.0, takes_w - bottom_w))
        elif asked_w <= bottom_w and takes_w - asked_w <= 0.02 * width_w:
            # It went there, perhaps it goes lower now: that is tried in small parts.
            rest(limits, state, i, bottom_w - max(0.02 * width_w, limits.quantum_w[i]))
        if over_w <= 0.0:
            short_w = -over_w
            state.step_w[i] = max(short_w, state.step_w[i] - 0.02 * (state.step_w[i] - short_w))
            state.error_w[i] += 0.1 * (over_w - state.error_w[i])
    else:
        state.error_w[i] += 0.1 * (min(0.0, over_w) - state.error_w[i])
    state.excursion[i] = EXCURSION_NONE


def take(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """A new reading of a rack; `seen_w` and `seen_ns` still hold the one before."""
    measured_w = inputs.value[limits.power_slot[i]]
    at_ns = inputs.at_ns[limits.power_slot[i]]
    takes_w = measured_w / state.gain[i]
    if takes_w < state.bottom_w[i] - 0.01 * limits.max_w[i] and state.bottom_w[i] > limits.min_w[i]:
        rest(limits, state, i, takes_w)
    if state.excursion[i] == EXCURSION_NONE:
        return
    if inputs.rack_state[i] != AVAILABLE:
        if state.led_ns[i] != 0 and not state.passed[i] and state.excursion[i] == EXCURSION_DOWN:
            judge(state, i, False)
        state.excursion[i] = EXCURSION_NONE
        return
    down = state.excursion[i] == EXCURSION_DOWN
    if state.passed[i]:
        slope(limits, state, i, measured_w, at_ns)
    elif state.led_ns[i] != 0 and (measured_w < state.mark_w[i] if down else measured_w > state.mark_w[i]):
        state.passed[i] = 1
        state.before_ns[i] = state.seen_ns[i]
        state.after_ns[i] = at_ns
        state.after_w[i] = measured_w
        if down:
            judge(state, i, True)
    quiet_s = (at_ns - state.moved_ns[i]) * 1e-9 - 2.0 * state.gap_ns[i] * 1e-9
    if quiet_s < 1.0:
        # Whatever its way and its dead time.
        return
    period_s = limits.site.period_ns * 1e-9
    way_w = abs(state.start_w[i] - state.applied_w[i])
    way_s = way_w / (state.down_w_per_s[i] if down else state.up_w_per_s[i])
    dead_s = (state.dead_down[i] if down else state.dead_up[i]) * period_s
    if quiet_s < dead_s + 1.5 * way_s + 1.0:
        return
    if state.passed[i] and state.seen_ns[i] <= state.after_ns[i]:
        # It passed only now: how fast shows in the next reading, or its slope would be taken for dead time.
        return
    if state.passed[i]:
        dead(limits, state, i)
        settle(limits, state, i, measured_w)
    elif state.led_ns[i] == 0 or not down:
        state.excursion[i] = EXCURSION_NONE
    elif quiet_s > 2.0 * dead_s + 3.0 * way_s + 3.0:
        # One that stood near its least may have had nothing to give.
        if state.start_w[i] > state.bottom_w[i] + 0.1 * limits.max_w[i]:
            judge(state, i, False)
        state.excursion[i] = EXCURSION_NONE
