"""One register of a device: where it stands, how its words become a number or a text, and the way back.

The bulk decode of the daemon is compiled (`rampd.ext.decode`); this module describes a register for it and encodes
values for writes and for the simulator. Texts are read seldom and never reach the image.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final


class RegisterError(ValueError):
    """A value that cannot be put into its register, or words that do not fit it."""


class Encoding(IntEnum):
    """The wire type of a register; the numbers are those of `rampd.ext.decode`."""

    U16 = 0
    S16 = 1
    U32 = 2
    S32 = 3
    U64 = 4
    S64 = 5
    F32 = 6
    F64 = 7


class WordOrder(IntEnum):
    """Byte order over the words, most significant byte = A. 64-bit values swap the same way over four words."""

    ABCD = 0
    CDAB = 1
    BADC = 2
    DCBA = 3


WORDS: Final = {
    Encoding.U16: 1, Encoding.S16: 1, Encoding.U32: 2, Encoding.S32: 2, Encoding.F32: 2,
    Encoding.U64: 4, Encoding.S64: 4, Encoding.F64: 4,
}  # fmt: skip
_PACK: Final = {
    Encoding.U16: ">H", Encoding.S16: ">h", Encoding.U32: ">I", Encoding.S32: ">i", Encoding.F32: ">f",
    Encoding.U64: ">Q", Encoding.S64: ">q", Encoding.F64: ">d",
}  # fmt: skip

SIGNED: Final = (Encoding.S16, Encoding.S32, Encoding.S64)


@dataclass(frozen=True, slots=True)
class Register:
    """A number in a device: `value = raw * scale + offset`, raw masked and shifted first where `mask` is set.

    In a signed register the highest bit of the mask is the sign of the field. `sentinels` are raw words (whole
    register, before scale) that mean "not available". `low` and `high` bound the plausible value; what lies outside is
    bad quality, never clipped. `factor_at` is the address of a run-time decimal exponent (SunSpec sunssf) that must be
    read in the same request and multiplies the raw number by 10^exponent.
    """

    name: str
    at: int
    encoding: Encoding
    function: int = 3
    order: WordOrder = WordOrder.ABCD
    scale: float = 1.0
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    sentinels: tuple[int, ...] = ()
    mask: int = 0
    factor_at: int | None = None
    slow: bool = False
    words: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", WORDS[self.encoding])


def reorder(data: bytes, order: WordOrder) -> bytes:
    """Bytes of one value between wire order and big endian; the four orders are their own inverses."""
    if order in (WordOrder.BADC, WordOrder.DCBA):
        data = b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
    if order in (WordOrder.CDAB, WordOrder.DCBA):
        data = b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    return data


@dataclass(frozen=True, slots=True)
class Text:
    """A string in a device: two characters a register, the high byte first unless `swapped`, ended by NUL or blanks."""

    name: str
    at: int
    words: int
    function: int = 3
    swapped: bool = False

    def decode(self, data: bytes) -> str:
        """The text; what cannot be printed shows as '?'."""
        if self.swapped:
            data = reorder(data, WordOrder.BADC)
        found = data.partition(b"\0")[0].decode("latin-1").strip()
        return "".join(letter if letter.isprintable() else "?" for letter in found)


def encode(register: Register, value: float, exponent: int = 0) -> bytes:
    """Wire bytes of a value in engineering units; `exponent` is what stands at `factor_at`.

    Raises RegisterError when the value does not fit the register.
    """
    raw = (value - register.offset) / register.scale
    raw = raw / 10.0**exponent if exponent >= 0 else raw * 10.0**-exponent
    kind = register.encoding
    if not math.isfinite(raw):
        raise RegisterError(f"{register.name}: {value} is not a finite number")
    try:
        if kind in (Encoding.F32, Encoding.F64):
            data = struct.pack(_PACK[kind], raw)
        elif register.mask:
            data = (_field(register, round(raw))).to_bytes(register.words * 2, "big")
        else:
            data = struct.pack(_PACK[kind], round(raw))
    except (struct.error, OverflowError) as error:
        raise RegisterError(f"{register.name}: {value} does not fit {kind.name.lower()}: {error}") from error
    return reorder(data, register.order)


def decode(register: Register, data: bytes, exponent: int = 0) -> float:
    """The number that wire bytes stand for, plausible or not: the way back of `encode`."""
    whole = reorder(data, register.order)
    if register.mask:
        shift = shift_of(register.mask)
        raw: float = (int.from_bytes(whole, "big") & register.mask) >> shift
        width = register.mask.bit_length() - shift
        if register.encoding in SIGNED and raw >= 1 << width - 1:
            raw -= 1 << width
    else:
        (raw,) = struct.unpack(_PACK[register.encoding], whole)
    raw = raw * 10.0**exponent if exponent >= 0 else raw / 10.0**-exponent
    return raw * register.scale + register.offset


def _field(register: Register, raw: int) -> int:
    """A bit field at its place in the register, the other bits 0."""
    shift = shift_of(register.mask)
    width = register.mask.bit_length() - shift
    low = -(1 << width - 1) if register.encoding in SIGNED else 0
    bits = (raw & (1 << width) - 1) << shift
    if not low <= raw < low + (1 << width) or bits & ~register.mask:
        raise RegisterError(f"{register.name}: {raw} does not fit the bits {register.mask:#x}")
    return bits


def shift_of(mask: int) -> int:
    """Place of the lowest bit of a mask; 0 without one."""
    return (mask & -mask).bit_length() - 1 if mask else 0


def raw_bytes(register: Register, raw: int) -> bytes:
    """Wire bytes of a raw word pattern, sentinels for example."""
    return reorder(raw.to_bytes(register.words * 2, "big"), register.order)
