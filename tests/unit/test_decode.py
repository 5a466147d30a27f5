"""Registers on their way in: the compiled decoder on words that a person can check."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import pytest

from rampd.drivers.device import field_spec
from rampd.drivers.register import Encoding, Register, WordOrder
from rampd.ext import views
from rampd.ext.codes import GOOD, NEVER, RANGE, REFUSED, SENTINEL, Quality
from rampd.ext.decode import Decoder
from tests.field import image
from tests.oracle import judge, onto_wire

ABCD, CDAB, BADC, DCBA = WordOrder
U16, S16, U32, S32, U64, S64, F32, F64 = Encoding
AT_NS = 123_456_789
BEFORE = -7.25


def decode(register: Register, words: str) -> tuple[Quality, float]:
    """Quality and number of a slot that held BEFORE."""
    data = bytes.fromhex(words)
    wall = image(3)
    inputs = views.inputs(wall)
    for slot in range(3):
        inputs.value[slot] = BEFORE
    Decoder([field_spec(register, 0, 1)], len(data) // 2).decode(data, wall, AT_NS)
    assert [inputs.at_ns[slot] for slot in range(3)] == [0, AT_NS, 0]
    assert (inputs.quality[0], inputs.value[0], inputs.quality[2], inputs.value[2]) == (NEVER, BEFORE, NEVER, BEFORE)
    return Quality(inputs.quality[1]), inputs.value[1]


def register(kind: Encoding, **more: Any) -> Register:
    return Register("x_w", 0, kind, **more)


@pytest.mark.parametrize(
    ("what", "words", "value"),
    [
        (register(U16), "ffff", 65535.0),
        (register(S16), "ffff", -1.0),
        (register(S16), "8000", -32768.0),
        (register(U32), "ffffffff", 4294967295.0),
        (register(S32), "80000000", -2147483648.0),
        (register(U64), "ffffffffffffffff", 2.0**64),
        (register(U64), "0020000000000001", 2.0**53),
        (register(S64), "8000000000000000", -(2.0**63)),
        (register(F32), "4c3fb044", 50.25e6),
        (register(F32), "80000000", -0.0),
        (register(F32), "00000001", 2.0**-149),
        (register(F64), "404dfd70a3d70a3d", 59.98),
        (register(F32, order=CDAB), "b0444c3f", 50.25e6),
        (register(F32, order=BADC), "3f4c44b0", 50.25e6),
        (register(F32, order=DCBA), "44b03f4c", 50.25e6),
        (register(F64, order=CDAB), "0a3da3d7fd70404d", 59.98),
        (register(F64, order=DCBA), "3d0ad7a370fd4d40", 59.98),
        (register(U16, order=BADC), "3412", float(0x1234)),
        (register(U16, scale=0.1), "3039", 12345 * 0.1),
        (register(U32, offset=-2e9), "774c7760", 1_500_000.0),
        (register(S16, scale=0.1, offset=-273.15), "0b73", 2931 * 0.1 - 273.15),
        (register(U16, mask=0x00F0), "1290", 9.0),
        (register(U32, mask=0xFF000000, order=CDAB), "12348156", float(0x81)),
        (register(U16, mask=0xFFFF), "ffff", 65535.0),
        (register(U64, mask=0xFFFF_0000_0000_0000), "8001000000000000", float(0x8001)),
        (register(U64, mask=0xFF << 24, order=CDAB), "0000a5000000ffff", float(0xA5)),
        # signed fields: the highest bit of the mask is the sign
        (register(S16, mask=0x0F00), "0800", -8.0),
        (register(S16, mask=0x0F00), "f7ff", 7.0),
        (register(S32, mask=0x00FFFFFF), "7fffffff", -1.0),
        (register(S64, mask=0xFFF0000000000000), "8000000000000000", -2048.0),
        (register(S64, mask=2**64 - 1), "fffffffffffffffe", -2.0),
        # binary fixed point is exact: raw / 2^n
        (register(U16, scale=2.0**-3), "ffff", 8191.875),
        (register(S16, scale=2.0**-7), "f380", -25.0),
        (register(U16, scale=2.0**-10), "c8cd", 50.2001953125),
        (register(U32, scale=2.0**-31), "ffffffff", 1.9999999995343387),
        (register(U16, mask=0x00F0, scale=-2.0, offset=1.0), "0090", -17.0),
        (register(U16, low=0.0, high=100.0), "0064", 100.0),
        (register(S16, low=-5.0, high=5.0), "fffb", -5.0),
    ],
)
def test_good(what: Register, words: str, value: float) -> None:
    assert decode(what, words) == (GOOD, value)


@pytest.mark.parametrize(
    ("what", "words", "quality"),
    [
        (register(U16, sentinels=(0xFFFF,)), "ffff", SENTINEL),
        (register(S16, sentinels=(0x8000,)), "8000", SENTINEL),
        (register(U32, sentinels=(0xFFFFFFFF, 0x80000000)), "80000000", SENTINEL),
        (register(U32, sentinels=(1, 2, 3, 4)), "00000004", SENTINEL),
        # on the raw words: before order-dependent scale, and before the mask
        (register(U32, order=CDAB, sentinels=(0x12345678,)), "56781234", SENTINEL),
        (register(U16, scale=0.1, sentinels=(0x7FFF,)), "7fff", SENTINEL),
        (register(U16, mask=0x000F, sentinels=(0xFFFF,)), "ffff", SENTINEL),
        (register(U64, sentinels=(2**64 - 1,)), "ffffffffffffffff", SENTINEL),
        (register(S64, sentinels=(2**63,)), "8000000000000000", SENTINEL),
        (register(F32, sentinels=(0x7F7FFFFF,)), "7f7fffff", SENTINEL),
        # a sentinel wins over the range
        (register(U16, high=100.0, sentinels=(0xFFFF,)), "ffff", SENTINEL),
        (register(F32), "7fc00000", SENTINEL),
        (register(F32), "ffc00001", SENTINEL),
        (register(F32), "7f800001", SENTINEL),
        (register(F64), "7ff8000000000000", SENTINEL),
        (register(F64), "7ff0000000000001", SENTINEL),
        (register(F32), "7f800000", RANGE),
        (register(F32), "ff800000", RANGE),
        (register(F64), "7ff0000000000000", RANGE),
        (register(F64, scale=10.0), "7fefffffffffffff", RANGE),
        (register(U16, low=0.0, high=100.0), "0065", RANGE),
        (register(S16, low=-5.0, high=5.0), "fffa", RANGE),
        (register(F32, low=45.0, high=65.0), "42820001", RANGE),
        (register(F32, low=45.0, high=65.0), "00000000", RANGE),
        (register(U16, scale=0.1, high=99.95), "03e8", RANGE),
    ],
)
def test_bad_keeps_the_number_and_says_why(what: Register, words: str, quality: Quality) -> None:
    assert decode(what, words) == (quality, BEFORE)


@pytest.mark.parametrize(
    ("word", "good"),
    [("ffff", False), ("fffe", True), ("7fff", True), ("0000", True)],
)
def test_a_sentinel_is_compared_at_its_own_width(word: str, good: bool) -> None:
    """0xFFFF in the low word of a u32, or the wide pattern cut to sixteen bits, is a number like any other."""
    assert (decode(register(U16, sentinels=(0xFFFF,)), word)[0] == GOOD) == good
    assert decode(register(U32, sentinels=(0xFFFF0000 + int(word, 16) + 1 & 0xFFFFFFFF,)), "0000" + word)[0] == GOOD


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("0123 0000", (GOOD, 291.0)),
        ("0123 0002", (GOOD, 29100.0)),
        ("0123 ffff", (GOOD, 29.1)),
        ("0123 000a", (GOOD, 291.0e10)),
        ("0123 fff6", (GOOD, 291e-10)),
        ("176e fffe", (GOOD, 59.98)),
        ("fffe ffff", (GOOD, 6553.4)),
        ("0123 000b", (SENTINEL, BEFORE)),
        ("0123 fff5", (SENTINEL, BEFORE)),
        ("0123 8000", (SENTINEL, BEFORE)),
        ("ffff 0000", (SENTINEL, BEFORE)),
    ],
)
def test_a_factor_of_ten_in_the_same_answer(words: str, found: tuple[Quality, float]) -> None:
    what = Register("x_w", 0, U16, factor_at=1, sentinels=(0xFFFF,))
    assert decode(what, words) == found


def test_a_factor_may_stand_before_its_value_and_serve_several() -> None:
    wall = image(2)
    inputs = views.inputs(wall)
    first = Register("x_w", 11, S16, factor_at=10)
    second = Register("y_w", 12, S16, factor_at=10, high=100.0)
    Decoder([field_spec(first, 10, 0), field_spec(second, 10, 1)], 3).decode(bytes.fromhex("0001fff60064"), wall, 1)
    assert (inputs.value[0], inputs.quality[0]) == (-100.0, GOOD)
    assert (inputs.value[1], inputs.quality[1]) == (0.0, RANGE)


def test_good_again_after_bad() -> None:
    wall = image(1)
    inputs = views.inputs(wall)
    decoder = Decoder([field_spec(register(U16, sentinels=(0xFFFF,), high=100.0), 0, 0)], 1)
    seen = []
    for at_ns, words in enumerate(("0005", "ffff", "0065", "0006"), 1):
        decoder.decode(bytes.fromhex(words), wall, at_ns)
        seen.append((inputs.value[0], Quality(inputs.quality[0]), inputs.at_ns[0]))
    assert seen == [(5.0, GOOD, 1), (5.0, SENTINEL, 2), (5.0, RANGE, 3), (6.0, GOOD, 4)]


EDGES = ("00" * 8, "ff" * 8, "7f" + "ff" * 7, "80" + "00" * 7, "0102030405060708", "7fc0" * 4, "7ff8" + "00" * 6)


@pytest.mark.parametrize("order", WordOrder)
@pytest.mark.parametrize("kind", Encoding)
def test_every_type_and_order_on_the_edges_as_the_oracle_says(kind: Encoding, order: WordOrder) -> None:
    scales = ((1.0, 0.0), (0.1, 0.0), (-1000.0, 5.5), (1 / 128, -2e9))
    ranges = ((float("-inf"), float("inf")), (-100.0, 1e6))
    for (scale, offset), (low, high), text in itertools.product(scales, ranges, EDGES):
        what = register(kind, order=order, scale=scale, offset=offset, low=low, high=high, sentinels=(0, 0xFFFF))
        data = onto_wire(bytes.fromhex(text)[: 2 * what.words], order)
        quality, value = judge(what, data)
        assert decode(what, data.hex()) == (quality, BEFORE if value is None else value)


@pytest.mark.parametrize(
    ("registers", "change"),
    [
        (2, {"at": 1}),
        (2, {"at": -1}),
        (1, {}),
        (4, {"factor_at": 4}),
        (4, {"factor_at": -2}),
        (4, {"sentinels": (1, 2, 3, 4, 5)}),
    ],
)
def test_a_field_outside_its_answer_is_refused(registers: int, change: dict[str, Any]) -> None:
    names = ("at", "encoding", "order", "words", "scale", "offset", "low", "high")
    names += ("sentinels", "mask", "factor_at", "slot")
    spec = dict(zip(names, field_spec(register(U32), 0, 0), strict=True)) | change
    with pytest.raises(ValueError, match="field 0 lies outside"):
        Decoder([tuple(spec.values())], registers)  # type: ignore[list-item]


@pytest.mark.parametrize("size", [0, 1, 3, 5, 6])
def test_an_answer_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are not 2 registers"):
        Decoder([field_spec(register(U32), 0, 0)], 2).decode(bytes(size), image(1), 0)


def test_the_numbers_of_the_enums_are_those_of_the_decoder() -> None:
    """One raw pattern, all types: a swapped number would show."""
    words = "c2f6e979" + "3f800000"
    seen = [
        decode(register(kind), words[: struct.calcsize(f) * 2])[1] for kind, f in zip(Encoding, "HhIiQqfd", strict=True)
    ]
    assert seen == [struct.unpack(f">{f}", bytes.fromhex(words)[: struct.calcsize(f)])[0] for f in "HhIiQqfd"]
    assert {NEVER, GOOD, SENTINEL, RANGE, REFUSED} == set(Quality)
