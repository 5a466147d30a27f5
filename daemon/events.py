"""What happened, told once each on event/{type}: numbered over restarts, kept on disk until delivered.

The file is a log of what became of the queue: an event, a number up to which the broker has taken them, or the next
number for whoever starts from this file. That is written well ahead, and exactly at a clean end: no number is given
twice, and after a crash some are left out. An event goes out once it is on disk; while the disk takes nothing, only
as far as numbers are set aside there, and then one without a number says so. At the bound the oldest go, and a
`dropped` event stands in their place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rampd.daemon import durable, finite
from rampd.daemon.messages import stamp

log = logging.getLogger("rampd.events")

MOST: Final = 1000
AHEAD: Final = 2000
"""Numbers that are set aside on disk, at least half of them at any time."""
AGAIN_S: Final = 5.0
LARGEST: Final = 2_000_000
"""Of the file, in bytes; then it is written anew with what is pending only."""

TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "mode": ("whose commands are followed, or what is followed, has changed", "mode, control, was, command_id, who"),
    "envelope": (
        "another set of ramp limits holds; `cause` is whose command holds, or what an emergency is, also at its end: "
        "`frequency`, `import` (the purchase exceeded its limit), `breaker` (it opened), or `stop`, which ends by who "
        "resets it",
        "envelope, was, cause, command_id",
    ),
    "failsafe": (
        "a line of the failsafe table began or ended to act", "state, scope, reason, action, racks, needs_reset",
    ),
    "command": (
        "a command was accepted, reached, partial, failed or ended; refusals are acknowledged and audited only",
        "verb, id, stage, code, message, who, source, power_w",
    ),
    "guard": ("the guard withheld set points; summed up over ten seconds", "vetoes"),
    "clock": ("the wall clock was set, against the monotonic one", "step_s"),
    "config": ("the site file was read again", "result, message"),
    "device": (
        "devices fell silent, or answer again: at once; of those that fall again within a minute once a minute, with "
        "how often they fell in sum", "state, devices, count, falls",
    ),
    "load_drop": (
        "load went and no set point had fallen: a job crashed, or something tripped; `by` the readings of its racks, "
        "within a second where these are read twice in it, or by the `meter`", "fell_w, within_s, by, power_w",
    ),
    "meter": (
        "of two site meters the other counts, as one was `unread` or `doubted`, or the first can be `read` again; or "
        "both were read and more than 3 % of `max_mw` apart for a minute (`differ`), or no longer (`agree`)",
        "state, device, why, apart_w",
    ),
    "limit_cycle": ("the purchase swung by the feedback itself: it was slowed, or is as configured again", "slowed"),
    "journal": (
        "the state directory takes no writes, so that a restart would forget a stop, or takes them again",
        "state, message",
    ),
    "unwritable": (
        "the disk takes nothing and no number is left that was set aside on it: events wait until it does; told once, "
        "from memory, without `seq`", "durable, waiting, message",
    ),
    "daemon": ("rampd began or ended", "state, version"),
    "dropped": ("events that were lost because the queue was full; `seq` is that of the last", "first, count"),
}  # fmt: skip

Entry = dict[str, Any]


class Work(NamedTuple):
    """What is to be written, whether it replaces the file, up to which number it is complete, and sets aside."""

    entries: list[Entry]
    anew: bool
    seq: int
    ceiling: int


@dataclass
class Events:
    """The queue of a site; `path` None keeps it in memory only."""

    path: Path | None = None
    seq: int = 0
    dropped: int = 0  # since the start
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _pending: deque[Entry] = field(default_factory=deque)
    _gap: tuple[int, int] | None = None  # first and last number of what was dropped and not yet told
    _safe: int = 0  # may be told up to here
    _ceiling: int = 0  # set aside on disk up to here
    _unwritten: list[Entry] = field(default_factory=list)
    _anew: bool = False
    _size: int = 0
    _problem: str = ""
    _alarmed: bool = False  # whether it was told that events wait for the disk
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, path: Path | None) -> Events:
        """What was pending when the last process ended. A line that is none is passed over."""
        events = cls(path)
        if path is None:
            return events
        bad, there = 0, True
        try:
            lines = path.read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            lines, there = [], False
        except OSError as error:
            log.error("%s: not readable, what it held is lost: %s", path, error)
            lines = []
        for line in lines:
            try:
                events._replay(finite.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                bad += 1
        events.seq = max(events.seq, events._ceiling)
        if bad > 1 or (there and bad == len(lines)):
            # One is the end that a crash cut off. Seconds since 1970 are beyond all numbers that were given.
            log.error("%s: %d of %d lines are not usable, numbers go on at the present time", path, bad, len(lines))
            events.seq = max(events.seq, int(time.time()))
        events.dropped = 0
        events._safe = events._ceiling = events.seq
        # In one piece, without what a crash left half written.
        events._anew = there
        return events

    def _replay(self, found: Entry) -> None:
        if "done" in found:
            self._strike_off(int(found["done"]))
        elif "gap" in found:
            first, last = found["gap"]
            self._gap, self.seq = (int(first), int(last)), max(self.seq, int(last))
        elif "next" in found:
            # Not yet the number: events may follow that were given out of what is set aside.
            self._ceiling = max(self._ceiling, int(found["next"]) - 1)
        else:
            seq = int(found["seq"])
            if seq <= self.seq or found["type"] not in TYPES:
                raise ValueError(f"number {seq} after {self.seq}, of type {found['type']!r}")
            self.seq = seq
            self._push(found)

    @property
    def count(self) -> int:
        """How many wait for the broker."""
        return len(self._pending) + (self._gap is not None)

    def note(self, kind: str, **facts: Any) -> None:
        """One thing that happened; `kind` is one of TYPES. Facts without a value are left out."""
        if kind not in TYPES:
            raise KeyError(kind)
        self.seq += 1
        kept = {key: value for key, value in facts.items() if value is not None}
        entry = {"seq": self.seq, "at": stamp(time.time()), "type": kind} | kept
        self._push(entry)
        if self.path is None:
            self._safe = self._ceiling = self.seq
            self.changed.set()
        else:
            self._log(entry)

    def _push(self, entry: Entry) -> None:
        self._pending.append(entry)
        if len(self._pending) > MOST:
            oldest = self._pending.popleft()["seq"]
            self._gap = (oldest if self._gap is None else self._gap[0], oldest)
            if not self.dropped:
                log.error("more than %d events wait for the broker: the oldest are dropped, counted", MOST)
            self.dropped += 1

    # To the broker.

    def first(self) -> Entry | None:
        """What is to be delivered next, by its `seq`; None while there is nothing, or nothing that may be told."""
        if self._gap is not None:
            first, last = self._gap
            if last > self._ceiling:
                return self._alarm(last)
            return {"seq": last, "at": stamp(time.time()), "type": "dropped", "first": first, "count": last - first + 1}
        if not self._pending:
            return None
        oldest = self._pending[0]
        return oldest if oldest["seq"] <= self._safe else self._alarm(oldest["seq"])

    def _alarm(self, seq: int) -> Entry | None:
        """What is told where the next number is none that was set aside, and the disk takes nothing: without a number.

        What may have its number waits for the next attempt to write only.
        """
        if seq <= self._ceiling or not self._problem or self._alarmed:
            return None
        facts = {"durable": False, "waiting": self.count, "message": self._problem}
        return {"at": stamp(time.time()), "type": "unwritable"} | facts

    def delivered(self, seq: int | None) -> None:
        """The broker has taken everything up to this number; None: what has none."""
        if seq is None:
            self._alarmed = bool(self._problem)
            return
        self._strike_off(seq)
        if self.path is not None:
            self._log({"done": seq})

    def _strike_off(self, seq: int) -> None:
        if self._gap is not None:
            first, last = self._gap
            self._gap = (max(first, seq + 1), last) if seq < last else None
        while self._pending and self._pending[0]["seq"] <= seq:
            self._pending.popleft()

    # To the disk.

    def _log(self, entry: Entry) -> None:
        self._unwritten.append(entry)
        if len(self._unwritten) > 2 * MOST:
            # The disk does not keep up: what stands is less than what happened.
            self._unwritten.clear()
            self._anew = True

    @property
    def dirty(self) -> bool:
        """Whether there is something to write."""
        return self.path is not None and (self._anew or bool(self._unwritten))

    def take(self, *, last: bool = False) -> Work:
        """What is to be written; with `last` nothing comes after it, and no number is set aside."""
        anew, entries, ceiling = self._anew or self._size > LARGEST, self._unwritten, self._ceiling
        if last or anew or self.seq + AHEAD // 2 > ceiling:
            ceiling = self.seq + (0 if last else AHEAD)
            entries = [*entries, {"next": ceiling + 1}]
        if anew:
            gap = [] if self._gap is None else [{"gap": self._gap}]
            entries = [*gap, *self._pending, {"next": ceiling + 1}]
        self._unwritten, self._anew = [], False
        return Work(entries, anew, self.seq, ceiling)

    def write(self, work: Work) -> tuple[str, int]:
        """Durably. Blocks: call it off the event loop. Returns "" or what went wrong, and the size of the file."""
        with self._writing:
            return self._write(work)

    def _write(self, work: Work) -> tuple[str, int]:
        assert self.path is not None
        text = "".join(f"{json.dumps(entry)}\n" for entry in work.entries)
        try:
            size = (durable.replace if work.anew else durable.append)(self.path, text.encode())
        except OSError as error:
            return str(error), 0
        return "", size

    def written(self, work: Work, problem: str, size: int) -> None:
        """What became of that. With a disk that takes nothing events are told as far as numbers are set aside."""
        self._size = size
        self._anew = self._anew or bool(problem)
        if problem and problem != self._problem:
            log.error("%s: cannot be written, a restart would lose events: %s", self.path, problem)
        self._problem = problem
        if not problem:
            self._ceiling, self._alarmed = work.ceiling, False
        self._safe = max(self._safe, min(work.seq, self._ceiling))
        self.changed.set()

    async def keep(self, pause_s: float) -> None:
        """Writes as long as it runs: a disk that stalls holds up nothing but events."""
        while True:
            await asyncio.sleep(AGAIN_S if self._problem else pause_s)
            if self.dirty:
                work = self.take()
                self.written(work, *await asyncio.to_thread(self.write, work))

    def close(self) -> None:
        """The last write, at the end: all that stands, whatever became of a write that was under way."""
        self._anew = True
        if self.dirty:
            work = self.take(last=True)
            self.written(work, *self.write(work))
