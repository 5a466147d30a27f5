"""Set points to the racks: one write under way per rack, the latest wins, and each is followed until it is obeyed.

A write is accepted (echoed), latched (read back), effective (the power obeys); each has its deadline. A rack that fails
one of them is unresponsive: its share goes to others while rampd tries on. An output older than the actuation deadline
is not written, and every limit is written again at a third of `deadman_s`, from a good tick only.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.daemon.delivery import Target
from rampd.drivers.racks import NOT_DELIVERED, Latch
from rampd.drivers.register import RegisterError
from rampd.ext import codes, views
from rampd.ext.image import OutputWall

log = logging.getLogger("rampd.actuate")

RETRY_NS: Final = 500_000_000
CHECK_S: Final = 0.1
AT_ONCE: Final = 128
"""Racks that are written or checked in a row: a few milliseconds, then the event loop serves others."""
PROGRAM_PAUSE_NS: Final = 2_000_000_000
YIELD_NS: Final = 600_000_000_000
"""How long another writer must have been quiet until a rack that yields is ours again."""


@dataclass(slots=True)
class Actuation:
    """All racks. `pulse` runs after each tick, `check_all` ten times a second; `spawn` owns the tasks it starts."""

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
        for i, target in enumerate(self.targets):
            target.locked = target.driver.locked_out
            self.tell(i)

    def pulse(self, now_ns: int) -> None:
        """Takes the newest snapshot to the racks, unless it is too old to act on."""
        out = views.outputs(self.outputs)
        if now_ns - out.at_ns > self.deadline_ns or out.fault:
            return
        self.pulse_ns = now_ns
        moved = [i for i in self.outputs.moved(self._last_w) if not self.targets[i].in_hand]
        for i in moved:
            self.targets[i].ask(self._last_w[i], now_ns)
        self._send_some(moved, now_ns)

    def _send_some(self, moved: Sequence[int], now_ns: int) -> None:
        """Writes to the first of them now, to the others in the next turns of the event loop."""
        for i in moved[:AT_ONCE]:
            if self.ready(self.targets[i], now_ns):
                self.send(i, now_ns)
        if len(moved) > AT_ONCE:
            asyncio.get_running_loop().call_soon(self._send_some, moved[AT_ONCE:], now_ns)

    @staticmethod
    def ready(target: Target, now_ns: int) -> bool:
        """Whether a write may go out now: none under way, no pause after a failed one, ours, within its budget."""
        if target.busy or now_ns < target.retry_ns or target.yielded_ns or target.barred or target.hands_off:
            return False
        if target.locked:
            return False
        return target.may_write(now_ns) and target.worth(now_ns)

    @staticmethod
    def refreshes(target: Target, now_ns: int) -> bool:
        """Whether it is time to write the same again, for the dead-man that watches it."""
        return target.driver.dead_man is not None and now_ns - target.sent_ns >= target.refresh_ns

    def send(self, i: int, now_ns: int) -> None:
        """One write, of the latest wanted limit."""
        target = self.targets[i]
        target.busy = True
        target.sent_w = target.wanted_w
        target.sent_ns = now_ns
        target.budget -= 1.0
        self.stages["sent"] += 1
        try:
            future = target.driver.set_limit(target.wanted_w)
        except RegisterError as error:
            target.busy = False
            log.error("%s: %s", target.id, error)
            self.miss(i, now_ns)
            return
        future.add_done_callback(lambda done: self.done(i, done))

    def done(self, i: int, future: asyncio.Future[Any]) -> None:
        """The device accepted, refused, or did not answer."""
        target = self.targets[i]
        now_ns = time.monotonic_ns()
        target.busy = False
        if future.cancelled() or isinstance(error := future.exception(), NOT_DELIVERED):
            log.debug("%s: limit not accepted: %s", target.id, "cancelled" if future.cancelled() else error)
            self.miss(i, now_ns)
            return
        future.result()
        self.stages["accepted"] += 1
        target.accepted(now_ns)
        if target.wanted_w != target.sent_w and self.ready(target, now_ns):
            self.send(i, now_ns)

    def miss(self, i: int, now_ns: int) -> None:
        """A write that was not accepted: tried again soon; after the second in a row the rack is unresponsive."""
        target = self.targets[i]
        self.stages["failed"] += 1
        target.misses += 1
        target.retry_ns = now_ns + RETRY_NS
        target.latched = False
        if target.misses >= 2:
            self.blame(i, "refused", "writes are not accepted")

    def blame(self, i: int, fault: str, why: str) -> None:
        """Takes a rack out of the core's hands; the log says so once."""
        target = self.targets[i]
        if not target.faults:
            log.warning("%s: unresponsive: %s; its share goes to others", target.id, why)
        target.faults.add(fault)
        self.tell(i)

    def clear(self, i: int, *faults: str) -> None:
        """Faults that are over; with the last one the rack is the core's again."""
        target = self.targets[i]
        if not target.faults.intersection(faults):
            return
        target.faults.difference_update(faults)
        if not target.faults:
            # The set point that stands is the core's again; the next pulse writes what it wants.
            self._last_w[i] = math.nan
            log.info("%s: responsive again", target.id)
        self.tell(i)

    def tell(self, i: int) -> None:
        """What the core may do with a rack."""
        target = self.targets[i]
        state = codes.UNRESPONSIVE if target.faults else codes.AVAILABLE
        if target.barred or target.yielded_ns or target.in_hand:
            state = codes.MANUAL
        if target.locked:
            state = codes.LOCKED
        self.inputs.rack_state[i] = state

    def lock(self, i: int, now_ns: int) -> None:
        """A rack was locked out where it stands, or is free again; what it was blamed for meanwhile does not count."""
        target = self.targets[i]
        target.locked = not target.locked
        if target.locked:
            log.warning("%s: locked out where it stands: it is not steered until that ends", target.id)
        else:
            log.info("%s: no longer locked out", target.id)
            target.faults.clear()
            target.misses = 0
            target.latched = False
            target.pending_ns = now_ns
            # The next pulse writes what the core wants.
            self._last_w[i] = math.nan
        self.tell(i)

    def take(self, i: int, limit_w: float) -> None:
        """Puts a rack into the operator's hand: it is written that limit and no other, NaN: nothing at all."""
        target = self.targets[i]
        target.in_hand, target.hand_w = True, limit_w
        if not math.isnan(limit_w):
            target.wanted_w = limit_w
            target.asked_ns = time.monotonic_ns()
        self.tell(i)

    def give_back(self, i: int) -> None:
        """A rack is the core's again, which has followed what it shows; the next pulse writes what the core wants."""
        target = self.targets[i]
        target.in_hand = False
        target.pending_ns = time.monotonic_ns()
        self._last_w[i] = math.nan
        self.tell(i)

    def writable(self, i: int) -> bool:
        """Whether a rack is written to at all."""
        return not self.targets[i].barred

    def heed(self, now_ns: int) -> None:
        """Which racks are locked out, where nothing is written and so nothing checked."""
        for i, target in enumerate(self.targets):
            if target.driver.locked_out != target.locked:
                self.lock(i, now_ns)

    async def check_all(self) -> None:
        """`check` of all racks, some at a time."""
        for begin in range(0, len(self.targets), AT_ONCE):
            self.check(time.monotonic_ns(), begin)
            await asyncio.sleep(0)

    def check(self, now_ns: int, begin: int = 0) -> None:
        """Of some racks: retries, verifies read-backs and power, refreshes dead-men, programs what needs it."""
        good = now_ns - self.pulse_ns <= self.deadline_ns
        for i in range(begin, min(begin + AT_ONCE, len(self.targets))):
            target = self.targets[i]
            if target.driver.locked_out != target.locked:
                self.lock(i, now_ns)
                continue
            if target.barred or target.hands_off or target.locked:
                continue
            if math.isnan(target.wanted_w):
                # Not taken over yet. Its dead-man is programmed all the same.
                self.program(i, now_ns)
                continue
            if target.busy:
                continue
            if good and (target.misses or target.wanted_w != target.sent_w) and self.ready(target, now_ns):
                self.send(i, now_ns)
            elif good and self.refreshes(target, now_ns) and self.ready(target, now_ns):
                self.stages["refreshed"] += 1
                self.send(i, now_ns)
            else:
                self.verify(i, now_ns, good=good)
            self.program(i, now_ns)

    def verify(self, i: int, now_ns: int, *, good: bool) -> None:
        """Compares read-back and power with what was accepted."""
        target, inputs = self.targets[i], self.inputs
        slot = target.readback_slot
        # A limit that is not enabled is none.
        shown_w = target.max_w if target.driver.in_force() is False else inputs.value[slot]
        readable = inputs.quality[slot] == codes.GOOD
        found = own = target.driver.verdict()
        if found is None:
            found = target.latch(inputs.at_ns[slot], shown_w, now_ns) if readable else target.waited(now_ns)
        elif found is Latch.FOREIGN and not target.latched:
            found = target.waited(now_ns)
        if target.yielded_ns:
            self.watch_other(i, found, shown_w, now_ns)
        elif found is Latch.LATCHED:
            self.latch(i)
        elif found is Latch.FOREIGN and own is None:
            self.foreign(i, shown_w, now_ns, good=good)
        elif found is Latch.FOREIGN:
            self.split_anew(i, now_ns, good=good)
        elif found is Latch.IGNORED:
            self.stages["ignored"] += "ignored" not in target.faults
            self.blame(i, "ignored", "the limit is accepted, but not read back")
            if good and now_ns - target.sent_ns > RETRY_NS and self.ready(target, now_ns):
                self.send(i, now_ns)
        self.weigh(i)

    def latch(self, i: int) -> None:
        """The read-back shows what was accepted."""
        target = self.targets[i]
        if not target.latched:
            target.latched = True
            target.pending_ns = 0
            self.stages["latched"] += 1
        if not target.misses:
            self.clear(i, "refused", "ignored")

    def weigh(self, i: int) -> None:
        """Whether the power obeys the limits that were accepted."""
        target, inputs = self.targets[i], self.inputs
        slot = target.power_slot
        if slot < 0 or inputs.quality[slot] != codes.GOOD:
            return
        at_ns, power_w = inputs.at_ns[slot], inputs.value[slot]
        if target.settles(at_ns, power_w):
            self.stages["effective"] += 1
        obeys = target.obeys(at_ns, power_w)
        if obeys is False:
            self.stages["disobeyed"] += "disobedient" not in target.faults
            self.blame(i, "disobedient", f"its limit is in force, but it draws {power_w / 1e3:.1f} kW")
        elif obeys and target.over == 0:
            self.clear(i, "disobedient")

    def foreign(self, i: int, shown_w: float, now_ns: int, *, good: bool) -> None:
        """A limit that was ours is not any more. What a restart of the device left is always taken back."""
        target = self.targets[i]
        target.latched = False
        target.pending_ns = now_ns
        self.stages["foreign"] += 1
        restart = target.rebooted(shown_w)
        leave = target.foreign != "retake" and not restart
        log.warning(
            "%s: limit reads %.0f W, ours is %.0f W: %s; %s", target.id, shown_w, target.expect_w,
            "the device was restarted or somebody else wrote it" if restart else "somebody else wrote it",
            "leaving the rack to them" if leave else "taking it back",
        )  # fmt: skip
        if leave:
            target.yielded_ns = now_ns
            target.yielded_w = shown_w
            self.tell(i)
        elif good and self.ready(target, now_ns):
            self.send(i, now_ns)

    def split_anew(self, i: int, now_ns: int, *, good: bool) -> None:
        """Members of a rack hold other limits than they were given, or fell silent: the others make up for it."""
        target = self.targets[i]
        target.latched = False
        target.pending_ns = now_ns
        self.stages["resplit"] += 1
        if good and self.ready(target, now_ns):
            self.send(i, now_ns)

    def watch_other(self, i: int, found: Latch, shown_w: float, now_ns: int) -> None:
        """A rack that is left to another writer comes back when it shows our limit, or after a long quiet."""
        target = self.targets[i]
        if not target.shows(shown_w, target.yielded_w):
            target.yielded_ns = now_ns
            target.yielded_w = shown_w
        quiet = target.foreign == "yield" and now_ns - target.yielded_ns > YIELD_NS
        if found is Latch.LATCHED or quiet:
            log.info("%s: ours again", target.id)
            target.yielded_ns = 0
            target.pending_ns = now_ns
            self._last_w[i] = math.nan
            self.tell(i)

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
        except (*NOT_DELIVERED, RegisterError) as error:
            if str(error) != target.program_error:
                target.program_error = str(error)
                log.warning("%s: cannot be programmed: %s; trying on", target.id, error)
        else:
            target.program_error = ""
            self.stages["programmed"] += 1
        finally:
            target.programming = False

    @property
    def overdue(self) -> int:
        """Racks whose wanted limit waits longer than the deadline for a write that should get through."""
        now_ns = time.monotonic_ns()
        return sum(
            1
            for t in self.targets
            if t.responsive
            and not math.isnan(t.wanted_w)
            and t.wanted_w != t.sent_w
            and not (t.busy or t.barred or t.yielded_ns or t.hands_off or t.locked)
            and now_ns - t.asked_ns > 2 * self.deadline_ns + 1e9 / t.writes_per_s
        )

    def unarmed(self) -> list[str]:
        """Racks without a dead-man, or whose dead-man does not read back as programmed."""
        return [t.id for t in self.targets if t.driver.dead_man is None or not t.driver.programmed()]
