"""LuxOS: sleep and wake-up by `curtail`, and discrete profiles where the map switches them on.

Facts: pyasic 0.79 (rpc/luxminer, miners/backends/luxminer) and LuxorLabs/luxos-tooling (asyncops). Reading needs no
session; writing does, there is one at a time, and it ends 60 s after its last use.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field

from rampd.drivers.address import joined
from rampd.drivers.members import Ability, DeviceError, Login, Reading
from rampd.drivers.miners import cgminer
from rampd.drivers.miners.cgminer import Answer, AnswerT, Watts
from rampd.drivers.miners.maps import LuxosMap

SESSION_S: Final = 60.0
CLOSE_S: Final = 0.8
_SESSION_ACTIVE: Final = 402
# A limit may come back from a sum: half a watt is no difference.
_SLACK_W: Final = 0.5

_Mode = Annotated[Literal["none", "sleep"], BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v)]


class _Status(Answer):
    status: str = Field(alias="STATUS")
    code: int = Field(alias="Code", default=0)
    message: str = Field(alias="Msg", default="")
    maker: str = Field(alias="Description", default="")


class _Reply(Answer):
    status: Annotated[list[_Status], Field(alias="STATUS", min_length=1)]


class _PowerItem(Answer):
    watts: Watts = Field(alias="Watts")


class _Power(_Reply):
    items: list[_PowerItem] = Field(alias="POWER", default=[])


class _ConfigItem(Answer):
    mode: _Mode = Field(alias="CurtailMode")
    profile: str = Field(alias="Profile")
    tuned: bool | None = Field(alias="IsAtmEnabled", default=None)


class _Config(_Reply):
    items: list[_ConfigItem] = Field(alias="CONFIG", default=[])


class _Profile(Answer):
    # A comma would end the parameter it is sent back in.
    name: Annotated[str, Field(alias="Profile Name", pattern=r"^[^,]{1,64}$")]
    watts: Annotated[Watts, Field(alias="Watts")]


class _Profiles(_Reply):
    items: Annotated[list[_Profile], Field(alias="PROFILES", default=[], max_length=200)]


class _SessionItem(Answer):
    id: Annotated[str, Field(alias="SessionID", pattern=r"^\w{1,64}$")]


class _Session(_Reply):
    items: list[_SessionItem] = Field(alias="SESSION", default=[])


class _State(Answer):
    power: Annotated[list[_Power], Field(min_length=1)]
    config: Annotated[list[_Config], Field(min_length=1)]


class _Identity(Answer):
    config: Annotated[list[_Config], Field(min_length=1)]
    profiles: Annotated[list[_Profiles], Field(min_length=1)]


ItemT = TypeVar("ItemT")


class LuxosMember:
    """A miner with LuxOS. Its API knows no password: whoever holds the one session may write."""

    def __init__(self, host: str, port: int, device_map: LuxosMap, login: Login | None = None) -> None:
        self._host = host
        self._port = port
        self._map = device_map
        self._watts: dict[str, float] = {}
        self._levels: dict[float, str] = {}
        self._session = ""
        self._logon_s = float("-inf")

    @property
    def id(self) -> str:
        """Its address."""
        return joined(self._host, self._port)

    async def open(self) -> Ability:
        """Learns the profiles: the active one is the level to wake up to, or all within the map's range are levels."""
        identity = await self._ask(_Identity, "config+profiles")
        config = self._item(identity.config[0], identity.config[0].items)
        if "luxminer" not in (maker := identity.config[0].status[0].maker).lower():
            raise DeviceError(f"{self.id}: not LuxOS but {maker[:60]!r}: use the map of its firmware", refused=True)
        self._item(identity.profiles[0], identity.profiles[0].items)
        self._watts = {profile.name: profile.watts for profile in identity.profiles[0].items}
        capability = self._map.capability
        if self._map.luxos.profiles:
            self._refuse_tuner(config)
            low_w, high_w = capability.min_w - _SLACK_W, capability.max_w + _SLACK_W
            self._levels = {watts: name for name, watts in self._watts.items() if 0 < low_w <= watts <= high_w}
            if not self._levels:
                raise DeviceError(f"{self.id}: no profile within the map's min_w and max_w", refused=True)
        else:
            self._levels = {self._limit_w(config) or capability.max_w: ""}
        levels = tuple(sorted(self._levels))
        return Ability(levels[0], levels[-1], levels=levels, sleeps=True, asleep_w=capability.asleep_w)

    async def read(self) -> Reading:
        """Power, and the watts of the profile in force; no limit is told while the tuner moves it."""
        state = await self._ask(_State, "power+config")
        power = self._item(state.power[0], state.power[0].items)
        config = self._item(state.config[0], state.config[0].items)
        return Reading(power.watts, 0.0 if config.mode == "sleep" else self._limit_w(config))

    async def set_limit(self, limit_w: float) -> None:
        """Sleep at 0, else the highest level that does not exceed the limit: profile first, then awake.

        Only what is not so already is written.
        """
        if limit_w <= 0:
            await self._write([("curtail", "sleep")])
            return
        level_w = max((level_w for level_w in self._levels if level_w <= limit_w + _SLACK_W), default=None)
        if level_w is None:
            raise DeviceError(f"{self.id}: has no level up to {limit_w:g} W", refused=True)
        reply = await self._ask(_Config, "config")
        config = self._item(reply, reply.items)
        steps = []
        if profile := self._levels[level_w]:
            self._refuse_tuner(config)
            if config.profile != profile:
                steps.append(("profileset", profile))
        if config.mode == "sleep":
            steps.append(("curtail", "wakeup"))
        if steps:
            await self._write(steps)

    async def close(self) -> None:
        """Ends a session that a call left behind."""
        if self._session:
            await self._logoff(CLOSE_S)

    def _limit_w(self, config: _ConfigItem) -> float | None:
        return None if config.tuned else self._watts.get(config.profile)

    def _refuse_tuner(self, config: _ConfigItem) -> None:
        if config.tuned is not False:
            raise DeviceError(
                f"{self.id}: its tuner (ATM) moves the profile: switch it off, or set luxos.profiles = false",
                refused=True,
            )

    async def _write(self, steps: list[tuple[str, str]]) -> None:
        """Commands in one session. A session that outlives a cancelled call is used by the next one."""
        await self._logon()
        try:
            for command, argument in steps:
                reply = await self._ask(_Reply, command, f"{self._session},{argument}")
                self._check(reply, f"{command} {argument}")
        except DeviceError:
            await self._logoff(CLOSE_S)
            raise
        await self._logoff(self._map.timeout_s)

    async def _logon(self) -> None:
        """Makes the session ours. Raises DeviceError when somebody else holds it."""
        lost_s, self._logon_s = self._logon_s, time.monotonic()
        reply = await self._ask(_Session, "logon")
        if reply.status[0].code != _SESSION_ACTIVE:
            self._logon_s = float("-inf")
            self._session = self._item(reply, reply.items).id
            return
        self._logon_s = lost_s
        if self._session:
            return
        if time.monotonic() - lost_s >= SESSION_S:
            raise DeviceError(
                f"{self.id}: somebody else holds its only session: end it, or wait {SESSION_S:g} s for it to expire",
                refused=True,
            )
        # A logon of ours went unanswered a moment ago: the session that is active is that one.
        reply = await self._ask(_Session, "session")
        self._session = self._item(reply, reply.items).id
        self._logon_s = float("-inf")

    async def _logoff(self, timeout_s: float) -> None:
        """Gives the session back. One that could not be expires; until then the next write goes on with it."""
        try:
            reply = await self._ask(_Reply, "logoff", self._session, timeout_s)
            self._check(reply, "logoff")
        except DeviceError as error:
            if not error.refused:
                return
        self._session = ""

    async def _ask(
        self, model: type[AnswerT], command: str, argument: str | None = None, timeout_s: float | None = None
    ) -> AnswerT:
        request = {"command": command} if argument is None else {"command": command, "parameter": argument}
        raw = await cgminer.ask(
            self._host, self._port, json.dumps(request).encode() + b"\0", timeout_s or self._map.timeout_s
        )
        return cgminer.parse(model, raw, f"{self.id}: {command}")

    def _check(self, reply: _Reply, what: str) -> None:
        status = reply.status[0]
        if status.status not in ("S", "I"):
            raise DeviceError(f"{self.id}: {what} refused: {status.message[:100]} ({status.code})", refused=True)

    def _item(self, reply: _Reply, items: list[ItemT]) -> ItemT:
        self._check(reply, type(reply).__name__.strip("_").lower())
        if not items:
            raise DeviceError(f"{self.id}: a {type(reply).__name__.strip('_').lower()} answer with nothing in it")
        return items[0]
