# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks whose jobs swing between computing and waiting, and the standing caps that bound what the site shows of it.

Feedback cannot follow 0.2 to 3 Hz; a cap can cut the peaks. A rack swings when its cap left it slack twice within
fifteen seconds and bound it in between, and is held to do so for half an hour more: under its cap it cannot be seen.
One pause of a job is none. The caps stand between its troughs and its most, at a share that the peak to peak of the
whole site in fifteen seconds decides; other racks take over what that leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import DISPATCHED, ENDLESS, SECOND_NS, WHY_SWING
    from rampd.ext.levels import below
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def watch(limits: Limits, state: State, i: int, measured_w: float, sure_w: float) -> bool:
    """Takes a reading of a rack into account, that could be `sure_w` for certain; whether it swings."""
    width_w = limits.max_w[i]
    now_ns = state.now_ns
    recent_ns = now_ns - 15 * SECOND_NS
    again = False
    if measured_w >= state.cap_w[i] - 0.03 * width_w:
        # Below a cap of next to nothing there is no trough.
        if state.cap_w[i] > 0.08 * width_w:
            state.bound_ns[i] = now_ns
    elif measured_w < sure_w - 0.08 * width_w:
        again = 0 < recent_ns <= state.slack_ns[i] < state.bound_ns[i]
        if now_ns - state.slack_ns[i] > 15 * SECOND_NS or state.slack_ns[i] == 0:
            state.low_w[i] = measured_w
        state.slack_ns[i] = now_ns
        # The lowest trough, forgotten within a minute or so.
        if measured_w < state.low_w[i]:
            state.low_w[i] = measured_w
        else:
            state.low_w[i] += 0.01 * (measured_w - state.low_w[i])
    if state.bound_ns[i] < recent_ns or now_ns - state.slack_ns[i] > 1800 * SECOND_NS:
        state.swings[i] = 0
    elif again:
        state.swings[i] = 1
    return state.swings[i] != 0


def allowed(limits: Limits, state: State) -> float:
    """Peak to peak in fifteen seconds that is let stand: what the envelope's windows leave, less when dispatched."""
    most_w = ENDLESS
    if state.envelope == DISPATCHED:
        most_w = limits.site.quiet_w
    for w in range(limits.site.windows):
        if limits.window_envelope[w] == state.envelope:
            most_w = min(most_w, 0.9 * min(limits.window_up_w[w], limits.window_down_w[w]))
    return most_w


def reached(limits: Limits, state: State) -> float:
    """Where the bounds of the racks that swing stand between trough and most: after a standstill below their caps."""
    stand_w = 0.0
    range_w = 0.0
    for i in range(limits.site.racks):
        if state.swings[i]:
            low_w = min(state.low_w[i], limits.max_w[i])
            stand_w += max(0.0, state.hi_w[i] - low_w)
            range_w += limits.max_w[i] - low_w
    return stand_w / range_w if range_w > 0.0 else 1.0


def any_swings(limits: Limits, state: State) -> bool:
    """Whether any rack does."""
    found = 0
    for i in range(limits.site.racks):
        found |= state.swings[i]
    return found != 0


def decide(limits: Limits, state: State) -> None:
    """Sets the share at which the caps stand; after each change it waits until the noise shows what it did.

    Noise while no rack swings is nothing that caps could lower.
    """
    since_ns = state.now_ns - state.ballast_ns
    if state.ballast_ns == 0:
        state.ballast = 1.0
        state.ballast_ns = state.now_ns
    elif not any_swings(limits, state):
        state.ballast = 1.0
    elif since_ns >= 17 * SECOND_NS:
        most_w = allowed(limits, state)
        if state.noise_w > most_w:
            state.ballast = max(0.02, 0.95 * min(state.ballast, reached(limits, state)) * most_w / state.noise_w)
            state.ballast_ns = state.now_ns
        elif state.noise_w < 0.7 * most_w and state.ballast < 1.0:
            state.ballast = min(1.0, 1.1 * state.ballast)
            state.ballast_ns = state.now_ns


def standing(limits: Limits, state: State, total_w: float) -> None:
    """Lowers the bounds of racks that swing to their standing caps; under a command as far as others take over soon."""
    decide(limits, state)
    if state.ballast >= 1.0:
        return
    most_w = 0.0
    given_w = 0.0
    for i in range(limits.site.racks):
        most_w += min(state.hi_w[i], soon(limits, state, i)) if state.slow[i] else state.hi_w[i]
        if state.swings[i]:
            given_w += max(0.0, state.hi_w[i] - cap(limits, state, i))
    if given_w <= 0.0:
        return
    part = min(1.0, max(0.0, most_w - total_w) / given_w) if state.envelope == DISPATCHED else 1.0
    for i in range(limits.site.racks):
        if state.swings[i]:
            lower_w = part * max(0.0, state.hi_w[i] - cap(limits, state, i))
            if lower_w > 0.0:
                # Down to a level: what lies above it could not be given, and others would not be given it either.
                state.hi_w[i] = max(state.lo_w[i], below(limits, i, state.hi_w[i] - lower_w))
                state.head_w[i] = 0.0
                state.bound_why[i] = WHY_SWING


def soon(limits: Limits, state: State, i: int) -> float:
    """What a slow rack can be drawing within fifteen seconds."""
    time_s = 15.0 - state.dead_up[i] * limits.site.period_ns * 1e-9
    return state.power_w[i] + max(0.0, time_s) * state.up_w_per_s[i]


def cap(limits: Limits, state: State, i: int) -> float:
    """The standing cap of a rack that swings."""
    low_w = min(state.low_w[i], limits.max_w[i])
    return max(state.lo_w[i], low_w + state.ballast * (limits.max_w[i] - low_w))
