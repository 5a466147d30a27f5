"""Connections that end, in every way they can, and the link that comes back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import Any

import pytest

from rampd.drivers.modbus import Endpoint
from rampd.ext.codes import GOOD
from rampd.ext.units import ModbusError
from tests.field import Ask, Bench, Peer, Script, image, tcp, until

BACK_S = 4.0


def half_then(end: Script) -> Script:
    """Half an answer, then the end: the rest must not be taken from the next connection."""

    def script(ask: Ask) -> None:
        ask.send(ask.read(ask.poison())[:13])
        asyncio.get_running_loop().call_later(0.02, end, ask)

    return script


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(Ask.reset, id="RST"),
        pytest.param(Ask.close, id="FIN"),
        pytest.param(half_then(Ask.reset), id="RST in the middle of an answer"),
        pytest.param(half_then(Ask.close), id="FIN in the middle of an answer"),
    ],
)
async def test_a_connection_that_ends_on_requests_is_made_again(script: Script) -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        before = bench.counts()
        peer.scripts = {1: script, 2: script}
        await until(lambda: peer.connections >= 3)
        assert len(peer.wires) <= 1
        assert bench.counts()["read", "lost"] >= before["read", "lost"] + 2
        assert bench.reading(1).quality == GOOD  # it grows old, and that is judged elsewhere
        peer.scripts.clear()
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= BACK_S


@pytest.fixture
async def attempts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each attempt to connect began."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    began: list[float] = []

    async def counted(*args: Any, **options: Any) -> Any:
        began.append(time.monotonic())
        return await connect(*args, **options)

    monkeypatch.setattr(loop, "create_connection", counted)
    return began


async def test_a_device_that_is_away_is_tried_at_once_and_then_at_intervals(attempts: list[float]) -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        peer.close()
        await until(lambda: not bench.endpoint.link.connected)
        gone_s = time.monotonic()
        with pytest.raises(ModbusError, match="not connected"):
            await bench.endpoint.read(1, 3, 0, 2, 0.2)
        await until(lambda: len(attempts) >= 6)  # 0.2, 0.4, 0.8, 1.5, 1.5 s, each with its jitter
        pauses = [later - sooner for sooner, later in itertools.pairwise(attempts[1:])]
        assert attempts[1] - gone_s < 0.5
        assert pauses[0] < pauses[2]
        assert min(pauses) > 0.2
        assert max(pauses) < 2.5
        made = bench.endpoint.connects
        await peer.open()
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= BACK_S
        assert bench.endpoint.connects == made + 1


async def test_a_device_that_comes_up_after_rampd_is_found(attempts: list[float]) -> None:
    peer = Peer()
    peer.reserve()
    async with Bench(peer) as bench:
        await until(lambda: len(attempts) >= 3)
        assert bench.endpoint.connects == 0
        await peer.open()
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= BACK_S


async def test_half_open_is_noticed_and_left() -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        peer.deaf = True
        began_s = time.monotonic()
        await until(lambda: peer.connections >= 2)
        # Three deadlines, the breakers' first pause and one back-off.
        assert time.monotonic() - began_s <= BACK_S
        assert bench.counts()["read", "timeout"] >= 3
        peer.deaf = False
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= BACK_S


async def test_one_that_accepts_and_resets_at_once_neither_ends_the_link_nor_is_hammered() -> None:
    peer = Peer()
    met: list[float] = []

    def slam(ask: Ask) -> None:
        met.append(time.monotonic())
        ask.reset()

    peer.greet = slam
    async with Bench(peer) as bench:
        await until(lambda: len(met) >= 5)
        pauses = [later - sooner for sooner, later in itertools.pairwise(met)]
        assert min(pauses) > 0.1
        assert max(pauses) < 3.0
        peer.greet = None
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= BACK_S


async def test_a_connection_that_ended_before_it_was_looked_at_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    ends = 3

    async def briefly(*args: Any, **options: Any) -> Any:
        nonlocal ends
        transport, protocol = await connect(*args, **options)
        if ends:
            ends -= 1
            transport.abort()
            await asyncio.sleep(0.01)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", briefly)
    async with Bench(Peer()) as bench:
        await bench.running()
        assert bench.endpoint.connects == 4


async def test_a_link_that_flaps_is_one_line_and_one_more_when_it_stands(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    peer.greet = Ask.reset
    with caplog.at_level(logging.INFO, "rampd.modbus"):
        async with Bench(peer) as bench:
            await until(lambda: bench.endpoint.connects >= 4)
            assert [message.split(": ")[1] for message in caplog.messages] == ["connection lost; reconnecting"]
            peer.greet = None
            await until(lambda: len(caplog.messages) == 2)
            assert "connected again, at attempt" in caplog.messages[1]


async def test_there_is_one_connection_at_a_time() -> None:
    peer = Peer()
    most = 0
    async with Bench(peer) as bench:
        await bench.running()
        for _ in range(4):
            connections = peer.connections
            bench.endpoint.link.abort()
            while peer.connections == connections:
                most = max(most, len(peer.wires))
                await asyncio.sleep(0.002)
        await until(lambda: bench.endpoint.connects == 5)
        await bench.running()
        assert most <= 1
        assert peer.connections == 5


async def test_a_connection_that_is_given_up_is_reset() -> None:
    """A device that takes one client must not wait for a FIN that a sick network swallows."""
    peer = Peer()
    peer.scripts = {1: lambda ask: None, 2: lambda ask: None}
    async with Bench(peer) as bench:
        await until(lambda: peer.ends)
        assert isinstance(peer.ends[0], ConnectionResetError)
        assert bench.counts()["read", "timeout"] >= 3


async def test_what_waits_when_the_connection_ends_ends_with_it() -> None:
    peer = Peer()
    peer.scripts[3] = lambda ask: None
    async with Bench(peer, loose=True) as bench:
        await bench.endpoint.up()
        under_way = asyncio.create_task(bench.endpoint.read(3, 3, 0, 2, 5.0))
        queued = [asyncio.create_task(bench.endpoint.write(3, n, b"\0\0", 5.0)) for n in range(3)]
        await until(lambda: peer.asked)
        bench.endpoint.link.abort()
        for task in (under_way, *queued):
            with pytest.raises(ModbusError, match="connection lost") as caught:
                await task
            assert caught.value.code == 0
        connections = peer.connections
        await until(lambda: peer.connections > connections)
        await bench.endpoint.read(1, 3, 0, 2, 1.0)
        # What was lost is not sent again by itself.
        assert [ask.function for ask in peer.asked] == [3, 3]


async def test_up_means_connected() -> None:
    peer = Peer()
    async with Bench(peer, loose=True) as bench:
        for _ in range(3):
            async with asyncio.timeout(BACK_S):
                await bench.endpoint.up()
            assert bench.endpoint.link.connected
            bench.endpoint.link.abort()
            await until(lambda: not peer.wires)


async def test_a_cancelled_endpoint_leaves_no_connection() -> None:
    peer = Peer()
    await peer.open()
    endpoint = Endpoint(image(1), tcp(peer.host, peer.port))
    task = asyncio.create_task(endpoint.run())
    await endpoint.up()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not peer.wires and not endpoint.link.connected)
    peer.close()


@pytest.mark.parametrize("ends", ["cancelled", "too late"])
async def test_a_connection_that_is_made_too_late_is_not_left_behind(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt ends between the moment that the link was connected and the one in which its maker learns of it."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    slow = True

    async def slowly(*args: Any, **options: Any) -> Any:
        made = await connect(*args, **options)
        if slow:
            await asyncio.sleep(30)
        return made

    monkeypatch.setattr(loop, "create_connection", slowly)
    peer = Peer()
    async with Bench(peer) as bench:
        await until(lambda: peer.wires)
        if ends == "too late":
            await until(lambda: peer.connections >= 2)
            assert len(peer.wires) <= 1
            assert bench.endpoint.connects == 0
            slow = False
            await bench.running()


async def test_each_endpoint_has_jitter_of_its_own() -> None:
    """A hall that loses its switch must not come back in step."""
    delays = []
    for n in range(20):
        endpoint = Endpoint(image(1), tcp(f"127.41.9.{n + 1}", 9))
        delays.append(endpoint._random.uniform(0.7, 1.3))
    assert len({round(delay, 3) for delay in delays}) > 15
