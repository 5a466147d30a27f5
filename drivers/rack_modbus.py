"""A rack whose power limit is a register, in W or percent, with the enable, native ramp and dead-man of its map."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rampd.drivers.device import ModbusDevice
from rampd.drivers.maps import Setpoint, Value
from rampd.drivers.members import DeviceError
from rampd.drivers.modbus import write_frame
from rampd.drivers.racks import DeadMan, Latch
from rampd.drivers.register import Register, RegisterError, encode
from rampd.ext import codes
from rampd.ext.units import Exchange, ModbusError
from rampd.ext.views import Inputs

FINE: Final = 0.001
"""Steps up to this share of the rating are rounded up: rounded down, a whole number of miners would lose one."""

Future = asyncio.Future[bytes | None]


@dataclass(frozen=True, slots=True)
class Rating:
    """What a rack is rated at: the W that 100 % of its limit are, and how fast it may be moved, W/s."""

    max_w: float
    slope_w_per_s: float


class ModbusRack:
    """Writes the limit of a Modbus rack with function 16. Raises ValueError when the map has no set point.

    Until `program` has run once after the device was found, its scale factors are not known and limits are refused.
    """

    def __init__(self, device: ModbusDevice, inputs: Inputs, dead_man: DeadMan, rating: Rating) -> None:
        setpoint = device.map.setpoint
        if setpoint is None:
            raise ValueError(f"map {device.map.name} has no [setpoint]")
        self._device = device
        self._inputs = inputs
        self._setpoint: Setpoint = setpoint
        self._rating = rating
        self._one_w = rating.max_w / 100.0 if setpoint.limit.unit == "percent" else 1.0
        self._registers: dict[str, Register] | None = None
        self._programmed_at = (-1, -1)
        self._wanted = self._constants(dead_man)
        self._slots = {key: self._slot(part) for key, part in setpoint.parts().items()}
        self.dead_man = dead_man if setpoint.fallback is not None else None
        self.expected_w = math.nan
        # Until it was read, nobody knows who works there.
        self._locked = setpoint.lockout is not None
        if device.bases is not None and not self._factors():
            self._registers = self._plain()

    def _constants(self, dead_man: DeadMan) -> dict[str, float]:
        """What is programmed once, in the units of the registers, in the order it is written.

        The fallback stands before the timer, so that this never runs towards an old one. A timer that lifts the limit
        is no dead-man and stays off; a native ramp must not be slower than ours.
        """
        s = self._setpoint
        wanted = {
            "ramp": self._rating.slope_w_per_s / (self._rating.max_w / 100.0)
            if s.ramp is not None and s.ramp.unit == "percent_per_s"
            else self._rating.slope_w_per_s,
            "ramp_s": 0.0,
            "fallback": dead_man.fallback_w / self._one_w,
            "deadman_enable": s.deadman_enable.value if s.deadman_enable is not None else 0.0,
            "deadman": float(dead_man.after_s) if s.expiry == "fallback" else 0.0,
        }
        parts = s.parts()
        return {key: value for key, value in wanted.items() if key in parts}

    # What the registers are, once the device is known.

    def _plain(self) -> dict[str, Register]:
        bases = self._device.bases
        return {key: self._device.map.register(key, part, bases) for key, part in self._setpoint.parts().items()}

    def _factors(self) -> set[int]:
        """Addresses of the run-time scale factors of what is written."""
        return {register.factor_at for register in self._plain().values() if register.factor_at is not None}

    async def _learn(self) -> dict[str, Register]:
        """The registers with their scale factors as they are now."""
        device = self._device
        exponents: dict[int, int] = {}
        for at in self._factors():
            data = await device.endpoint.read(device.number, device.map.function, at, 1, device.map.timeout_s)
            exponent = int.from_bytes(data, "big", signed=True)
            if not -10 <= exponent <= 10:
                raise ModbusError(f"scale factor at {at} is {exponent}: not available, the limit cannot be written")
            exponents[at] = exponent
        return {
            key: register
            if register.factor_at is None
            else replace(register, scale=register.scale * 10.0 ** exponents[register.factor_at], factor_at=None)
            for key, register in self._plain().items()
        }

    @property
    def _step_w(self) -> float:
        scale = self._setpoint.limit.scale if self._registers is None else self._registers["limit"].scale
        return abs(scale) * self._one_w

    @property
    def tolerance_w(self) -> float:
        """A step of the register; half of one where steps are coarse."""
        step_w = self._step_w
        return 1.01 * step_w if step_w <= FINE * self._rating.max_w else 0.51 * step_w

    # Limits.

    def set_limit(self, limit_w: float) -> Future:
        """Sends a limit in W, then its enable; the future ends when the device echoed both, or with what it refused.

        Raises RegisterError for a limit that does not fit the register.
        """
        future: Future = asyncio.get_running_loop().create_future()
        if self._registers is None:
            future.set_exception(DeviceError("its registers are not known yet"))
            return future
        if not math.isfinite(limit_w):
            raise RegisterError(f"{limit_w} W is no limit")
        step_w = self._step_w
        steps = limit_w / step_w
        whole = math.ceil(steps - 1e-6) if step_w <= FINE * self._rating.max_w else math.floor(steps + 1e-6)
        self.expected_w = whole * step_w
        frames = [self._frame("limit", self.expected_w / self._one_w)]
        if self._setpoint.enable is not None:
            frames.append(self._frame("enable", self._setpoint.enable.value))
        self._write(frames, future)
        return future

    def _frame(self, key: str, value: float) -> bytes:
        assert self._registers is not None
        register = self._registers[key]
        return write_frame(self._device.number, register.at, encode(register, value))

    def _write(self, frames: Sequence[bytes], future: Future) -> None:
        """One frame after the other; the first that fails ends it."""
        exchange = Exchange(frames[0], self._device.unit, None, round(self._device.map.timeout_s * 1e9))
        step: Future = future if len(frames) == 1 else asyncio.get_running_loop().create_future()
        if step is not future:
            step.add_done_callback(lambda done: self._next(done, frames[1:], future))
        self._device.endpoint.link.request(exchange, step)

    def _next(self, done: Future, frames: Sequence[bytes], future: Future) -> None:
        error = None if done.cancelled() else done.exception()
        if future.done():
            return
        if done.cancelled():
            future.cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            self._write(frames, future)

    def verdict(self) -> Latch | None:
        """Its read-back is in the image."""
        return None

    def in_force(self) -> bool | None:
        """Whether the device says that its limit is enabled; None where it has no such register, or it is not read."""
        enable = self._setpoint.enable
        slot = self._slots.get("enable")
        if enable is None or slot is None or self._inputs.quality[slot] != codes.GOOD:
            return None
        return self._inputs.value[slot] == enable.value

    @property
    def locked_out(self) -> bool:
        """By its map. What cannot be read is as it was, and locked out until it was read once."""
        lockout = self._setpoint.lockout
        if lockout is not None:
            slot = self._device.slots[lockout.value]
            if self._inputs.quality[slot] == codes.GOOD:
                self._locked = self._inputs.value[slot] in lockout.locked
        return self._locked

    # Dead-man.

    async def program(self) -> None:
        """Learns the scale factors and writes native ramp and dead-man. Raises one of NOT_DELIVERED."""
        device = self._device
        if device.bases is None:
            raise DeviceError("the device was not found yet")
        comings = self._comings
        self._registers = await self._learn()
        for key, value in self._wanted.items():
            register = self._registers[key]
            await device.endpoint.write(device.number, register.at, encode(register, value), device.map.timeout_s)
        self._programmed_at = comings

    def programmed(self) -> bool | None:
        """Whether everything reads back as programmed; None while something is not read.

        What no value of the map shows is written again whenever the device may have been restarted.
        """
        if self._device.bases is None:
            return None
        if self._registers is None:
            return False
        hidden = False
        for key, wanted in self._wanted.items():
            slot = self._slots[key]
            if slot is None:
                hidden = True
            elif self._inputs.quality[slot] != codes.GOOD:
                return None
            elif abs(self._inputs.value[slot] - wanted) > 1.01 * abs(self._registers[key].scale):
                return False
        return not hidden or self._programmed_at == self._comings

    @property
    def _comings(self) -> tuple[int, int]:
        """How often its connection was made, and how often it was silent behind that and came back."""
        return self._device.endpoint.connects, self._device.unit.returns

    def _slot(self, part: Value) -> int | None:
        """Where the value of the map stands that shows this register."""
        device_map = self._device.map
        for name, value in device_map.values.items():
            if value.at == part.at and value.model == part.model and not value.mask:
                return self._device.slots[name]
        return None
