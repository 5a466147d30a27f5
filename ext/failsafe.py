# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What may be believed and what is so: the conditions of the failsafe table, and each rack's action.

Guilty until fresh: a rack takes part once its power, and its read-back where it has one, were read. What the reasons
do and how they end stands in `ext/reasons.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.beside import stranded
    from rampd.ext.codes import (
        ACT_NO_RAISE,
        ACT_SAFE,
        AVAILABLE,
        ENDLESS,
        ESTOP,
        GOOD,
        LOCKED,
        MANUAL,
        R_CDU_NEVER,
        R_CDU_STALE,
        R_CHANNEL,
        R_COMMON,
        R_CONDENSATION,
        R_ESTOP,
        R_IMPORT,
        R_LEAK,
        R_LOW_FLOW,
        R_METER_FROZEN,
        R_METER_IMPLAUSIBLE,
        R_METER_LOST,
        R_METER_NEVER,
        R_NEVER_READ,
        R_NO_FLOW,
        R_RETURN,
        R_RETURN_TURN,
        R_SHED,
        R_STALE,
        R_SUPPLY_DERATE,
        R_SUPPLY_TRIP,
        R_SUPPLY_WARN,
        R_UNRESPONSIVE,
        REASONS,
        SECOND_NS,
        SITE_IMPORT,
        STAND,
        UNRESPONSIVE,
    )
    from rampd.ext.crash import forget
    from rampd.ext.ladder import acts, hold, worst
    from rampd.ext.meter import unlearn
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, State


def fresh(inputs: Inputs, slot: int, stale_ns: int, now_ns: int) -> bool:
    """Whether a slot holds a good value that is not too old, and is a number whatever its quality says."""
    if slot < 0 or inputs.quality[slot] != GOOD or now_ns - inputs.at_ns[slot] > stale_ns:
        return False
    return inputs.value[slot] * 0.0 == 0.0


def level(limits: Limits, i: int, asked_w: float) -> float:
    """A power as a set point that the rack can take: off, or between its least and its most."""
    if asked_w < 0.5 * limits.min_w[i]:
        return 0.0
    return min(max(asked_w, limits.min_w[i]), limits.max_w[i])


def freeze(inputs: Inputs, limits: Limits, state: State) -> None:
    """Whether the meter shows the same to the last bit while the hall has moved by the racks' own readings.

    What counts is how far they moved since the meter last did (`own_w`, see model.learn): by more than any one rack
    could pretend, and for longer than a reading may be old. It is over once the meter moves.
    """
    site = limits.site
    at_ns = inputs.at_ns[site.power_slot]
    if inputs.value[site.power_slot] != state.shown_w:
        state.shown_w = inputs.value[site.power_slot]
        state.shown_ns = at_ns
        state.own_w = 0.0
        state.still_ns = 0
        state.meter_frozen = 0
    elif not abs(state.own_w) > site.freeze_w:
        state.still_ns = 0
    elif state.still_ns == 0:
        state.still_ns = at_ns
    elif at_ns - state.still_ns >= site.freeze_ns:
        state.meter_frozen = 1


def implausible(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> bool:
    """Whether the meter shows less than the racks' own readings add up to, and for how long: a purchase is never less.

    By more than is generated behind it and any one rack could pretend. The least that the racks showed since then is
    held against the most that the meter showed, until every reading that counts is by `freeze_ns` younger than that:
    so no ramp is taken for it, however late who reads what.
    """
    site = limits.site
    meter_w = inputs.value[site.power_slot]
    slack_w = site.freeze_w + site.generation_w
    least_w = min(state.racks_least_w, state.racks_w)
    most_w = max(state.meter_most_w, meter_w)
    state.short = state.racks_w - meter_w > slack_w
    if not least_w - most_w > slack_w:
        least_w = state.racks_w
        most_w = meter_w
        state.short_ns = now_ns
    state.racks_least_w = least_w
    state.meter_most_w = most_w
    # Once proven wrong it must come nearer: the less the racks draw, the less it can be told.
    if state.racks_w - meter_w > 0.5 * site.freeze_w + site.generation_w and acts(state, 0, R_METER_IMPLAUSIBLE):
        return True
    return min(state.racks_ns, inputs.at_ns[site.power_slot]) - state.short_ns >= site.freeze_ns


def remember(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Until the hall is taken over: what its meter was doubted for before a restart. From then on it proves itself.

    Its first reading has not moved.
    """
    state.shown_w = inputs.value[limits.site.power_slot]
    state.shown_ns = inputs.at_ns[limits.site.power_slot]
    state.own_w = 0.0
    state.meter_frozen = (inputs.doubted >> R_METER_FROZEN) & 1
    if (inputs.doubted >> R_METER_IMPLAUSIBLE) & 1:
        hold(limits, state, 0, R_METER_IMPLAUSIBLE, True, now_ns)


def meter(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The meter is good when fresh, alive and plausible, and after a gap once that reason has ended."""
    is_fresh = fresh(inputs, limits.site.power_slot, limits.site.meter_stale_ns, now_ns)
    if not state.started and inputs.doubted != 0:
        remember(inputs, limits, state, now_ns)
    if is_fresh:
        freeze(inputs, limits, state)
    # What cannot be told, in a fault as well, is as it was.
    false = acts(state, 0, R_METER_IMPLAUSIBLE)
    if is_fresh and not state.fault_hold:
        false = implausible(inputs, limits, state, now_ns)
    else:
        state.short_ns = now_ns
    # One that moved again and is doubted anew has not recovered.
    frozen = state.meter_frozen != 0 or (acts(state, 0, R_METER_FROZEN) and state.still_ns != 0)
    never = hold(limits, state, 0, R_METER_NEVER, not is_fresh and not state.started, now_ns)
    lost = hold(limits, state, 0, R_METER_LOST, not is_fresh and state.started != 0, now_ns)
    frozen = hold(limits, state, 0, R_METER_FROZEN, frozen, now_ns)
    false = hold(limits, state, 0, R_METER_IMPLAUSIBLE, false, now_ns)
    if false:
        unlearn(limits, state)
    good = not never and not lost and not frozen and not false
    if state.meter_good and not good:
        state.blind_ns = now_ns
    state.meter_good = good


def importing(inputs: Inputs, limits: Limits, state: State) -> bool:
    """Whether the purchase is above the import limit, by the meter or by the racks alone, or its target is cut to it.

    The target may be bound by something else while the purchase is above.
    """
    site = limits.site
    if state.site_why == SITE_IMPORT or state.racks_w - site.generation_w > site.import_w:
        return True
    if not state.meter_good:
        return acts(state, 0, R_IMPORT)
    return inputs.value[site.power_slot] > site.import_w


def steering(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The reasons of the site that the reference follows, and the feeders' turns on the return."""
    command = inputs.command
    hold(limits, state, 0, R_RETURN, state.returning != 0 and not state.exceeded, now_ns)
    hold(limits, state, 0, R_IMPORT, importing(inputs, limits, state), now_ns)
    lost = (command.lost_ns > 0 and command.verb != STAND) or stranded(inputs, state, now_ns)
    hold(limits, state, 0, R_CHANNEL, lost, now_ns)
    hold(limits, state, 0, R_ESTOP, command.verb == ESTOP, now_ns)
    for feeder in range(limits.site.feeders):
        waits = state.returning != 0 and now_ns < state.return_ns + feeder * limits.site.stagger_ns
        hold(limits, state, 1 + feeder, R_RETURN_TURN, waits, now_ns)


def ailing(inputs: Inputs, limits: Limits, state: State, loop: int, acted: int, now_ns: int) -> int:
    """Bits of the reasons that are so for a loop; what cannot be read counts as it was, by those that acted so far."""
    stale_ns = limits.site.loop_stale_ns
    supply = limits.supply_slot[loop]
    flow = limits.flow_slot[loop]
    warm = fresh(inputs, supply, stale_ns, now_ns)
    supply_c = inputs.value[supply]
    so = 0
    if warm and fresh(inputs, flow, stale_ns, now_ns):
        flow_lpm = inputs.value[flow]
        least_lpm = limits.min_flow_lpm[loop]
        so |= (supply_c >= limits.warn_c[loop]) << R_SUPPLY_WARN
        so |= (supply_c >= limits.derate_c[loop]) << R_SUPPLY_DERATE
        so |= (supply_c >= limits.trip_c[loop]) << R_SUPPLY_TRIP
        so |= (flow_lpm < least_lpm) << R_LOW_FLOW
        so |= (flow_lpm < 0.1 * least_lpm) << R_NO_FLOW
    else:
        # Before its first good readings there is nothing to clear.
        met = state.tick > 1 and state.loop_w[loop] < ENDLESS
        so |= 1 << (R_CDU_STALE if met else R_CDU_NEVER)
        so |= acted & ((1 << R_LEAK) - (1 << R_SUPPLY_WARN))
    leak = limits.leak_slot[loop]
    if leak >= 0 and inputs.quality[leak] == GOOD and inputs.value[leak] != 0.0:
        so |= 1 << R_LEAK
    dew = limits.dew_slot[loop]
    if warm and fresh(inputs, dew, limits.dew_stale_ns[loop], now_ns):
        so |= (supply_c < inputs.value[dew] + limits.margin_k[loop]) << R_CONDENSATION
    else:
        so |= acted & (1 << R_CONDENSATION)
    return so


def cooling(inputs: Inputs, limits: Limits, state: State, loop: int, now_ns: int) -> None:
    """The reasons of one loop: its supply temperature, flow, leak bits, dew point and the age of its readings.

    Most loops are well and were: nothing begins and nothing ends.
    """
    zone = 1 + limits.site.feeders + limits.site.links + loop
    so = ailing(inputs, limits, state, loop, state.zone_reasons[zone], now_ns)
    if so | state.zone_reasons[zone] == 0:
        return
    leak = limits.leak_slot[loop]
    for reason in range(R_CDU_NEVER, R_CONDENSATION + 1):
        # While the leak bits cannot be read, their reason stays without beginning anew.
        if reason != R_LEAK or (leak >= 0 and inputs.quality[leak] == GOOD):
            hold(limits, state, zone, reason, so & (1 << reason) != 0, now_ns)


def common(limits: Limits, state: State, zone: int, now_ns: int) -> None:
    """The common loss of a feeder or link: many of its racks fell silent at once, and as many still are."""
    many = max(3, (limits.zone_racks[zone] + 1) // 2)
    still = state.zone_burst[zone] >= many or acts(state, zone, R_COMMON)
    hold(limits, state, zone, R_COMMON, still and state.zone_lost[zone] >= many, now_ns)
    state.zone_lost[zone] = 0


def burst(state: State, zone: int, now_ns: int) -> None:
    """A rack of a zone has just fallen silent: one of how many within five seconds."""
    if now_ns - state.zone_burst_ns[zone] > 5 * SECOND_NS:
        state.zone_burst_ns[zone] = now_ns
        state.zone_burst[zone] = 0
    state.zone_burst[zone] += 1


def silent(limits: Limits, state: State, i: int, now_ns: int) -> int:
    """A rack without a fresh reading: counted where it belongs. Its action.

    What the loss of a link explains is no loss of its feeder; whether it does is known in the next tick.
    """
    if not state.known[i]:
        state.reason_racks[R_NEVER_READ] += 1
        return limits.reason_action[R_NEVER_READ]
    feeder = 1 + limits.feeder[i]
    since = state.stale[i] == 0
    linked = False
    if since:
        burst(state, feeder, now_ns)
    if limits.link[i] >= 0:
        link = 1 + limits.site.feeders + limits.link[i]
        linked = acts(state, link, R_COMMON)
        state.zone_lost[link] += 1
        if since:
            burst(state, link, now_ns)
    if limits.link[i] < 0 or not (since or linked):
        state.zone_lost[feeder] += 1
    if not linked and not acts(state, feeder, R_COMMON):
        state.reason_racks[R_STALE] += 1
    return limits.reason_action[R_STALE]


def zones(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The reasons of the site, feeders, links and loops, and what all of them do to their racks."""
    site = limits.site
    meter(inputs, limits, state, now_ns)
    steering(inputs, limits, state, now_ns)
    for zone in range(1, 1 + site.feeders + site.links):
        common(limits, state, zone, now_ns)
    for loop in range(site.loops):
        cooling(inputs, limits, state, loop, now_ns)
    for zone in range(site.zones):
        state.zone_action[zone] = worst(limits, state.zone_reasons[zone])
    for loop in range(site.loops):
        state.loop_action[loop] = state.zone_action[1 + site.feeders + site.links + loop]
    for reason in range(REASONS):
        state.reason_racks[reason] = 0


def hear(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Which racks have a fresh reading, as `fresh` has it, and which of these a new one; what they draw in sum.

    None more than its most.
    """
    # Pointers of its own: behind a byte that is written, the compiler would read those in the structs again.
    slots = limits.power_slot
    value = inputs.value
    at_ns = inputs.at_ns
    quality = inputs.quality
    stale_ns = limits.stale_ns
    max_w = limits.max_w
    is_fresh = state.fresh
    seen_ns = state.seen_ns
    news = state.news
    count = 0
    racks_w = 0.0
    for i in range(limits.site.racks):
        is_fresh[i] = 0
    for i in range(limits.site.racks):
        slot = slots[i]
        read_w = value[slot]
        read_ns = at_ns[slot]
        # `<= 0.0` is `== 0.0` here, in one branch less.
        if quality[slot] == GOOD and read_ns + stale_ns[i] >= now_ns and read_w * 0.0 <= 0.0:
            is_fresh[i] = 1
            racks_w += min(max_w[i], max(0.0, read_w))
            news[count] = i
            count += read_ns != seen_ns[i]
    state.news_count = count
    state.racks_w = racks_w
    if state.short_ns < now_ns:
        oldest(inputs, limits, state, now_ns)


def oldest(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """The oldest of the racks' fresh readings; asked for only while the meter contradicts them."""
    state.racks_ns = now_ns
    for i in range(limits.site.racks):
        if state.fresh[i]:
            state.racks_ns = min(state.racks_ns, inputs.at_ns[limits.power_slot[i]])


def beset(limits: Limits, state: State) -> None:
    """The worst action of the reasons of site, feeder, loop, link and nodes on each rack; in most ticks none acts."""
    action = state.action
    for i in range(limits.site.racks):
        action[i] = 0
    worst_of = 0
    for zone in range(limits.site.zones):
        worst_of = max(worst_of, state.zone_action[zone])
    if worst_of == 0:
        return
    loops = 1 + limits.site.feeders + limits.site.links
    for i in range(limits.site.racks):
        of_zones = max(state.zone_action[0], state.zone_action[1 + limits.feeder[i]])
        of_zones = max(of_zones, state.zone_action[loops + limits.loop[i]])
        if limits.link[i] >= 0:
            of_zones = max(of_zones, state.zone_action[1 + limits.site.feeders + limits.link[i]])
        action[i] = of_zones
    first = limits.site.zones - limits.site.nodes
    for v in range(limits.site.nodes):
        of_node = state.zone_action[first + v]
        if of_node > 0:
            for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
                action[i] = max(action[i], of_node)


def judge(inputs: Inputs, limits: Limits, state: State, now_ns: int) -> None:
    """Sets what this tick may believe: meter, loop actions, racks' staleness and actions; adopts racks first seen."""
    zones(inputs, limits, state, now_ns)
    hear(inputs, limits, state, now_ns)
    beset(limits, state)
    state.urgent = 0
    racks = limits.site.racks
    known = state.known
    is_fresh = state.fresh
    stale = state.stale
    action = state.action
    usual = state.usual
    rack_state = inputs.rack_state
    calm = state.shedding == 0 and state.verb != ESTOP
    for i in range(racks):
        usual[i] = is_fresh[i] & known[i] & (rack_state[i] == AVAILABLE) & (action[i] < ACT_NO_RAISE) & calm
    # Most racks are as they are most of the time; the others one by one.
    for i in range(racks):
        if usual[i] == 0:
            sentence(inputs, limits, state, i, now_ns)
    for i in range(racks):
        stale[i] = is_fresh[i] ^ 1


def sentence(inputs: Inputs, limits: Limits, state: State, i: int, now_ns: int) -> None:
    """What is to be done with one rack, by its own reasons and those that beset it, and whether it may be as usual."""
    if state.fresh[i] and not state.known[i]:
        adopt(inputs, limits, state, i, now_ns)
    action = state.action[i]
    rack_state = inputs.rack_state[i]
    if not state.fresh[i]:
        action = max(action, silent(limits, state, i, now_ns))
    if rack_state == UNRESPONSIVE:
        state.reason_racks[R_UNRESPONSIVE] += 1
        action = max(action, limits.reason_action[R_UNRESPONSIVE])
    if state.shedding and limits.tier[i] >= state.shed_tier:
        state.reason_racks[R_SHED] += 1
        action = max(action, limits.reason_action[R_SHED])
    state.action[i] = action
    state.urgent += action >= ACT_SAFE or rack_state in (MANUAL, LOCKED)
    ours = state.known[i] != 0 and state.fresh[i] != 0 and rack_state == AVAILABLE
    if not ours:
        forget(state, i)
    state.usual[i] = ours and action < ACT_NO_RAISE and state.verb != ESTOP


def adopt(inputs: Inputs, limits: Limits, state: State, i: int, now_ns: int) -> None:
    """Takes a rack over where it stands: its read-back set point, or what it draws where there is none."""
    power_w = inputs.value[limits.power_slot[i]]
    found_w = power_w
    if limits.limit_slot[i] >= 0:
        if not fresh(inputs, limits.limit_slot[i], limits.stale_ns[i], now_ns):
            return
        found_w = inputs.value[limits.limit_slot[i]]
    found_w = level(limits, i, found_w)
    state.known[i] = 1
    forget(state, i)
    state.applied_w[i] = found_w
    state.asked_w[i] = found_w
    state.cap_w[i] = found_w
    margin_w = max(0.05 * limits.max_w[i], 1.2 * limits.quantum_w[i])
    state.demand_w[i] = limits.max_w[i] if power_w >= found_w - margin_w else max(power_w, limits.min_w[i])
    for k in range(limits.site.history):
        state.past_w[k * limits.site.racks + i] = found_w
