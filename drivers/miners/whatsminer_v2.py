"""Whatsminers with API 2: read in the clear, written in AES with a token that lives for half an hour.

Facts: MicroBT's API manual 2.0.5 as implemented by pyasic 0.79, PyPI whatsminer 0.1.2 and MicroBT's own
whatsminer-mdk-worker. `adjust_power_limit` restarts mining and is never sent; `set_power_pct` acts within a second and
lasts until the next start, without a restart only where fast boot is on.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import math
import random
import time
from typing import Annotated, Any, Final, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import Field

from rampd.drivers.address import joined
from rampd.drivers.members import Ability, DeviceError, Login, Reading
from rampd.drivers.miners import cgminer, md5crypt
from rampd.drivers.miners.cgminer import BACK_S, Answer, Watts
from rampd.drivers.miners.maps import WhatsminerV2Map

TOKEN_S: Final = 30 * 60.0
RENEW_S: Final = 20 * 60.0
"""Age at which a token is renewed beside a reading, so that no command has to wait for one. Half of it for some: a
token costs 0.7 ms, and a hall has thousands of miners that were opened together.
"""
AGAIN_S: Final = 60.0
_DONE: Final = 131
_TOKEN_REFUSED: Final = 135
_BLOCK: Final = 16


class _Figures(Answer):
    power: Watts = Field(alias="Power")
    limit: Annotated[Watts, Field(alias="Power Limit", ge=1)]
    fast_boot: str = Field(alias="Btminer Fast Boot", default="")


class _Summary(Answer):
    """The figures stand in a list as in cgminer, or in the message."""

    rows: list[_Figures] = Field(alias="SUMMARY", default=[])
    message: _Figures | str = Field(alias="Msg", default="")


class _Off(Answer):
    old: bool | Literal["true", "false"] | None = Field(alias="btmineroff", default=None)
    new: bool | Literal["true", "false"] | None = Field(alias="mineroff", default=None)


class _StatusAnswer(Answer):
    message: _Off = Field(alias="Msg")


_Salt = Annotated[str, Field(pattern=r"^[./0-9A-Za-z]{1,8}$")]


class _Salts(Answer):
    time: Annotated[str, Field(pattern=r"^\w{1,20}$")]
    salt: _Salt
    newsalt: _Salt


class _TokenAnswer(Answer):
    code: int = Field(alias="Code", default=0)
    message: _Salts | str = Field(alias="Msg")


class _Sealed(Answer):
    """What a write is answered with: sealed, or in the clear when the miner could not read it."""

    sealed: str = Field(alias="enc", default="")
    code: int = Field(alias="Code", default=0)
    message: Any = Field(alias="Msg", default="")


class Token:
    """What a write is signed and sealed with, made from the password and the miner's salts."""

    def __init__(self, secret: str, time_text: str, salt: str, newsalt: str) -> None:
        key = md5crypt.cached(secret, salt)
        self.sign = md5crypt.md5crypt(key + time_text, newsalt)
        self.made_s = time.monotonic()
        self._cipher = Cipher(algorithms.AES(hashlib.sha256(key.encode()).digest()), modes.ECB())

    def seal(self, command: dict[str, str]) -> bytes:
        """A request as it goes on the wire."""
        plain = json.dumps(command).encode()
        sealed = self._run(self._cipher.encryptor(), plain + b"\0" * (-len(plain) % _BLOCK))
        return json.dumps({"enc": 1, "data": base64.b64encode(sealed).decode()}).encode()

    def unseal(self, sealed: str) -> bytes:
        """An answer in the clear. Raises ValueError."""
        raw = base64.b64decode(sealed, validate=True)
        if not raw or len(raw) % _BLOCK:
            raise ValueError("it is no whole number of blocks")
        return self._run(self._cipher.decryptor(), raw).rstrip(b"\0")

    @staticmethod
    def _run(way: Any, data: bytes) -> bytes:
        return bytes(way.update(data) + way.finalize())


class WhatsminerV2Member:
    """A Whatsminer on port 4028. Its password is that of the API, which the maker's tool has to enable once."""

    def __init__(self, host: str, port: int, device_map: WhatsminerV2Map, login: Login | None = None) -> None:
        self._host = host
        self._port = port
        self._map = device_map
        self._login = login
        self._limit_w: float | None = None
        self._percent = False
        self._asleep: bool | None = None
        self._token: Token | None = None
        self._renew_s = 0.0
        self._patience = random.uniform(0.5, 1.0)

    @property
    def id(self) -> str:
        """Its address."""
        return joined(self._host, self._port)

    async def open(self) -> Ability:
        """Learns limit and fast boot, and gets a token ready. Without fast boot a miner runs in full or sleeps."""
        if self._login is None:
            raise DeviceError(f"{self.id}: takes no limit without a password: give its rack a login", refused=True)
        self._token = await self._new_token(self._login.secret)
        figures = await self._figures()
        capability = self._map.capability
        self._limit_w = figures.limit if figures is not None else None
        fast_boot = figures is not None and figures.fast_boot.lower() in ("enable", "enabled", "true")
        self._percent = self._map.whatsminer.percent and fast_boot
        limit_w = self._limit_w or capability.max_w
        if not self._percent:
            return Ability(limit_w, limit_w, levels=(limit_w,), sleeps=True, asleep_w=capability.asleep_w)
        step_w = limit_w / 100.0
        least = min(100, max(1, math.ceil(capability.min_w / step_w - 1e-6)))
        return Ability(least * step_w, limit_w, step_w=step_w, sleeps=True, asleep_w=capability.asleep_w)

    async def read(self) -> Reading:
        """Power, and the limit as far as the miner tells it: it keeps a percentage to itself."""
        figures = await self._figures()
        await self._refresh()
        if figures is None or self._asleep:
            return Reading(self._map.capability.asleep_w if figures is None else figures.power, 0.0)
        return Reading(figures.power, None if self._percent or self._limit_w is None else figures.limit)

    async def set_limit(self, limit_w: float) -> None:
        """`power_off` at 0, `power_on` where it sleeps, then the whole percent that does not exceed the limit.

        One that was woken up and does not take its percentage, or no longer shall, is put to sleep again.
        """
        asleep, self._asleep = self._asleep, None
        if limit_w <= 0:
            await self._write("power_off", respbefore="true")
            self._asleep = True
            return
        full_w = self._limit_w or self._map.capability.max_w
        percent = min(100, int(limit_w * 100.0 / full_w + 1e-6))
        if percent < (1 if self._percent else 100):
            raise DeviceError(f"{self.id}: has no level up to {limit_w:g} W", refused=True)
        woken = await self._off() if asleep is None else asleep
        try:
            if woken:
                await self._write("power_on")
            if self._percent:
                await self._set_percent(percent, woken=woken)
        except (DeviceError, asyncio.CancelledError):
            if woken and self._percent:
                with contextlib.suppress(DeviceError, TimeoutError):
                    async with asyncio.timeout(BACK_S):
                        await self._write("power_off", respbefore="true")
            raise
        self._asleep = False

    async def _set_percent(self, percent: int, *, woken: bool) -> None:
        try:
            await self._write("set_power_pct", percent=str(percent))
        except DeviceError as error:
            # Just started it runs in full: a refusal of that does no harm.
            if not (woken and percent == 100 and error.refused):
                raise

    async def close(self) -> None:
        """Nothing stays open: a token expires by itself."""

    async def _figures(self) -> _Figures | None:
        """The summary, and whether it sleeps; None for a miner that is off and has no summary then."""
        raw = await self._ask({"cmd": "summary"})
        wrong: DeviceError | None = None
        found: _Figures | None = None
        try:
            summary = cgminer.parse(_Summary, raw, f"{self.id}: summary")
            found = self._row(summary)
        except DeviceError as error:
            wrong = error
        # Hash rates are means and tell too late. Who is known to run and draws that much needs not be asked.
        if self._asleep is not False or found is None or found.power < self._map.capability.min_w:
            self._asleep = await self._off()
        if wrong is not None and not self._asleep:
            raise wrong
        return found

    def _row(self, summary: _Summary) -> _Figures:
        if summary.rows:
            return summary.rows[0]
        if isinstance(summary.message, _Figures):
            return summary.message
        raise DeviceError(f"{self.id}: summary refused: {summary.message[:100]}", refused=True)

    async def _off(self) -> bool:
        message = cgminer.parse(_StatusAnswer, await self._ask({"cmd": "status"}), f"{self.id}: status").message
        told = message.old if message.old is not None else message.new
        if told is None:
            raise DeviceError(f"{self.id}: its status does not tell whether it mines")
        return told in (True, "true")

    async def _refresh(self) -> None:
        """A new token beside a reading, long before the old one expires; a refusal waits for the next time."""
        now_s = time.monotonic()
        if self._login is None or now_s < self._renew_s:
            return
        if self._token is not None and now_s - self._token.made_s < RENEW_S * self._patience:
            return
        self._renew_s = now_s + AGAIN_S
        try:
            self._token = await self._new_token(self._login.secret)
        except DeviceError:
            return

    async def _new_token(self, secret: str) -> Token:
        answer = cgminer.parse(_TokenAnswer, await self._ask({"cmd": "get_token"}), f"{self.id}: get_token")
        if isinstance(answer.message, str):
            raise DeviceError(f"{self.id}: no token: {answer.message[:100]} ({answer.code})", refused=True)
        return Token(secret, answer.message.time, answer.message.salt, answer.message.newsalt)

    async def _write(self, command: str, **words: str) -> None:
        """A command that is looked at: done, or DeviceError. A token that was refused is renewed once."""
        if self._login is None:
            raise DeviceError(f"{self.id}: takes no limit without a password: give its rack a login", refused=True)
        for _ in range(2):
            token = self._token
            if token is None or time.monotonic() - token.made_s > TOKEN_S - AGAIN_S:
                token = self._token = await self._new_token(self._login.secret)
            answer = self._unseal(token, await self._ask(token.seal({"cmd": command, "token": token.sign} | words)))
            if answer.code == _DONE:
                return
            if answer.code != _TOKEN_REFUSED:
                break
            self._token = None
        raise DeviceError(
            f"{self.id}: {command} refused: {str(answer.message)[:100]} ({answer.code}); is the password right, "
            "and is write access enabled?",
            refused=True,
        )

    def _unseal(self, token: Token, raw: bytes) -> _Sealed:
        where = f"{self.id}: a command"
        answer = cgminer.parse(_Sealed, raw, where)
        if not answer.sealed:
            return answer
        try:
            plain = token.unseal(answer.sealed)
        except (ValueError, binascii.Error) as error:
            raise DeviceError(f"{where}: not a usable answer: {error}") from error
        return cgminer.parse(_Sealed, plain, where)

    async def _ask(self, request: bytes | dict[str, str]) -> bytes:
        raw = request if isinstance(request, bytes) else json.dumps(request).encode()
        return await cgminer.ask(self._host, self._port, raw, self._map.timeout_s)
