"""Lateness of the control loop beside cyclictest with the same period and class; 1,500 devices are polled, the racks
scraped, and every tick recorded.

The last line on stdout is one JSON object. Three runs of at least 1,500 ticks; the figures are of the run with the
median ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from rampd.daemon import demo, halls, sitecheck
from rampd.daemon.run import Daemon
from rampd.ext import views

RECENT = 256


def quantile(values: list[int], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] / 1e3


async def cyclictest(period_us: int, loops: int, fifo: bool) -> tuple[float, float]:
    policy = ["-p", "50", "--policy=fifo"] if fifo else ["--policy=other"]
    process = await asyncio.create_subprocess_exec(
        "cyclictest", "-i", str(period_us), "-l", str(loops), "-q", "-t", "1", "-h", "100000", *policy,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = await process.communicate()
    rows = [(int(a), int(b)) for a, b in re.findall(r"^(\d{6}) (\d+)", out.decode(), re.MULTILINE)]
    total = sum(count for _, count in rows)
    found = []
    for share in (0.5, 0.99):
        seen = 0
        for us, count in rows:
            seen += count
            if seen >= share * total:
                found.append(float(us))
                break
    return found[0], found[1]


async def scrape(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                await answer.read()
            await asyncio.sleep(1.0)


async def collect(daemon: Daemon, into: list[int]) -> None:
    """Every tick's lateness, from the ring in the snapshot."""
    seen = daemon.snapshot().tick
    while True:
        await asyncio.sleep(0.5)
        out = daemon.snapshot()
        into += [out.recent_late_ns[k % RECENT] for k in range(max(seen, out.tick - RECENT) + 1, out.tick + 1)]
        seen = out.tick


async def one(daemon: Daemon, hz: float, samples: int, fifo: bool) -> dict[str, float]:
    late: list[int] = []
    gathering = asyncio.create_task(collect(daemon, late))
    p50, p99 = await cyclictest(round(1e6 / hz), samples, fifo)
    await asyncio.sleep(0.6)
    gathering.cancel()
    return {
        "p50_us": quantile(late, 0.5), "p99_us": quantile(late, 0.99), "max_us": max(late) / 1e3,
        "cyclictest_p50_us": p50, "cyclictest_p99_us": p99, "samples": len(late),
    }  # fmt: skip


def is_fifo() -> bool:
    """Whether the control thread got a real-time class."""
    tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    return any(os.sched_getscheduler(task) == os.SCHED_FIFO for task in tasks)


async def main(racks: int, samples: int) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rampd-bench-")))
        hall = halls.Hall("bench", racks, demo.free_net(), demo.free_port(), demo.free_port())
        site = halls.write(hall, folder)
        config = sitecheck.load(site)
        rampd = [sys.executable, "-m", "rampd.daemon.cli"]
        sim = await stack.enter_async_context(demo.start("sim", [*rampd, "sim", "--config", str(site)]))
        await stack.enter_async_context(demo.start("broker", demo.broker_command(folder, hall.mqtt_port)))
        while not any("listen" in line for line in sim.words):
            sim.check()
            await asyncio.sleep(0.1)
        daemon = Daemon(config, state_dir=folder)
        ready = asyncio.Event()
        running = asyncio.create_task(daemon.run(on_ready=lambda _: ready.set()))
        await ready.wait()
        scraping = asyncio.create_task(scrape(hall.http_port))
        runs = []
        for number in range(3):
            found = await one(daemon, config.control.hz, samples, is_fifo())
            runs.append(found)
            print(f"run {number + 1}: {found}", file=sys.stderr)
        scraping.cancel()
        policy = "fifo" if is_fifo() else "other"
        skipped = views.outputs(daemon.outputs).skipped
        daemon.stop()
        await running
    median = sorted(runs, key=lambda run: run["p99_us"] / run["cyclictest_p99_us"])[1]
    return {"policy": policy, **median, "devices": len(daemon.field.devices), "ticks_skipped": skipped}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--racks", type=int, default=1322)
    options.add_argument("--samples", type=int, default=1500)
    given = options.parse_args()
    began = time.monotonic()
    result = uvloop.run(main(given.racks, given.samples))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    print(json.dumps(result))
