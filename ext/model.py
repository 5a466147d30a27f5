# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the racks must be drawing by now.

A cap acts after its dead time and moves no faster than the rack's slope; power = min(cap, demand). Demand is measured
while the cap does not bind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.ballast import watch
    from rampd.ext.bridge import acting, arriving, look_back, pend, turn
    from rampd.ext.codes import AVAILABLE, SECOND_NS
    from rampd.ext.crash import age, heed
    from rampd.ext.identify import longest, moved, take, weigh
    from rampd.ext.meter import shift
    from rampd.ext.rest import rest
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def learn(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """Demand of a rack from a new reading: what it draws while its cap does not bind, else at least that.

    As a set point: one that draws nine tenths of its cap wants what that cap would be.
    """
    slot = limits.power_slot[i]
    bottom_w = state.bottom_w[i]
    gain = state.gain[i]
    told_w = drawn(state, i, bottom_w)
    measured_w = inputs.value[slot]
    # Not from its first reading on, before which it had none.
    rose = state.rising[i] != 0 and state.gap_ns[i] > 0
    if state.seen_ns[i] > 0:
        # The longest of late, forgotten slowly.
        state.gap_ns[i] = max(inputs.at_ns[slot] - state.seen_ns[i], state.gap_ns[i] - state.gap_ns[i] // 32)
        take(inputs, limits, state, i)
    if state.seen_ns[i] >= state.shown_ns:
        # Read twice since the meter last moved: then the meter ought to have moved as well.
        state.own_w += measured_w - state.seen_w[i]
    state.seen_ns[i] = inputs.at_ns[slot]
    width_w = limits.max_w[i]
    margin_w = max(0.05 * width_w, 1.2 * max(limits.quantum_w[i], state.step_w[i]))
    # A rack that still rises is on its way, not at its demand; one whose cap has just fallen goes where that lets it.
    state.rising[i] = measured_w > state.seen_w[i] + 0.01 * width_w
    lowered = state.cap_w[i] < state.seen_w[i] - 0.01 * width_w
    settled = abs(state.applied_w[i] - state.cap_w[i]) <= 0.01 * width_w and not state.rising[i]
    if settled and state.ours[i] and not state.swings[i]:
        weigh(limits, state, i, measured_w)
    state.seen_w[i] = measured_w
    state.peak_w[i] = max(measured_w, state.peak_w[i] + 0.0002 * (measured_w - state.peak_w[i]))
    measured_w /= state.gain[i]
    # Idle for certain: its set point has stood higher for longer than any dead time, and the model has followed.
    sure_w = 0.0 if state.rising[i] else min(held(limits, state, i), state.cap_w[i])
    unit_w = 0.005 * width_w
    if not state.trough[i] * unit_w <= state.seen_w[i] <= state.crest[i] * unit_w:
        heed(limits, state, i, sure_w * state.gain[i])
    swings = watch(limits, state, i, measured_w, sure_w)
    arrived = measured_w >= state.applied_w[i] - margin_w
    slack = measured_w < sure_w - margin_w and not lowered
    if (arrived or (rose and state.rising[i])) and on_its_way(state, i):
        state.cap_w[i] = measured_w
        state.demand_w[i] = width_w
    elif swings:
        # It wants everything in the next moment, but after a standstill it gets that back slowly.
        state.demand_w[i] = min(width_w, max(state.demand_w[i], measured_w) + 0.005 * width_w)
    elif slack:
        # Noise is smoothed, a change of work is followed.
        error_w = measured_w - state.demand_w[i]
        state.demand_w[i] += error_w * (0.5 if abs(error_w) > margin_w else 0.1)
    elif settled:
        state.demand_w[i] = min(width_w, max(state.demand_w[i], measured_w))
    if not state.ours[i]:
        return
    if state.gain[i] != gain:
        now_w = drawn(state, i, state.bottom_w[i])
        shift(inputs, limits, state, state.gain[i] * now_w - gain * told_w, now_w - told_w)
    elif state.bottom_w[i] != bottom_w:
        by_w = drawn(state, i, state.bottom_w[i]) - drawn(state, i, bottom_w)
        shift(inputs, limits, state, gain * by_w, by_w)


def held(limits: Limits, state: State, i: int) -> float:
    """The least set point that a rack had within a time in which it answers, also one that answers late.

    Kept as the least of two such times, of which the older one is over.
    """
    dead_ns = longest(limits, state.dead_up[i]) * limits.site.period_ns
    if state.now_ns - state.held_ns[i] > dead_ns + state.gap_ns[i]:
        state.held_w[i] = state.lately_w[i] if state.held_ns[i] > 0 else 0.0
        state.lately_w[i] = state.applied_w[i]
        state.held_ns[i] = state.now_ns
    return min(state.held_w[i], state.lately_w[i])


def on_its_way(state: State, i: int) -> bool:
    """Whether a rack that rises, or has arrived, was taken over below its set point: it wants more than it drew."""
    lately = state.now_ns - state.first_ns < 60 * SECOND_NS
    return lately and state.moved_ns[i] == 0 and state.demand_w[i] < state.applied_w[i]


def drawn(state: State, i: int, bottom_w: float) -> float:
    """What a rack takes of its cap: no less than its least unless it is off, no more than it wants.

    As a set point; it draws its gain times that.
    """
    cap_w = state.cap_w[i]
    return min(max(cap_w, bottom_w) if cap_w > 0.0 else cap_w, state.demand_w[i])


def advance(inputs: Inputs, limits: Limits, state: State, now_ns: int, dt_s: float) -> None:
    """One tick of every rack's model, and their sum."""
    racks = limits.site.racks
    state.model_w = 0.0
    state.stand_w = 0.0
    state.stand_drawn_w = 0.0
    state.idle_w = 0.0
    state.news_at = 0
    age(limits, state)
    look_back(limits, state)
    some = any_handed(inputs, state, racks)
    first = 0
    while first < racks:
        end = racks
        if some:
            # What one that changes hands shifts comes after what those before it have taught, as they stand.
            end = first
            while end < racks and not handed(inputs, state, end):
                end += 1
            end = min(end + 1, racks)
        take_in(inputs, limits, state, end)
        acting(limits, state, first, end)
        rise(limits, state, now_ns, first, end)
        slew(state, dt_s, first, end)
        draw(inputs, limits, state, first, end)
        first = end
    state.past_model_w[state.tick % limits.site.history] = state.model_w
    gain = state.stand_drawn_w / state.stand_w if state.stand_w > 0.01 * limits.site.max_w else 1.0
    state.through = (1.0 + limits.site.loss_ratio) * gain


def handed(inputs: Inputs, state: State, i: int) -> bool:
    """Whether a rack comes into our hands or leaves them in this tick."""
    return state.known[i] != 0 and (state.ours[i] != 0) != (inputs.rack_state[i] == AVAILABLE)


def any_handed(inputs: Inputs, state: State, racks: int) -> bool:
    """Whether any rack does."""
    found = 0
    for i in range(racks):
        found |= state.known[i] & (state.ours[i] ^ (inputs.rack_state[i] == AVAILABLE))
    return found != 0


def take_in(inputs: Inputs, limits: Limits, state: State, end: int) -> None:
    """Takes in the new readings of racks before `end` that were not taken in yet."""
    if state.fault_hold:
        return
    while state.news_at < state.news_count and state.news[state.news_at] < end:
        i = state.news[state.news_at]
        state.news_at += 1
        if state.known[i]:
            learn(inputs, limits, state, i)


def rise(limits: Limits, state: State, now_ns: int, first: int, end: int) -> None:
    """A rack seen on its way up is no further than its slope has brought it since."""
    rising = state.rising
    found = 0
    for i in range(first, end):
        found |= rising[i]
    if not found:
        return
    acts_w = state.acts_w
    cap_w = state.cap_w
    some = state.odd
    count = 0
    for i in range(first, end):
        some[count] = i
        count += rising[i] & (acts_w[i] > cap_w[i])
    for k in range(count):
        i = some[k]
        if not state.stale[i]:
            since_s = (now_ns - state.seen_ns[i]) * 1e-9
            most_w = state.seen_w[i] / state.gain[i] + state.up_w_per_s[i] * since_s + 0.02 * limits.max_w[i]
            acts_w[i] = min(acts_w[i], most_w)
            cap_w[i] = min(cap_w[i], most_w)


def slew(state: State, dt_s: float, first: int, end: int) -> None:
    """The caps go towards what acts, no faster than the slopes of their racks."""
    for i in range(first, end):
        cap_w = state.cap_w[i]
        lowest_w = max(state.acts_w[i], cap_w - state.down_w_per_s[i] * dt_s)
        state.cap_w[i] = min(lowest_w, cap_w + state.up_w_per_s[i] * dt_s)


def plain(inputs: Inputs, state: State, i: int) -> bool:
    """Whether a rack is in our hands, as it was in the tick before, and quick to answer."""
    return state.ours[i] != 0 and inputs.rack_state[i] == AVAILABLE and not state.slow[i]


def draw(inputs: Inputs, limits: Limits, state: State, first: int, end: int) -> None:
    """What racks from `first` to before `end` draw, added to the sums in their order."""
    odd = 0
    for i in range(first, end):
        odd |= state.slow[i] | (state.ours[i] ^ 1) | (inputs.rack_state[i] != AVAILABLE)
    if not odd:
        draw_plain(limits, state, first, end)
        return
    i = first
    while i < end:
        stop = i
        while stop < end and plain(inputs, state, stop):
            stop += 1
        draw_plain(limits, state, i, stop)
        if stop < end and state.known[stop]:
            draw_other(inputs, limits, state, stop)
        i = stop + 1


def draw_plain(limits: Limits, state: State, first: int, end: int) -> None:
    """Racks in our hands that answer quickly, most of all."""
    total_w = state.model_w
    stand_w = state.stand_w
    stand_drawn_w = state.stand_drawn_w
    idle_w = state.idle_w
    for i in range(first, end):
        gain = state.gain[i]
        power_w = drawn(state, i, state.bottom_w[i])
        state.power_w[i] = power_w
        total_w += gain * power_w
        # A rack whose job wants less than its least set point takes that set point all the same.
        demand_w = state.demand_w[i]
        applied_w = state.applied_w[i]
        least_w = min(applied_w, limits.min_w[i])
        idle_w += max(0.0, least_w - demand_w)
        told_w = min(applied_w, max(demand_w, least_w))
        stand_w += told_w
        stand_drawn_w += gain * told_w
    state.model_w = total_w
    state.stand_w = stand_w
    state.stand_drawn_w = stand_drawn_w
    state.idle_w = idle_w


def draw_other(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """A rack that is in other hands, changes them, or answers slowly."""
    ours = inputs.rack_state[i] == AVAILABLE
    gain = state.gain[i]
    power_w = state.power_w[i]
    if ours:
        power_w = drawn(state, i, state.bottom_w[i])
    elif not state.stale[i]:
        power_w = max(0.0, inputs.value[limits.power_slot[i]])
    if state.ours[i] != ours:
        by_w = gain * power_w - state.power_w[i] if ours else power_w - gain * state.power_w[i]
        shift(inputs, limits, state, by_w, power_w - state.power_w[i])
        state.ours[i] = ours
    # What others hold is known by what it draws.
    gain = gain if ours else 1.0
    state.power_w[i] = power_w
    state.model_w += gain * power_w
    if ours:
        least_w = min(state.applied_w[i], limits.min_w[i])
        state.idle_w += max(0.0, least_w - state.demand_w[i])
        # A slow rack was given what is to come: what it will draw in the meantime is what counts.
        power_w = arriving(limits, state, i) if state.slow[i] else state.applied_w[i]
        power_w = min(power_w, max(state.demand_w[i], least_w))
    state.stand_w += power_w
    state.stand_drawn_w += gain * power_w


def record(limits: Limits, state: State) -> None:
    """Remembers what the guard let pass; the dead times and minimum times of the next ticks count from it."""
    racks = limits.site.racks
    row = (state.tick % limits.site.history) * racks
    before = (state.tick - 1) % limits.site.history * racks
    past_w = state.past_w
    applied_w = state.applied_w
    if limits.site.resting and state.tick > 1:
        for k in range(limits.stepped_first[limits.site.tiers]):
            i = limits.stepped[k]
            if state.known[i] and state.applied_w[i] != state.past_w[before + i]:
                rest(limits, state, i, state.applied_w[i] > state.past_w[before + i])
    for i in range(racks):
        if applied_w[i] != past_w[before + i] and state.known[i] and state.tick > 1:
            moved(limits, state, i, past_w[before + i])
            pend(limits, state, i, past_w[before + i])
            state.lately_w[i] = min(state.lately_w[i], applied_w[i])
            if (applied_w[i] < past_w[before + i]) == (state.dead_down[i] < state.dead_up[i]):
                turn(state, i)
        past_w[row + i] = applied_w[i]
