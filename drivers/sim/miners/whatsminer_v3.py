"""A Whatsminer with API 3, as its clients see it: length-prefixed JSON, any number of requests a connection."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import struct
import time
from collections.abc import Callable
from typing import Any, Final, cast

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.sim.members import Member

MODEL: Final = "M50SVH30"
FIRMWARE: Final = "20250214.16.REL"
_LONGEST: Final = 16 * 1024
_MOST_CLIENTS: Final = 10
_CLOCK_S: Final = 3600

Json = dict[str, Any]


class WhatsminerV3Server:
    """One simulated miner. `closes` ends a connection after each answer, as some firmware does."""

    def __init__(self, member: Member, device_map: MemberMap, login: Login | None, *, closes: bool = False) -> None:
        self._member = member
        self._login = login if login is not None else Login("super", "super")
        self.closes = closes
        self.clients: set[asyncio.BaseTransport] = set()
        self._salt = secrets.token_urlsafe(6)
        self._start_s = time.monotonic()
        self._reads: dict[str, Callable[[Any], Any]] = {
            "get.device.info": self._info, "get.miner.status": self._status, "get.miner.setting": self._setting,
        }  # fmt: skip
        self._writes: dict[str, Callable[[Any], bool]] = {
            "set.miner.service": self._service, "set.miner.power_percent": self._power_percent,
        }  # fmt: skip

    async def start(self) -> None:
        """Needs nothing."""

    async def stop(self) -> None:
        """Holds nothing."""

    def connect(self) -> asyncio.Protocol:
        """A connection of one of ten clients; the eleventh is hung up on."""
        return _Connection(self)

    def power_on(self) -> None:
        """Salt and percentage are gone, the member mines in full."""
        self._salt = secrets.token_urlsafe(6)
        self._start_s = time.monotonic()
        self._member.power_on()

    def answer(self, raw: bytes) -> bytes:
        """The answer to one frame."""
        try:
            request = json.loads(raw)
            command = request["cmd"]
        except (ValueError, KeyError, TypeError):
            return _reply("", -1, "invalid json")
        param = request.get("param")
        if command in self._reads:
            found = self._reads[command](param)
            return _reply(command, -1, "fail") if found is None else _reply(command, 0, found)
        if command not in self._writes:
            return _reply(str(command), -2, "invalid command")
        if not self._allowed(command, request):
            return _reply(command, -4, "no permission")
        return _reply(command, 0, "ok") if self._writes[command](param) else _reply(command, -1, "fail")

    def _allowed(self, command: str, request: Json) -> bool:
        at_s = request.get("ts")
        if not isinstance(at_s, int) or abs(at_s - time.time()) > _CLOCK_S:
            return False
        digest = hashlib.sha256(f"{command}{self._login.secret}{self._salt}{at_s}".encode()).digest()
        return bool(
            request.get("account") == self._login.user
            and request.get("token") == base64.b64encode(digest).decode()[:8]
        )  # fmt: skip

    def _service(self, param: object) -> bool:
        if param == "stop":
            self._member.write(0.0)
        elif param == "start":
            if self._member.limit_w == 0:
                self._member.write(self._member.max_w)
        else:
            return False
        return True

    def _power_percent(self, param: object) -> bool:
        percent = param.get("percent") if isinstance(param, dict) else None
        if not isinstance(percent, str) or not percent.isdecimal() or int(percent) > 100 or self._member.limit_w == 0:
            return False
        self._member.write(self._member.max_w * int(percent) / 100.0)
        return True

    def _info(self, param: object) -> Json | None:
        working = "false" if self._member.limit_w == 0 else "true"
        info: Json = {
            "salt": self._salt,
            "miner": {"type": MODEL, "working": working, "miner-sn": "SIM", "fast-boot": "enable"},
            "system": {"api": "3.0.1", "platform": "H616", "fwversion": FIRMWARE, "ledstatus": "auto"},
            "network": {"hostname": "WhatsMiner", "mac": "02:00:5E:10:00:03", "proto": "dhcp"},
            "power": {"type": "P221C", "fanspeed": 6112}, "hardware": {"boards": 3}, "error-code": [],
        }  # fmt: skip
        if param is None:
            return info
        return {str(param): info[param]} if param in info else None

    def _status(self, param: object) -> Json | None:
        if self._member.absent:
            return None
        power_w = self._member.power_w
        summary = {
            "elapsed": int(time.monotonic() - self._start_s), "hash-realtime": round(power_w * 0.03, 3),
            "hash-average": round(power_w * 0.03, 3), "power-realtime": round(power_w), "power-5min": round(power_w, 3),
            "power-limit": round(self._member.max_w), "up-freq-finish": int(self._member.limit_w > 0),
            "fan-speed-in": 4980, "fan-speed-out": 5070, "environment-temperature": 31.2,
        }  # fmt: skip
        pool = {"id": 1, "url": "stratum+tcp://pool.example:3333", "status": "alive", "account": "hall.1"}
        parts = {"summary": summary, "pools": [pool], "edevs": []}
        wanted = str(param).split("+")
        return {name: parts[name] for name in wanted} if set(wanted) <= set(parts) else None

    def _setting(self, param: object) -> Json:
        percent = round(100.0 * self._member.limit_w / self._member.max_w)
        return {"power-mode": "normal", "power-limit": round(self._member.max_w), "power-percent": percent or 100}

    def enter(self, transport: asyncio.BaseTransport) -> bool:
        """Whether there is room for one more client."""
        if len(self.clients) >= _MOST_CLIENTS:
            return False
        self.clients.add(transport)
        return True


class _Connection(asyncio.Protocol):
    """One client: answers frame by frame, hangs up on a frame without end."""

    def __init__(self, server: WhatsminerV3Server) -> None:
        self._server = server
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.enter(self._transport):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server.clients.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._got += data
        while len(self._got) >= 4 and not self._transport.is_closing():
            (length,) = struct.unpack_from("<I", self._got)
            if length > _LONGEST:
                self._transport.abort()
                return
            if len(self._got) < 4 + length:
                return
            raw = bytes(self._got[4 : 4 + length])
            del self._got[: 4 + length]
            if raw:
                self._transport.write(self._server.answer(raw))
                if self._server.closes:
                    self._transport.close()


def _reply(command: str, code: int, message: object) -> bytes:
    raw = json.dumps({"code": code, "when": int(time.time()), "msg": message, "desc": command}).encode()
    return struct.pack("<I", len(raw)) + raw
