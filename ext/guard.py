# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""Vetoes what breaks the envelope. It knows the configuration, the raw image and what it let pass; nothing else.

A set point that breaks a rule of its rack stays where it was, or falls. When the sum at a node breaks, every raise
below it is withdrawn; when it stays broken, its racks go to their least; what they still read above that trips it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        AVAILABLE,
        DISPATCHED,
        ESTOP,
        GOOD,
        R_OVERLOAD,
        SECOND_NS,
        STAND,
        VETO_COOLING,
        VETO_FALL,
        VETO_GRID,
        VETO_LEVEL,
        VETO_NODE,
        VETO_RISE,
        VETO_SAFE,
        VETO_STALE,
        VETO_TRIP,
    )
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Inputs, Limits, Watch


def good(inputs: Inputs, slot: int, stale_ns: int, now_ns: int) -> bool:
    """Whether a slot may be believed now: good, fresh, and a number whatever its quality says."""
    if slot < 0 or inputs.quality[slot] != GOOD or now_ns - inputs.at_ns[slot] > stale_ns:
        return False
    return inputs.value[slot] * 0.0 == 0.0


def alive(inputs: Inputs, limits: Limits, watch: Watch, fault: bool, now_ns: int) -> None:
    """Judges a meter that answers: frozen when it shows the same while the racks' own readings say that they moved.

    By more than one rack could pretend and for longer than a reading may be old; until it moved again and did not
    contradict the racks for ten seconds. In a fault it may well show the same.
    """
    site = limits.site
    at_ns = inputs.at_ns[site.power_slot]
    if inputs.value[site.power_slot] != watch.shown_w:
        watch.shown_w = inputs.value[site.power_slot]
        watch.shown_ns = at_ns
        watch.own_w = 0.0
        watch.still_ns = 0
        if watch.thaw_ns == 0:
            watch.thaw_ns = now_ns
    elif fault or not abs(watch.own_w) > site.freeze_w:
        watch.still_ns = 0
    elif watch.still_ns == 0:
        watch.still_ns = at_ns
        watch.thaw_ns = 0
    elif at_ns - watch.still_ns >= site.freeze_ns:
        watch.frozen = 1
    if watch.thaw_ns != 0 and now_ns - watch.thaw_ns >= 10 * SECOND_NS:
        watch.frozen = 0


def believe(inputs: Inputs, limits: Limits, watch: Watch, fault: bool, now_ns: int) -> None:
    """Judges a meter that answers: implausible when it shows less than the racks, which no purchase is.

    By more than generation may supply and one rack could pretend, from the least of the racks and the most of the meter
    until every reading is by `freeze_ns` younger than the first: a ramp shows nothing like it. Until it was within half
    of that for ten seconds: the less the racks draw, the less can be told. In a fault nothing can be.
    """
    site = limits.site
    at_ns = inputs.at_ns[site.power_slot]
    meter_w = inputs.value[site.power_slot]
    slack_w = site.freeze_w + site.generation_w
    least_w = min(watch.racks_least_w, watch.racks_w)
    most_w = max(watch.meter_most_w, meter_w)
    if fault or not least_w - most_w > slack_w:
        least_w = watch.racks_w
        most_w = meter_w
        watch.short_ns = now_ns
    watch.racks_least_w = least_w
    watch.meter_most_w = most_w
    if min(watch.racks_ns, at_ns) - watch.short_ns >= site.freeze_ns:
        watch.implausible = 1
    if fault or watch.racks_w - meter_w > slack_w - 0.5 * site.freeze_w:
        watch.trust_ns = now_ns
    elif now_ns - watch.trust_ns >= 10 * SECOND_NS:
        watch.implausible = 0


def listen(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> None:
    """Judges every rack's reading once: what all draw, what each is held to draw at least, and what they moved by.

    The last where one was read twice since the meter last moved. A rack that is not ours, or whose reading cannot be
    believed, is held to draw its most.
    """
    # Pointers of its own, which the compiler need not read again for every rack.
    slots = limits.power_slot
    quality = inputs.quality
    rack_state = inputs.rack_state
    stale_ns = limits.stale_ns
    least_w = watch.least_w
    heard_ns = watch.heard_ns
    own_w = watch.own_w
    racks_w = 0.0
    for i in range(limits.site.racks):
        slot = slots[i]
        read_ns = inputs.at_ns[slot]
        read_w = inputs.value[slot]
        max_w = limits.max_w[i]
        # As `good`; `<= 0.0` is `== 0.0` here, in one branch less.
        if quality[slot] != GOOD or read_ns + stale_ns[i] < now_ns or not read_w * 0.0 <= 0.0:
            least_w[i] = max_w
            continue
        drawn_w = min(max_w, read_w)
        racks_w += max(0.0, drawn_w)
        least_w[i] = drawn_w if rack_state[i] == AVAILABLE else max_w
        if read_ns != heard_ns[i]:
            if heard_ns[i] >= watch.shown_ns:
                own_w += read_w - watch.heard_w[i]
            watch.heard_w[i] = read_w
            heard_ns[i] = read_ns
    watch.own_w = own_w
    watch.racks_w = racks_w
    if watch.short_ns < now_ns:
        oldest(inputs, limits, watch, now_ns)


def oldest(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> None:
    """The oldest reading that counts; asked for only while the meter contradicts the racks."""
    watch.racks_ns = now_ns
    for i in range(limits.site.racks):
        if good(inputs, limits.power_slot[i], limits.stale_ns[i], now_ns):
            watch.racks_ns = min(watch.racks_ns, inputs.at_ns[limits.power_slot[i]])


def strays(part: float) -> bool:
    """Whether a part of nominal is one that no live bus has."""
    return part < 0.9 or part > 1.1


def faulted(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> bool:
    """Whether voltage, frequency or breaker show that the grid is not there, or did when last read: nothing rises."""
    site = limits.site
    seen = watch.fault_seen
    for k in range(3):
        slot = limits.voltage_slot[k]
        if good(inputs, slot, site.meter_stale_ns, now_ns):
            seen = (seen & ~(1 << k)) | (strays(inputs.value[slot] / site.nominal_v) << k)
    if good(inputs, site.frequency_slot, site.meter_stale_ns, now_ns):
        seen = (seen & ~8) | (strays(inputs.value[site.frequency_slot] / site.nominal_hz) << 3)
    if good(inputs, site.breaker_slot, site.meter_stale_ns, now_ns):
        seen = (seen & ~16) | ((inputs.value[site.breaker_slot] == 0.0) << 4)
    watch.fault_seen = seen
    return seen != 0


def opened(inputs: Inputs, limits: Limits, now_ns: int) -> bool:
    """Whether the site's breaker is open."""
    slot = limits.site.breaker_slot
    return good(inputs, slot, limits.site.meter_stale_ns, now_ns) and inputs.value[slot] == 0.0


def veto(watch: Watch, i: int, why: int) -> None:
    """Counts a veto and marks the rack."""
    watch.vetoes[why] += 1
    watch.vetoed[i] = 1


def meet(inputs: Inputs, limits: Limits, watch: Watch, i: int, now_ns: int) -> None:
    """The first sight of a rack: its set point is what it shows, and at least what it draws.

    One that rested at a restart may have been lowered just before it: what it draws still is its set point no more.
    """
    if not good(inputs, limits.power_slot[i], limits.stale_ns[i], now_ns):
        return
    seen_w = inputs.value[limits.power_slot[i]]
    if limits.limit_slot[i] >= 0:
        if not good(inputs, limits.limit_slot[i], limits.stale_ns[i], now_ns):
            return
        shown_w = inputs.value[limits.limit_slot[i]]
        seen_w = shown_w if inputs.free_ns[i] > 0 else max(seen_w, shown_w)
    watch.last_w[i] = 0.0 if seen_w <= 0.0 else min(max(seen_w, limits.min_w[i]), limits.max_w[i])
    watch.known[i] = 1


def has(limits: Limits, i: int, asked_w: float) -> bool:
    """Whether a rack can take a set point: off, one of its levels where they are listed, else from least to most."""
    if asked_w == 0.0:
        return True
    first = limits.level_first[i]
    last = limits.level_first[i + 1]
    for k in range(first, last):
        if asked_w == limits.level_w[k]:
            return True
    return first == last and limits.min_w[i] <= asked_w <= limits.max_w[i]


def rack(
    inputs: Inputs, limits: Limits, watch: Watch, i: int, asked_w: float, meter_good: bool, fault: bool, now_ns: int
) -> float:
    """The set point of one rack by its own rules: a level it has, and no raise that its readings do not carry."""
    last_w = watch.last_w[i]
    if not has(limits, i, asked_w):
        veto(watch, i, VETO_LEVEL)
        return last_w
    if asked_w < last_w:
        return asked_w
    if not meter_good or not good(inputs, limits.power_slot[i], limits.stale_ns[i], now_ns):
        veto(watch, i, VETO_STALE)
        return last_w
    if fault:
        veto(watch, i, VETO_GRID)
        return last_w
    loop = limits.loop[i]
    supply = limits.supply_slot[loop]
    if (
        not good(inputs, supply, limits.site.loop_stale_ns, now_ns)
        or inputs.value[supply] >= limits.warn_c[loop]
        or uncooled(inputs, limits, loop, now_ns)
        or damp(inputs, limits, loop, now_ns)
    ):
        veto(watch, i, VETO_COOLING)
        return last_w
    return asked_w


def own(
    inputs: Inputs, limits: Limits, watch: Watch, asked_w: Doubles, out_w: Doubles, meter_good: bool, fault: bool,
    now_ns: int,
) -> float:  # fmt: skip
    """Every set point by its rack's own rules, into `out_w`; what their sum changes by. What stands breaks none."""
    known = watch.known
    last_w = watch.last_w
    strangers = 0
    for i in range(limits.site.racks):
        strangers |= known[i] == 0
    if strangers:
        for i in range(limits.site.racks):
            if not known[i]:
                meet(inputs, limits, watch, i, now_ns)
    change_w = 0.0
    for i in range(limits.site.racks):
        if asked_w[i] == last_w[i]:
            out_w[i] = asked_w[i]
        elif known[i]:
            out_w[i] = rack(inputs, limits, watch, i, asked_w[i], meter_good, fault, now_ns)
            change_w += out_w[i] - last_w[i]
    if strangers:
        for i in range(limits.site.racks):
            if not known[i]:
                out_w[i] = 0.0
                watch.least_w[i] = limits.max_w[i]
    return change_w


def pace(inputs: Inputs, limits: Limits, watch: Watch, out_w: Doubles, change_w: float, now_ns: int) -> None:
    """The sum rises and falls no faster than its envelope, over the tick and over any second.

    What one rack cannot take but at once may be saved up for over a longer time.
    A quarter is left for the feedback, which moves the racks against the rest of the load. Falling is free while the
    meter or the racks alone are above the import limit, when their sum does not rise either; and below the first
    under-frequency step, with the breaker open, and after an estop.
    """
    command = inputs.command
    site = limits.site
    since_s = min((now_ns - watch.last_ns) * 1e-9, 1.0)
    leased = command.verb != STAND and now_ns < command.expires_ns
    dispatched = (leased and command.envelope == DISPATCHED) or now_ns < command.regulation_ns
    up = site.dispatched_up if dispatched else site.normal_up
    down = site.dispatched_down
    watch.rise_w = min(watch.rise_w + 1.25 * up * since_s, 1.25 * max(up, 0.1 * site.dispatched_up, site.jump_w))
    watch.fall_w = min(watch.fall_w + 1.25 * down * since_s, 1.25 * max(down, site.jump_w))
    over = watch.racks_w - site.generation_w > site.import_w
    free = over or command.verb == ESTOP or opened(inputs, limits, now_ns)
    if inputs.quality[site.power_slot] == GOOD and inputs.value[site.power_slot] > site.import_w and watch.frozen == 0:
        free = True
    if site.under_steps > 0 and good(inputs, site.frequency_slot, site.meter_stale_ns, now_ns):
        free = free or inputs.value[site.frequency_slot] <= limits.under_hz[0]
    if -change_w > watch.fall_w and not free:
        for i in range(site.racks):
            # Racks whose cooling fails may fall as they like.
            if watch.known[i] and out_w[i] < watch.last_w[i] and not uncooled(inputs, limits, limits.loop[i], now_ns):
                change_w += watch.last_w[i] - out_w[i]
                out_w[i] = watch.last_w[i]
                veto(watch, i, VETO_FALL)
                if -change_w <= watch.fall_w:
                    break
    if change_w > (0.0 if over else watch.rise_w):
        for i in range(site.racks):
            if watch.known[i] and out_w[i] > watch.last_w[i]:
                change_w -= out_w[i] - watch.last_w[i]
                out_w[i] = watch.last_w[i]
                veto(watch, i, VETO_RISE)
    if change_w > 0.0:
        watch.rise_w -= min(change_w, watch.rise_w)
    else:
        watch.fall_w -= min(-change_w, watch.fall_w)


def uncooled(inputs: Inputs, limits: Limits, loop: int, now_ns: int) -> bool:
    """Whether a loop's temperature or flow permits, or a leak demands, any fall.

    Heat and leaks are believed however old they are; a flow may be below its least for a moment, so it must be fresh.
    """
    supply = limits.supply_slot[loop]
    flow = limits.flow_slot[loop]
    leak = limits.leak_slot[loop]
    return (
        (inputs.quality[supply] == GOOD and inputs.value[supply] >= limits.derate_c[loop])
        or (good(inputs, flow, limits.site.loop_stale_ns, now_ns) and inputs.value[flow] < limits.min_flow_lpm[loop])
        or (leak >= 0 and inputs.quality[leak] == GOOD and inputs.value[leak] != 0.0)
    )


def damp(inputs: Inputs, limits: Limits, loop: int, now_ns: int) -> bool:
    """Whether a loop's supply, which can be read, is known to be too near the dew point of the air at its racks."""
    dew = limits.dew_slot[loop]
    if not good(inputs, dew, limits.dew_stale_ns[loop], now_ns):
        return False
    return inputs.value[limits.supply_slot[loop]] < inputs.value[dew] + limits.margin_k[loop]


def total(limits: Limits, watch: Watch, out_w: Doubles) -> None:
    """Sums the worst case at every node into `sum_w`, and marks nodes that are broken themselves or below such.

    The most that a rack may draw while its set point goes from the last to the next one, and no less than its reading:
    one that is on draws at least its least, whatever it is asked.
    """
    for v in range(limits.site.nodes):
        sum_w = 0.0
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            sum_w += max(max(watch.last_w[i], out_w[i]), watch.least_w[i])
        watch.sum_w[v] = sum_w
    for back in range(limits.site.nodes - 1):
        v = limits.site.nodes - 1 - back
        watch.sum_w[limits.node_parent[v]] += watch.sum_w[v]
    for v in range(limits.site.nodes):
        parent = limits.node_parent[v]
        broken = watch.sum_w[v] > limits.node_w[v] * (1.0 + 1e-9)
        watch.breach[v] = broken or (parent >= 0 and watch.breach[parent] != 0)


def nodes(limits: Limits, watch: Watch, out_w: Doubles, now_ns: int) -> None:
    """Withdraws raises below every broken node; after `breach_ns` above its limit its racks go to their least."""
    total(limits, watch, out_w)
    withdrawn = False
    for v in range(limits.site.nodes):
        if watch.breach[v] == 0:
            continue
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            if watch.known[i] and out_w[i] > watch.last_w[i]:
                out_w[i] = watch.last_w[i]
                veto(watch, i, VETO_NODE)
                withdrawn = True
    if withdrawn:
        total(limits, watch, out_w)
    for v in range(limits.site.nodes):
        if watch.breach[v] == 0:
            watch.over_ns[v] = 0
            continue
        if watch.over_ns[v] == 0:
            watch.over_ns[v] = now_ns
        if now_ns - watch.over_ns[v] < limits.site.breach_ns:
            continue
        for i in range(limits.rack_first[v], limits.rack_first[v + 1]):
            if watch.known[i] and out_w[i] > limits.min_w[i]:
                out_w[i] = limits.min_w[i]
                veto(watch, i, VETO_SAFE)


def load(limits: Limits, watch: Watch, v: int) -> float:
    """What the racks below a node draw by their own readings; one that is silent, or never was read, as it was; W."""
    sum_w = 0.0
    for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
        sum_w += min(limits.max_w[i], max(0.0, watch.heard_w[i]))
    return sum_w


def trips(inputs: Inputs, limits: Limits, watch: Watch, out_w: Doubles, now_ns: int) -> None:
    """Switches off what is below a node whose racks, sent to their least, draw more than its limit for `trip_ns`.

    What silent racks could draw sends the others to their least, and trips nothing. It stays off until an operator's
    reset that finds the node below its limit.
    """
    reset = inputs.command.resets != watch.resets
    watch.resets = inputs.command.resets
    for v in range(limits.site.nodes):
        sent = watch.over_ns[v] != 0 and now_ns - watch.over_ns[v] >= limits.site.breach_ns
        if not sent and watch.tripped[v] == 0:
            watch.hot_ns[v] = 0
            continue
        if load(limits, watch, v) <= limits.node_w[v]:
            watch.hot_ns[v] = 0
            if reset:
                watch.tripped[v] = 0
        elif watch.hot_ns[v] == 0:
            watch.hot_ns[v] = now_ns
        elif now_ns - watch.hot_ns[v] >= limits.trip_ns[v]:
            watch.tripped[v] = 1
        if watch.tripped[v]:
            for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
                if out_w[i] > 0.0:
                    out_w[i] = 0.0
                    veto(watch, i, VETO_TRIP)


def wake(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> None:
    """At the first tick: what was tripped before a restart."""
    watch.last_ns = now_ns
    watch.shown_ns = now_ns
    watch.resets = inputs.command.resets
    first = limits.site.zones - limits.site.nodes
    for v in range(limits.site.nodes):
        watch.tripped[v] = inputs.latched[first + v] & (1 << R_OVERLOAD) != 0


def check(inputs: Inputs, limits: Limits, watch: Watch, asked_w: Doubles, out_w: Doubles, now_ns: int) -> None:
    """What may go out: `asked_w` less what breaks a rule, into `out_w`."""
    if watch.last_ns == 0:
        wake(inputs, limits, watch, now_ns)
    meter_good = good(inputs, limits.site.power_slot, limits.site.meter_stale_ns, now_ns)
    fault = faulted(inputs, limits, watch, now_ns)
    if meter_good:
        alive(inputs, limits, watch, fault, now_ns)
        believe(inputs, limits, watch, fault, now_ns)
        meter_good = watch.frozen == 0 and watch.implausible == 0
    else:
        watch.short_ns = now_ns
        watch.trust_ns = now_ns
    listen(inputs, limits, watch, now_ns)
    # Pointers of its own let the compiler clear and copy in one piece.
    vetoed = watch.vetoed
    last_w = watch.last_w
    for i in range(limits.site.racks):
        vetoed[i] = 0
    change_w = own(inputs, limits, watch, asked_w, out_w, meter_good, fault, now_ns)
    pace(inputs, limits, watch, out_w, change_w, now_ns)
    nodes(limits, watch, out_w, now_ns)
    trips(inputs, limits, watch, out_w, now_ns)
    for i in range(limits.site.racks):
        last_w[i] = out_w[i]
    watch.last_ns = now_ns
