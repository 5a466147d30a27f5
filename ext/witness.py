# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the guard makes of the raw image: which readings may be believed, and what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import (
        AVAILABLE,
        DOUBT_BEFORE,
        DOUBT_FALSE,
        DOUBT_FROZEN,
        DOUBT_SCALE,
        ENDLESS,
        GOOD,
        R_METER_FROZEN,
        R_METER_IMPLAUSIBLE,
        SECOND_NS,
    )
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, Watch


def good(inputs: Inputs, slot: int, stale_ns: int, now_ns: int) -> bool:
    """Whether a slot may be believed now: good, fresh, and a number whatever its quality says."""
    if slot < 0 or inputs.quality[slot] != GOOD or now_ns - inputs.at_ns[slot] > stale_ns:
        return False
    return inputs.value[slot] * 0.0 == 0.0


def recall(inputs: Inputs, limits: Limits, watch: Watch, now_ns: int) -> None:
    """At its first reading: what a meter was doubted for before a restart. That reading has not moved."""
    watch.shown_w = inputs.value[limits.site.power_slot]
    watch.shown_ns = inputs.at_ns[limits.site.power_slot]
    watch.own_w = 0.0
    watch.frozen = (inputs.doubted >> R_METER_FROZEN) & 1
    watch.implausible = (inputs.doubted >> R_METER_IMPLAUSIBLE) & 1
    watch.trust_ns = now_ns


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


def below(inputs: Inputs, limits: Limits, watch: Watch, v: int, now_ns: int) -> int:
    """Keeps what the racks below a node may have drawn, over a span and the one before; the oldest of their readings.

    A silent rack may draw nothing, or its most.
    """
    most_w = 0.0
    least_w = 0.0
    oldest_ns = now_ns
    for i in range(limits.rack_first[v], limits.rack_first[limits.node_end[v]]):
        slot = limits.power_slot[i]
        if not good(inputs, slot, limits.stale_ns[i], now_ns):
            most_w += limits.max_w[i]
            continue
        drawn_w = min(limits.max_w[i], max(0.0, inputs.value[slot]))
        most_w += drawn_w
        least_w += drawn_w
        oldest_ns = min(oldest_ns, inputs.at_ns[slot])
    if now_ns - watch.span_at_ns[v] >= limits.span_ns[v]:
        watch.span_at_ns[v] = now_ns
        watch.most_below_w[limits.site.nodes + v] = watch.most_below_w[v]
        watch.least_below_w[limits.site.nodes + v] = watch.least_below_w[v]
        watch.most_below_w[v] = most_w
        watch.least_below_w[v] = least_w
    watch.most_below_w[v] = max(watch.most_below_w[v], most_w)
    watch.least_below_w[v] = min(watch.least_below_w[v], least_w)
    return oldest_ns


def fullest(inputs: Inputs, limits: Limits, watch: Watch, v: int, drawn_w: float, now_ns: int) -> float:
    """The current of a node's fullest phase, A; none where no phase can be read.

    One that cannot be is held to draw its part of the node's power, the lesser of the last two that were read.
    """
    most_a = 0.0
    heard = 0
    for k in range(3 * v, 3 * v + 3):
        before = 3 * limits.site.nodes + k
        if good(inputs, limits.amps_slot[k], limits.node_stale_ns[v], now_ns):
            heard += 1
            current_a = max(inputs.value[limits.amps_slot[k]], -inputs.value[limits.amps_slot[k]])
            # Of little power no part can be told.
            if drawn_w > 0.1 * limits.node_w[v]:
                watch.amps_per_w[before] = watch.amps_per_w[k]
                watch.amps_per_w[k] = current_a / drawn_w
        else:
            current_a = drawn_w * min(watch.amps_per_w[k], watch.amps_per_w[before])
        most_a = max(most_a, current_a)
    return most_a if heard > 0 else 0.0


def silent(inputs: Inputs, limits: Limits, v: int, now_ns: int) -> bool:
    """Whether a phase of a node, of those that its meter has, cannot be read."""
    for k in range(3 * v, 3 * v + 3):
        slot = limits.amps_slot[k]
        if slot >= 0 and not good(inputs, slot, limits.node_stale_ns[v], now_ns):
            return True
    return False


def gauge(inputs: Inputs, limits: Limits, watch: Watch, v: int, now_ns: int) -> None:
    """Takes a new reading of a node's meter, and what its fullest phase takes of its limit, by two readings in a row.

    One that shows less than nothing, less than its racks, or more than can be is none. While a phase of it cannot be
    read, that may rise and does not fall.
    """
    slot = limits.draw_slot[v]
    drawn_w = inputs.value[slot]
    if inputs.at_ns[slot] <= watch.drawn_ns[v] or not good(inputs, slot, limits.node_stale_ns[v], now_ns):
        return
    watch.drawn_ns[v] = inputs.at_ns[slot]
    watch.drawn_w[v] = drawn_w
    if drawn_w < max(0.0, watch.least_below_w[v] - 0.1 * limits.node_w[v]) or drawn_w > 2.0 * limits.rating_w[v]:
        return
    most_a = fullest(inputs, limits, watch, v, drawn_w, now_ns)
    if most_a >= 0.1 * limits.node_a[v] > 0.0:
        spare_a = limits.node_a[v] - most_a
        own_w = drawn_w / most_a
        # Above its limit it falls by a third of what racks fall by that load all phases alike.
        alike_w = min(3.0 * own_w, limits.node_w[v] / limits.node_a[v])
        bears_w = max(0.2 * limits.node_w[v], drawn_w + min(spare_a * own_w, spare_a * alike_w))
        lean_w = max(0.0, limits.node_w[v] - bears_w)
        if silent(inputs, limits, v, now_ns):
            lean_w = max(lean_w, watch.phase_w[v])
        watch.phase_w[v] = max(min(watch.phase_w[v], max(lean_w, watch.lean_w[v])), min(lean_w, watch.lean_w[v]))
        watch.lean_w[v] = lean_w
    watch.read_before_w[v] = watch.read_w[v]
    watch.read_w[v] = drawn_w
    watch.read_ns[v] = inputs.at_ns[slot]


def heed(inputs: Inputs, limits: Limits, watch: Watch, v: int, now_ns: int) -> None:
    """Keeps whether a node's meter shows more than its limit, in two readings in a row, or does so no more.

    A value that shows again within a second was read again, no more. A meter that is not read shows nothing.
    """
    slot = limits.draw_slot[v]
    if not good(inputs, slot, limits.node_stale_ns[v], now_ns):
        watch.above[v] = 0
        watch.over[v] = 0
        return
    drawn_w = inputs.value[slot]
    if drawn_w < 0.0 or drawn_w > 2.0 * limits.rating_w[v]:
        return
    above = drawn_w > limits.node_w[v] - watch.phase_w[v] and watch.doubts[v] & DOUBT_FROZEN == 0
    if above != watch.above[v]:
        watch.above[v] = above
        watch.told_w[v] = drawn_w
        watch.told_ns[v] = inputs.at_ns[slot]
    elif drawn_w != watch.told_w[v] or inputs.at_ns[slot] - watch.told_ns[v] >= SECOND_NS:
        watch.over[v] = above


def stuck(limits: Limits, watch: Watch, v: int, least_w: float, most_w: float) -> bool:
    """Whether a reading is the one before to the last bit although the racks below drew something else: it is none.

    A meter of which that is so by more than the racks could pretend is frozen, once readings would be old thrice.
    """
    drawn_w = watch.drawn_w[v]
    if drawn_w != watch.same_w[v]:
        # The first one after a restart has not moved.
        watch.doubts[v] &= ~DOUBT_FROZEN if watch.same_w[v] == ENDLESS else ~(DOUBT_FROZEN | DOUBT_BEFORE)
        watch.same_w[v] = drawn_w
        watch.same_least_w[v] = least_w
        watch.same_most_w[v] = most_w
        watch.same_ns[v] = 0
    # The most of the least that they drew with this one reading, and the least of the most.
    watch.same_least_w[v] = max(watch.same_least_w[v], least_w)
    watch.same_most_w[v] = min(watch.same_most_w[v], most_w)
    apart_w = watch.same_least_w[v] - watch.same_most_w[v]
    if apart_w > limits.pretend_w[v]:
        if watch.same_ns[v] == 0:
            watch.same_ns[v] = watch.drawn_ns[v]
        elif watch.drawn_ns[v] - watch.same_ns[v] >= 3 * limits.node_stale_ns[v]:
            watch.doubts[v] |= DOUBT_FROZEN
    return apart_w > 0.1 * limits.pretend_w[v]


def contradict(limits: Limits, watch: Watch, v: int, least_w: float) -> None:
    """Doubts a meter that for as long as readings count shows less than the racks below, or more than can be.

    Until it shows what they draw, where that is no trifle.
    """
    drawn_w = watch.drawn_w[v]
    slack_w = max(limits.pretend_w[v], 0.1 * limits.node_w[v])
    low = least_w - drawn_w > slack_w or drawn_w < -0.1 * limits.node_w[v]
    if low or drawn_w > 2.0 * limits.rating_w[v]:
        if watch.false_ns[v] == 0:
            watch.false_ns[v] = watch.drawn_ns[v]
        elif watch.drawn_ns[v] - watch.false_ns[v] >= 3 * limits.node_stale_ns[v]:
            watch.doubts[v] |= DOUBT_FALSE
    else:
        watch.false_ns[v] = 0
        if drawn_w >= 0.95 * least_w > 0.1 * limits.node_w[v]:
            watch.doubts[v] &= ~DOUBT_FALSE


def gear(limits: Limits, watch: Watch, v: int, least_w: float, most_w: float) -> None:
    """Doubts a meter that in four moves of its racks in a row moved by one and the same other part of what they did.

    Racks that stood before and after. What hardly moved says nothing: they may have made room for others.
    """
    clear_w = max(0.2 * limits.pretend_w[v], 0.04 * limits.node_w[v])
    if most_w - least_w > 0.2 * clear_w:
        return
    stand_w = 0.5 * (least_w + most_w)
    moved_w = stand_w - watch.steady_w[v]
    if abs(moved_w) >= clear_w:
        ratio = (watch.drawn_w[v] - watch.steady_drawn_w[v]) / moved_w
        if 0.7 <= ratio <= 1.5:
            watch.strange[v] = 0
            watch.doubts[v] &= ~DOUBT_SCALE
        elif ratio > 1.6 or 0.3 < ratio < 0.6:
            if abs(ratio - watch.ratio[v]) > 0.1 * ratio:
                watch.strange[v] = 0
            watch.ratio[v] = ratio
            watch.strange[v] = min(watch.strange[v] + 1, 4)
            if watch.strange[v] == 4:
                watch.doubts[v] |= DOUBT_SCALE
    watch.steady_w[v] = stand_w
    watch.steady_drawn_w[v] = watch.drawn_w[v]


def weigh(limits: Limits, watch: Watch, v: int, fault: bool, now_ns: int) -> None:
    """Holds a node's reading against the racks of its time: what draws there beside them, by two readings in a row.

    Less does not by a meter that is doubted, or was in the last ten seconds. In a fault of the grid none is judged.
    """
    nodes = limits.site.nodes
    most_w = max(watch.most_below_w[v], watch.most_below_w[nodes + v])
    least_w = min(watch.least_below_w[v], watch.least_below_w[nodes + v])
    watch.weighed_ns[v] = watch.drawn_ns[v]
    if not fault:
        contradict(limits, watch, v, least_w)
        gear(limits, watch, v, least_w, most_w)
        if stuck(limits, watch, v, least_w, most_w):
            return
    if watch.read_ns[v] != watch.drawn_ns[v]:
        return
    low_w = max(0.0, watch.read_w[v] - most_w)
    high_w = max(0.0, watch.read_w[v] - least_w)
    lower_w = max(high_w, watch.high_other_w[v])
    if watch.doubts[v] == 0 and now_ns >= watch.until_ns[v]:
        watch.learnt_w[v] = min(watch.learnt_w[v], lower_w)
    watch.learnt_w[v] = max(watch.learnt_w[v], min(low_w, watch.low_other_w[v]))
    watch.low_other_w[v] = low_w
    watch.high_other_w[v] = high_w


def survey(inputs: Inputs, limits: Limits, watch: Watch, fault: bool, now_ns: int) -> None:
    """What of each node's limit is not for racks. What is not read stays as it was."""
    for v in range(limits.site.nodes):
        watch.other_w[v] = 0.0
        if limits.draw_slot[v] < 0:
            continue
        oldest_ns = below(inputs, limits, watch, v, now_ns)
        heed(inputs, limits, watch, v, now_ns)
        if watch.weighed_ns[v] == watch.drawn_ns[v]:
            gauge(inputs, limits, watch, v, now_ns)
        elif oldest_ns >= watch.drawn_ns[v] + SECOND_NS:
            weigh(limits, watch, v, fault, now_ns)
        if watch.doubts[v] & ~DOUBT_BEFORE != 0:
            watch.until_ns[v] = now_ns + 10 * SECOND_NS
    for back in range(limits.site.nodes - 1):
        v = limits.site.nodes - 1 - back
        watch.other_w[v] = max(watch.other_w[v], watch.learnt_w[v])
        watch.other_w[limits.node_parent[v]] += watch.other_w[v]
    watch.other_w[0] = max(watch.other_w[0], watch.learnt_w[0])
    for v in range(limits.site.nodes):
        watch.taken_w[v] = watch.other_w[v] + watch.phase_w[v]
        parent = limits.node_parent[v]
        watch.shut[v] = watch.over[v] != 0 or (parent >= 0 and watch.shut[parent] != 0)
