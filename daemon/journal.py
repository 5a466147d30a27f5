"""What must survive a restart: what holds now, in one small file, and by the audit trail the ids of all commands."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from rampd.daemon import durable, finite
from rampd.daemon.audit import Trail
from rampd.daemon.ids import KEEP_S, Ids
from rampd.daemon.messages import Stage, stamp
from rampd.ext import codes

log = logging.getLogger("rampd.journal")

STANDS: Final = "stands"
"""The verb of a line of the trail that says what stands."""
UNTOUCHED: Final[dict[str, Any]] = {"limit_w": None, "until": None, "topic": None}
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


class Work(NamedTuple):
    """What is to be written: lines of the trail, and the whole file or None."""

    lines: str
    text: str | None


NOTHING: Final = Work("", None)


@dataclass
class Journal:
    """What holds and what was; `path` None keeps it in memory only.

    `live` is the command that holds, `rest` what else stands: mode, schedule, racks in hand, what is under way in the
    core, and by what they act for the failsafe reasons that wait for a reset. `unreadable`: nobody knows what held, but
    for what the trail says of a stop, of racks that nobody may touch and of what waits for a reset.
    """

    path: Path | None
    ids: Ids = field(default_factory=Ids)
    live: dict[str, Any] | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    dirty: bool = False
    unreadable: bool = False
    trail: Trail = field(default_factory=Trail)
    writable: bool = True  # whether the last write was taken
    failures: int = 0
    _stop: dict[str, Any] | None = None
    _untouched: dict[str, Any] = field(default_factory=dict)
    _latched: dict[str, list[str]] = field(default_factory=dict)
    _full: int = 0  # files of the trail since the start, as of the last word on what stands
    _overflowed: int = 0  # lines of it that were too many, as of then
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
            data = finite.loads(path.read_text(encoding="utf-8"))
            live, rest = data["live"], data["rest"]
            if not isinstance(live, dict | None) or not isinstance(rest, dict):
                raise TypeError("what it holds is of another kind")
            journal.live, journal.rest = live, rest
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.error("%s: not readable, starting without it: %s", path, error)
            journal.unreadable, journal.live = True, journal._stop
            journal.stand(racks=journal._untouched or None, latched=journal._latched or None)
        return journal

    def _recall(self) -> None:
        """The ids of the last day, with their last stage, from the trail."""
        now_s = time.time()
        for entry in self.trail.read():
            if entry.get("verb") == STANDS:
                self._take_up(entry)
                continue
            name, said = entry.get("id"), entry.get("stage")
            stage = next((one for one in STAGES if one == said), None)
            at_s = _moment_s(entry.get("at"))
            if not isinstance(name, str) or stage is None or at_s is None or entry.get("code") == "repeated":
                continue
            self._look_back(entry, stage)
            if at_s + KEEP_S > now_s:
                expires_s = _moment_s(entry.get("expires_at"))
                self.ids.note(name, stage, at_s, expires_s, stop=entry.get("verb") == "estop")

    def _take_up(self, entry: dict[str, Any]) -> None:
        """What stood when the trail said so last; what came after it follows in the trail."""
        stop = entry.get("stop")
        self._stop = _whose(stop) | {"verb": int(codes.ESTOP)} if isinstance(stop, dict) else None
        self._untouched = {rack: _whose(_dict(use)) | UNTOUCHED for rack, use in _dict(entry.get("untouched")).items()}
        self._latched = _reasons(entry.get("latched"))

    def _look_back(self, entry: dict[str, Any], stage: str) -> None:
        """What the trail knows of a stop that nobody has reset, and of racks that nobody may touch."""
        verb, found = str(entry.get("verb")), {"id": entry["id"], "who": entry.get("who", "")}
        kind, _, rack = verb.partition("/")
        if stage == "accepted" and verb == "estop":
            self._stop = found | {"verb": int(codes.ESTOP)}
        elif stage == "accepted" and verb == "reset":
            self._stop = None
        elif kind == "rack" and stage == "accepted" and entry.get("message") == "hands_off":
            self._untouched[rack] = found | UNTOUCHED
        elif kind == "rack" and stage in ("accepted", "ended"):
            self._untouched.pop(rack, None)

    def remember(self, command_id: str, stage: Stage, expires_s: float | None = None, *, stop: bool = False) -> None:
        """Notes an id with its latest stage, and with the first one when its command expires or that it is a stop."""
        self.ids.note(command_id, stage, time.time(), expires_s, stop=stop)

    def expires_at(self, command_id: str) -> str | None:
        """When the command of an id expires, for the trail; None where there is nothing to remember it for."""
        now_s = time.time()
        seen = self.ids.find(command_id, now_s)
        return None if seen is None or seen.expires_s <= now_s else stamp(seen.expires_s)

    def last_stage(self, command_id: str) -> Stage | None:
        """Of an id that was seen."""
        seen = self.ids.find(command_id, time.time())
        return None if seen is None else seen.stage

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
        return _reasons(self.rest.get("latched"))

    def latch(self, latched: dict[str, list[str]]) -> None:
        """Notes which of them wait now."""
        if latched != self.latched:
            self.stand(latched=latched or None)
            self._restate()

    def _restate(self) -> None:
        """Says in the trail what a restart must know where the file cannot be read."""
        live = self.live or {}
        stop = _whose(live) if live.get("verb") == codes.ESTOP else None
        in_hand = {rack: _dict(use) for rack, use in _dict(self.rest.get("racks")).items()}
        untouched = {rack: _whose(use) for rack, use in in_hand.items() if use.get("limit_w") is None}
        self.trail.note(
            time.time(), verb=STANDS, stop=stop, untouched=untouched or None, latched=self.latched or None
        )  # fmt: skip

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return self.dirty or bool(self.trail.pending)

    def take(self) -> Work:
        """What is to be written: lines of the trail, and the file when something in it changed."""
        if self._overflowed != self.trail.overflowed:
            # What stands may have stood in those that are gone.
            self._restate()
            self._overflowed = self.trail.overflowed
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
                durable.replace(self.path, work.text.encode())
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
        if self._full != self.trail.full:
            # The next file that is full takes the last word on it away.
            self._full = self.trail.full
            self._restate()

    async def follow(self, pause_s: float) -> None:
        """Writes as long as it runs: a disk that stalls must not hold up delivery.

        The first write tells whether the disk takes any, before there is something that a restart must know.
        """
        self.dirty = True
        # A trail that another version or a last write has left may not say it.
        self._restate()
        while True:
            await asyncio.sleep(pause_s)
            if self.pending:
                self.put_back(await asyncio.to_thread(self.write, self.take()))

    def save(self) -> None:
        """The last write, at the end."""
        self.put_back(self.write(self.take()))


def _moment_s(said: Any) -> float | None:
    """A time of the trail."""
    try:
        return datetime.fromisoformat(str(said)).timestamp()
    except (ValueError, OverflowError):
        return None


def _dict(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _whose(found: dict[str, Any]) -> dict[str, Any]:
    return {"id": str(found.get("id", "unknown")), "who": str(found.get("who", ""))}


def _reasons(found: Any) -> dict[str, list[str]]:
    """Failsafe reasons by what they act for; none where that is nothing usable."""
    usable = {scope: names for scope, names in _dict(found).items() if isinstance(names, list)}
    return {scope: [str(name) for name in names] for scope, names in usable.items()}
