"""The simulated hall: one plant, a server for every device, faults in time, all on one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rampd.drivers.sim import inject
from rampd.drivers.sim.breakable import Breakable, Where
from rampd.drivers.sim.device import Device
from rampd.drivers.sim.faults import Fault
from rampd.drivers.sim.member_device import MemberDevice
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.server import Endpoint
from rampd.drivers.sim.spec import HallSpec, SimError
from rampd.drivers.sim.truth import Truth

TICK_S: Final = 0.025


class SimHall:
    """A hall that listens between `start` and `stop`, and moves while it runs.

    The plant has absolute deadlines `tick_s` apart; a missed one is skipped and counted in `skipped`. `truth` is a
    file that gets what truly happened. `endpoints` maps (host, port) of the spec to the listening servers.
    """

    def __init__(
        self,
        spec: HallSpec,
        *,
        seed: int = 1,
        faults: Sequence[Fault] = (),
        truth: Path | None = None,
        tick_s: float = TICK_S,
    ) -> None:
        self.spec = spec
        self.plant = Plant(spec.plant, seed)
        self.ticks = 0
        self.skipped = 0
        self.endpoints: dict[tuple[str, int], Endpoint] = {}
        self.devices: dict[str, Device] = {}
        self._tick_s = tick_s
        self._truth = truth
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: SimError | None = None
        places = {
            "rack": {rack.id: i for i, rack in enumerate(spec.plant.racks)},
            "pdu": {node.id: i for i, node in enumerate(spec.plant.nodes)},
            "cdu": {loop.id: i for i, loop in enumerate(spec.plant.loops)},
        }
        pairs: list[tuple[Breakable, Where]] = []
        for one in spec.devices:
            endpoint = self.endpoints.setdefault((one.host, one.port), Endpoint(one.host, one.port))
            device = Device(one, self.plant, places[one.kind][one.id] if one.kind in places else 0)
            endpoint.units[one.unit] = device.unit
            self.devices[one.id] = device
            pairs.append((device, endpoint))
        self.members = _members(spec, self.plant, places["rack"])
        pairs += [(member, member.gate) for member in self.members]
        self._schedule = inject.schedule(faults, pairs, self.plant, seed)

    @property
    def clamped(self) -> int:
        """Values that did not fit the register they are shown in."""
        return sum(device.image.clamped for device in self.devices.values())

    async def start(self) -> None:
        """Opens every listener, or none: raises SimError with the address and the remedy."""
        try:
            for endpoint in self.endpoints.values():
                await endpoint.open()
            for member in self.members:
                await member.gate.open()
        except SimError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes every listener and connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for endpoint in self.endpoints.values():
            endpoint.close()
        for member in self.members:
            await member.gate.stop()
        # One turn of the loop lets the aborted connections say so to their sessions.
        await asyncio.sleep(0)

    async def run(self, stop_event: asyncio.Event) -> None:
        """Moves the plant until the event is set. Raises SimError when a device cannot come back after a fault."""
        if self._truth is None:
            await self._run(stop_event, None)
        else:
            with Truth(self._truth, self.plant) as truth:
                await self._run(stop_event, truth)

    async def _run(self, stop_event: asyncio.Event, truth: Truth | None) -> None:
        stopped = asyncio.ensure_future(stop_event.wait())
        start_s = time.monotonic()
        self.plant.start(start_s)
        turn = 0
        try:
            while not stopped.done():
                turn += 1
                late_s = time.monotonic() - (start_s + turn * self._tick_s)
                if late_s >= self._tick_s:
                    missed = int(late_s / self._tick_s)
                    turn += missed
                    self.skipped += missed
                due_s = start_s + turn * self._tick_s
                await asyncio.wait((stopped,), timeout=max(0.0, due_s - time.monotonic()))
                self._tick(due_s, due_s - start_s, truth)
                if self._lost is not None:
                    raise self._lost
        finally:
            stopped.cancel()

    def _tick(self, now_s: float, since_start_s: float, truth: Truth | None) -> None:
        self.ticks += 1
        self._schedule.tick(since_start_s, now_s, self._reopen)
        self.plant.step(now_s)
        if truth is not None:
            truth.tick(now_s, self.skipped)

    def _reopen(self, where: Where) -> None:
        async def reopen() -> None:
            try:
                await where.open()
            except SimError as error:
                self._lost = error

        task = asyncio.get_running_loop().create_task(reopen())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _members(spec: HallSpec, plant: Plant, racks: dict[str, int]) -> list[MemberDevice]:
    """All members; those of a rack know each other, for its limit is their sum."""
    found = [MemberDevice(one, plant, racks[one.rack]) for one in spec.members]
    for device in found:
        device.member.siblings = [other.member for other in found if other.place == device.place]
    return found
