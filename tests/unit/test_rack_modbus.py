"""A rack over Modbus: limits that are none."""

from __future__ import annotations

import asyncio
import math

import pytest

from rampd.daemon.actuate import Actuation
from rampd.daemon.delivery import Target
from rampd.drivers import maps
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from rampd.drivers.rack_modbus import ModbusRack, Rating
from rampd.drivers.racks import DeadMan
from rampd.drivers.register import RegisterError
from rampd.ext import views
from tests.field import image, tcp


@pytest.mark.parametrize("limit_w", [math.nan, math.inf, -math.inf, 1e300])
async def test_what_is_no_limit_is_refused_and_ends_nothing(limit_w: float) -> None:
    device_map = maps.modbus("rack-power")
    wall = image(len(device_map.values))
    inputs = views.inputs(wall)
    slots = {name: i for i, name in enumerate(device_map.values)}
    device = ModbusDevice("rack", Endpoint(wall, tcp("127.0.0.1", 1)), 1, device_map, slots, 1.0, 100e3)
    rack = ModbusRack(device, inputs, DeadMan(30, 10e3), Rating(100e3, 50e3))
    with pytest.raises(RegisterError):
        rack.set_limit(limit_w)
    target = Target("rack", rack, slots["limit_w"], 10**9, 10**10)
    target.wanted_w = limit_w
    actuation = Actuation(None, inputs, [target], 10**9, asyncio.ensure_future)  # type: ignore[arg-type]
    actuation.send(0, 0)
    assert not target.busy
    assert actuation.stages["failed"] == 1
