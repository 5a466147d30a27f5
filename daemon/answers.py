"""What is said of commands: to whoever sent one, to the counters, and to the audit trail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.daemon import arbitrate, messages
from rampd.daemon.arbitrate import Source
from rampd.daemon.events import Events
from rampd.daemon.journal import Journal
from rampd.daemon.messages import Stage

LONGEST_CORRELATION: Final = 1024
"""Bytes of MQTT 5 correlation data that the journal keeps: a broker lets 64 kB pass."""
TOLD: Final = frozenset({"accepted", "reached", "partial", "failed", "ended"})
"""Stages that are events; of refusals there may be a flood."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An acknowledgement on its way; `topic` None is the site's own ack topic."""

    payload: dict[str, Any]
    topic: str | None
    correlation: bytes | None


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a command came from, and where its answers go."""

    who: str = ""
    reason: str = ""
    topic: str | None = None
    correlation: bytes | None = None

    @property
    def source(self) -> Source:
        """On whose behalf it speaks."""
        return arbitrate.asked_by(self.who)


def place_kept(topic: str | None, correlation: bytes | None) -> dict[str, Any]:
    """Where answers go, as the journal has it."""
    kept = None if correlation is None or len(correlation) > LONGEST_CORRELATION else correlation.hex()
    return {"topic": topic} | ({} if kept is None else {"correlation": kept})


def place_found(found: Mapping[str, Any]) -> tuple[str | None, bytes | None]:
    """Topic and correlation data out of the journal; None: nothing that an answer may have."""
    topic, kept = found.get("topic"), found.get("correlation")
    good = isinstance(topic, str) and messages.may_answer_on(topic)
    try:
        correlation = bytes.fromhex(kept)[:LONGEST_CORRELATION] if isinstance(kept, str) else None
    except ValueError:
        correlation = None
    return topic if good else None, correlation


@dataclass(slots=True)
class Answers:
    """Everything that is said goes through here."""

    send: Callable[[Reply], None]
    journal: Journal
    root: str  # of all topics of the site
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    power_w: float | None = None  # what the meter shows, where it was read
    events: Events = field(default_factory=Events)

    def place(self, topic: str | None) -> str | None:
        """Where an answer goes that was asked for there, also before a restart; None: it may not, or nowhere was."""
        return topic if topic is not None and messages.may_answer_on(topic, self.root) else None

    def say(
        self, verb: str, command_id: str, stage: Stage, sender: Sender, *, code: str = "ok", message: str = "",
        source: Source | None = None, routine: bool = False, **facts: Any,
    ) -> None:  # fmt: skip
        """One stage of a command. What is a matter of course does not stand in the trail; `facts` stand only there.

        `routine`: one of a stream, whose begin and end were or will be told; its sender hears of it, nobody else.
        """
        self.counts[arbitrate.kind_of(verb), stage, code] += 1
        if command_id != "invalid":
            self.journal.remember(command_id, stage)
        power_w = None if self.power_w is None else round(self.power_w, 1)
        payload = messages.ack(command_id, stage, code=code, message=message, power_w=power_w)
        self.send(Reply(payload, self.place(sender.topic), sender.correlation))
        if routine:
            return
        by = sender.source if source is None else source
        if stage in TOLD:
            self.events.note(
                "command", verb=verb, id=command_id, stage=stage, code=code, message=message or None,
                who=sender.who or None, source=by.name.lower(), power_w=power_w,
            )  # fmt: skip
        if stage == "received" or (stage == "started" and not facts) or code == "replaced":
            return
        self.journal.trail.note(
            time.time(), refused=stage == "rejected", id=command_id, verb=verb[:80], stage=stage,
            code=None if code == "ok" else code, who=sender.who, source=by.name.lower(), message=message,
            reason=sender.reason, power_w=power_w,
            expires_at=self.journal.expires_at(command_id) if stage == "accepted" else None, **facts,
        )  # fmt: skip

    def note(self, **facts: Any) -> None:
        """Something that is no stage of a command, for the trail only."""
        self.journal.trail.note(time.time(), **facts)
