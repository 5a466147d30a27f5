"""What became of a rack's limit: accepted (the device said so), latched (it reads back), effective (the power obeys).

Pure judgement, without I/O and clock; `daemon.actuate` acts on it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rampd.drivers.racks import Foreign, Latch, RackDriver

BURST: Final = 2.0
"""Writes that a rack may get at once, before its budget per second holds it back."""
REST_NS: Final = 300_000_000
WAIT_NS: Final = 1_000_000_000
"""The last write for longer than that waits until the set point rests, and no longer."""
OVER: Final = 3
OVER_NS: Final = 1_000_000_000
"""Power readings in a row, over so long, above every limit that could still hold: then a rack is disobedient."""


@dataclass(slots=True)
class Target:
    """One rack as actuation sees it. Times are CLOCK_MONOTONIC ns; power in W, NaN before the first.

    `faults` are the reasons why nothing is expected of it: refused (writes are not accepted), ignored (not read back),
    disobedient (the power stays above). `foreign` says what a limit that somebody else wrote means: `retake` writes
    ours again, `hold` leaves the rack to the other until it shows ours, `yield` until the other was quiet for long.
    `barred` is a rack whose limit wears out a memory: it is read and never written. A rack that is `locked` out where
    it stands is left alone until it is not. A rack that is `in_hand` is kept at the operator's `hand_w`, NaN: it is not
    touched.
    """

    id: str
    driver: RackDriver
    readback_slot: int
    verify_ns: int
    refresh_ns: int
    power_slot: int = -1
    max_w: float = math.inf
    wait_ns: int = 0  # until the power begins to follow an accepted limit, 0: not judged
    fall_w_per_s: float = math.inf  # and how slowly it may do so
    effect_w: float = 0.0  # how far above its limit a rack may draw
    writes_per_s: float = 2.0
    foreign: Foreign = "retake"
    barred: bool = False
    locked: bool = False
    in_hand: bool = False
    hand_w: float = math.nan
    wanted_w: float = math.nan
    sent_w: float = math.nan
    expect_w: float = math.nan  # what the read-back is to show
    sent_ns: int = 0
    asked_ns: int = 0
    waits_ns: int = 0  # since when something else is wanted than was sent
    accepted_ns: int = 0
    history: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=128))  # accepted: (ns, W shown)
    pending_ns: int = 0  # since when an accepted limit waits to be read back
    retry_ns: int = 0
    busy: bool = False
    latched: bool = True
    effective: bool = True
    misses: int = 0
    faults: set[str] = field(default_factory=set)
    yielded_ns: int = 0  # since when the rack is left to somebody else, 0: it is ours
    yielded_w: float = math.nan
    programming: bool = False
    program_ns: int = 0
    program_error: str = ""
    budget: float = BURST
    budget_ns: int = 0
    over: int = 0
    over_ns: int = 0  # since when
    judged_ns: int = 0  # of the power reading judged last

    @property
    def responsive(self) -> bool:
        """Whether the core may count on it."""
        return not self.faults

    @property
    def hands_off(self) -> bool:
        """Whether nothing may be written to it, because the operator said so."""
        return self.in_hand and math.isnan(self.hand_w)

    def may_write(self, now_ns: int) -> bool:
        """Whether the write budget of its map allows one now."""
        self.budget = min(BURST, self.budget + (now_ns - self.budget_ns) * 1e-9 * self.writes_per_s)
        self.budget_ns = now_ns
        return self.budget >= 1.0

    def ask(self, limit_w: float, now_ns: int) -> None:
        """Another limit is wanted from now on."""
        if self.wanted_w == self.sent_w or self.waits_ns == 0:
            self.waits_ns = now_ns
        self.wanted_w = limit_w
        self.asked_ns = now_ns

    def worth(self, now_ns: int) -> bool:
        """Whether to write now: not a step on the way of a ramp where no other write can follow it for long.

        Nothing follows a limit of 0.
        """
        if self.budget >= 2.0 or 1e9 / self.writes_per_s <= WAIT_NS or self.wanted_w == 0.0:
            return True
        return now_ns - self.asked_ns >= REST_NS or now_ns - self.waits_ns >= WAIT_NS

    def accepted(self, now_ns: int) -> None:
        """The device took what was sent last."""
        self.accepted_ns = now_ns
        self.expect_w = self.driver.expected_w
        if not self.history:
            # What it had before is not known.
            self.history.append((0, self.max_w))
        self.history.append((now_ns, self.expect_w))
        if self.latched or self.pending_ns == 0:
            self.pending_ns = now_ns
        self.latched = self.effective = False
        self.misses = 0

    def latch(self, at_ns: int, shown_w: float, now_ns: int) -> Latch:
        """What a good read-back says, asked for at `at_ns`; one from before the write says nothing.

        While a rack is moved, a reading may still show an earlier limit: that is progress too.
        """
        if at_ns > self.accepted_ns:
            if self.shows(shown_w, self.expect_w):
                return Latch.LATCHED
            if self.latched:
                return Latch.FOREIGN
        else:
            self._progress(at_ns, shown_w)
        return self.waited(now_ns)

    def waited(self, now_ns: int) -> Latch:
        """Whether the wait for the read-back is over, also where none comes."""
        if self.latched or self.misses or now_ns - self.pending_ns <= self.verify_ns:
            return Latch.WAITING
        return Latch.IGNORED

    def shows(self, shown_w: float, expected_w: float) -> bool:
        """Whether a read-back is that limit, to the resolution of its register."""
        return abs(shown_w - expected_w) <= self.driver.tolerance_w

    def _progress(self, at_ns: int, shown_w: float) -> None:
        """A reading that shows an earlier limit of ours: what waits is the one after it."""
        for k in range(len(self.history) - 2, -1, -1):
            accepted_ns, limit_w = self.history[k]
            if at_ns > accepted_ns and self.shows(shown_w, limit_w):
                self.pending_ns = max(self.pending_ns, self.history[k + 1][0])
                return

    def settles(self, at_ns: int, power_w: float) -> bool:
        """Whether this reading is the first that shows the power below the limit that latched."""
        if self.effective or not self.latched or at_ns <= self.accepted_ns or power_w > self.expect_w + self.effect_w:
            return False
        self.effective = True
        return True

    def obeys(self, at_ns: int, power_w: float) -> bool | None:
        """Whether the power of a good reading is below what every limit so far lets a rack draw; None: not known yet.

        A cap only bounds from above: a rack that draws less obeys.
        """
        if self.wait_ns == 0 or at_ns <= self.judged_ns or not self.history:
            return None
        if self.history[0][0] == 0 and self.history[1][0] > at_ns - self.wait_ns:
            return None
        self.judged_ns = at_ns
        while len(self.history) > 1 and self._allows_w(0, at_ns) <= self._allows_w(1, at_ns):
            self.history.popleft()
        most_w = max(self._allows_w(k, at_ns) for k in range(len(self.history))) + self.effect_w
        if power_w <= most_w:
            self.over = 0
            return True
        if self.over == 0:
            self.over_ns = at_ns
        self.over += 1
        return self.over < OVER or at_ns - self.over_ns < OVER_NS

    def _allows_w(self, k: int, at_ns: int) -> float:
        """What may still be drawn by a limit: all of it until the wait after the next one is over, then ever less."""
        limit_w = self.history[k][1]
        if k + 1 == len(self.history):
            return limit_w
        late_ns = at_ns - self.history[k + 1][0] - self.wait_ns
        return limit_w - self.fall_w_per_s * late_ns * 1e-9 if late_ns > 0 else limit_w

    def rebooted(self, shown_w: float) -> bool:
        """Whether a foreign limit is what a restart leaves: none."""
        return shown_w >= self.max_w - self.driver.tolerance_w
