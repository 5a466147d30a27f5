"""`rampd demo`: a simulated hall, a broker, the daemon, each its own process, and a dispatch judged from outside.

The judge reads the simulated meter with pymodbus's client and the plant's truth file; nothing of the daemon's own
opinion enters the score.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import aiomqtt
from pymodbus.client import AsyncModbusTcpClient
from rich.console import Console
from rich.live import Live

from rampd.daemon import chart, client, halls, judge, sitecheck
from rampd.daemon.config import Config
from rampd.daemon.heed import cancels, heed
from rampd.daemon.mqtt import connect, publish

SHORTEST_S: Final = 60.0
BASELINE_S: Final = 5.0
START_S: Final = 60.0
READ_S: Final = 0.05
POINTER: Final = Path.home() / ".cache" / "rampd" / "demo.json"
JANITZA_POWER: Final = 19026


class DemoError(client.Unavailable):
    """A part of the demo that did not come up; the message holds its last words."""


def running() -> Path | None:
    """The site file of a demo that runs on this machine."""
    try:
        found = json.loads(POINTER.read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
        return Path(found["site"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def free_port() -> int:
    """A TCP port that is free on the loopback now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def free_net() -> int:
    """Second byte of four neighbouring loopback nets that no other simulated hall uses."""
    for net in range(20, 240, 4):
        host, _, port = halls.address(net, 0, 0).partition(":")
        with socket.socket() as sock:
            try:
                sock.bind((host, int(port)))
            except OSError:
                continue
            return net
    raise DemoError("no loopback addresses are free for a hall: end other simulations")


def broker_command(folder: Path, port: int) -> list[str]:
    """mosquitto where it is installed, else the embedded broker."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is not None:
        path = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        path.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{user}", encoding="utf-8")
        return [found, "-c", str(path)]
    path = folder / "amqtt.yaml"
    path.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n",
        encoding="utf-8",
    )
    return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(path)]


@dataclass
class Part:
    """A child process with its last words."""

    name: str
    process: asyncio.subprocess.Process
    words: deque[str] = field(default_factory=lambda: deque(maxlen=40))

    async def listen(self) -> None:
        """Keeps the last lines of its stderr."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.words.append(line.decode(errors="replace").rstrip())

    def check(self) -> None:
        """Raises DemoError when it has ended."""
        if self.process.returncode is not None:
            said = "\n".join(self.words)
            raise DemoError(f"{self.name} ended with {self.process.returncode}:\n{said}")


@contextlib.asynccontextmanager
async def start(name: str, command: list[str]) -> AsyncIterator[Part]:
    """A child that is ended with the block: asked first, then made to.

    It has a session of its own: a Ctrl-C is for the demo, which ends its children itself.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    part = Part(name, process)
    listener = asyncio.create_task(part.listen())
    try:
        yield part
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(5.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await listener


@dataclass
class Dispatch:
    """What the demo sees from outside: meter samples, the daemon's state, and events."""

    config: Config
    began_s: float = field(default_factory=time.monotonic)
    samples: list[tuple[float, float]] = field(default_factory=list)
    reference: list[tuple[float, float]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    state: dict[str, Any] | None = None
    title: str = "starting"

    def say(self, text: str) -> None:
        """Notes an event with its time."""
        self.events.append(f"{time.monotonic() - self.began_s:6.1f} s  {text}")

    async def read_meter(self) -> None:
        """The independent reader: the simulated meter over Modbus, twenty times a second."""
        meter = next(m for m in self.config.meters if m.id == self.config.site.meter)
        host, _, port = meter.address.partition(":")
        modbus = AsyncModbusTcpClient(host, port=int(port), timeout=1.0, retries=0)
        before = cancels()
        try:
            if not await modbus.connect():
                raise DemoError(f"the simulated meter at {meter.address} does not answer")
            heed(before)
            due_s = time.monotonic()
            while True:
                answer = await modbus.read_holding_registers(JANITZA_POWER, count=2, device_id=meter.unit)
                watts = float(modbus.convert_from_registers(answer.registers, modbus.DATATYPE.FLOAT32))  # type: ignore[arg-type]
                heed(before)
                self.samples.append((time.monotonic(), watts))
                due_s = max(due_s + READ_S, time.monotonic())
                await asyncio.sleep(due_s - time.monotonic())
        finally:
            modbus.close()

    async def listen(self, bus: aiomqtt.Client) -> None:
        """State and acknowledgements, as any client sees them."""
        async for message in bus.messages:
            is_state = str(message.topic).endswith("/state")
            payload = client.said(message, client.STATE if is_state else client.ACK)
            if is_state:
                self.state = payload
                if payload["reference_w"] is not None:
                    self.reference.append((time.monotonic(), payload["reference_w"]))
            else:
                note = f" ({payload['message']})" if payload["message"] else ""
                self.say(f"{payload['stage']:<9} {(payload['power_w'] or 0) / 1e6:8.3f} MW{note}")

    async def step(self, bus: aiomqtt.Client, percent: float, seconds: float) -> judge.Score:
        """Sends a five-second command and scores what the meter does in `seconds`."""
        root = f"{self.config.mqtt.prefix}/{self.config.site.id}"
        now_s = time.monotonic()
        before = [w for at, w in self.samples if at >= now_s - 1.0]
        from_w = sum(before) / len(before)
        target_w = percent / 100 * self.config.site.max_mw * 1e6
        self.title = f"{percent:g} % = {target_w / 1e6:.2f} MW in five seconds"
        self.say(f"command   {percent:g} % in 5 s")
        command = client.envelope("demo") | {"percent": percent, "ramp_s": 5.0}
        begun_s = time.monotonic()
        await publish(bus, f"{root}/cmd/setpoint", json.dumps(command), qos=1)
        await asyncio.sleep(seconds)
        found = judge.score(self.samples, begun_s, from_w, target_w)
        settled = "did not settle" if found.t_s is None else f"settled in {found.t_s:.1f} s"
        self.say(
            f"meter     {settled}, overshoot {found.overshoot_ratio:.1%}, final error {found.final_error_ratio:.2%}"
        )
        return found


async def run(*, racks: int, seconds: float, seed: int, as_json: bool) -> int:
    """The whole demo; returns the exit code: 0 when the site settled and no limit was broken."""
    folder = Path(tempfile.mkdtemp(prefix="rampd-demo-"))
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await _run(folder, racks=racks, seconds=seconds, seed=seed, as_json=as_json)
    except asyncio.CancelledError:
        return 130
    except ExceptionGroup as group:
        # One part that ended is the story; what its end tore down is not.
        raise group.exceptions[0] from None
    finally:
        POINTER.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: Path, *, racks: int, seconds: float, seed: int, as_json: bool) -> int:
    hall = halls.Hall(f"demo-{racks}", racks, free_net(), free_port(), free_port())
    site = halls.write(hall, folder)
    config = sitecheck.load(site)
    truth = folder / "truth.jsonl"
    rampd = [sys.executable, "-m", "rampd.daemon.cli"]
    console = Console(stderr=True)
    console.print(f"starting {racks} racks, {config.site.max_mw:g} MW, a broker and rampd ...", style="dim")
    async with contextlib.AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            start("rampd sim", [*rampd, "sim", "--config", str(site), "--seed", str(seed), "--truth", str(truth)])
        )
        broker = await stack.enter_async_context(start("broker", broker_command(folder, hall.mqtt_port)))
        await _until(lambda: any("listen" in line for line in sim.words), [sim, broker], "the simulated hall")
        daemon = await stack.enter_async_context(start("rampd run", [*rampd, "run", "--config", str(site)]))
        parts = [sim, broker, daemon]
        await _until_ready(hall.http_port, parts)
        POINTER.parent.mkdir(parents=True, exist_ok=True)
        POINTER.write_text(json.dumps({"pid": os.getpid(), "site": str(site)}), encoding="utf-8")
        where = (
            f"metrics http://127.0.0.1:{hall.http_port}/metrics   topics {config.mqtt.prefix}/{config.site.id}/# on "
            f"127.0.0.1:{hall.mqtt_port}\n"
            "from a second terminal: rampd status --watch | rampd set 60% --in 5s | rampd release"
        )
        dispatch = Dispatch(config)
        down, up = await _dispatch(dispatch, seconds, parts, where, quiet=as_json)
        skipped = await _skipped(hall.http_port)
    violations = _violations(truth)
    summary = {
        "down": asdict(down),
        "up": asdict(up),
        "limit_violations": violations,
        "ticks_skipped": skipped,
        "racks": racks,
    }
    if as_json:
        print(json.dumps(summary))
    else:
        _report(summary, config)
    return 0 if down.t_s is not None and violations == 0 else 1


async def _until(done: Callable[[], bool], parts: list[Part], what: str) -> None:
    """Waits for a condition, as long as all parts live. Raises DemoError."""
    deadline_s = time.monotonic() + START_S
    while not done():
        for part in parts:
            part.check()
        if time.monotonic() > deadline_s:
            raise DemoError(f"{what} did not come up in {START_S:g} s:\n" + "\n".join(parts[-1].words))
        await asyncio.sleep(0.05)


async def _until_ready(port: int, parts: list[Part]) -> None:
    ready = False

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal ready
        while not ready:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    ready = answer.status == 200
            await asyncio.sleep(0.1)

    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(ask(session))
        try:
            await _until(lambda: ready, parts, "rampd")
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def _dispatch(
    dispatch: Dispatch, seconds: float, parts: list[Part], where: str, *, quiet: bool
) -> tuple[judge.Score, judge.Score]:
    """100 % -> 40 % -> 100 %, shown live."""
    config = dispatch.config
    root = f"{config.mqtt.prefix}/{config.site.id}"
    async with connect(config.mqtt, name=f"rampd-demo-{os.getpid()}") as (bus, _):
        before = cancels()
        await bus.subscribe([(f"{root}/state", 1), (f"{root}/ack/#", 1)])
        heed(before)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(dispatch.read_meter()),
                group.create_task(dispatch.listen(bus)),
                group.create_task(_watch(parts)),
            ]
            if not quiet:
                tasks.append(group.create_task(_show(dispatch, where)))
            await _steady(dispatch)
            down_s = max(16.0, 0.3 * seconds)
            down = await dispatch.step(bus, 40, down_s)
            up = await dispatch.step(bus, 100, seconds - BASELINE_S - down_s)
            dispatch.title = "done"
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
    return down, up


async def _watch(parts: list[Part]) -> None:
    while True:
        for part in parts:
            part.check()
        await asyncio.sleep(0.2)


async def _steady(dispatch: Dispatch) -> None:
    """Waits for the site to stand at its default, then takes the baseline."""
    default_w = dispatch.config.site.default_mw * 1e6
    deadline_s = time.monotonic() + START_S
    dispatch.title = "standing at the default"
    while time.monotonic() < deadline_s:
        recent = [w for at, w in dispatch.samples if at >= time.monotonic() - 2.0]
        if len(recent) > 20 and all(abs(w - default_w) < 0.01 * default_w for w in recent):
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(BASELINE_S)


async def _show(dispatch: Dispatch, where: str) -> None:
    console = Console()
    top_w = dispatch.config.site.max_mw * 1e6 * 1.1

    def frame() -> Any:
        since_s = time.monotonic() - 62.0
        power = [s for s in dispatch.samples[-2000:] if s[0] >= since_s]
        reference = [s for s in dispatch.reference if s[0] >= since_s]
        return chart.picture(dispatch.title, power, reference, top_w, dispatch.state, dispatch.events, where)

    if not console.is_terminal:
        shown = 0
        console.print(where)
        while True:
            for line in dispatch.events[shown:]:
                console.print(line, highlight=False)
            shown = len(dispatch.events)
            await asyncio.sleep(0.2)
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(frame(), refresh=True)
                await asyncio.sleep(0.25)
        finally:
            live.update(frame(), refresh=True)


async def _skipped(port: int) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    found = re.search(r"^rampd_ticks_skipped_total (\S+)$", text, re.MULTILINE)
    if found is None:
        raise DemoError("rampd_ticks_skipped_total is missing from /metrics")
    return int(float(found[1]))


def _violations(truth: Path) -> int:
    """Truth samples in which a rack, a node or the site was above its limit."""
    count = 0
    for line in truth.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        count += any(sample[key] > 1.0 for key in ("rack_over_w", "limit_over_w", "node_over_w", "site_over_w"))
    return count


def _report(summary: dict[str, Any], config: Config) -> None:
    console = Console()
    console.rule("summary")
    for name, percent in (("down", 40), ("up", 100)):
        found = summary[name]
        settled = "not settled" if found["t_s"] is None else f"{found['t_s']:5.2f} s"
        console.print(
            f"  {name:<5} to {percent / 100 * config.site.max_mw:7.2f} MW   {settled}   "
            f"overshoot {found['overshoot_ratio']:.2%}   final error {found['final_error_ratio']:.2%}",
            highlight=False,
        )
    console.print(
        f"  limits broken in {summary['limit_violations']} samples, {summary['ticks_skipped']} control periods skipped",
        highlight=False,
    )
    if summary["up"]["t_s"] is None or summary["up"]["t_s"] > 5:
        console.print(
            "  (miners wake at 5 % a second: the way up is theirs, see docs/demo.md)", style="dim", highlight=False
        )
