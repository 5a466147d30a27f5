"""A simulated device: its registers, what they show, and what a write does to the plant."""

from __future__ import annotations

import math
import time
from typing import Literal

from rampd.drivers.sim import points
from rampd.drivers.sim.image import Image
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.server import Unit
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
        shown = {
            "meter": lambda: points.meter(plant, spec.map),
            "pdu": lambda: points.node(plant, index, spec.map),
            "cdu": lambda: points.loop(plant, index, spec.map),
            "rack": lambda: points.rack(plant, index, spec.map),
        }[spec.kind]()
        self._registers = [self.image.registers[name] for name in shown]
        self._points = list(shown.values())
        self._shown = [math.nan] * len(shown)
        self._revision = -1

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
        racks = self._plant.racks
        if name == "limit":
            racks.set_limit(self.index, value, now_s)
        elif name == "deadman":
            racks.set_deadman(self.index, value, now_s)
        else:
            racks.set_fallback(self.index, value, now_s)
        self._plant.revision += 1

    def set_absent(self, absent: bool) -> None:
        """All values "not available", or what the plant shows again."""
        self.absent = absent
        if absent:
            for register in self._registers:
                self.image.put_not_available(register)
        self._shown = [math.nan] * len(self._shown)
        self._revision = -1
