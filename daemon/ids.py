"""The ids of commands as they are remembered: none is taken twice, whatever floods in meanwhile.

What was accepted and what was refused stand apart, so that refusals only push out refusals. Every operation takes
O(log n) of a bounded n. The tables are small ones: a large dict that grows anew takes over a millisecond.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rampd.daemon.admit import CLOCK_SLACK_S, VALID_S
from rampd.daemon.messages import Stage

KEEP_S: Final = VALID_S + CLOCK_SLACK_S
"""From the last stage on, so at least until the command has expired."""
MOST: Final = 30_000
"""Accepted ones; beyond, the one goes that expires first, or has expired longest ago."""
MOST_REFUSED: Final = 5_000
SHELVES: Final = 16
OPEN: Final[frozenset[Stage]] = frozenset({"received", "rejected"})
"""Stages of what nobody has accepted."""


class Seen(NamedTuple):
    """An id: until when it is remembered, its last stage, and when its command expires; by the wall clock."""

    until_s: float
    stage: Stage
    expires_s: float


def _shelves() -> tuple[dict[str, Seen], ...]:
    return tuple({} for _ in range(SHELVES))


@dataclass(slots=True)
class Ids:
    """All of a site. Times are the wall clock's, s."""

    _accepted: tuple[dict[str, Seen], ...] = field(default_factory=_shelves)
    _soonest: list[tuple[float, str]] = field(default_factory=list)  # a heap; what it names twice expires later
    _refused: OrderedDict[str, Seen] = field(default_factory=OrderedDict)

    def find(self, name: str, now_s: float) -> Seen | None:
        """What is known of an id; None: it was not seen within the last day, or too many have come since."""
        for table in (self._shelf(name), self._refused):
            one = table.get(name)
            if one is not None and one.until_s > now_s:
                return one
        return None

    def note(self, name: str, stage: Stage, now_s: float, expires_s: float | None = None) -> None:
        """One stage of a command, with the first one when it expires. What was accepted is not refused any more."""
        until_s, shelf = now_s + KEEP_S, self._shelf(name)
        before = self.find(name, now_s)
        if before is not None:
            expires_s = before.expires_s
        seen = Seen(until_s, stage, until_s if expires_s is None else min(expires_s, until_s))
        known = before is not None and shelf.get(name) is before
        if stage in OPEN:
            if not known:
                self._refused[name] = seen
                if len(self._refused) > MOST_REFUSED:
                    self._refused.popitem(last=False)
            return
        self._refused.pop(name, None)
        shelf[name] = seen
        if not known:
            heapq.heappush(self._soonest, (seen.expires_s, name))
            if len(self._soonest) > MOST:
                self._forget(*heapq.heappop(self._soonest))

    def _forget(self, expires_s: float, name: str) -> None:
        shelf = self._shelf(name)
        if name in shelf and shelf[name].expires_s == expires_s:
            del shelf[name]

    def _shelf(self, name: str) -> dict[str, Seen]:
        return self._accepted[hash(name) % SHELVES]
