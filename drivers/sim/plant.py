"""The hall's physics in one object: racks, the electrical tree, cooling, losses, grid frequency and the meter.

No I/O and no clock: time is an argument. Equal spec, seed and calls give equal values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Final

from rampd.drivers.sim.cooling import Loop
from rampd.drivers.sim.racks import Racks
from rampd.drivers.sim.spec import PlantSpec, SimError

_FREQUENCY_SD_HZ: Final = 0.015
_FREQUENCY_BOUND_HZ: Final = 0.05
_FREQUENCY_S: Final = 20.0


class Plant:
    """A hall in steady state at full load, `limit_w` of every rack at its maximum.

    `poi_w` is drawn at the point of interconnection now, `meter_w` and `meter_hz` what the meter shows: the mean and
    the frequency of its last refresh interval. `node_w` runs along the spec's nodes, `loops` along its loops;
    `other_w` is what draws at each node beside its racks, nothing until it is set.
    `revision` counts whatever may have changed a value. Raises SimError when racks, nodes and loops do not fit.
    """

    def __init__(self, spec: PlantSpec, seed: int) -> None:
        self.spec = spec
        self.racks = Racks(spec.racks, seed)
        self.node_w = [0.0] * len(spec.nodes)
        self.other_w = [0.0] * len(spec.nodes)
        self.now_s = 0.0
        self.revision = 0
        self.energy_wh = 0.0
        self._random = Random(f"{seed}:grid")
        self._node_racks, self._upwards = _tree(spec)
        self._loop_racks = _members([rack.loop for rack in spec.racks], [loop.id for loop in spec.loops], "loop")
        power_w = self.racks.power_w
        self.loops = [
            Loop(loop, sum([power_w[i] for i in members]))
            for loop, members in zip(spec.loops, self._loop_racks, strict=True)
        ]
        self.frequency_hz = spec.nominal_hz
        self._sum_up()
        self.meter_w = self.poi_w
        self.meter_hz = self.frequency_hz
        self._metered_j = 0.0
        self._metered_s = 0.0

    def set_limit(self, rack: int, limit_w: float, now_s: float) -> None:
        """Writes the limit of a rack, by its place in the spec."""
        self.racks.set_limit(rack, limit_w, now_s)
        self.revision += 1

    def start(self, now_s: float) -> None:
        """Sets the clock without moving anything; the first step counts from here."""
        self.now_s = now_s

    def step(self, now_s: float) -> None:
        """Moves the hall to `now_s`, in one step."""
        # Rounded, so that a fixed rate has one step length for the factors that depend on it.
        dt_s = round(now_s - self.now_s, 6)
        if dt_s <= 0:
            return
        self.now_s = now_s
        self.revision += 1
        self.racks.step(now_s, dt_s)
        power_w = self.racks.power_w
        for loop, members in zip(self.loops, self._loop_racks, strict=True):
            loop.step(sum([power_w[i] for i in members]), dt_s)
        self._step_frequency(dt_s)
        self._sum_up()
        self._step_meter(dt_s)

    def _sum_up(self) -> None:
        power_w, node_w = self.racks.power_w, self.node_w
        for node, members in enumerate(self._node_racks):
            node_w[node] = self.other_w[node] + sum([power_w[i] for i in members])
        for node, parent in self._upwards:
            node_w[parent] += node_w[node]
        self.it_w = sum(power_w)
        self.cooling_w = sum([loop.power_w for loop in self.loops])
        self.losses_w = self.it_w * self.spec.losses
        self.poi_w = self.it_w + self.cooling_w + self.losses_w + sum(self.other_w)

    def _step_frequency(self, dt_s: float) -> None:
        away = self.frequency_hz - self.spec.nominal_hz
        pull = math.exp(-dt_s / _FREQUENCY_S)
        away = away * pull + self._random.gauss(0.0, _FREQUENCY_SD_HZ) * math.sqrt(1.0 - pull * pull)
        self.frequency_hz = self.spec.nominal_hz + min(_FREQUENCY_BOUND_HZ, max(-_FREQUENCY_BOUND_HZ, away))

    def _step_meter(self, dt_s: float) -> None:
        self._metered_j += self.poi_w * dt_s
        self._metered_s += dt_s
        self.energy_wh += self.poi_w * dt_s / 3600.0
        if self._metered_s >= self.spec.meter_refresh_s - 1e-6:
            self.meter_w = self._metered_j / self._metered_s
            self.meter_hz = self.frequency_hz
            self._metered_j = self._metered_s = 0.0


def _members(names: Sequence[str], groups: Sequence[str], what: str) -> list[tuple[int, ...]]:
    """Which racks belong to each group."""
    found: dict[str, list[int]] = {group: [] for group in groups}
    for i, name in enumerate(names):
        if name not in found:
            raise SimError(f"a rack is on {what} {name!r}, which the hall does not have: name one of its {what}s")
        found[name].append(i)
    return [tuple(members) for members in found.values()]


def _tree(spec: PlantSpec) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
    """Racks directly at each node, and (node, parent) pairs ordered so that every node comes before its parent."""
    index = {node.id: i for i, node in enumerate(spec.nodes)}
    parents = {node.id: node.parent for node in spec.nodes}

    def depth(name: str) -> int:
        steps = 0
        while parents[name]:
            name, steps = parents[name], steps + 1
            if name not in parents or steps > len(parents):
                raise SimError(f"the tree does not end in a root above node {name!r}: check its parents")
        return steps

    deepest_first = sorted(parents, key=depth, reverse=True)
    upwards = [(index[name], index[parents[name]]) for name in deepest_first if parents[name]]
    return _members([rack.node for rack in spec.racks], list(index), "node"), upwards
