"""SunSpec: where a device's models stand, found by walking the chain that begins with "SunS".

Source: SunSpec Device Information Model Specification. The walk knows no transport: it is given a function that reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from rampd.ext.units import ModbusError

MARKER: Final = b"SunS"
BASES: Final = (40000, 0, 50000)
COMMON: Final = 1
COMMON_TEXTS: Final = {"manufacturer": (2, 16), "model": (18, 16), "firmware": (42, 8), "serial": (50, 16)}
"""Strings of the common model: offset from its ID register, and registers."""
END: Final = 0xFFFF
MOST: Final = 200
"""Models that a walk looks at before it gives up."""
LENGTHS: Final = {
    1: 66, 103: 50, 113: 60, 123: 24, 203: 105, 213: 124, 701: 153, 702: 50, 703: 17, 704: 65, 713: 7, 802: 62,
}  # fmt: skip
"""Registers behind ID and length, of the models whose length is fixed."""

Read = Callable[[int, int], Awaitable[bytes]]
"""(address, count) -> big-endian register bytes; raises ModbusError."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a device: its ID register stands at `at`, `length` registers follow ID and length."""

    id: int
    at: int
    length: int


async def survey(read: Read, wanted: Collection[int] = ()) -> tuple[Model, ...]:
    """The models of a device in their order; ends early when all of `wanted` were seen.

    The length is read apart because some devices have none after the end marker. Unknown models are skipped by their
    length; an address that does not exist ends the chain like its marker, and so does a length beyond the last
    address. Raises ModbusError when the device does not answer, or has no marker at 40000, 0 and 50000.
    """
    at = await _begin(read)
    found: list[Model] = []
    missing = set(wanted)
    while len(found) < MOST and at < 0xFFFF:
        number = await _word(read, at)
        if number is None or number == END:
            break
        words = await _word(read, at + 1)
        if words is None or at + 2 + words > 0x10000:
            break
        found.append(Model(number, at, words))
        missing.discard(number)
        if wanted and not missing:
            break
        at += 2 + words
    return tuple(found)


async def find(read: Read, wanted: Mapping[int, int]) -> dict[int, int]:
    """Addresses of the ID registers of the models that were seen until all wanted ones were, the first of each kind.

    `wanted` says how many registers a model must have. Raises ModbusError when one lacks or is too short.
    """
    found: dict[int, Model] = {}
    for model in await survey(read, wanted):
        found.setdefault(model.id, model)
    if missing := sorted(set(wanted) - set(found)):
        has = ", ".join(map(str, found)) or "none"
        raise ModbusError(f"the device has no SunSpec model {', '.join(map(str, missing))}; it has {has}")
    for number, least in wanted.items():
        if found[number].length < least:
            raise ModbusError(f"SunSpec model {number} of the device has {found[number].length} registers, not {least}")
    return {number: model.at for number, model in found.items()}


def layout(wanted: Mapping[int, int]) -> dict[int, int]:
    """Where the wanted models stand in a device that begins at 40000 with the common model and has no others.

    `wanted` says how many registers are needed of each; a known model has its full length.
    """
    at, found = BASES[0] + 2, {}
    for model in sorted({COMMON, *wanted}):
        found[model] = at
        at += 2 + length(model, wanted)
    return found


def length(model: int, wanted: Mapping[int, int]) -> int:
    """Registers behind ID and length of a model of which so many are wanted."""
    return max(wanted.get(model, 0), LENGTHS.get(model, 0))


async def _begin(read: Read) -> int:
    """Address behind the marker."""
    for base in BASES:
        try:
            if await read(base, 2) == MARKER:
                return base + 2
        except ModbusError as error:
            if error.code == 0:
                raise
    raise ModbusError("no SunSpec marker at 40000, 0 or 50000")


async def _word(read: Read, at: int) -> int | None:
    """One register, None where there is none."""
    try:
        return int.from_bytes(await read(at, 1), "big")
    except ModbusError as error:
        if error.code == 0:
            raise
        return None
