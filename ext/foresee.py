# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Where the purchase goes in the coming fifteen seconds, as far as it is known now: its mean slope in that time.

From what the racks draw by the model, for noise is no slope and what set points have not brought yet is to come, to
where reference, regulation and response lead, as late as racks follow these; no lower than the racks' least and no
higher than their most, which go on as the rest of the load has drifted. Commands, leases and signals are held to last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.beside import bounded, quickest, regulable, regulate
    from rampd.ext.codes import ESTOP, WINDOW_SLOTS
    from rampd.ext.ramp import on_its_way
    from rampd.ext.window import leave
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def along(state: State, seconds: float) -> float:
    """How far an S-curve brings the reference in so many seconds, W; after its end what was held back follows."""
    before = min(1.0, state.curve_at_s / state.curve_s)
    at_s = state.curve_at_s + seconds
    after = min(1.0, at_s / state.curve_s)
    rise = after * after * (3.0 - 2.0 * after) - before * before * (3.0 - 2.0 * before)
    return abs(state.goal_w - state.from_w) * rise + state.rate_w_per_s * max(0.0, at_s - state.curve_s)


def moves(limits: Limits, state: State, seconds: float, dt_s: float) -> float:
    """How far the reference moves in so many seconds, W: as it does now, never beyond where it is heading."""
    left_w = state.heading_w - state.reference_w
    up = left_w > 0.0
    if state.pace_w <= 0.0:
        return 0.0
    way_w = state.pace_w * seconds / dt_s
    if state.curve_s > 0.0 and on_its_way(state):
        way_w = along(state, seconds)
    way_w = leave(limits, state, way_w, seconds, up)
    return min(way_w, left_w) if up else -min(way_w, -left_w)


def drift(state: State) -> float:
    """By how much the rest of the load goes on, W/s: what it did through each quarter of the last twelve seconds.

    The least of the three differences: a step, or a swing, goes on in none of them.
    """
    slope_w = 0.0
    newer_w = 0.0
    for part in range(4):
        sum_w = 0.0
        for back in range(3 * part, 3 * part + 3):
            k = (state.noise_at + WINDOW_SLOTS - back) % WINDOW_SLOTS
            sum_w += 0.5 * (state.noise_low_w[k] + state.noise_high_w[k])
        mean_w = sum_w / 3.0
        by_w = newer_w - mean_w
        if part == 1:
            slope_w = by_w
        elif part > 1:
            slope_w = min(max(by_w, 0.0), slope_w) if slope_w > 0.0 else max(min(by_w, 0.0), slope_w)
        newer_w = mean_w
    return slope_w / 3.0


def leads(limits: Limits, state: State, seconds: float, dt_s: float) -> float:
    """Where reference, regulation and response lead in so many seconds; W, nowhere but to zero during a stop."""
    site = limits.site
    if state.verb == ESTOP:
        return 0.0
    by_w = moves(limits, state, seconds, dt_s)
    at_w = state.reference_w + by_w
    at_w += regulable(limits, state, regulate(limits, state, by_w, seconds), at_w)
    return at_w + bounded(state.droop_w, at_w, site.min_w, site.import_w)


def foresee(limits: Limits, state: State, dt_s: float) -> None:
    """Sets `coming_w_per_s`. During a fault all but a stop holds; behind an open breaker nothing is purchased."""
    site = limits.site
    state.coming_w_per_s = 0.0
    if state.parted or (state.fault_hold and state.verb != ESTOP):
        return
    ahead_s = 15.0
    lag_s = site.bridge_ticks * site.period_ns * 1e-9
    to_w = leads(limits, state, max(1.0, ahead_s - lag_s), dt_s)
    # Racks that were not looked at yet bound nothing.
    if state.most_w != 0.0:
        drifts_w = ahead_s * drift(state) if state.meter_good else 0.0
        most_w = min(state.most_w + drifts_w, max(state.most_w, site.import_w - state.surge_w))
        to_w = max(min(to_w, most_w), state.least_w + drifts_w)
    left_w = to_w - (1.0 + site.loss_ratio) * state.model_w - state.disturbance_w
    # Half a step that nobody can make up for is let stand.
    if abs(left_w) <= 0.6 * state.grain_w:
        return
    # What the racks are behind by, they make up for upward no faster than they may rise.
    state.coming_w_per_s = min(left_w / ahead_s, 1.2 * quickest(limits, state))
