"""RTU frames over TCP from a scripted device: without ids, and still no answer counts for another request."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from rampd.drivers.rtu import take
from rampd.ext.units import ModbusError
from tests.field import Ask, Bench, Peer, Script, Wire, adu, until, well


def crc(data: bytes) -> bytes:
    """The checksum, bit by bit as the serial line specification describes it (V1.02, 6.2.2)."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register.to_bytes(2, "little")


def rtu(frame: bytes) -> bytes:
    """An MBAP frame as RTU."""
    return frame[6:] + crc(frame[6:])


class RtuWire(Wire):
    """Takes RTU requests. Scripts build MBAP answers; what begins like none goes out as it is."""

    def send(self, data: bytes) -> None:
        out = b""
        while len(data) > 8 and data[2:4] == b"\0\0":
            end = 6 + int.from_bytes(data[4:6], "big")
            out, data = out + rtu(data[:end]), data[end:]
        super().send(out + data)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 8:
            end = 8 if self._rest[1] in (3, 4, 6) else 9 + self._rest[6]
            if len(self._rest) < end:
                return
            frame, self._rest = self._rest[:end], self._rest[end:]
            body = frame[:-2]
            assert frame == body + crc(body)
            if not self.peer.deaf:
                self.take(adu(0, body[0], body[1:]))


class RtuPeer(Peer):
    kind = "rtu+tcp"
    wire = RtuWire


def test_frames_of_the_specification() -> None:
    assert rtu(adu(0, 1, bytes.fromhex("0300000002"))) == bytes.fromhex("010300000002c40b")
    answer = bytes.fromhex("110306ae415652434049ad")
    assert take(answer) == (answer[:-2], len(answer))
    for cut in range(len(answer)):
        assert take(answer[:cut]) is None
    assert take(b"\x00\xff\x03" + answer) == (answer[:-2], len(answer) + 3)
    assert take(answer[:-1] + b"\x00") is None


async def test_units_behind_a_serial_server_are_read_and_written() -> None:
    peer = RtuPeer()
    async with Bench(peer, units=3) as bench:
        await bench.running()
        await bench.endpoint.write(2, 2, (60_000).to_bytes(4, "big"), 0.5)
        (write,) = [ask for ask in peer.asked if ask.function == 16]
        assert write.frame[6:] == bytes.fromhex("02 10 0002 0002 04 0000ea60")
        assert bench.endpoint.link.in_flight == 1
        assert {result for (_, result), n in bench.counts().items() if n} == {"ok"}


def silent(ask: Ask) -> None:
    pass


def late(delay_s: float) -> Script:
    return lambda ask: ask.later(delay_s, ask.read(ask.poison()))


def broken_sum(ask: Ask) -> None:
    data = rtu(ask.read(ask.poison()))
    ask.wire.send(data[:-1] + bytes((data[-1] ^ 1,)))


def noise_before(ask: Ask) -> None:
    ask.wire.send(b"\x00\xff\x55" + rtu(ask.good()))


def byte_by_byte(ask: Ask) -> None:
    for i, byte in enumerate(rtu(ask.good())):
        ask.later(0.002 * i, bytes((byte,)))


def twice(ask: Ask) -> None:
    ask.send(ask.good() + ask.read(ask.poison()))


def other_unit(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(), unit=9))


def other_function(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(), function=4))


def short(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(2)))


@pytest.mark.parametrize("script", [noise_before, byte_by_byte], ids=["noise before it", "byte by byte"])
async def test_a_right_answer_counts_whatever_comes_before_it(script: Script) -> None:
    peer = RtuPeer()
    peer.scripts = {1: script, 2: script}
    async with Bench(peer, timeout_s=0.5) as bench:
        await bench.running()
        ok = bench.counts()["read", "ok"]
        await until(lambda: bench.counts()["read", "ok"] > ok + 10)
        assert bench.counts()["read", "timeout"] == 0
        assert peer.connections == 1


@pytest.mark.parametrize(
    ("script", "counted"),
    [
        pytest.param(silent, "timeout", id="silence"),
        # With and without the next request under way, within the time that the unit is left alone.
        pytest.param(late(0.25), "late", id="just after the deadline"),
        pytest.param(late(0.35), "late", id="well after the deadline"),
        pytest.param(broken_sum, "late", id="a wrong checksum"),
        pytest.param(twice, "late", id="twice"),
        pytest.param(other_unit, "late", id="another unit"),
        pytest.param(other_function, "late", id="another function"),
        pytest.param(short, "foreign", id="too short"),
    ],
)
async def test_a_wrong_answer_is_dropped_and_the_others_are_read(script: Script, counted: str) -> None:
    peer = RtuPeer()
    async with Bench(peer) as bench:
        await bench.running()
        before = bench.counts()["read", counted]
        peer.scripts[1] = script
        bench.forget()
        await until(lambda: bench.counts()["read", counted] >= before + 3)
        assert bench.fresh(2)
        assert bench.oldest_s[2] < bench.timeout_s + 4 * bench.period_s + 0.15
        assert peer.connections == 1, "an answer of one unit cost all the connection"
        del peer.scripts[1]
        assert await until(lambda: bench.fresh(1)) <= 2.0


async def test_a_late_answer_is_not_taken_for_that_of_the_next_request() -> None:
    """The same unit, function and length: only time tells them apart."""
    peer = RtuPeer()
    held: list[Ask] = []

    def hold(ask: Ask) -> None:
        if held:
            well(ask)
        else:
            held.append(ask)
            ask.later(0.3, ask.read(ask.poison()))

    async with Bench(peer, loose=True) as bench:
        await bench.endpoint.up()
        peer.scripts[1] = hold
        with pytest.raises(ModbusError, match="no answer in time"):
            await bench.endpoint.read(1, 3, 0, 2, 0.2)
        with pytest.raises(ModbusError, match="not sent: the unit does not answer"):
            await bench.endpoint.read(1, 3, 0, 2, 0.2)
        await bench.endpoint.read(2, 3, 0, 2, 0.2)
        await until(lambda: bench.counts()["read", "late"] == 1)
        data = b""
        async with asyncio.timeout(2.0):
            while not data:
                with contextlib.suppress(ModbusError):
                    data = await bench.endpoint.read(1, 3, 0, 2, 0.2)
                await asyncio.sleep(0.01)
        assert int.from_bytes(data, "big") in peer.held[1]
