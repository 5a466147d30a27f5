# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks that move in whole steps (miners on or off): the shares rounded so that the sum stays right.

Every share is rounded down; the steps left over go back one by one, first to racks that already have them, so that
a target between two steps moves one rack and not all. A step is given only where every node above has room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import floor

    from rampd.ext.allocate import load
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def room(limits: Limits, state: State, i: int, by_w: float) -> bool:
    """Whether every node above a rack carries so much more."""
    v = limits.node[i]
    while v >= 0:
        if state.used_w[v] + by_w > limits.node_w[v] - state.reserve_w[v]:
            return False
        v = limits.node_parent[v]
    return True


def give(limits: Limits, state: State, i: int, by_w: float) -> None:
    """Adds a step to a rack and to the nodes above it."""
    state.share_w[i] += by_w
    v = limits.node[i]
    while v >= 0:
        state.used_w[v] += by_w
        v = limits.node_parent[v]


def quantise(limits: Limits, state: State) -> None:
    """Rounds `share_w` of stepped racks; sets `grain_w`, the step that no continuous rack can make up for."""
    spare_w = 0.0
    grain_w = 0.0
    smooth = False
    for i in range(limits.site.racks):
        step_w = limits.quantum_w[i]
        if not state.lo_w[i] < state.hi_w[i]:
            continue
        if step_w <= 0.0:
            smooth = smooth or state.lo_w[i] < state.share_w[i] < state.hi_w[i]
            continue
        if state.head_w[i] > 0.0 and state.share_w[i] >= state.hi_w[i]:
            # It has all it wants: its set point stands above that, see step.move.
            continue
        whole_w = step_w * floor(state.share_w[i] / step_w + 1e-6)
        if whole_w < state.lo_w[i]:
            continue
        spare_w += state.share_w[i] - whole_w
        state.share_w[i] = whole_w
        state.floor_w[i] = whole_w
        grain_w = max(grain_w, step_w)
    state.grain_w = 0.0 if smooth else grain_w
    if grain_w == 0.0:
        return
    load(limits, state, state.share_w)
    for turn in range(2):
        for i in range(limits.site.racks):
            step_w = limits.quantum_w[i]
            if step_w <= 0.0 or spare_w < 0.5 * step_w or not state.lo_w[i] < state.hi_w[i]:
                continue
            raised_w = state.share_w[i] + step_w
            has_it = state.applied_w[i] >= raised_w - 0.01 * step_w
            if (turn == 0) != has_it or raised_w > state.hi_w[i] * (1.0 + 1e-9):
                continue
            if state.share_w[i] != state.floor_w[i] or (state.head_w[i] > 0.0 and state.share_w[i] >= state.hi_w[i]):
                continue
            if raised_w > state.reach_w[i] or not room(limits, state, i, step_w):
                continue
            give(limits, state, i, step_w)
            spare_w -= step_w
