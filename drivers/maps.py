"""Device maps: a device type is one data file, checked by a schema and a linter.

A map names the values of a device in the words of `UNITS`, one line a register. It holds no commands and no
expressions. The maps that ship are TOML files in `drivers/maps/`; a site may bring its own in a folder.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rampd.drivers.plan import plan
from rampd.drivers.register import WORDS, Encoding, Register, WordOrder

Kind = Literal["meter", "pdu", "cdu", "rack"]

UNITS: Final = {
    "w": "W", "va": "VA", "var": "var", "wh": "Wh", "v": "V", "a": "A", "hz": "Hz", "c": "degC", "lpm": "l/min",
    "kpa": "kPa", "rpm": "1/min", "percent": "%", "ratio": "", "s": "s", "state": "", "count": "", "bits": "",
}  # fmt: skip
NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "meter": ("power_w",),
    "pdu": ("power_w",),
    "cdu": ("supply_c", "return_c", "flow_lpm"),
    "rack": ("power_w",),
}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\Z")
TYPES: Final = {kind.name.lower(): kind for kind in Encoding}


class MapError(ValueError):
    """A map that cannot be used; the message names the file, the place and the remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Value(_Strict):
    """One register, as a line of the map."""

    at: Annotated[int, Field(ge=0, le=65535)]
    type: Literal["u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"]
    scale: float = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    nan: Annotated[tuple[int, ...], Field(max_length=4)] = ()
    mask: Annotated[int, Field(ge=0)] = 0
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = None
    function: Literal[3, 4] | None = None
    factor_at: Annotated[int, Field(ge=0, le=65535)] | None = None
    slow: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Value:
        words = WORDS[TYPES[self.type]]
        if self.scale == 0.0:
            raise ValueError("scale 0 makes every reading the offset: give the factor of one raw step")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty: give [lowest, highest]")
        if any(raw < 0 or raw >> (16 * words) for raw in self.nan):
            raise ValueError(f"nan holds raw words of {self.type}: 0 to {(1 << 16 * words) - 1:#x}")
        if self.mask and (self.type not in ("u16", "u32") or self.mask >> (16 * words)):
            raise ValueError("mask selects bits of a u16 or u32 register")
        if self.at + words > 65536:
            raise ValueError("the register ends beyond address 65535")
        return self


class Setpoint(_Strict):
    """How a rack takes its power limit: `limit` is written, `readback` names the value that shows what latched.

    `deadman` holds seconds after which the device goes to `fallback` (W) by itself when nothing is written.
    """

    limit: Value
    readback: str
    deadman: Value | None = None
    fallback: Value | None = None
    storage: Literal["ram", "nvm"] = "ram"
    writes_per_s: Annotated[float, Field(gt=0, le=20)] = 2.0
    accept_s: Annotated[float, Field(gt=0, le=30)] = 1.0


class DeviceMap(_Strict):
    """A device type: how to ask it, its values, and how to set it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    kind: Kind
    title: Annotated[str, Field(min_length=5)]
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    verified: Annotated[str, Field(min_length=5)]
    function: Literal[3, 4] = 3
    word_order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    max_regs: Annotated[int, Field(ge=1, le=125)] = 120
    max_gap: Annotated[int, Field(ge=0, le=124)] = 8
    barriers: tuple[int, ...] = ()
    in_flight: Annotated[int, Field(ge=1, le=16)] = 1
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    update_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    sunspec_model: Annotated[int, Field(ge=1, le=65534)] | None = None
    values: Annotated[dict[str, Value], Field(min_length=1)]
    setpoint: Setpoint | None = None

    @model_validator(mode="after")
    def _complete(self) -> DeviceMap:
        problems = [f"a {self.kind} needs {name}" for name in NEEDED[self.kind] if name not in self.values]
        for name, value in self.values.items():
            if name.rsplit("_", 1)[-1] not in UNITS:
                problems.append(f"{name}: end the name with its unit, one of {', '.join('_' + unit for unit in UNITS)}")
            if name in NEEDED[self.kind] and value.range is None:
                problems.append(f"{name}: a control input needs its plausible range = [lowest, highest]")
        if self.setpoint is not None:
            if self.setpoint.readback not in self.values:
                problems.append(f"setpoint.readback: {self.setpoint.readback} is none of the values")
            if (self.setpoint.deadman is None) != (self.setpoint.fallback is None):
                problems.append("setpoint: deadman and fallback go together")
        elif self.kind == "rack":
            problems.append("a rack needs [setpoint]")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def register(self, name: str, value: Value, base: int = 0) -> Register:
        """The register of one line; `base` is the address of the SunSpec model that `at` counts from."""
        low, high = value.range or (float("-inf"), float("inf"))
        return Register(
            name=name, at=base + value.at, encoding=TYPES[value.type], function=value.function or self.function,
            order=WordOrder[value.order or self.word_order], scale=value.scale, offset=value.offset, low=low, high=high,
            sentinels=value.nan, mask=value.mask, slow=value.slow,
            factor_at=None if value.factor_at is None else base + value.factor_at,
        )  # fmt: skip

    def registers(self, base: int = 0) -> tuple[Register, ...]:
        """All values as registers, in the order of the file."""
        return tuple(self.register(name, value, base) for name, value in self.values.items())


def lint(device_map: DeviceMap) -> list[str]:
    """What a schema cannot see: values that overlap without being bit fields of one register."""
    found: list[str] = []
    spans = sorted(
        (v.function or device_map.function, v.at, v.at + WORDS[TYPES[v.type]], name, v.mask)
        for name, v in device_map.values.items()
    )
    for i, (function, begin, end, name, mask) in enumerate(spans):
        for other_function, other_begin, other_end, other, other_mask in spans[i + 1 :]:
            if other_function != function or other_begin >= end:
                break
            same_field = (begin, end) == (other_begin, other_end) and mask and other_mask and not mask & other_mask
            if not same_field:
                found.append(f"{name} and {other} overlap at register {other_begin}")
    try:
        plan(device_map.registers(), max_regs=device_map.max_regs, max_gap=device_map.max_gap)
    except ValueError as error:
        found.append(str(error))
    return found


def parse(text: str, where: str) -> DeviceMap:
    """A map from TOML text. Raises MapError with every problem, each with its place."""
    try:
        device_map = DeviceMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise MapError(f"{where}: {error}") from error
    except ValidationError as error:
        lines = [f"{where}: {'.'.join(map(str, item['loc'])) or 'map'}: {item['msg']}" for item in error.errors()]
        raise MapError("\n".join(lines)) from error
    if found := lint(device_map):
        raise MapError("\n".join(f"{where}: values: {line}" for line in found))
    return device_map


@cache
def names() -> tuple[str, ...]:
    """The maps that ship with rampd."""
    folder = files("rampd.drivers") / "maps"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(name: str, folder: Path | None = None) -> DeviceMap:
    """A map by name, the site's own folder first. Raises KeyError when there is none, MapError when wrong."""
    if not _NAME.match(name):
        raise KeyError(name)
    if folder is not None and (own := folder / f"{name}.toml").is_file():
        try:
            return parse(own.read_text(encoding="utf-8-sig"), str(own))
        except (OSError, UnicodeDecodeError) as error:
            raise MapError(f"{own}: cannot be read: {error}") from error
    if name not in names():
        raise KeyError(name)
    return _shipped(name)


@cache
def _shipped(name: str) -> DeviceMap:
    return parse((files("rampd.drivers") / "maps" / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
