"""A rack whose power limit is a register: its map says where, with dead-man timer and fallback where it has them."""

from __future__ import annotations

import asyncio
import math

from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import write_frame
from rampd.drivers.racks import DeadMan
from rampd.drivers.register import Register, encode
from rampd.ext import codes
from rampd.ext.units import Exchange
from rampd.ext.views import Inputs


class ModbusRack:
    """Writes the limit of a Modbus rack with function 16. Raises ValueError when the map has no set point."""

    def __init__(self, device: ModbusDevice, inputs: Inputs, dead_man: DeadMan) -> None:
        setpoint = device.map.setpoint
        if setpoint is None:
            raise ValueError(f"map {device.map.name} has no [setpoint]")
        self._device = device
        self._inputs = inputs
        self._limit = device.map.register("limit", setpoint.limit)
        self._timeout_s = device.map.timeout_s
        self._timer: tuple[Register, Register] | None = None
        self.dead_man: DeadMan | None = None
        if setpoint.deadman is not None and setpoint.fallback is not None:
            self._timer = (
                device.map.register("deadman", setpoint.deadman),
                device.map.register("fallback", setpoint.fallback),
            )
            self.dead_man = dead_man
        self.tolerance_w = abs(self._limit.scale) * 1.01
        self.expected_w = math.nan

    def set_limit(self, limit_w: float) -> asyncio.Future[bytes | None]:
        """Sends a limit in W; the future ends when the device echoed it, or with ModbusError."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        # Up to the next register step: rounded down, a whole number of miners would lose one.
        step_w = abs(self._limit.scale)
        whole_w = math.ceil(limit_w / step_w - 1e-6) * step_w
        frame = write_frame(self._device.number, self._limit.at, encode(self._limit, whole_w))
        exchange = Exchange(frame, self._device.unit, None, round(self._timeout_s * 1e9))
        self.expected_w = whole_w
        self._device.endpoint.link.request(exchange, future)
        return future

    async def program(self) -> None:
        """Writes fallback, then timer, so that the timer never runs towards an old fallback. Raises ModbusError."""
        if self._timer is None or self.dead_man is None:
            return
        timer, fallback = self._timer
        number = self._device.number
        endpoint = self._device.endpoint
        await endpoint.write(number, fallback.at, encode(fallback, self.dead_man.fallback_w), self._timeout_s)
        await endpoint.write(number, timer.at, encode(timer, float(self.dead_man.after_s)), self._timeout_s)

    def programmed(self) -> bool | None:
        """Whether timer and fallback read back as programmed; None while one of them is not read."""
        if self.dead_man is None:
            return True
        found: list[float] = []
        for name in ("deadman_s", "fallback_w"):
            slot = self._device.slots.get(name)
            if slot is None or self._inputs.quality[slot] != codes.GOOD:
                return None
            found.append(self._inputs.value[slot])
        return found[0] == self.dead_man.after_s and abs(found[1] - self.dead_man.fallback_w) <= self.tolerance_w
