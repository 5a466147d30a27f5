"""Register lists as CSV: a header that names the columns in any of the usual words, a line a register.

The CSV files that rackmon's maps are made of are understood as well: a line without an address names a bit.
"""

from __future__ import annotations

import csv
import io
from typing import Final

from pydantic import ValidationError

from rampd.drivers.importers import rackmon
from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError

_COLUMNS: Final = {
    "name": ("name", "label", "description", "register name", "parameter", "point"),
    "at": ("at", "address", "addr", "register", "reg", "begin", "offset address", "wire address"),
    "type": ("type", "data type", "datatype", "data_type", "format"),
    "unit": ("unit", "units"),
    "scale": ("scale", "factor", "multiplier", "gain", "scaling"),
    "offset": ("offset", "shift", "bias"),
    "function": ("function", "fc", "function code", "function_code"),
    "order": ("order", "byte order", "byte_order", "word order", "word_order"),
    "low": ("low", "min", "minimum"),
    "high": ("high", "max", "maximum"),
}  # fmt: skip
_TYPES: Final = {
    "u16": "u16", "uint16": "u16", "word": "u16", "unsigned16": "u16", "s16": "s16", "int16": "s16", "i16": "s16",
    "short": "s16", "u32": "u32", "uint32": "u32", "dword": "u32", "s32": "s32", "int32": "s32", "i32": "s32",
    "u64": "u64", "uint64": "u64", "s64": "s64", "int64": "s64", "i64": "s64", "f32": "f32", "float32": "f32",
    "float": "f32", "real": "f32", "f64": "f64", "float64": "f64", "double": "f64",
}  # fmt: skip
_ORDERS: Final = {
    "": "",
    "big": "",
    "abcd": "",
    "ab": "",
    "little": "DCBA",
    "dcba": "DCBA",
    "cdab": "CDAB",
    "badc": "BADC",
}
_MOST: Final = 5000


def read(text: str, where: str, pick: str) -> Draft:
    """The registers of a list. Raises MapError with the line."""
    body = "\n".join(line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.startswith("#"))
    head = body.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.DictReader(io.StringIO(body), delimiter=delimiter, restkey="", restval=""))
    except csv.Error as error:
        raise MapError(f"{where}: no CSV: {error}") from error
    if len(rows) > _MOST:
        raise MapError(f"{where}: {len(rows)} lines are no register list: {_MOST} at most")
    draft = Draft(pick or "imported list", f"register list {where}")
    columns = [str(name).strip().lower() for name in (rows[0] if rows else {})]
    if {"begin", "length", "format"} <= set(columns):
        _rackmon(draft, rows, where)
        return draft
    places = {key: next((c for c in columns if c in names), "") for key, names in _COLUMNS.items()}
    if not places["name"] or not places["at"]:
        raise MapError(f"{where}: the first line must name the columns, name and address at least; it has {columns}")
    for number, row in enumerate(rows, 2):
        cells = {str(key).strip().lower(): str(cell).strip() for key, cell in row.items() if isinstance(cell, str)}
        _add(draft, {key: cells.get(column, "") for key, column in places.items()}, f"{where} line {number}")
    if draft.lines and all(30001 <= line.at <= 49999 for line in draft.lines):
        draft.notes.append("all addresses look like 3xxxx or 4xxxx reference numbers: subtract 30001 or 40001")
    return draft


def _add(draft: Draft, row: dict[str, str], where: str) -> None:
    try:
        at = int(row["at"], 0)
        scale = float(row["scale"] or 1.0)
        offset = float(row["offset"] or 0.0)
        function = int(row["function"] or 3)
        limits = (float(row["low"]), float(row["high"])) if row["low"] and row["high"] else None
    except ValueError as error:
        raise MapError(f"{where}: {error}") from error
    kind = _TYPES.get(row["type"].lower() or "u16", "")
    order = row["order"].lower()
    if kind == "" or order not in _ORDERS or function not in (3, 4):
        draft.notes.append(f"{row['name']}: left out, {row['type']} {row['order']} FC{function} is none of a map")
        return
    draft.lines.append(
        Line(
            row["name"], at, kind, unit=row["unit"], scale=scale, offset=offset, order=_ORDERS[order],
            function=function, range=limits,
        )
    )  # fmt: skip


def _rackmon(draft: Draft, rows: list[dict[str, str]], where: str) -> None:
    flags: list[tuple[int, str]] = []
    made: list[dict[str, object]] = []
    for row in rows:
        cells = {str(key).strip(): cell.strip() for key, cell in row.items() if isinstance(cell, str)}
        if not cells.get("begin"):
            if made and cells.get("flags_bit", "").isdecimal():
                flags.append((int(cells["flags_bit"]), cells.get("flags_name", "")))
            continue
        flags = []
        cells["format"] = cells.get("format", "").partition("(")[0]
        made.append({**{key: cell for key, cell in cells.items() if cell and key != "flags"}, "flags": flags})
    for number, one in enumerate(made, 1):
        try:
            rackmon.add(draft, rackmon.Register.model_validate(one))
        except ValidationError as error:
            first = error.errors()[0]
            raise MapError(f"{where} register {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
