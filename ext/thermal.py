# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the cooling carries: each loop's cap on the sum of its racks, from its own measurements.

Q = rho * cp * flow * (return limit - supply): what the present flow takes away before the return is too hot. Between
the derate and the trip temperature the cap falls linearly to the racks' least. Who gets how much of it is said by the
allocation: the most protected tier keeps most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ACT_DERATE, ACT_NO_RAISE, ACT_SAFE, ENDLESS
    from rampd.ext.failsafe import fresh
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


def allow(inputs: Inputs, limits: Limits, state: State) -> None:
    """Sets what the racks of each loop may come to in sum; `tight` says whether that is less than they can take."""
    state.tight = 0
    if ample(limits, state):
        return
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
        state.loop_flow_w[loop] = 0.0
        state.loop_slope_w[loop] = 0.0
    for i in range(limits.site.racks):
        loop = limits.loop[i]
        state.loop_load_w[loop] += bounded(limits, state, i)
        state.loop_flow_w[loop] += state.lo_w[i]
        state.loop_slope_w[loop] += state.hi_w[i] - state.lo_w[i]
    for loop in range(limits.site.loops):
        floor_w = state.loop_flow_w[loop]
        cap_w = state.loop_w[loop]
        if state.loop_action[loop] == ACT_DERATE:
            # Of what they want, not of what they have: that falls.
            cap_w = min(cap_w, floor_w + derated(inputs, limits, loop) * state.loop_slope_w[loop])
        state.loop_cap_w[loop] = cap_w
        if state.loop_load_w[loop] > cap_w:
            state.tight = 1
    if state.tight:
        relieve(limits, state)
        spare(limits, state)


def relieve(limits: Limits, state: State) -> None:
    """What the flow no longer carries ends the minimum times of the racks on a loop."""
    for i in range(limits.site.racks):
        loop = limits.loop[i]
        if state.now_ns < state.free_ns[i] and state.loop_flow_w[loop] > state.loop_w[loop]:
            stir(state, i)
            state.lo_w[i] = min(state.lo_w[i], limits.min_w[i])


def spare(limits: Limits, state: State) -> None:
    """Sets which part of what its racks would draw more each loop carries at once."""
    for loop in range(limits.site.loops):
        state.loop_load_w[loop] = 0.0
        state.loop_flow_w[loop] = 0.0
    for i in range(limits.site.racks):
        loop = limits.loop[i]
        state.loop_load_w[loop] += state.power_w[i]
        if state.action[i] < ACT_NO_RAISE:
            state.loop_flow_w[loop] += max(0.0, min(limits.max_w[i], state.demand_w[i]) - state.power_w[i])
    for loop in range(limits.site.loops):
        room_w = max(0.0, state.loop_cap_w[loop] - state.loop_load_w[loop])
        more_w = state.loop_flow_w[loop]
        state.loop_more[loop] = room_w / more_w if more_w > room_w else 1.0
