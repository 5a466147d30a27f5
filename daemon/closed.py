"""The compiled core and a plant in simulated time: what the daemon does, without sockets and without waiting.

Every device is read on its own phase of its period, set points reach their racks at once, and a rack that takes none
is called unresponsive after a while, as actuation does. Needs numpy (the extra `report`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from rampd.daemon import simulate
from rampd.daemon.config import Config
from rampd.daemon.site import compose
from rampd.drivers.sim.fleet import Fleet, Job, pointer
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop
from rampd.ext.tape import Tape

NS: Final = 1_000_000_000
START_S: Final = 1000.0
READS_PER_S: Final = 2
NOTICED_S: Final = 1.5


class Reading(NamedTuple):
    """What a device said: W, the time of its request, and a `codes.Quality`."""

    value_w: float
    at_ns: int
    quality: int = codes.GOOD


class ClosedLoop:
    """One hall. `poi_w`, `reference_w` hold a value a tick since the start; uncontrolled, set points do not change.

    `meter` makes a reading of what the meter shows and the time, None: no answer; `frozen` racks repeat their readings,
    `silent` ones are not read any more; a rack draws `over` times what it is told, beyond `base_w`.
    """

    def __init__(
        self, config: Config, seed: int = 1, *, jobs: tuple[Job, ...] = (), noise: float = 0.002,
        recorded: bool = False,
    ) -> None:  # fmt: skip
        self.config = config
        self.composed = compose(config)
        limits = self.composed.limits
        self.dt_s = 1.0 / config.control.hz
        order = {rack.id: i for i, rack in enumerate(config.racks)}
        spec = simulate.spec(config).plant
        racks = tuple(spec.racks[order[rack.id]] for rack in self.composed.racks)
        self.fleet = Fleet(
            type(spec)(racks, spec.nodes, spec.loops, spec.import_limit_w, spec.losses, spec.nominal_hz, 0.1), seed,
            dt_s=self.dt_s, jobs=jobs, noise=noise,
        )  # fmt: skip
        self.wall = InputWall(limits)
        self.recorded = recorded
        self.inputs, self.limits = views.inputs(self.wall), views.limits(limits)
        count, slots = len(racks), self.composed.slots
        self.count = count
        self.value = pointer(self.inputs.value, slots)
        self.at_ns = pointer(self.inputs.at_ns, slots)
        self.quality = pointer(self.inputs.quality, slots)
        self.state = pointer(self.inputs.rack_state, count)
        self.power_slot = np.array([self.limits.power_slot[i] for i in range(count)])
        self.limit_slot = np.array([self.limits.limit_slot[i] for i in range(count)])
        self.setpoint_w = self.fleet.max_w.copy()
        self.silent = np.zeros(count, dtype=bool)
        self.over = np.ones(count)
        self.base_w = np.zeros(count)
        self.tick = 0
        self.hz: Callable[[float], float] = lambda _: float(config.site.nominal_hz)
        self.meter: Callable[[float, int], Reading | None] = Reading
        self.frozen = np.zeros(count, dtype=bool)
        self.poi_w: list[float] = []
        self.reference_w: list[float] = []
        self.controlled = True
        self.restart()

    def restart(self) -> None:
        """The core starts anew, with nothing read and nothing remembered; plant, set points and command stay."""
        limits = self.composed.limits
        self.out, self.memory = OutputWall(limits), Memory(limits)
        self.tape = Tape(limits, self.wall, self.memory) if self.recorded else None
        self.loop = Loop(limits, self.wall, self.out, self.memory, -1, self.tape)
        self.quality[:] = codes.NEVER
        self.state[:] = codes.AVAILABLE
        self.asked_at = np.full(self.count, -1)
        self._views: dict[int, Any] = {}

    @property
    def now_s(self) -> float:
        """Simulated time since the start."""
        return self.tick * self.dt_s

    def run(self, seconds: float) -> views.Outputs:
        """So many seconds; the newest snapshot."""
        for _ in range(round(seconds / self.dt_s)):
            self._tick()
        return views.outputs(self.out)

    def _tick(self) -> None:
        self.tick += 1
        self.fleet.step(self.base_w + (self.setpoint_w - self.base_w) * self.over)
        now_ns = round((START_S + self.now_s) * NS)
        self._read(now_ns)
        self.wall.publish(now_ns)
        if not self.loop.tick_at(now_ns):
            raise RuntimeError(f"the core refused the tick at {self.now_s:.2f} s")
        address = self.out.latch()
        found = self._views.get(address)
        if found is None:
            out = views.Outputs.from_address(address)
            found = self._views[address] = (
                out, pointer(out.setpoint_w, self.count), pointer(out.active, self.count).view(bool)
            )  # fmt: skip
        out, setpoint_w, active = found
        if self.controlled:
            self._act(setpoint_w, active)
        self.poi_w.append(self.fleet.poi_w)
        self.reference_w.append(out.reference_w)

    def _read(self, now_ns: int) -> None:
        fleet, site = self.fleet, self.limits.site
        every = max(1, round(self.config.control.hz / READS_PER_S))
        part = np.arange(self.tick % every, self.count, every)
        part = part[~self.silent[part]]
        power, limit = self.power_slot[part], self.limit_slot[part]
        self.value[power] = np.where(self.frozen[part], self.value[power], fleet.power_w[part])
        self.value[limit] = self.setpoint_w[part]
        for slots in (power, limit):
            self.at_ns[slots] = now_ns
            self.quality[slots] = codes.GOOD
        if self.tick % 2 == 0 or self.config.control.hz < READS_PER_S:
            if (reading := self.meter(fleet.meter_w, now_ns)) is not None:
                self._put(site.power_slot, *reading)
            if site.frequency_slot >= 0:
                self._put(site.frequency_slot, self.hz(self.now_s), now_ns)
        if (self.tick - 1) % round(self.config.control.hz) == 0:
            for k, loop in enumerate(fleet.loops):
                self._put(self.limits.supply_slot[k], loop.supply_c, now_ns)
                self._put(self.limits.flow_slot[k], loop.flow_lpm, now_ns)

    def _put(self, slot: int, value: float, at_ns: int, quality: int = codes.GOOD) -> None:
        self.value[slot] = value
        self.at_ns[slot] = at_ns
        self.quality[slot] = quality

    def _act(self, setpoint_w: Any, active: Any) -> None:
        """Hands the set points over; dead racks are noticed once one was asked to move."""
        fleet = self.fleet
        if fleet.dead.any():
            asked = fleet.dead & active & (setpoint_w != self.setpoint_w) & (self.asked_at < 0)
            self.asked_at[asked] = self.tick
            late = fleet.dead & (self.asked_at >= 0) & ((self.tick - self.asked_at) * self.dt_s >= NOTICED_S)
            self.state[late] = codes.UNRESPONSIVE
            active = active & ~fleet.dead
        self.setpoint_w = np.where(active, setpoint_w, self.setpoint_w)

    def command(
        self, target_w: float, *, ramp_s: float = 0.0, lease_s: float = 900.0, verb: int = codes.TRACK,
        envelope: int = codes.DISPATCHED,
    ) -> None:  # fmt: skip
        """A new command, under the next number."""
        command = self.inputs.command
        command.seq += 1
        command.verb = verb
        command.envelope = envelope
        command.expires_ns = round((START_S + self.now_s + lease_s) * NS)
        command.target_w = target_w
        command.ramp_s = ramp_s
        command.rate_w_per_s = 0.0

    def signal(self, power_w: float, lease_s: float) -> None:
        """A regulation signal on a channel that lives: so much beside the command's target."""
        command = self.inputs.command
        command.regulation_seq += 1
        command.regulation_after = codes.AFTER_BACK
        command.regulation_w = power_w
        command.regulation_ns = round((START_S + self.now_s + lease_s) * NS)

    def vetoes(self) -> int:
        """What the guard withheld so far."""
        counts = views.outputs(self.out).vetoes
        return sum(counts[k] for k in range(codes.VETOES))
