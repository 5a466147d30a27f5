"""modbus_exporter (RichiH): modules of metrics in YAML.

Source: its README and config.go. The first digit of an address is the function code, the rest the wire address;
endianness big is ABCD, little DCBA, mixed BADC, yolo CDAB.
"""

from __future__ import annotations

from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from rampd.drivers.importers.draft import Draft, Line
from rampd.drivers.maphead import MapError

_ORDERS: Final = {"": "", "big": "", "little": "DCBA", "mixed": "BADC", "yolo": "CDAB"}
_TYPES: Final = {
    "int16": "s16", "uint16": "u16", "int32": "s32", "uint32": "u32", "int64": "s64", "uint64": "u64",
    "float32": "f32", "float64": "f64", "bool": "u16",
}  # fmt: skip


class _Metric(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)
    name: str
    address: int
    dataType: str  # noqa: N815 - the file's own key
    endianness: str = ""
    bitOffset: int | None = None  # noqa: N815
    factor: float | None = None
    labels: dict[str, str] = {}


class _Module(BaseModel):
    model_config = ConfigDict(extra="ignore")
    name: str
    metrics: list[_Metric] = []


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    modules: list[_Module]


def read(text: str, where: str, pick: str) -> Draft:
    """The one module of a file, or that called `pick`. Raises MapError."""
    try:
        modules = _File.model_validate(yaml.safe_load(text)).modules
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            raise MapError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        raise MapError(f"{where}: no YAML: {error}") from error
    chosen = [module for module in modules if not pick or module.name == pick]
    if len(chosen) != 1:
        raise MapError(f"{where}: which module? name one with --pick: {', '.join(m.name for m in modules) or 'none'}")
    draft = Draft(chosen[0].name, f"modbus_exporter configuration {where}")
    for metric in chosen[0].metrics:
        _add(draft, metric)
    return draft


def _add(draft: Draft, metric: _Metric) -> None:
    digits = str(metric.address)
    name = "_".join([metric.name, *metric.labels.values()])
    if digits[0] not in "34" or not digits[1:].isdigit() or int(digits[1:]) > 65535:
        draft.notes.append(f"{name}: left out, address {digits} is no register: 3 or 4, then the wire address")
    elif metric.dataType not in _TYPES or metric.endianness not in _ORDERS:
        draft.notes.append(f"{name}: left out, {metric.dataType} {metric.endianness} is none of a map")
    else:
        bit = metric.bitOffset or 0
        mask = 1 << bit if metric.dataType == "bool" and 0 <= bit < 16 else 0
        draft.lines.append(
            Line(
                name, int(digits[1:]), _TYPES[metric.dataType], order=_ORDERS[metric.endianness], mask=mask,
                scale=1.0 if metric.factor is None else metric.factor, function=int(digits[0]),
            )
        )  # fmt: skip
