# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the racks must be drawing by now, and what the meter shows beyond it.

A cap acts after its dead time and moves no faster than the rack's slope; power = min(cap, demand). Demand is measured
while the cap does not bind. The meter is compared with the model of its own time, not with what was just sent
(internal-model control); the difference, filtered over `feedback_s`, is the disturbance that the target makes up for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.ballast import watch
    from rampd.ext.bridge import acting, arriving, look_back, turn
    from rampd.ext.codes import AVAILABLE, EXCURSION_UP, SECOND_NS, WINDOW_SLOTS
    from rampd.ext.identify import moved, take
    from rampd.ext.window import noise
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def learn(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """Demand of a rack from a new reading: what it draws while its cap does not bind, else at least that."""
    slot = limits.power_slot[i]
    bottom_w = state.bottom_w[i]
    measured_w = inputs.value[slot]
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
    # A rack that still rises is on its way, not at its demand.
    state.rising[i] = measured_w > state.seen_w[i] + 0.01 * width_w
    state.seen_w[i] = measured_w
    state.peak_w[i] = max(measured_w, state.peak_w[i] + 0.0002 * (measured_w - state.peak_w[i]))
    if state.rising[i] and waking(state, i):
        state.cap_w[i] = measured_w
        state.demand_w[i] = width_w
    settled = abs(state.applied_w[i] - state.cap_w[i]) <= 0.01 * width_w and not state.rising[i]
    # One that was raised and has not answered yet does not wait for work.
    answered = state.excursion[i] != EXCURSION_UP or state.passed[i] != 0
    if watch(limits, state, i, measured_w, settled and answered):
        # It wants everything in the next moment, but after a standstill it gets that back slowly.
        state.demand_w[i] = min(width_w, max(state.demand_w[i], measured_w) + 0.005 * width_w)
    elif settled and measured_w < state.cap_w[i] - margin_w:
        # Noise is smoothed, a change of work is followed.
        error_w = measured_w - state.demand_w[i]
        state.demand_w[i] += error_w * (0.5 if abs(error_w) > margin_w else 0.1)
    elif settled:
        state.demand_w[i] = min(width_w, max(state.demand_w[i], measured_w))
    if state.bottom_w[i] != bottom_w and state.ours[i]:
        shift(inputs, limits, state, drawn(state, i, state.bottom_w[i]) - drawn(state, i, bottom_w))


def waking(state: State, i: int) -> bool:
    """Whether a rack that rises was taken over on its way to its set point: it wants more than it drew then."""
    lately = state.now_ns - state.first_ns < 60 * SECOND_NS
    return lately and state.gap_ns[i] > 0 and state.moved_ns[i] == 0 and state.demand_w[i] < state.applied_w[i]


def drawn(state: State, i: int, bottom_w: float) -> float:
    """What a rack draws under its cap: no less than its least unless it is off, no more than it wants."""
    cap_w = state.cap_w[i]
    return min(max(cap_w, bottom_w) if cap_w > 0.0 else cap_w, state.demand_w[i])


def aligned(inputs: Inputs, limits: Limits, now_ns: int) -> int:
    """How many ticks ago the newest meter reading shows."""
    age_ns = now_ns - inputs.at_ns[limits.site.power_slot] + limits.site.meter_delay_ns
    return min(max(age_ns // limits.site.period_ns, 0), limits.site.history - 1)


def stray(limits: Limits, state: State, tick: int, ago: int, rest_w: float, slack_w: float) -> float:
    """How far a reading, less the disturbance, lies beyond what the model passed around its time and some slack; W.

    Model and plant may differ by `align_ticks` in time, so that a ramp is not mistaken for a disturbance.
    """
    history = limits.site.history
    first = max(ago - limits.site.align_ticks, 0)
    last = min(ago + limits.site.align_ticks, history - 1, tick)
    least_w = state.past_model_w[(tick + history - first) % history]
    most_w = least_w
    for k in range(first, last + 1):
        model_w = state.past_model_w[(tick + history - k) % history]
        least_w = min(least_w, model_w)
        most_w = max(most_w, model_w)
    gain = 1.0 + limits.site.loss_ratio
    return max(0.0, rest_w - gain * (most_w + slack_w)) + min(0.0, rest_w - gain * (least_w - slack_w))


def shift(inputs: Inputs, limits: Limits, state: State, by_w: float) -> None:
    """A rack enters the model or changes what it is modelled by: no part of that is a change at the meter.

    What the feedback has learned of it already is taken back, and not more.
    """
    if not state.started:
        return
    state.total_w += by_w
    for k in range(limits.site.history):
        state.past_model_w[k] += by_w
    gain = 1.0 + limits.site.loss_ratio
    for k in range(WINDOW_SLOTS):
        state.noise_low_w[k] -= gain * by_w
        state.noise_high_w[k] -= gain * by_w
    state.excess_w = 0.0
    one_w = state.disturbance_w
    other_w = one_w - gain * by_w
    if not state.meter_good:
        state.disturbance_w = other_w
        state.calm_w += other_w - one_w
        return
    ago = aligned(inputs, limits, state.now_ns)
    found_w = one_w + stray(limits, state, state.tick - 1, ago, inputs.value[limits.site.power_slot] - one_w, 0.0)
    state.disturbance_w = min(max(found_w, min(one_w, other_w)), max(one_w, other_w))
    state.calm_w += state.disturbance_w - one_w


def advance(inputs: Inputs, limits: Limits, state: State, now_ns: int, dt_s: float) -> None:
    """One tick of every rack's model, and their sum."""
    racks = limits.site.racks
    state.model_w = 0.0
    state.stand_w = 0.0
    state.idle_w = 0.0
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
        hear(inputs, limits, state, first, end)
        acting(limits, state, first, end)
        rise(limits, state, now_ns, first, end)
        follow(state, dt_s, first, end)
        draw(inputs, limits, state, first, end)
        first = end
    state.past_model_w[state.tick % limits.site.history] = state.model_w


def handed(inputs: Inputs, state: State, i: int) -> bool:
    """Whether a rack comes into our hands or leaves them in this tick."""
    return state.known[i] != 0 and (state.ours[i] != 0) != (inputs.rack_state[i] == AVAILABLE)


def any_handed(inputs: Inputs, state: State, racks: int) -> bool:
    """Whether any rack does."""
    found = 0
    for i in range(racks):
        found |= state.known[i] & (state.ours[i] ^ (inputs.rack_state[i] == AVAILABLE))
    return found != 0


def hear(inputs: Inputs, limits: Limits, state: State, first: int, end: int) -> None:
    """Takes in the new readings of racks from `first` to before `end`."""
    if state.fault_hold:
        return
    news = state.news
    at_ns = inputs.at_ns
    seen_ns = state.seen_ns
    power_slot = limits.power_slot
    count = 0
    for i in range(first, end):
        news[count] = i
        count += at_ns[power_slot[i]] != seen_ns[i]
    for k in range(count):
        i = news[k]
        if state.known[i] and not state.stale[i]:
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
    for i in range(first, end):
        if rising[i] and acts_w[i] > cap_w[i] and not state.stale[i]:
            since_s = (now_ns - state.seen_ns[i]) * 1e-9
            most_w = state.seen_w[i] + state.up_w_per_s[i] * since_s + 0.02 * limits.max_w[i]
            acts_w[i] = min(acts_w[i], most_w)
            cap_w[i] = min(cap_w[i], most_w)


def follow(state: State, dt_s: float, first: int, end: int) -> None:
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
    idle_w = state.idle_w
    for i in range(first, end):
        power_w = drawn(state, i, state.bottom_w[i])
        state.power_w[i] = power_w
        total_w += power_w
        # A rack whose job wants less than its least set point takes that set point all the same.
        demand_w = state.demand_w[i]
        applied_w = state.applied_w[i]
        least_w = min(applied_w, limits.min_w[i])
        idle_w += max(0.0, least_w - demand_w)
        stand_w += min(applied_w, max(demand_w, least_w))
    state.model_w = total_w
    state.stand_w = stand_w
    state.idle_w = idle_w


def draw_other(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """A rack that is in other hands, changes them, or answers slowly."""
    ours = inputs.rack_state[i] == AVAILABLE
    power_w = state.power_w[i]
    if ours:
        power_w = drawn(state, i, state.bottom_w[i])
    elif not state.stale[i]:
        power_w = max(0.0, inputs.value[limits.power_slot[i]])
    if state.ours[i] != ours:
        shift(inputs, limits, state, power_w - state.power_w[i])
        state.ours[i] = ours
    state.power_w[i] = power_w
    state.model_w += power_w
    if ours:
        least_w = min(state.applied_w[i], limits.min_w[i])
        state.idle_w += max(0.0, least_w - state.demand_w[i])
        # A slow rack was given what is to come: what it will draw in the meantime is what counts.
        power_w = arriving(limits, state, i) if state.slow[i] else state.applied_w[i]
        power_w = min(power_w, max(state.demand_w[i], least_w))
    state.stand_w += power_w


def excess(limits: Limits, state: State, ago: int, rest_w: float) -> float:
    """How far a reading above the import limit, less the disturbance, lies beyond what is on its way down; W.

    That is the most that the model passed in the longest dead time and a second before: racks may answer later than
    they were said to, and what they were told already is not to be told twice.
    """
    longest = 0
    for i in range(limits.site.racks):
        longest = max(longest, state.dead_down[i])
    since = ago + limits.site.align_ticks + longest + 1_000_000_000 // limits.site.period_ns
    most_w = state.model_w
    for k in range(min(since, limits.site.history - 1, state.tick) + 1):
        most_w = max(most_w, state.past_model_w[(state.tick + limits.site.history - k) % limits.site.history])
    return max(0.0, rest_w - (1.0 + limits.site.loss_ratio) * most_w)


def start(limits: Limits, state: State, found_w: float) -> None:
    """Starts from the present: reference and goal are what is purchased, what the racks do not draw is the rest."""
    state.started = 1
    state.reference_w = found_w
    state.goal_w = found_w
    state.meter_w = found_w
    state.disturbance_w = found_w - (1.0 + limits.site.loss_ratio) * state.model_w
    state.calm_w = state.disturbance_w
    state.total_w = state.model_w
    for k in range(limits.site.history):
        state.past_model_w[k] = state.model_w


def believed(limits: Limits, state: State, error_w: float, again: bool) -> float:
    """What is believed of how far a reading strays; W: one alone may be wild.

    Beyond a tenth of the site no more than the reading before it showed, the same value read again apart.
    """
    if not again:
        state.before_w = state.stray_w
    state.stray_w = error_w
    alone_w = 0.1 * limits.site.max_w
    return max(min(error_w, max(state.before_w, alone_w)), min(state.before_w, -alone_w))


def possible(limits: Limits, found_w: float) -> bool:
    """Whether a site may purchase so much: a first reading that says otherwise waits for a second."""
    slack_w = 0.1 * limits.site.max_w
    return -limits.site.generation_w - slack_w <= found_w <= limits.site.import_w + slack_w


def compare(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Updates the disturbance from a new meter reading; one that the model passed around its time teaches nothing.

    Above the import limit what two readings in a row show is believed at once, by the lesser.
    """
    slot = limits.site.power_slot
    at_ns = inputs.at_ns[slot]
    found_w = inputs.value[slot]
    # While it shows less than the racks, or does not move as they do, it teaches nothing.
    strange = state.started and (state.short or abs(state.own_w) > 0.1 * limits.site.freeze_w)
    if not state.meter_good or (state.fault_hold and state.started) or strange:
        state.excess_w = 0.0
        return
    if at_ns == state.meter_at_ns:
        return
    if not state.started:
        if state.meter_at_ns > 0 or possible(limits, found_w):
            start(limits, state, found_w)
        state.meter_at_ns = at_ns
        return
    history = limits.site.history
    ago = aligned(inputs, limits, now_ns)
    # Half a step that nobody can make up for is let stand: chasing it would switch miners for ever.
    rest_w = found_w - state.disturbance_w
    stray_w = stray(limits, state, state.tick, ago, rest_w, 0.6 * state.grain_w)
    error_w = believed(limits, state, stray_w, found_w == state.found_w)
    state.found_w = found_w
    state.meter_w = found_w - (stray_w - error_w)
    gain = 1.0 + limits.site.loss_ratio
    noise(state, state.meter_w - gain * state.past_model_w[(state.tick + history - ago) % history], now_ns)
    since_s = min(max((at_ns - state.meter_at_ns) * 1e-9, 0.0), 1.0)
    learnt_w = error_w * since_s / (limits.site.feedback_s * state.detune + since_s)
    excess_w = excess(limits, state, ago, rest_w) if found_w > limits.site.import_w else 0.0
    if min(excess_w, state.excess_w) > 0.0:
        learnt_w = max(learnt_w, min(excess_w, state.excess_w))
    state.excess_w = max(0.0, excess_w - max(0.0, learnt_w))
    state.disturbance_w += learnt_w
    # Slow racks get feed-forward only: what they see of the disturbance is its mean over ten seconds.
    state.calm_w += (state.disturbance_w - state.calm_w) * since_s / (10.0 + since_s)
    state.meter_at_ns = at_ns


def rest(limits: Limits, state: State, i: int, risen: bool) -> None:
    """A stepped rack has changed: until when it stays, by its minimum time and by what is left of its budget.

    A change costs `wear_ns` of a budget that refills with time and holds `budget_ns`.
    """
    now_ns = state.now_ns
    state.free_ns[i] = now_ns + (limits.on_ns[i] if risen else limits.off_ns[i])
    if limits.wear_ns[i] > 0:
        state.worn_ns[i] = max(state.worn_ns[i], now_ns) + limits.wear_ns[i]
        state.free_ns[i] = max(state.free_ns[i], state.worn_ns[i] + limits.wear_ns[i] - limits.budget_ns[i])


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
            if (applied_w[i] < past_w[before + i]) == (state.dead_down[i] < state.dead_up[i]):
                turn(state, i)
        past_w[row + i] = applied_w[i]
