"""The hall that `rampd qualify` proves the core on, and traces of what happened there.

Needs numpy (the extra `report`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rampd.daemon import halls, sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Config, Grid
from rampd.drivers.sim.fleet import Job

Floats = NDArray[np.float64]
Figures = dict[str, Any]
RACKS: Final = 400
DEAD_S: Final = (0.2, 4.0)
FLOOR: Final = 0.3
MOST_POINTS: Final = 3000


@dataclass(frozen=True, slots=True)
class Trace:
    """A stretch of a run for a plot: seconds, and MW by name."""

    title: str
    at_s: Floats
    mw: dict[str, Floats]


Keep = Callable[[Trace], None]


def ignore(_: Trace) -> None:
    """Nobody plots."""


def trace(title: str, loop: ClosedLoop, first_s: float = 0.0, last_s: float | None = None) -> Trace:
    """What the purchase did beside its reference; thinned to what a plot can show."""
    first = round(first_s / loop.dt_s)
    last = loop.tick if last_s is None else min(loop.tick, round(last_s / loop.dt_s))
    part = slice(first, last, max(1, (last - first) // MOST_POINTS))
    mw = {"purchase": np.array(loop.poi_w[part]) / 1e6, "reference": np.array(loop.reference_w[part]) / 1e6}
    return Trace(title, loop.dt_s * np.arange(first, last, part.step, dtype=np.float64), mw)


def hall(seed: int, dead_s: tuple[float, float] = DEAD_S, grid: Grid | None = None, *, racks_of: int = RACKS) -> Config:
    """48 MW of racks, or less in a smaller hall, half of it ASIC racks, dead times uniform, floors at 30 %."""
    with tempfile.TemporaryDirectory() as folder:
        config = sitecheck.load(halls.write(halls.Hall("qualify", racks_of), Path(folder)))
    random = np.random.default_rng(seed)
    racks = []
    for rack in config.racks:
        dead = round(float(random.uniform(*dead_s)), 2)
        racks.append(
            rack.model_copy(update={"dead_up_s": dead, "dead_down_s": dead, "min_kw": round(FLOOR * rack.max_kw, 3)})
        )
    return config.model_copy(update={"racks": tuple(racks), "grid": grid or config.grid})


def training(config: Config, sizes_mw: tuple[float, ...], seed: int) -> tuple[Job, ...]:
    """Jobs of these sizes on GPU racks drawn at random, each with a rhythm of its own."""
    random = np.random.default_rng(seed)
    order = {rack.id: i for i, rack in enumerate(ClosedLoop(config).composed.racks)}
    gpus = random.permutation([order[rack.id] for rack in config.racks if rack.kind == "gpu"])
    per_rack_mw = next(rack.max_kw for rack in config.racks if rack.kind == "gpu") / 1e3
    jobs, first = [], 0
    for size_mw in sizes_mw:
        count = round(size_mw / per_rack_mw)
        jobs.append(
            Job(
                tuple(int(i) for i in gpus[first : first + count]), float(random.uniform(1.5, 5.0)),
                float(random.uniform(0.5, 0.8)), float(random.uniform()),
            )
        )  # fmt: skip
        first += count
    return tuple(jobs)
