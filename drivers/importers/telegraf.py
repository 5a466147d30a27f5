"""Telegraf's modbus input plugin: its register, request and metric styles.

Source: Telegraf plugins/inputs/modbus/README.md. In the register style FLOAT32, FIXED and UFIXED are integers with a
scale; only FLOAT32-IEEE and FLOAT64-IEEE are floats. In the request and metric styles FLOAT32 is a float.
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError

_ORDERS: Final = {
    "": "", "AB": "", "ABCD": "", "ABCDEFGH": "", "BA": "BADC", "CDAB": "CDAB", "GHEFCDAB": "CDAB", "BADC": "BADC",
    "BADCFEHG": "BADC", "DCBA": "DCBA", "HGFEDCBA": "DCBA",
}  # fmt: skip
_TYPES: Final = {
    "INT16": "s16", "UINT16": "u16", "INT32": "s32", "UINT32": "u32", "INT64": "s64", "UINT64": "u64",
    "FLOAT32-IEEE": "f32", "FLOAT64-IEEE": "f64", "FLOAT64": "f64", "UINT8L": "u16", "UINT8H": "u16", "INT8L": "s16",
    "INT8H": "s16",
}  # fmt: skip
_FIXED: Final = {"FIXED": "s", "UFIXED": "u", "FLOAT32": "u"}
_BYTES: Final = {"UINT8L": 0x00FF, "INT8L": 0x00FF, "UINT8H": 0xFF00, "INT8H": 0xFF00}


class _Field(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = ""
    address: int | list[int] = 0
    byte_order: str = ""
    data_type: str = ""
    type: str = ""
    scale: float = 1.0
    space: str = Field("", alias="register")
    length: int = 0
    bit: int = 0
    omit: bool = False


class _Group(BaseModel):
    model_config = ConfigDict(extra="ignore")
    byte_order: str = ""
    space: str = Field("holding", alias="register")
    fields: list[_Field] = []


class _Device(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str = "modbus"
    holding_registers: list[_Field] = []
    input_registers: list[_Field] = []
    coils: list[Any] = []
    discrete_inputs: list[Any] = []
    request: list[_Group] = []
    metric: list[_Group] = []


class _Inputs(BaseModel):
    model_config = ConfigDict(extra="ignore")
    modbus: list[_Device] = []


def read(text: str, where: str, pick: str) -> Draft:
    """The one [[inputs.modbus]] of a file, or that called `pick`. Raises MapError."""
    try:
        inputs = tomllib.loads(text).get("inputs")
        devices = _Inputs.model_validate(inputs if isinstance(inputs, dict) else {}).modbus
    except ValidationError as error:
        first = error.errors()[0]
        raise MapError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MapError(f"{where}: no TOML: {error}") from error
    chosen = [device for device in devices if not pick or device.name == pick]
    if len(chosen) != 1:
        names = ", ".join(repr(device.name) for device in devices) or "none"
        raise MapError(f"{where}: which [[inputs.modbus]]? name one with --pick: {names}")
    device = chosen[0]
    draft = Draft(device.name, f"Telegraf modbus configuration {where}")
    if device.coils or device.discrete_inputs:
        draft.notes.append("coils and discrete inputs are left out: a map has registers")
    for function, fields in ((3, device.holding_registers), (4, device.input_registers)):
        for one in fields:
            _register_style(draft, one, function)
    for group in (*device.request, *device.metric):
        for one in group.fields:
            _request_style(draft, one, group)
    return draft


def _register_style(draft: Draft, one: _Field, function: int) -> None:
    places = one.address if isinstance(one.address, list) else [one.address]
    if not places or places != list(range(places[0], places[0] + len(places))):
        draft.notes.append(f"{one.name}: left out, addresses {places[:4]} do not follow each other")
        return
    kind = one.data_type
    if kind in _FIXED:
        if kind == "FLOAT32":
            draft.notes.append(
                f"{one.name}: FLOAT32 is an integer with a scale in Telegraf's register style, not a float"
            )
        kind = f"{_FIXED[kind]}{16 * len(places)}"
    else:
        kind = _TYPES.get(kind, "")
    if kind == "" and one.data_type == "STRING":
        draft.texts.append((one.name, places[0], len(places)))
    else:
        _add(draft, one, kind, places[0], one.byte_order, function)


def _request_style(draft: Draft, one: _Field, group: _Group) -> None:
    space = one.space or group.space
    if one.omit:
        return
    if space not in ("holding", "input"):
        draft.notes.append(f"{one.name}: left out, a {space} is no register")
        return
    at = one.address if isinstance(one.address, int) else (one.address or [0])[0]
    function = 3 if space == "holding" else 4
    if one.type == "STRING":
        draft.texts.append((one.name, at, one.length or 1))
        return
    kind = "f32" if one.type == "FLOAT32" else "u16" if one.type == "BIT" else _TYPES.get(one.type, "")
    _add(draft, one, kind, at, group.byte_order, function)


def _add(draft: Draft, one: _Field, kind: str, at: int, order: str, function: int) -> None:
    if kind not in ("u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"):
        draft.notes.append(f"{one.name}: left out, type {one.data_type or one.type!r} is none of a map")
        return
    if order not in _ORDERS:
        draft.notes.append(f"{one.name}: left out, byte order {order!r} is none of a map")
        return
    mask = 1 << one.bit if one.type == "BIT" and 0 <= one.bit < 16 else _BYTES.get(one.type, 0)
    draft.lines.append(
        Line(one.name, at, kind, scale=one.scale, mask=mask, order=_ORDERS[order], function=function)
    )  # fmt: skip
