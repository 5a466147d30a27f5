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
        DISPATCHED,
        DOUBT_BEFORE,
        ENDLESS,
        ESTOP,
        GOOD,
        R_OVERLOAD,
        STAND,
        VETO_COOLING,
        VETO_FALL,
        VETO_GRID,
        VETO_LEVEL,
        VETO_RISE,
        VETO_STALE,
    )
    from rampd.ext.warden import nodes, trips, veto
    from rampd.ext.witness import alive, believe, faulted, good, listen, opened, recall, survey
if TYPE_CHECKING:
    from rampd.ext.views import Doubles, Inputs, Limits, Watch


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


def wake(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> None:
    """At the first tick: what was tripped before a restart, and what others drew at nodes."""
    watch.last_ns = now_ns
    watch.shown_ns = now_ns
    watch.shown_w = ENDLESS
    watch.resets = inputs.command.resets
    first = limits.site.zones - limits.site.nodes
    for v in range(limits.site.nodes):
        watch.tripped[v] = inputs.latched[first + v] & (1 << R_OVERLOAD) != 0
        watch.same_w[v] = ENDLESS
        watch.steady_w[v] = ENDLESS
        watch.doubts[v] = DOUBT_BEFORE if inputs.learnt_w[v] > 0.0 else 0
        watch.learnt_w[v] = inputs.learnt_w[v]
        watch.low_other_w[v] = inputs.learnt_w[v]
        watch.high_other_w[v] = inputs.learnt_w[v]
        watch.phase_w[v] = inputs.phase_w[v]
        watch.lean_w[v] = inputs.phase_w[v]


def check(inputs: Inputs, limits: Limits, watch: Watch, asked_w: Doubles, out_w: Doubles, now_ns: int) -> None:
    """What may go out: `asked_w` less what breaks a rule, into `out_w`."""
    if watch.last_ns == 0:
        wake(inputs, limits, watch, now_ns)
    meter_good = good(inputs, limits.site.power_slot, limits.site.meter_stale_ns, now_ns)
    fault = faulted(inputs, limits, watch, now_ns)
    if meter_good:
        if watch.shown_w == ENDLESS:
            recall(inputs, limits, watch, now_ns)
        alive(inputs, limits, watch, fault, now_ns)
        believe(inputs, limits, watch, fault, now_ns)
        meter_good = watch.frozen == 0 and watch.implausible == 0
    else:
        watch.short_ns = now_ns
        watch.trust_ns = now_ns
    listen(inputs, limits, watch, now_ns)
    if limits.site.measured:
        survey(inputs, limits, watch, fault, now_ns)
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
