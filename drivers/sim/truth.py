"""What truly happened in the plant, for an independent judge: one JSON line ten times a second.

Each line has the newest powers, and of every limit the worst excess since the line before, so that no sample is missed.
"""

from __future__ import annotations

import json
import math
from operator import sub
from pathlib import Path
from types import TracebackType
from typing import Final

from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.spec import SimError

PERIOD_S: Final = 0.1


class Truth:
    """Appends to a file while it is open. Excess is power above limit in W, negative while the limit holds.

    Raises SimError when the file cannot be written.
    """

    def __init__(self, path: Path, plant: Plant) -> None:
        self._plant = plant
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise SimError(f"{path}: cannot be written: {error.strerror}: name a file in an existing folder") from error
        self._max_w = [rack.max_w for rack in plant.spec.racks]
        self._limits_w = [node.limit_w for node in plant.spec.nodes]
        self._next_s = 0.0
        self._worst: dict[str, float] = {}
        self._least_w, self._most_w = math.inf, -math.inf

    def __enter__(self) -> Truth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def tick(self, now_s: float, skipped: int) -> None:
        """Takes the plant's present state into account; writes a line when one is due."""
        plant, worst = self._plant, self._worst
        limit_w = plant.racks.limit_w
        seen = {
            "rack_over_w": max(map(sub, plant.racks.power_w, self._max_w)),
            "node_over_w": max(map(sub, plant.node_w, self._limits_w)),
            "site_over_w": plant.poi_w - plant.spec.import_limit_w,
            "limit_over_w": max(map(sub, limit_w, self._max_w)),
        }
        for name, over_w in seen.items():
            worst[name] = max(worst.get(name, -math.inf), over_w)
        self._least_w = min(self._least_w, *limit_w)
        self._most_w = max(self._most_w, *limit_w)
        if now_s >= self._next_s:
            self._next_s = max(self._next_s + PERIOD_S, now_s)
            line = {
                "at": round(now_s, 6),
                "poi_w": round(plant.poi_w, 1),
                "it_w": round(plant.it_w, 1),
                **{name: round(over_w, 1) for name, over_w in worst.items()},
                "limits": {"min": self._least_w, "max": self._most_w},
                "skipped": skipped,
            }
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._forget()

    def _forget(self) -> None:
        self._worst = {}
        self._least_w, self._most_w = math.inf, -math.inf
