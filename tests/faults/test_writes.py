"""Every way in which a rack can fail to do what it was told, on real sockets, all at once: one rack a fault.

Each row: what breaks, what the stages of delivery count, whether the core must do without the rack meanwhile. All come
back within two seconds of the end of their fault, with the limit that was asked last; the neighbours notice nothing.
"""

from __future__ import annotations

import asyncio
import csv
import ctypes
import time
from array import array
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon import halls, simulate, sitecheck
from rampd.daemon.actuate import Actuation
from rampd.daemon.delivery import Target
from rampd.daemon.field import Field
from rampd.daemon.site import compose
from rampd.drivers.sim import faults
from rampd.drivers.sim.hall import SimHall
from rampd.ext import codes, views
from rampd.ext.image import InputWall
from tests.field import until
from tests.hall import take_net

AT_S, FOR_S = 8.0, 6.0
BACK_S = 2.0
SOUND = "gpu-012"


@dataclass(frozen=True)
class Row:
    """A fault of one rack, the stage that must count it, and whether the rack is out meanwhile."""

    rack: str
    fault: str
    stage: str
    out: bool


ROWS = [
    Row("gpu-001", 'kind = "silent"', "failed", True),
    Row("gpu-002", 'kind = "down"', "failed", True),
    Row("gpu-003", 'kind = "rst"', "failed", True),
    Row("gpu-004", 'kind = "late"\ndelay_s = 0.8', "failed", True),
    Row("gpu-005", 'kind = "garbage"', "failed", True),
    Row("gpu-006", 'kind = "half_open"', "failed", True),
    Row("gpu-007", 'kind = "writes_ignored"', "ignored", True),
    Row("gpu-008", 'kind = "writes_reverted"\nrevert_s = 0.4', "foreign", False),
    Row("gpu-009", 'kind = "second_writer"\nvalue_w = 90000\nrevert_s = 0.7', "foreign", False),
    Row("gpu-010", 'kind = "stuck"', "disobeyed", True),
    Row("gpu-011", 'kind = "frozen"', "ignored", True),
    Row("gpu-013", 'kind = "sentinel"', "ignored", True),
    Row("gpu-014", 'kind = "reboot"', "failed", True),
]
RACKS = [row.rack for row in ROWS] + [SOUND]


class Ticks:
    """Snapshots as the control thread gives them: all racks are asked for the same."""

    def __init__(self, racks: int) -> None:
        self.out = views.Outputs()
        self.limits_w = [120e3] * racks

    def latch(self) -> int:
        return ctypes.addressof(self.out)

    def moved(self, last_w: array[float]) -> list[int]:
        found = [i for i, w in enumerate(self.limits_w) if last_w[i] != w]
        for i in found:
            last_w[i] = self.limits_w[i]
        return found


class Told(Actuation):
    """Actuation that counts its stages by rack."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.by_rack: dict[str, Counter[str]] = {}

    def noting(self, target: Target, before: Counter[str]) -> None:
        self.by_rack.setdefault(target.id, Counter()).update(self.stages - before)

    def done(self, i: int, future: asyncio.Future[Any]) -> None:
        before = self.stages.copy()
        super().done(i, future)
        self.noting(self.targets[i], before)

    def verify(self, i: int, now_ns: int, *, good: bool) -> None:
        before = self.stages.copy()
        super().verify(i, now_ns, good=good)
        self.noting(self.targets[i], before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The whole table in one run."""
    return asyncio.run(Run(tmp_path_factory.mktemp("writes")).play())


class Run:
    """Racks that are lowered step by step through their faults, and what was seen of each."""

    def __init__(self, folder: Path) -> None:
        net, self.lock = take_net()
        site = halls.write(halls.Hall("writes", 40, net=net), folder)
        path = folder / "racks.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["id"] in RACKS]
        for row in rows:
            row |= {"period_s": "0.1", "up_kw_per_s": "330", "down_kw_per_s": "330"}
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows(rows)
        text = site.read_text(encoding="utf-8").replace("max_mw = ", "max_mw = 1.8 # ", 1)
        site.write_text(text.replace("default_mw = ", "default_mw = 1.8 # ", 1), encoding="utf-8")
        config = sitecheck.load(site)
        composed = compose(config)
        lines = [f'[[fault]]\ndevice = "{r.rack}"\nat_s = {AT_S}\nfor_s = {FOR_S}\n{r.fault}\n' for r in ROWS]
        self.hall = SimHall(simulate.spec(config), seed=2, faults=faults.parse("\n".join(lines), "the test"))
        wall = InputWall(composed.limits)
        self.inputs = views.inputs(wall)
        self.field = Field(composed, wall, self.inputs)
        self.ticks = Ticks(len(composed.racks))
        self.order = [rack.id for rack in composed.racks]
        self.plant_order = [rack.id for rack in self.hall.spec.plant.racks]
        self.was_out: set[str] = set()
        self.back_s: dict[str, float] = {}
        self.stages: dict[str, Counter[str]] = {}
        self.before: dict[str, Counter[str]] = {}
        self.group: asyncio.TaskGroup
        loop: Any = self.ticks
        self.actuation = Told(loop, self.inputs, self.field.targets(), 1_000_000_000, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.group.create_task(work)

    async def play(self) -> Run:
        stop = asyncio.Event()
        await self.hall.start()
        hall = asyncio.create_task(self.hall.run(stop))
        try:
            async with asyncio.TaskGroup() as self.group:
                self.field.start(self.group)
                act = self.group.create_task(self.act())
                await self.watch()
                act.cancel()
                raise asyncio.CancelledError
        except asyncio.CancelledError:
            pass
        finally:
            stop.set()
            await hall
            await self.hall.stop()
            self.lock.close()
        return self

    async def act(self) -> None:
        """Ticks, and from the first fault on a new limit every 0.6 s: 120, 117 ... 60 kW."""
        began_s = time.monotonic() + AT_S
        while True:
            now_ns = time.monotonic_ns()
            step = min(20, max(0, int((time.monotonic() - began_s) / 0.6)))
            self.ticks.limits_w = [120e3 - 3e3 * step] * len(self.order)
            self.ticks.out.at_ns = now_ns
            self.actuation.pulse(now_ns)
            self.actuation.check(now_ns)
            await asyncio.sleep(0.05)

    def limit_w(self, rack: str) -> float:
        return self.hall.plant.racks.limit_w[self.plant_order.index(rack)]

    def out(self, rack: str) -> bool:
        return self.inputs.rack_state[self.order.index(rack)] != codes.AVAILABLE

    def well(self, rack: str) -> bool:
        """In the core's hands, and its controller holds what was asked within the last moment."""
        target = self.actuation.targets[self.order.index(rack)]
        return not self.out(rack) and target.sent_w == target.wanted_w and self.limit_w(rack) == target.sent_w

    async def watch(self) -> None:
        """What happens to each rack while its fault lasts, and how soon after its end all is well."""
        await until(lambda: self.hall.ticks > 0)
        began_s = time.monotonic() - self.hall.ticks * 0.025
        await until(lambda: all(map(self.well, RACKS)))
        assert time.monotonic() < began_s + AT_S, "all is well before"
        await until(lambda: time.monotonic() > began_s + AT_S)
        self.before = {rack: counts.copy() for rack, counts in self.actuation.by_rack.items()}
        while time.monotonic() < began_s + AT_S + FOR_S:
            self.was_out |= {rack for rack in RACKS if self.out(rack)}
            await asyncio.sleep(0.02)
        self.stages = {r: counts - self.before.get(r, Counter()) for r, counts in self.actuation.by_rack.items()}
        end_s = time.monotonic()
        while len(self.back_s) < len(RACKS) and time.monotonic() < end_s + 15:
            for rack in RACKS:
                if rack not in self.back_s and self.well(rack):
                    self.back_s[rack] = time.monotonic() - end_s
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault.split('"')[1])
def test_a_rack_that_fails(run: Run, row: Row) -> None:
    assert run.stages[row.rack][row.stage] > 0, run.stages[row.rack]
    assert (row.rack in run.was_out) == row.out
    assert run.back_s.get(row.rack, 99.0) <= BACK_S


def test_its_neighbour_notices_nothing(run: Run) -> None:
    assert SOUND not in run.was_out
    assert run.stages[SOUND]["failed"] == run.stages[SOUND]["foreign"] == 0
    assert run.stages[SOUND]["accepted"] >= 9
