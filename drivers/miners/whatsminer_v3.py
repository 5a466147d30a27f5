"""Whatsminers with API 3: JSON frames behind their length, on one connection that is kept.

Facts: MicroBT's whatsminer-mdk-worker (protocols/wm-api-v3) and pyasic 0.79. A write carries a token of its own, made
of command, password, the miner's salt and the time. `set.miner.power_limit` restarts mining and is never sent;
`set.miner.power_percent` in fast mode is temporary.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import math
import struct
import time
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field

from rampd.drivers.address import joined
from rampd.drivers.members import Ability, DeviceError, Login, Reading
from rampd.drivers.miners import cgminer
from rampd.drivers.miners.cgminer import BACK_S, LONGEST, Answer, AnswerT, Watts
from rampd.drivers.miners.maps import WhatsminerV3Map

_HEAD: Final = struct.Struct("<I")
_NO_PERMISSION: Final = -4


class _Reply(Answer):
    code: int
    command: str = Field(alias="desc", default="")


class _Refusal(_Reply):
    message: Any = Field(alias="msg", default="")


class _Figures(Answer):
    power: Watts = Field(alias="power-realtime")
    limit: Watts = Field(alias="power-limit")


class _Summary(Answer):
    figures: _Figures = Field(alias="summary")


class _SummaryReply(_Reply):
    message: _Summary = Field(alias="msg")


class _Setting(Answer):
    percent: Annotated[float | None, Field(alias="power-percent", ge=0, le=200)] = None


class _SettingReply(_Reply):
    message: _Setting = Field(alias="msg")


class _Miner(Answer):
    working: bool | Literal["true", "false"]


class _Info(Answer):
    miner: _Miner


class _InfoReply(_Reply):
    message: _Info = Field(alias="msg")


class _Salt(Answer):
    salt: Annotated[str, Field(min_length=1, max_length=64)]


class _SaltReply(_Reply):
    message: _Salt = Field(alias="msg")


def frame(payload: bytes) -> bytes:
    """A payload as it goes on the wire."""
    return _HEAD.pack(len(payload)) + payload


def token(command: str, secret: str, salt: str, at_s: int) -> str:
    """What proves that whoever sends a command at a time knows the password."""
    return base64.b64encode(hashlib.sha256(f"{command}{secret}{salt}{at_s}".encode()).digest())[:8].decode()


class _Wire(asyncio.Protocol):
    """A connection: the next frame goes to whoever waits, an empty one is a heartbeat."""

    def __init__(self) -> None:
        self.waiter: asyncio.Future[bytes | str] | None = None
        self.transport: asyncio.Transport | None = None
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        while len(self._got) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._got)
            if length > LONGEST:
                self._fail(f"a frame of {length} bytes is announced")
                return
            end = _HEAD.size + length
            if len(self._got) < end:
                return
            payload = bytes(self._got[_HEAD.size : end])
            del self._got[:end]
            if not payload:
                continue
            if self.waiter is None or self.waiter.done():
                self._fail("an answer that nobody asked for")
                return
            self.waiter.set_result(payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail(f"connection lost: {exc}" if exc else "it closed the connection without an answer")

    def close(self) -> None:
        """Drops the connection and what is on its way."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def _fail(self, reason: str) -> None:
        self.close()
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(reason)


class WhatsminerV3Member:
    """A Whatsminer on port 4433; its login is an account of the API, `super` as a rule."""

    def __init__(self, host: str, port: int, device_map: WhatsminerV3Map, login: Login | None = None) -> None:
        self._host = host
        self._port = port
        self._map = device_map
        self._login = login
        self._wire: _Wire | None = None
        self._keeps = True
        self._limit_w: float | None = None
        self._asleep: bool | None = None
        self._salt = ""

    @property
    def id(self) -> str:
        """Its address."""
        return joined(self._host, self._port)

    async def open(self) -> Ability:
        """Learns the limit that percentages count from, and the salt."""
        if self._login is None:
            raise DeviceError(f"{self.id}: takes no limit without a password: give its rack a login", refused=True)
        self._keeps = True
        self._salt = await self._new_salt()
        figures = (await self._ask(_SummaryReply, "get.miner.status", "summary")).message.figures
        capability = self._map.capability
        self._limit_w = limit_w = figures.limit if figures.limit >= 1 else capability.max_w
        if not self._map.whatsminer.percent:
            return Ability(limit_w, limit_w, levels=(limit_w,), sleeps=True, asleep_w=capability.asleep_w)
        step_w = limit_w / 100.0
        least = min(100, max(1, math.ceil(capability.min_w / step_w - 1e-6)))
        return Ability(least * step_w, limit_w, step_w=step_w, sleeps=True, asleep_w=capability.asleep_w)

    async def read(self) -> Reading:
        """Power, and the limit with the percentage that holds."""
        figures = (await self._ask(_SummaryReply, "get.miner.status", "summary")).message.figures
        # Who is known to run and draws that much needs not be asked.
        if self._asleep is not False or figures.power < self._map.capability.min_w:
            self._asleep = await self._off()
        if self._asleep:
            return Reading(figures.power, 0.0)
        if not self._map.whatsminer.percent:
            return Reading(figures.power, figures.limit)
        percent = (await self._ask(_SettingReply, "get.miner.setting")).message.percent
        return Reading(figures.power, None if percent is None else figures.limit * percent / 100.0)

    async def set_limit(self, limit_w: float) -> None:
        """Stops the mining service at 0, starts it where it is stopped, then sets the percent below the limit.

        One that was woken up and does not take its percentage, or no longer shall, is put to sleep again.
        """
        asleep, self._asleep = self._asleep, None
        if limit_w <= 0:
            await self._write("set.miner.service", "stop")
            self._asleep = True
            return
        full_w = self._limit_w or self._map.capability.max_w
        percent = min(100, int(limit_w * 100.0 / full_w + 1e-6))
        if percent < (1 if self._map.whatsminer.percent else 100):
            raise DeviceError(f"{self.id}: has no level up to {limit_w:g} W", refused=True)
        woken = await self._off() if asleep is None else asleep
        try:
            if woken:
                await self._write("set.miner.service", "start")
            if self._map.whatsminer.percent:
                await self._set_percent(percent, woken=woken)
        except (DeviceError, asyncio.CancelledError):
            if woken and self._map.whatsminer.percent:
                with contextlib.suppress(DeviceError, TimeoutError):
                    async with asyncio.timeout(BACK_S):
                        await self._write("set.miner.service", "stop")
            raise
        self._asleep = False

    async def _set_percent(self, percent: int, *, woken: bool) -> None:
        try:
            # The firmware reads a text, whatever its manual says.
            await self._write("set.miner.power_percent", {"percent": str(percent), "mode": "fast"})
        except DeviceError as error:
            # Just started it runs in full: a refusal of that does no harm.
            if not (woken and percent == 100 and error.refused):
                raise

    async def close(self) -> None:
        """Drops the connection; there is no session."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _off(self) -> bool:
        working = (await self._ask(_InfoReply, "get.device.info", "miner")).message.miner.working
        return working in (False, "false")

    async def _new_salt(self) -> str:
        return (await self._ask(_SaltReply, "get.device.info", "salt")).message.salt

    async def _write(self, command: str, param: Any) -> None:
        """A command that is looked at. A refused token is made once more with a new salt: a restart changes it."""
        if self._login is None:
            raise DeviceError(f"{self.id}: takes no limit without a password: give its rack a login", refused=True)
        for fresh in (not self._salt, True):
            if fresh:
                self._salt = await self._new_salt()
            at_s = int(time.time())
            proof = token(command, self._login.secret, self._salt, at_s)
            raw = await self._exchange(
                {"cmd": command, "param": param, "ts": at_s, "token": proof, "account": self._login.user},
                reads=False,
            )
            reply = self._parse(_Refusal, command, raw)
            if reply.code == 0:
                return
            if reply.code != _NO_PERMISSION or fresh:
                break
        hint = "; are account, password and clock right, and is the API enabled?" * (reply.code == _NO_PERMISSION)
        raise DeviceError(
            f"{self.id}: {command} refused: {str(reply.message)[:100]} ({reply.code}){hint}", refused=True
        )

    async def _ask(self, model: type[AnswerT], command: str, param: str | None = None) -> AnswerT:
        request = {"cmd": command} if param is None else {"cmd": command, "param": param}
        raw = await self._exchange(request, reads=True)
        try:
            return self._parse(model, command, raw)
        except DeviceError:
            refusal = self._parse(_Refusal, command, raw)
            if refusal.code == 0:
                raise
            text = f"{self.id}: {command} refused: {str(refusal.message)[:100]} ({refusal.code})"
            raise DeviceError(text, refused=True) from None

    def _parse(self, model: type[AnswerT], command: str, raw: bytes) -> AnswerT:
        where = f"{self.id}: {command}"
        answer = cgminer.parse(model, raw, where)
        told = getattr(answer, "command", "")
        if told not in ("", command):
            raise DeviceError(f"{where}: answered for {str(told)[:40]!r}")
        return answer

    async def _exchange(self, request: dict[str, Any], *, reads: bool) -> bytes:
        """One request and its answer. Raises DeviceError.

        Some firmware ends the connection after each answer: a reading that finds it so is asked again, and every call
        after it has a connection of its own.
        """
        kept = self._wire is not None and self._wire.transport is not None
        outcome = await self._once(request)
        if isinstance(outcome, str) and kept and reads:
            self._keeps = False
            outcome = await self._once(request)
        if isinstance(outcome, str):
            raise DeviceError(f"{self.id}: {outcome}")
        return outcome

    async def _once(self, request: dict[str, Any]) -> bytes | str:
        """An answer, or why the connection was lost. One on which an answer may still come is given up."""
        loop = asyncio.get_running_loop()
        wire = self._wire
        outcome: bytes | str = "it closed the connection at once"
        try:
            async with asyncio.timeout(self._map.timeout_s):
                if wire is None or wire.transport is None or wire.transport.is_closing():
                    _, wire = await loop.create_connection(_Wire, self._host, self._port)
                    self._wire = wire
                wire.waiter = loop.create_future()
                if wire.transport is not None:
                    wire.transport.write(frame(json.dumps(request).encode()))
                    outcome = await wire.waiter
        except TimeoutError:
            raise DeviceError(f"{self.id}: no answer within {self._map.timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:  # the latter of a name that is none
            raise DeviceError(f"{self.id}: no connection: {error}") from error
        finally:
            if wire is not None and not (self._keeps and isinstance(outcome, bytes)):
                wire.close()
        return outcome
