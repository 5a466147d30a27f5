"""rackmon of OpenBMC: register maps in JSON.

Source: rackmon/REGISTER_MAP.md. FLOAT is fixed point: value = shift + scale * raw / 2^precision. FLAGS count bits from
the lowest of the whole. `endian: L` swaps all bytes of the value.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError

_KINDS: Final = (("RPU", "cdu"), ("BBU", "battery"), ("CBU", "battery"), ("PSU", "psu"))
_WIDTHS: Final = {1: "16", 2: "32", 4: "64"}


class Register(BaseModel):
    """One register of a map."""

    model_config = ConfigDict(extra="ignore")
    begin: int
    length: int
    name: str
    format: Literal["RAW", "STRING", "INTEGER", "LONG", "FLOAT", "FLAGS"] = "RAW"
    endian: Literal["B", "L"] = "B"
    precision: int = 0
    sign: bool = False
    scale: float = 1.0
    shift: float = 0.0
    flags: list[tuple[int, str]] = []


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = "rackmon"
    registers: list[Register]
    address_range: Any = None


def read(text: str, where: str, pick: str) -> Draft:
    """The registers of a map. Raises MapError."""
    try:
        given = _File.model_validate(json.loads(text.lstrip("\ufeff")))
    except ValidationError as error:
        first = error.errors()[0]
        raise MapError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MapError(f"{where}: no JSON: {error}") from error
    draft = Draft(pick or given.name, f"rackmon register map {where}", kind=_kind(given.name))
    for register in given.registers:
        add(draft, register)
    return draft


def add(draft: Draft, one: Register) -> None:
    """Adds one register to a draft, or the note why it is left out."""
    if one.format == "STRING":
        draft.texts.append((one.name, one.begin, one.length))
        return
    if one.format == "RAW" or one.length not in _WIDTHS:
        draft.notes.append(f"{one.name}: left out, {one.format} of {one.length} registers is none of a map")
        return
    signed = one.sign or one.format == "LONG"
    line = Line(one.name, one.begin, ("s" if signed else "u") + _WIDTHS[one.length])
    if one.endian == "L":
        line.order = "DCBA"
        draft.notes.append(f"{one.name}: endian L taken as all bytes swapped; look at a reading")
    if one.format == "FLAGS":
        _flags(draft, one, line)
        return
    if one.format == "FLOAT":
        line.scale, line.offset, line.binary = one.scale, one.shift, min(63, max(0, one.precision))
        if one.precision == 1:
            draft.notes.append(f"{one.name}: precision 1 halves the value; lists had it by mistake, look at a reading")
    draft.lines.append(line)


def _flags(draft: Draft, one: Register, line: Line) -> None:
    """The whole word; its bits stand in a note, a map names them where they are needed."""
    line.unit = "bits"
    draft.lines.append(line)
    if one.flags:
        bits = ", ".join(f"{bit} {name.strip()}" for bit, name in sorted(one.flags))
        draft.notes.append(f"{one.name}: bits {bits}")


def _kind(name: str) -> str:
    upper = name.upper()
    return next((kind for part, kind in _KINDS if part in upper), "")
