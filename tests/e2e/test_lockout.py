"""A rack that is locked out where it stands, by a key of its map: read from, and written to, a server of pymodbus."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.simulator import DataType, SimData, SimDevice

from rampd.daemon.actuate import Actuation
from rampd.daemon.delivery import Target
from rampd.daemon.poll import discover
from rampd.drivers.device import ModbusDevice
from rampd.drivers.maps import DeviceMap, parse
from rampd.drivers.rack_modbus import ModbusRack, Rating
from rampd.drivers.racks import DeadMan
from rampd.ext import codes
from tests.delivering import Loop, S
from tests.field import tcp, until
from tests.reader import HOST, pymodbus_server, reader

POWER, LIMIT, SELECTOR = 0, 2, 4
REMOTE, LOCAL = 0x0100, 0x0000
MAP = """
name = "gateway-with-a-key"
kind = "rack"
title = "a rack behind a gateway with a local/remote selector: bit 8 of its status word is set in remote"
source = ["the test"]
verified = "served by pymodbus"
[values]
power_w      = { at = 0, type = "u32", range = [0.0, 1.0e6] }
limit_w      = { at = 2, type = "u32", range = [0.0, 1.0e6] }
remote_state = { at = 4, type = "u16", mask = 0x0100, nan = [0xFFFF] }
[setpoint]
readback = "limit_w"
limit    = { at = 2, type = "u32" }
lockout  = { value = "remote_state", locked = [0] }
"""


class Bench:
    """One rack of pymodbus, somebody with a key at it, and rampd's actuation before it."""

    def __init__(self, key: AsyncModbusTcpClient, actuation: Actuation, loop: Loop) -> None:
        self.key, self.actuation, self.loop = key, actuation, loop

    async def turn(self, word: int) -> None:
        """The selector at the rack."""
        assert not (await self.key.write_registers(SELECTOR, [word])).isError()

    async def limit_kw(self) -> float:
        words = (await self.key.read_holding_registers(LIMIT, count=2)).registers
        return (words[0] << 16 | words[1]) / 1e3

    async def asks(self, limit_kw: float, state: int) -> None:
        """Once actuation calls the rack so, the core asks for that, and there is time to write it."""
        await until(lambda: self.actuation.inputs.rack_state[0] == state)
        self.loop.limit_w = limit_kw * 1e3
        await asyncio.sleep(0.7)
        assert self.actuation.inputs.rack_state[0] == state


async def run(actuation: Actuation, loop: Loop) -> None:
    """The daemon's turn: a snapshot twenty times a second, a look after each."""
    while True:
        loop.out.at_ns = time.monotonic_ns()
        actuation.pulse(time.monotonic_ns())
        await actuation.check_all()
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def bench(selector: int) -> AsyncIterator[Bench]:
    device = SimDevice(1, simdata=[SimData(0, values=[0, 50_000, 0, 60_000, selector], datatype=DataType.REGISTERS)])
    device_map = parse(MAP, "the test")
    assert isinstance(device_map, DeviceMap)
    async with pymodbus_server(device) as port, reader(tcp(HOST, port)) as ours, asyncio.TaskGroup() as group:
        slots = {name: slot for slot, name in enumerate(device_map.values)}
        rack = ModbusDevice("rack", ours.endpoint, 1, device_map, slots, 0.05)
        driver = ModbusRack(rack, ours.inputs, DeadMan(30, 0.0), Rating(100e3, 1e6))
        loop: Any = Loop()
        target = Target("rack", driver, slots["limit_w"], 2 * S, 10 * S, max_w=100e3)
        actuation = Actuation(loop, ours.inputs, [target], S, group.create_task)
        assert ours.inputs.rack_state[0] == codes.LOCKED, "nobody has read it yet"
        await discover(rack, ours.wheel)
        key = AsyncModbusTcpClient(HOST, port=port)
        assert await key.connect()
        task = group.create_task(run(actuation, loop))
        yield Bench(key, actuation, loop)
        task.cancel()
        key.close()


async def test_somebody_turns_the_key_and_turns_it_back() -> None:
    async with bench(REMOTE) as made:
        await made.asks(40, codes.AVAILABLE)
        assert await made.limit_kw() == 40
        await made.turn(LOCAL)
        await made.asks(30, codes.LOCKED)
        assert await made.limit_kw() == 40, "nothing is written to a rack that somebody works at"
        # A reading that is none is no key turned back.
        await made.turn(0xFFFF)
        await made.asks(25, codes.LOCKED)
        assert await made.limit_kw() == 40
        await made.turn(REMOTE)
        await made.asks(20, codes.AVAILABLE)
        assert await made.limit_kw() == 20


async def test_one_that_is_found_locked_out_is_not_written_to() -> None:
    async with bench(LOCAL) as made:
        await made.asks(40, codes.LOCKED)
        assert await made.limit_kw() == 60
