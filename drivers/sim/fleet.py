"""A hall's racks, cooling and meter as arrays: the plant of `rampd qualify`, where a day passes in minutes.

A set point acts after the rack's dead time, linearly at its slope; power = min(cap, demand). Miners go to whole steps.
Training jobs swing the demand of their racks between computing and exchanging. Needs numpy (the extra `report`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rampd.drivers.sim.cooling import Loop
from rampd.drivers.sim.spec import PlantSpec

Floats = NDArray[np.float64]
# The share of a job's peak that it draws while its racks wait for each other.
EXCHANGE: Final = 0.3
_COOLING_S: Final = 1.0
_EDGE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """A training job on some racks: computes for `duty` of each period, stands still between crash and resumption."""

    racks: tuple[int, ...]
    period_s: float
    duty: float = 0.7
    phase: float = 0.0
    crash_s: float = math.inf
    resume_s: float = math.inf


class Fleet:
    """The hall in steady state at full load. `poi_w` is drawn now, `meter_w` what the meter shows.

    `dead` marks racks that take no set point and stay where they are; `other_w` is drawn beside racks and cooling.
    Equal arguments and seed give equal values.
    """

    def __init__(self, spec: PlantSpec, seed: int, *, dt_s: float, jobs: tuple[Job, ...] = (), noise: float = 0.002,
                 scatter: bool = True) -> None:  # fmt: skip
        self.spec, self.jobs, self.dt_s, self.noise = spec, jobs, dt_s, noise
        random = np.random.default_rng(seed)
        racks = spec.racks
        count = len(racks)
        self.min_w = np.array([rack.min_w for rack in racks])
        self.max_w = np.array([rack.max_w for rack in racks])
        self.quantum_w = np.array([rack.max_w / rack.miners if rack.kind == "asic" else 0.0 for rack in racks])
        off = 0.1 if scatter else 0.0
        self.up_w = np.array([rack.up_w_per_s for rack in racks]) * dt_s * random.uniform(1 - off, 1 + off, count)
        self.down_w = np.array([rack.down_w_per_s for rack in racks]) * dt_s * random.uniform(1 - off, 1 + off, count)
        self.dead_up = self._ticks([rack.dead_up_s for rack in racks], random, off)
        self.dead_down = self._ticks([rack.dead_down_s for rack in racks], random, off)
        self.gpu = np.array([rack.kind == "gpu" for rack in racks])
        self.demand_w = np.where(self.gpu, 1.02 * self.max_w, self.max_w)
        self.wander = np.zeros(count)
        self.dead = np.zeros(count, dtype=bool)
        self.past_w = np.tile(self.max_w, (int(max(self.dead_up.max(), self.dead_down.max())) + 2, 1))
        self.acting_w = self.max_w.copy()
        self.cap_w = self.max_w.copy()
        self.power_w = self.max_w.copy()
        self.random = random
        self.every = np.arange(count)
        loops = {loop.id: k for k, loop in enumerate(spec.loops)}
        self.loop_of = np.array([loops[rack.loop] for rack in racks])
        heat_w = np.bincount(self.loop_of, self.power_w, len(spec.loops))
        self.loops = [Loop(loop, float(heat)) for loop, heat in zip(spec.loops, heat_w, strict=True)]
        self.jobs_at = [np.array(job.racks, dtype=int) for job in jobs]
        self.tick = 0
        self.cooling_w = sum(loop.power_w for loop in self.loops)
        self.other_w = 0.0
        self.poi_w = self.meter_w = 0.0
        self._metered_j = self._metered_s = 0.0
        self._sum_up()
        self.meter_w = self.poi_w

    def _ticks(self, seconds: list[float], random: np.random.Generator, off: float) -> NDArray[np.int64]:
        true_s = np.array(seconds) * random.uniform(1 - off, 1 + off, len(seconds))
        return np.maximum(1, np.round(true_s / self.dt_s)).astype(np.int64)

    def _acting(self) -> Floats:
        """The set points that act: the farthest in the quicker direction of all between the two dead times.

        A slow rise that a faster fall has overtaken does not come, and none arrives before its own dead time.
        """
        rows = len(self.past_w)
        quick = np.where(self.dead_down <= self.dead_up, 1.0, -1.0)
        far = np.maximum(self.dead_up, self.dead_down)
        span = np.abs(self.dead_up - self.dead_down)
        newest_w = self.past_w[(self.tick - far + span) % rows, self.every]
        oldest_w = self.past_w[(self.tick - far) % rows, self.every]
        left_w = self.past_w[(self.tick - far - 1) % rows, self.every]
        self.acting_w = quick * np.minimum(quick * self.acting_w, quick * newest_w)
        # Where a way back arrives, all that came after it counts.
        back = np.nonzero(quick * oldest_w > quick * left_w)[0]
        if len(back):
            later = np.minimum(np.arange(int(span.max()) + 1), span[back, None])
            window_w = self.past_w[(self.tick - far[back, None] + later) % rows, back[:, None]]
            self.acting_w[back] = quick[back] * (quick[back, None] * window_w).min(axis=1)
        return self.acting_w

    def step(self, setpoint_w: Floats) -> None:
        """One tick: the set points are given now and act when their dead time has passed."""
        self.tick += 1
        rows = len(self.past_w)
        self.past_w[self.tick % rows] = setpoint_w
        goal_w = self._acting()
        whole_w = np.floor(goal_w / np.where(self.quantum_w > 0.0, self.quantum_w, 1.0) + 1e-6) * self.quantum_w
        goal_w = np.where(self.quantum_w > 0.0, whole_w, goal_w)
        goal_w = np.where(goal_w <= 0.0, 0.0, np.clip(goal_w, self.min_w, self.max_w))
        moved_w = np.clip(goal_w - self.cap_w, -self.down_w, self.up_w)
        self.cap_w = np.where(self.dead, self.cap_w, self.cap_w + moved_w)
        self.wander += self.dt_s / 5.0 * -self.wander
        self.wander += self.noise * math.sqrt(2 * self.dt_s / 5.0) * self.random.standard_normal(len(self.wander))
        demand_w = self._demand() * (1.0 + np.where(self.gpu, self.wander, 0.0))
        self.power_w = np.minimum(self.cap_w, demand_w)
        if self.tick % round(_COOLING_S / self.dt_s) == 0:
            heat_w = np.bincount(self.loop_of, self.power_w, len(self.loops))
            for loop, heat in zip(self.loops, heat_w, strict=True):
                loop.step(float(heat), _COOLING_S)
            self.cooling_w = sum(loop.power_w for loop in self.loops)
        self._sum_up()
        self._metered_j += self.poi_w * self.dt_s
        self._metered_s += self.dt_s
        if self._metered_s >= self.spec.meter_refresh_s - 1e-6:
            self.meter_w = self._metered_j / self._metered_s
            self._metered_j = self._metered_s = 0.0

    def _demand(self) -> Floats:
        """Demand of every rack now; jobs change from one level to the other within a quarter of a second."""
        if not self.jobs:
            return self.demand_w
        demand_w = self.demand_w.copy()
        now_s = self.tick * self.dt_s
        for job, racks in zip(self.jobs, self.jobs_at, strict=True):
            at_s = (now_s / job.period_s + job.phase) % 1.0 * job.period_s
            busy = min(1.0, at_s / _EDGE_S) if at_s < job.duty * job.period_s else max(
                0.0, 1.0 - (at_s - job.duty * job.period_s) / _EDGE_S
            )  # fmt: skip
            part = EXCHANGE + (1.0 - EXCHANGE) * busy
            if job.crash_s <= now_s < job.resume_s:
                part = 0.1
            demand_w[racks] *= part
        return demand_w

    def _sum_up(self) -> None:
        it_w = float(self.power_w.sum())
        self.poi_w = it_w * (1.0 + self.spec.losses) + self.cooling_w + self.other_w


def pointer(array: Any, count: int) -> Any:
    """A C array as numpy sees it, without a copy."""
    return np.ctypeslib.as_array(array, shape=(count,))
