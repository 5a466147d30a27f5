"""Writes and one-offs: what counts as done, what does not, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rampd.drivers.modbus import write_frame
from rampd.ext.link import Link
from rampd.ext.units import Exchange, ModbusError, Unit
from tests.field import Ask, Bench, Peer, Script, adu, image, until, well

LIMIT = (60_000).to_bytes(4, "big")


async def test_a_write_that_is_echoed_is_done_and_reads_go_on() -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        await bench.endpoint.write(1, 2, LIMIT, 0.5)
        (write,) = [ask for ask in peer.asked if ask.function == 16]
        assert write.frame[6:] == bytes.fromhex("01 10 0002 0002 04 0000ea60")
        assert bench.counts()["write", "ok"] == 1


def echo(pdu: str, unit: int = 1) -> Script:
    def script(ask: Ask) -> None:
        if ask.function == 16:
            ask.send(adu(ask.id, unit, bytes.fromhex(pdu)))
        else:
            well(ask)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(echo("10 0003 0002"), id="another address"),
        pytest.param(echo("10 0002 0001"), id="another count"),
        pytest.param(echo("10 0002"), id="too short"),
        pytest.param(echo("10 0002 0002 00"), id="too long"),
        pytest.param(echo("10 0002 0002 04 0000ea60"), id="the whole request"),
        pytest.param(echo("06 0002 0002"), id="another function"),
        pytest.param(echo("03 04 0000ea60"), id="an answer to a read"),
        pytest.param(echo("10 0002 0002", unit=2), id="another unit"),
        pytest.param(lambda ask: ask.send(adu(ask.id - 1, 1, bytes.fromhex("10 0002 0002"))), id="another id"),
        pytest.param(lambda ask: None, id="silence"),
    ],
)
async def test_a_write_without_its_echo_fails_once_and_is_not_repeated(script: Script) -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        peer.scripts[1] = script
        with pytest.raises(ModbusError, match="no answer in time") as caught:
            await bench.endpoint.write(1, 2, LIMIT, 0.2)
        assert caught.value.code == 0
        del peer.scripts[1]
        await until(lambda: all(map(bench.fresh, bench.units)))
        assert sum(ask.function == 16 for ask in peer.asked) == 1
        assert bench.counts()["write", "timeout"] == 1
        assert bench.counts()["write", "ok"] == 0
        await bench.endpoint.write(1, 2, LIMIT, 0.5)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 11])
async def test_a_refused_write_says_why(code: int) -> None:
    peer = Peer()
    async with Bench(peer, loose=True) as bench:
        await bench.endpoint.up()
        peer.scripts[1] = lambda ask: ask.send(ask.refuse(code))
        with pytest.raises(ModbusError, match=f"exception {code}") as caught:
            await bench.endpoint.write(1, 2, LIMIT, 1.0)
        assert caught.value.code == code
        assert not bench.breaker(1).open


async def test_a_read_that_answers_like_a_write_is_not_taken() -> None:
    peer = Peer()
    async with Bench(peer, loose=True) as bench:
        await bench.endpoint.up()
        peer.scripts[1] = lambda ask: ask.send(adu(ask.id, 1, bytes.fromhex("10 0000 0002")))
        with pytest.raises(ModbusError, match="no answer in time"):
            await bench.endpoint.read(1, 3, 0, 2, 0.2)


async def test_cancelling_a_write_under_way_leaves_the_link_usable() -> None:
    peer = Peer()
    held: list[Ask] = []

    def hold(ask: Ask) -> None:
        if ask.function == 16 and not held:
            held.append(ask)
        else:
            well(ask)

    peer.scripts[1] = hold
    async with Bench(peer) as bench:
        await bench.running()
        task = asyncio.create_task(bench.endpoint.write(1, 2, LIMIT, 1.0))
        await until(lambda: held)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held[0].send(held[0].good())
        await bench.endpoint.write(1, 2, LIMIT, 1.0)
        await until(lambda: all(map(bench.fresh, bench.units)))
        assert peer.connections == 1
        assert bench.counts()["write", "timeout"] == 0


async def test_cancelling_and_never_answering_costs_one_deadline() -> None:
    peer = Peer()
    peer.scripts[3] = lambda ask: None
    async with Bench(peer) as bench:
        await bench.running()
        bench.forget()
        task = asyncio.create_task(bench.endpoint.write(3, 2, LIMIT, 0.2))
        await until(lambda: peer.asked_of(3))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bench.endpoint.write(1, 2, LIMIT, 1.0)
        await until(lambda: all(map(bench.fresh, bench.units)))
        assert max(bench.oldest_s.values()) < 0.2 + 4 * bench.period_s + 0.2
        assert peer.connections == 1


async def test_a_write_cancelled_in_the_queue_is_never_sent() -> None:
    """What nobody waits for any more may be out of date: an old set point must not reach a rack."""
    peer = Peer()
    peer.scripts[3] = lambda ask: None
    async with Bench(peer, loose=True) as bench:
        await bench.endpoint.up()
        first = asyncio.create_task(bench.endpoint.read(3, 3, 0, 2, 0.3))
        await until(lambda: peer.asked)
        second = asyncio.create_task(bench.endpoint.write(1, 2, LIMIT, 1.0))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(ModbusError):
            await first
        await bench.endpoint.read(1, 3, 0, 2, 1.0)
        assert [ask.function for ask in peer.asked] == [3, 3]


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def abort(self) -> None:
        pass


def link(in_flight: int = 1) -> tuple[Link, Wire]:
    wire = Wire()
    made = Link(image(1), in_flight, lambda _: None)
    made.connection_made(wire)  # type: ignore[arg-type]
    return made, wire


def read(function: int = 3) -> Exchange:
    return Exchange(adu(0, 1, bytes((function, 0, 0, 0, 2))), Unit(), None, 10**9)


def future() -> asyncio.Future[bytes | None]:
    return asyncio.get_running_loop().create_future()


async def test_writes_go_before_queued_reads_in_their_own_order() -> None:
    wanted, wire = link()
    reads = [read() for _ in range(5)]
    for one in reads:
        assert wanted.read(one)
    writes = [future() for _ in range(3)]
    for n, waiting in enumerate(writes):
        wanted.request(Exchange(write_frame(1, n, LIMIT), Unit(), None, 10**9), waiting)
    assert [frame[7] for frame in wire.sent] == [3]
    wanted.data_received(wire.sent[0][:2] + bytes.fromhex("0000 0007 01 03 04 00000000"))
    for _ in range(3):
        last = wire.sent[-1]
        assert last[7] == 16
        wanted.data_received(last[:2] + b"\0\0\0\x06" + last[6:12])
    assert [frame[7] for frame in wire.sent] == [3, 16, 16, 16, 3]
    assert [frame[9] for frame in wire.sent[1:4]] == [0, 1, 2]
    assert [waiting.result() for waiting in writes] == [None] * 3


async def test_the_same_exchange_is_never_twice_under_way() -> None:
    wanted, wire = link(in_flight=4)
    one = read()
    assert wanted.read(one)
    assert not wanted.read(one)
    assert (len(wire.sent), wanted.overrun_count) == (1, 1)
    write = Exchange(write_frame(1, 0, LIMIT), Unit(), None, 10**9)
    wanted.request(write, future())
    with pytest.raises(ValueError, match="still under way"):
        wanted.request(write, future())


async def test_ids_wrap_without_zero() -> None:
    wanted, wire = link()
    one = read()
    for _ in range(65_600):
        assert wanted.read(one)
        (sent,) = wire.sent
        assert sent[:2] != b"\0\0"
        wanted.data_received(sent[:2] + bytes.fromhex("0000 0007 01 03 04 00000000"))
        wire.sent.clear()
    assert wanted.counters()["read", "ok"] == 65_600
    assert wanted.counters()["read", "late"] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Exchange(bytes(11), Unit(), None, 1), "at least twelve bytes"),
        (lambda: Exchange(b"", Unit(), None, 1), "at least twelve bytes"),
    ],
)
def test_an_exchange_is_checked_when_it_is_made(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
