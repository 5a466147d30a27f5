"""A million answers with one thing wrong with each, whole and in pieces: none is a value, nothing escapes."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
from pymodbus.framer import FramerRTU

from rampd.drivers.device import field_spec
from rampd.drivers.modbus import read_frame
from rampd.drivers.register import Encoding, Register
from rampd.drivers.rtu import RtuPort
from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from rampd.ext.link import Link
from rampd.ext.units import Exchange, Unit
from tests.field import POISON, adu, image

TIMES = 1_000_000
RTU_TIMES = 5_000
REGISTERS = 4
HELD = 12_345_678


class Wire:
    """A transport that remembers the last request, and whether it was dropped."""

    def __init__(self) -> None:
        self.asked = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.asked = data

    def abort(self) -> None:
        self.aborted = True


class Rig:
    """A link that always waits for the answer to one read of unit 1."""

    def __init__(self, *, rtu: bool = False) -> None:
        self.wall = image(2)
        self.inputs = views.inputs(self.wall)
        self.link = Link(self.wall, 1, lambda _: None, numbered=not rtu)
        self.stream = RtuPort(self.link) if rtu else self.link
        fields = [field_spec(Register(f"v{n}", 2 * n, Encoding.U32), 0, n) for n in range(2)]
        self.exchange = Exchange(read_frame(1, 3, 0, REGISTERS), Unit(), Decoder(fields, REGISTERS), 10**15)
        self.connect()

    def connect(self) -> None:
        self.wire = Wire()
        self.stream.connection_made(self.wire)  # type: ignore[arg-type]
        self.ask()

    def ask(self) -> None:
        """Asks, in spite of whatever the breaker has made of what came before."""
        while not self.wire.asked:
            if not self.link.read(self.exchange):
                self.link.sweep(10**18)

    def feed(self, data: bytes) -> None:
        if not self.wire.aborted:
            self.stream.data_received(data)

    def settle(self) -> None:
        """A dropped connection is made again, an ended read is asked again."""
        if self.wire.aborted:
            self.stream.connection_lost(None)
            self.connect()

    @property
    def untouched(self) -> bool:
        return self.inputs.value[0] == 0.0 and self.inputs.quality[0] != GOOD


def good(request: bytes, number: int) -> bytes:
    return (
        request[:4] + struct.pack(">HBBB", 3 + 2 * REGISTERS, 1, 3, 2 * REGISTERS) + struct.pack(">2I", number, number)
    )


def broken(request: bytes, source: random.Random) -> Iterator[bytes]:
    """Poisoned answers without end, each wrong in one to three bytes of what identifies it, or in its length."""
    head = 9
    while True:
        frame = bytearray(good(request, POISON))
        for _ in range(source.choice((1, 1, 2, 3))):
            at = source.randrange(head)
            frame[at] ^= source.randrange(1, 256)
        right = good(request, POISON)[:head]
        # An exception of ours would be a right answer.
        if bytes(frame[:head]) != right and not (frame[:7] == right[:7] and frame[7] == 0x83):
            yield bytes(frame)


def test_a_million_broken_answers_are_no_value() -> None:
    source = random.Random(1)
    rig = Rig()
    dropped = 0
    frames = broken(rig.wire.asked, source)
    for n in range(TIMES):
        frame = next(frames)
        if n & 7:
            rig.feed(frame)
        else:
            cut = source.randrange(1, len(frame))
            rig.feed(frame[:cut])
            rig.feed(frame[cut:])
        if rig.wire.aborted:
            dropped += 1
            rig.settle()
            frames = broken(rig.wire.asked, source)
    assert rig.untouched
    assert dropped > TIMES // 20
    counts = rig.link.counters()
    assert counts["read", "ok"] == 0
    assert min(counts["read", result] for result in ("late", "foreign", "bad", "lost")) > 1000
    # After all that, a right answer is one.
    rig.link.abort()
    rig.settle()
    rig.feed(good(rig.wire.asked, HELD))
    assert (rig.inputs.value[0], rig.inputs.quality[0]) == (HELD, GOOD)


def test_random_bytes_in_any_pieces_are_no_value() -> None:
    source = random.Random(2)
    rig = Rig()
    noise = source.randbytes(1 << 20)
    for _ in range(TIMES // 10):
        at = source.randrange(len(noise) - 600)
        rig.feed(noise[at : at + source.choice((1, 3, 7, 12, 40, 300, 600))])
        rig.settle()
    assert rig.untouched
    assert rig.link.counters()["read", "ok"] == 0


@pytest.mark.parametrize("kind", ["noise", "broken"])
def test_rtu_noise_and_broken_checksums_are_no_value(kind: str) -> None:
    source = random.Random(3)
    rig = Rig(rtu=True)
    body = adu(0, 1, bytes((3, 2 * REGISTERS)) + struct.pack(">2I", POISON, POISON))[6:]
    noise = source.randbytes(1 << 16)
    right = FramerRTU.compute_CRC(body).to_bytes(2, "big")

    def wrong() -> bytes:
        return bytes((right[0] ^ source.randrange(1, 256), source.randrange(256)))

    for _ in range(RTU_TIMES):
        if kind == "noise":
            at = source.randrange(len(noise) - 60)
            rig.feed(noise[at : at + source.choice((1, 5, 8, 13, 60))])
        else:
            rig.feed(body + wrong() if source.random() < 0.5 else body[: source.randrange(len(body))])
        rig.settle()
    assert rig.untouched
    assert rig.link.counters()["read", "ok"] == 0
