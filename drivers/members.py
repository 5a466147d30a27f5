"""What a rack of members is made of: BMCs of GPU nodes, miners; each is read and capped by itself.

`rampd.drivers.rack_members` makes one rack of them; the protocols live in modules of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from rampd.drivers import address
from rampd.drivers.maphead import MapHead, Strict, WritePolicy


class DeviceError(Exception):
    """A member that did not do what it was asked; the message says what it answered and the remedy.

    `refused` is True when it answered no, False when no usable answer came in time.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Ability:
    """What a member can be set to, in W: anything from `min_w` to `max_w`, or only `levels` where there are some.

    `step_w` is the grid of a limit, 0 when it is free. With `sleeps`, 0 W can be asked as well; what is drawn asleep
    is `asleep_w`.
    """

    min_w: float
    max_w: float
    step_w: float = 0.0
    levels: tuple[float, ...] = ()
    sleeps: bool = False
    asleep_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a member said of itself: power drawn and limit enforced, in W, 0 while it sleeps; None: it does not tell."""

    power_w: float | None
    limit_w: float | None


@dataclass(frozen=True, slots=True)
class Login:
    """User and secret of a device; the secret comes from a file or a systemd credential."""

    user: str
    secret: str

    def __repr__(self) -> str:
        return f"Login({self.user!r})"


@dataclass(frozen=True, slots=True)
class Trust:
    """How a TLS member is believed: a CA file, the system's store (None), or one pinned certificate (SHA-256, hex)."""

    ca_file: Path | None = None
    pin: str | None = None


class Member(Protocol):
    """One member. Calls may be cancelled at any time; each has the caller's deadline, none retries by itself.

    One call is under way at a time. All raise DeviceError, and nothing else, on whatever the device does.
    """

    @property
    def id(self) -> str:
        """Its name in messages: its address."""

    async def open(self) -> Ability:
        """Logs in, learns what it is and what it can be set to; prepares it (profiles, native ramps)."""

    async def read(self) -> Reading:
        """Power and enforced limit, now."""

    async def set_limit(self, limit_w: float) -> None:
        """Caps it at a limit within its ability, 0 puts it to sleep; returns when the device accepted it."""

    async def close(self) -> None:
        """Logs out where that matters; never raises, ends within a second."""


class Capability(Strict):
    """What one member is, as its maker says: the core's first model of it. Powers in W, times in s."""

    min_w: Annotated[float, Field(ge=0)]
    max_w: Annotated[float, Field(gt=0)]
    step_w: Annotated[float, Field(ge=0)] = 0.0
    sleeps: bool = False
    asleep_w: Annotated[float, Field(ge=0)] = 0.0
    dead_up_s: Annotated[float, Field(ge=0, le=30)]
    dead_down_s: Annotated[float, Field(ge=0, le=30)]
    up_w_per_s: Annotated[float, Field(gt=0)]
    down_w_per_s: Annotated[float, Field(gt=0)]
    min_on_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    min_off_s: Annotated[float, Field(ge=0, le=3600)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Capability:
        if self.min_w > self.max_w:
            raise ValueError(f"limits contradict: min_w {self.min_w:g} exceeds max_w {self.max_w:g}")
        return self


class MemberMap(MapHead):
    """A rack type whose members speak a protocol of their own; each protocol adds a table with its options.

    `in_flight` bounds the calls under way in one rack, `update_s` is how often a member has a new reading to give.
    `storage = "nvm"` marks limits that wear the device out: such a rack is read and never moved. `has_tls` is what the
    driver of its protocol speaks.
    """

    has_tls: ClassVar[bool] = False

    kind: Literal["rack"] = "rack"
    protocol: str
    port: Annotated[int, Field(ge=1, le=65535)]
    in_flight: Annotated[int, Field(ge=1, le=64)] = 16
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 2.0
    update_s: Annotated[float, Field(gt=0, le=600)] = 2.0
    accept_s: Annotated[float, Field(gt=0, le=30)] = 2.0
    effect_s: Annotated[float, Field(gt=0, le=600)]
    writes_per_s: Annotated[float, Field(gt=0, le=20)] = 2.0
    storage: Literal["ram", "nvm"] = "ram"
    capability: Capability

    @property
    def names(self) -> tuple[str, ...]:
        """The values that a rack of such members shows."""
        return ("power_w", "limit_w")

    @property
    def grain_w(self) -> float:
        """The smallest change of one member, 0 where it takes any limit: all of it where it only sleeps and wakes."""
        one = self.capability
        return one.max_w if one.sleeps and one.min_w == one.max_w else one.step_w

    def watching(self) -> Self:
        """The map of a rack that is only looked at: opening its members writes nothing to them."""
        return self

    @property
    def policy(self) -> WritePolicy:
        """How its limit is followed up; none of these devices falls back by itself."""
        return WritePolicy("limit_w", self.accept_s, self.effect_s, self.writes_per_s, self.storage, falls_back=False)


def place(text: str, device_map: MemberMap) -> tuple[str, int]:
    """Host and port of a member's address. Raises AddressError."""
    host, port = address.member(text)
    return host, port or device_map.port
