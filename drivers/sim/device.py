"""A simulated device: its registers, what they show, and what a write does to the plant."""

from __future__ import annotations

import math
import time
from typing import Literal

from rampd.drivers.sim import points, wire
from rampd.drivers.sim.faults import Fault
from rampd.drivers.sim.image import Image
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.server import Unit
from rampd.drivers.sim.setpoint import SetpointRegisters
from rampd.drivers.sim.spec import DeviceSpec


class Device:
    """Joins one Modbus unit to its place in the plant.

    The image is brought up to date when it is read and only where a value changed. `frozen` keeps the values, `absent`
    shows the map's "no value" words instead, `writes` says what becomes of a write: done, or echoed and dropped.
    """

    def __init__(self, spec: DeviceSpec, plant: Plant, index: int) -> None:
        self.spec = spec
        self.index = index
        self.frozen = False
        self.absent = False
        self.writes: Literal["done", "dropped"] = "done"
        self.written_s = -math.inf
        self._plant = plant
        self.image = Image(spec.map)
        self.unit = Unit(self.image, self.refresh, self.write)
        self._setpoint: SetpointRegisters | None = None
        shown = {self.image.registers[name]: point for name, point in self._show().items()}
        if spec.kind == "rack" and spec.map.setpoint is not None:
            self._setpoint = SetpointRegisters(spec.map.setpoint, plant.racks, index)
            # A set-point register shows itself, also where a value of the map stands on it.
            written = {(register.function, register.at) for register in self.image.writable}
            shown = {one: point for one, point in shown.items() if (one.function, one.at) not in written}
            shown |= {register: self._setpoint.shown(register.name) for register in self.image.writable}
        self._registers, self._points = list(shown), list(shown.values())
        self._shown = [math.nan] * len(self._points)
        self._revision = -1

    def _show(self) -> dict[str, points.Point]:
        """What each value of the map shows, in their order."""
        plant, index, device_map = self._plant, self.index, self.spec.map
        match self.spec.kind:
            case "meter":
                return points.meter(plant, device_map)
            case "pdu":
                return points.node(plant, index, device_map)
            case "cdu":
                return points.loop(plant, index, device_map)
            case "rack":
                return points.rack(plant, index, device_map)
        return points.still(device_map)

    def refresh(self) -> None:
        """Brings the image up to the plant's present state."""
        if self.frozen or self.absent or self._revision == self._plant.revision:
            return
        self._revision = self._plant.revision
        shown = self._shown
        for i, point in enumerate(self._points):
            value = point()
            if value != shown[i]:
                shown[i] = value
                self.image.put(self._registers[i], value)

    def write(self, name: str, value: float) -> None:
        """Takes a written set-point register."""
        now_s = time.monotonic()
        self.written_s = now_s
        if self.writes == "dropped":
            return
        if self._setpoint is not None:
            self._setpoint.write(name, value, now_s)
        self._plant.revision += 1

    def power_on(self, now_s: float) -> None:
        """What a restart of a rack's controller leaves; other devices remember nothing."""
        if self.spec.kind != "rack":
            return
        self._plant.racks.power_on(self.index, now_s)
        if self._setpoint is not None:
            self._setpoint.power_on()

    @property
    def id(self) -> str:
        """That of its rack, node, loop or meter."""
        return self.spec.id

    @property
    def kind(self) -> str:
        """That of its map."""
        return self.spec.kind

    @property
    def place(self) -> int:
        """Where it stands in the plant."""
        return self.index

    @property
    def limit_w(self) -> float:
        """The limit of its rack."""
        return self._plant.racks.limit_w[self.index]

    @property
    def max_w(self) -> float:
        """The rating of its rack."""
        return self._plant.racks.max_w[self.index]

    def set_limit(self, limit_w: float, now_s: float) -> None:
        """A limit that takes hold, whoever set it."""
        self._plant.set_limit(self.index, limit_w, now_s)

    def freeze(self, frozen: bool) -> None:
        """Keeps the present values, or lets them go."""
        if frozen:
            self.refresh()
        self.frozen = frozen

    def break_wire(self, fault: Fault, seed: int) -> bool:
        """Answers wrongly, if the fault is one of the wire."""
        self.unit.trouble = wire.trouble(fault, seed)
        return self.unit.trouble is not None

    def mend_wire(self) -> None:
        """Answers rightly again."""
        self.unit.trouble = None

    def set_absent(self, absent: bool) -> None:
        """All values "not available", or what the plant shows again."""
        self.absent = absent
        if absent:
            for register in self.image.registers.values():
                self.image.put_not_available(register)
        self._shown = [math.nan] * len(self._shown)
        self._revision = -1
