"""What must survive a restart: what holds now, in one small file, and by the audit trail the ids of all commands."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from rampd.daemon.admit import CLOCK_SLACK_S, VALID_S
from rampd.daemon.audit import Trail
from rampd.ext import codes

log = logging.getLogger("rampd.journal")

KEEP_S: Final = VALID_S + CLOCK_SLACK_S
"""From the last stage on, so at least until the command has expired."""
MOST: Final = 30000


class Seen(NamedTuple):
    """An id: until when it is remembered, its last stage, and when its command expires; by the wall clock."""

    until_s: float
    stage: str
    expires_s: float


class Work(NamedTuple):
    """What is to be written: lines of the trail, and the whole file or None."""

    lines: str
    text: str | None


NOTHING: Final = Work("", None)


@dataclass
class Journal:
    """Ids as they are remembered; `path` None keeps them in memory only.

    `live` is the command that holds, `rest` what else stands: mode, schedule, racks in hand, and by what they act for
    the failsafe reasons that wait for a reset. `unreadable`: nobody knows what held, but for what the trail says of a
    stop and of racks that nobody may touch.
    """

    path: Path | None
    seen: dict[str, Seen] = field(default_factory=dict)
    live: dict[str, Any] | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    dirty: bool = False
    unreadable: bool = False
    trail: Trail = field(default_factory=Trail)
    writable: bool = True  # whether the last write was taken
    failures: int = 0
    _stop: dict[str, Any] | None = None
    _untouched: dict[str, Any] = field(default_factory=dict)
    _problem: str = ""
    _writing: threading.Lock = field(default_factory=threading.Lock)  # the last write may find one that is under way

    @classmethod
    def open(cls, path: Path | None) -> Journal:
        """Reads file and trail; a missing one is an empty journal, a broken one is said."""
        journal = cls(path)
        if path is None:
            return journal
        journal.trail = Trail(path.with_name("audit.jsonl"))
        try:
            journal._recall()
        except OSError as error:
            log.error("%s: not readable, starting without it: %s", journal.trail.path, error)
        if not path.exists():
            return journal
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            live, rest = data["live"], data["rest"]
            if not isinstance(live, dict | None) or not isinstance(rest, dict):
                raise TypeError("what it holds is of another kind")
            journal.live, journal.rest = live, rest
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.error("%s: not readable, starting without it: %s", path, error)
            journal.unreadable, journal.live = True, journal._stop
            if journal._untouched:
                journal.stand(racks=journal._untouched)
        return journal

    def _recall(self) -> None:
        """The ids of the last day, with their last stage, from the trail."""
        for entry in self.trail.read():
            name, stage = entry.get("id"), entry.get("stage")
            if not isinstance(name, str) or not isinstance(stage, str) or entry.get("code") == "repeated":
                continue
            try:
                at_s = datetime.fromisoformat(str(entry.get("at"))).timestamp()
            except ValueError:
                continue
            self._look_back(entry, stage)
            self.seen.pop(name, None)
            self.seen[name] = Seen(at_s + KEEP_S, stage, at_s + KEEP_S)
        self._forget()

    def _look_back(self, entry: dict[str, Any], stage: str) -> None:
        """What the trail knows of a stop that nobody has reset, and of racks that nobody may touch."""
        verb, found = str(entry.get("verb")), {"id": entry["id"], "who": entry.get("who", "")}
        kind, _, rack = verb.partition("/")
        if stage == "accepted" and verb == "estop":
            self._stop = found | {"verb": int(codes.ESTOP)}
        elif stage == "accepted" and verb == "reset":
            self._stop = None
        elif kind == "rack" and stage == "accepted" and entry.get("message") == "hands_off":
            self._untouched[rack] = found | {"limit_w": None, "until": None, "topic": None}
        elif kind == "rack" and stage in ("accepted", "ended"):
            self._untouched.pop(rack, None)

    def remember(self, command_id: str, stage: str, expires_s: float | None = None) -> None:
        """Notes an id with its latest stage, and with the first one when its command expires."""
        until_s = time.time() + KEEP_S
        before = self.seen.pop(command_id, None)
        if expires_s is None:
            expires_s = until_s if before is None else before.expires_s
        self.seen[command_id] = Seen(until_s, stage, expires_s)
        self._forget()

    def _forget(self) -> None:
        """What is old; where there are too many, first what has expired and could not be followed again anyway."""
        now_s = time.time()
        while self.seen and next(iter(self.seen.values())).until_s <= now_s:
            del self.seen[next(iter(self.seen))]
        while len(self.seen) > MOST:
            oldest = next(iter(self.seen))
            del self.seen[next((name for name, one in self.seen.items() if one.expires_s <= now_s), oldest)]

    @property
    def problem(self) -> str:
        """Why the last write was not taken."""
        return self._problem

    def keep(self, live: dict[str, Any] | None) -> None:
        """Notes the live command, or that there is none."""
        self.dirty = self.dirty or live != self.live
        self.live = live

    def stand(self, **rest: Any) -> None:
        """Notes what else stands; a value of None takes away."""
        self.rest = {key: value for key, value in (self.rest | rest).items() if value is not None}
        self.dirty = True

    @property
    def latched(self) -> dict[str, list[str]]:
        """The failsafe reasons that wait for a reset; none where the file says nothing usable."""
        found = self.rest.get("latched")
        if not isinstance(found, dict):
            return {}
        return {str(scope): [str(name) for name in names] for scope, names in found.items() if isinstance(names, list)}

    def latch(self, latched: dict[str, list[str]]) -> None:
        """Notes which of them wait now."""
        if latched != self.latched:
            self.stand(latched=latched or None)

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return self.dirty or bool(self.trail.pending)

    def take(self) -> Work:
        """What is to be written: lines of the trail, and the file when something in it changed."""
        text = json.dumps({"live": self.live, "rest": self.rest}) if self.dirty else None
        self.dirty = False
        return Work(self.trail.take(), text)

    def write(self, work: Work) -> Work:
        """Appends to the trail and replaces the file, durably; returns what is left. Blocks, and changes nothing here:
        call it off the event loop.

        A disk that takes nothing is said once; control goes on, and the next change tries again.
        """
        with self._writing:
            return self._write(work)

    def _write(self, work: Work) -> Work:
        left = work
        try:
            self.trail.write(work.lines)
            left = Work("", work.text)
            if work.text is not None and self.path is not None:
                self._replace(self.path, work.text)
            left = NOTHING
        except OSError as error:
            if str(error) != self._problem:
                log.error("%s: cannot be written, a restart would not know what holds now: %s", self.path, error)
            self._problem = str(error)
        else:
            self._problem = ""
        return left

    def put_back(self, left: Work) -> None:
        """What could not be written is counted and tried again: the lines as they are, the file as it stands then."""
        self.writable = left == NOTHING
        self.failures += not self.writable
        self.trail.put_back(left.lines)
        self.dirty = self.dirty or left.text is not None

    async def follow(self, pause_s: float) -> None:
        """Writes as long as it runs: a disk that stalls must not hold up delivery.

        The first write tells whether the disk takes any, before there is something that a restart must know.
        """
        self.dirty = True
        while True:
            await asyncio.sleep(pause_s)
            if self.pending:
                self.put_back(await asyncio.to_thread(self.write, self.take()))

    def save(self) -> None:
        """The last write, at the end."""
        self.put_back(self.write(self.take()))

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
