# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the cooling carries: each loop's cap on the sum of its racks, from its own measurements.

Q = rho * cp * flow * (return limit - supply): what the present flow takes away before the return is too hot. Between
the derate and the trip temperature the cap falls linearly to the racks' least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ACT_DERATE, ACT_NO_RAISE, ACT_SAFE, ENDLESS, WHY_COOLING
    from rampd.ext.failsafe import fresh
    from rampd.ext.levels import above, below, in_steps
    from rampd.ext.rest import stir
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def capacity(inputs: Inputs, limits: Limits, loop: int) -> float:
    """Heat in W that the present flow of a loop carries: water at 40 degC, 992 kg/m3 and 4179 J/(kg K)."""
    per_lpm_k = 992.0 * 4179.0 / 60_000.0
    rise_c = limits.return_c[loop] - inputs.value[limits.supply_slot[loop]]
    return max(0.0, per_lpm_k * inputs.value[limits.flow_slot[loop]] * rise_c)


def caps(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Sets each loop's cap. One whose supply or flow is stale keeps its last cap; its racks do not rise meanwhile."""
    stale_ns = limits.site.loop_stale_ns
    for loop in range(limits.site.loops):
        if state.tick <= 1:
            state.loop_w[loop] = ENDLESS
        warm = fresh(inputs, limits.supply_slot[loop], stale_ns, now_ns)
        if warm and fresh(inputs, limits.flow_slot[loop], stale_ns, now_ns):
            state.loop_w[loop] = capacity(inputs, limits, loop)


def bounded(limits: Limits, state: State, i: int) -> float:
    """The most that a rack can take of what its loop carries: one that may not rise no more than it has."""
    if ACT_NO_RAISE <= state.action[i] < ACT_SAFE:
        return min(state.hi_w[i], max(state.applied_w[i], state.lo_w[i]))
    return state.hi_w[i]


def derated(inputs: Inputs, limits: Limits, loop: int) -> float:
    """What a loop's supply temperature leaves of its racks' range: all at derate, nothing at trip."""
    supply_c = inputs.value[limits.supply_slot[loop]]
    return max(0.0, (limits.trip_c[loop] - supply_c) / (limits.trip_c[loop] - limits.derate_c[loop]))


def ample(limits: Limits, state: State) -> bool:
    """Whether no loop is too warm and each carries all that its racks can take, whatever their bounds."""
    for loop in range(limits.site.loops):
        if limits.loop_max_w[loop] > state.loop_w[loop] or state.loop_action[loop] == ACT_DERATE:
            return False
    return True


def carried(limits: Limits, state: State) -> bool:
    """Whether no loop is too warm and each carries the upper bounds of all its racks, the most that they could take."""
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
    for i in range(limits.site.racks):
        state.loop_load_w[limits.loop[i]] += state.hi_w[i]
    for loop in range(limits.site.loops):
        if state.loop_load_w[loop] > state.loop_w[loop] or state.loop_action[loop] == ACT_DERATE:
            return False
    return True


def narrow(inputs: Inputs, limits: Limits, state: State) -> None:
    """Lowers the racks' upper bounds so that no loop's sum exceeds its cap, each by the same share of its range.

    Stepped racks get whole levels of it.
    """
    if ample(limits, state) or carried(limits, state):
        return
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
        state.loop_floor_w[loop] = 0.0
    for i in range(limits.site.racks):
        state.loop_load_w[limits.loop[i]] += bounded(limits, state, i)
        state.loop_floor_w[limits.loop[i]] += state.lo_w[i]
    narrowed = 0
    for loop in range(limits.site.loops):
        floor_w = state.loop_floor_w[loop]
        span_w = state.loop_load_w[loop] - floor_w
        part = 1.0
        if span_w > 0.0 and state.loop_load_w[loop] > state.loop_w[loop]:
            part = max(0.0, (state.loop_w[loop] - floor_w) / span_w)
        state.loop_part[loop] = part
        state.loop_load_w[loop] = 0.0
        if part < 1.0 or floor_w > state.loop_w[loop] or state.loop_action[loop] == ACT_DERATE:
            narrowed += 1
    if narrowed == 0:
        return
    for i in range(limits.site.racks):
        if state.now_ns < state.free_ns[i] and state.loop_floor_w[limits.loop[i]] > state.loop_w[limits.loop[i]]:
            # What the flow no longer carries ends a rack's minimum time.
            stir(state, i)
            state.lo_w[i] = min(state.lo_w[i], limits.min_w[i])
        lower(inputs, limits, state, i)
    for tier in range(limits.site.tiers):
        deal(limits, state, tier, True)
        deal(limits, state, tier, False)


def lower(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """Lowers the upper bound of one rack to its part of what the loop carries, and by the loop's temperature."""
    loop = limits.loop[i]
    lo_w = state.lo_w[i]
    most_w = state.hi_w[i]
    hi_w = most_w
    state.next_w[i] = 0.0
    if most_w <= lo_w:
        return
    if state.loop_part[loop] < 1.0:
        hi_w = lo_w + state.loop_part[loop] * (bounded(limits, state, i) - lo_w)
    if state.loop_action[loop] == ACT_DERATE:
        hi_w = min(hi_w, lo_w + derated(inputs, limits, loop) * (most_w - lo_w))
    if hi_w >= most_w:
        return
    most_w = bounded(limits, state, i)
    state.hi_w[i] = hi_w
    state.head_w[i] = 0.0
    state.bound_why[i] = WHY_COOLING
    if in_steps(limits, i):
        round_down(limits, state, i, most_w)


def round_down(limits: Limits, state: State, i: int, most_w: float) -> None:
    """Takes a stepped rack's upper bound down to a level; notes what that leaves its loop, and the level above."""
    whole_w = max(state.lo_w[i], below(limits, i, state.hi_w[i]))
    next_w = above(limits, i, whole_w)
    state.loop_load_w[limits.loop[i]] += state.hi_w[i] - whole_w
    state.hi_w[i] = whole_w
    if next_w <= most_w * (1.0 + 1e-12):
        state.next_w[i] = next_w


def deal(limits: Limits, state: State, tier: int, held: bool) -> None:
    """What rounding left of a loop's capacity, as whole levels: to racks of a tier that have them already, or do not.

    Else no rack of a loop could ever take its first step while the flow carries less than one step of each.
    """
    for k in range(limits.stepped_first[tier], limits.stepped_first[tier + 1]):
        i = limits.stepped[k]
        gap_w = state.next_w[i] - state.hi_w[i]
        has_it = state.applied_w[i] >= state.next_w[i] - 0.01 * gap_w
        if state.next_w[i] > 0.0 and has_it == held and gap_w <= state.loop_load_w[limits.loop[i]]:
            state.loop_load_w[limits.loop[i]] -= gap_w
            state.hi_w[i] = state.next_w[i]
