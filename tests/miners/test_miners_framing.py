"""The TCP API of cgminer: where an answer ends, and what becomes of everything that is none."""

from __future__ import annotations

import asyncio
import time

import pytest

from rampd.drivers import protocols
from rampd.drivers.members import DeviceError, Trust
from rampd.drivers.miners import cgminer
from tests.miner import LOGIN, answering, map_of, until

GOOD = b'{"STATUS":[{"STATUS":"S"}]}'


@pytest.mark.parametrize(
    ("sent", "got"),
    [(GOOD + b"\0", GOOD), (GOOD, GOOD), (GOOD + b"\0trailing", GOOD), (b"\0", b""), (GOOD + b"\n\0", GOOD + b"\n")],
)
async def test_an_answer_ends_with_a_nul_or_with_the_connection(sent: bytes, got: bytes) -> None:
    async with answering(sent) as (host, port, requests):
        assert await cgminer.ask(host, port, b'{"command":"version"}\0', 1.0) == got
        assert requests == [b'{"command":"version"}\0']


async def test_a_nul_ends_an_answer_on_an_open_connection() -> None:
    async with answering(GOOD + b"\0", hold=True) as (host, port, _):
        assert await cgminer.ask(host, port, b"{}\0", 1.0) == GOOD


@pytest.mark.parametrize(
    ("sent", "hold", "says"),
    [
        (b"", False, "closed without an answer"),
        (None, False, "connection lost|closed without an answer"),
        (b"x" * (cgminer.LONGEST + 2), True, "longer than 262144 bytes"),
        (b'{"STATUS"', True, "no answer within 0.2 s"),
        (b"", True, "no answer within 0.2 s"),
    ],
    ids=["empty", "reset", "huge", "unfinished", "silent"],
)
async def test_what_is_no_answer(sent: bytes | None, hold: bool, says: str) -> None:
    async with answering(sent, hold=hold) as (host, port, _):
        begin_s = time.monotonic()
        with pytest.raises(DeviceError, match=f"{host}:{port}: .*({says})") as raised:
            await cgminer.ask(host, port, b"{}\0", 0.2)
        assert not raised.value.refused
        assert time.monotonic() - begin_s < 2.0


async def test_nobody_listens() -> None:
    async with answering(b"") as (host, port, _):
        pass
    with pytest.raises(DeviceError, match="no connection"):
        await cgminer.ask(host, port, b"{}\0", 1.0)


@pytest.mark.parametrize("name", ["luxos", "whatsminer-v2", "whatsminer-v3", "braiins", "antminer-stock"])
async def test_a_name_that_is_none(name: str) -> None:
    """Whatever the resolver makes of one that is longer than names may be."""
    host = f"{'.'.join(['m' * 63] * 5)}.hall"
    miner = protocols.member(map_of(name), host, LOGIN, Trust())
    with pytest.raises(DeviceError, match="m" * 63):
        await miner.open()
    await miner.close()


async def test_a_cancelled_exchange_leaves_no_connection() -> None:
    async with answering(b"", hold=True) as (host, port, requests):
        call = asyncio.create_task(cgminer.ask(host, port, b"{}\0", 5.0))
        await until(lambda: bool(requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense", b"\xff\xfe", b"[]", b"1", b'{"value":NaN}', b'{"value":"1"}', b'{"value":true}',
            b'{"value":-1}', b'{"value":1e999}', b'{"value":1' + b"0" * 400 + b"}", b"[" * 5000, b'{"value":null}'],
)  # fmt: skip
def test_garbage_is_named(raw: bytes) -> None:
    class Value(cgminer.Answer):
        value: cgminer.Watts

    with pytest.raises(DeviceError, match=r"^m:1: power: not a usable answer: \S.{0,220}$"):
        cgminer.parse(Value, raw, "m:1: power")
