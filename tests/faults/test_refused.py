"""What a device does not give: found by halving, said once, asked for ever more rarely, and taken back when it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from rampd.daemon.poll import Wheel
from rampd.drivers import maps
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from rampd.ext import codes, views
from tests.field import Ask, Peer, image, tcp, until

MAP = """
name = "eight"
kind = "meter"
title = "eight numbers"
source = ["the test"]
verified = "nothing to verify"
timeout_s = 0.5
max_gap = 4
[values]
power_w = { at = 0, type = "u32", range = [0.0, 1.0e9] }
b_w = { at = 2, type = "u32" }
c_w = { at = 4, type = "u32" }
d_w = { at = 6, type = "u32" }
e_w = { at = 10, type = "u32" }
f_w = { at = 12, type = "u32" }
g_w = { at = 14, type = "s16", factor_at = 20 }
h_w = { at = 15, type = "u32" }
"""


class Picky:
    """Answers a request when it has every register of it."""

    def __init__(self, missing: set[int], code: int = 2) -> None:
        self.missing = missing
        self.code = code
        self.asked: list[tuple[int, int]] = []

    def __call__(self, ask: Ask) -> None:
        self.asked.append((ask.at, ask.count))
        wanted = range(ask.at, ask.at + ask.count)
        if self.missing & set(wanted):
            ask.send(ask.refuse(self.code))
        else:
            ask.send(ask.read(b"".join((0 if at == 20 else at + 1).to_bytes(2, "big") for at in wanted)))


@dataclass
class Rig:
    device: ModbusDevice
    inputs: views.Inputs

    def quality(self, name: str) -> int:
        return int(self.inputs.quality[self.device.slots[name]])

    def settled(self, *refused: str) -> bool:
        """Exactly these values are refused, all others good."""
        expected = {name: codes.REFUSED if name in refused else codes.GOOD for name in self.device.slots}
        return {name: self.quality(name) for name in self.device.slots} == expected


@asynccontextmanager
async def rig(picky: Picky) -> AsyncIterator[Rig]:
    peer = Peer()
    peer.scripts[1] = picky
    await peer.open()
    one = maps.parse(MAP, "eight")
    wall = image(len(one.values))
    endpoint = Endpoint(wall, tcp(peer.host, peer.port))
    wheel = Wheel(wall, [endpoint])
    device = ModbusDevice("m", endpoint, 1, one, {name: i for i, name in enumerate(one.values)}, 0.06)
    wheel.add(device)
    tasks = [asyncio.create_task(endpoint.run()), asyncio.create_task(wheel.run())]
    try:
        yield Rig(device, views.inputs(wall))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        peer.close()
        await until(lambda: not peer.wires and not endpoint.link.connected)


@pytest.mark.parametrize(
    ("missing", "refused"),
    [
        pytest.param(set(), (), id="nothing"),
        pytest.param({4}, ("c_w",), id="one value"),
        pytest.param({1, 13}, ("power_w", "f_w"), id="two apart"),
        pytest.param({20}, ("g_w",), id="a scale factor takes its value along"),
        pytest.param({8, 9}, (), id="a hole between two values"),
        pytest.param({17, 18, 19}, ("g_w",), id="what must be read between a value and its factor"),
        pytest.param({2, 4, 6}, ("b_w", "c_w", "d_w"), id="three in a row"),
        pytest.param(set(range(21)), tuple(maps.parse(MAP, "eight").values), id="everything"),
    ],
)
@pytest.mark.parametrize("code", [2, 3])
async def test_refused_values_are_found_and_the_others_are_read(
    missing: set[int], refused: tuple[str, ...], code: int, caplog: pytest.LogCaptureFixture
) -> None:
    picky = Picky(missing, code)
    with caplog.at_level(logging.WARNING, "rampd.device"):
        async with rig(picky) as bench:
            await until(lambda: bench.settled(*refused))
            assert set(bench.device.refused) == set(refused)
            values = [bench.inputs.value[bench.device.slots[name]] for name in ("power_w", "e_w")]
            if "power_w" not in refused:
                assert values == [(1 << 16) + 2, (11 << 16) + 12]
            asked = len(picky.asked)
            await until(lambda: len(picky.asked) > asked + 20 or len(refused) == len(bench.device.slots))
            if len(refused) < len(bench.device.slots):
                # What is read again and again is what the device has.
                hit = sum(bool(missing & set(range(at, at + count))) for at, count in picky.asked[asked:])
                assert hit <= 2 * len(refused)
    assert len(caplog.records) == len(refused)
    for name in refused:
        assert any(f"correct values.{name} of map eight" in message for message in caplog.messages)


async def test_a_value_that_is_given_later_is_read_as_planned_again() -> None:
    picky = Picky({4})
    async with rig(picky) as bench:
        await until(lambda: bench.settled("c_w"))
        planned = 1
        assert len(bench.device.reads) > planned
        picky.missing = set()
        # Refused for a moment only, it is back as soon; the pause doubles from a second on.
        assert await until(bench.settled) <= 4.0
        assert len(bench.device.reads) == planned
        assert not bench.device.refused


async def test_two_values_that_are_given_at_once_are_taken_back() -> None:
    """The second was being asked for alone when the first had everything planned anew."""
    picky = Picky({4, 12})
    async with rig(picky) as bench:
        await until(lambda: bench.settled("c_w", "f_w"))
        alone = [exchange for exchange in bench.device._reads if exchange.answered is not None]
        assert len(alone) == 2
        link = bench.device.endpoint.link
        await until(lambda: all(link.read(exchange) for exchange in alone))
        picky.missing = set()
        await until(bench.settled)
        assert bench.device.endpoint.connects == 1
        assert link.connected


async def test_a_refusal_that_stands_is_asked_for_ever_more_rarely() -> None:
    picky = Picky({4})
    async with rig(picky) as bench:
        await until(lambda: bench.settled("c_w"))
        await until(lambda: bench.device.refused["c_w"] >= 4.0)
        asked = picky.asked.count((4, 2))
        reads = len(picky.asked)
        await until(lambda: len(picky.asked) > reads + 60)
        assert picky.asked.count((4, 2)) <= asked + 1


@pytest.mark.parametrize("code", [1, 4, 5, 6, 8, 10, 11])
async def test_other_refusals_do_not_split_a_request(code: int) -> None:
    picky = Picky(set(range(21)), code)
    async with rig(picky) as bench:
        await until(lambda: len(picky.asked) >= 3)
        assert len(bench.device.reads) == 1
        assert set(picky.asked) == {(0, 21)}
        assert not bench.device.refused
