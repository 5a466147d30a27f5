"""Faults in time: each begins at its moment on its devices, acts while it lasts, and leaves them sound again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from rampd.drivers.sim import faults, wire
from rampd.drivers.sim.device import Device
from rampd.drivers.sim.faults import Fault, FaultError, PumpFail, SecondWriter, WritesReverted
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.server import Endpoint


class Injection:
    """One fault on one device."""

    def __init__(self, fault: Fault, device: Device, endpoint: Endpoint, plant: Plant, seed: int) -> None:
        self.fault = fault
        self.device = device
        self.begin_s = fault.at_s
        self.end_s = math.inf if fault.for_s is None else fault.at_s + fault.for_s
        self._endpoint = endpoint
        self._plant = plant
        self._trouble = wire.trouble(fault, seed)
        self._begun_s = self._next_s = 0.0

    def excludes(self, other: Injection) -> bool:
        """Whether both would hold the same part of the same device at once."""
        both_wire = self._trouble is not None and other._trouble is not None
        return (
            self.device is other.device
            and (both_wire or self.fault.kind == other.fault.kind)
            and self.begin_s < other.end_s
            and other.begin_s < self.end_s
        )

    def begin(self, now_s: float) -> None:
        """Breaks the device."""
        self._begun_s = self._next_s = now_s
        device = self.device
        match self.fault.kind:
            case "down" | "reboot":
                self._endpoint.take_down(self)
            case "half_open":
                self._endpoint.deafen(self)
            case "frozen":
                device.refresh()
                device.frozen = True
            case "sentinel":
                device.set_absent(True)
            case "writes_ignored":
                device.writes = "dropped"
            case "stuck":
                self._plant.racks.stuck.add(device.index)
            case "pump_fail":
                assert isinstance(self.fault, PumpFail)
                self._plant.loops[device.index].pumps = self.fault.share
        if self._trouble is not None:
            device.unit.trouble = self._trouble
        if self.fault.kind == "reboot" and device.spec.kind == "rack":
            device.power_on(now_s)

    def tick(self, now_s: float) -> None:
        """What an active fault does by itself."""
        racks = self._plant.racks
        rack = self.device.index
        match self.fault:
            case SecondWriter(value_w=value_w, revert_s=revert_s) if now_s >= self._next_s:
                self._next_s = now_s + revert_s
                racks.set_limit(rack, value_w, now_s)
                self._plant.revision += 1
            case WritesReverted(revert_s=revert_s) if self._begun_s <= self.device.written_s <= now_s - revert_s:
                if racks.limit_w[rack] != racks.max_w[rack]:
                    racks.set_limit(rack, racks.max_w[rack], now_s)
                    self._plant.revision += 1

    def end(self, reopen: Callable[[Endpoint], None]) -> None:
        """Mends the device."""
        device = self.device
        match self.fault.kind:
            case "down" | "reboot":
                if self._endpoint.bring_up(self):
                    reopen(self._endpoint)
            case "half_open":
                self._endpoint.hear(self)
            case "frozen":
                device.frozen = False
            case "sentinel":
                device.set_absent(False)
            case "writes_ignored":
                device.writes = "done"
            case "stuck":
                self._plant.racks.stuck.discard(device.index)
            case "pump_fail":
                self._plant.loops[device.index].pumps = 1.0
        if self._trouble is not None:
            device.unit.trouble = None


class Schedule:
    """All injections of a hall, begun and ended by the plant's tick."""

    def __init__(self, injections: Sequence[Injection]) -> None:
        self._waiting = sorted(injections, key=lambda injection: injection.begin_s)
        self._active: list[Injection] = []

    def tick(self, since_start_s: float, now_s: float, reopen: Callable[[Endpoint], None]) -> None:
        """Begins and ends what is due, and lets the rest act."""
        for injection in [one for one in self._active if one.end_s <= since_start_s]:
            injection.end(reopen)
            self._active.remove(injection)
        while self._waiting and self._waiting[0].begin_s <= since_start_s:
            injection = self._waiting.pop(0)
            injection.begin(now_s)
            self._active.append(injection)
        for injection in self._active:
            injection.tick(now_s)


def schedule(wanted: Sequence[Fault], devices: Sequence[tuple[Device, Endpoint]], plant: Plant, seed: int) -> Schedule:
    """Injections for every device that each fault names.

    Raises FaultError when a fault names no device, or two that exclude each other meet on one.
    """
    known = [(device.spec.id, device.spec.kind) for device, _ in devices]
    by_id = {device.spec.id: (device, endpoint) for device, endpoint in devices}
    found: list[Injection] = []
    for number, fault in enumerate(wanted, 1):
        for name in faults.matching(fault, number, known):
            draw = Random(f"{seed}:{number}:{name}").getrandbits(32)
            injection = Injection(fault, *by_id[name], plant, draw)
            for other in found:
                if other.excludes(injection):
                    times = f"from {max(other.begin_s, injection.begin_s):g} s"
                    remedy = "let one end before the other begins"
                    raise FaultError(
                        f"fault {number}: {other.fault.kind} and {fault.kind} both on {name} {times}: {remedy}"
                    )
            found.append(injection)
    return Schedule(found)
