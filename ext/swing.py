# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the purchase swings by, and whether the feedback swings it.

Band power is that between 0.1 Hz and 0.4 times the rate at which the meter truly refreshes, peak to peak that of five
seconds. Where the disturbance that the target makes up for turns round again and again, in equal times that fit the
loop's own delay and without dying out, the feedback is held to swing by itself: it is slowed by half until that ends,
and comes back after ten quiet minutes. What still swings at an eighth comes from elsewhere, and the feedback is let be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import sqrt

    from rampd.ext.codes import R_SWING, SECOND_NS, WINDOW_SLOTS
    from rampd.ext.ladder import hold
    from rampd.ext.window import loose
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def extent(state: State, value_w: float, at_ns: int) -> None:
    """Peak to peak of the last five seconds, kept in slots of a third of a second."""
    at = 3 * at_ns // SECOND_NS
    if state.swing_at == 0 or at - state.swing_at > WINDOW_SLOTS:
        state.swing_at = at - WINDOW_SLOTS
    while state.swing_at < at:
        state.swing_at += 1
        state.swing_low_w[state.swing_at % WINDOW_SLOTS] = value_w
        state.swing_high_w[state.swing_at % WINDOW_SLOTS] = value_w
    k = at % WINDOW_SLOTS
    state.swing_low_w[k] = min(state.swing_low_w[k], value_w)
    state.swing_high_w[k] = max(state.swing_high_w[k], value_w)
    low_w = value_w
    high_w = value_w
    for k in range(WINDOW_SLOTS):
        low_w = min(low_w, state.swing_low_w[k])
        high_w = max(high_w, state.swing_high_w[k])
    state.swing_w = high_w - low_w


def band(state: State, value_w: float, since_s: float) -> None:
    """Root mean square within the band, over ten seconds or so: a high pass, a low pass, a mean of squares."""
    state.drift_w += (value_w - state.drift_w) * since_s / (1.592 + since_s)
    corner_s = 0.398 * state.refresh_s
    state.fast_w += (value_w - state.drift_w - state.fast_w) * since_s / (corner_s + since_s)
    state.band_var += (state.fast_w * state.fast_w - state.band_var) * since_s / (10.0 + since_s)
    state.band_w = sqrt(max(0.0, state.band_var))


def turned(limits: Limits, state: State) -> bool:
    """Whether the feedback has just turned round by more than noise and steps explain, in keeping with the last time.

    Half a period of a loop is twice its delay, whatever that is today; above twelve seconds nothing is too late.
    """
    away_w = state.disturbance_w - state.calm_w
    loose_w = max(0.004 * limits.site.max_w, 1.2 * state.grain_w)
    state.turn_w = max(state.turn_w, abs(away_w))
    side = 0
    if away_w > loose_w:
        side = 1
    elif away_w < -loose_w:
        side = -1
    if side == 0 or side == state.turn_side:
        return False
    half_ns = state.now_ns - state.turn_ns
    regular = (
        1.2e9 * limits.site.feedback_s <= half_ns <= 12e9 * state.detune
        and 5 * half_ns >= 3 * state.turn_half_ns
        and 3 * half_ns <= 5 * state.turn_half_ns
        and state.turn_w >= 0.6 * state.turn_before_w
    )
    state.turns = state.turns + 1 if regular else 0
    state.turn_side = side
    state.turn_ns = state.now_ns
    state.turn_half_ns = half_ns
    state.turn_before_w = state.turn_w
    state.turn_w = 0.0
    return state.turns >= 5


def tune(limits: Limits, state: State) -> None:
    """Slows the feedback while it swings by itself, and brings it back slowly."""
    quiet_ns = state.now_ns - state.detune_ns
    if turned(limits, state):
        state.turns = 0
        if state.detune >= 8.0:
            # Not even an eighth of the feedback changes it.
            state.detune = 1.0
            state.foreign_ns = state.now_ns
        elif state.foreign_ns == 0 or state.now_ns - state.foreign_ns > 600 * SECOND_NS:
            state.detune = 2.0 * state.detune
        state.detune_ns = state.now_ns
    elif state.detune > 1.0 and quiet_ns > 600 * SECOND_NS:
        state.detune = max(1.0, 0.5 * state.detune)
        state.detune_ns = state.now_ns


def swing(inputs: Inputs, limits: Limits, state: State) -> None:
    """Takes a new reading of the meter; the reason of the failsafe table that it gives is judged here as well."""
    at_ns = inputs.at_ns[limits.site.power_slot]
    value_w = state.meter_w
    # A reading that the model did not judge says nothing.
    if not state.meter_good or not state.started or at_ns == state.swing_ns or at_ns != state.meter_at_ns:
        return
    since_s = (at_ns - state.swing_ns) * 1e-9
    if state.swing_ns == 0 or since_s < 0.0 or since_s > 2.0:
        state.drift_w = value_w
        state.fast_w = 0.0
        state.changed_ns = at_ns
        since_s = 0.0
    elif value_w != state.swing_seen_w:
        # A meter that is read more often than it refreshes repeats itself.
        gap_s = min((at_ns - state.changed_ns) * 1e-9, 60.0)
        state.refresh_s = gap_s if state.refresh_s == 0.0 else state.refresh_s + 0.05 * (gap_s - state.refresh_s)
        state.changed_ns = at_ns
    state.swing_ns = at_ns
    state.swing_seen_w = value_w
    extent(state, value_w, at_ns)
    if since_s > 0.0:
        band(state, value_w, since_s)
    # A ramp of ours moves the purchase as well, and the model with it.
    limit_w = limits.site.swing_limit_w
    wild = limit_w > 0.0 and state.swing_w > limit_w and loose(state) > limit_w
    hold(limits, state, 0, R_SWING, wild, state.now_ns)
    tune(limits, state)
