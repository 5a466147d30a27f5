"""What every rack does when rampd dies now: falls back by itself, or holds its last limit for ever.

The dead-man MW are those of racks that hold: nobody lowers them again. A site file may limit them. Those that fall back
do so one after the other: timers that ended together would drop the hall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rampd.daemon import gridcheck
from rampd.daemon.config import Config
from rampd.daemon.equipment import Rack
from rampd.drivers.maps import AnyMap, DeviceMap
from rampd.drivers.register import shift_of

LONGEST_S: Final = 3600
"""No rack waits longer: what is left falls back then."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst case of a site, MW: what holds for ever, and how far the others may fall and rise at once."""

    held_mw: float
    falls_mw: float
    rises_mw: float
    holding: tuple[str, ...]


def falls_to_kw(rack: Rack, device_map: AnyMap | None) -> float | None:
    """Where the rack's controller goes by itself; None where it holds."""
    policy = None if device_map is None else device_map.policy
    if policy is None or not policy.falls_back:
        return None
    return rack.min_kw if rack.fallback_kw is None else rack.fallback_kw


def longest_s(device_map: AnyMap | None) -> int:
    """The longest dead-man time that the register of a device takes, s."""
    setpoint = device_map.setpoint if isinstance(device_map, DeviceMap) else None
    part = None if setpoint is None else setpoint.deadman
    if part is None or part.type in ("f32", "f64"):
        return LONGEST_S
    width = (part.mask >> shift_of(part.mask)).bit_length() or 16 * part.words
    raw = (1 << width - int(part.type.startswith("s"))) - 1
    while raw in part.nan:
        raw -= 1
    most_s = raw / 2.0**part.binary * part.scale + part.offset
    return min(LONGEST_S, math.floor(most_s if part.range is None else min(most_s, part.range[1])))


def times_s(config: Config, racks: Sequence[tuple[Rack, AnyMap | None]]) -> dict[str, int]:
    """After how many seconds without a write each rack that falls back does so, by its id.

    The first after `deadman_s`, in the order in which racks are shed; each as much later as the normal envelope takes
    for what those before it may draw less, or more, by then, where its register takes that.
    """
    pace_mw_per_s = gridcheck.normal_mw_per_s(config, up=False) / (1.0 + config.site.losses_percent / 100.0)
    sum_mw = 0.0
    found = {}
    for rack, device_map in sorted(racks, key=lambda one: -one[0].tier):
        to_kw = falls_to_kw(rack, device_map)
        if to_kw is not None:
            after_s = min(longest_s(device_map), round(config.control.deadman_s + sum_mw / pace_mw_per_s))
            found[rack.id] = max(config.control.deadman_s, after_s)
            sum_mw += max(rack.max_kw - to_kw, to_kw - rack.min_kw) / 1e3
    return found


def worst(racks: Sequence[tuple[Rack, AnyMap | None]]) -> Worst:
    """The worst case over everything that the racks may be drawing when rampd dies."""
    held_kw = falls_kw = rises_kw = 0.0
    holding = []
    for rack, device_map in racks:
        to_kw = falls_to_kw(rack, device_map)
        if to_kw is None:
            holding.append(rack.id)
            held_kw += rack.max_kw
        else:
            falls_kw += rack.max_kw - to_kw
            rises_kw += max(0.0, to_kw - rack.min_kw)
    return Worst(held_kw / 1e3, falls_kw / 1e3, rises_kw / 1e3, tuple(holding))
