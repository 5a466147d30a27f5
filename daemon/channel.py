"""Whether the far end can be heard, and what its silence means for the command that came from there.

Anything that the broker delivers counts, our own self-test included. A channel is lost once it was silent for longer
than the site's grace: its command is held flat by the core and its lease stands, until the channel is heard or the hold
is over. Then the core ends it, and only a fresh command replaces it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from rampd.daemon.life import Live
from rampd.ext import codes, views

log = logging.getLogger("rampd.channel")


@dataclass(slots=True)
class Channel:
    """The way on which remote commands come. Times are CLOCK_MONOTONIC ns."""

    grace_ns: int
    hold_max_ns: int
    heard_ns: int
    lost: bool = False

    def heard(self, now_ns: int) -> None:
        """Something came."""
        self.heard_ns = max(self.heard_ns, now_ns)

    def lost_since(self, now_ns: int) -> int:
        """The moment from which on nothing came, 0 while the channel is not lost."""
        return max(1, self.heard_ns) if now_ns - self.heard_ns > self.grace_ns else 0

    def lost_s(self, now_ns: int) -> float:
        """How long a lost channel has been silent; 0 while it is not lost."""
        since_ns = self.lost_since(now_ns)
        return (now_ns - since_ns) * 1e-9 if since_ns else 0.0

    def attend(self, live: Live | None, slot: views.Command, now_ns: int) -> bool:
        """Suspends a command while the channel is lost, and lets its lease go on; whether that changed.

        `live` is None where no command hangs on the channel.
        """
        since_ns = self.lost_since(now_ns)
        if self.lost != (since_ns > 0):
            self.lost = since_ns > 0
            self._tell(live, slot, now_ns)
        if live is None or live.verb not in (codes.TRACK, codes.HOLD):
            return False
        was_ns = slot.lost_ns
        if since_ns and not was_ns and slot.expires_ns > now_ns:
            live.left_ns = slot.expires_ns - since_ns
            slot.lost_ns = since_ns
        elif was_ns and not since_ns and now_ns - was_ns < self.hold_max_ns:
            slot.lost_ns = 0
        if slot.lost_ns:
            slot.expires_ns = now_ns + live.left_ns
        return slot.lost_ns != was_ns

    def resume(self, live: Live, slot: views.Command, lost_s: float, left_s: float, now_ns: int) -> None:
        """A restart does not give the wait for the channel a new beginning."""
        self.heard_ns = now_ns - round(lost_s * 1e9)
        live.left_ns = round(left_s * 1e9)
        slot.lost_ns = max(1, self.heard_ns)

    def _tell(self, live: Live | None, slot: views.Command, now_ns: int) -> None:
        if self.lost:
            hangs = "no command hangs on it" if live is None else f"{live.id} is held flat, its lease stands"
            log.warning("channel lost: nothing heard for %.1f s; %s", self.lost_s(now_ns), hangs)
        elif slot.lost_ns and now_ns - slot.lost_ns >= self.hold_max_ns:
            log.warning("channel back, but too late for the command that was held: a fresh one is needed")
        else:
            log.info("channel back%s", "" if live is None else f"; {live.id} goes on")
