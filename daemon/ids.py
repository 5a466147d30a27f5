"""The ids of commands as they are remembered: none is taken twice, whatever floods in meanwhile.

What was accepted, what was refused, and stops stand apart, so that refusals only push out refusals. Of what was
accepted nothing is forgotten that has not expired: the door asks `full` first. Every operation takes O(log n) of a
bounded n. The tables are small ones: a large dict that grows anew takes over a millisecond.
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
"""Accepted ones; at that many those go that have expired, longest ago first, and where none has nothing is accepted."""
MOST_REFUSED: Final = 5_000
MOST_STOPS: Final = 1_000
"""None is refused for its id, and the oldest go."""
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
    _stops: OrderedDict[str, Seen] = field(default_factory=OrderedDict)

    def find(self, name: str, now_s: float) -> Seen | None:
        """What is known of an id; None: it was not seen within the last day, or too many have come since."""
        for table in (self._shelf(name), self._stops, self._refused):
            one = table.get(name)
            if one is not None and one.until_s > now_s:
                return one
        return None

    def full(self, now_s: float) -> bool:
        """Whether no more may be accepted, as none that was has expired."""
        while len(self._soonest) >= MOST and self._soonest[0][0] <= now_s:
            self._forget(*heapq.heappop(self._soonest))
        return len(self._soonest) >= MOST

    def note(
        self, name: str, stage: Stage, now_s: float, expires_s: float | None = None, *, stop: bool = False
    ) -> None:
        """One stage of a command, with the first one when it expires. What was accepted is not refused any more."""
        until_s, before, shelf = now_s + KEEP_S, self.find(name, now_s), self._shelf(name)
        accepted = before is not None and shelf.get(name) is before
        stopped = before is not None and self._stops.get(name) is before
        if stage in OPEN and (accepted or stopped):
            return
        if before is not None:
            expires_s = before.expires_s
        elif expires_s is None:
            # Of what goes on and nobody knows any more the time to begin is over.
            expires_s = until_s if stage in (*OPEN, "accepted") and not stop else now_s
        else:
            expires_s = min(expires_s, until_s)
        # It has not expired just because the wall clock was set back.
        seen = Seen(max(until_s, expires_s), stage, expires_s)
        if accepted:
            shelf[name] = seen
        elif stopped or stop:
            self._refused.pop(name, None)
            _put(self._stops, name, seen, MOST_STOPS)
        elif stage in OPEN:
            _put(self._refused, name, seen, MOST_REFUSED)
        elif not self.full(now_s) or stage == "accepted":
            self._refused.pop(name, None)
            shelf[name] = seen
            heapq.heappush(self._soonest, (expires_s, name))

    def _forget(self, expires_s: float, name: str) -> None:
        shelf = self._shelf(name)
        if name in shelf and shelf[name].expires_s == expires_s:
            del shelf[name]

    def _shelf(self, name: str) -> dict[str, Seen]:
        return self._accepted[hash(name) % SHELVES]


def _put(table: OrderedDict[str, Seen], name: str, seen: Seen, most: int) -> None:
    """At the bound the oldest goes."""
    table[name] = seen
    if len(table) > most:
        table.popitem(last=False)
