"""The compiled decoder against the oracle on whatever may come."""

from __future__ import annotations

import math
import os
import random
import struct
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.device import field_spec
from rampd.drivers.register import SIGNED, WORDS, Encoding, Register, RegisterError, WordOrder, encode
from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from tests.field import image
from tests.oracle import judge, off_wire

INPUTS = 1_000_000 if os.environ.get("RAMPD_LONG") else 20_000
BEFORE = -7.25
# Patterns where devices say "no value", and the edges of the types.
PATTERNS = [
    *(int(text, 16) for text in ("0", "1", "7fff", "8000", "ffff", "7fffffff", "80000000", "ffffffff", "7fc00000")),
    *(int(text, 16) for text in ("7f800000", "ff800000", "7fffffffffffffff", "8000000000000000", "7ff8000000000000")),
    2**64 - 1,
]
FACTORS = (0, 1, -1, 3, 10, -10, 11, -11, -32768)


@st.composite
def registers(draw: st.DrawFn, *, factors: bool = True) -> Register:
    kind = draw(st.sampled_from(Encoding))
    bits = 16 * WORDS[kind]
    low = draw(st.one_of(st.just(-math.inf), st.floats(-1e9, 1e9)))
    high = draw(st.one_of(st.just(math.inf), st.floats(max(low, -1e9), 1e12)))
    mask = 0
    if kind not in (Encoding.F32, Encoding.F64) and draw(st.booleans()):
        width = draw(st.integers(1, bits))
        mask = (1 << width) - 1 << draw(st.integers(0, bits - width))
    return Register(
        "x_w", 1, kind,
        order=draw(st.sampled_from(WordOrder)),
        scale=draw(st.sampled_from([1.0, 0.1, 0.001, 1000.0, -1.0, 1 / 128])),
        offset=draw(st.sampled_from([0.0, -273.15, -2e9, 32.0])),
        low=low, high=high,
        sentinels=tuple(draw(st.lists(st.integers(0, 2**bits - 1), max_size=4))),
        mask=mask,
        factor_at=0 if factors and draw(st.booleans()) else None,
    )  # fmt: skip


def check(register: Register, answer: bytes) -> None:
    """One value at register 1 of an answer, its factor at register 0."""
    wall = image(1)
    inputs = views.inputs(wall)
    inputs.value[0] = BEFORE
    Decoder([field_spec(register, 0, 0)], len(answer) // 2).decode(answer, wall, 5)
    exponent = None if register.factor_at is None else answer[:2]
    quality, value = judge(register, answer[2 : 2 + 2 * register.words], exponent)
    found = inputs.quality[0], inputs.value[0], inputs.at_ns[0]
    assert found == (quality, BEFORE if value is None else value, 5), (register, answer.hex())
    assert quality != GOOD or register.low <= inputs.value[0] <= register.high


@settings(max_examples=500, deadline=None)
@given(registers(), st.binary(min_size=10, max_size=10), st.sampled_from(FACTORS))
def test_the_decoder_judges_as_the_oracle(register: Register, words: bytes, factor: int) -> None:
    check(register, struct.pack(">h", factor) + words[2:])
    for raw in register.sentinels:
        size = 2 * register.words
        data = off_wire(raw.to_bytes(size, "big"), register.order)  # the four orders are their own inverses
        check(register, words[:2] + data + words[2 + size :])


@settings(max_examples=500, deadline=None)
@given(registers(factors=False), st.floats(-1e6, 1e6))
def test_what_is_encoded_is_decoded_again(register: Register, value: float) -> None:
    try:
        data = encode(register, value)
    except RegisterError:
        return
    quality, found = judge(register, data)
    if quality == GOOD:
        assert found is not None
        fine = {Encoding.F32: abs(value - register.offset) * 2e-7, Encoding.F64: 1e-6}
        assert abs(found - value) <= fine.get(register.encoding, abs(register.scale) * 0.5) + abs(value) * 1e-9 + 1e-5


def some_mask(source: random.Random, kind: Encoding) -> int:
    """Any bits of an unsigned register, neighbours of a signed one, none of a float."""
    bits = 16 * WORDS[kind]
    if kind in SIGNED:
        width = source.randint(1, bits)
        return (1 << width) - 1 << source.randint(0, bits - width)
    return 0 if kind in (Encoding.F32, Encoding.F64) else source.getrandbits(bits)


def anything(source: random.Random) -> tuple[Register, bytes]:
    """A register and an answer, half of the answers on the edges."""
    kind = source.choice(list(Encoding))
    bits = 16 * WORDS[kind]
    raw = source.getrandbits(bits) if source.random() < 0.5 else source.choice(PATTERNS) & (2**bits - 1)
    low = source.choice((-math.inf, 0.0, -1e6, 45.0))
    register = Register(
        "x_w", 1, kind,
        order=source.choice(list(WordOrder)),
        scale=source.choice((1.0, 0.1, 1000.0, -1.0)),
        offset=source.choice((0.0, -273.15, -2e9)),
        low=low, high=source.choice((math.inf, 65.0, 1e6)),
        sentinels=tuple(source.sample(PATTERNS, source.randrange(3))),
        mask=some_mask(source, kind) if source.random() < 0.3 else 0,
        factor_at=0 if source.random() < 0.3 else None,
    )  # fmt: skip
    words = off_wire(raw.to_bytes(bits // 8, "big"), register.order)
    return register, struct.pack(">h", source.choice(FACTORS)) + words


def test_no_answer_gives_a_good_value_out_of_range_or_an_exception() -> None:
    source = random.Random(20)
    for _ in range(INPUTS):
        check(*anything(source))


FIELDS, ANSWERS, WORDS_EACH = 100, 100, 120


def test_a_million_values_are_good_only_within_their_range() -> None:
    """A hundred decoders of a hundred registers, each on a hundred answers, in bulk as the daemon does."""
    source = random.Random(21)
    good = 0
    wall = image(FIELDS)
    inputs = views.inputs(wall)
    value = np.ctypeslib.as_array(inputs.value, (FIELDS,))
    quality = np.ctypeslib.as_array(inputs.quality, (FIELDS,))
    at_ns = np.ctypeslib.as_array(inputs.at_ns, (FIELDS,))
    for turn in range(1, 101):
        fields = []
        for slot in range(FIELDS):
            register, _ = anything(source)
            at = source.randrange(WORDS_EACH - register.words + 1)
            factor_at = source.randrange(WORDS_EACH) if register.factor_at is not None else None
            fields.append((replace(register, at=at, factor_at=factor_at), slot))
        low = np.array([register.low for register, _ in fields])
        high = np.array([register.high for register, _ in fields])
        decoder = Decoder([field_spec(register, 0, slot) for register, slot in fields], WORDS_EACH)
        for number in range(ANSWERS):
            before = value.copy()
            decoder.decode(edgy(source, number), wall, turn)
            is_good = quality == GOOD
            assert not is_good[~((low <= value) & (value <= high))].any()
            # what is not good keeps its last number, and every value its time
            assert (value[~is_good] == before[~is_good]).all()
            assert (at_ns == turn).all()
            good += int(is_good.sum())
    assert 100_000 < good < 900_000


def edgy(source: random.Random, number: int) -> bytes:
    """An answer of random words, or of the words where devices say "no value" and types end."""
    if number % 2:
        return source.randbytes(2 * WORDS_EACH)
    edges = (b"\0\0", b"\0\1", b"\x7f\xff", b"\x80\0", b"\xff\xff", b"\x7f\xc0", b"\x7f\x80", b"\xff\x80", b"\x42\x48")
    return b"".join(source.choices(edges, k=WORDS_EACH))
