"""The faults of the field, one line each: what becomes of the reading, who counts it, and how soon it is over.

Unit 1 of a gateway has the fault, or all of the gateway has it. Units 2 and 3 share the gateway, and a second address
is sound. At every turn of the wheel each value in the image is compared with what its unit truly held.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import uvloop

from rampd.ext.codes import GOOD, REFUSED, SENTINEL, Quality
from tests.field import Ask, Bench, Peer, Script, until

STANDS_S = 2.5
BACK_S = 2.0
TIMEOUT_S = 0.2
PERIOD_S = 0.06
# What a busy machine adds to a period.
SLACK_S = 0.2


@dataclass(frozen=True)
class Fault:
    """`script` is how unit 1 answers, or `begin` and `end` break and mend the whole gateway."""

    name: str
    counted: str
    quality: Quality = GOOD
    script: Script | None = None
    begin: Callable[[Peer], None] = lambda peer: None
    end: Callable[[Peer], object] = lambda peer: None
    # The reading grows old while it stands; else it is as fresh as ever, whatever its quality.
    ages: bool = True
    least: int = 3


def silent(ask: Ask) -> None:
    pass


def late(ask: Ask) -> None:
    ask.later(1.3 * TIMEOUT_S, ask.read(ask.poison()))


def twice(ask: Ask) -> None:
    ask.send(ask.good() + ask.read(ask.poison()))


def byte_by_byte(ask: Ask) -> None:
    for i, byte in enumerate(ask.good()):
        ask.later(0.002 * i, bytes((byte,)))


def garbage(ask: Ask) -> None:
    ask.send(b"\xff\x00\x55" * 9)


def frozen() -> Script:
    """The first numbers for ever."""
    kept: dict[tuple[int, int], bytes] = {}
    return lambda ask: ask.send(ask.read(kept.setdefault((ask.unit, ask.at), ask.wire.peer.words(ask.unit, ask.count))))


def sentinel(ask: Ask) -> None:
    """The map's word for "not available", then a number as ever."""
    ask.send(ask.read(struct.pack(">I", 0xFFFFFFFF) + ask.wire.peer.words(ask.unit, ask.count - 2)))


def deafen(peer: Peer) -> None:
    peer.deaf = True


def hear(peer: Peer) -> None:
    """What came while it was deaf is lost: it is a device that was rebooted, not one that was slow."""
    peer.deaf = False
    for wire in tuple(peer.wires):
        if wire.transport is not None:
            wire.transport.abort()


def reopen(peer: Peer) -> asyncio.Task[None]:
    return asyncio.create_task(peer.open())


def always(script: Script) -> Callable[[Peer], None]:
    return lambda peer: peer.scripts.update(dict.fromkeys((1, 2, 3), script))


FAULTS = [
    Fault("silent", "timeout", script=silent),
    Fault("late", "late", script=late),
    Fault("duplicate", "late", script=twice, ages=False),
    Fault("wrong id", "late", script=lambda ask: ask.send(ask.read(ask.poison(), id_=(ask.id + 1) & 0xFFFF))),
    Fault("wrong unit", "foreign", script=lambda ask: ask.send(ask.read(ask.poison(), unit=2))),
    Fault("short", "foreign", script=lambda ask: ask.send(ask.read(ask.poison(2)))),
    Fault("foreign function", "foreign", script=lambda ask: ask.send(ask.read(ask.poison(), function=4))),
    Fault("byte by byte", "ok", script=byte_by_byte, ages=False),
    Fault("busy", "exception", script=lambda ask: ask.send(ask.refuse(6))),
    Fault("illegal address", "exception", REFUSED, script=lambda ask: ask.send(ask.refuse(2)), ages=False),
    Fault("gateway hears nothing", "exception", script=lambda ask: ask.send(ask.refuse(11))),
    Fault("sentinel", "ok", SENTINEL, script=sentinel, ages=False),
    Fault("frozen", "ok", script=frozen(), ages=False),
    Fault("garbage", "bad", begin=always(garbage)),
    Fault("RST on every request", "lost", begin=always(Ask.reset)),
    Fault("FIN on every request", "lost", begin=always(Ask.close)),
    Fault("half-open", "timeout", begin=deafen, end=hear),
    # It falls between two requests, or on one.
    Fault("reboot", "lost", begin=Peer.close, end=reopen, least=0),
]


@dataclass
class Seen:
    """What a fault did."""

    quality: Quality
    age_s: float
    counted: int
    others_s: float
    elsewhere_s: float
    connections: int
    back_s: float
    connects: int


async def play(fault: Fault) -> Seen:
    peer, other = Peer(), Peer()
    async with (
        Bench(peer, units=3, timeout_s=TIMEOUT_S, period_s=PERIOD_S) as bench,
        Bench(other, units=1, timeout_s=TIMEOUT_S, period_s=PERIOD_S) as elsewhere,
    ):
        await bench.running()
        await elsewhere.running()
        bench.forget()
        elsewhere.forget()
        before = bench.counts()["read", fault.counted]
        if fault.script is not None:
            peer.scripts[1] = fault.script
        fault.begin(peer)
        began_s = time.monotonic()
        await until(lambda: time.monotonic() > began_s + STANDS_S)
        quality, _, age_s = bench.reading(1)
        counted = bench.counts()["read", fault.counted] - before
        others_s, elsewhere_s = max(bench.oldest_s[2], bench.oldest_s[3]), elsewhere.oldest_s[1]
        connections = peer.connections
        peer.scripts.clear()
        mended = fault.end(peer)
        back_s = await until(lambda: all(map(bench.fresh, bench.units)))
        if isinstance(mended, asyncio.Task):
            await mended
        return Seen(quality, age_s, counted, others_s, elsewhere_s, connections, back_s, bench.endpoint.connects)


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Seen | BaseException]]:
    """All faults, each in a field of its own, side by side."""

    async def all_of_them() -> list[Seen | BaseException]:
        return await asyncio.gather(*map(play, FAULTS), return_exceptions=True)

    yield dict(zip((fault.name for fault in FAULTS), uvloop.run(all_of_them()), strict=True))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fault(fault: Fault, seen: dict[str, Seen | BaseException]) -> None:
    found = seen[fault.name]
    if isinstance(found, BaseException):
        raise found
    assert found.quality == fault.quality
    assert found.counted >= fault.least
    assert found.back_s <= BACK_S
    assert found.elsewhere_s <= PERIOD_S + SLACK_S
    fresh_s = TIMEOUT_S + PERIOD_S + SLACK_S
    if fault.script is not None:
        assert found.others_s <= fresh_s, "another unit lost more than one timeout"
        assert found.connections == 1, "one unit cost all the connection"
        assert (found.age_s > STANDS_S - fresh_s) == fault.ages
    else:
        assert found.age_s > 0.5 * STANDS_S
        assert found.connects >= 2
