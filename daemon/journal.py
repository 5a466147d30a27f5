"""What must survive a restart: what holds now, in one small file, and by the audit trail the ids of all commands."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rampd.daemon.audit import Trail

log = logging.getLogger("rampd.journal")

KEEP_S: Final = 86400.0
MOST: Final = 30000


@dataclass
class Journal:
    """Ids with the wall time until which they are remembered; `path` None keeps them in memory only.

    `live` is the command that holds, `rest` what else stands: mode, schedule, racks in hand, and by what they act for
    the failsafe reasons that wait for a reset.
    """

    path: Path | None
    seen: dict[str, tuple[float, str]] = field(default_factory=dict)
    live: dict[str, Any] | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    dirty: bool = False
    trail: Trail = field(default_factory=Trail)
    _problem: str = ""
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, path: Path | None) -> Journal:
        """Reads file and trail; a missing or broken one is an empty journal, and a broken one is said."""
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
            journal.live = live if isinstance(live, dict) else None
            journal.rest = rest if isinstance(rest, dict) else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.error("%s: not readable, starting without it: %s", path, error)
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
            self.seen.pop(name, None)
            self.seen[name] = (at_s + KEEP_S, stage)
        self._forget()

    def remember(self, command_id: str, stage: str) -> None:
        """Notes an id with its latest stage."""
        self.seen.pop(command_id, None)
        self.seen[command_id] = (time.time() + KEEP_S, stage)
        self._forget()

    def _forget(self) -> None:
        now = time.time()
        while self.seen:
            oldest = next(iter(self.seen))
            if len(self.seen) <= MOST and self.seen[oldest][0] > now:
                break
            del self.seen[oldest]

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

    def take(self) -> tuple[str, str | None]:
        """What is to be written: lines of the trail, and the file when something in it changed."""
        text = json.dumps({"live": self.live, "rest": self.rest}) if self.dirty else None
        self.dirty = False
        return self.trail.take(), text

    def write(self, work: tuple[str, str | None]) -> None:
        """Appends to the trail and replaces the file, durably. Blocks: call it off the event loop.

        A disk that takes nothing is said once; control goes on, and the next change tries again.
        """
        with self._writing:
            self._write(*work)

    def _write(self, lines: str, text: str | None) -> None:
        try:
            self.trail.write(lines)
            lines = ""
            if text is not None and self.path is not None:
                self._replace(self.path, text)
        except OSError as error:
            self.trail.put_back(lines)
            self.dirty = True
            if str(error) != self._problem:
                log.error("%s: cannot be written, a restart would not know what holds now: %s", self.path, error)
            self._problem = str(error)
        else:
            self._problem = ""

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
