"""Whether the far end can be heard. Anything that the broker delivers counts, our own self-test included.

A channel is lost once it was silent for longer than the site's grace. What that means for the command that came over it
is the desk's business: it is held flat and its lease does not run, until the channel is heard or the hold is over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Channel:
    """One way on which commands come. Times are CLOCK_MONOTONIC ns."""

    grace_ns: int
    heard_ns: int

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
