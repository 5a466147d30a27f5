# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What draws at measured nodes beside the racks, and what their fullest phase leaves unused: neither is for racks.

A node's meter is held against what the racks below read before and after it, so that no ramp is taken for other load.
More is believed at once where two readings in a row show it, less slowly; what is not read stays as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        DOUBT_BEFORE,
        DOUBT_FALSE,
        DOUBT_FROZEN,
        DOUBT_SCALE,
        ENDLESS,
        R_NODE_FROZEN,
        R_NODE_IMPLAUSIBLE,
        SECOND_NS,
    )
    from rampd.ext.failsafe import fresh
    from rampd.ext.ladder import hold
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def enclose(inputs: Inputs, limits: Limits, state: State, v: int, now_ns: int) -> int:
    """Keeps the least and most that the racks below may draw, over one span and the one before.

    One that is silent draws anything up to its most. Returns the time of the oldest reading of the others.
    """
    most_w = 0.0
    least_w = 0.0
    oldest_ns = now_ns
    for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
        if state.fresh[i]:
            slot = limits.power_slot[i]
            drawn_w = min(limits.max_w[i], max(0.0, inputs.value[slot]))
            most_w += drawn_w
            least_w += drawn_w
            oldest_ns = min(oldest_ns, inputs.at_ns[slot])
        else:
            most_w += limits.max_w[i]
    before = limits.site.nodes + v
    if now_ns - state.span_at_ns[v] >= limits.span_ns[v]:
        state.span_at_ns[v] = now_ns
        state.most_below_w[before] = state.most_below_w[v]
        state.least_below_w[before] = state.least_below_w[v]
        state.most_below_w[v] = most_w
        state.least_below_w[v] = least_w
    state.most_below_w[v] = max(state.most_below_w[v], most_w)
    state.least_below_w[v] = min(state.least_below_w[v], least_w)
    return oldest_ns


def currents(inputs: Inputs, limits: Limits, state: State, v: int, drawn_w: float, now_ns: int) -> float:
    """The current of a node's fullest phase, A; nothing where none of them is read.

    One that is not counts as it was last known of the node's power, by two readings, and before that for nothing.
    """
    most_a = 0.0
    read_any = False
    for k in range(3 * v, 3 * v + 3):
        slot = limits.amps_slot[k]
        before = 3 * limits.site.nodes + k
        if fresh(inputs, slot, limits.node_stale_ns[v], now_ns):
            read_any = True
            most_a = max(most_a, max(inputs.value[slot], -inputs.value[slot]))
            # Below a tenth of its limit that is not told.
            if drawn_w > 0.1 * limits.node_w[v]:
                state.amps_per_w[before] = state.amps_per_w[k]
                state.amps_per_w[k] = max(inputs.value[slot], -inputs.value[slot]) / drawn_w
        else:
            most_a = max(most_a, drawn_w * min(state.amps_per_w[k], state.amps_per_w[before]))
    return most_a if read_any else 0.0


def partly(inputs: Inputs, limits: Limits, v: int, now_ns: int) -> bool:
    """Whether a node's meter has a phase that is not read."""
    for k in range(3 * v, 3 * v + 3):
        slot = limits.amps_slot[k]
        if slot >= 0 and not fresh(inputs, slot, limits.node_stale_ns[v], now_ns):
            return True
    return False


def lean(inputs: Inputs, limits: Limits, state: State, v: int, drawn_w: float, now_ns: int) -> float:
    """What the fullest phase takes of a node's limit, W: at its own limit the node draws so much less.

    By what it draws now; never the last fifth of the limit. Of little current nothing can be told, -1. Below its limit
    the phase is held to take all that rises; above it, to take but a third of what falls, as of racks that load all
    alike. While a phase is not read it takes no less than is believed.
    """
    most_a = currents(inputs, limits, state, v, drawn_w, now_ns)
    if limits.node_a[v] <= 0.0 or most_a < 0.1 * limits.node_a[v]:
        return -1.0
    spare_a = limits.node_a[v] - most_a
    own_w = drawn_w / most_a
    alike_w = min(3.0 * own_w, limits.node_w[v] / limits.node_a[v])
    bears_w = max(0.2 * limits.node_w[v], drawn_w + min(spare_a * own_w, spare_a * alike_w))
    least_w = state.phase_w[v] if partly(inputs, limits, v, now_ns) else 0.0
    return max(least_w, limits.node_w[v] - bears_w)


def approach(state: State, believed_w: float, least_w: float, most_w: float, since_ns: int) -> float:
    """What is believed of what lies within two bounds: at least the lower at once, at most the upper in ten seconds.

    What a fault of the grid has switched off comes back with the racks.
    """
    since_s = min(since_ns * 1e-9, 5.0)
    if believed_w > most_w and not state.fault_hold:
        believed_w += (most_w - believed_w) * since_s / (10.0 + since_s)
    return max(believed_w, least_w)


def read(inputs: Inputs, limits: Limits, state: State, v: int, now_ns: int) -> None:
    """Takes a new reading of a node, and what its phases show.

    What is less than nothing, than its racks or beyond reason teaches nothing.
    """
    slot = limits.draw_slot[v]
    if not fresh(inputs, slot, limits.node_stale_ns[v], now_ns):
        return
    drawn_w = inputs.value[slot]
    if inputs.at_ns[slot] <= state.drawn_ns[v]:
        return
    state.drawn_ns[v] = inputs.at_ns[slot]
    state.drawn_w[v] = drawn_w
    since_ns = inputs.at_ns[slot] - state.read_ns[v]
    least_w = max(0.0, state.least_below_w[v] - 0.1 * limits.node_w[v])
    if not least_w <= drawn_w <= 2.0 * limits.rating_w[v]:
        return
    lean_w = lean(inputs, limits, state, v, drawn_w, now_ns)
    if lean_w >= 0.0:
        before_w = state.lean_w[v]
        state.phase_w[v] = approach(state, state.phase_w[v], min(lean_w, before_w), max(lean_w, before_w), since_ns)
        state.lean_w[v] = lean_w
    state.read_ns[v] = inputs.at_ns[slot]
    state.read_w[v] = drawn_w


def notice(inputs: Inputs, limits: Limits, state: State, v: int, now_ns: int) -> None:
    """Whether a node draws more than its limit, by two readings in a row: until two show less nothing below it rises.

    The same value within a second is no second reading, what cannot be is none. Unread it is known by its other load.
    """
    slot = limits.draw_slot[v]
    if not fresh(inputs, slot, limits.node_stale_ns[v], now_ns):
        state.above[v] = 0
        state.over[v] = 0
        return
    drawn_w = inputs.value[slot]
    if not 0.0 <= drawn_w <= 2.0 * limits.rating_w[v]:
        return
    above = drawn_w > limits.node_w[v] - state.phase_w[v] and state.doubts[v] & DOUBT_FROZEN == 0
    if above != state.above[v]:
        state.above[v] = above
        state.told_w[v] = drawn_w
        state.told_ns[v] = inputs.at_ns[slot]
    elif drawn_w != state.told_w[v] or inputs.at_ns[slot] - state.told_ns[v] >= SECOND_NS:
        state.over[v] = above


def still(limits: Limits, state: State, v: int, below_least_w: float, below_most_w: float) -> bool:
    """Whether a meter shows the same to the last bit although its racks moved: such a reading teaches nothing.

    By more than they could pretend, and for three times as long as a reading counts: it is frozen, until it moves.
    """
    if state.drawn_w[v] != state.same_w[v]:
        if state.same_w[v] < ENDLESS:
            state.doubts[v] &= ~DOUBT_BEFORE
        state.doubts[v] &= ~DOUBT_FROZEN
        state.same_w[v] = state.drawn_w[v]
        state.same_least_w[v] = below_least_w
        state.same_most_w[v] = below_most_w
        state.same_ns[v] = 0
    state.same_least_w[v] = max(state.same_least_w[v], below_least_w)
    state.same_most_w[v] = min(state.same_most_w[v], below_most_w)
    moved_w = state.same_least_w[v] - state.same_most_w[v]
    if moved_w > limits.pretend_w[v]:
        if state.same_ns[v] == 0:
            state.same_ns[v] = state.drawn_ns[v]
        elif state.drawn_ns[v] - state.same_ns[v] >= 3 * limits.node_stale_ns[v]:
            state.doubts[v] |= DOUBT_FROZEN
    return moved_w > 0.1 * limits.pretend_w[v]


def possible(limits: Limits, state: State, v: int, below_least_w: float) -> None:
    """Doubts a meter that for long shows less than its racks read and could pretend, or more than can be.

    Until it shows what they draw, and that is enough to tell.
    """
    short_w = below_least_w - state.drawn_w[v]
    slack_w = max(limits.pretend_w[v], 0.1 * limits.node_w[v])
    if short_w <= slack_w and -0.1 * limits.node_w[v] <= state.drawn_w[v] <= 2.0 * limits.rating_w[v]:
        state.false_ns[v] = 0
        if state.drawn_w[v] >= 0.95 * below_least_w > 0.1 * limits.node_w[v]:
            state.doubts[v] &= ~DOUBT_FALSE
    elif state.false_ns[v] == 0:
        state.false_ns[v] = state.drawn_ns[v]
    elif state.drawn_ns[v] - state.false_ns[v] >= 3 * limits.node_stale_ns[v]:
        state.doubts[v] |= DOUBT_FALSE


def scale(limits: Limits, state: State, v: int, below_least_w: float, below_most_w: float) -> None:
    """Doubts a meter that moves by another part of what its racks do, and always by the same.

    From one power at which they stood to another clearly apart. Where it hardly moves, others may have made up for
    them, or they for others; up to half as much again draws what cools them.
    """
    clear_w = max(0.2 * limits.pretend_w[v], 0.04 * limits.node_w[v])
    if below_most_w - below_least_w > 0.2 * clear_w:
        return
    level_w = 0.5 * (below_least_w + below_most_w)
    moved_w = level_w - state.steady_w[v]
    if abs(moved_w) >= clear_w:
        ratio = (state.drawn_w[v] - state.steady_drawn_w[v]) / moved_w
        if 0.7 <= ratio <= 1.5:
            state.strange[v] = 0
            state.doubts[v] &= ~DOUBT_SCALE
        elif ratio > 1.6 or 0.3 < ratio < 0.6:
            again = abs(ratio - state.ratio[v]) <= 0.1 * ratio
            state.strange[v] = min(state.strange[v] + 1, 4) if again else 1
            state.ratio[v] = ratio
            if state.strange[v] == 4:
                state.doubts[v] |= DOUBT_SCALE
    state.steady_w[v] = level_w
    state.steady_drawn_w[v] = state.drawn_w[v]


def compare(limits: Limits, state: State, v: int) -> None:
    """Holds a reading against the racks of its time: what must draw there beside them, and what may.

    By a meter that is doubted nothing becomes less. In a fault nothing can be told of it.
    """
    before = limits.site.nodes + v
    since_ns = state.drawn_ns[v] - state.weighed_ns[v]
    state.weighed_ns[v] = state.drawn_ns[v]
    below_most_w = max(state.most_below_w[v], state.most_below_w[before])
    below_least_w = min(state.least_below_w[v], state.least_below_w[before])
    if not state.fault_hold:
        possible(limits, state, v, below_least_w)
        scale(limits, state, v, below_least_w, below_most_w)
        if still(limits, state, v, below_least_w, below_most_w):
            return
    if state.read_ns[v] != state.drawn_ns[v]:
        return
    low_w = max(0.0, state.read_w[v] - below_most_w)
    high_w = max(0.0, state.read_w[v] - below_least_w)
    least_w = min(low_w, state.low_other_w[v])
    most_w = max(high_w, state.high_other_w[v])
    if state.doubts[v] != 0 or doubted(limits, state, v):
        most_w = max(most_w, state.learnt_w[v])
    state.learnt_w[v] = approach(state, state.learnt_w[v], least_w, most_w, since_ns)
    state.low_other_w[v] = low_w
    state.high_other_w[v] = high_w


def doubted(limits: Limits, state: State, v: int) -> bool:
    """Whether a node's meter is said to be wrong, or was until just now."""
    reasons = state.zone_reasons[limits.site.zones - limits.site.nodes + v]
    return (reasons >> R_NODE_FROZEN | reasons >> R_NODE_IMPLAUSIBLE) & 1 != 0


def say(limits: Limits, state: State, v: int, now_ns: int) -> None:
    """The reasons of a node's meter; of most there is nothing to say."""
    if state.doubts[v] == 0 and not doubted(limits, state, v):
        return
    zone = limits.site.zones - limits.site.nodes + v
    hold(limits, state, zone, R_NODE_FROZEN, state.doubts[v] & DOUBT_FROZEN != 0, now_ns)
    hold(limits, state, zone, R_NODE_IMPLAUSIBLE, state.doubts[v] & (DOUBT_FALSE | DOUBT_SCALE) != 0, now_ns)


def recall(inputs: Inputs, limits: Limits, state: State) -> None:
    """At the first tick: what was so before a restart."""
    for v in range(limits.site.nodes):
        state.same_w[v] = ENDLESS
        state.steady_w[v] = ENDLESS
        # One that froze before it: until it moves it takes nothing back.
        state.doubts[v] = DOUBT_BEFORE if inputs.learnt_w[v] > 0.0 else 0
        state.learnt_w[v] = inputs.learnt_w[v]
        state.low_other_w[v] = inputs.learnt_w[v]
        state.high_other_w[v] = inputs.learnt_w[v]
        state.phase_w[v] = inputs.phase_w[v]
        state.lean_w[v] = inputs.phase_w[v]


def tell_apart(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """What of each node's limit is not for racks; what is known to draw below a node draws there as well."""
    if state.tick == 1:
        recall(inputs, limits, state)
    for v in range(limits.site.nodes):
        state.other_w[v] = 0.0
        if limits.draw_slot[v] >= 0:
            oldest_ns = enclose(inputs, limits, state, v, now_ns)
            notice(inputs, limits, state, v, now_ns)
            if state.weighed_ns[v] == state.drawn_ns[v]:
                read(inputs, limits, state, v, now_ns)
            # What shows a rack's power may lag by a second.
            elif oldest_ns >= state.drawn_ns[v] + SECOND_NS:
                compare(limits, state, v)
            say(limits, state, v, now_ns)
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        state.other_w[v] = max(state.other_w[v], state.learnt_w[v])
        state.taken_w[v] = state.other_w[v] + state.phase_w[v]
        if v > 0:
            state.other_w[limits.node_parent[v]] += state.other_w[v]
