"""The fault file of a simulated hall: which device misbehaves how, from when, for how long.

[[fault]]
device = "gpu-0*"       # an id, a list of ids, or a pattern
kind = "late"
at_s = 10.0             # after the hall has started
for_s = 20.0            # without it: to the end
delay_s = 0.7
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rampd.drivers.sim.spec import SimError

Delay = Annotated[float, Field(gt=0, le=3600)]


class FaultError(SimError):
    """A fault file that cannot be used; the message names every place and its remedy."""


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str | tuple[str, ...]
    at_s: Annotated[float, Field(ge=0)] = 0.0
    for_s: Annotated[float, Field(gt=0)] | None = None


class Plain(_Fault):
    """A fault without parameters.

    down: listener and connections closed. half_open: connections stay, nothing is read. rst: reset on each request.
    silent: read and not answered. duplicate: answered twice. wrong_id, wrong_unit, foreign_function: another
    transaction, unit or function in the answer. garbage: random bytes. frozen: values stand still. sentinel: values
    "not available". writes_ignored: echoed and dropped. stuck: the rack's power does not follow.
    """

    kind: Literal[
        "down", "half_open", "rst", "silent", "duplicate", "wrong_id", "wrong_unit", "foreign_function", "garbage",
        "frozen", "sentinel", "writes_ignored", "stuck",
    ]  # fmt: skip


class Late(_Fault):
    """Every answer comes `delay_s` late."""

    kind: Literal["late"]
    delay_s: Delay


class Short(_Fault):
    """Reads answer `missing` registers fewer than asked, with a byte count that agrees with itself."""

    kind: Literal["short"]
    missing: Annotated[int, Field(ge=1, le=125)] = 1


class ByteByByte(_Fault):
    """Answers arrive one byte at a time, `gap_s` apart."""

    kind: Literal["byte_by_byte"]
    gap_s: Annotated[float, Field(gt=0, le=10)] = 0.002


class Reboot(_Fault):
    """Down for `for_s`; a rack's limit and dead-man are back at their power-on values."""

    kind: Literal["reboot"]

    @model_validator(mode="after")
    def _ends(self) -> Reboot:
        if self.for_s is None:
            raise ValueError("a reboot needs for_s, the seconds until the device answers again")
        return self


class WritesReverted(_Fault):
    """A written limit is applied, and back at its maximum `revert_s` later."""

    kind: Literal["writes_reverted"]
    revert_s: Delay


class SecondWriter(_Fault):
    """Somebody else writes `value_w` to the limit every `revert_s`."""

    kind: Literal["second_writer"]
    value_w: Annotated[float, Field(ge=0)]
    revert_s: Delay = 2.0


class PumpFail(_Fault):
    """The pumps of a loop lose capacity; `share` of it is left."""

    kind: Literal["pump_fail"]
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Humid(_Fault):
    """Moist air comes to a loop's racks: this dew point."""

    kind: Literal["humid"]
    dew_point_c: Annotated[float, Field(ge=-40, le=60)]


Fault = Plain | Late | Short | ByteByByte | Reboot | WritesReverted | SecondWriter | PumpFail | Humid

# Kinds that need a device of one kind; all others suit every device.
ONLY_FOR: Final = {
    "stuck": ("rack", "member"), "writes_ignored": ("rack", "member"), "writes_reverted": ("rack", "member"),
    "second_writer": ("rack", "member"), "pump_fail": ("cdu",), "humid": ("cdu",),
}  # fmt: skip
# Wrong answers that only Modbus knows.
MODBUS_ONLY: Final = frozenset({"duplicate", "wrong_id", "wrong_unit", "foreign_function", "short"})
ON_THE_WIRE: Final = MODBUS_ONLY | {"rst", "silent", "garbage", "late", "byte_by_byte"}
KINDS: Final[dict[str, type[_Fault]]] = {
    kind: model for model in get_args(Fault) for kind in get_args(model.model_fields["kind"].annotation)
}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: tuple[Annotated[Fault, Field(discriminator="kind")], ...] = ()


def load(path: Path) -> tuple[Fault, ...]:
    """The faults of a file. Raises FaultError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: cannot be read: {error}: give the path of a fault file in TOML") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> tuple[Fault, ...]:
    """The faults of a TOML text. Raises FaultError with every problem, each with its place and remedy."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FaultError(f"{where}: not TOML: {error}: correct the syntax there") from error
    try:
        return _File.model_validate(data).fault
    except ValidationError as error:
        raise FaultError("\n".join(f"{where}: {_problem(item)}" for item in error.errors())) from error


def matching(fault: Fault, number: int, devices: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Ids among (id, device kind) that the fault names, in their order; `number` is its place in the file, from 1.

    The id of a rack names all its members.

    Raises FaultError when a name matches nothing, or a device that the kind does not suit.
    """
    names = (fault.device,) if isinstance(fault.device, str) else fault.device
    kinds = dict(devices)
    for name in names:
        if not any(_named(known, name) for known in kinds):
            raise FaultError(f"fault {number} ({fault.kind}): device {name!r} matches no device: {_near(name, kinds)}")
    chosen = tuple(known for known in kinds if any(_named(known, name) for name in names))
    needed = ONLY_FOR.get(fault.kind)
    for name in chosen:
        if needed is not None and kinds[name] not in needed:
            remedy = f"{fault.kind} needs a {' or '.join(needed)}"
            raise FaultError(f"fault {number} ({fault.kind}): {name} is a {kinds[name]}: {remedy}")
        if fault.kind in MODBUS_ONLY and kinds[name] == "member":
            raise FaultError(f"fault {number} ({fault.kind}): {name} speaks no Modbus: choose a fault of any device")
    return chosen


def _named(known: str, pattern: str) -> bool:
    """Whether a pattern names an id, or the rack that a member belongs to."""
    return fnmatchcase(known, pattern) or ("/" in known and fnmatchcase(known.partition("/")[0], pattern))


def _problem(item: Any) -> str:
    loc = tuple(item["loc"])
    index = loc[1] if len(loc) > 1 else None
    place = f"fault {index + 1}" if isinstance(index, int) else "file"
    # Behind the index stands the kind that the union was decided by.
    key = ".".join(map(str, loc[3:] if isinstance(index, int) else loc))
    kind = KINDS.get(str(loc[2])) if len(loc) > 2 else None
    what = item["msg"].removeprefix("Value error, ")
    match item["type"]:
        case "union_tag_invalid":
            given = str(item["ctx"]["tag"])
            return f"{place}: there is no kind {given!r}: {_near(given, KINDS)}"
        case "union_tag_not_found":
            return f"{place}: kind is missing: one of {', '.join(KINDS)}"
        case "extra_forbidden":
            return f"{place}: unknown key {key!r}: {_near(key, kind.model_fields if kind else ['fault'])}"
        case "missing":
            return f"{place}: {key} is missing: add {key} = ..."
    label = f"{place}: {key}: " if key else f"{place}: "
    return f"{label}{what} (got {item['input']!r}): correct the value" if key else f"{label}{what}"


def _near(name: str, known: Any) -> str:
    names = list(known)
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names[:20])}"
