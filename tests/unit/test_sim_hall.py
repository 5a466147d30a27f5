"""The simulated hall as a process: composed from a site file, ended by a signal, judged by its truth file."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rampd.daemon import halls, simulate, sitecheck
from rampd.daemon.config import Config
from rampd.drivers.sim.hall import TICK_S, SimHall
from rampd.drivers.sim.spec import SimError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPT = """
import sys
import time
from pathlib import Path
import uvloop
from rampd.daemon import sitecheck, simulate
config = sitecheck.load(Path(sys.argv[1]))
uvloop.run(simulate.run(config, seed=3, truth=Path(sys.argv[2]), ready=lambda line: print(line, flush=True)))
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return sitecheck.load(halls.write(halls.Hall("test", 4, net=90), tmp_path))


@pytest.mark.parametrize(("name", "racks"), [("bench-12", 12), ("hall-48mw", 400)])
def test_every_device_of_an_example_is_simulated(name: str, racks: int) -> None:
    config = sitecheck.load(EXAMPLES / name / "site.toml")
    spec = simulate.spec(config)
    assert len(spec.plant.racks) == racks
    assert sorted(device.id for device in spec.devices) == sorted(row[0] for row in sitecheck.device_rows(config))
    hall = SimHall(spec)
    for device in hall.devices.values():
        device.refresh()
    assert hall.clamped == 0


def test_a_device_is_simulated_at_an_ipv6_address(config: Config) -> None:
    at = config.model_copy(update={"meters": (config.meters[0].model_copy(update={"address": "[::1]:1502"}),)})
    assert next((device.host, device.port) for device in simulate.spec(at).devices) == ("::1", 1502)


@pytest.mark.parametrize("address", ["tls://poi:802", "rtu+tcp://poi:4001", "serial:/dev/ttyUSB0"])
def test_what_cannot_be_simulated_is_told(config: Config, address: str) -> None:
    at = config.model_copy(update={"meters": (config.meters[0].model_copy(update={"address": address}),)})
    with pytest.raises(SimError, match=f"poi: {re.escape(address)} is not Modbus/TCP"):
        simulate.spec(at)


def test_a_large_loop_stays_within_what_its_unit_can_show(tmp_path: Path) -> None:
    config = sitecheck.load(halls.write(halls.Hall("test", 60), tmp_path))
    one = config.loops[0].model_copy(update={"id": "gpu-loop-1"})
    racks = tuple(rack.model_copy(update={"loop": one.id, "max_kw": 400.0}) for rack in config.racks)
    spec = simulate.spec(config.model_copy(update={"loops": (one,), "racks": racks}))
    hall = SimHall(spec)
    hall.devices[one.id].refresh()
    assert hall.clamped == 0
    assert 4000 < hall.plant.loops[0].flow_lpm <= 5000


async def ticks(hall: SimHall, count: int) -> None:
    for _ in range(2000):
        if hall.ticks >= count:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"no {count} plant ticks in 20 s")


async def test_the_truth_is_complete(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    hall = SimHall(simulate.spec(config), truth=path)
    stop = asyncio.Event()
    task = asyncio.create_task(hall.run(stop))
    await ticks(hall, 20)
    hall.plant.set_limit(0, 200e3, hall.plant.now_s)
    hall.plant.set_limit(1, 10e3, hall.plant.now_s)
    await ticks(hall, 60)
    stop.set()
    await task
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {"at", "poi_w", "it_w", "rack_over_w", "node_over_w", "site_over_w", "limits", "skipped"} <= set(lines[0])
    times = [line["at"] for line in lines]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert lines[0]["limits"] == {"min": 109e3, "max": 132e3}
    assert lines[-1]["limits"] == {"min": 10e3, "max": 200e3}
    assert lines[-1]["limit_over_w"] == 200e3 - 132e3
    assert all(line["rack_over_w"] <= 0 and line["node_over_w"] < 0 and line["site_over_w"] < 0 for line in lines)
    assert lines[-1]["poi_w"] < lines[0]["poi_w"]


async def test_missed_plant_ticks_are_skipped_and_counted(config: Config) -> None:
    hall = SimHall(simulate.spec(config))
    stop = asyncio.Event()
    task = asyncio.create_task(hall.run(stop))
    await ticks(hall, 4)
    before = (hall.ticks, hall.skipped, hall.plant.now_s)
    asyncio.get_running_loop().call_soon(time.sleep, 0.5)
    await ticks(hall, before[0] + 2)
    stop.set()
    await task
    steps = round((hall.plant.now_s - before[2]) / TICK_S)
    assert hall.skipped - before[1] >= 15
    assert steps == (hall.ticks - before[0]) + (hall.skipped - before[1])


async def test_a_truth_file_that_cannot_be_written_is_refused(config: Config, tmp_path: Path) -> None:
    hall = SimHall(simulate.spec(config), truth=tmp_path / "missing" / "truth.jsonl")
    with pytest.raises(SimError, match=r"truth\.jsonl: cannot be written: No such file .*existing folder"):
        await hall.run(asyncio.Event())


async def test_a_taken_address_ends_the_start_and_frees_the_rest(config: Config) -> None:
    spec = simulate.spec(config)
    taken = spec.devices[-1]
    with socket.create_server((taken.host, taken.port)):
        hall = SimHall(spec)
        with pytest.raises(SimError, match=f"cannot listen on {taken.host}:{taken.port}"):
            await hall.start()
    await hall.start()
    await hall.stop()


async def test_foreign_addresses_are_refused_with_a_remedy(config: Config) -> None:
    meter = config.meters[0].model_copy(update={"address": "192.0.2.1:502"})
    hall = SimHall(simulate.spec(config.model_copy(update={"meters": (meter,)})))
    with pytest.raises(SimError, match=r"192\.0\.2\.1:502: .*loopback addresses, 127\.x\.y\.z"):
        await hall.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(config: Config, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(config.path), str(tmp_path / "truth.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "9 devices listen on 9 addresses"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("ended after ")
