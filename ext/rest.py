# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks that rest between two changes, by their minimum times and by what is left of their budgets of changes.

`free_ns` says until when, `worn_ns` what was spent of the budget; safety ends a rest, a restart does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import ACT_DERATE, ACT_NO_RAISE, EMERGENCY, ESTOP, WHY_REST
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def recall(inputs: Inputs, limits: Limits, state: State) -> None:
    """At the first tick: which racks rested before a restart."""
    for i in range(limits.site.racks):
        state.free_ns[i] = inputs.free_ns[i]
        state.worn_ns[i] = inputs.worn_ns[i]
    state.rests += 1


def rest(limits: Limits, state: State, i: int, risen: bool) -> None:
    """A stepped rack has changed: until when it stays, by its minimum time and by what is left of its budget.

    A change costs `wear_ns` of a budget that refills with time and holds `budget_ns`.
    """
    now_ns = state.now_ns
    state.free_ns[i] = now_ns + (limits.on_ns[i] if risen else limits.off_ns[i])
    if limits.wear_ns[i] > 0:
        state.worn_ns[i] = max(state.worn_ns[i], now_ns) + limits.wear_ns[i]
        state.free_ns[i] = max(state.free_ns[i], state.worn_ns[i] + limits.wear_ns[i] - limits.budget_ns[i])
    state.rests += 1


def stir(state: State, i: int) -> None:
    """Safety does not wait for a rack that rests."""
    if state.free_ns[i] != 0:
        state.free_ns[i] = 0
        state.rests += 1


def rests(limits: Limits, state: State) -> None:
    """Racks with minimum times or a budget of changes: one that rests stays, one that does not goes all the way."""
    for k in range(limits.stepped_first[limits.site.tiers]):
        i = limits.stepped[k]
        if state.now_ns < state.free_ns[i]:
            stay(limits, state, i)
        if limits.on_ns[i] + limits.off_ns[i] > 0:
            # It changes once and then rests, so it goes at once.
            state.floor_w[i] = 0.0
            if state.action[i] < ACT_NO_RAISE:
                state.reach_w[i] = limits.max_w[i]


def stay(limits: Limits, state: State, i: int) -> None:
    """A rack whose minimum time has not passed stays where it is; safety ends that time where it has to fall."""
    safe = state.action[i] >= ACT_DERATE or state.verb == ESTOP or state.envelope == EMERGENCY
    if safe and state.applied_w[i] > limits.min_w[i]:
        stir(state, i)
    elif state.ours[i] and state.lo_w[i] < state.hi_w[i]:
        state.lo_w[i] = max(state.lo_w[i], min(state.applied_w[i], state.hi_w[i]))
        state.hi_w[i] = state.lo_w[i]
        state.bound_why[i] = WHY_REST
