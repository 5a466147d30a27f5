"""Antminers with the firmware of their maker: asleep or not, by the configuration that their web page writes.

Facts: pyasic 0.79 (web/antminer) and drivers that were tried on S19 XP and S21: `get_miner_conf.cgi` tells
`bitmain-work-mode`, `set_miner_conf.cgi` takes `miner-mode` and ignores the other name in silence. A write replaces the
whole configuration, pools and all, is kept in flash, and starts the mining process anew; waking up takes minutes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final

import aiohttp
from pydantic import Field

from rampd.drivers.address import joined
from rampd.drivers.members import Ability, DeviceError, Login, Reading
from rampd.drivers.miners.budget import Budget
from rampd.drivers.miners.cgminer import LONGEST, Answer, parse
from rampd.drivers.miners.maps import AntminerMap

CLOSE_S: Final = 0.8
_NORMAL: Final = 0
_ASLEEP: Final = 1
_TOLD: Final = "bitmain-work-mode"
_TAKEN: Final = "miner-mode"


class _Pool(Answer):
    url: str


class _Configuration(Answer):
    told: int | Annotated[str, Field(pattern=r"^\d{1,2}$")] | None = Field(alias=_TOLD, default=None)
    taken: int | Annotated[str, Field(pattern=r"^\d{1,2}$")] | None = Field(alias=_TAKEN, default=None)
    pools: list[_Pool] = Field(default=[])


class _Done(Answer):
    outcome: str = Field(alias="stats", default="")
    code: str = ""
    message: str = Field(alias="msg", default="")


class AntminerMember:
    """An Antminer on port 80. It does not tell its power: its rack needs another source for that."""

    def __init__(self, host: str, port: int, device_map: AntminerMap, login: Login | None = None) -> None:
        self._host = host
        self._port = port
        self._map = device_map
        self._login = login
        self._changes = Budget(device_map.antminer.changes_per_day)
        self._session: aiohttp.ClientSession | None = None

    @property
    def id(self) -> str:
        """Its address."""
        return joined(self._host, self._port)

    async def open(self) -> Ability:
        """Sees that the configuration can be read, and written back as it is."""
        if self._login is None:
            raise DeviceError(f"{self.id}: shows nothing without a password: give its rack a login", refused=True)
        _, raw = await self._configuration()
        self._writable(raw)
        capability = self._map.capability
        level_w = capability.max_w
        return Ability(level_w, level_w, levels=(level_w,), sleeps=True, asleep_w=capability.asleep_w)

    async def read(self) -> Reading:
        """No power; no limit either in a mode that is neither normal nor sleep."""
        mode, _ = await self._configuration()
        limits_w = {_NORMAL: self._map.capability.max_w, _ASLEEP: 0.0}
        return Reading(None, limits_w.get(mode))

    async def set_limit(self, limit_w: float) -> None:
        """Writes the configuration back with another mode; nothing where the mode is that already."""
        wanted = _ASLEEP if limit_w <= 0 else _NORMAL
        if wanted == _NORMAL and limit_w + 0.5 < self._map.capability.max_w:
            raise DeviceError(f"{self.id}: has no level up to {limit_w:g} W", refused=True)
        mode, raw = await self._configuration()
        if mode == wanted:
            return
        request = self._writable(raw)
        request[_TAKEN] = str(wanted) if isinstance(raw.get(_TAKEN), str) else wanted
        if self._changes.left() <= 0:
            text = f"{self.id}: its {self._changes.most} changes a day are spent, each is written to flash"
            raise DeviceError(text, refused=True)
        self._changes.spend()
        answer = await self._http("POST", "set_miner_conf", json.dumps(request).encode())
        done = parse(_Done, answer, f"{self.id}: set_miner_conf")
        if done.outcome != "success" and done.code != "M000":
            text = f"{self.id}: set_miner_conf refused: {done.message[:100]} ({done.code[:20]})"
            raise DeviceError(text, refused=True)

    async def close(self) -> None:
        """Drops the connection."""
        session, self._session = self._session, None
        if session is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await session.close()
            except TimeoutError:
                return

    async def _configuration(self) -> tuple[int, dict[str, Any]]:
        """The mode, and the configuration as it was sent."""
        answer = await self._http("GET", "get_miner_conf", None)
        found = parse(_Configuration, answer, f"{self.id}: get_miner_conf")
        mode = found.told if found.told is not None else found.taken
        if mode is None:
            raise DeviceError(f"{self.id}: its configuration tells no mode: its firmware cannot sleep")
        raw: dict[str, Any] = json.loads(answer)
        return int(mode), raw

    def _writable(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The configuration as it has to be sent to stay what it is. Raises DeviceError where that cannot be."""
        if not any(pool.get("url") for pool in raw.get("pools", [])):
            raise DeviceError(f"{self.id}: its configuration names no pool; writing it back would leave none")
        if hidden := _masked(raw):
            raise DeviceError(f"{self.id}: its configuration hides {hidden}; writing it back would lose that")
        request = {key: value for key, value in raw.items() if key != _TOLD}
        if "bitmain-freq-level" in raw:
            request.setdefault("freq-level", raw["bitmain-freq-level"])
        return request

    async def _http(self, method: str, page: str, body: bytes | None) -> bytes:
        """The content of a page. Raises DeviceError and nothing else."""
        where = f"{self.id}: {page}"
        url = f"http://{self.id}/cgi-bin/{page}.cgi"
        try:
            async with asyncio.timeout(self._map.timeout_s):
                async with self._opened().request(method, url, data=body, allow_redirects=False) as response:
                    if response.status != 200:
                        hint = ": is the password right?" if response.status == 401 else ""
                        raise DeviceError(f"{where}: answered HTTP {response.status}{hint}", refused=True)
                    content = bytearray()
                    async for chunk in response.content.iter_any():
                        content += chunk
                        if len(content) > LONGEST:
                            raise DeviceError(f"{where}: the answer is longer than {LONGEST} bytes")
                    return bytes(content)
        except TimeoutError:
            raise DeviceError(f"{where}: no answer within {self._map.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeviceError(f"{where}: not a usable answer: {type(error).__name__}: {error}"[:300]) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            assert self._login is not None
            digest = aiohttp.DigestAuthMiddleware(self._login.user, self._login.secret)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1), middlewares=(digest,), cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False, headers={"Content-Type": "application/json"},
            )  # fmt: skip
        return self._session


def _masked(value: object, name: str = "") -> str:
    """The name of the first text that is only stars, in place of what stands there; empty when there is none."""
    if isinstance(value, dict):
        found = (_masked(part, str(key)) for key, part in value.items())
    elif isinstance(value, list):
        found = (_masked(part, name) for part in value)
    else:
        return name if isinstance(value, str) and len(value) >= 3 and not value.strip("*•") else ""
    return next((name for name in found if name), "")
