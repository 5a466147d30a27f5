"""Modbus reads against bare pymodbus on uvloop and blocking libmodbus, at the same farm, one after the other.

Closed loop: every connection asks again as soon as it was answered. Open loop: 1,500 devices at 2 Hz by the daemon's
own wheel, and by a task a device in pymodbus. Twenty floats a read. What rampd does for them includes its ids, checks,
deadlines, decoding into the image and handing the image over; pymodbus and libmodbus are only asked for registers.
Each figure is the median of five runs, interleaved, each in a process of its own. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from rampd.daemon.poll import Wheel
from rampd.drivers import maps
from rampd.drivers.address import Address, Transport
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from rampd.ext import codes, views
from rampd.ext.image import Configuration, InputWall
from rampd.ext.link import Link
from rampd.ext.units import Exchange

HERE: Final = Path(__file__).parent
HOST: Final = "127.0.0.1"
FLOATS: Final = 20
CONNECTIONS: Final = (1, 100, 1500)
DEVICES: Final = 1500
HZ: Final = 2.0
ROUNDS: Final = 5
MAP: Final = """
name = "bench"
kind = "meter"
title = "twenty floats"
source = ["the benchmark"]
verified = "nothing to verify"
timeout_s = 1.0
[values]
""" + "\n".join(
    f'{name} = {{ at = {2 * i}, type = "f32", range = [-1.0e9, 1.0e9], nan = [0x7FC00000] }}'
    for i, name in enumerate(["power_w", *(f"spare_{n}_w" for n in range(1, FLOATS))])
)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Ours:
    """So many devices, each at a connection of its own, read by the daemon's wheel."""

    def __init__(self, port: int, count: int) -> None:
        slots = FLOATS * count
        self.wall = InputWall(Configuration(slots=slots, racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2))
        self.endpoints = [Endpoint(self.wall, Transport(Address("tcp", HOST, port))) for _ in range(count)]
        self.wheel = Wheel(self.wall, self.endpoints)
        self.map = maps.parse(MAP, "bench")
        self.tasks: list[asyncio.Task[None]] = []

    def device(self, number: int) -> ModbusDevice:
        slots = {name: FLOATS * number + i for i, name in enumerate(self.map.values)}
        return ModbusDevice(str(number), self.endpoints[number], 1, self.map, slots, 1.0 / HZ)

    @property
    def answered(self) -> int:
        return sum(endpoint.link.answered for endpoint in self.endpoints)

    async def begin(self) -> None:
        self.tasks = [asyncio.create_task(endpoint.run()) for endpoint in self.endpoints]
        for endpoint in self.endpoints:
            await endpoint.up()
        self.tasks.append(asyncio.create_task(self.wheel.run()))

    async def end(self) -> None:
        """Stops, and makes sure that what was measured was done."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        inputs = views.inputs(self.wall)
        for slot in range(FLOATS * len(self.endpoints)):
            assert (inputs.quality[slot], inputs.value[slot]) == (codes.GOOD, 50.0), f"slot {slot} was not read"
        wrong = {
            result for endpoint in self.endpoints for (_, result), n in endpoint.link.counters().items()
            if n and result not in ("ok", "lost")
        }  # fmt: skip
        assert not wrong, f"reads ended with {wrong}"


async def ours_closed(port: int, count: int, seconds: float) -> tuple[float, float]:
    """Transactions a second, and CPU microseconds for each."""
    ours = Ours(port, count)
    await ours.begin()
    running = True

    class AtOnce:
        """A schedule without time: every read is sent again as soon as it was answered."""

        def place(self, link: Link, exchange: Exchange, period_s: float) -> None:
            exchange.answered = lambda: running and link.read(exchange)
            link.read(exchange)

        def remove(self, exchange: Exchange) -> None:
            raise AssertionError("the farm refuses nothing")

    cpu, began = cpu_s(), time.perf_counter()
    for number in range(count):
        ours.device(number).begin(AtOnce())
    await asyncio.sleep(seconds)
    took, used, done = time.perf_counter() - began, cpu_s() - cpu, ours.answered
    running = False
    await ours.end()
    return done / took, used / done * 1e6


async def ours_open(port: int, count: int, seconds: float) -> tuple[float, float]:
    """Reads a second, and the share of a core that they took."""
    ours = Ours(port, count)
    await ours.begin()
    for number in range(count):
        ours.wheel.add(ours.device(number))
    await asyncio.sleep(1.5 / HZ)
    done, cpu, began = ours.answered, cpu_s(), time.perf_counter()
    await asyncio.sleep(seconds)
    took, used, done = time.perf_counter() - began, cpu_s() - cpu, ours.answered - done
    await ours.end()
    return done / took, used / took


async def theirs(port: int, count: int) -> list[AsyncModbusTcpClient]:
    clients = [AsyncModbusTcpClient(HOST, port=port) for _ in range(count)]
    for client in clients:
        assert await client.connect()
    return clients


async def theirs_closed(port: int, count: int, seconds: float) -> tuple[float, float]:
    done = 0
    until_s = time.perf_counter() + 3600

    async def one(client: AsyncModbusTcpClient) -> None:
        nonlocal done
        while time.perf_counter() < until_s:
            answer = await client.read_holding_registers(0, count=2 * FLOATS, device_id=1)
            assert not answer.isError()
            done += 1

    clients = await theirs(port, count)
    cpu, began = cpu_s(), time.perf_counter()
    until_s = began + seconds
    await asyncio.gather(*map(one, clients))
    took, used = time.perf_counter() - began, cpu_s() - cpu
    return done / took, used / done * 1e6


async def theirs_open(port: int, count: int, seconds: float) -> tuple[float, float]:
    done = 0
    running = True  # its client swallows a cancellation

    async def one(number: int, client: AsyncModbusTcpClient) -> None:
        nonlocal done
        loop = asyncio.get_running_loop()
        due_s = loop.time() + number / count / HZ
        while running:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            answer = await client.read_holding_registers(0, count=2 * FLOATS, device_id=1)
            assert not answer.isError()
            done += 1
            due_s += 1.0 / HZ

    tasks = [asyncio.create_task(one(*pair)) for pair in enumerate(await theirs(port, count))]
    await asyncio.sleep(1.5 / HZ)
    before, cpu, began = done, cpu_s(), time.perf_counter()
    await asyncio.sleep(seconds)
    took, used, done = time.perf_counter() - began, cpu_s() - cpu, done - before
    running = False
    await asyncio.gather(*tasks)
    return done / took, used / took


KINDS: Final = {
    "rampd": ours_closed, "pymodbus": theirs_closed, "rampd-open": ours_open, "pymodbus-open": theirs_open,
}  # fmt: skip


@contextmanager
def tools() -> Iterator[tuple[int, Path]]:
    """The farm's port, and the libmodbus client, both compiled now."""
    query = ["pkg-config", "--cflags", "--libs", "libmodbus"]
    flags = subprocess.run(query, capture_output=True, check=True, text=True)
    with tempfile.TemporaryDirectory(prefix="rampd-bench-") as folder:
        for name, extra in (("farm", []), ("libmodbus", shlex.split(flags.stdout))):
            subprocess.run(["gcc", "-O2", "-o", f"{folder}/{name}", str(HERE / f"{name}.c"), *extra], check=True)
        farm = subprocess.Popen([f"{folder}/farm"], stdout=subprocess.PIPE, text=True)
        try:
            assert farm.stdout is not None
            # Devices are elsewhere: the farm has a core of its own. Left to the scheduler, a client that waits for one
            # answer at a time may share a core with the farm, or not, and costs four times as much or as little.
            if len(cores := sorted(os.sched_getaffinity(0))) > 1:
                os.sched_setaffinity(farm.pid, cores[-1:])
                os.sched_setaffinity(0, cores[:1])
            yield int(farm.stdout.readline()), Path(folder) / "libmodbus"
        finally:
            farm.kill()
            farm.wait()


def measure(kind: str, port: int, count: int, seconds: float, libmodbus: Path) -> tuple[float, float]:
    """One run in a process of its own."""
    if kind == "libmodbus":
        command = [str(libmodbus), str(port), str(count), str(2 * FLOATS), str(seconds)]
    else:
        words = f"--kind {kind} --port {port} --connections {count} --seconds {seconds}".split()
        command = [sys.executable, __file__, *words]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode:
        raise SystemExit(f"{kind} with {count} connections failed:\n{out.stderr}")
    first, second = out.stdout.split()[-2:]
    return float(first), float(second)


def compare(
    kinds: tuple[str, ...], port: int, count: int, seconds: float, libmodbus: Path
) -> dict[str, tuple[float, float]]:
    """The median of each kind's rounds, which take turns."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for number in range(ROUNDS):
        for kind in kinds:
            found[kind].append(measure(kind, port, count, seconds, libmodbus))
            rate, cost = found[kind][-1]
            print(f"{count:5} {kind:14} round {number + 1}: {rate:8.0f}/s {cost:8.3f}", file=sys.stderr)
    return {kind: (median(r for r, _ in runs), median(c for _, c in runs)) for kind, runs in found.items()}


def main(seconds: float) -> dict[str, Any]:
    with tools() as (port, libmodbus):
        runs = []
        for count in CONNECTIONS:
            found = compare(("rampd", "pymodbus", "libmodbus"), port, count, seconds, libmodbus)
            runs.append(
                {"connections": count}
                | {f"{kind}_tps": round(rate) for kind, (rate, _) in found.items()}
                | {f"{kind}_cpu_us": round(cost, 2) for kind, (_, cost) in found.items()}
            )
        cores = compare(("rampd-open", "pymodbus-open"), port, DEVICES, 2 * seconds, libmodbus)
        for kind, (rate, _) in cores.items():
            assert rate > 0.95 * DEVICES * HZ, f"{kind} read {rate:.0f} times a second instead of {DEVICES * HZ:.0f}"
    shares = {kind.replace("-open", "_core"): round(core, 4) for kind, (_, core) in cores.items()}
    return {"runs": runs, "open": {"devices": DEVICES, "hz": HZ} | shares}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options.add_argument("--connections", type=int, help=argparse.SUPPRESS)
    options.add_argument("--seconds", type=float, default=2.0, help="length of a run")
    given = options.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if given.kind:
        print(*uvloop.run(KINDS[given.kind](given.port, given.connections, given.seconds)))
    else:
        print(json.dumps(main(given.seconds)))
