# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Firm capacity: the change of the purchase within 5 s, 60 s and 10 min that 19 of 20 calls of everything would exceed.

Each rack gives what its room, dead time and slope allow in that time; it may not obey, and all racks of a node may be
lost together. The sum of the racks is taken as normal (mean and variance of independent racks), a lost node as a
mixture of such sums, and the 5 % quantile of that is the figure. What racks add upward is no more than the nodes above
them carry. The work is spread over a round: a slice of the racks a tick, while the sums of the round before are
concluded, one direction and horizon a tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from math import sqrt

    from rampd.ext.allocate import allocate
    from rampd.ext.codes import (
        ACT_NO_RAISE,
        AVAILABLE,
        ENDLESS,
        FIRMS,
        HORIZONS,
        LUMPS,
        WHY_COOLING,
        WHY_MAX,
        WHY_SWING,
    )
    from rampd.ext.levels import changes_once
    from rampd.ext.meter import aligned
    from rampd.ext.thermal import bounded
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def horizon(k: int) -> float:
    """Seconds of a horizon."""
    if k == 0:
        return 5.0
    return 60.0 if k == 1 else 600.0


def normal(x: float) -> float:
    """The normal distribution function to 2e-7, by arithmetic alone (Abramowitz and Stegun 26.2.19)."""
    z = abs(x)
    tail = 0.0
    if z < 6.0:
        sum_of = 5.3830e-6
        sum_of = sum_of * z + 4.88906e-5
        sum_of = sum_of * z + 3.80036e-5
        sum_of = sum_of * z + 3.2776263e-3
        sum_of = sum_of * z + 2.11410061e-2
        sum_of = sum_of * z + 4.98673470e-2
        sum_of = sum_of * z + 1.0
        sum_of = sum_of * sum_of
        sum_of = sum_of * sum_of
        sum_of = sum_of * sum_of
        tail = 0.5 / (sum_of * sum_of)
    return tail if x < 0.0 else 1.0 - tail


def round_ticks(limits: Limits) -> int:
    """In how many ticks every rack is weighed once."""
    return limits.site.phases + FIRMS


def weighed(limits: Limits, state: State, at: int) -> int:
    """Where the last round's sums of one direction and horizon begin; those of this round stand in the other half."""
    nodes = limits.site.nodes
    return at * nodes + (0 if state.firm_first > 0 else FIRMS * nodes)


def chance(state: State, below_w: float, mean_w: float, sd_w: float, lost_p: float) -> float:
    """The chance of a change smaller than `below_w`, with no node lost or with one of them."""
    sum_p = (1.0 - lost_p) * normal((below_w - mean_w) / sd_w)
    for b in range(LUMPS):
        if state.lump_p[b] > 0.0:
            sum_p += state.lump_p[b] * normal((below_w - mean_w + state.lump_w[b]) / sd_w)
    return sum_p


def lumps(limits: Limits, state: State, at: int) -> float:
    """Sorts what each node would take away into a few sizes, their chances and mean sizes; the chance of any."""
    first = weighed(limits, state, at)
    most_w = 0.0
    for v in range(limits.site.nodes):
        most_w = max(most_w, state.firm_node_w[first + v])
    for b in range(LUMPS):
        state.lump_p[b] = 0.0
        state.lump_w[b] = 0.0
    sum_p = 0.0
    for v in range(limits.site.nodes):
        node_w = state.firm_node_w[first + v]
        if node_w <= 0.0 or state.node_lost[v]:
            continue
        b = 0
        edge_w = most_w / LUMPS
        while b < LUMPS - 1 and node_w > edge_w * (b + 1):
            b += 1
        state.lump_p[b] += state.loss_p
        state.lump_w[b] += node_w * state.loss_p
        sum_p += state.loss_p
    for b in range(LUMPS):
        if state.lump_p[b] > 0.0:
            state.lump_w[b] /= state.lump_p[b]
    return sum_p


def quantile(limits: Limits, state: State, at: int, mean_w: float, sd_w: float) -> float:
    """The change that is exceeded in 19 of 20 cases.

    Up to a third, the chance of a lost node is that of losing one; in a large hall several may be, and their sum is
    taken as normal too.
    """
    lost_p = lumps(limits, state, at)
    if lost_p > 0.35:
        var = sd_w * sd_w
        for b in range(LUMPS):
            mean_w -= state.lump_p[b] * state.lump_w[b]
            var += state.lump_p[b] * state.lump_w[b] * state.lump_w[b]
            state.lump_p[b] = 0.0
        sd_w = sqrt(max(0.0, var))
        lost_p = 0.0
    low_w = mean_w - 5.0 * sd_w
    for b in range(LUMPS):
        if state.lump_p[b] > 0.0:
            low_w = min(low_w, mean_w - state.lump_w[b] - 5.0 * sd_w)
    high_w = mean_w
    for _ in range(20):
        middle_w = 0.5 * (low_w + high_w)
        if chance(state, middle_w, mean_w, sd_w, lost_p) < 0.05:
            low_w = middle_w
        else:
            high_w = middle_w
    return low_w


def counts(inputs: Inputs, limits: Limits, state: State, i: int) -> bool:
    """Whether a rack can be counted on: it is ours to move and was read when it should have been.

    One that missed two readings is not: that is seconds before it is stale.
    """
    if not state.known[i] or state.stale[i] or inputs.rack_state[i] != AVAILABLE:
        return False
    age_ns = state.now_ns - inputs.at_ns[limits.power_slot[i]]
    return 2 * age_ns <= 5 * state.gap_ns[i] + 2 * limits.site.period_ns or state.gap_ns[i] == 0


def above(limits: Limits, state: State, i: int) -> float:
    """How much more a rack would draw if all were called up: standing caps give way to that."""
    if state.action[i] >= ACT_NO_RAISE:
        return 0.0
    why = state.bound_why[i]
    free = why in (WHY_MAX, WHY_SWING, WHY_COOLING)
    most_w = min(limits.max_w[i], state.demand_w[i]) if free else state.hi_w[i]
    # A job that swings may wait when it counts.
    return (min(most_w, state.low_w[i]) if state.swings[i] else most_w) - state.power_w[i]


def offer(
    limits: Limits, state: State, i: int, up: bool, near_w: float, far_w: float, wait_s: float, begin_s: float
) -> None:
    """Adds to a rack's node what it gives in one direction: `near_w` at most in seconds, `far_w` in a minute and more.

    Slope and dead time are known to a tenth or so, `wait_s` less well; that matters where they bind.
    """
    nodes = limits.site.nodes
    period_s = limits.site.period_ns * 1e-9
    node_w = state.firm_node_w
    node_var = state.firm_node_var
    vague_w = state.firm_node_vague_w
    sure = state.success[i]
    spread = sure * (1.0 - sure)
    power_w = state.power_w[i]
    peak_w = state.peak_w[i]
    slope_w = state.up_w_per_s[i] if up else state.down_w_per_s[i]
    dead_s = (state.dead_up[i] if up else state.dead_down[i]) * period_s
    loose_w = slope_w * (0.06 * dead_s + 0.3 * wait_s)
    place = state.firm_first + (HORIZONS * nodes if up else 0) + limits.node[i]
    for k in range(HORIZONS):
        room_w = far_w if k > 0 else near_w
        time_s = horizon(k) - dead_s - begin_s
        if room_w > 0.0 and time_s > 0.0:
            given_w = slope_w * time_s
            off_w = 0.06 * given_w + loose_w
            if given_w > room_w:
                off_w = max(0.0, room_w - given_w + 2.0 * off_w)
                given_w = room_w
            node_w[place] += sure * given_w
            node_var[place] += spread * given_w * given_w + off_w * off_w
            if up:
                vague_w[place] += min(given_w, max(0.0, power_w + given_w - peak_w))
        place += nodes


def weigh(inputs: Inputs, limits: Limits, state: State, i: int) -> None:
    """Adds one rack: what it would give in each direction and horizon, and how sure that is."""
    v = limits.node[i]
    if not counts(inputs, limits, state, i):
        state.node_out[v] += state.known[i]
        return
    state.node_in[v] += 1
    if state.node_lost[v]:
        return
    # One that answers late begins with the call, the others at their turn.
    wait_s = 0.0 if state.slow[i] else 0.5 * limits.site.phases * (limits.site.period_ns * 1e-9)
    if changes_once(limits, i):
        # Such racks change one after the other: this one, on average, half-way through a ramp of five seconds.
        wait_s += 0.5 * max(horizon(0) - limits.site.lead_s, 0.25 * horizon(0))
    begin_s = max(wait_s, (state.free_ns[i] - state.now_ns) * 1e-9)
    room_w = min(state.power_w[i], state.seen_w[i] / state.gain[i]) - state.bottom_w[i]
    if room_w > 0.0:
        offer(limits, state, i, False, room_w, room_w, wait_s, begin_s)
    far_w = above(limits, state, i)
    # Within a minute the flow of the cooling follows the racks; in seconds it does not.
    near_w = far_w * state.loop_more[limits.loop[i]] if state.tight else far_w
    if far_w > 0.0:
        offer(limits, state, i, True, near_w, far_w, wait_s, begin_s)


def losses(limits: Limits, state: State) -> None:
    """Which nodes have lost most of their racks at once, and how likely that is therefore held to be elsewhere.

    Four in a thousand by call and node without experience; each loss adds one in a hundred, forgotten within hours.
    """
    usual_p = 0.004
    if state.loss_p == 0.0:
        state.loss_p = usual_p
    round_s = round_ticks(limits) * limits.site.period_ns * 1e-9
    state.loss_p += (usual_p - state.loss_p) * round_s / 3600.0
    for v in range(limits.site.nodes):
        out = state.node_out[v]
        lost = out >= 3 and out > state.node_in[v]
        if lost and not state.node_lost[v]:
            state.loss_p = min(0.05, state.loss_p + 0.01)
        state.node_lost[v] = lost


def rooms(limits: Limits, state: State) -> None:
    """Sets `slope_w` to how much more the racks below each node may draw: its limit less what it keeps free.

    What racks that were lowered have still to give up is not kept free for long, so it does not count.
    """
    for v in range(limits.site.nodes):
        state.slope_w[v] = 0.0
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        power_w = state.slope_w[v]
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            power_w += state.power_w[i]
        if v > 0:
            state.slope_w[limits.node_parent[v]] += power_w
        carries_w = limits.node_w[v] - state.taken_w[v] - state.reserve_w[v] + state.late_w[v]
        state.slope_w[v] = max(0.0, carries_w - power_w)


def capped(mean_w: float, var: float, room_w: float) -> float:
    """The least mean that a sum of this mean and variance has within a room, whatever its distribution (Scarf 1958)."""
    beyond_w = mean_w - room_w
    return max(0.0, mean_w - 0.5 * (sqrt(var + beyond_w * beyond_w) + beyond_w))


def gather(limits: Limits, state: State, at: int) -> None:
    """Sums one direction and horizon over the nodes, upward within the room of each; reduces `firm_node_w` so.

    Where a node is full its racks each count for a part: below the mean that is less than what others would take over.
    Of what the racks were never seen to draw a tenth is held to be missing, give or take as much.
    """
    nodes = limits.site.nodes
    base = weighed(limits, state, at)
    for v in range(nodes):
        vague_w = 0.1 * state.firm_node_vague_w[base + v]
        state.flow_w[v] = state.firm_node_w[base + v] - vague_w
        state.full_w[v] = state.firm_node_var[base + v] + vague_w * vague_w
        state.fill[v] = 1.0
    for back in range(nodes - 1):
        v = nodes - 1 - back
        if at >= HORIZONS and state.flow_w[v] > 0.0:
            state.fill[v] = capped(state.flow_w[v], state.full_w[v], state.slope_w[v]) / state.flow_w[v]
        parent = limits.node_parent[v]
        state.flow_w[parent] += state.fill[v] * state.flow_w[v]
        state.full_w[parent] += state.fill[v] * state.fill[v] * state.full_w[v]
    state.firm_mean_w[at] = state.flow_w[0]
    state.firm_var[at] = 0.0
    state.firm_vague_w[at] = 0.0
    for v in range(nodes):
        if v > 0:
            state.fill[v] *= state.fill[limits.node_parent[v]]
        state.firm_node_w[base + v] *= state.fill[v]
        state.firm_var[at] += state.fill[v] * state.fill[v] * state.firm_node_var[base + v]
        state.firm_vague_w[at] += 0.1 * state.fill[v] * state.firm_node_vague_w[base + v]


def conclude(inputs: Inputs, limits: Limits, state: State, at: int) -> None:
    """The figure of one direction and horizon: the quantile, within what envelope, site, import limit and main leave.

    It leaves `firm_node_w` reduced, so it comes once a round.
    """
    site = limits.site
    gain = state.through
    model = 1.0 + site.loss_ratio
    up = at >= HORIZONS
    level_w = state.disturbance_w + model * state.model_w
    noise_w = 0.0
    if state.meter_good:
        # What the meter shows beyond the model now is not there when the call has been followed.
        ago = aligned(inputs, limits, state.now_ns)
        past = (state.tick + site.history - ago) % site.history
        noise_w = state.meter_w - state.disturbance_w - model * state.past_model_w[past]
    if up:
        rooms(limits, state)
    gather(limits, state, at)
    vague_w = gain * state.firm_vague_w[at]
    mean_w = gain * state.firm_mean_w[at]
    loose_w = 0.25 * state.noise_w + 0.002 * site.max_w
    sd_w = sqrt(max(0.0, gain * gain * state.firm_var[at] + loose_w * loose_w + vague_w * vague_w)) + 1.0
    found_w = gain * quantile(limits, state, at, mean_w / gain, sd_w / gain)
    rate = site.dispatched_up if up else site.dispatched_down
    lag_s = (site.bridge_ticks + site.align_ticks // 2) * site.period_ns * 1e-9
    found_w = min(found_w, rate * max(0.0, horizon(at - HORIZONS if up else at) - lag_s))
    if up:
        most_w = min(min(site.max_w, site.import_w - state.surge_w) - level_w, gain * state.slope_w[0])
        found_w = min(found_w, most_w - 1.645 * loose_w) - noise_w
    else:
        found_w = min(found_w, level_w - site.min_w) + noise_w
    # Where no rack counts, or none was weighed yet, the meter's noise is no capacity.
    counts_any = state.firm_mean_w[at] > 0.0 and (state.meter_good or not up)
    state.firm_w[at] = max(0.0, found_w) if counts_any else 0.0


def free(limits: Limits, state: State, i: int) -> float:
    """The most that a rack would take if no reason barred it."""
    if state.action[i] >= ACT_NO_RAISE and state.ours[i]:
        return max(state.hi_w[i], min(limits.max_w[i], state.demand_w[i]))
    return state.hi_w[i]


def span(limits: Limits, state: State) -> None:
    """What the meter could be brought to, given time: by the racks' bounds, upward by what nodes and loops carry."""
    for v in range(limits.site.nodes):
        state.used_w[v] = 0.0
        state.flow_w[v] = 0.0
    free_w = 0.0
    for back in range(limits.site.nodes):
        v = limits.site.nodes - 1 - back
        least_w = state.used_w[v]
        most_w = state.flow_w[v]
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            least_w += state.lo_w[i]
            most_w += bounded(limits, state, i)
            free_w += free(limits, state, i)
        carries_w = limits.node_w[v] - state.taken_w[v] - state.reserve_w[v] + state.late_w[v]
        most_w = min(most_w, max(least_w, carries_w))
        state.used_w[v] = least_w
        state.flow_w[v] = most_w
        if v > 0:
            state.used_w[limits.node_parent[v]] += least_w
            state.flow_w[limits.node_parent[v]] += most_w
    gain = state.through
    state.least_w = gain * (state.used_w[0] - state.idle_w) + state.disturbance_w
    most_w = carried(limits, state) if state.tight else state.flow_w[0]
    state.kept_w = max(0.0, free_w - most_w)
    state.most_w = min(gain * (most_w - state.idle_w) + state.disturbance_w, limits.site.import_w - state.surge_w)


def carried(limits: Limits, state: State) -> float:
    """What the racks would come to if all were asked of them that nodes and loops carry; W."""
    for i in range(limits.site.racks):
        state.far_w[i] = bounded(limits, state, i)
    # What lowered racks have still to give up passes: it keeps nobody from rising in the end.
    for v in range(limits.site.nodes):
        state.reserve_w[v] -= state.late_w[v]
    sum_w = allocate(limits, state, state.lo_w, state.far_w, ENDLESS, state.near_w)
    for v in range(limits.site.nodes):
        state.reserve_w[v] += state.late_w[v]
    return sum_w


def firm(inputs: Inputs, limits: Limits, state: State) -> None:
    """One tick's part of the round: some racks are weighed, and of those weighed in the last one a figure concluded."""
    nodes = limits.site.nodes
    racks = limits.site.racks
    ticks = round_ticks(limits)
    turn = state.firm_turn
    for i in range(turn * racks // ticks, (turn + 1) * racks // ticks):
        weigh(inputs, limits, state, i)
    if turn < FIRMS:
        conclude(inputs, limits, state, turn)
    state.firm_turn = turn + 1
    if turn + 1 < ticks:
        return
    losses(limits, state)
    state.firm_turn = 0
    state.firm_first = 0 if state.firm_first > 0 else FIRMS * nodes
    for k in range(state.firm_first, state.firm_first + FIRMS * nodes):
        state.firm_node_w[k] = 0.0
        state.firm_node_var[k] = 0.0
        state.firm_node_vague_w[k] = 0.0
    for v in range(nodes):
        state.node_in[v] = 0
        state.node_out[v] = 0
