"""The payloads of commands and their acknowledgements: what may stand in them, checked before anything moves."""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

Stage = Literal["received", "accepted", "rejected", "started", "reached", "partial", "failed", "ended"]
VERBS: Final = ("setpoint", "release", "hold", "estop", "reset")
KNOWN: Final = (*VERBS, "schedule", "regulation", "mode", "rack/ID")
LARGEST_PLAIN: Final = 16384
LARGEST: Final = 65536
LONGEST_INTERVAL: Final = timedelta(days=1)
LONGEST_TOPIC: Final = 256  # bytes
MOST_LEVELS: Final = 32
LONGEST_REMARK: Final = 512
ID: Final = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
RFC_3339: Final = r"(?a)\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"


class Rejected(Exception):
    """A command that changes nothing; `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str, command_id: str = "invalid") -> None:
        super().__init__(message)
        self.code = code
        self.command_id = command_id


def may_answer_on(topic: str, root: str = "") -> bool:
    """Whether an acknowledgement may go to a topic that its sender named: no broker disconnects over it, and no reader
    takes it for something that the site of `root` says."""
    plain = bool(topic) and not topic.startswith("$") and topic.count("/") < MOST_LEVELS
    sound = plain and not any(_odd(c) for c in topic) and len(topic.encode()) <= LONGEST_TOPIC and not _commands(topic)
    return sound and (not root or not f"{topic}/".startswith(f"{root}/") or topic.startswith(f"{root}/ack/"))


def _odd(c: str) -> bool:
    """Wildcards, and what MQTT lets brokers close a connection for: control characters and what is no character."""
    return (
        c in "+#" or unicodedata.category(c) in ("Cc", "Cs") or (ord(c) & 0xFFFE) == 0xFFFE or "\ufdd0" <= c <= "\ufdef"
    )


def _commands(topic: str) -> bool:
    return "/cmd/" in f"/{topic}/"


def _moment(said: Any) -> datetime:
    """A time as RFC 3339 has it: a number may be seconds or ms, and a time without its offset may be anybody's."""
    if not isinstance(said, str) or not re.fullmatch(RFC_3339, said):
        raise ValueError("a time is RFC 3339 with its offset: 2026-12-01T06:00:00Z")
    return datetime.fromisoformat(said.upper())


Time = Annotated[AwareDatetime, BeforeValidator(_moment)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Interval(_Message):
    """When a command is to hold. `end` bounds its lease."""

    start: Time | None = None
    end: Time | None = None


class Label(_Message):
    """What tells one message on cmd/ from another. `who` is "operator" or "operator:NAME" of the site itself."""

    id: Annotated[str, Field(pattern=f"^{ID}$")]
    reply_to: Annotated[str, Field(max_length=LONGEST_TOPIC)] | None = None
    who: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=512)] = ""

    @field_validator("reply_to")
    @classmethod
    def _plain_topic(cls, topic: str | None) -> str | None:
        if topic is not None and not may_answer_on(topic):
            raise ValueError(
                f"reply_to is a plain topic of {MOST_LEVELS} levels at most, without wildcards and control characters, "
                "and none of commands"
            )
        return topic


class Envelope(Label):
    """What every message on cmd/ carries."""

    issued_at: Time
    expires_at: Time

    @model_validator(mode="after")
    def _expires(self) -> Self:
        if self.expires_at <= self.issued_at:
            raise ValueError("expires_at must lie after issued_at")
        return self


class Command(Envelope):
    """A set point names exactly one of power_w, by_w and percent; release, hold and reset none.

    A release with `command_id` ends that command only, whether it holds or waits.
    """

    power_w: float | None = None
    by_w: float | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    ramp_s: Annotated[float, Field(gt=0, le=86400)] | None = None
    ramp_w_per_s: Annotated[float, Field(ge=1)] | None = None
    shape: Literal["linear", "s-curve"] = "linear"
    lease_s: Annotated[float, Field(gt=0)] | None = None
    interval: Interval | None = None
    envelope: Literal["normal", "dispatched"] = "dispatched"
    best_effort: bool = False
    command_id: Annotated[str, Field(pattern=f"^{ID}$")] | None = None

    @model_validator(mode="after")
    def _one_ramp(self) -> Self:
        _not_two_ramps(self.ramp_s, self.ramp_w_per_s)
        return self


class Stop(Label):
    """An emergency stop, read as far as it is legible. It waits for nothing; `ignored` says what was wrong with it."""

    expires_at: datetime | None = None
    ignored: str = ""


class Planned(_Message):
    """One interval of a schedule, which follows the normal envelope unless it says otherwise."""

    start: Time
    end: Time
    power_w: float | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    ramp_s: Annotated[float, Field(gt=0, le=86400)] | None = None
    ramp_w_per_s: Annotated[float, Field(ge=1)] | None = None
    shape: Literal["linear", "s-curve"] = "linear"
    envelope: Literal["normal", "dispatched"] = "normal"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _not_two_ramps(self.ramp_s, self.ramp_w_per_s)
        if (self.power_w is None) == (self.percent is None):
            raise ValueError("give exactly one of power_w and percent")
        if not timedelta() < self.end - self.start <= LONGEST_INTERVAL:
            raise ValueError(f"end must lie after start, {LONGEST_INTERVAL.total_seconds() / 3600:g} h at most")
        return self


class Schedule(Envelope):
    """Intervals in their order; none: the schedule ends."""

    intervals: Annotated[tuple[Planned, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for before, after in pairwise(self.intervals):
            if after.start < before.end:
                raise ValueError(f"intervals overlap or are out of order at {after.start.isoformat()}")
        return self


class Signal(Envelope):
    """A regulation signal: how far beside the set point, in W of purchase or as a part of what the site offers."""

    power_w: float | None = None
    part: Annotated[float, Field(ge=-1, le=1)] | None = None
    lease_s: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_power(self) -> Self:
        if (self.power_w is None) == (self.part is None):
            raise ValueError("give exactly one of power_w and part")
        return self


class ModeChange(Envelope):
    """Whose commands are followed from now on; `lease_s` is how long hand stays where the site is."""

    mode: Literal["hand", "auto", "remote"]
    lease_s: Annotated[float, Field(gt=0)] | None = None


class RackUse(Envelope):
    """A rack in hand: at a set point for `lease_s`, or not touched at all until it is given back to auto."""

    use: Literal["setpoint", "hands_off", "auto"]
    power_w: Annotated[float, Field(ge=0)] | None = None
    lease_s: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.power_w is not None) != (self.use == "setpoint"):
            raise ValueError("power_w belongs to use setpoint, and to that only")
        if self.lease_s is not None and self.use != "setpoint":
            raise ValueError("lease_s belongs to use setpoint")
        return self


def _not_two_ramps(ramp_s: float | None, ramp_w_per_s: float | None) -> None:
    if ramp_s is not None and ramp_w_per_s is not None:
        raise ValueError("give ramp_s or ramp_w_per_s, not both")


def model_of(verb: str) -> type[Label] | None:
    """What the payload of cmd/{verb} must be; None where there is no such command."""
    if verb == "estop":
        return Stop
    if verb in VERBS:
        return Command
    if verb.startswith("rack/") and verb.count("/") == 1 and len(verb) > len("rack/"):
        return RackUse
    if verb == "schedule":
        return Schedule
    if verb == "regulation":
        return Signal
    return ModeChange if verb == "mode" else None


def parse(verb: str, payload: bytes) -> Envelope | Stop:
    """A command from its payload. Raises Rejected with code `malformed` or `unsupported`."""
    model = model_of(verb)
    if model is None:
        raise Rejected("unsupported", f"there is no command {verb!r}; known: {', '.join(KNOWN)}", _id(payload))
    most = LARGEST if model in (Schedule, Stop) else LARGEST_PLAIN
    if len(payload) > most:
        raise Rejected("malformed", f"{len(payload)} bytes; this command has {most} at most")
    if not issubclass(model, Envelope):
        return _stop(payload)
    try:
        command = model.model_validate_json(payload)
        _unambiguous(payload)
    except ValidationError as error:
        raise Rejected("malformed", "; ".join(_problems(error)), _id(payload)) from error
    except ValueError as error:
        raise Rejected("malformed", f"payload: {error}", _id(payload)) from error
    if not isinstance(command, Command):
        return command
    given = [name for name in ("power_w", "by_w", "percent") if getattr(command, name) is not None]
    if verb == "setpoint" and len(given) != 1:
        found = " and ".join(given) or "none"
        raise Rejected("malformed", f"give exactly one of power_w, by_w and percent, not {found}", command.id)
    if verb != "setpoint" and given:
        raise Rejected("malformed", f"{verb} takes no {given[0]}", command.id)
    if verb != "release" and command.command_id is not None:
        raise Rejected("malformed", f"{verb} takes no command_id", command.id)
    if verb in ("release", "reset") and command.interval is not None:
        raise Rejected("malformed", f"{verb} takes no interval: it acts at once", command.id)
    return command


def _stop(payload: bytes) -> Stop:
    """Any object is a stop, with an id of its own if need be: what is wrong with it is said, not waited for."""
    text = payload.decode("utf-8-sig", errors="replace")
    try:
        found = json.loads(text, strict=False, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise Rejected("malformed", f"payload: Invalid JSON: {error}") from error
    if not isinstance(found, dict):
        raise Rejected("malformed", "payload: a stop is an object, if need be an empty one: {}")
    expires_at = None
    try:
        expires_at = Envelope.model_validate(found).expires_at
        _unambiguous(text)
        ignored = ""
    except ValidationError as error:
        ignored = "; ".join(_problems(error)).encode(errors="replace").decode()
    except (ValueError, RecursionError) as error:
        ignored = f"payload: {error}"
    return Stop(**_label(found), expires_at=expires_at, ignored=ignored[:LONGEST_REMARK])


def _label(found: dict[str, Any]) -> dict[str, Any]:
    """What is legible of id, sender and reason."""
    said = {name: found[name] for name in Label.model_fields if name in found}
    fresh = {"id": f"stop-{uuid.uuid4().hex[:12]}"}
    try:
        Label.model_validate(fresh | said)
    except ValidationError as error:
        bad = {e["loc"][0] for e in error.errors()}
        said = {name: value for name, value in said.items() if name not in bad}
    return fresh | said


def _problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, e['loc'])) or 'payload'}: {e['msg']}" for e in error.errors()[:5]]


def _unambiguous(payload: str | bytes) -> None:
    """Raises ValueError where an object says a thing twice: readers differ on which counts."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
        return found

    json.loads(payload, object_pairs_hook=once)


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


def stamp(at_s: float | None = None) -> str:
    """A time of the wall clock, RFC 3339 with milliseconds; without one: now."""
    at = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
