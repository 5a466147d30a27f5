"""The daemon: everything composed, started, watched and stopped, in one TaskGroup."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import rampd
from rampd.daemon import ladder, realtime, restart, sitecheck, supervise
from rampd.daemon.actuate import CHECK_S, Actuation
from rampd.daemon.answers import Reply
from rampd.daemon.commands import Desk
from rampd.daemon.config import Config
from rampd.daemon.doubted import Doubted
from rampd.daemon.events import Events
from rampd.daemon.field import Field
from rampd.daemon.happenings import Happenings
from rampd.daemon.journal import Journal
from rampd.daemon.metrics import Exposition
from rampd.daemon.mirror import Mirror
from rampd.daemon.mqtt import Bus
from rampd.daemon.recorder import Recorder
from rampd.daemon.recording import Files
from rampd.daemon.show import Show
from rampd.daemon.site import Composed, compose
from rampd.daemon.sitefile import ConfigError
from rampd.daemon.sitemetrics import Sources
from rampd.daemon.unfinished import Unfinished
from rampd.daemon.web import application, serve
from rampd.drivers.server import ListenError
from rampd.ext import codes, views
from rampd.ext.image import InputWall, Memory, OutputWall
from rampd.ext.loop import Loop
from rampd.ext.tape import Tape

log = logging.getLogger("rampd.run")

FOLLOW_S: Final = 0.1


class Stopped(Exception):
    """A clean end was asked for."""


class Daemon:
    """One site under control. `shadow` computes everything and writes nothing to racks."""

    def __init__(self, config: Config, *, shadow: bool = False, state_dir: Path | None = None) -> None:
        self.config = config
        self.shadow = shadow
        self.composed: Composed = compose(config)
        limits = self.composed.limits
        self.wall = InputWall(limits)
        self.outputs = OutputWall(limits)
        self.inputs = views.inputs(self.wall)
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        memory = Memory(limits)
        self.recorder = self._recorder(memory, state_dir)
        tape = None if self.recorder is None else self.recorder.tape
        self.loop = Loop(limits, self.wall, self.outputs, memory, self.wake_fd, tape)
        self.field = Field(self.composed, self.wall, self.inputs, shadow=shadow)
        self.journal = Journal.open(None if state_dir is None else state_dir / "commands.json")
        self.desk = Desk(self.composed, self.inputs, self.journal, self._send)
        self.events = Events.open(None if state_dir is None else state_dir / "events.jsonl")
        self.desk.answers.events = self.events
        self.desk.latched = lambda: ladder.latched(self.composed, self.snapshot())
        self.ladder = ladder.Watch(self.composed, self.events)
        self.unfinished = Unfinished(self.composed, self.journal)
        self.doubted = Doubted(self.composed, self.journal, self.field.standby)
        self.happenings = Happenings(
            self.desk, self.events, self.field.up, config.site.max_mw * 1e6, self.field.standby
        )  # fmt: skip
        self.show = Show(self.composed, self.inputs, self.desk, self.field.nameplates)
        self.bus = Bus(config.mqtt, config.site.id, self.show, self.snapshot, self.field.dead_men_s)
        self.bus.desk = self.desk
        self.bus.events = self.events
        self.block_ns = 0
        self._noted = -1
        self._stop = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        deadline_ns = round(config.control.actuation_deadline_s * 1e9)
        self.actuation = Actuation(self.outputs, self.inputs, self.field.targets(), deadline_ns, self._spawn)
        self.desk.hands.actuators = self.actuation
        self.sources = Sources(
            self.composed, self.inputs, self.snapshot, self.field,
            self.actuation, self.desk, self.bus, self.recorder,
        )  # fmt: skip
        self.watch = supervise.Watch(
            tick=lambda: self.snapshot().tick, fault=lambda: self.snapshot().fault,
            actuation_ns=lambda: self.actuation.pulse_ns, overdue=lambda: self.actuation.overdue,
            allowed_ns=round(2e9 * config.control.actuation_deadline_s),
        )  # fmt: skip

    def _recorder(self, memory: Memory, state_dir: Path | None) -> Recorder | None:
        """Where a state directory is, and the site wants a recording."""
        most_bytes = self.config.record.max_mb * 1_000_000
        if state_dir is None or not most_bytes:
            return None
        tape = Tape(self.composed.limits, self.wall, memory)
        return Recorder(tape, Files(self.composed, state_dir / "recordings", most_bytes))

    def _send(self, reply: Reply) -> None:
        self.bus.send(reply)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work)

    def snapshot(self) -> views.Outputs:
        """The newest outputs; valid until the next call."""
        return views.outputs(self.outputs)

    # What runs.

    async def run(self, *, on_ready: Callable[[int], None] = lambda _: None) -> None:
        """Runs until SIGTERM, SIGINT or `stop`. `on_ready` gets the HTTP port.

        Raises WebError or ListenError when an address is taken.
        """
        loop = asyncio.get_running_loop()
        exposition = Exposition(self.sources)
        runner = await serve(application(exposition, self._health, self._ready), self.config.http)
        mirror = Mirror(self.composed, self.inputs, self.snapshot)
        if self.config.mirror is not None:
            try:
                await mirror.open(self.config.mirror.host, self.config.mirror.port)
            except ListenError:
                await runner.cleanup()
                raise
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload()))
        loop.add_reader(self.wake_fd, self._woken)
        thread = threading.Thread(target=self._control, name="rampd-control", daemon=True)
        gc.collect()
        gc.freeze()
        self._lock()
        self.events.note("daemon", state="started", version=rampd.__version__)
        self._resume()
        thread.start()
        if self.recorder is not None:
            self.recorder.start()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._start(group)
                port = runner.addresses[0][1]
                group.create_task(self._supervise(lambda: on_ready(port)))
                await self._stop.wait()
                supervise.notify("STOPPING=1")
                raise Stopped
        except* Stopped:
            log.info("stopping: the racks keep their limits until their dead-men end them")
        finally:
            self._group = None
            self.loop.stop()
            await asyncio.to_thread(thread.join)
            if self.recorder is not None:
                await asyncio.to_thread(self.recorder.stop)
            loop.remove_reader(self.wake_fd)
            os.close(self.wake_fd)
            self._last_words()
            mirror.close()
            await runner.cleanup()
            gc.unfreeze()

    def _resume(self) -> None:
        """The first tick finds what was latched, what was under way, and which meter was doubted."""
        restart.resume(self.desk)
        ladder.restore(self.composed, self.inputs, self.journal.latched)
        self.unfinished.restore(self.inputs, time.time(), time.monotonic_ns())
        self.doubted.restore(self.inputs)
        self.wall.publish(time.monotonic_ns())

    def _last_words(self) -> None:
        """What a restart must know."""
        self._keep_unfinished(last=True)
        self.events.note("daemon", state="stopped", version=rampd.__version__)
        self.events.close()
        self.journal.save()

    def stop(self) -> None:
        """Ends `run`."""
        self._stop.set()

    def _start(self, group: asyncio.TaskGroup) -> None:
        self.field.start(group)
        group.create_task(self._follow(), name="follow")
        group.create_task(self.journal.follow(FOLLOW_S), name="journal")
        group.create_task(self.events.keep(FOLLOW_S), name="events")
        group.create_task(self.bus.run(), name="mqtt")

    def _control(self) -> None:
        """The control thread: real-time when permitted, else as the system schedules it."""
        problem = realtime.be_realtime()
        self.sources.granted["sched_fifo"] = not problem
        log.info("control loop: %s", f"ordinary scheduling, {problem}" if problem else f"FIFO {realtime.PRIORITY}")
        self.loop.run()

    def _lock(self) -> None:
        problem = realtime.lock_memory()
        self.sources.granted["mlock"] = not problem
        log.info("memory: %s", f"not locked, {problem}" if problem else "locked")

    def _woken(self) -> None:
        """After each tick: set points go out at once."""
        os.eventfd_read(self.wake_fd)
        if not self.shadow:
            self.actuation.pulse(time.monotonic_ns())

    async def _follow(self) -> None:
        """Ten times a second: delivery, the command's life, and how long the event loop was away."""
        loop = asyncio.get_running_loop()
        period_s = min(CHECK_S, FOLLOW_S)
        while True:
            began_s = loop.time()
            await asyncio.sleep(period_s)
            late_ns = round((loop.time() - began_s - period_s) * 1e9)
            # A peak that fades: long enough to be seen by a scrape, not for ever.
            self.block_ns = max(late_ns, self.block_ns - self.block_ns // 100)
            self.sources.loop_block_ns = self.block_ns
            if self.shadow:
                self.actuation.heed(time.monotonic_ns())
            else:
                await self.actuation.check_all()
            self.desk.tick(self.snapshot(), time.monotonic_ns())
            if (out := self.snapshot()).tick:
                if self.field.standby is not None:
                    self.field.standby.heed(out, time.monotonic_ns())
                self.ladder.tick(out)
                if not self.shadow:
                    # Racks that were sent to their least in shadow alone have disobeyed nobody.
                    self.journal.latch(ladder.latched(self.composed, out))
            self._keep_unfinished()
            self.happenings.tick(self.snapshot(), time.monotonic(), time.time())
            self._note()

    def _keep_unfinished(self, *, last: bool = False) -> None:
        """What a restart must not forget; nothing of a hall that was only computed."""
        if not self.shadow and (out := self.snapshot()).tick:
            self.unfinished.tick(out, time.time(), time.monotonic_ns(), last=last)
            self.doubted.tick(out)

    def _note(self) -> None:
        """Whose command it is, into the recording: the core knows its number only."""
        live = self.desk.live
        if self.recorder is None or live is None or live.seq == self._noted:
            return
        self._noted = live.seq
        facts = {"seq": live.seq, "id": live.id, "who": live.who, "source": live.source.name.lower()}
        self.recorder.note(time.monotonic_ns(), facts | {"reason": live.reason})

    async def _supervise(self, on_ready: Callable[[], None]) -> None:
        """READY once the site is under control, then the watchdog, fed last."""
        while self._ready():  # noqa: ASYNC110 what it waits for happens in the control thread
            await asyncio.sleep(FOLLOW_S)
        feed_s = supervise.watchdog_s()
        supervise.notify(f"READY=1\nSTATUS={len(self.composed.racks)} racks under control")
        on_ready()
        log.info("ready: %d racks, %.2f MW", len(self.composed.racks), self.snapshot().power_w / 1e6)
        last = ""
        while True:
            await asyncio.sleep(feed_s or 1.0)
            problem = self.watch.problem(time.monotonic_ns()) if not self.shadow else ""
            if problem != last:
                log.error("watchdog not fed: %s", problem) if problem else log.info("watchdog fed again")
                last = problem
            if not problem:
                supervise.notify("WATCHDOG=1")

    def _health(self) -> str:
        out = self.snapshot()
        if not out.tick:
            return "the control loop has not begun"
        age_s = (time.monotonic_ns() - out.at_ns) * 1e-9
        if out.fault:
            return f"the control loop reports fault {out.fault}"
        return f"the last tick is {age_s:.1f} s old" if age_s > 1.0 + 5.0 / self.config.control.hz else ""

    def _ready(self) -> str:
        out = self.snapshot()
        if not out.started or math.isnan(self.desk.purchase.mean_w):
            return "the site meter has not been read yet"
        if not out.meter_good:
            if out.zone_reasons[0] & 1 << codes.R_METER_IMPLAUSIBLE:
                return "the site meter shows less than the racks"
            frozen = out.zone_reasons[0] & 1 << codes.R_METER_FROZEN
            return "the site meter is frozen" if frozen else "the site meter is stale"
        if not any(out.active[i] for i in range(len(self.composed.racks))):
            return "no rack answers yet"
        return self._health()

    async def _reload(self) -> None:
        """Validates the site file; what changed takes effect at the next start, and an invalid file changes nothing."""
        try:
            fresh = await asyncio.to_thread(sitecheck.load, self.config.path)
        except ConfigError as error:
            self.sources.reload_good = False
            self.events.note("config", result="refused", message=str(error)[:1000])
            log.error("reload refused, the running configuration stays:\n%s", error)
            return
        self.sources.reload_good = True
        same = fresh == self.config
        self.events.note("config", result="unchanged" if same else "valid")
        log.info("configuration valid, %s", "unchanged" if same else "changes take effect at a restart")
