"""The link against any stream of bytes: nothing escapes, and nothing becomes a value that the device did not hold."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.device import field_spec
from rampd.drivers.modbus import read_frame, write_frame
from rampd.drivers.register import Encoding, Register
from rampd.ext import views
from rampd.ext.codes import GOOD
from rampd.ext.decode import Decoder
from rampd.ext.link import RESULT_NAMES, Link
from rampd.ext.units import Exchange, ModbusError, Unit
from tests.field import POISON, adu, image

TIMES = 20_000 if os.environ.get("RAMPD_LONG") else 1500
UNITS = (1, 2, 3)
DEADLINE_NS = 10**9


class Wire:
    """A transport: keeps what is sent; what is aborted is lost at the next turn of the loop, as asyncio has it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Rig:
    """A link with three units, a device that answers in its own way, and a clock that the test moves."""

    def __init__(self, seed: int, in_flight: int) -> None:
        self.source = random.Random(seed)
        self.wall = image(2 * len(UNITS))
        self.inputs = views.inputs(self.wall)
        self.lost = 0
        self.link = Link(self.wall, in_flight, self._lost)
        self.held: dict[int, set[float]] = {unit: {0.0} for unit in UNITS}
        self.numbers = 0
        self.units = {unit: Unit() for unit in UNITS}
        self.exchanges = [Exchange(read_frame(u, 3, 0, 4), self.units[u], self._decoder(u), DEADLINE_NS) for u in UNITS]
        self.futures: list[asyncio.Future[bytes | None]] = []
        self.now_ns = time.monotonic_ns()
        self.answered: set[bytes] = set()
        self.connect()

    def _decoder(self, unit: int) -> Decoder:
        places = [("power_w", 0, 2 * unit - 2), ("spare_w", 2, 2 * unit - 1)]
        return Decoder([field_spec(Register(n, at, Encoding.U32), 0, slot) for n, at, slot in places], 4)

    def _lost(self, _error: BaseException | None) -> None:
        self.lost += 1

    def connect(self) -> None:
        self.wire = Wire()
        self.answered.clear()
        self.link.connection_made(self.wire)  # type: ignore[arg-type]

    def settle(self) -> None:
        """What the event loop does between two events: an aborted connection ends, another is made."""
        if self.wire.aborted:
            self.link.connection_lost(None)
            self.connect()

    def feed(self, data: bytes) -> None:
        """Hands data over in chunks; after an abort the loop hands over no more."""
        at = 0
        while at < len(data) and not self.wire.aborted:
            size = self.source.choice((1, 2, 5, 7, 9, 17, 100, 2048, len(data), len(data), len(data)))
            self.link.data_received(data[at : at + size])
            at += size
        self.settle()

    def good(self, request: bytes) -> bytes:
        head, pdu = request[:7], request[7:]
        if pdu[0] != 3:
            return adu(int.from_bytes(head[:2], "big"), head[6], pdu[:5])
        count = int.from_bytes(pdu[3:5], "big")
        values = []
        for _ in range(count // 2):
            self.numbers += 1
            values.append(head[6] * 10_000_000 + self.numbers)
        self.held[head[6]].update(map(float, values))
        data = struct.pack(f">{len(values)}I", *values)
        return adu(int.from_bytes(head[:2], "big"), head[6], bytes((3, len(data))) + data)

    def wrong(self, request: bytes) -> bytes:
        """An answer with numbers that nobody holds, and one thing about it that gives it away."""
        source = self.source
        data = struct.pack(">2I", POISON, POISON)
        ids = {int.from_bytes(sent[:2], "big") for sent in self.wire.sent}
        frame = bytearray(adu(int.from_bytes(request[:2], "big"), request[6], bytes((3, len(data))) + data))
        match source.randrange(9):
            case 0:
                stranger = source.choice([n for n in (0, 1, 0x1234, 0xFFFF, 0x8001) if n not in ids])
                frame[:2] = stranger.to_bytes(2, "big")
            case 1:
                frame[2 + source.randrange(2)] ^= 1 << source.randrange(8)
            case 2:
                frame[4:6] = source.choice((0, 1, 2, 3, 255, 256, 65535)).to_bytes(2, "big")
            case 3:
                frame[6] ^= 1 << source.randrange(8)
            case 4:
                frame[7] ^= 1 << source.randrange(7)
            case 5:
                frame[8] ^= 1 << source.randrange(8)
            case 6:
                frame = bytearray(adu(int.from_bytes(request[:2], "big"), request[6], bytes((3, 4)) + data[:4]))
            case 7:
                frame = bytearray(adu(int.from_bytes(request[:2], "big"), request[6], bytes((3, 12)) + data + data[:4]))
            case 8:
                frame = bytearray(adu(int.from_bytes(request[:2], "big"), request[6], bytes((0x83, 2)) + data[:2]))
        return bytes(frame)

    def refused(self, request: bytes) -> bytes:
        return adu(
            int.from_bytes(request[:2], "big"), request[6], bytes((request[7] | 0x80, self.source.choice((1, 2, 6))))
        )

    def open_requests(self) -> list[bytes]:
        return [frame for frame in self.wire.sent if frame not in self.answered]

    def step(self, kind: int) -> None:
        """One thing that happens."""
        source = self.source
        sent = self.open_requests()
        request = source.choice(sent) if sent else None
        match kind:
            case 0 | 1 | 2:
                self.link.read(source.choice(self.exchanges))
            case 3:
                future: asyncio.Future[bytes | None] = asyncio.Future()
                self.futures.append(future)
                frame = source.choice((write_frame(1, 2, bytes(4)), read_frame(2, 3, 10, 2)))
                self.link.request(Exchange(frame, self.units[frame[6]], None, DEADLINE_NS), future)
            case 4 | 5 | 6 if request:
                self.answered.add(request)
                self.feed(self.good(request))
            case 7 | 8 if request:
                self.feed(self.wrong(request))
            case 9 if len(sent) > 1:
                source.shuffle(sent)
                self.answered.update(sent)
                self.feed(b"".join(map(self.good, sent)))
            case 10 if request:
                answer = self.good(request)
                self.answered.add(request)
                self.feed(answer + answer)
            case 11:
                self.feed(source.randbytes(source.choice((1, 3, 8, 40, 300, 3000))))
            case 12:
                self.now_ns += source.choice((1000, DEADLINE_NS // 2, 2 * DEADLINE_NS))
                self.link.sweep(self.now_ns)
                self.settle()
            case 13 if request:
                # half an answer, and the connection ends
                self.feed(self.wrong(request)[: source.randrange(12)])
                self.link.connection_lost(ConnectionResetError())
                self.connect()
            case 14 if request:
                self.answered.add(request)
                self.feed(self.refused(request))
            case 15 if request:
                # garbage before, in the same segment: what follows it must not count
                self.feed(b"\xff" * source.choice((7, 8, 300, 2048, 4096)) + self.poison(request))
            case 16 if self.futures:
                source.choice(self.futures).cancel()

    def poison(self, request: bytes) -> bytes:
        """A whole right answer but for its numbers; only where it stands gives it away."""
        return adu(int.from_bytes(request[:2], "big"), request[6], bytes((3, 8)) + struct.pack(">2I", POISON, POISON))

    def judge(self) -> None:
        for unit in UNITS:
            for slot in (2 * unit - 2, 2 * unit - 1):
                value = self.inputs.value[slot]
                assert value in self.held[unit], f"unit {unit} never held {value}"
                assert self.inputs.quality[slot] != GOOD or value != 0.0

    def end(self) -> Iterator[asyncio.Future[bytes | None]]:
        self.link.connection_lost(None)
        yield from self.futures


def drive(seed: int, in_flight: int, steps: list[int]) -> None:
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        rig = Rig(seed, in_flight)
        for kind in steps:
            rig.step(kind)
            rig.judge()
        for future in rig.end():
            assert future.done(), "nothing waits for ever"
            if not future.cancelled() and (error := future.exception()) is not None:
                assert isinstance(error, ModbusError)
        counts = rig.link.counters()
        assert {result for _, result in counts} == set(RESULT_NAMES)
        assert min(counts.values()) >= 0
        # After all that, a new connection works: what waits is asked and answered, dead units are probed.
        before = rig.numbers
        rig.connect()
        for _ in range(3 * len(UNITS)):
            rig.now_ns += 10**15
            rig.link.read(rig.exchanges[0])
            if not rig.open_requests():
                rig.link.sweep(rig.now_ns)
            for request in rig.open_requests():
                rig.answered.add(request)
                rig.feed(rig.good(request))
        rig.judge()
        assert rig.inputs.quality[0] == GOOD
        assert rig.inputs.value[0] > 10_000_000 + before
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@settings(max_examples=TIMES, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.lists(st.integers(0, 16), min_size=4, max_size=80))
def test_no_stream_makes_a_value_that_was_not_held(seed: int, in_flight: int, steps: list[int]) -> None:
    drive(seed, in_flight, steps)


@settings(max_examples=TIMES // 2, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.binary(max_size=300), max_size=20))
def test_random_bytes_are_never_a_value(seed: int, chunks: list[bytes]) -> None:
    rig = Rig(seed, 2)
    for exchange in rig.exchanges:
        rig.link.read(exchange)
    for chunk in chunks:
        if not rig.wire.aborted:
            rig.link.data_received(chunk)
        rig.settle()
    assert not any(rig.inputs.value[slot] for slot in range(2 * len(UNITS)))
    assert all(rig.inputs.quality[slot] != GOOD for slot in range(2 * len(UNITS)))
