"""Texts of devices: read once, asked for again where nobody answered, given up where they are refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from rampd.daemon import nameplates
from rampd.daemon.nameplates import Nameplates
from rampd.daemon.poll import Wheel
from rampd.drivers import maps
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from tests.field import Ask, Peer, image, tcp, until, well

MAP = """
name = "named"
kind = "meter"
title = "a meter with a nameplate"
source = ["the test"]
verified = "nothing to verify"
timeout_s = 0.2
[values]
power_w = { at = 0, type = "u32", range = [0.0, 1.0e9] }
[texts]
model  = { at = 100, words = 4 }
serial = { at = 110, words = 2, swapped = true }
empty  = { at = 120, words = 2 }
"""
TEXTS = {100: b"PX-3\0\0\0\0", 110: b"8051", 120: bytes(4)}


def named(ask: Ask) -> None:
    if ask.at in TEXTS:
        ask.send(ask.read(TEXTS[ask.at]))
    else:
        well(ask)


def refusing(ask: Ask) -> None:
    if ask.at in TEXTS:
        ask.send(ask.refuse(2))
    else:
        well(ask)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    await made.open()
    yield made
    made.close()
    await until(lambda: not made.wires)


async def test_each_is_asked_once_and_a_refusal_is_an_answer(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameplates, "ROUND_S", 0.05)
    silent = itertools.count()

    def late(ask: Ask) -> None:
        # The first two requests for a text get no answer.
        if ask.at not in TEXTS or next(silent) >= 2:
            named(ask)

    peer.scripts = {1: named, 2: refusing, 3: late}
    wall = image(3)
    endpoint = Endpoint(wall, tcp(peer.host, peer.port))
    wheel = Wheel(wall, [endpoint])
    one = maps.parse(MAP, "named")
    assert isinstance(one, maps.DeviceMap)
    devices = [ModbusDevice(str(n), endpoint, n, one, {"power_w": n - 1}, 0.1) for n in (1, 2, 3)]
    for device in devices:
        wheel.add(device)
    plates = Nameplates(devices)
    tasks = [asyncio.create_task(work) for work in (endpoint.run(), wheel.run())]
    try:
        async with asyncio.timeout(20):
            await plates.run()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert plates.found == {"1": {"model": "PX-3", "serial": "0815"}, "3": {"model": "PX-3", "serial": "0815"}}
    assert plates.fresh == {"1", "3"}
    asked = [(ask.unit, ask.at) for ask in peer.asked if ask.at in TEXTS]
    assert [at for unit, at in asked if unit == 1] == [100, 110, 120]
    assert [at for unit, at in asked if unit == 2] == [100]
