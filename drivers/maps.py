"""Device maps: a device type is one data file, checked by a schema and a linter.

A map names the values of a device in the words of `UNITS`, one line a register. It holds no commands and no
expressions. The maps that ship are TOML files in `drivers/maps/`; a site may bring its own in a folder.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator

from rampd.drivers import sunspec
from rampd.drivers.maphead import MapError, MapHead, Strict, WritePolicy
from rampd.drivers.maplint import lint
from rampd.drivers.members import MemberMap
from rampd.drivers.miners.maps import MINER_MAPS
from rampd.drivers.plan import Read, plan
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.register import WORDS, Encoding, Register, Text, WordOrder, shift_of

UNITS: Final = {
    "w": "W", "va": "VA", "var": "var", "wh": "Wh", "varh": "varh", "ah": "Ah", "v": "V", "a": "A", "hz": "Hz",
    "c": "degC", "lpm": "l/min", "kpa": "kPa", "rpm": "1/min", "percent": "%", "ratio": "", "deg": "deg", "s": "s",
    "state": "", "count": "", "bits": "",
}  # fmt: skip
NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "meter": ("power_w",),
    "pdu": ("power_w",),
    "cdu": ("supply_c", "return_c", "flow_lpm"),
    "chiller": ("supply_c", "return_c"),
    "door": ("supply_c",),
    "genset": ("power_w", "frequency_hz"),
    "inverter": ("power_w", "frequency_hz"),
    "battery": ("soc_percent",),
    "psu": ("power_w",),
    "drive": ("speed_percent",),
    "rack": ("power_w",),
}
PHASES: Final = ("current_l1_a", "current_l2_a", "current_l3_a")
CONTROL_INPUTS: Final = frozenset(
    {"power_w", "frequency_hz", "supply_c", "return_c", "flow_lpm", "dew_point_c", *PHASES}
)
"""What the control loop computes with; it needs a plausible range wherever it stands."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\Z")
TYPES: Final = {kind.name.lower(): kind for kind in Encoding}

Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Address = Annotated[int, Field(ge=0, le=65535)]
ModelId = Annotated[int, Field(ge=1, le=65534)]
Bases = Mapping[int, int]
"""Address of each SunSpec model's ID register."""


class Value(Strict):
    """One register, as a line of the map: value = raw / 2^binary * scale + offset."""

    at: Address
    type: Literal["u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64"]
    scale: float = 1.0
    binary: Annotated[int, Field(ge=0, le=63)] = 0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    nan: Annotated[tuple[int, ...], Field(max_length=4)] = ()
    mask: Annotated[int, Field(ge=0)] = 0
    order: Order | None = None
    function: Literal[3, 4] | None = None
    factor_at: Address | None = None
    model: ModelId | None = None
    slow: bool = False

    @property
    def words(self) -> int:
        """Registers that it takes."""
        return WORDS[TYPES[self.type]]

    def may_read(self, reading: float) -> bool:
        """Whether an integer register can come to a reading, exactly; of others that is not known."""
        if self.type in ("f32", "f64") or self.factor_at is not None:
            return True
        step = self.scale / (1 << self.binary)
        about = (reading - self.offset) / step
        if not abs(about) < 1 << 64 or round(about) * step + self.offset != reading:
            return False
        raw = round(about)
        width = (self.mask >> shift_of(self.mask)).bit_length() if self.mask else 16 * self.words
        if self.type.startswith("s"):
            return -(1 << (width - 1)) <= raw < 1 << (width - 1)
        field = self.mask >> shift_of(self.mask) if self.mask else (1 << width) - 1
        return raw >= 0 and not raw & ~field and (self.mask != 0 or raw not in self.nan)

    @model_validator(mode="after")
    def _sound(self) -> Value:
        if self.scale == 0.0:
            raise ValueError("scale 0 makes every reading the offset: give the factor of one raw step")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty: give [lowest, highest]")
        if any(raw < 0 or raw >> (16 * self.words) for raw in self.nan):
            raise ValueError(f"nan holds raw words of {self.type}: 0 to {(1 << 16 * self.words) - 1:#x}")
        if self.mask and (self.type in ("f32", "f64") or self.mask >> (16 * self.words)):
            raise ValueError(f"mask selects bits of an integer register, here {16 * self.words} of them")
        field = self.mask >> shift_of(self.mask)
        if self.type.startswith("s") and field & (field + 1):
            raise ValueError("mask of a signed register has no holes: its highest bit is the sign")
        if self.binary and self.type in ("f32", "f64"):
            raise ValueError("binary is the fixed point of an integer register")
        if self.at + self.words > 65536:
            raise ValueError("the register ends beyond address 65535")
        return self


class TextLine(Strict):
    """A string: `words` registers, high byte first unless `swapped`. Read once, shown, never computed with."""

    at: Address
    words: Annotated[int, Field(ge=1, le=125)]
    swapped: bool = False
    function: Literal[3, 4] | None = None
    model: ModelId | None = None

    @model_validator(mode="after")
    def _sound(self) -> TextLine:
        if self.at + self.words > 65536:
            raise ValueError("the text ends beyond address 65535")
        return self


class Limit(Value):
    """The register of a power limit: in W, or in percent of the rack's rating."""

    unit: Literal["w", "percent"] = "w"


class Constant(Value):
    """A register that takes one fixed value, an enable for example."""

    value: float


class Ramp(Value):
    """The register of a ramp that the device itself keeps to."""

    unit: Literal["percent_per_s", "w_per_s"]


class Lockout(Strict):
    """Which readings of a value mean that somebody has locked the rack out where it stands."""

    value: str
    locked: Annotated[tuple[float, ...], Field(min_length=1, max_length=16)]


class Setpoint(Strict):
    """How a rack takes its power limit; registers and fixed values, no commands.

    `limit` is written, then `enable`; `readback` names the value that shows what latched, in the unit of the limit.
    `deadman` holds the seconds without a write after which the device acts by itself, and `deadman_enable` is written
    with it. It then goes to `fallback` (same unit as the limit) - or, with `expiry = "lifted"`, drops the limit: such
    a timer is no dead-man; rampd keeps it at 0. `ramp` and `ramp_s` (seconds from old to new limit) are native ramps.
    `accept_s`, then `effect_s`: deadlines until the limit reads back, and until the power has moved. `lockout` is where
    a local lockout shows: such a rack is not steered.
    """

    limit: Limit
    readback: str
    enable: Constant | None = None
    deadman: Value | None = None
    deadman_enable: Constant | None = None
    fallback: Value | None = None
    expiry: Literal["fallback", "lifted"] = "fallback"
    ramp: Ramp | None = None
    ramp_s: Value | None = None
    storage: Literal["ram", "nvm"] = "ram"
    writes_per_s: Annotated[float, Field(gt=0, le=20)] = 2.0
    accept_s: Annotated[float, Field(gt=0, le=30)] = 1.0
    effect_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    lockout: Lockout | None = None

    def parts(self) -> dict[str, Value]:
        """The registers that are written, by their key."""
        named = {
            "limit": self.limit, "enable": self.enable, "deadman": self.deadman, "deadman_enable": self.deadman_enable,
            "fallback": self.fallback, "ramp": self.ramp, "ramp_s": self.ramp_s,
        }  # fmt: skip
        return {key: part for key, part in named.items() if part is not None}

    def problems(self) -> Iterator[str]:
        """What contradicts within the set point."""
        if self.expiry == "lifted" and (self.deadman is None or self.fallback is not None):
            yield "setpoint: expiry 'lifted' is for a deadman that has no fallback"
        if self.expiry == "fallback" and (self.deadman is None) != (self.fallback is None):
            yield 'setpoint: deadman and fallback go together; a timer that drops the limit has expiry = "lifted"'
        if self.deadman_enable is not None and self.deadman is None:
            yield "setpoint: deadman_enable belongs to a deadman"
        if not self.readback.endswith(f"_{self.limit.unit}"):
            yield f"setpoint.readback: {self.readback} is not in the unit of the limit, {self.limit.unit}"


class DeviceMap(MapHead):
    """A device type that speaks Modbus: how to ask it, its values, and how to set it.

    `connect_delay_s` is the pause after a connect, `gap_s` between two requests, `in_flight` the requests that it takes
    before it answered the first. `barriers` are addresses that no request reads across.
    """

    protocol: Literal["modbus"] = "modbus"
    function: Literal[3, 4] = 3
    word_order: Order = "ABCD"
    max_regs: Annotated[int, Field(ge=1, le=125)] = 120
    max_gap: Annotated[int, Field(ge=0, le=124)] = 8
    barriers: tuple[int, ...] = ()
    in_flight: Annotated[int, Field(ge=1, le=16)] = 1
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    connect_delay_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    gap_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    update_s: Annotated[float, Field(gt=0, le=600)] = 1.0
    sunspec_model: ModelId | None = None
    values: Annotated[dict[str, Value], Field(min_length=1)]
    texts: dict[str, TextLine] = Field(default_factory=dict)
    setpoint: Setpoint | None = None

    @model_validator(mode="after")
    def _complete(self) -> DeviceMap:
        problems = [f"a {self.kind} needs {name}" for name in NEEDED[self.kind] if name not in self.values]
        inputs = CONTROL_INPUTS | set(NEEDED[self.kind]) | ({self.setpoint.readback} if self.setpoint else set())
        for name, value in self.values.items():
            if name.rsplit("_", 1)[-1] not in UNITS:
                problems.append(f"{name}: end the name with its unit, one of {', '.join('_' + unit for unit in UNITS)}")
            if name in inputs and value.range is None:
                problems.append(f"{name}: a control input needs its plausible range = [lowest, highest]")
        problems += [f"texts.{name}: a value has that name" for name in self.texts if name in self.values]
        if self.setpoint is not None:
            problems += self.setpoint.problems()
            if self.setpoint.readback not in self.values:
                problems.append(f"setpoint.readback: {self.setpoint.readback} is none of the values")
            problems += self._lockout_problems(self.setpoint.lockout)
        elif self.kind == "rack":
            problems.append("a rack needs [setpoint]")
        if self.gap_s and self.in_flight > 1:
            problems.append("gap_s: a device that needs a pause between requests has in_flight = 1")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _lockout_problems(self, lockout: Lockout | None) -> Iterator[str]:
        """What of it can never be so, or would be noticed late."""
        if lockout is None:
            return
        value = self.values.get(lockout.value)
        if value is None:
            yield f"setpoint.lockout: {lockout.value} is none of the values"
            return
        if not lockout.value.endswith(("_state", "_bits")):
            yield f"setpoint.lockout: {lockout.value} is no state: name one that ends with _state or _bits"
        if value.slow:
            yield f"setpoint.lockout: {lockout.value} is read at a tenth of the rate: a lockout must not be slow"
        if lockout.value.endswith("_bits") and not value.mask:
            yield f"setpoint.lockout: {lockout.value} is a word of several bits: its mask says which of them tells"
        low, high = value.range or (-math.inf, math.inf)
        for state in lockout.locked:
            if not low <= state <= high:
                yield f"setpoint.lockout: {lockout.value} lies within [{low:g}, {high:g}], so it is never {state:g}"
            elif not value.may_read(state):
                yield f"setpoint.lockout: {lockout.value} is never {state:g}, as it is decoded: a mask shifts down"

    @property
    def names(self) -> tuple[str, ...]:
        """The values that a device shows; a limit in percent is shown in W as well."""
        return (*self.values, *(("limit_w",) if self._in_percent else ()))

    @property
    def _in_percent(self) -> bool:
        return self.setpoint is not None and self.setpoint.limit.unit == "percent"

    @property
    def policy(self) -> WritePolicy | None:
        """How the limit is followed up, None for a device that takes none."""
        s = self.setpoint
        if s is None:
            return None
        readback = "limit_w" if self._in_percent else s.readback
        return WritePolicy(readback, s.accept_s, s.effect_s, s.writes_per_s, s.storage, s.fallback is not None)

    def extents(self) -> dict[int, int]:
        """The SunSpec models that values and set point count from, with the registers that are needed of each.

        Texts are no reason to refuse a device; empty for plain addresses.
        """
        found: dict[int, int] = {}
        for line in [*self.values.values(), *(self.setpoint.parts().values() if self.setpoint is not None else ())]:
            if (model := line.model or self.sunspec_model) is not None:
                end = max(line.at + line.words, 0 if line.factor_at is None else line.factor_at + 1)
                found[model] = max(found.get(model, 0), end - 2)
        return found

    def nominal(self) -> Bases:
        """Where the models stand in a device that has no others; empty for plain addresses."""
        extents = self.extents()
        return sunspec.layout(extents) if extents else {}

    def _base(self, line: Value | TextLine, bases: Bases | None) -> int:
        model = line.model or self.sunspec_model
        return 0 if model is None or bases is None else bases[model]

    def register(self, name: str, value: Value, bases: Bases | None = None) -> Register:
        """The register of one line; without `bases` it counts as the map does, from the model's ID register."""
        low, high = value.range or (float("-inf"), float("inf"))
        base = self._base(value, bases)
        return Register(
            name=name, at=base + value.at, encoding=TYPES[value.type], function=value.function or self.function,
            order=WordOrder[value.order or self.word_order], scale=value.scale * 2.0**-value.binary,
            offset=value.offset, low=low, high=high, sentinels=value.nan, mask=value.mask, slow=value.slow,
            factor_at=None if value.factor_at is None else base + value.factor_at,
        )  # fmt: skip

    def registers(self, bases: Bases | None = None, rating_w: float | None = None) -> tuple[Register, ...]:
        """All values as registers, in the order of the file; without `bases` at their nominal places.

        With `rating_w`, a limit in percent of it stands there in W too, as `limit_w`.
        """
        bases = self.nominal() if bases is None else bases
        found = [self.register(name, value, bases) for name, value in self.values.items()]
        if self._in_percent and self.setpoint is not None and rating_w is not None:
            of = self.register("limit_w", self.values[self.setpoint.readback], bases)
            one_w = rating_w / 100.0
            found.append(
                replace(of, scale=of.scale * one_w, offset=of.offset * one_w, low=of.low * one_w, high=of.high * one_w)
            )
        return tuple(found)

    def strings(self, bases: Bases | None = None) -> tuple[Text, ...]:
        """The texts as registers, without those of a SunSpec model that the device has not."""
        bases = self.nominal() if bases is None else bases
        return tuple(
            Text(name, self._base(line, bases) + line.at, line.words, line.function or self.function, line.swapped)
            for name, line in self.texts.items()
            if (line.model or self.sunspec_model) in (None, *bases)
        )

    def reads(self, bases: Bases | None = None, rating_w: float | None = None) -> tuple[Read, ...]:
        """The requests that read all values. A SunSpec model begins a request of its own."""
        bases = self.nominal() if bases is None else bases
        walls = (*self.barriers, *bases.values())
        return plan(self.registers(bases, rating_w), max_regs=self.max_regs, max_gap=self.max_gap, barriers=walls)


AnyMap = DeviceMap | MemberMap
PROTOCOLS: Final[dict[str, type[DeviceMap] | type[MemberMap]]] = {
    "modbus": DeviceMap, "redfish": RedfishMap, **MINER_MAPS,
}  # fmt: skip
"""The schema of a map by its `protocol`."""


def parse(text: str, where: str) -> AnyMap:
    """A map from TOML text. Raises MapError with every problem, each with its place."""
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MapError(f"{where}: {error}") from error
    protocol = given.get("protocol", "modbus")
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise MapError(f"{where}: protocol: there is no {protocol!r}; known: {', '.join(PROTOCOLS)}")
    try:
        device_map = PROTOCOLS[protocol].model_validate(given)
    except ValidationError as error:
        raise MapError("\n".join(f"{where}: {line}" for line in _problems(error))) from error
    if isinstance(device_map, DeviceMap) and (found := lint(device_map)):
        raise MapError("\n".join(f"{where}: {line}" for line in found))
    return device_map


def _problems(error: ValidationError) -> Iterator[str]:
    """Each problem of a schema with its place; those of the whole map come one by one."""
    for item in error.errors():
        if item["loc"]:
            yield f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
        else:
            yield from (f"map: {line}" for line in item["msg"].removeprefix("Value error, ").split("; "))


@cache
def names() -> tuple[str, ...]:
    """The maps that ship with rampd."""
    folder = files("rampd.drivers") / "maps"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def modbus_names() -> tuple[str, ...]:
    """Those of them that are for Modbus devices."""
    return tuple(name for name in names() if isinstance(_shipped(name), DeviceMap))


def modbus(name: str, folder: Path | None = None) -> DeviceMap:
    """A map of a Modbus device by name. Raises KeyError when there is none, MapError when wrong or of another kind."""
    found = load(name, folder)
    if not isinstance(found, DeviceMap):
        raise MapError(f"map {name!r} is for {found.protocol}, a Modbus map is needed here")
    return found


def load(name: str, folder: Path | None = None) -> AnyMap:
    """A map by name, the site's own folder first. Raises KeyError when there is none, MapError when wrong."""
    if not _NAME.match(name):
        raise KeyError(name)
    if folder is not None and (own := folder / f"{name}.toml").is_file():
        try:
            return _parsed(own.read_text(encoding="utf-8-sig"), str(own))
        except (OSError, UnicodeDecodeError) as error:
            raise MapError(f"{own}: cannot be read: {error}") from error
    if name not in names():
        raise KeyError(name)
    return _shipped(name)


@lru_cache(maxsize=64)
def _parsed(text: str, name: str) -> AnyMap:
    """A fleet names its map in every row: the same text is the same map."""
    return parse(text, name)


@cache
def _shipped(name: str) -> AnyMap:
    return parse((files("rampd.drivers") / "maps" / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")
