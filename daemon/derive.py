"""A rack's figures from its members and their map, where its row in the fleet leaves them empty."""

from __future__ import annotations

from pathlib import Path

from rampd.drivers import maps
from rampd.drivers.maphead import MapError
from rampd.drivers.members import MemberMap


def complete(row: dict[str, str], members: int, map_folder: Path | None) -> dict[str, str]:
    """The row with its empty cells filled; unchanged for racks that are no racks of members, or whose map is wrong.

    `members` is 0 where none are listed: then the rack is one, at its own address.
    """
    try:
        found = maps.load(row.get("map", ""), map_folder)
    except (KeyError, MapError):
        return row  # said where maps are checked
    if not isinstance(found, MemberMap):
        return row
    return {**figures(found, max(1, members)), **{key: cell for key, cell in row.items() if cell}}


def figures(device_map: MemberMap, count: int) -> dict[str, str]:
    """What so many members are together: they move at once, and the smallest step is one of them by one step."""
    one = device_map.capability
    return {
        "min_kw": repr(0.0 if one.sleeps else one.min_w * count / 1e3),
        "max_kw": repr(one.max_w * count / 1e3),
        "quantum_kw": repr(device_map.grain_w / 1e3),
        "up_kw_per_s": repr(one.up_w_per_s * count / 1e3),
        "down_kw_per_s": repr(one.down_w_per_s * count / 1e3),
        "dead_up_s": repr(one.dead_up_s),
        "dead_down_s": repr(one.dead_down_s),
    }
