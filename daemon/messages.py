"""The payloads of commands and their acknowledgements: what may stand in them, checked before anything moves."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Stage = Literal["received", "accepted", "rejected", "started", "reached", "partial", "failed", "ended"]
VERBS: Final = ("setpoint", "release", "hold", "estop", "reset")
LARGEST: Final = 16384
LONGEST_TOPIC: Final = 256
ID: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"


class Rejected(Exception):
    """A command that changes nothing; `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str, command_id: str = "invalid") -> None:
        super().__init__(message)
        self.code = code
        self.command_id = command_id


def may_answer_on(topic: str) -> bool:
    """Whether an acknowledgement may go to a topic that its sender named."""
    plain = 0 < len(topic) <= LONGEST_TOPIC and not any(c in topic for c in "+#\0") and not topic.startswith("$")
    return plain and "/cmd/" not in f"/{topic}/"


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(_Message):
    """When a command is to hold. `end` bounds its lease."""

    start: AwareDatetime | None = None
    end: AwareDatetime | None = None


class Command(_Message):
    """The envelope of every command; a set point names exactly one of power_w, by_w and percent."""

    id: Annotated[str, Field(pattern=f"^{ID}$")]
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    power_w: float | None = None
    by_w: float | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    ramp_s: Annotated[float, Field(gt=0, le=86400)] | None = None
    ramp_w_per_s: Annotated[float, Field(gt=0)] | None = None
    shape: Literal["linear", "s-curve"] = "linear"
    lease_s: Annotated[float, Field(gt=0)] | None = None
    interval: Interval | None = None
    envelope: Literal["normal", "dispatched"] = "dispatched"
    best_effort: bool = False
    reply_to: Annotated[str, Field(max_length=LONGEST_TOPIC)] | None = None
    who: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=512)] = ""

    @field_validator("reply_to")
    @classmethod
    def _plain_topic(cls, topic: str | None) -> str | None:
        if topic is not None and not may_answer_on(topic):
            raise ValueError("reply_to is a plain topic without wildcards, and none of commands")
        return topic

    @model_validator(mode="after")
    def _one_ramp(self) -> Command:
        if self.ramp_s is not None and self.ramp_w_per_s is not None:
            raise ValueError("give ramp_s or ramp_w_per_s, not both")
        if self.expires_at <= self.issued_at:
            raise ValueError("expires_at must lie after issued_at")
        return self


def parse(verb: str, payload: bytes) -> Command:
    """A command from its payload. Raises Rejected with code `malformed` or `unsupported`."""
    if verb not in VERBS:
        raise Rejected("unsupported", f"there is no command {verb!r}; known: {', '.join(VERBS)}", _id(payload))
    if len(payload) > LARGEST:
        raise Rejected("malformed", f"{len(payload)} bytes; a command has {LARGEST} at most")
    try:
        command = Command.model_validate_json(payload)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'payload'}: {e['msg']}" for e in error.errors()[:5]]
        raise Rejected("malformed", "; ".join(problems), _id(payload)) from error
    given = [name for name in ("power_w", "by_w", "percent") if getattr(command, name) is not None]
    if verb == "setpoint" and len(given) != 1:
        found = " and ".join(given) or "none"
        raise Rejected("malformed", f"give exactly one of power_w, by_w and percent, not {found}", command.id)
    if verb != "setpoint" and given:
        raise Rejected("malformed", f"{verb} takes no {given[0]}", command.id)
    return command


def _id(payload: bytes) -> str:
    """The id of a payload that is otherwise wrong, so that its sender hears of it."""
    try:
        found = json.loads(payload[:LARGEST])
    except (ValueError, RecursionError):
        return "invalid"
    name = found.get("id") if isinstance(found, dict) else None
    if isinstance(name, str) and re.fullmatch(ID, name):
        return name
    return "invalid"


def ack(command_id: str, stage: Stage, *, code: str = "ok", message: str = "", power_w: float | None) -> dict[str, Any]:
    """The payload of an acknowledgement."""
    return {"id": command_id, "at": stamp(), "stage": stage, "code": code, "message": message, "power_w": power_w}


def stamp() -> str:
    """Now, RFC 3339 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
