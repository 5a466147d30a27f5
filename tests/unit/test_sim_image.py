"""The register image: values in, words out, and which addresses exist."""

from __future__ import annotations

import math
import struct

import pytest

from rampd.drivers import maps
from rampd.drivers.maps import DeviceMap
from rampd.drivers.register import Encoding, Register, WordOrder, decode, encode, shift_of
from rampd.drivers.sim.image import Image, not_available


def device_map(lines: str, **head: object) -> DeviceMap:
    text = 'name = "probe"\nkind = "pdu"\ntitle = "a probe"\nsource = ["test"]\nverified = "test only"\n'
    text += "".join(f"{key} = {str(value).lower()}\n" for key, value in head.items())
    return maps.parse(text + "[values]\n" + lines, "probe.toml")


POWER = 'power_w = { at = 10, type = "u16", range = [0, 1e9] }\n'


@pytest.mark.parametrize("order", WordOrder)
@pytest.mark.parametrize(
    ("encoding", "scale", "offset", "value"),
    [
        (Encoding.U16, 0.1, 0.0, 1234.5),
        (Encoding.S16, 1.0, 0.0, -2.0),
        (Encoding.U32, 1.0, -2e9, -1.5e9),
        (Encoding.S32, 0.001, 0.0, -123.456),
        (Encoding.F32, 1.0, 0.0, 50_250_000.0),
        (Encoding.U64, 1.0, 0.0, 2.0**40),
        (Encoding.S64, 1.0, 0.0, -(2.0**40)),
        (Encoding.F64, 1.0, 0.0, 0.1),
    ],
)
def test_decode_is_the_way_back(
    order: WordOrder, encoding: Encoding, scale: float, offset: float, value: float
) -> None:
    register = Register("x_w", 0, encoding, order=order, scale=scale, offset=offset)
    assert decode(register, encode(register, value)) == pytest.approx(value)


def suited(register: Register, number: int) -> float:
    """A number that the register can hold, a different one for each where it can."""
    if register.mask:
        shift = shift_of(register.mask)
        return float((number << shift & register.mask) >> shift)
    return min(register.high, max(register.low, float(number)))


@pytest.mark.parametrize("name", maps.modbus_names())
def test_every_shipped_map_can_be_read_as_planned(name: str) -> None:
    one = maps.load(name)
    image = Image(one)
    registers = tuple(image.registers.values())
    for number, register in enumerate(registers, 1):
        image.put(register, suited(register, number))
    for read in one.reads():
        data = image.read(read.function, read.at, read.count)
        assert data is not None
        for register in read.registers:
            begin = (register.at - read.at) * 2
            value = image.taken(register, data[begin : begin + register.words * 2])
            # Sixteen bits and a power of ten hold a range to four parts in ten thousand.
            step = abs(register.scale) + (0.0004 * (register.high - register.low) if register.factor_at else 0.0)
            assert value == pytest.approx(suited(register, registers.index(register) + 1), abs=step)
    for text in image.texts:
        data = image.read(text.function, text.at, text.words)
        assert data is not None
        assert text.decode(data)
    assert image.clamped == 0


@pytest.mark.parametrize(
    ("max_gap", "at", "count", "exists"),
    [
        (0, 10, 1, True), (0, 14, 1, True), (0, 10, 5, False), (0, 12, 1, False),
        (3, 10, 5, True), (3, 12, 1, True), (2, 10, 5, False), (2, 12, 1, False),
        (3, 9, 1, False), (3, 15, 1, False), (3, 14, 2, False), (3, 65535, 1, False),
    ],
)  # fmt: skip
def test_holes_that_a_planner_may_not_bridge_do_not_exist(max_gap: int, at: int, count: int, exists: bool) -> None:
    image = Image(device_map(POWER + 'load_w = { at = 14, type = "u16" }\n', max_gap=max_gap))
    data = image.read(3, at, count)
    assert (data is not None) == exists
    assert data is None or data == bytes(2 * count)


def test_a_barrier_ends_a_span() -> None:
    image = Image(device_map(POWER + 'load_w = { at = 11, type = "u16" }\n', barriers=[11]))
    assert image.read(3, 10, 1) == image.read(3, 11, 1) == b"\0\0"
    assert image.read(3, 10, 2) is None


@pytest.mark.parametrize(
    ("line", "value", "words"),
    [
        ('type = "u16"', 70000.0, "ffff"),
        ('type = "u16"', -1.0, "0000"),
        ('type = "s16"', -1e9, "8000"),
        ('type = "u32", scale = 0.1', 1e12, "ffffffff"),
        ('type = "u16", nan = [0xFFFE]', math.nan, "fffe"),
        ('type = "f32"', math.inf, "7fc00000"),
    ],
)
def test_what_does_not_fit_is_clamped_and_counted(line: str, value: float, words: str) -> None:
    image = Image(device_map(POWER + f"x_w = {{ at = 20, {line} }}\n"))
    image.put(image.registers["x_w"], value)
    data = image.read(3, 20, image.registers["x_w"].words)
    assert data is not None
    assert (data.hex(), image.clamped) == (words, 1)


def test_bit_fields_share_their_register() -> None:
    low = 'low_bits = { at = 20, type = "u16", mask = 0x00FF }\n'
    image = Image(device_map(POWER + low + 'high_bits = { at = 20, type = "u16", mask = 0xFF00 }\n'))
    image.put(image.registers["low_bits"], 0x12)
    image.put(image.registers["high_bits"], 0x34)
    image.put(image.registers["low_bits"], 0x56)
    assert image.read(3, 20, 1) == b"\x34\x56"
    image.put(image.registers["low_bits"], 0x1FF)
    assert image.read(3, 20, 1) == b"\x34\xff"
    assert image.clamped == 1


@pytest.mark.parametrize(
    ("encoding", "sentinels", "words"),
    [
        (Encoding.U32, (0xFFFFFFFF,), "ffffffff"), (Encoding.U16, (), "ffff"), (Encoding.S16, (), "8000"),
        (Encoding.S32, (), "80000000"), (Encoding.F32, (), "7fc00000"), (Encoding.F64, (), "7ff8000000000000"),
    ],
)  # fmt: skip
def test_not_available(encoding: Encoding, sentinels: tuple[int, ...], words: str) -> None:
    assert not_available(Register("x_w", 0, encoding, sentinels=sentinels)).hex() == words


def test_a_run_time_factor_is_large_enough() -> None:
    image = Image(
        device_map(
            'power_w = { at = 18, type = "s16", factor_at = 22, range = [0, 2e6] }\n', sunspec_model=203, max_gap=20
        )
    )
    image.put(image.registers["power_w"], 1_234_000.0)
    data = image.read(3, 40070 + 18, 5)
    assert data is not None
    value, exponent = struct.unpack(">h6xh", data)
    assert exponent == 2
    assert value * 10**exponent == pytest.approx(1_234_000, rel=1e-3)
    assert image.read(3, 40070, 2) == struct.pack(">2H", 203, 105)


def test_the_sunspec_chain_ends() -> None:
    image = Image(maps.load("sunspec-213"))
    assert image.read(3, 40000, 4) == b"SunS\x00\x01\x00\x42"
    assert image.read(3, 40070, 2) == struct.pack(">2H", 213, 124)
    assert image.read(3, 40070 + 126, 2) == b"\xff\xff\0\0"
    assert image.read(3, 40070 + 127, 2) is None
