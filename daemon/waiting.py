"""Commands that begin later: accepted, kept over a restart, begun at their time by the wall clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.daemon import messages
from rampd.daemon.messages import Command, Rejected

log = logging.getLogger("rampd.waiting")

MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Later:
    """One command and when it begins."""

    start_s: float
    verb: str
    command: Command
    topic: str | None
    correlation: bytes | None = None


@dataclass(slots=True)
class Waiting:
    """All of them, bounded. Times are the wall clock's."""

    items: list[Later] = field(default_factory=list)

    def add(self, start_s: float, verb: str, command: Command, topic: str | None, correlation: bytes | None) -> None:
        """One more. Raises Rejected when too many wait already."""
        if len(self.items) >= MOST:
            raise Rejected("busy", f"{MOST} commands wait already", command.id)
        self.items.append(Later(start_s, verb, command, topic, correlation))
        self.items.sort(key=lambda one: one.start_s)

    def due(self, now_s: float) -> Iterator[Later]:
        """Those whose time has come, earliest first; each waits no longer."""
        while self.items and self.items[0].start_s <= now_s:
            yield self.items.pop(0)

    def record(self) -> list[dict[str, Any]]:
        """For the journal."""
        return [
            {
                "start_s": one.start_s,
                "verb": one.verb,
                "command": one.command.model_dump(mode="json"),
                "topic": one.topic,
            }
            for one in self.items
        ]

    def restore(self, records: Any, now_s: float) -> Iterator[tuple[str, Command, str | None]]:
        """Takes up what waited before a restart; yields what should have begun meanwhile, and does not any more."""
        for record in records if isinstance(records, list) else []:
            try:
                start_s, verb, topic = float(record["start_s"]), str(record["verb"]), record["topic"]
                command = Command.model_validate(record["command"])
                if verb not in messages.VERBS or not (topic is None or messages.may_answer_on(str(topic))):
                    raise ValueError(verb)
                if start_s > now_s:
                    self.add(start_s, verb, command, topic, None)
                else:
                    yield verb, command, topic
            except (KeyError, TypeError, ValueError, Rejected) as error:
                log.error("a command that waited is not usable in the journal, going on without it: %s", error)
