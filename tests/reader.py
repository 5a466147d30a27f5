"""rampd's reading side before somebody else's device."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

from rampd.daemon.poll import Wheel, discover
from rampd.drivers import maps
from rampd.drivers import sunspec as chain
from rampd.drivers.address import Transport
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from rampd.ext import views
from rampd.ext.codes import GOOD
from tests.field import image, until

HOST = "127.40.200.1"


def tool(name: str, package: str) -> str:
    """The path of a program; a failure names the Debian package that `make test-setup` installs."""
    path = shutil.which(name)
    assert path is not None, f"{name} is not installed: apt-get install {package} (make test-setup does)"
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def floats(*values: float) -> list[int]:
    """Register words of float32 values."""
    return list(struct.unpack(f">{2 * len(values)}H", struct.pack(f">{len(values)}f", *values)))


@dataclass
class Reader:
    """An endpoint and its wheel, as the daemon has them."""

    endpoint: Endpoint
    wheel: Wheel
    inputs: views.Inputs

    async def find(self, *models: int) -> dict[int, int]:
        """Where unit 1 has its SunSpec models."""
        return await chain.find(lambda at, count: self.endpoint.read(1, 3, at, count, 1.0), dict.fromkeys(models, 0))

    async def values(self, name: str, unit: int = 1) -> dict[str, Any]:
        """A device read by its map until each value came: its number, or the quality of what is none."""
        one = maps.load(name)
        slots = {value: i for i, value in enumerate(one.values)}
        device = ModbusDevice(name, self.endpoint, unit, one, slots, 0.05)
        await discover(device, self.wheel)
        await until(lambda: all(self.inputs.quality[slot] for slot in slots.values()))
        return {
            value: self.inputs.value[slot] if self.inputs.quality[slot] == GOOD else self.inputs.quality[slot]
            for value, slot in slots.items()
        }


@contextlib.asynccontextmanager
async def reader(transport: Transport, *, connected: bool = True) -> AsyncIterator[Reader]:
    """Runs one; `connected`: from when it is."""
    wall = image(40)
    endpoint = Endpoint(wall, transport)
    wheel = Wheel(wall, [endpoint])
    tasks = [asyncio.create_task(endpoint.run()), asyncio.create_task(wheel.run())]
    try:
        if connected:
            async with asyncio.timeout(20):
                await endpoint.up()
        yield Reader(endpoint, wheel, views.inputs(wall))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not endpoint.link.connected)


@contextlib.asynccontextmanager
async def pymodbus_server(*devices: SimDevice, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """A server of pymodbus, and its port."""
    port = port or free_port()
    server = ModbusTcpServer(list(devices), address=(HOST, port), **options)
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()
