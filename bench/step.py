"""Cost of a tick, step and guard, on 10,000 racks, 400 nodes, 8 tiers, half of the racks in steps; and how it grows.

The hall follows ramps up and down all the time. Beside it the same arithmetic is done by vectorised numpy, in the same
run and on the same image. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from vectorised import Tick  # noqa: E402

from rampd.drivers.sim.fleet import pointer  # noqa: E402
from rampd.ext import codes, views  # noqa: E402
from tests.core import Cooling, Node, Rack, World, world  # noqa: E402

TIERS = 8
NS = 1_000_000_000
WARM = 40
TURNS = 15
COLD = 4


def hall(racks: int, nodes: int) -> World:
    """A main, feeders of 39 PDUs, and every other rack in steps."""
    random = Random(racks)
    parents = [-1]
    while len(parents) < nodes:
        feeder = len(parents)
        parents += [0, *[feeder] * min(39, nodes - feeder - 1)]
    leaves = [v for v, parent in enumerate(parents) if parent > 0]
    made = [
        Rack(
            min_w=0.0, max_w=109e3, node=leaves[i * len(leaves) // racks], loop=i % max(1, racks // 30),
            tier=random.randrange(TIERS), quantum_w=109e3 / 32, up_w_per_s=5.5e3, down_w_per_s=218e3, dead_up_s=1.0,
            dead_down_s=0.1,
        )
        if i % 2
        else Rack(
            min_w=40e3, max_w=132e3, node=leaves[i * len(leaves) // racks], loop=i % max(1, racks // 30),
            tier=random.randrange(TIERS), up_w_per_s=200e3, down_w_per_s=200e3, dead_up_s=0.2, dead_down_s=0.2,
        )
        for i in range(racks)
    ]  # fmt: skip
    most_w = [0.0] * nodes
    for rack in made:
        most_w[rack.node] += rack.max_w
    for v in range(nodes - 1, 0, -1):
        most_w[parents[v]] += most_w[v]
    tree = [
        Node(most_w[v] * (1.1 if v == 0 else random.choice([0.8, 0.9, 1.1, 1.2])), parents[v]) for v in range(nodes)
    ]
    return world(
        made, tree, [Cooling()] * max(1, racks // 30), phases=10, max_w=most_w[0], import_w=1.1 * most_w[0],
        default_w=most_w[0], dispatched_up=0.1 * most_w[0], dispatched_down=0.1 * most_w[0],
        normal_up=0.001 * most_w[0], normal_down=0.001 * most_w[0],
    )  # fmt: skip


class Image:
    """The plant of the benchmark: every rack draws what the model says; a tenth of the readings are new each tick."""

    def __init__(self, made: World) -> None:
        self.made = made
        limits, count, slots = made.limits, made.limits.site.racks, made.limits.site.slots
        self.value = pointer(made.inputs.value, slots)
        self.at_ns = pointer(made.inputs.at_ns, slots)
        self.power = np.array([limits.power_slot[i] for i in range(count)])
        self.limit = np.array([limits.limit_slot[i] for i in range(count)])
        self.drawn_w = pointer(made.state.power_w, count)
        self.applied_w = pointer(made.state.applied_w, count)
        self.loops = np.arange(1 + 2 * count, slots)
        # The hall is found at half its power, within every limit.
        step_w = pointer(limits.quantum_w, count)
        half_w = 0.5 * pointer(limits.max_w, count)
        self.value[self.power] = np.where(step_w > 0.0, np.round(half_w / np.maximum(step_w, 1.0)) * step_w, half_w)
        self.value[self.limit] = self.value[self.power]

    def next(self, tick: int) -> None:
        made = self.made
        made.now_s += 0.05
        now_ns = made.now_ns
        if tick > 0:
            part = slice(tick % 10, None, 10)
            self.value[self.power[part]] = self.drawn_w[part]
            self.value[self.limit[part]] = self.applied_w[part]
            self.at_ns[self.power[part]] = self.at_ns[self.limit[part]] = now_ns
        self.value[0] = self.drawn_w.sum() if tick > 0 else self.value[self.power].sum()
        self.at_ns[0] = now_ns
        self.at_ns[self.loops] = now_ns
        if tick % 150 == WARM // 2:
            down = tick // 150 % 2 == 0
            made.command(codes.TRACK, (0.5 if down else 0.95) * made.limits.site.max_w, lease_s=1e6)


class Run:
    """One hall and what its ticks took, compiled and, where it runs beside, by numpy; ns."""

    def __init__(self, racks: int, nodes: int, *, beside: bool = False) -> None:
        self.made = hall(racks, nodes)
        self.image = Image(self.made)
        self.beside = beside
        self.ticks = 0
        self.compiled: list[int] = []
        self.vectorised: list[int] = []
        self.other: Tick | None = None

    def tick(self) -> int:
        made = self.made
        self.image.next(self.ticks)
        self.ticks += 1
        made.wall.publish(made.now_ns)
        begun = time.perf_counter_ns()
        made.loop.tick_at(made.now_ns)
        return time.perf_counter_ns() - begun

    def turn(self, ticks: int) -> None:
        """Takes so many ticks into account, after a few that find caches and clock as the others left them."""
        if self.other is not None:
            for _ in range(max(1, ticks // 8)):
                self.tick()
                begun = time.perf_counter_ns()
                self.other.run(self.made)
                self.vectorised.append(time.perf_counter_ns() - begun)
        for _ in range(COLD):
            self.tick()
        self.compiled += [self.tick() for _ in range(ticks)]

    def warm(self) -> None:
        for _ in range(WARM):
            self.tick()
        if self.beside:
            self.other = Tick(self.made)

    def found(self) -> dict[str, float]:
        """Microseconds."""
        assert views.outputs(self.made.out).fault == codes.FAULT_NONE
        taken = sorted(self.compiled)
        found = {"p50_us": taken[len(taken) // 2] / 1e3, "p99_us": taken[int(0.99 * len(taken))] / 1e3}
        if self.vectorised:
            found["numpy_p50_us"] = sorted(self.vectorised)[len(self.vectorised) // 2] / 1e3
        return found


def main(ticks: int) -> dict[str, Any]:
    """The sizes take turns: the machine's speed changes within a minute, and with it what one is compared with."""
    small, middle, large = Run(1_000, 40), Run(10_000, 400, beside=True), Run(100_000, 4_000)
    for run in (small, middle, large):
        run.warm()
    for _ in range(TURNS):
        small.turn(max(1, ticks // TURNS))
        middle.turn(max(1, ticks // TURNS))
        large.turn(max(4, ticks // TURNS // 10))
    results = {f"{run.made.limits.site.racks:,}": run.found() for run in (small, middle, large)}
    for name, found in results.items():
        print(f"{name} racks: {found}", file=sys.stderr)
    exponent = math.log10(results["100,000"]["p50_us"] / results["1,000"]["p50_us"]) / 2.0
    of = results["10,000"]
    return {
        "racks": 10_000, "p50_us": round(of["p50_us"], 1), "p99_us": round(of["p99_us"], 1),
        "numpy_p50_us": round(of["numpy_p50_us"], 1), "exponent": round(exponent, 3),
    }  # fmt: skip


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ticks", type=int, default=1500)
    print(json.dumps(main(options.parse_args().ticks)))
