# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the meter shows beyond the racks, and how much of that is believed.

The meter is compared with the model of its own time, not with what was just sent (internal-model control); the
difference, filtered over `feedback_s`, is the disturbance that the target makes up for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import R_METER_NEVER, SECOND_NS, WINDOW_SLOTS
    from rampd.ext.ladder import acts
    from rampd.ext.window import crest, noise, swung
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


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


def unlearn(limits: Limits, state: State) -> None:
    """What a meter has taught that cannot be: nothing but generation makes the rest of the load negative.

    The reference is taken along, so that the racks' target stays.
    """
    lift_w = -limits.site.generation_w - state.disturbance_w
    if lift_w > 0.0:
        state.disturbance_w += lift_w
        state.calm_w += lift_w
        state.reference_w += lift_w


def shift(inputs: Inputs, limits: Limits, state: State, by_w: float, told_w: float) -> None:
    """A rack enters the model or changes what it is modelled by: no part of that is a change at the meter.

    It is modelled to draw `by_w` more, of set points that take `told_w` more. What the feedback has learned of it
    already is taken back, and not more.
    """
    if not state.started:
        return
    state.total_w += told_w
    for k in range(limits.site.history):
        state.past_model_w[k] += by_w
    gain = 1.0 + limits.site.loss_ratio
    for k in range(WINDOW_SLOTS):
        state.noise_low_w[k] -= gain * by_w
        state.noise_high_w[k] -= gain * by_w
        state.crest_w[k] -= gain * by_w
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
    if state.fault_hold:
        # Behind an open breaker the meter shows nothing of a rack that joins.
        unlearn(limits, state)


def excess(limits: Limits, state: State, ago: int, rest_w: float) -> float:
    """How far a reading, less the disturbance, lies beyond what is on its way down; W.

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
    """Starts from the present: reference and goal are what is purchased, what the racks do not draw is the rest.

    Regulation that was held before a restart goes on to stand beside the reference.
    """
    state.started = 1
    state.reference_w = found_w - state.beside_w
    state.goal_w = state.reference_w
    state.meter_w = found_w
    state.disturbance_w = found_w - (1.0 + limits.site.loss_ratio) * state.model_w
    state.calm_w = state.disturbance_w
    state.total_w = state.model_w
    for k in range(limits.site.history):
        state.past_model_w[k] = state.model_w
    if state.fault_hold:
        # Behind an open breaker the meter shows nothing of the racks.
        unlearn(limits, state)


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


def resume(inputs: Inputs, limits: Limits, state: State) -> None:
    """Starts with a meter that was doubted before a restart: by the racks, and what the rest of the site drew last."""
    for i in range(limits.site.racks):
        if not state.known[i] and state.now_ns - state.first_ns <= limits.site.rack_stale_ns:
            return
    start(limits, state, (1.0 + limits.site.loss_ratio) * state.model_w + inputs.rest_w)
    state.blind_ns = state.now_ns


def compare(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Takes a new meter reading, the first one to start with; one of a meter that is not believed teaches nothing."""
    slot = limits.site.power_slot
    at_ns = inputs.at_ns[slot]
    found_w = inputs.value[slot]
    if not state.started and inputs.doubted != 0 and not acts(state, 0, R_METER_NEVER):
        resume(inputs, limits, state)
        return
    # While it shows less than the racks, or does not move as they do, it teaches nothing.
    strange = state.started and (state.short or abs(state.own_w) > 0.1 * limits.site.freeze_w)
    if not state.meter_good or (state.fault_hold and state.started) or strange:
        state.excess_w = 0.0
        state.stray_w = 0.0
        state.before_w = 0.0
        return
    if at_ns == state.meter_at_ns:
        return
    again = found_w == state.found_w
    if not state.started:
        second = state.meter_at_ns > 0 and (not again or at_ns - state.meter_at_ns >= SECOND_NS)
        if second or possible(limits, found_w):
            start(limits, state, found_w)
        if state.started or state.meter_at_ns == 0:
            state.meter_at_ns = at_ns
            state.found_w = found_w
        return
    learn(inputs, limits, state, again, now_ns)
    state.meter_at_ns = at_ns


def learn(inputs: Inputs, limits: Limits, state: State, again: bool, now_ns: int) -> None:
    """Updates the disturbance from a reading; what the model passed around its time teaches nothing.

    Above the import limit what two readings in a row show is believed at once, by the lesser.
    """
    at_ns = inputs.at_ns[limits.site.power_slot]
    found_w = inputs.value[limits.site.power_slot]
    history = limits.site.history
    ago = aligned(inputs, limits, now_ns)
    # Half a step that nobody can make up for is let stand: chasing it would switch miners for ever.
    slack_w = 0.6 * state.grain_w
    if abs(found_w - state.reference_w - state.beside_w) > slack_w and found_w <= limits.site.import_w:
        slack_w = 0.0
    rest_w = found_w - state.disturbance_w
    stray_w = stray(limits, state, state.tick, ago, rest_w, slack_w)
    error_w = believed(limits, state, stray_w, again)
    state.found_w = found_w
    state.meter_w = found_w - (stray_w - error_w)
    gain = 1.0 + limits.site.loss_ratio
    residual_w = state.meter_w - gain * state.past_model_w[(state.tick + history - ago) % history]
    above = found_w > limits.site.import_w
    # It looks at every rack: only a reading that is high can be a peak.
    beyond_w = excess(limits, state, ago, rest_w) if above or error_w > 0.0 else 0.0
    excess_w = beyond_w if above else 0.0
    # What is on its way down is no load, nor what was told to rise and has risen before its time.
    early_w = gain * max(0.0, state.stand_w - state.model_w)
    surge_w = min(error_w, max(0.0, beyond_w - early_w))
    # One value alone may be wild: beyond what the load has done by itself before, the one before it must show it too.
    surge_w = min(surge_w, max(state.before_w, swung(state, 2, WINDOW_SLOTS - 1)))
    noise(state, residual_w, state.disturbance_w + surge_w, now_ns)
    since_s = min(max((at_ns - state.meter_at_ns) * 1e-9, 0.0), 1.0)
    learnt_w = error_w * since_s / (limits.site.feedback_s * state.detune + since_s)
    sure_w = min(excess_w, state.excess_w)
    if again:
        # The meter was read before it had another value: that is no second reading.
        sure_w = min(sure_w, 0.1 * limits.site.max_w)
    if sure_w > 0.0:
        learnt_w = max(learnt_w, sure_w)
    state.excess_w = max(0.0, excess_w - max(0.0, learnt_w))
    state.disturbance_w += learnt_w
    state.surge_w = max(0.0, crest(state) - state.disturbance_w)
    # Slow racks get feed-forward only: what they see of the disturbance is its mean over ten seconds.
    state.calm_w += (state.disturbance_w - state.calm_w) * since_s / (10.0 + since_s)
