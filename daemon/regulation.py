"""Regulation: a signal every few seconds says how far the purchase is to be beside the set point that holds.

It replaces nobody: the default, the schedule and remote commands go on below it. It lives for a few seconds, and a
signal that does not come ends it: the core brings the purchase back along the normal ramp, where the channel was heard
since. Where it was lost, what regulation has moved stays until a fresh signal or command, and for no longer than
the site waits for a channel where it is a rise; over a restart as well. A day has 21,600 signals: each is answered, and
the audit trail has their begin and their end.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rampd.daemon.answers import Answers, Sender
from rampd.daemon.arbitrate import Source
from rampd.daemon.channel import Channel
from rampd.daemon.config import Grid
from rampd.daemon.messages import Rejected, Signal
from rampd.ext import codes, views

log = logging.getLogger("rampd.regulation")

SHORT_PART: Final = 0.01
"""Of what the site offers: so much less is short."""


@dataclass(slots=True)
class Regulation:
    """The signal that holds, in the image and as it was told. Powers in W, times CLOCK_MONOTONIC ns."""

    grid: Grid
    slot: views.Command
    answers: Answers
    id: str | None = None  # of the newest signal while one holds
    barred: bool = False  # an emergency, or the way back from it
    _sender: Sender = field(default_factory=Sender)
    _issued_at: datetime | None = None
    _count: int = 0
    _lost_ns: int = 0  # since when its channel was silent, 0: it is not held for that
    _lapsed: bool = False  # the last one ended by itself, and goes back as long as the channel lives
    _short: str | None = None  # the signal of which it was said last that not all of it can be given
    _told: bool = False  # and whether that was said of this stream
    _stands_w: float = 0.0
    _blind: bool = False
    _faulty: bool = False
    _kept: dict[str, Any] | None = None  # what a restart must know of what is held

    def take(self, signal: Signal, sender: Sender, now_ns: int) -> None:
        """The newest signal holds from here on. Raises Rejected."""
        power_w = self._power_w(signal)
        lease_s = self.grid.regulation_lease_s if signal.lease_s is None else signal.lease_s
        if lease_s > self.grid.regulation_lease_s:
            raise Rejected(
                "lease", f"lease_s {lease_s:g} exceeds the site's {self.grid.regulation_lease_s:g}", signal.id
            )
        if self.barred:
            found = "the site is in an emergency, or on its way back: a fresh set point ends that"
            raise Rejected("emergency", found, signal.id)
        if self._issued_at is not None and signal.issued_at < self._issued_at:
            raise Rejected("late", f"a signal that was issued after it holds, {self.id}", signal.id)
        begins = self.id is None
        self.id, self._sender, self._issued_at = signal.id, sender, signal.issued_at
        self._count = 1 if begins else self._count + 1
        self._told = self._told and not begins
        hindrance = self._hindrance(power_w)
        self._lost_ns = 0
        self.slot.regulation_seq += 1
        self.slot.regulation_after = codes.AFTER_FLAT
        self.slot.regulation_w = power_w
        self.slot.regulation_ns = now_ns + round(lease_s * 1e9)
        self.answers.say(
            "regulation", signal.id, "accepted", sender, source=Source.REGULATION, routine=not begins,
            code="held" if hindrance else "ok",
            message=hindrance or (f"within {self.grid.regulation_mw:g} MW of the set point" if begins else ""),
            asked={"regulation_w": round(power_w, 1), "lease_s": lease_s},
        )  # fmt: skip

    def _power_w(self, signal: Signal) -> float:
        """How far beside the set point. Raises Rejected where the site does not offer as much."""
        most_w = self.grid.regulation_mw * 1e6
        power_w = signal.power_w if signal.part is None else signal.part * most_w
        if power_w is None or not most_w:
            raise Rejected("limit", "the site offers no regulation: [grid] regulation_mw says how much", signal.id)
        if abs(power_w) > most_w * (1 + 1e-9):
            offer = f"the site offers regulation of {self.grid.regulation_mw:g} MW up and down"
            raise Rejected("limit", f"{power_w / 1e6:+.3f} MW: {offer}", signal.id)
        return power_w

    def _hindrance(self, power_w: float) -> str:
        """What keeps a signal from being followed now, although it holds."""
        if self._faulty:
            return "a fault of the grid holds everything: it is followed ten seconds after that"
        if self._blind and power_w > self._stands_w:
            return "the site meter cannot be read, or is not believed: nothing rises until it is"
        return ""

    @property
    def held(self) -> bool:
        """Whether its channel was lost, and only a fresh signal or command moves what it has left."""
        return self._stands_w != 0.0 and self.slot.regulation_after in (codes.AFTER_HELD, codes.AFTER_LOWER)

    def tick(self, out: views.Outputs, channel: Channel, now_ns: int) -> None:
        """Silence ends it, and so does an emergency."""
        self.barred = bool(out.envelope == codes.EMERGENCY or out.returning)
        self._faulty, self._blind = out.site_why == codes.SITE_FAULT, not out.meter_good
        self._stands_w = out.regulation_w
        if self.barred:
            self.end("emergency")
            return
        # What goes back after its end is held like what holds.
        moves = self.id is not None or (self._lapsed and out.regulation_w != 0.0)
        if moves and not self._lost_ns and (lost_ns := channel.lost_since(now_ns)):
            self._hold(lost_ns, now_ns)
        if self._lost_ns:
            if now_ns - self._lost_ns >= channel.hold_max_ns:
                self.end("channel_lost")
        elif self.id is None:
            return
        elif self.slot.regulation_ns <= min(now_ns, channel.heard_ns):
            # Heard since it ended: nothing but the signal is missing.
            self.end("lease_ended")
        elif out.regulating and out.regulation_seq == self.slot.regulation_seq:
            self._measure(out)

    def _measure(self, out: views.Outputs) -> None:
        """Says once of a signal what the site cannot give of it."""
        short_w, asked_w = out.unmet_w, self.slot.regulation_w
        if self.id == self._short or abs(short_w) <= SHORT_PART * self.grid.regulation_mw * 1e6:
            return
        side = "higher" if short_w > 0.0 else "lower"
        self.answers.say(
            "regulation", self.id or "", "partial", self._sender, source=Source.REGULATION, code="short",
            routine=self._told,
            message=f"{abs(short_w) / 1e6:.3f} MW short of {asked_w / 1e6:+.3f} MW: the purchase goes no {side} than "
            f"{(out.reference_w + asked_w - short_w) / 1e6:.3f} MW",
        )  # fmt: skip
        self._short, self._told = self.id, True

    def _hold(self, lost_ns: int, now_ns: int) -> None:
        """It stays where it has brought the purchase, wherever it was on its way to."""
        self._lost_ns = lost_ns
        self.slot.regulation_ns = min(self.slot.regulation_ns, now_ns)
        self.slot.regulation_after = codes.AFTER_HELD
        log.warning("channel lost: regulation is held where it has brought the purchase")
        if self.id is not None:
            self.answers.note(id=self.id, message="channel lost")

    def release(self, now_ns: int) -> None:
        """A fresh command: what was regulated goes back, or the command begins there. A signal that holds goes on."""
        if now_ns >= self.slot.regulation_ns:
            self.end("replaced" if self._lost_ns else "lease_ended")
            self._lapsed = False

    def end(self, code: str) -> None:
        """It holds no more, if one did; what it has left goes back, or down only."""
        ended, self.id, self._issued_at, self._lost_ns = self.id, None, None, 0
        self._lapsed = code == "lease_ended"
        self.slot.regulation_ns = 0
        self.slot.regulation_after = codes.AFTER_LOWER if code == "channel_lost" else codes.AFTER_BACK
        if ended is None:
            return
        self.answers.say(
            "regulation", ended, "ended", self._sender, source=Source.REGULATION, code=code,
            message=f"{self._count} signals",
        )  # fmt: skip

    # Over a restart.

    def record(self, now_s: float, now_ns: int) -> dict[str, Any] | None:
        """What it has moved and a lost channel holds, by the wall clock and no finer than is short; None: nothing."""
        if not self.held:
            self._kept = None
            return None
        waits = self._lost_ns > 0
        kept, slack_w = self._kept, SHORT_PART * self.grid.regulation_mw * 1e6
        same = kept is not None and (kept["lost_at"] is not None) == waits
        if kept is None or not same or abs(kept["power_w"] - self._stands_w) > slack_w:
            lost_at = round(now_s - (now_ns - self._lost_ns) * 1e-9, 1) if waits else None
            lost_at = kept["lost_at"] if kept is not None and same else lost_at
            self._kept = {"power_w": round(self._stands_w, 1), "lost_at": lost_at}
        return self._kept

    def restore(self, found: Any, now_s: float, now_ns: int) -> float:
        """What was held stands where it was, W; a wait for the channel has no new beginning. 0: nothing was.

        What cannot be read, or the site does not offer any more, goes back as slowly as after an emergency.
        """
        if found is None:
            return 0.0
        try:
            power_w = float(found["power_w"])
            lost_s = None if found["lost_at"] is None else max(0.0, now_s - float(found["lost_at"]))
            if not abs(power_w) <= self.grid.regulation_mw * 1e6 or not math.isfinite(lost_s or 0.0):
                raise ValueError(f"{power_w:g} W is not what the site offers")
        except (KeyError, TypeError, ValueError) as error:
            log.error("what regulation was held at is not usable in the journal: %s", error)
            return 0.0
        self._lost_ns = 0 if lost_s is None else max(1, now_ns - round(lost_s * 1e9))
        self.slot.regulation_after = codes.AFTER_LOWER if lost_s is None else codes.AFTER_HELD
        self._stands_w = power_w
        log.warning("regulation is held where a lost channel has left it before the restart, %+.3f MW", power_w / 1e6)
        return power_w
