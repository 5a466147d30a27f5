"""One register of a device: where it stands, how its words become a number, and the way back.

The bulk decode of the daemon is compiled (`rampd.ext.decode`); this module describes a register for it and encodes
values for writes and for the simulator.
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


@dataclass(frozen=True, slots=True)
class Register:
    """A number in a device: `value = raw * scale + offset`, raw masked and shifted first where `mask` is set.

    `sentinels` are raw words (whole register, before scale) that mean "not available". `low` and `high` bound the
    plausible value; what lies outside is bad quality, never clipped. `factor_at` is the address of a run-time
    decimal exponent (SunSpec sunssf) that must be read in the same request.
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


def encode(register: Register, value: float) -> bytes:
    """Wire bytes of a value in engineering units. Raises RegisterError when it does not fit the register."""
    raw = (value - register.offset) / register.scale
    kind = register.encoding
    if not math.isfinite(raw):
        raise RegisterError(f"{register.name}: {value} is not a finite number")
    try:
        if kind in (Encoding.F32, Encoding.F64):
            data = struct.pack(_PACK[kind], raw)
        else:
            shift = (register.mask & -register.mask).bit_length() - 1 if register.mask else 0
            bits = round(raw) << shift
            if register.mask and bits & ~register.mask:
                raise RegisterError(f"{register.name}: {value} does not fit the bits {register.mask:#x}")
            data = struct.pack(_PACK[kind], bits)
    except (struct.error, OverflowError) as error:
        raise RegisterError(f"{register.name}: {value} does not fit {kind.name.lower()}: {error}") from error
    return reorder(data, register.order)


def raw_bytes(register: Register, raw: int) -> bytes:
    """Wire bytes of a raw word pattern, sentinels for example."""
    return reorder(raw.to_bytes(register.words * 2, "big"), register.order)
