"""The SunSpec maps against the model definitions that an independent client brings along: places, types, factors."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from rampd.drivers import maps, sunspec
from rampd.drivers.maps import Value

TYPES = {
    "u16": {"uint16", "enum16", "bitfield16"}, "s16": {"int16"}, "u32": {"uint32", "acc32", "bitfield32", "enum32"},
    "s32": {"int32"}, "u64": {"uint64", "acc64", "bitfield64"}, "s64": {"int64"},
    "f32": {"float32"}, "f64": {"float64"},
}  # fmt: skip
# What a point of that type reads when it is not there, as raw words; NaN of a float needs no line in a map.
ABSENT = {
    "uint16": 0xFFFF, "enum16": 0xFFFF, "bitfield16": 0xFFFF, "int16": 0x8000, "uint32": 0xFFFFFFFF, "acc32": 0,
    "bitfield32": 0xFFFFFFFF, "enum32": 0xFFFFFFFF, "int32": 0x80000000, "uint64": 2**64 - 1, "acc64": 0,
}  # fmt: skip
SUNSPEC = [name for name in maps.names() if name.startswith("sunspec-")]


@cache
def points(model: int) -> dict[int, dict[str, Any]]:
    """Points of a model by their offset from the ID register, repeating groups left out."""
    found, at = {}, 0
    group = json.loads((files("sunspec2") / "models" / "json" / f"model_{model}.json").read_text())["group"]
    for point in group["points"]:
        found[at] = point
        at += point["size"]
    return found


def lines(name: str) -> list[tuple[str, int, Value, bool]]:
    one = maps.modbus(name)
    parts = one.setpoint.parts().items() if one.setpoint is not None else ()
    return [
        (key, value.model or one.sunspec_model or 0, value, read)
        for read, group in ((True, one.values.items()), (False, parts))
        for key, value in group
    ]


@pytest.mark.parametrize("name", SUNSPEC)
def test_every_register_is_a_point_of_its_model(name: str) -> None:
    for key, model, value, read in lines(name):
        known = points(model)
        point = known[value.at]
        assert point["type"] in TYPES[value.type], (key, point["name"])
        factor = known[value.factor_at]["name"] if value.factor_at is not None else None
        assert factor == point.get("sf"), (key, point["name"])
        if read and point["type"] in ABSENT:
            assert ABSENT[point["type"]] in value.nan, (key, point["name"])
        if not read:
            assert point.get("access") == "RW", (key, point["name"])


@pytest.mark.parametrize("name", SUNSPEC)
def test_every_text_is_a_string_of_its_model(name: str) -> None:
    for key, line in maps.load(name).texts.items():
        point = points(line.model or 0)[line.at]
        assert (point["type"], point["size"]) == ("string", line.words), key


@pytest.mark.parametrize("model", sunspec.LENGTHS)
def test_the_known_lengths_are_the_models_own(model: int) -> None:
    group = json.loads((files("sunspec2") / "models" / "json" / f"model_{model}.json").read_text())["group"]

    def size(part: dict[str, Any]) -> int:
        return sum(p["size"] for p in part["points"]) + sum(size(g) for g in part.get("groups", ()))

    assert sunspec.LENGTHS[model] == size(group) - 2
