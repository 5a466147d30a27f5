"""SunSpec model definitions in JSON: a model becomes a map whose addresses count from the model's ID register.

Source: sunspec/models, JSON encoding of the Device Information Model Specification. Repeating groups are left out.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError

# Type of a point -> (type of a map, the raw words of "not implemented").
_TYPES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "int16": ("s16", (0x8000,)), "uint16": ("u16", (0xFFFF,)), "int32": ("s32", (0x80000000,)),
    "uint32": ("u32", (0xFFFFFFFF,)), "int64": ("s64", (1 << 63,)), "uint64": ("u64", ((1 << 64) - 1,)),
    "acc16": ("u16", (0,)), "acc32": ("u32", (0,)), "acc64": ("u64", (0,)), "float32": ("f32", ()),
    "float64": ("f64", ()), "enum16": ("u16", (0xFFFF,)), "enum32": ("u32", (0xFFFFFFFF,)),
    "bitfield16": ("u16", (0xFFFF,)), "bitfield32": ("u32", (0xFFFFFFFF,)), "bitfield64": ("u64", ((1 << 64) - 1,)),
}  # fmt: skip
_KINDS: Final = ((101, 199, "inverter"), (201, 299, "meter"), (701, 799, "inverter"), (801, 899, "battery"))
_NAMES: Final = {"W": "power", "Hz": "frequency", "SoC": "soc", "A": "current", "VA": "apparent", "Var": "reactive",
                 "VAr": "reactive", "VAR": "reactive", "PhV": "voltage"}  # fmt: skip
_HEAD: Final = ("ID", "L")


class _Point(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    type: str
    size: int
    sf: str | int | None = None
    units: str = ""


class _Group(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = ""
    label: str = ""
    count: int | str = 1
    points: list[_Point] = []
    groups: list[_Group] = []


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: int
    group: _Group


def read(text: str, where: str, _pick: str) -> Draft:
    """The points of a model. Raises MapError."""
    try:
        given = _File.model_validate(json.loads(text.lstrip("\ufeff")))
    except ValidationError as error:
        first = error.errors()[0]
        raise MapError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MapError(f"{where}: no JSON: {error}") from error
    kind = next((kind for low, high, kind in _KINDS if low <= given.id <= high), "")
    title = f"SunSpec model {given.id} {given.group.label}".strip()
    draft = Draft(title, f"SunSpec model definition {where}", kind=kind, model=given.id)
    _add(draft, given.group, 0, {})
    return draft


def _add(draft: Draft, group: _Group, at: int, above: dict[str, int]) -> int:
    """Adds the points of a group that begins at `at`; the address behind it."""
    places = dict(above)
    end = at
    for point in group.points:
        places[point.name] = end
        end += max(0, point.size)
    here = at
    for point in group.points:
        if at > 0 or point.name not in _HEAD:
            _point(draft, point, here, places, group.name if at > 0 else "")
        here += max(0, point.size)
    for inner in group.groups:
        if inner.count != 1:
            draft.notes.append(f"group {inner.name}: left out, with all behind it: it repeats {inner.count} times")
            break
        end = _add(draft, inner, end, places)
    return end


def _point(draft: Draft, point: _Point, at: int, places: dict[str, int], group: str) -> None:
    if point.type in ("pad", "sunssf"):
        return
    if point.type == "string" and point.size > 125:
        draft.notes.append(f"{point.name}: left out, {point.size} registers are more than a request reads")
        return
    if point.type == "string":
        draft.texts.append((f"{group} {point.name}", at, point.size))
        return
    if point.type not in _TYPES:
        draft.notes.append(f"{point.name}: left out, type {point.type} is none of a map")
        return
    kind, nan = _TYPES[point.type]
    unit = "bits" if point.type.startswith("bitfield") else _unit(point.units)
    line = Line("_".join(filter(None, (group, _NAMES.get(point.name, point.name)))), at, kind, unit=unit, nan=nan)
    if isinstance(point.sf, int):
        line.scale = 10.0 ** max(-10, min(10, point.sf))
    elif point.sf is not None:
        if point.sf not in places:
            draft.notes.append(f"{point.name}: left out, its factor {point.sf} is not in the model")
            return
        line.factor_at = places[point.sf]
    draft.lines.append(line)


def _unit(given: str) -> str:
    """%WHRtg, % WMax, VarPct and the like are percentages."""
    return "%" if given.startswith("%") or given.endswith("Pct") else given
