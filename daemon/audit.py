"""The audit trail: who asked for what and when, what it replaced, what became of it, and why. Only ever appended to.

One JSON object a line, numbered without gaps over restarts; a file that is full becomes the one before, and the one
before that goes. A flood of refusals is counted instead of written.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rampd.daemon import durable
from rampd.daemon.messages import stamp

log = logging.getLogger("rampd.audit")

LARGEST: Final = 8_000_000
MOST_PENDING: Final = 1000
BURST: Final = 20.0
"""Refusals in a row that are all written; after that one a second."""


@dataclass(slots=True)
class Trail:
    """Lines of a site; `path` None keeps none beyond the next `take`."""

    path: Path | None = None
    seq: int = 0
    lost: int = 0  # lines that could not be kept since the last one that was
    full: int = 0  # files since the start that began after one that was full
    overflowed: int = 0  # lines since the start that waited for the disk and were too many
    pending: deque[str] = field(default_factory=deque)
    _budget: float = BURST
    _budget_s: float = 0.0
    _begins: bool = False  # whether the file was found empty

    def before(self) -> Path | None:
        """The file that was full."""
        return None if self.path is None else self.path.with_suffix(f".1{self.path.suffix}")

    def read(self) -> Iterator[dict[str, Any]]:
        """All lines that are kept, oldest first; what is no line is passed over. Continues their numbering."""
        for path in (self.before(), self.path):
            if path is None or not path.is_file():
                continue
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    found = _entry(line)
                    if found is not None:
                        self.seq = max(self.seq, found["seq"])
                        yield found

    def note(self, now_s: float, *, refused: bool = False, **facts: Any) -> None:
        """One thing that happened. `facts` without a value are left out."""
        if refused:
            self._budget = min(BURST, self._budget + max(0.0, now_s - self._budget_s))
            self._budget_s = now_s
            if self._budget < 1.0:
                self.lost += 1
                return
            self._budget -= 1.0
        self.seq += 1
        entry = {"seq": self.seq, "at": stamp(now_s)} | {
            key: value for key, value in facts.items() if value not in ("", None)
        }
        if self.lost:
            entry["left_out"] = self.lost
            self.lost = 0
        if len(self.pending) >= MOST_PENDING:
            self.pending.popleft()
            self.lost += 1
            self.overflowed += 1
        self.pending.append(json.dumps(entry))

    def take(self) -> str:
        """What is to be written next."""
        text = "".join(f"{line}\n" for line in self.pending)
        self.pending.clear()
        return text

    def put_back(self, text: str) -> None:
        """What could not be written comes before what was noted since."""
        lines = [*text.splitlines(), *self.pending]
        too_many = max(0, len(lines) - MOST_PENDING)
        self.lost += too_many
        self.overflowed += too_many
        self.pending = deque(lines[-MOST_PENDING:])

    def write(self, text: str) -> None:
        """Appends, durably. Blocks: call it off the event loop. Raises OSError."""
        before = self.before()
        if self.path is None or before is None or not text:
            return
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size + len(text) > LARGEST and size:
            durable.rename(self.path, before)
            size = 0
        # Also one that an attempt that failed has made room for.
        self._begins = self._begins or (not size and before.is_file())
        # A crash in the middle of a line spoils that line only.
        data = text.encode() if not size or _ends_a_line(self.path) else b"\n" + text.encode()
        durable.append(self.path, data)
        self.full += self._begins
        self._begins = False


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _entry(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("seq"), int) else None
