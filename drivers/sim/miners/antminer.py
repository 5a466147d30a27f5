"""An Antminer with the firmware of its maker, as its clients see it: web pages behind digest authentication."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from typing import Any, Final

from aiohttp import web

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.sim.members import Member

REALM: Final = "antMiner Configuration"
_FIELD: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^",\s]+))')
_LONGEST: Final = 64 * 1024


class AntminerServer:
    """One simulated miner. `conf` is its configuration file, `saves` counts how often it was written to flash."""

    def __init__(self, member: Member, device_map: MemberMap, login: Login | None) -> None:
        self._member = member
        self._login = login if login is not None else Login("root", "root")
        self._nonces: set[str] = set()
        self._web: web.Server | None = None
        self.saves = 0
        self.conf: dict[str, Any] = {
            "pools": [
                {"url": "stratum+tcp://pool.example:3333", "user": "hall.1", "pass": "x"},
                {"url": "stratum+tcp://backup.example:3333", "user": "hall.1", "pass": "secret"},
                {"url": "", "user": "", "pass": ""},
            ],
            "api-listen": True, "api-network": True, "api-groups": "A:stats:pools:devs:summary:version",
            "bitmain-fan-ctrl": False, "bitmain-fan-pwm": "100", "bitmain-use-vil": True, "bitmain-freq": "675",
            "bitmain-voltage": "1280", "bitmain-ccdelay": "1", "bitmain-pwth": "1", "bitmain-freq-level": "100",
            "bitmain-work-mode": "0",
        }  # fmt: skip

    async def start(self) -> None:
        """Makes the web server; the gate listens."""
        self._web = web.Server(self._serve)

    async def stop(self) -> None:
        """Ends requests that are under way."""
        if self._web is not None:
            await self._web.shutdown()

    def connect(self) -> asyncio.Protocol:
        """An HTTP connection."""
        assert self._web is not None
        return self._web()

    def power_on(self) -> None:
        """Nonces are gone; the mode is in flash and stays."""
        self._nonces.clear()
        self._member.power_on()
        if self.conf["bitmain-work-mode"] == "1":
            self._member.set_limit(0.0)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._known(request):
            nonce = secrets.token_hex(16)
            self._nonces.add(nonce)
            challenge = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=MD5'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        page = request.path.removeprefix("/cgi-bin/")
        if page == "get_miner_conf.cgi":
            mode = "1" if self._member.limit_w == 0 else "0"
            return _json({} if self._member.absent else self.conf | {"bitmain-work-mode": mode})
        if page == "get_system_info.cgi":
            return _json({"minertype": "Antminer S19", "hostname": "Antminer", "macaddr": "02:00:5E:10:00:05"})
        if page == "set_miner_conf.cgi" and request.method == "POST":
            return self._set(await request.content.read(_LONGEST))
        return web.Response(status=404)

    def _set(self, body: bytes) -> web.Response:
        """Takes the configuration as a whole: pools that are not sent are gone."""
        try:
            sent = json.loads(body)
            pools = [{key: str(pool[key]) for key in ("url", "user", "pass")} for pool in sent.get("pools", [])]
            mode = str(int(sent["miner-mode"])) if "miner-mode" in sent else self.conf["bitmain-work-mode"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return _json({"stats": "error", "code": "M001", "msg": "Invalid pool!"})
        self.saves += 1
        if self._member.writes == "done":
            self.conf["pools"] = pools
            for key in ("bitmain-fan-ctrl", "bitmain-fan-pwm"):
                self.conf[key] = sent.get(key, self.conf[key])
            self.conf["bitmain-freq-level"] = sent.get("freq-level", "100")
            self.conf["bitmain-work-mode"] = mode
        self._member.write(0.0 if mode == "1" else self._member.max_w)
        return _json({"stats": "success", "code": "M000", "msg": "OK!"})

    def _known(self, request: web.BaseRequest) -> bool:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        told = {name: quoted or bare for name, quoted, bare in _FIELD.findall(rest)}
        if scheme.lower() != "digest" or told.get("nonce") not in self._nonces or told.get("uri") != request.raw_path:
            return False
        who = _md5(f"{self._login.user}:{REALM}:{self._login.secret}")
        what = _md5(f"{request.method}:{told['uri']}")
        parts = [who, told["nonce"], told.get("nc", ""), told.get("cnonce", ""), "auth", what]
        return told.get("username") == self._login.user and told.get("response") == _md5(":".join(parts))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _json(content: object) -> web.Response:
    return web.Response(text=json.dumps(content), content_type="text/html")
