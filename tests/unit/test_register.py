"""Registers on their way out: values to wire bytes."""

from __future__ import annotations

import math
import struct

import pytest

from rampd.drivers.register import (
    WORDS,
    Encoding,
    Register,
    RegisterError,
    Text,
    WordOrder,
    encode,
    raw_bytes,
    reorder,
)
from tests.oracle import FORMATS, onto_wire

ABCD, CDAB, BADC, DCBA = WordOrder
U16, S16, U32, S32, U64, S64, F32, F64 = Encoding


@pytest.mark.parametrize(
    ("kind", "value", "abcd", "cdab", "badc", "dcba"),
    [
        (U16, 0x1234, "1234", "1234", "3412", "3412"),
        (S16, -2, "fffe", "fffe", "feff", "feff"),
        (U32, 0x12345678, "12345678", "56781234", "34127856", "78563412"),
        (S32, -2, "fffffffe", "fffeffff", "fffffeff", "feffffff"),
        (F32, 50.25e6, "4c3fb044", "b0444c3f", "3f4c44b0", "44b03f4c"),
        (U64, 0x0123456789ABCD00, "0123456789abcd00", "cd0089ab45670123", "23016745ab8900cd", "00cdab8967452301"),
        (S64, -2, "fffffffffffffffe", "fffeffffffffffff", "fffffffffffffeff", "feffffffffffffff"),
        (F64, 59.98, "404dfd70a3d70a3d", "0a3da3d7fd70404d", "4d4070fdd7a33d0a", "3d0ad7a370fd4d40"),
    ],
)
def test_every_type_in_every_order(kind: Encoding, value: float, abcd: str, cdab: str, badc: str, dcba: str) -> None:
    for order, words in zip(WordOrder, (abcd, cdab, badc, dcba), strict=True):
        assert encode(Register("x_w", 0, kind, order=order), value).hex() == words


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        (Register("flow_lpm", 0, U16, scale=0.1), 1234.5, "3039"),
        (Register("supply_c", 0, S16, scale=0.1, offset=-273.15), 20.0, "0b73"),
        # CAT EMCP4: one watt a bit, offset -2,000,000,000
        (Register("power_w", 0, U32, offset=-2e9), 1_500_000.0, "774c7760"),
        (Register("power_w", 0, U32, offset=-2e9), -2e9, "00000000"),
        (Register("power_w", 0, S32, scale=1000.0), -49_100_000.0, "ffff4034"),
        (Register("frequency_hz", 0, U16, scale=1 / 128), 60.0, "1e00"),
        (Register("pump_bits", 0, U16, mask=0x00F0), 9, "0090"),
        (Register("pump_bits", 0, U32, mask=0xFF000000, order=CDAB), 0x81, "00008100"),
        (Register("leak_state", 0, U16, mask=0x8000, order=BADC), 1, "0080"),
    ],
)
def test_scale_offset_and_mask(register: Register, value: float, words: str) -> None:
    assert encode(register, value).hex() == words


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (Register("x_w", 0, U16), -1),
        (Register("x_w", 0, U16), 65536),
        (Register("x_w", 0, U16, scale=0.1), 6553.6),
        (Register("x_w", 0, S16), -32769),
        (Register("x_w", 0, S16), 32768),
        (Register("x_w", 0, U32), 2**32),
        (Register("x_w", 0, S32), -(2**31) - 1),
        (Register("x_w", 0, U64), 2.0**64),
        (Register("x_w", 0, S64), 2.0**63),
        (Register("x_w", 0, F32), 1e39),
        (Register("x_w", 0, U16, mask=0x00F0), 16),
        (Register("x_w", 0, U16, mask=0x00F0), -1),
        (Register("x_w", 0, U32, mask=0x1), 2),
        *((Register("x_w", 0, kind), value) for kind in Encoding for value in (math.nan, math.inf, -math.inf)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(register: Register, value: float) -> None:
    with pytest.raises(RegisterError, match=r"^x_w: .*"):
        encode(register, value)


@pytest.mark.parametrize("kind", Encoding)
@pytest.mark.parametrize("order", WordOrder)
def test_raw_patterns_and_order(kind: Encoding, order: WordOrder) -> None:
    register = Register("x_w", 0, kind, order=order)
    size = struct.calcsize(FORMATS[kind])
    assert register.words * 2 == size == 2 * WORDS[kind]
    raw = int.from_bytes(bytes(range(1, size + 1)), "big")
    assert raw_bytes(register, raw) == onto_wire(bytes(range(1, size + 1)), order)
    assert reorder(raw_bytes(register, raw), order) == bytes(range(1, size + 1))


def test_half_a_step_is_the_worst_that_rounding_costs() -> None:
    register = Register("power_w", 0, U16, scale=0.5, offset=-100.0)
    for step in range(2000):
        value = -100.0 + step * 0.173
        (raw,) = struct.unpack(">H", encode(register, value))
        assert abs(raw * 0.5 - 100.0 - value) <= 0.25 + 1e-9


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        (Register("pump_bits", 0, S16, mask=0x0F00), -8, "0800"),
        (Register("pump_bits", 0, S16, mask=0x0F00), 7, "0700"),
        (Register("pump_bits", 0, U64, mask=0xFF << 56), 0x81, "8100000000000000"),
        (Register("x_count", 0, S64, mask=2**64 - 1), -2, "fffffffffffffffe"),
        # fixed point as the ORV3 units have it: raw = value * 2^n
        (Register("bus_v", 0, U16, scale=2.0**-10), 50.0, "c800"),
        (Register("inlet_c", 0, S16, scale=2.0**-7), -25.0, "f380"),
    ],
)
def test_signed_fields_and_fixed_point(register: Register, value: float, words: str) -> None:
    assert encode(register, value).hex() == words


@pytest.mark.parametrize("value", [-9, 8])
def test_a_signed_field_has_its_own_ends(value: int) -> None:
    with pytest.raises(RegisterError, match="does not fit the bits 0xf00"):
        encode(Register("pump_bits", 0, S16, mask=0x0F00), value)


@pytest.mark.parametrize(
    ("exponent", "value", "words"),
    [(0, 40.0, "0028"), (-2, 40.0, "0fa0"), (-2, 33.333, "0d05"), (2, 120_000.0, "04b0"), (-1, 6553.5, "ffff")],
)
def test_a_write_takes_the_run_time_factor_out(exponent: int, value: float, words: str) -> None:
    assert encode(Register("limit_percent", 5, U16, factor_at=23), value, exponent).hex() == words


def test_a_write_that_the_run_time_factor_makes_too_large_is_refused() -> None:
    with pytest.raises(RegisterError, match="limit_percent"):
        encode(Register("limit_percent", 5, U16, factor_at=23), 100.0, -3)


@pytest.mark.parametrize(
    ("data", "swapped", "text"),
    [
        (b"Acme Corp\0\0\0", False, "Acme Corp"),
        (b"cAemC ro\0p\0\0", True, "Acme Corp"),
        (b"PX3-5902V   ", False, "PX3-5902V"),
        (b"\0" * 8, False, ""),
        (b"\xff\xff\xff\xff", False, "ÿÿÿÿ"),
        (b"A\nB\x07", False, "A?B?"),
        (b"12", False, "12"),
        (b"AB\0junk!", False, "AB"),
    ],
)
def test_texts(data: bytes, swapped: bool, text: str) -> None:
    assert Text("serial", 0, len(data) // 2, swapped=swapped).decode(data) == text
