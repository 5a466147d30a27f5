"""Faults in time: each begins at its moment on its devices, acts while it lasts, and leaves them sound again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from rampd.drivers.sim import faults
from rampd.drivers.sim.breakable import Breakable, Where
from rampd.drivers.sim.faults import Fault, FaultError, Humid, PumpFail, SecondWriter, WritesReverted
from rampd.drivers.sim.plant import Plant


class Injection:
    """One fault on one device."""

    def __init__(self, fault: Fault, device: Breakable, where: Where, plant: Plant, seed: int) -> None:
        self.fault = fault
        self.device = device
        self.begin_s = fault.at_s
        self.end_s = math.inf if fault.for_s is None else fault.at_s + fault.for_s
        self._where = where
        self._plant = plant
        self._seed = seed
        self._begun_s = self._next_s = 0.0

    def excludes(self, other: Injection) -> bool:
        """Whether both would hold the same part of the same device at once."""
        both_wire = self.fault.kind in faults.ON_THE_WIRE and other.fault.kind in faults.ON_THE_WIRE
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
                self._where.take_down(self)
            case "half_open":
                self._where.deafen(self)
            case "frozen":
                device.freeze(True)
            case "sentinel":
                device.set_absent(True)
            case "writes_ignored":
                device.writes = "dropped"
            case "stuck":
                self._plant.racks.stuck.add(device.place)
            case "pump_fail":
                assert isinstance(self.fault, PumpFail)
                self._plant.loops[device.place].pumps = self.fault.share
            case "humid":
                assert isinstance(self.fault, Humid)
                self._plant.loops[device.place].dew_point_c = self.fault.dew_point_c
            case _:
                device.break_wire(self.fault, self._seed)
        if self.fault.kind == "reboot":
            device.power_on(now_s)

    def tick(self, now_s: float) -> None:
        """What an active fault does by itself."""
        device = self.device
        match self.fault:
            case SecondWriter(value_w=value_w, revert_s=revert_s) if now_s >= self._next_s:
                self._next_s = now_s + revert_s
                device.set_limit(value_w, now_s)
            case WritesReverted(revert_s=revert_s) if self._begun_s <= device.written_s <= now_s - revert_s:
                if device.limit_w != device.max_w:
                    device.set_limit(device.max_w, now_s)

    def end(self, reopen: Callable[[Where], None]) -> None:
        """Mends the device."""
        device = self.device
        match self.fault.kind:
            case "down" | "reboot":
                if self._where.bring_up(self):
                    reopen(self._where)
            case "half_open":
                self._where.hear(self)
            case "frozen":
                device.freeze(False)
            case "sentinel":
                device.set_absent(False)
            case "writes_ignored":
                device.writes = "done"
            case "stuck":
                self._plant.racks.stuck.discard(device.place)
            case "pump_fail":
                self._plant.loops[device.place].pumps = 1.0
            case "humid":
                cooling = self._plant.loops[device.place]
                cooling.dew_point_c = cooling.spec.dew_point_c
            case _:
                device.mend_wire()


class Schedule:
    """All injections of a hall, begun and ended by the plant's tick."""

    def __init__(self, injections: Sequence[Injection]) -> None:
        self._waiting = sorted(injections, key=lambda injection: injection.begin_s)
        self._active: list[Injection] = []

    def tick(self, since_start_s: float, now_s: float, reopen: Callable[[Where], None]) -> None:
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


def schedule(wanted: Sequence[Fault], devices: Sequence[tuple[Breakable, Where]], plant: Plant, seed: int) -> Schedule:
    """Injections for every device that each fault names.

    Raises FaultError when a fault names no device, or two that exclude each other meet on one.
    """
    known = [(device.id, device.kind) for device, _ in devices]
    by_id = {device.id: (device, where) for device, where in devices}
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
