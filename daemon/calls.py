"""Firm capacity against what calls bring: everything is called now, down or up, on copies of one simulated hall.

A copy is a fork of the process: plant and core exactly as they stand, without a warm-up of their own. Each call is made
after something of its class has happened to the hall, and finds racks and whole nodes that do not obey, drawn by lot.
The oracle knows the plant: its figure is the same quantile over many lots, from the response of every single rack.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rampd.daemon.closed import ClosedLoop
from rampd.drivers.sim.fleet import EXCHANGE
from rampd.ext import views

CLASSES: Final = ("ordinary", "stale", "cold", "loss")
HORIZONS_S: Final = (5.0, 60.0, 600.0)
OFTEN: Final = (0.45, 0.4, 0.15)
# Chances that a call finds a rack deaf, and a node with all its racks; after a loss another one is more likely.
DEAF: Final = 0.01
NODE_LOST: Final = 0.004
NODE_LOST_AFTER: Final = 0.014
LOTS: Final = 2000
QUANTILE: Final = 0.05
LEASE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the figure before it, the change it brought, the oracle's figure; W, positive in its direction."""

    kind: str
    up: bool
    horizon_s: float
    firm_w: float
    change_w: float
    oracle_w: float


def fork(function: Callable[[], Any]) -> tuple[int, int]:
    """Begins `function` in a copy of this process: its id, and the descriptor on which it writes what it returns."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        return pid, read
    status = 1
    try:
        os.close(read)
        with os.fdopen(write, "w") as out:
            json.dump(function(), out)
        status = 0
    finally:
        os._exit(status)


def result(copy: tuple[int, int]) -> Any:
    """What a copy returned. Raises RuntimeError where it failed."""
    pid, read = copy
    with os.fdopen(read) as back:
        text = back.read()
    _, status = os.waitpid(pid, 0)
    if status or not text:
        raise RuntimeError("a copy of the simulated hall failed")
    return json.loads(text)


def figure(loop: ClosedLoop, up: bool, horizon_s: float) -> float:
    """The core's own figure now."""
    out = views.outputs(loop.out)
    down_w = {5.0: out.firm_down_w, 60.0: out.firm_down_60_w, 600.0: out.firm_down_600_w}
    return ({5.0: out.firm_up_w, 60.0: out.firm_up_60_w, 600.0: out.firm_up_600_w} if up else down_w)[horizon_s]


def befall(loop: ClosedLoop, kind: str, random: np.random.Generator) -> None:
    """What makes a call one of its class, and the time until it is made."""
    nodes = np.array([loop.limits.node[i] for i in range(loop.count)])
    if kind == "stale":
        gone = random.random(loop.count) < random.uniform(0.02, 0.10)
        loop.silent |= gone
        if random.random() < 0.5:
            loop.fleet.dead |= gone
        loop.run(float(random.uniform(5.5, 60.0)))
    elif kind == "loss":
        gone = nodes == random.choice(np.unique(nodes))
        loop.silent |= gone
        loop.fleet.dead |= gone
        loop.run(float(np.exp(random.uniform(np.log(1.5), np.log(120.0)))))
    elif kind == "cold":
        loop.restart()
        loop.run(float(random.uniform(2.0, 60.0)))


def lot(loop: ClosedLoop, kind: str, random: np.random.Generator) -> NDArray[np.bool_]:
    """Racks that will not obey the call."""
    nodes = np.array([loop.limits.node[i] for i in range(loop.count)])
    lost = random.random(loop.limits.site.nodes) < (NODE_LOST_AFTER if kind == "loss" else NODE_LOST)
    deaf: NDArray[np.bool_] = (random.random(loop.count) < DEAF) | lost[nodes]
    return deaf


def respond(loop: ClosedLoop, up: bool, horizon_s: float, deaf: NDArray[np.bool_]) -> list[Any]:
    """The call: the change of the purchase, that of every rack, what living racks have left, and their caps."""
    fleet = loop.fleet
    begin_w, racks_w, sign = fleet.poi_w, fleet.power_w.copy(), 1.0 if up else -1.0
    fleet.dead |= deaf
    loop.command(loop.config.site.max_mw * 1e6 if up else 0.0, lease_s=LEASE_S)
    loop.run(horizon_s)
    room_w = float(np.maximum(0.0, np.minimum(fleet.max_w, fleet.demand_w) - fleet.power_w)[~fleet.dead].sum())
    change_w = sign * (fleet.poi_w - begin_w)
    return [change_w, (sign * (fleet.power_w - racks_w)).tolist(), room_w if up else 0.0, fleet.cap_w.tolist()]


def oracle(
    loop: ClosedLoop, kind: str, up: bool, horizon_s: float, found: list[Any], random: np.random.Generator
) -> float:
    """The quantile over lots: what all racks give, less those that do not obey, and jobs that may just compute or wait.

    Given time, others make up for racks that do not obey.
    """
    change_w, each_w, room_w, cap_w = found[0], np.array(found[1]), found[2], np.array(found[3])
    room_w = room_w if horizon_s > HORIZONS_S[0] else 0.0
    lost_w = np.array([each_w[lot(loop, kind, random)].sum() for _ in range(LOTS)])
    scale = change_w / each_w.sum() if each_w.sum() > 0.0 else 1.0
    changes_w = change_w - scale * np.maximum(0.0, lost_w - room_w)
    if up:
        # Each job's end of the call is redrawn; what it did in this one is taken out.
        fleet = loop.fleet
        for job, racks in zip(fleet.jobs, fleet.jobs_at, strict=True):
            busy_w, idle_w = (np.minimum(cap_w[racks], part * fleet.demand_w[racks]).sum() for part in (1.0, EXCHANGE))
            was_w = float((fleet.power_w[racks] + each_w[racks]).sum())
            changes_w += scale * (np.where(random.random(LOTS) < job.duty, busy_w, idle_w) - was_w)
    return float(np.quantile(changes_w, QUANTILE))


def call(loop: ClosedLoop, kind: str, seed: list[int]) -> dict[str, Any]:
    """One call of a class, on a copy of the hall."""
    random = np.random.default_rng(seed)
    up, horizon_s = bool(random.random() < 0.5), float(random.choice(HORIZONS_S, p=OFTEN))
    befall(loop, kind, random)
    firm_w, deaf = figure(loop, up, horizon_s), lot(loop, kind, random)
    nobody = np.zeros(loop.count, dtype=bool)
    # Where nobody is deaf, the call itself is what the oracle needs.
    real = result(fork(lambda: respond(loop, up, horizon_s, deaf)))
    nominal = result(fork(lambda: respond(loop, up, horizon_s, nobody))) if deaf.any() else real
    oracle_w = oracle(loop, kind, up, horizon_s, nominal, random)
    return asdict(Call(kind, up, horizon_s, firm_w, real[0], max(0.0, oracle_w)))


def wander(loop: ClosedLoop, random: np.random.Generator) -> None:
    """Half a minute to two of ordinary operation."""
    part = float(random.uniform(0.35, 1.0))
    loop.command(part * loop.config.site.max_mw * 1e6, ramp_s=float(random.choice([0.0, 5.0, 20.0])), lease_s=LEASE_S)
    loop.run(float(random.uniform(20.0, 90.0)))


def calls(halls: Iterator[ClosedLoop], seed: int, count: int) -> list[Call]:
    """So many calls, the classes in turn; four to a hall as it stands, 25 times in its life."""
    found: list[Call] = []
    running: list[tuple[int, int]] = []
    for life, loop in enumerate(halls):
        random = np.random.default_rng([seed, life])
        loop.run(60.0)
        for at in range(25):
            wander(loop, random)
            for k, kind in enumerate(CLASSES):
                if len(running) >= (os.cpu_count() or 1):
                    found.append(Call(**result(running.pop(0))))
                running.append(fork(partial(call, loop, kind, [seed, life, at, k])))
            if len(found) + len(running) >= count:
                return found + [Call(**result(copy)) for copy in running]
    return found + [Call(**result(copy)) for copy in running]


def score(found: list[Call]) -> dict[str, float]:
    """Share of calls that brought what was promised, in the worst class too, and the figure over the oracle's."""
    held = {kind: [c.change_w >= c.firm_w for c in found if c.kind == kind] for kind in CLASSES}
    return {
        "coverage": round(float(np.mean([c.change_w >= c.firm_w for c in found])), 4),
        "worst_class_coverage": round(min(float(np.mean(each)) for each in held.values()), 4),
        "sharpness": round(sum(c.firm_w for c in found) / sum(c.oracle_w for c in found), 4),
    }
