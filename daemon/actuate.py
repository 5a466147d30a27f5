"""Set points to the racks: one write under way per rack, the latest wins, and each is followed until it is latched.

A write is accepted (echoed), then latched (read back). A rack that does neither in time is unresponsive: its share goes
to others while rampd tries on. An output older than the actuation deadline is not written, and every limit is written
again at a third of the device's dead-man time, from a good tick only.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.drivers.racks import RackDriver
from rampd.drivers.register import RegisterError
from rampd.ext import codes, views
from rampd.ext.image import OutputWall
from rampd.ext.link import ModbusError

log = logging.getLogger("rampd.actuate")

RETRY_NS: Final = 500_000_000
CHECK_S: Final = 0.1
PROGRAM_PAUSE_NS: Final = 2_000_000_000


@dataclass(slots=True)
class Target:
    """One rack as actuation sees it. Times are CLOCK_MONOTONIC ns; power in W, NaN before the first."""

    id: str
    driver: RackDriver
    readback_slot: int
    verify_ns: int
    refresh_ns: int
    wanted_w: float = math.nan
    sent_w: float = math.nan
    sent_ns: int = 0
    asked_ns: int = 0
    accepted_ns: int = 0
    history: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=8))  # accepted: (ns, W)
    pending_ns: int = 0  # since when an accepted limit waits to be read back
    retry_ns: int = 0
    busy: bool = False
    latched: bool = True
    misses: int = 0
    responsive: bool = True
    programming: bool = False
    program_ns: int = 0


@dataclass(slots=True)
class Actuation:
    """All racks. `pulse` runs after each tick, `check` ten times a second; `spawn` owns the tasks it starts."""

    outputs: OutputWall
    inputs: views.Inputs
    targets: list[Target]
    deadline_ns: int
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    stages: Counter[str] = field(default_factory=Counter)
    pulse_ns: int = 0
    _last_w: array[float] = field(init=False)

    def __post_init__(self) -> None:
        self._last_w = array("d", [math.nan] * len(self.targets))

    def pulse(self, now_ns: int) -> None:
        """Takes the newest snapshot to the racks, unless it is too old to act on."""
        out = views.outputs(self.outputs)
        if now_ns - out.at_ns > self.deadline_ns or out.fault:
            return
        self.pulse_ns = now_ns
        for i in self.outputs.moved(self._last_w):
            target = self.targets[i]
            target.wanted_w = self._last_w[i]
            target.asked_ns = now_ns
            if not target.busy and now_ns >= target.retry_ns:
                self.send(i, now_ns)

    def send(self, i: int, now_ns: int) -> None:
        """One write, of the latest wanted limit."""
        target = self.targets[i]
        target.busy = True
        target.sent_w = target.wanted_w
        target.sent_ns = now_ns
        self.stages["sent"] += 1
        try:
            future = target.driver.set_limit(target.wanted_w)
        except RegisterError as error:
            target.busy = False
            log.error("%s: %s", target.id, error)
            self.miss(i, now_ns)
            return
        future.add_done_callback(lambda done: self.done(i, done))

    def done(self, i: int, future: asyncio.Future[bytes | None]) -> None:
        """The device accepted, refused, or did not answer."""
        target = self.targets[i]
        now_ns = time.monotonic_ns()
        target.busy = False
        if future.cancelled() or isinstance(future.exception(), ModbusError):
            self.miss(i, now_ns)
            return
        future.result()
        self.stages["accepted"] += 1
        target.accepted_ns = now_ns
        target.history.append((now_ns, target.sent_w))
        if target.latched or target.pending_ns == 0:
            target.pending_ns = now_ns
        target.latched = False
        target.misses = 0
        if target.wanted_w != target.sent_w:
            self.send(i, now_ns)

    def miss(self, i: int, now_ns: int) -> None:
        """A write that was not accepted: tried again soon; after the second in a row the rack is unresponsive."""
        target = self.targets[i]
        self.stages["failed"] += 1
        target.misses += 1
        target.retry_ns = now_ns + RETRY_NS
        target.latched = False
        if target.misses >= 2:
            self.judge(i, responsive=False, why="writes are not accepted")

    def judge(self, i: int, *, responsive: bool, why: str) -> None:
        """Tells the core, and the log on a change."""
        target = self.targets[i]
        if responsive == target.responsive:
            return
        target.responsive = responsive
        self.inputs.rack_state[i] = codes.AVAILABLE if responsive else codes.UNRESPONSIVE
        if responsive:
            # The set point that stands is the core's again; the next pulse writes what it wants.
            self._last_w[i] = math.nan
            log.info("%s: responsive again", target.id)
        else:
            log.warning("%s: unresponsive: %s; its share goes to others", target.id, why)

    def check(self, now_ns: int) -> None:
        """Retries, verifies read-backs, refreshes dead-men, programs devices that need it."""
        good = now_ns - self.pulse_ns <= self.deadline_ns
        for i, target in enumerate(self.targets):
            if math.isnan(target.wanted_w):
                # Not taken over yet. Its dead-man is programmed all the same.
                self.program(i, now_ns)
                continue
            if target.busy:
                continue
            if good and now_ns >= target.retry_ns and (target.misses or target.wanted_w != target.sent_w):
                self.send(i, now_ns)
            elif good and now_ns - target.sent_ns >= target.refresh_ns:
                self.stages["refreshed"] += 1
                self.send(i, now_ns)
            else:
                self.verify(i, now_ns, good=good)
            self.program(i, now_ns)

    def verify(self, i: int, now_ns: int, *, good: bool) -> None:
        """Compares the read-back with what was accepted; a limit that somebody else wrote is taken back.

        While a rack is moved, a reading may still show an earlier limit: that is progress too.
        """
        target = self.targets[i]
        slot = target.readback_slot
        at_ns = self.inputs.at_ns[slot]
        if self.inputs.quality[slot] == codes.GOOD and at_ns > target.accepted_ns:
            if abs(self.inputs.value[slot] - target.sent_w) <= target.driver.tolerance_w:
                self.latch(i)
                return
            if target.latched:
                self.foreign(i, now_ns, good=good)
                return
        elif self.inputs.quality[slot] == codes.GOOD:
            self.progress(target, at_ns, self.inputs.value[slot])
        if target.latched or target.misses or now_ns - target.pending_ns <= target.verify_ns:
            return
        self.stages["ignored"] += target.responsive
        self.judge(i, responsive=False, why="the limit is accepted, but not read back")
        if good and now_ns - target.sent_ns > RETRY_NS:
            self.send(i, now_ns)

    @staticmethod
    def progress(target: Target, at_ns: int, value_w: float) -> None:
        """A reading that shows an earlier limit of ours: what waits is the one after it."""
        for k in range(len(target.history) - 2, -1, -1):
            accepted_ns, limit_w = target.history[k]
            if at_ns > accepted_ns and abs(value_w - limit_w) <= target.driver.tolerance_w:
                target.pending_ns = max(target.pending_ns, target.history[k + 1][0])
                return

    def latch(self, i: int) -> None:
        """The read-back shows what was sent."""
        target = self.targets[i]
        if not target.latched:
            target.latched = True
            target.pending_ns = 0
            self.stages["latched"] += 1
        if not target.misses:
            self.judge(i, responsive=True, why="")

    def foreign(self, i: int, now_ns: int, *, good: bool) -> None:
        """A limit that was ours is not any more."""
        target = self.targets[i]
        target.latched = False
        target.pending_ns = now_ns
        self.stages["foreign"] += 1
        log.warning(
            "%s: limit reads %.0f W, ours is %.0f W: somebody else wrote it; taking it back",
            target.id, self.inputs.value[target.readback_slot], target.sent_w,
        )  # fmt: skip
        if good:
            self.send(i, now_ns)

    def program(self, i: int, now_ns: int) -> None:
        """Programs the dead-man of a device that does not read back as programmed."""
        target = self.targets[i]
        if target.programming or now_ns < target.program_ns or target.driver.programmed() is not False:
            return
        target.programming = True
        target.program_ns = now_ns + PROGRAM_PAUSE_NS
        self.spawn(self._program_one(target))

    async def _program_one(self, target: Target) -> None:
        try:
            await target.driver.program()
            self.stages["programmed"] += 1
        except ModbusError as error:
            log.debug("%s: dead-man not programmed: %s", target.id, error)
        finally:
            target.programming = False

    @property
    def overdue(self) -> int:
        """Racks whose wanted limit waits longer than the deadline for a write that should get through."""
        now_ns = time.monotonic_ns()
        return sum(
            1
            for t in self.targets
            if t.responsive and t.wanted_w != t.sent_w and not t.busy and now_ns - t.asked_ns > 2 * self.deadline_ns
        )

    def unarmed(self) -> list[str]:
        """Racks without a dead-man, or whose dead-man does not read back as programmed."""
        return [t.id for t in self.targets if t.driver.dead_man is None or not t.driver.programmed()]
