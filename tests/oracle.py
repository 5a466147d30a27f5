"""What words mean, written down a second time and in another way: letters for byte places, struct for types."""

from __future__ import annotations

import math
import struct
from typing import Final

from rampd.drivers.register import Encoding, Register, WordOrder
from rampd.ext.codes import GOOD, RANGE, SENTINEL, Quality

FORMATS: Final = {
    Encoding.U16: "H", Encoding.S16: "h", Encoding.U32: "I", Encoding.S32: "i", Encoding.U64: "Q", Encoding.S64: "q",
    Encoding.F32: "f", Encoding.F64: "d",
}  # fmt: skip
# Where the bytes of a value, A the most significant, stand on the wire.
LETTERS: Final = {
    (WordOrder.ABCD, 2): "AB", (WordOrder.ABCD, 4): "ABCD", (WordOrder.ABCD, 8): "ABCDEFGH",
    (WordOrder.CDAB, 2): "AB", (WordOrder.CDAB, 4): "CDAB", (WordOrder.CDAB, 8): "GHEFCDAB",
    (WordOrder.BADC, 2): "BA", (WordOrder.BADC, 4): "BADC", (WordOrder.BADC, 8): "BADCFEHG",
    (WordOrder.DCBA, 2): "BA", (WordOrder.DCBA, 4): "DCBA", (WordOrder.DCBA, 8): "HGFEDCBA",
}  # fmt: skip


def onto_wire(data: bytes, order: WordOrder) -> bytes:
    """Big-endian bytes of a value as they stand on the wire."""
    return bytes(data[ord(letter) - ord("A")] for letter in LETTERS[order, len(data)])


def off_wire(data: bytes, order: WordOrder) -> bytes:
    """Wire bytes of a value in big-endian order."""
    places = sorted(zip(LETTERS[order, len(data)], data, strict=True))
    return bytes(byte for _, byte in places)


def judge(register: Register, data: bytes, exponent: bytes | None = None) -> tuple[Quality, float | None]:
    """Quality and value of wire bytes; no value when it is not good. `exponent` are the words of a run-time factor."""
    whole = off_wire(data, register.order)
    if int.from_bytes(whole, "big") in register.sentinels:
        return SENTINEL, None
    if register.mask:
        bits = f"{int.from_bytes(whole, 'big'):0{8 * len(whole)}b}"
        mask = f"{register.mask:0{8 * len(whole)}b}"
        first, last = mask.index("1"), mask.rindex("1")
        field = "".join(b if m == "1" else "0" for b, m in zip(bits, mask, strict=True))[first : last + 1]
        number = float(int(field, 2))
        if FORMATS[register.encoding].islower() and field[0] == "1":
            number = float(int(field, 2) - (1 << len(field)))
    else:
        (raw,) = struct.unpack(">" + FORMATS[register.encoding], whole)
        number = float(raw)
    if math.isnan(number):
        return SENTINEL, None
    if exponent is not None:
        (power,) = struct.unpack(">h", exponent)
        if abs(power) > 10:
            return SENTINEL, None
        number = number * 10.0**power if power >= 0 else number / 10.0**-power
    number = number * register.scale + register.offset
    if math.isnan(number) or math.isinf(number) or number < register.low or number > register.high:
        return RANGE, None
    return GOOD, number
