"""A rack's figures from its members and their map, where its row in the fleet leaves them empty."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from rampd.drivers import maps
from rampd.drivers.maphead import MapError
from rampd.drivers.members import MemberMap

FIGURES: Final = ("min_kw", "max_kw", "up_kw_per_s", "down_kw_per_s")
"""What a rack's row must give unless its map does."""


def complete(row: dict[str, str], members: int, map_folder: Path | None) -> dict[str, str]:
    """The row with its empty cells filled; unchanged for racks that are no racks of members.

    `members` is 0 where none are listed: then the rack is one, at its own address. Raises MapError where cells are
    empty and its map is not there or wrong; where all are filled, that is said where maps are checked.
    """
    name = row.get("map", "")
    try:
        found = maps.load(name, map_folder)
    except (KeyError, MapError) as error:
        if not name or all(row.get(key) for key in FIGURES):
            return row
        if isinstance(error, MapError):
            raise
        near = difflib.get_close_matches(name, maps.names(), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise MapError(f"there is no map {name!r}{hint}") from error
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
