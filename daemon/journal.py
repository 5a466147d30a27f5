"""What must survive a restart: ids of commands seen, the live command, reasons that wait for a reset. One file."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

log = logging.getLogger("rampd.journal")

KEEP_S: Final = 86400.0
MOST: Final = 10000


@dataclass
class Journal:
    """Ids with the wall time until which they are remembered; `path` None keeps them in memory only.

    `latched` are the names of failsafe reasons that wait for an operator's reset, by what they act for.
    """

    path: Path | None
    seen: dict[str, tuple[float, str]] = field(default_factory=dict)
    live: dict[str, Any] | None = None
    latched: dict[str, list[str]] = field(default_factory=dict)
    dirty: bool = False

    @classmethod
    def open(cls, path: Path | None) -> Journal:
        """Reads the file; a missing or broken one is an empty journal, and a broken one is said."""
        journal = cls(path)
        if path is None or not path.exists():
            return journal
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            journal.seen = {str(k): (float(v[0]), str(v[1])) for k, v in data["seen"].items()}
            live = data["live"]
            journal.live = live if isinstance(live, dict) else None
            journal.latched = {str(k): [str(name) for name in v] for k, v in data.get("latched", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            log.error("%s: not readable, starting without it: %s", path, error)
        return journal

    def remember(self, command_id: str, stage: str) -> None:
        """Notes an id with its latest stage."""
        now = time.time()
        self.seen.pop(command_id, None)
        self.seen[command_id] = (now + KEEP_S, stage)
        while self.seen:
            oldest = next(iter(self.seen))
            if len(self.seen) <= MOST and self.seen[oldest][0] > now:
                break
            del self.seen[oldest]
        self.dirty = True

    def keep(self, live: dict[str, Any] | None) -> None:
        """Notes the live command, or that there is none."""
        self.live = live
        self.dirty = True

    def hold(self, latched: dict[str, list[str]]) -> None:
        """Notes which failsafe reasons wait for a reset."""
        if latched != self.latched:
            self.latched = latched
            self.dirty = True

    def text(self) -> str:
        """The file's next content; marks it clean."""
        self.dirty = False
        return json.dumps({"seen": self.seen, "live": self.live, "latched": self.latched})

    def write(self, text: str) -> None:
        """Replaces the file, durably. Blocks: call it off the event loop."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
