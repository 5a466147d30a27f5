# cython: language_level=3, annotation_typing=False, infer_types=True, cdivision=True
# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""What the guard makes of the raw image: which readings may be believed, and what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

if not cython.compiled:
    from rampd.ext.codes import AVAILABLE, GOOD, SECOND_NS
if TYPE_CHECKING:
    from rampd.ext.views import Inputs, Limits, Watch


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
