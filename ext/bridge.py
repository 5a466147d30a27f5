# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Racks that answer slowly start at once, towards what the reference will be when they answer; fast ones bridge them.

A slow rack is given its fair share of the reference at the end of its own dead time, so that it moves once and not with
every correction. What the slow ones will draw meanwhile is known from what they were given; the fast ones make up the
rest of the total, within what they can reach, and are given back as the slow ones arrive. They make way only as far as
they come back from in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import floor

    from rampd.ext.allocate import allocate, settle, total
    from rampd.ext.beside import given
    from rampd.ext.bounds import broken
    from rampd.ext.codes import ACT_NO_RAISE, LOOKS
    from rampd.ext.levels import above, below, changes_once, in_steps
if TYPE_CHECKING:
    from rampd.ext.views import Limits, State


def travelled(limits: Limits, state: State, ticks: int) -> float:
    """How far the reference will have gone in so many ticks; W, never beyond where it is heading."""
    return min(abs(state.heading_w - state.reference_w), state.pace_w * ticks)


def pressed(limits: Limits, state: State, i: int) -> bool:
    """Whether a rack must begin with the command: it answers late, or rises so slowly that it needs all the time."""
    return state.slow[i] != 0 or state.ahead_w[i] - state.applied_w[i] > 4.0 * state.up_w_per_s[i]


def ahead(limits: Limits, state: State, cap_w: float) -> None:
    """Replaces the shares of slow racks by those of the reference to come."""
    site = limits.site
    longest = 0
    for i in range(site.racks):
        if state.slow[i]:
            longest = max(longest, max(state.dead_up[i], state.dead_down[i]))
    span_w = travelled(limits, state, longest)
    end_w = state.reference_w + (span_w if state.heading_w > state.reference_w else -span_w)
    total_w = (end_w + given(limits, state, end_w) - state.calm_w) / state.through + state.idle_w
    total_w = max(0.0, min(total_w, cap_w))
    allocate(limits, state, state.lo_w, state.hi_w, total_w, state.ahead_w)
    take_over(limits, state, total_w)
    for i in range(site.racks):
        if state.slow[i]:
            down = state.ahead_w[i] < state.share_w[i]
            ticks = state.dead_down[i] if down else state.dead_up[i]
            part = travelled(limits, state, ticks) / span_w if span_w > 0.0 else 1.0
            state.share_w[i] += part * (state.ahead_w[i] - state.share_w[i])
        elif span_w > 0.0 and pressed(limits, state, i):
            state.share_w[i] = max(state.share_w[i], min(state.reach_w[i], state.hi_w[i]))


def take_over(limits: Limits, state: State, total_w: float) -> None:
    """What racks that may not rise cannot be given of a total to come, the others are given besides."""
    barred = False
    for i in range(limits.site.racks):
        near_w = state.ahead_w[i]
        far_w = state.hi_w[i]
        if state.action[i] >= ACT_NO_RAISE and near_w > state.reach_w[i]:
            near_w = max(state.reach_w[i], state.lo_w[i])
            far_w = near_w
            barred = True
        state.near_w[i] = near_w
        state.far_w[i] = far_w
    if not barred:
        return
    allocate(limits, state, state.near_w, state.far_w, total_w, state.near_w)
    for i in range(limits.site.racks):
        if state.ahead_w[i] <= state.far_w[i]:
            state.ahead_w[i] = state.near_w[i]


def look_back(limits: Limits, state: State) -> None:
    """Notes where in `past_w` the set points of so many ticks ago stand, for this tick.

    Those of this tick are not known yet: the ones before them stand for them.
    """
    racks = limits.site.racks
    history = limits.site.history
    row = state.tick % history
    for ago in range(history):
        state.past_first[ago] = (row - ago if row >= ago else row - ago + history) * racks
    state.past_first[0] = state.past_first[1]


def due(limits: Limits, state: State, i: int, up: int, down: int) -> float:
    """The set point that acts where a rise takes `up` ticks to arrive and a fall `down`.

    Where the directions differ it is the one after the shorter dead time, in that direction; and the turn in that
    direction that has arrived since, for the slower way back has not.
    """
    past_first = state.past_first
    past_w = state.past_w
    up_first = past_first[up]
    down_first = past_first[down]
    since = state.tick - state.edge_tick[i]
    # The edges stand as a row of their own after the past: which row counts is chosen without a branch.
    edge_first = limits.site.history * limits.site.racks
    if down <= up:
        edge_first = edge_first if since >= down else down_first
        edge_first = edge_first if since < up else down_first
        return min(min(past_w[up_first + i], past_w[down_first + i]), past_w[edge_first + i])
    edge_first = edge_first if since >= up else up_first
    edge_first = edge_first if since < down else up_first
    return max(max(past_w[up_first + i], past_w[down_first + i]), past_w[edge_first + i])


def acting(limits: Limits, state: State, first: int, end: int) -> None:
    """Sets `acts_w` of racks from `first` to before `end`: the set point that acts now."""
    for i in range(first, end):
        state.acts_w[i] = due(limits, state, i, state.dead_up[i], state.dead_down[i])


def turn(state: State, i: int) -> None:
    """Remembers where a rack was sent in the direction that it answers quicker to, unless it went farther lately."""
    edge_w = state.edge_w[i]
    now_w = state.applied_w[i]
    farther = now_w <= edge_w if state.dead_down[i] < state.dead_up[i] else now_w >= edge_w
    age = state.tick - state.edge_tick[i]
    if farther or age >= max(state.dead_up[i], state.dead_down[i]):
        state.edge_w[i] = now_w
        state.edge_tick[i] = state.tick


def pend(limits: Limits, state: State, i: int, before_w: float) -> None:
    """Remembers from where a rack was lowered that had not arrived there: it rises there until its fall acts.

    A second more for its readings to show it. The highest counts; while it wanders below that it is not kept longer.
    """
    on_its_way = state.applied_w[i] < before_w and state.cap_w[i] < before_w
    if on_its_way and (before_w >= state.pending_w[i] or state.tick >= state.pending_tick[i]):
        state.pending_w[i] = before_w
        state.pending_tick[i] = state.tick + state.dead_down[i] + 1_000_000_000 // limits.site.period_ns


def arriving(limits: Limits, state: State, i: int) -> float:
    """What a slow rack will draw `bridge_ticks` from now, by the set points that it was given."""
    cap_w = state.cap_w[i]
    up = max(0, state.dead_up[i] - limits.site.bridge_ticks)
    down = max(0, state.dead_down[i] - limits.site.bridge_ticks)
    goal_w = due(limits, state, i, up, down)
    time_s = limits.site.bridge_ticks * limits.site.period_ns * 1e-9
    cap_w = min(max(goal_w, cap_w - state.down_w_per_s[i] * time_s), cap_w + state.up_w_per_s[i] * time_s)
    return min(cap_w, max(state.demand_w[i], limits.min_w[i]))


def under_way(limits: Limits, state: State, i: int) -> bool:
    """Whether a slow rack goes to its set point, or has one that does not act yet."""
    late = max(state.dead_up[i], state.dead_down[i]) + 1
    acts = state.now_ns - state.moved_ns[i] > late * limits.site.period_ns
    return not acts or state.cap_w[i] != state.applied_w[i]


def foresee(limits: Limits, state: State) -> int:
    """Sets `coming_w` to what slow racks will draw in sum at moments to come, by the set points that they were given.

    Returns the ticks from one moment to the next, so many that the last answers within; 0: nothing will change.
    """
    longest = 0
    still_w = 0.0
    for i in range(limits.site.racks):
        if state.slow[i]:
            if state.ours[i] and under_way(limits, state, i):
                longest = max(longest, max(state.dead_up[i], state.dead_down[i]))
            else:
                still_w += state.power_w[i]
    if longest == 0:
        return 0
    coming_w = state.coming_w
    for k in range(LOOKS):
        coming_w[k] = still_w
    stride = (longest + LOOKS - 1) // LOOKS
    stride_s = stride * limits.site.period_ns * 1e-9
    for i in range(limits.site.racks):
        if state.slow[i] and state.ours[i] and under_way(limits, state, i):
            up = state.dead_up[i]
            down = state.dead_down[i]
            most_w = max(state.demand_w[i], limits.min_w[i])
            cap_w = state.cap_w[i]
            for k in range(LOOKS):
                up = max(0, up - stride)
                down = max(0, down - stride)
                lowest_w = max(due(limits, state, i, up, down), cap_w - state.down_w_per_s[i] * stride_s)
                cap_w = min(lowest_w, cap_w + state.up_w_per_s[i] * stride_s)
                coming_w[k] += min(cap_w, most_w)
    return stride


def come_back(limits: Limits, state: State, fair_w: float, stopping: bool) -> None:
    """A fast rack goes no farther out of the way of slow ones than it comes back from by the time they arrive.

    Narrows `floor_w` or `reach_w`, but in a stop, and not below a node that draws too much. What the fast ones must
    have in sum at each moment is the same part of the way between its end and its share for each of them.
    """
    for i in range(limits.site.racks):
        state.back_w[i] = state.applied_w[i]
    stride = 0 if stopping else foresee(limits, state)
    if stride == 0:
        return
    now_w = 0.0
    lo_w = 0.0
    hi_w = 0.0
    share_w = 0.0
    for i in range(limits.site.racks):
        if state.slow[i]:
            now_w += state.power_w[i]
        else:
            lo_w += state.lo_w[i]
            hi_w += state.hi_w[i]
            share_w += state.ahead_w[i]
    coming_w = state.coming_w
    falls = coming_w[LOOKS - 1] < now_w
    end_w = lo_w if falls else hi_w
    # For one step of one rack, which is rounding, nobody makes way.
    if abs(coming_w[LOOKS - 1] - now_w) <= limits.site.grain_w or abs(share_w - end_w) < 1.0:
        return
    linger(limits, state, stride, falls)
    for k in range(LOOKS):
        way_w = travelled(limits, state, (k + 1) * stride) / state.through
        need_w = fair_w + (way_w if state.heading_w > state.reference_w else -way_w) - coming_w[k]
        # A rack that was told to fall may be dead: for so little of it the others do not stay.
        need_w -= 0.002 * limits.site.max_w if falls else 0.0
        coming_w[k] = max(0.0, min((need_w - end_w) / (share_w - end_w), 1.0))
    for i in range(limits.site.racks):
        free = not state.slow[i] and state.ours[i]
        if free and not changes_once(limits, i) and not broken(limits, state, i):
            narrow_to(limits, state, i, stride, falls)


def linger(limits: Limits, state: State, stride: int, falls: bool) -> None:
    """Adds to `coming_w` what fast racks that change slowly cannot have given up by then, or cannot have risen to."""
    stride_s = stride * limits.site.period_ns * 1e-9
    for i in range(limits.site.racks):
        late_w = state.cap_w[i] - state.ahead_w[i]
        if state.slow[i] or not state.ours[i] or (late_w < 0.0) == falls:
            continue
        rate = state.down_w_per_s[i] if falls else -state.up_w_per_s[i]
        for k in range(LOOKS):
            late_w -= rate * stride_s
            if (late_w < 0.0) == falls:
                break
            state.coming_w[k] += late_w


def narrow_to(limits: Limits, state: State, i: int, stride: int, falls: bool) -> None:
    """Narrows how far one rack may go out of the way; it moves again at its next turn, and answers after that."""
    end_w = state.lo_w[i] if falls else state.hi_w[i]
    way_w = state.ahead_w[i] - end_w
    rate = state.up_w_per_s[i] if falls else -state.down_w_per_s[i]
    wait = (state.dead_up[i] if falls else state.dead_down[i]) + limits.site.phases
    back_w = end_w
    for k in range(LOOKS):
        time_s = max(0, (k + 1) * stride - wait) * limits.site.period_ns * 1e-9
        near_w = end_w + state.coming_w[k] * way_w - rate * time_s
        back_w = max(back_w, near_w) if falls else min(back_w, near_w)
    if in_steps(limits, i):
        # Each rounds at another place between its steps: all of them together hold to the sum.
        step_w = below(limits, i, back_w)
        next_w = above(limits, i, step_w)
        place = 0.6180339887 * i
        back_w = step_w if back_w - step_w < (place - floor(place)) * (next_w - step_w) else next_w
    if falls:
        state.back_w[i] = max(state.applied_w[i], back_w)
        state.floor_w[i] = min(max(state.floor_w[i], back_w), state.reach_w[i])
    else:
        state.back_w[i] = min(state.applied_w[i], back_w)
        state.reach_w[i] = max(min(state.reach_w[i], back_w), state.floor_w[i])
    state.share_w[i] = min(max(state.share_w[i], state.floor_w[i]), state.reach_w[i])


def expect(limits: Limits, state: State) -> float:
    """Sets `near_w` to what each rack will draw, where that is not its share, and returns the sum."""
    if not state.slow_count:
        return total(state.share_w, limits.site.racks)
    sum_w = 0.0
    for i in range(limits.site.racks):
        near_w = state.share_w[i]
        if state.slow[i] and state.ours[i]:
            near_w = arriving(limits, state, i)
        state.near_w[i] = near_w
        sum_w += near_w
    return sum_w


def make_up(limits: Limits, state: State, sum_w: float, total_w: float, pinned: bool) -> float:
    """Moves the shares of fast racks so that what all will draw comes to a total; returns what it comes to.

    `pinned` says that the racks that move in steps have their levels already.
    """
    up = sum_w < total_w
    if not state.slow_count:
        lo_w = state.share_w if up else state.floor_w
        hi_w = state.reach_w if up else state.share_w
        if pinned:
            return settle(limits, state, lo_w, hi_w, total_w, state.share_w)
        return allocate(limits, state, lo_w, hi_w, total_w, state.share_w)
    # A slow rack takes the room of its nodes from the start, though not yet of the total.
    early_w = 0.0
    for i in range(limits.site.racks):
        if state.slow[i] and state.ours[i]:
            near_w = max(state.near_w[i], state.share_w[i])
            early_w += near_w - state.near_w[i]
            state.near_w[i] = near_w
            state.far_w[i] = near_w
        else:
            state.far_w[i] = state.reach_w[i] if up else state.floor_w[i]
    if up:
        sum_w = allocate(limits, state, state.near_w, state.far_w, total_w + early_w, state.near_w)
    else:
        sum_w = allocate(limits, state, state.far_w, state.near_w, total_w + early_w, state.near_w)
    for i in range(limits.site.racks):
        if not (state.slow[i] and state.ours[i]):
            state.share_w[i] = state.near_w[i]
    return sum_w - early_w
