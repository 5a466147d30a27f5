"""GPU and ASIC racks with their power controllers: from a written limit to the power that is drawn.

A GPU rack follows its cap as a first-order lag after a dead time; the job on it wants a little more or less than it may
have. An ASIC rack puts whole miners to sleep within about half a second and wakes them over tens of seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Final

from rampd.drivers.sim.spec import RackSpec

FREE: Final = 0
LIMITED: Final = 1
FALLBACK: Final = 2

# A first-order lag has done 99 % after this many time constants.
_LAGS_TO_99: Final = math.log(100.0)
_UNIT_VARIANCE: Final = math.sqrt(12.0)
_FASTEST_S: Final = 0.1
_SLOWEST_S: Final = 2.0
# Below this distance (W) a lag has arrived.
_THERE_W: Final = 1.0


class Racks:
    """All racks of a hall as parallel lists; index = position in the spec.

    `power_w` is drawn now, `limit_w` the latched set point, `state` FREE, LIMITED or FALLBACK.
    """

    def __init__(self, specs: Sequence[RackSpec], seed: int) -> None:
        self.specs = tuple(specs)
        self.max_w = [spec.max_w for spec in specs]
        self.limit_w = list(self.max_w)
        self.fallback_w = [spec.fallback_w for spec in specs]
        self.deadman_s = [0.0] * len(specs)
        self.state = [FREE] * len(specs)
        self.stuck: set[int] = set()
        self._gpus = [i for i, spec in enumerate(specs) if spec.kind == "gpu"]
        self._asics = [i for i, spec in enumerate(specs) if spec.kind == "asic"]
        draws = [Random(f"{seed}:{spec.id}") for spec in specs]
        self._dead_up_s = [s.dead_up_s * r.uniform(0.7, 1.3) for s, r in zip(specs, draws, strict=True)]
        self._dead_down_s = [s.dead_down_s * r.uniform(0.7, 1.3) for s, r in zip(specs, draws, strict=True)]
        self._lag_up_s = [
            _lag(s.max_w / s.up_w_per_s * r.uniform(0.8, 1.25)) for s, r in zip(specs, draws, strict=True)
        ]
        self._lag_down_s = [
            _lag(s.max_w / s.down_w_per_s * r.uniform(0.8, 1.25)) for s, r in zip(specs, draws, strict=True)
        ]
        self._up_w_per_s = [s.up_w_per_s * r.uniform(0.9, 1.15) for s, r in zip(specs, draws, strict=True)]
        self._random: list[Callable[[], float]] = [r.random for r in draws]
        self._wander = [r.gauss(0.0, s.noise) for s, r in zip(specs, draws, strict=True)]
        self._goal_w = [self._goal(i, w) for i, w in enumerate(self.limit_w)]
        self._asked_w = list(self._goal_w)
        self._rise_s = [0.0] * len(self._goal_w)
        self._cap_w = list(self._goal_w)
        self._expires_s = [math.inf] * len(specs)
        self._due: list[tuple[float, int, int, float]] = []
        self._order = 0
        self._applied = [0] * len(specs)
        self._mean_w = [spec.max_w * spec.utilisation for spec in specs]
        self._jitter = [spec.jitter for spec in specs]
        self._prepare(_FASTEST_S)
        self.power_w = [0.0] * len(specs)
        self._step_gpus()
        self._step_asics()

    def set_limit(self, rack: int, limit_w: float, now_s: float) -> None:
        """Latches a limit; it acts after the rack's dead time. Arms the dead-man again."""
        self._latch(rack, limit_w, now_s)
        self.state[rack] = LIMITED if limit_w < self.max_w[rack] else FREE
        self._arm(rack, now_s)

    def set_deadman(self, rack: int, deadman_s: float, now_s: float) -> None:
        """Time without a write after which the rack falls back by itself; 0 = never. Arms it."""
        self.deadman_s[rack] = deadman_s
        self._arm(rack, now_s)

    def set_fallback(self, rack: int, fallback_w: float, now_s: float) -> None:
        """The limit that an expired dead-man latches. Arms it, as every write does."""
        self.fallback_w[rack] = fallback_w
        self._arm(rack, now_s)

    def deadman_left_s(self, rack: int, now_s: float) -> float:
        """Time until the rack falls back; 0 when no dead-man runs."""
        expires_s = self._expires_s[rack]
        return max(0.0, expires_s - now_s) if expires_s < math.inf else 0.0

    def power_on(self, rack: int, now_s: float) -> None:
        """What a restart of the controller leaves: no limit, no dead-man, the commissioned fallback."""
        self.fallback_w[rack] = self.specs[rack].fallback_w
        self.set_limit(rack, self.max_w[rack], now_s)
        self.set_deadman(rack, 0.0, now_s)

    def step(self, now_s: float, dt_s: float) -> None:
        """Moves every rack by `dt_s` up to `now_s`."""
        if dt_s != self._dt_s:
            self._prepare(dt_s)
        for rack, expires_s in enumerate(self._expires_s):
            if expires_s <= now_s:
                self._expires_s[rack] = math.inf
                self._latch(rack, self.fallback_w[rack], now_s)
                self.state[rack] = FALLBACK
        while self._due and self._due[0][0] <= now_s:
            _, order, rack, goal_w = heappop(self._due)
            # A fast down-command may overtake a slow up-command that was given before it.
            if order > self._applied[rack]:
                self._applied[rack] = order
                self._goal_w[rack] = goal_w
        held = {rack: self.power_w[rack] for rack in self.stuck}
        self._step_gpus()
        self._step_asics()
        for rack, power_w in held.items():
            self.power_w[rack] = power_w

    def _latch(self, rack: int, limit_w: float, now_s: float) -> None:
        self.limit_w[rack] = limit_w
        goal_w = self._goal(rack, limit_w)
        asked_w = self._asked_w[rack]
        if goal_w != asked_w:
            self._asked_w[rack] = goal_w
            self._order += 1
            if goal_w > asked_w:
                due_s = now_s + self._dead_up_s[rack]
                self._rise_s[rack] = due_s
            else:
                due_s = now_s + self._dead_down_s[rack]
                if goal_w > self._goal_w[rack]:
                    # Less of a rise that is on its way is still a rise.
                    due_s = max(due_s, self._rise_s[rack])
            heappush(self._due, (due_s, self._order, rack, goal_w))

    def _arm(self, rack: int, now_s: float) -> None:
        deadman_s = self.deadman_s[rack]
        self._expires_s[rack] = now_s + deadman_s if deadman_s > 0 else math.inf

    def _goal(self, rack: int, limit_w: float) -> float:
        """The power a limit leads to: nothing at 0, else at least the floor, whole miners in an ASIC rack."""
        spec = self.specs[rack]
        if limit_w <= 0:
            return 0.0
        goal_w = min(limit_w, spec.max_w)
        if spec.kind == "asic":
            quantum_w = spec.max_w / spec.miners
            goal_w = math.floor(goal_w / quantum_w + 1e-9) * quantum_w
        return max(goal_w, spec.min_w)

    def _prepare(self, dt_s: float) -> None:
        """What depends on the step length alone."""
        self._dt_s = dt_s
        self._up = [1.0 - math.exp(-dt_s / lag_s) for lag_s in self._lag_up_s]
        self._down = [1.0 - math.exp(-dt_s / lag_s) for lag_s in self._lag_down_s]
        self._rise_w = [slope * dt_s for slope in self._up_w_per_s]
        self._pull = [math.exp(-dt_s / spec.noise_s) for spec in self.specs]
        self._kick = [
            spec.noise * math.sqrt(1.0 - pull * pull) * _UNIT_VARIANCE
            for spec, pull in zip(self.specs, self._pull, strict=True)
        ]

    def _step_gpus(self) -> None:
        cap_w, goal_w, up, down, power_w = self._cap_w, self._goal_w, self._up, self._down, self.power_w
        wander, pull, kick, mean_w, want_w = self._wander, self._pull, self._kick, self._mean_w, self.max_w
        jitter, random = self._jitter, self._random
        for i in self._gpus:
            cap, goal = cap_w[i], goal_w[i]
            if cap != goal:
                cap += (goal - cap) * (up[i] if goal > cap else down[i])
                if -_THERE_W < goal - cap < _THERE_W:
                    cap = goal
                cap_w[i] = cap
            draw = random[i]
            wander[i] = x = wander[i] * pull[i] + kick[i] * (draw() - 0.5)
            demand = mean_w[i] + want_w[i] * x
            power_w[i] = (cap if cap < demand else demand) * (1.0 - jitter[i] * draw())

    def _step_asics(self) -> None:
        cap_w, goal_w, down, rise_w, power_w = self._cap_w, self._goal_w, self._down, self._rise_w, self.power_w
        jitter, random = self._jitter, self._random
        for i in self._asics:
            cap, goal = cap_w[i], goal_w[i]
            if cap != goal:
                cap = min(goal, cap + rise_w[i]) if goal > cap else cap + (goal - cap) * down[i]
                if -_THERE_W < goal - cap < _THERE_W:
                    cap = goal
                cap_w[i] = cap
            power_w[i] = cap * (1.0 - jitter[i] * random[i]())


def _lag(time_to_99_s: float) -> float:
    return min(_SLOWEST_S, max(_FASTEST_S, time_to_99_s)) / _LAGS_TO_99
