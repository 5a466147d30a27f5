"""What a device may answer, byte for byte, and what the link makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import uvloop

from rampd.ext.codes import GOOD, REFUSED, Quality
from tests.field import POISON, Ask, Bench, Peer, Script, adu, until, well


async def test_runs_on_the_products_event_loop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


# Answers that are right, however they come.


def byte_by_byte(ask: Ask) -> None:
    for i, byte in enumerate(ask.good()):
        ask.later(0.002 * i, bytes((byte,)))


def in_two_pieces(cut: int) -> Script:
    def script(ask: Ask) -> None:
        answer = ask.good()
        ask.send(answer[:cut])
        ask.later(0.02, answer[cut:])

    return script


def twice(ask: Ask) -> None:
    ask.send(ask.good() + ask.read(ask.poison()))


@pytest.mark.parametrize(
    "script",
    [well, byte_by_byte, *map(in_two_pieces, (1, 2, 6, 7, 8, 9, 12, 16))],
    ids=["well", "byte by byte", *(f"cut at {cut}" for cut in (1, 2, 6, 7, 8, 9, 12, 16))],
)
async def test_a_right_answer_counts_however_it_is_cut(script: Script) -> None:
    peer = Peer()
    peer.scripts = {1: script, 2: script}
    async with Bench(peer, timeout_s=1.0) as bench:
        await bench.running()
        asked = len(peer.asked)
        await until(lambda: len(peer.asked) > asked + 6)
        counts = bench.counts()
        assert all(bench.fresh(unit) for unit in bench.units)
        assert {result: n for (_, result), n in counts.items() if n} == {"ok": counts["read", "ok"]}
        assert peer.connections == 1


class Pipeline:
    """Collects so many requests of one connection and answers them in one segment, in an order of its own."""

    def __init__(self, size: int, order: Callable[[list[bytes]], list[bytes]]) -> None:
        self.size = size
        self.order = order
        self.answers: list[bytes] = []
        self.deepest = 0

    def __call__(self, ask: Ask) -> None:
        self.answers.append(ask.good())
        self.deepest = max(self.deepest, len(self.answers))
        if len(self.answers) == self.size:
            ask.send(b"".join(self.order(self.answers)))
            self.answers.clear()


@pytest.mark.parametrize(
    "order",
    [list, lambda answers: answers[::-1], lambda answers: answers[1:] + answers[:1]],
    ids=["in order", "reversed", "rotated"],
)
async def test_answers_to_requests_in_flight_may_come_together_in_any_order(
    order: Callable[[list[bytes]], list[bytes]],
) -> None:
    peer = Peer()
    pipeline = Pipeline(4, order)
    peer.scripts = dict.fromkeys(range(1, 9), pipeline)
    async with Bench(peer, units=8, in_flight=4, timeout_s=1.0) as bench:
        await bench.running()
        asked = len(peer.asked)
        await until(lambda: len(peer.asked) > asked + 40)
        assert pipeline.deepest == 4
        assert {result for (_, result), n in bench.counts().items() if n} == {"ok"}


async def test_no_more_requests_are_in_flight_than_the_device_takes() -> None:
    peer = Peer()
    waiting: list[Ask] = []
    most = 0

    def slow(ask: Ask) -> None:
        nonlocal most
        waiting.append(ask)
        most = max(most, len(waiting))

        def answer() -> None:
            waiting.remove(ask)
            well(ask)

        asyncio.get_running_loop().call_later(0.02, answer)

    peer.scripts = dict.fromkeys(range(1, 6), slow)
    async with Bench(peer, units=5, in_flight=2, timeout_s=1.0) as bench:
        await bench.running()
    assert most == 2


# Answers that are wrong. Unit 1 gives them, unit 2 behind the same address is sound.


def other_id(step: int) -> Script:
    return lambda ask: ask.send(ask.read(ask.poison(), id_=(ask.id + step) & 0xFFFF))


def zero_id(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(), id_=0))


def other_unit(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(), unit=2))


def other_function(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(), function=4))


def write_echo(ask: Ask) -> None:
    ask.send(adu(ask.id, ask.unit, bytes((16, 0, 0, 0, 4))))


def short(registers: int) -> Script:
    return lambda ask: ask.send(ask.read(ask.poison(registers)))


def long(ask: Ask) -> None:
    ask.send(ask.read(ask.poison(ask.count + 1)))


def byte_count(step: int) -> Script:
    def script(ask: Ask) -> None:
        data = ask.poison()
        ask.send(adu(ask.id, ask.unit, bytes((3, len(data) + step)) + data))

    return script


def long_refusal(ask: Ask) -> None:
    ask.send(adu(ask.id, ask.unit, bytes((0x83, 2, 0))))


def other_refusal(ask: Ask) -> None:
    ask.send(adu(ask.id, ask.unit, bytes((0x84, 2))))


def silent(ask: Ask) -> None:
    pass


def late(ask: Ask) -> None:
    ask.later(0.25, ask.read(ask.poison()))


def refuse(code: int) -> Script:
    return lambda ask: ask.send(ask.refuse(code))


@dataclass(frozen=True)
class Case:
    """A wrong answer, what counts it, and what unit 1 is while it stands."""

    name: str
    script: Script
    counted: str
    quality: Quality
    breaker: bool


CASES = [
    Case("the id of the next request", other_id(1), "late", GOOD, True),
    Case("the id of the request before", other_id(-1), "late", GOOD, True),
    Case("id 0", zero_id, "late", GOOD, True),
    Case("another unit", other_unit, "foreign", GOOD, True),
    Case("another function", other_function, "foreign", GOOD, True),
    Case("the echo of a write", write_echo, "foreign", GOOD, True),
    Case("one register short", short(3), "foreign", GOOD, True),
    Case("no registers", short(0), "foreign", GOOD, True),
    Case("one register long", long, "foreign", GOOD, True),
    Case("byte count too small", byte_count(-2), "foreign", GOOD, True),
    Case("byte count too large", byte_count(2), "foreign", GOOD, True),
    Case("byte count odd", byte_count(-1), "foreign", GOOD, True),
    Case("a refusal with a byte too many", long_refusal, "foreign", GOOD, True),
    Case("a refusal of another function", other_refusal, "foreign", GOOD, True),
    Case("silence", silent, "timeout", GOOD, True),
    Case("after the deadline", late, "late", GOOD, True),
    Case("twice", twice, "late", GOOD, False),
    Case("exception 1", refuse(1), "exception", REFUSED, False),
    Case("exception 2", refuse(2), "exception", REFUSED, False),
    Case("exception 4", refuse(4), "exception", REFUSED, False),
    Case("exception 10, the gateway has no path", refuse(10), "exception", GOOD, True),
    Case("exception 11, the gateway hears nothing", refuse(11), "exception", GOOD, True),
    Case("exception 5, acknowledged", refuse(5), "exception", GOOD, False),
    Case("exception 6, busy", refuse(6), "exception", GOOD, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_wrong_answer_harms_nobody_else_and_is_forgotten_when_it_ends(case: Case) -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        before = bench.counts()["read", case.counted]
        value_until = bench.reading(1)
        peer.scripts[1] = case.script
        bench.forget()
        await until(lambda: bench.counts()["read", case.counted] >= before + 3)
        if case.breaker:
            await until(lambda: bench.breaker(1).open)
        else:
            assert not bench.breaker(1).open
        if case.quality == REFUSED:
            await until(lambda: bench.reading(1).quality == REFUSED)
        assert bench.reading(1).quality == case.quality
        if case.script is not twice:
            # The number stands, whatever became of the quality; its age tells.
            assert bench.reading(1).value in peer.held[1]
            assert bench.reading(1).value >= value_until.value
        assert bench.fresh(2)
        assert bench.oldest_s[2] < bench.timeout_s + 4 * bench.period_s + 0.15
        assert not bench.breaker(2).open
        assert peer.connections == 1, "an answer of one unit cost all the connection"
        del peer.scripts[1]
        assert await until(lambda: bench.fresh(1)) <= 4.0
        await until(lambda: not bench.breaker(1).open)


def protocol(field: bytes) -> Callable[[Ask], bytes]:
    return lambda ask: ask.read(ask.poison())[:2] + field + ask.read(ask.poison())[4:]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(protocol(b"\x00\x01"), id="protocol 1"),
        pytest.param(protocol(b"\x01\x00"), id="protocol 256"),
        pytest.param(lambda ask: b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
        pytest.param(lambda ask: bytes(64), id="zeros"),
        pytest.param(lambda ask: b"\xff" * 300, id="ones"),
        pytest.param(lambda ask: adu(ask.id, 1, b"")[:4] + b"\x00\x02\x01\x03", id="length 2"),
        pytest.param(lambda ask: adu(ask.id, 1, b"")[:4] + b"\x01\x00\x01\x03" + bytes(300), id="length 256"),
        pytest.param(lambda ask: bytes(2100) + ask.read(ask.poison()), id="garbage longer than the buffer"),
        # 2048 bytes of garbage end where the buffer does: what follows looks like a frame.
        pytest.param(lambda ask: b"\xff" * 2048 + ask.read(ask.poison()), id="a frame behind garbage"),
    ],
)  # fmt: skip
async def test_what_is_no_frame_costs_the_connection_and_no_more(frame: Callable[[Ask], bytes]) -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        before = bench.counts()
        peer.scripts[1] = lambda ask: ask.send(frame(ask))
        await until(lambda: peer.connections >= 3)
        after = bench.counts()
        assert after["read", "bad"] >= before["read", "bad"] + 2
        assert after["read", "lost"] >= before["read", "lost"] + 2
        assert bench.reading(1).value in peer.held[1]
        del peer.scripts[1]
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= 4.0


async def test_a_unit_that_spoils_every_connection_does_not_starve_the_others() -> None:
    peer = Peer()
    async with Bench(peer) as bench:
        await bench.running()
        peer.scripts[1] = Ask.reset
        lost = bench.counts()["read", "lost"]
        await until(lambda: bench.counts()["read", "lost"] >= lost + 4)
        good = bench.counts()["read", "ok"]
        asked = peer.asked_of(1)
        await until(lambda: peer.asked_of(1) >= asked + 3, within_s=30)
        # Asked of 1 once a pause, unit 2 is read many times in between.
        assert bench.counts()["read", "ok"] - good > 10


async def test_a_length_that_lies_swallows_the_next_answer_and_nothing_wrong_comes_of_it() -> None:
    peer = Peer()

    def liar(ask: Ask) -> None:
        answer = ask.read(ask.poison())
        ask.send(answer[:4] + (int.from_bytes(answer[4:6], "big") + 4).to_bytes(2, "big") + answer[6:])

    async with Bench(peer) as bench:
        await bench.running()
        peer.scripts[1] = liar
        before = bench.counts()
        await until(lambda: bench.counts()["read", "bad"] > before["read", "bad"])
        assert bench.counts()["read", "timeout"] > before["read", "timeout"]
        del peer.scripts[1]
        assert await until(lambda: all(map(bench.fresh, bench.units))) <= 4.0


async def test_a_late_answer_is_dropped_and_the_next_request_gets_its_own() -> None:
    peer = Peer()
    first: list[Ask] = []

    def once_late(ask: Ask) -> None:
        if not first:
            first.append(ask)
            ask.later(0.3, ask.read(ask.poison()))
        else:
            ask.later(0.15, ask.good())  # so that the late answer comes while another is awaited

    async with Bench(peer, units=1) as bench:
        await bench.running()
        before = bench.counts()
        peer.scripts[1] = once_late
        await until(lambda: bench.counts()["read", "late"] == before["read", "late"] + 1)
        ok = bench.counts()["read", "ok"]
        await until(lambda: bench.counts()["read", "ok"] >= ok + 3)
        after = bench.counts()
        assert after["read", "timeout"] == before["read", "timeout"] + 1
        assert after["read", "late"] == before["read", "late"] + 1
        assert peer.connections == 1


async def test_every_attempt_has_an_id_of_its_own() -> None:
    peer = Peer()
    peer.scripts[1] = silent
    async with Bench(peer) as bench:
        await until(lambda: bench.breaker(1).open and len(peer.asked) > 30)
    ids = [ask.id for ask in peer.asked]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids


async def test_a_value_is_as_old_as_its_request() -> None:
    peer = Peer()
    peer.scripts[1] = lambda ask: ask.later(0.3, ask.good())
    async with Bench(peer, units=1, timeout_s=1.0) as bench:
        await until(lambda: bench.reading(1).quality == GOOD)
        assert bench.reading(1).age_s >= 0.29


async def test_how_long_answers_take_is_told_for_each_unit() -> None:
    peer = Peer()
    peer.scripts[1] = lambda ask: ask.later(0.3, ask.good())
    async with Bench(peer, timeout_s=1.0) as bench:
        await until(lambda: bench.breaker(1).slowest_ns > 0 and bench.breaker(2).slowest_ns > 0)
        slow, quick = bench.breaker(1), bench.breaker(2)
        assert 0.29e9 <= slow.answer_ns <= slow.slowest_ns < 1e9
        assert 0 < quick.answer_ns <= quick.slowest_ns < 0.29e9
        del peer.scripts[1]
        # The mean follows at once, the slowest is remembered.
        await until(lambda: slow.answer_ns < 0.1e9)
        assert slow.slowest_ns > 0.2e9


async def test_a_dead_unit_is_asked_rarely() -> None:
    peer = Peer()
    peer.scripts[1] = silent
    async with Bench(peer) as bench:
        await until(lambda: bench.breaker(1).open)
        dead, sound = peer.asked_of(1), peer.asked_of(2)
        await until(lambda: peer.asked_of(1) >= dead + 3)
        # At 60 ms a read, the pauses of 0.5 to 1.5 s between probes leave room for many of unit 2.
        assert peer.asked_of(2) - sound > 20
        assert peer.connections == 1
        assert POISON not in peer.held[2]


async def test_numbers_of_devices_are_kept_apart() -> None:
    peer = Peer()
    async with Bench(peer, units=20, in_flight=8) as bench:
        await bench.running()
        values = [bench.reading(unit).value for unit in bench.units]
        assert [int(value // 10_000_000) for value in values] == list(bench.units)
