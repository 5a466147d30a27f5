"""Commands that begin later: checked, accepted, kept over a restart, begun at their time by the wall clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.daemon import admit, order
from rampd.daemon.answers import Answers, Sender, place_found, place_kept
from rampd.daemon.config import Config
from rampd.daemon.journal import Journal
from rampd.daemon.messages import Command, Rejected

log = logging.getLogger("rampd.waiting")

MOST: Final = 100
LATE_S: Final = 60.0
"""What could not begin within so long of its time, as the clock was set or the process stood, does not any more."""


@dataclass(frozen=True, slots=True)
class Later:
    """One command and when it begins."""

    start_s: float
    verb: str
    command: Command
    topic: str | None
    correlation: bytes | None = None
    record: dict[str, Any] = field(init=False, repr=False)
    """As the journal has it, made once: a hundred take milliseconds."""

    def __post_init__(self) -> None:
        facts = {"start_s": self.start_s, "verb": self.verb, "command": self.command.model_dump(mode="json")}
        object.__setattr__(self, "record", facts | place_kept(self.topic, self.correlation))

    @property
    def sender(self) -> Sender:
        """Who hears of it."""
        return Sender(self.command.who, self.command.reason, self.topic, self.correlation)


@dataclass(slots=True)
class Waiting:
    """All of them, bounded; the journal knows them. Times are the wall clock's."""

    config: Config
    journal: Journal
    answers: Answers
    items: list[Later] = field(default_factory=list)

    def put_off(
        self, verb: str, command: Command, sender: Sender, start_s: float, now_s: float, remark: str = ""
    ) -> None:
        """One more, if it could ever be followed. Raises Rejected, also when too many wait already."""
        admit.later(verb, command, self.config.site, self.config.lease, start_s, now_s)
        self._add(Later(start_s, verb, command, sender.topic, sender.correlation))
        self._stand()
        self.answers.say(verb, command.id, "accepted", sender, message=f"begins in {start_s - now_s:.0f} s{remark}")

    def _add(self, one: Later) -> None:
        if len(self.items) >= MOST:
            raise Rejected("busy", f"{MOST} commands wait already", one.command.id)
        self.items.append(one)
        self.items.sort(key=lambda each: each.start_s)

    def call_off(self, command_id: str, by_id: str, sender: Sender) -> bool:
        """Ends one of them; False: it is none. Raises Rejected where it has more authority than who asks."""
        one = next((each for each in self.items if each.command.id == command_id), None)
        if one is None:
            return False
        if sender.source < one.sender.source:
            raise Rejected("outranked", f"{command_id} is of the {one.sender.source.name.lower()}", by_id)
        self.items.remove(one)
        self._stand()
        self.answers.say("release", by_id, "accepted", sender)
        self.answers.say(one.verb, command_id, "ended", one.sender, code="released")
        self.answers.say("release", by_id, "reached", sender)
        return True

    def due(self, now_s: float) -> Iterator[Later]:
        """Those whose time has come, earliest first; each waits no longer."""
        before = len(self.items)
        while self.items and self.items[0].start_s <= now_s:
            yield self.items.pop(0)
        if len(self.items) != before:
            self._stand()

    def _stand(self) -> None:
        self.journal.stand(waiting=[one.record for one in self.items] or None)

    def restore(self, records: Any, now_s: float) -> None:
        """Takes up what waited before a restart. What should have begun meanwhile does not any more: that is said."""
        missed: list[Later] = []
        for record in records if isinstance(records, list) else []:
            try:
                start_s, verb = float(record["start_s"]), str(record["verb"])
                # Its answers go where the record says.
                command = Command.model_validate(record["command"] | {"reply_to": None})
                if verb not in order.VERBS:
                    raise ValueError(verb)
                one = Later(start_s, verb, command, *place_found(record))
                if start_s > now_s:
                    self._add(one)
                else:
                    missed.append(one)
            except (KeyError, TypeError, ValueError, Rejected) as error:
                log.error("a command that waited is not usable in the journal, going on without it: %s", error)
        self._stand()
        for one in missed:
            message = "its time came while rampd was away"
            self.answers.say(one.verb, one.command.id, "failed", one.sender, code="missed", message=message)
