# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Rolling windows: how far the reference may have moved within any so many seconds, and what the load's noise leaves.

A window is kept as the least and the most of sixteen slots, fifteen of which make its length: it errs on the safe side
by one slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ENDLESS, NORMAL, SECOND_NS, WINDOW_SLOTS
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def note(limits: Limits, state: State, now_ns: int) -> None:
    """Takes the present reference into every window."""
    for w in range(limits.site.windows):
        at = now_ns // (limits.window_ns[w] // (WINDOW_SLOTS - 1))
        base = w * WINDOW_SLOTS
        if state.window_at[w] == 0 or at - state.window_at[w] > WINDOW_SLOTS:
            state.window_at[w] = at - WINDOW_SLOTS
        while state.window_at[w] < at:
            state.window_at[w] += 1
            k = base + state.window_at[w] % WINDOW_SLOTS
            state.window_low_w[k] = state.reference_w
            state.window_high_w[k] = state.reference_w
        k = base + at % WINDOW_SLOTS
        state.window_low_w[k] = min(state.window_low_w[k], state.reference_w)
        state.window_high_w[k] = max(state.window_high_w[k], state.reference_w)


def binds(limits: Limits, state: State, w: int) -> bool:
    """Whether a window of some envelope binds: of the present one, or of the normal one where nobody asked for a rise.

    What comes back after an emergency, or to a way that it was thrown off, was dispatched by no command.
    """
    if state.window_at[w] == 0:
        return False
    return limits.window_envelope[w] == state.envelope or (limits.window_envelope[w] == NORMAL and state.astray != 0)


def highest(limits: Limits, state: State) -> float:
    """How high the present envelope's windows let the reference go now; never below where it is."""
    most_w = ENDLESS
    for w in range(limits.site.windows):
        if binds(limits, state, w):
            low_w = state.window_low_w[w * WINDOW_SLOTS]
            for k in range(WINDOW_SLOTS):
                low_w = min(low_w, state.window_low_w[w * WINDOW_SLOTS + k])
            most_w = min(most_w, low_w + limits.window_up_w[w])
    return max(most_w, state.reference_w)


def lowest(limits: Limits, state: State) -> float:
    """How low the present envelope's windows let the reference go now; never above where it is."""
    least_w = -ENDLESS
    for w in range(limits.site.windows):
        if binds(limits, state, w):
            high_w = state.window_high_w[w * WINDOW_SLOTS]
            for k in range(WINDOW_SLOTS):
                high_w = max(high_w, state.window_high_w[w * WINDOW_SLOTS + k])
            least_w = max(least_w, high_w - limits.window_down_w[w])
    return min(least_w, state.reference_w)


def leave(limits: Limits, state: State, way_w: float, ahead_s: float, up: bool) -> float:
    """What the present envelope's windows leave of a way that the reference would go evenly in so many seconds, W.

    Where they hold it, it goes on when what holds it is older than the window.
    """
    for w in range(limits.site.windows):
        if not binds(limits, state, w):
            continue
        slot_ns = limits.window_ns[w] // (WINDOW_SLOTS - 1)
        room_w = limits.window_up_w[w] if up else limits.window_down_w[w]
        pace_w_per_s = way_w / ahead_s
        moved_w = 0.0
        for back in range(WINDOW_SLOTS):
            at = state.window_at[w] - back
            k = w * WINDOW_SLOTS + at % WINDOW_SLOTS
            by_w = state.reference_w - state.window_low_w[k] if up else state.window_high_w[k] - state.reference_w
            moved_w = max(moved_w, by_w)
            after_s = max(0.0, ahead_s - ((at + WINDOW_SLOTS) * slot_ns - state.now_ns) * 1e-9)
            way_w = min(way_w, max(0.0, room_w - moved_w) + pace_w_per_s * after_s)
    return way_w


def noise(state: State, residual_w: float, beside_w: float, now_ns: int) -> None:
    """Takes what the model does not explain into its peak to peak of fifteen seconds, and the most beside the racks.

    The second forgives what model and plant differ by in time: that is no load.
    """
    at = now_ns // SECOND_NS
    if state.noise_at == 0 or at - state.noise_at > WINDOW_SLOTS:
        state.noise_at = at - WINDOW_SLOTS
    while state.noise_at < at:
        state.noise_at += 1
        state.noise_low_w[state.noise_at % WINDOW_SLOTS] = residual_w
        state.noise_high_w[state.noise_at % WINDOW_SLOTS] = residual_w
        state.crest_w[state.noise_at % WINDOW_SLOTS] = beside_w
    k = at % WINDOW_SLOTS
    state.noise_low_w[k] = min(state.noise_low_w[k], residual_w)
    state.noise_high_w[k] = max(state.noise_high_w[k], residual_w)
    state.crest_w[k] = max(state.crest_w[k], beside_w)
    low_w = residual_w
    high_w = residual_w
    for k in range(WINDOW_SLOTS):
        low_w = min(low_w, state.noise_low_w[k])
        high_w = max(high_w, state.noise_high_w[k])
    state.noise_w = high_w - low_w


def crest(state: State) -> float:
    """The most beside the racks in fifteen seconds, W."""
    most_w = state.crest_w[0]
    for k in range(1, WINDOW_SLOTS):
        most_w = max(most_w, state.crest_w[k])
    return most_w


def swung(state: State, first: int, last: int) -> float:
    """Peak to peak of what the model does not explain from so many to so many seconds ago."""
    k = (state.noise_at + WINDOW_SLOTS - first) % WINDOW_SLOTS
    low_w = state.noise_low_w[k]
    high_w = state.noise_high_w[k]
    for back in range(first + 1, last + 1):
        k = (state.noise_at + WINDOW_SLOTS - back) % WINDOW_SLOTS
        low_w = min(low_w, state.noise_low_w[k])
        high_w = max(high_w, state.noise_high_w[k])
    return high_w - low_w


def loose(state: State) -> float:
    """Peak to peak of what the model does not explain within five seconds; it errs by one second on the safe side."""
    return swung(state, 0, 5)


def slope(limits: Limits, envelope: int, noise_w: float, up: bool) -> float:
    """The rate in W/s that an envelope's windows leave beside the load's noise: nine tenths of what it does not use."""
    most = ENDLESS
    for w in range(limits.site.windows):
        if limits.window_envelope[w] == envelope:
            room_w = (limits.window_up_w[w] if up else limits.window_down_w[w]) - noise_w
            most = min(most, 0.9 * max(0.0, room_w) / (limits.window_ns[w] * 1e-9))
    return most
