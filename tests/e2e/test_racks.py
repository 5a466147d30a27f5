"""Modbus racks of every kind, as the daemon has them, against the simulator's servers over real sockets."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rampd.daemon import halls, simulate, sitecheck
from rampd.daemon.field import Field
from rampd.daemon.site import Composed, compose
from rampd.drivers.members import DeviceError
from rampd.drivers.racks import RackDriver
from rampd.drivers.sim.hall import SimHall
from rampd.ext import codes, views
from rampd.ext.image import InputWall
from tests.field import until
from tests.hall import take_net

KINDS = {"gpu-001": "rack-power", "gpu-002": "sunspec-704", "gpu-003": "sunspec-123"}
DEAD_MAN_S = 3


class Bench:
    """A hall of GPU racks that each have another map, simulated, and the daemon's field before it."""

    def __init__(self, folder: Path) -> None:
        net, self.lock = take_net()
        site = halls.write(halls.Hall("racks", 7, net=net), folder)
        text = site.read_text(encoding="utf-8").replace("deadman_s = 30", f"deadman_s = {DEAD_MAN_S}")
        # Dead-men end one after the other in the normal envelope: at once, here.
        text = re.sub(r"(?m)^down_mw_per_min = .*$", "down_mw_per_min = 30", text)
        site.write_text(text, encoding="utf-8")
        path = folder / "racks.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["map"] = KINDS.get(row["id"], row["map"])
            row["period_s"] = "0.1"
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows(rows)
        config = sitecheck.load(site)
        self.composed: Composed = compose(config)
        self.hall = SimHall(simulate.spec(config), seed=1)
        self.wall = InputWall(self.composed.limits)
        self.inputs = views.inputs(self.wall)
        self.field = Field(self.composed, self.wall, self.inputs)
        self.targets = {target.id: target for target in self.field.targets()}

    def driver(self, rack: str) -> RackDriver:
        return self.targets[rack].driver

    def max_w(self, rack: str) -> float:
        return self.targets[rack].max_w

    def shows(self, rack: str, name: str) -> float | None:
        slot = self.composed.by_id[rack].slots[name]
        return self.inputs.value[slot] if self.inputs.quality[slot] == codes.GOOD else None

    def power_w(self, rack: str) -> float:
        return self.hall.plant.racks.power_w[self.place(rack)]

    def limit_w(self, rack: str) -> float:
        return self.hall.plant.racks.limit_w[self.place(rack)]

    def place(self, rack: str) -> int:
        return [one.id for one in self.hall.spec.plant.racks].index(rack)

    async def ready(self, rack: str) -> None:
        """Found, read, programmed."""
        await until(lambda: self.shows(rack, "limit_w") is not None)
        if self.driver(rack).programmed() is False:
            await self.driver(rack).program()
        await until(lambda: self.driver(rack).programmed())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    stop = asyncio.Event()
    await made.hall.start()
    running = asyncio.create_task(made.hall.run(stop))

    async def field() -> None:
        async with asyncio.TaskGroup() as group:
            made.field.start(group)

    reading = asyncio.create_task(field())
    yield made
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()
    await until(lambda: not any(endpoint.link.connected for endpoint in made.field.endpoints.values()))
    stop.set()
    await running
    await made.hall.stop()
    made.lock.close()


@pytest.mark.parametrize("rack", KINDS)
async def test_a_limit_is_accepted_latched_and_effective(bench: Bench, rack: str) -> None:
    await bench.ready(rack)
    driver, half_w = bench.driver(rack), bench.max_w(rack) / 2
    for limit_w in (half_w, 0.8 * half_w, half_w):
        await driver.set_limit(limit_w)
        assert abs(driver.expected_w - limit_w) <= 0.005 * bench.max_w(rack), "to half a percent"
        await until(lambda: abs((bench.shows(rack, "limit_w") or 0.0) - driver.expected_w) <= driver.tolerance_w)
        assert bench.limit_w(rack) == pytest.approx(driver.expected_w, abs=driver.tolerance_w)
        assert driver.in_force() in (True, None)
    await until(lambda: bench.power_w(rack) <= 1.01 * half_w)
    assert (driver.in_force() is None) == (rack == "gpu-001"), "SunSpec devices say whether their limit is enabled"


@pytest.mark.parametrize(("rack", "falls_back"), [("gpu-001", True), ("gpu-002", True), ("gpu-003", False)])
async def test_what_happens_when_rampd_falls_silent(bench: Bench, rack: str, falls_back: bool) -> None:
    await bench.ready(rack)
    driver = bench.driver(rack)
    assert (driver.dead_man is not None) == falls_back
    await driver.set_limit(0.9 * bench.max_w(rack))
    if not falls_back:
        # Its own timer would lift the limit: it must not run.
        assert bench.shows(rack, "revert_s") == 0.0
        return
    assert driver.dead_man is not None
    fallback_w = driver.dead_man.fallback_w
    await until(lambda: bench.limit_w(rack) == pytest.approx(fallback_w, rel=0.01), driver.dead_man.after_s + 5)
    await driver.set_limit(0.9 * bench.max_w(rack))
    assert bench.limit_w(rack) == pytest.approx(0.9 * bench.max_w(rack), rel=0.01), "and it comes back"


@pytest.mark.parametrize("rack", ["gpu-002", "gpu-003"])
async def test_a_limit_that_somebody_disabled_is_seen_and_enabled_again(bench: Bench, rack: str) -> None:
    await bench.ready(rack)
    driver = bench.driver(rack)
    await driver.set_limit(0.6 * bench.max_w(rack))
    await until(driver.in_force)
    bench.hall.devices[rack].write("enable", 0.0)
    await until(lambda: driver.in_force() is False)
    assert bench.limit_w(rack) == bench.max_w(rack)
    await driver.set_limit(0.6 * bench.max_w(rack))
    await until(driver.in_force)
    assert bench.limit_w(rack) == pytest.approx(0.6 * bench.max_w(rack), rel=0.01)


@pytest.mark.parametrize("rack", KINDS)
async def test_what_a_restart_forgot_is_programmed_again(bench: Bench, rack: str) -> None:
    await bench.ready(rack)
    bench.hall.devices[rack].power_on(bench.hall.plant.now_s)
    if bench.driver(rack).dead_man is None:
        # What this device forgot is what it holds anyway: no timer.
        assert bench.driver(rack).programmed()
        return
    await until(lambda: bench.driver(rack).programmed() is False)
    await bench.driver(rack).program()
    await until(lambda: bench.driver(rack).programmed())


async def test_before_the_device_was_found_nothing_is_written(tmp_path: Path) -> None:
    lonely = Bench(tmp_path)
    lonely.lock.close()
    with pytest.raises(DeviceError, match="not known yet"):
        await lonely.driver("gpu-002").set_limit(1000.0)
    with pytest.raises(DeviceError, match="not found yet"):
        await lonely.driver("gpu-002").program()
