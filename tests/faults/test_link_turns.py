"""Whose turn it is: units behind one connection, dead ones among them, writes, and devices that need pauses."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from rampd.drivers.modbus import Pace, write_frame
from rampd.ext.codes import GOOD
from rampd.ext.link import Link
from rampd.ext.units import Exchange, ModbusError, Unit
from tests.field import Ask, Bench, Peer, adu, image, until, well

LIMIT = (60_000).to_bytes(4, "big")


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Rig:
    """A link, its units, and answers at will."""

    def __init__(self, in_flight: int = 1) -> None:
        self.wire = Wire()
        self.link = Link(image(1), in_flight, lambda _: None)
        self.link.connection_made(self.wire)  # type: ignore[arg-type]
        self.units = {number: Unit() for number in range(1, 9)}

    def read(self, unit: int, at: int = 0, timeout_ns: int = 10**9) -> Exchange:
        exchange = Exchange(adu(0, unit, bytes((3, 0, at, 0, 2))), self.units[unit], None, timeout_ns)
        self.link.read(exchange)
        return exchange

    def write(self, unit: int, at: int = 0) -> asyncio.Future[bytes | None]:
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.link.request(Exchange(write_frame(unit, at, LIMIT), self.units[unit], None, 10**9), future)
        return future

    def answer(self) -> None:
        """The right answer to the last request."""
        last = self.wire.sent[-1]
        pdu = b"\x03\x04\0\0\0\0" if last[7] == 3 else last[7:12]
        self.link.data_received(adu(int.from_bytes(last[:2], "big"), last[6], pdu))

    def order(self, count: int) -> list[str]:
        """What is sent while everything is answered: 'r' or 'w', and the unit."""
        found = []
        for _ in range(count):
            last = self.wire.sent[-1]
            found.append(f"{'r' if last[7] == 3 else 'w'}{last[6]}")
            self.answer()
        return found


async def test_units_take_turns_however_much_one_of_them_asks() -> None:
    rig = Rig()
    for at in range(6):
        rig.read(1, at)
    rig.read(2)
    rig.read(3)
    rig.read(3, 2)
    assert rig.order(9) == ["r1", "r1", "r2", "r3", "r1", "r3", "r1", "r1", "r1"]


async def test_writes_go_first_units_in_turn_and_a_read_gets_through_after_four() -> None:
    rig = Rig()
    rig.read(4)
    for unit in (4, 5):
        rig.read(unit, 2)
    for at in range(5):
        rig.write(1, at)
    for unit in (2, 3):
        rig.write(unit)
    assert rig.order(10) == ["r4", "w1", "w2", "w3", "w1", "r4", "w1", "w1", "w1", "r5"]


async def test_a_queue_of_writes_is_bounded() -> None:
    rig = Rig()
    rig.read(1)
    writes = [rig.write(2, at) for at in range(9)]
    with pytest.raises(ModbusError, match="not sent: too many requests wait for the unit"):
        await writes[8]
    assert not any(write.done() for write in writes[:8])
    assert rig.link.counters()["write", "unsent"] == 1
    rig.order(9)
    assert [write.result() for write in writes[:8]] == [None] * 8


async def test_a_write_whose_turn_does_not_come_is_never_sent() -> None:
    rig = Rig()
    rig.read(1, timeout_ns=10**12)
    write = rig.write(2)
    now_ns = time.monotonic_ns()
    rig.link.sweep(now_ns + 900_000_000)
    assert not write.done()
    rig.link.sweep(now_ns + 1_100_000_000)
    with pytest.raises(ModbusError, match="not sent: its turn did not come in time"):
        await write
    rig.answer()
    assert len(rig.wire.sent) == 1


def kill(rig: Rig, unit: int, now_ns: int) -> int:
    """Lets a unit miss three times; the time after that."""
    for _ in range(3):
        rig.read(unit)
        now_ns += 2 * 10**9
        rig.link.sweep(now_ns)
        # Another unit answers in between: the connection is sound.
        rig.read(8)
        rig.answer()
    assert rig.units[unit].state_name == "open"
    return now_ns


async def test_requests_in_flight_together_miss_once() -> None:
    rig = Rig(in_flight=4)
    for at in range(4):
        rig.read(1, at)
    assert len(rig.wire.sent) == 4
    rig.link.sweep(time.monotonic_ns() + 2 * 10**9)
    assert rig.link.counters()["read", "timeout"] == 4
    assert (rig.units[1].failures, rig.units[1].state_name) == (1, "closed")
    assert not rig.wire.aborted, "the connection has been silent once"
    for at in range(4):
        rig.read(1, at)
    rig.link.connection_lost(None)
    assert (rig.units[1].failures, rig.units[1].state_name) == (2, "closed")


async def test_a_dead_unit_fails_its_writes_at_once_and_keeps_its_reads_for_the_probe() -> None:
    rig = Rig(in_flight=2)
    now_ns = kill(rig, 1, time.monotonic_ns())
    with pytest.raises(ModbusError, match="not sent: the unit does not answer"):
        await rig.write(1)
    rig.read(1, 0, timeout_ns=10**12)
    rig.read(1, 2, timeout_ns=10**12)
    sent = len(rig.wire.sent)
    rig.link.sweep(now_ns + 400_000_000)
    assert len(rig.wire.sent) == sent, "its pause is not over"
    rig.link.sweep(now_ns + 600_000_000)
    rig.link.sweep(now_ns + 700_000_000)
    assert len(rig.wire.sent) == sent + 1, "one probe"
    assert rig.units[1].state_name == "half-open"
    rig.answer()
    assert rig.units[1].state_name == "closed"
    assert len(rig.wire.sent) == sent + 2, "what waited is asked now"


async def test_dead_units_behind_a_gateway_leave_the_others_two_thirds() -> None:
    peer = Peer()
    async with Bench(peer, units=6) as bench:
        await bench.running()
        peer.scripts = dict.fromkeys((1, 2, 3, 4), lambda ask: None)
        await until(lambda: all(bench.breaker(unit).open for unit in (1, 2, 3, 4)))
        asked, began_s = len(peer.asked), time.monotonic()
        bench.forget()
        await until(lambda: sum(ask.unit <= 4 for ask in peer.asked[asked:]) >= 5)
        lost_s = 5 * bench.timeout_s
        assert lost_s / (time.monotonic() - began_s) < 0.45
        # No sound unit ever waited for more than one of them.
        assert max(bench.oldest_s[5], bench.oldest_s[6]) < bench.timeout_s + bench.period_s + 0.2
        assert all(map(bench.fresh, (5, 6)))
        peer.scripts.clear()
        await until(lambda: all(map(bench.fresh, bench.units)))


async def test_a_connection_without_a_free_moment_still_probes() -> None:
    peer = Peer()

    def slow(ask: Ask) -> None:
        ask.later(0.03, ask.good())

    peer.scripts = dict.fromkeys(range(2, 7), slow)
    # Five units at 30 ms each are asked for every 20 ms.
    async with Bench(peer, units=6, period_s=0.02, timeout_s=0.3) as bench:
        await until(lambda: bench.reading(6).quality == GOOD)
        peer.scripts[1] = lambda ask: None
        await until(lambda: bench.breaker(1).open)
        asked = peer.asked_of(1)
        await until(lambda: peer.asked_of(1) >= asked + 3)
        del peer.scripts[1]
        assert await until(lambda: not bench.breaker(1).open) <= 4.0


@pytest.mark.parametrize(("gap_s", "units"), [(0.05, 3), (0.02, 1)])
async def test_a_device_gets_its_pause_between_two_requests(gap_s: float, units: int) -> None:
    peer = Peer()
    times: list[tuple[float, float]] = []

    def note(ask: Ask) -> None:
        times.append((time.monotonic(), time.monotonic()))
        well(ask)

    peer.scripts = dict.fromkeys(range(1, units + 1), note)
    async with Bench(peer, units=units, period_s=0.02, timeout_s=0.5, pace=Pace(gap_s=gap_s)) as bench:
        await until(lambda: len(times) > 20)
        assert {result for (_, result), n in bench.counts().items() if n} == {"ok"}
    gaps = [later - sooner for (_, sooner), (later, _) in itertools.pairwise(times)]
    assert min(gaps) >= 0.9 * gap_s
    assert sorted(gaps)[len(gaps) // 2] < 4 * gap_s + 0.05


async def test_a_device_gets_its_pause_after_connecting() -> None:
    peer = Peer()
    met: list[float] = []
    peer.greet = lambda ask: met.append(time.monotonic())
    async with Bench(peer, pace=Pace(connect_delay_s=0.4)) as bench:
        for round_ in (1, 2):
            asked = len(peer.asked)
            await until(lambda asked=asked: len(peer.asked) > asked)  # type: ignore[misc]
            assert time.monotonic() - met[-1] >= 0.39
            await bench.running()
            assert len(met) == round_
            bench.endpoint.link.abort()
            await until(lambda: not peer.wires)


async def test_a_read_that_came_due_while_the_link_was_down_is_asked_first_when_it_is_back() -> None:
    peer = Peer()
    async with Bench(peer, period_s=30.0) as bench:
        # The first turn of the wheel in which each is due is up to a period away.
        for exchange in list(bench.exchanges):
            bench.endpoint.link.read(exchange)
        await bench.running()
        peer.close()
        await until(lambda: not bench.endpoint.link.connected)
        asked = len(peer.asked)
        for exchange in list(bench.exchanges):
            assert not bench.endpoint.link.read(exchange)
        await peer.open()
        await until(lambda: len(peer.asked) == asked + 2, within_s=5.0)
