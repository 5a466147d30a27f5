"""A Whatsminer with API 2, as its clients see it: it answers in the clear, and obeys what a token seals."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import secrets
import time
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.miners.md5crypt import cached, md5crypt
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.miners.oneshot import Json, OneShot

SALT: Final = "BQ5hoXV9"
MODEL: Final = "M50SVH30"
FIRMWARE: Final = "20230911.12.REL"
_MOST_TOKENS: Final = 32
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class WhatsminerV2Server:
    """One simulated miner. `token_s` is how long a token lives; `mute_off` has no summary while it is off."""

    def __init__(
        self, member: Member, device_map: MemberMap, login: Login | None, *, token_s: float = 1800.0,
        fast_boot: bool = True, mute_off: bool = False, firmware: str = FIRMWARE,
    ) -> None:  # fmt: skip
        self._member = member
        self._secret = login.secret if login is not None else "admin"
        self._token_s = token_s
        self._fast_boot = fast_boot
        self._mute_off = mute_off
        self._firmware = firmware
        self._tokens: dict[str, float] = {}
        self._start_s = time.monotonic()
        self._reads: dict[str, Callable[[], Json]] = {
            "summary": self._summary, "status": self._status, "get_token": self._get_token,
            "get_version": self._get_version, "devdetails": self._devdetails, "version": self._get_version,
            "pools": self._pools, "edevs": self._edevs, "devs": self._edevs,
        }  # fmt: skip
        self._writes: dict[str, Callable[[Json], Json]] = {
            "power_off": self._power_off, "power_on": self._power_on, "set_power_pct": self._set_power_pct,
            "set_power_pct_v2": self._set_power_pct,
        }  # fmt: skip

    async def start(self) -> None:
        """Needs nothing."""

    async def stop(self) -> None:
        """Holds nothing."""

    def connect(self) -> asyncio.Protocol:
        """A connection with one request."""
        return OneShot(self._answer)

    def power_on(self) -> None:
        """Tokens and the percentage are gone, the member mines in full."""
        self._tokens.clear()
        self._start_s = time.monotonic()
        self._member.power_on()

    def _answer(self, request: Json) -> bytes:
        if "enc" in request:
            return self._sealed(request)
        command = request.get("cmd", request.get("command"))
        if not isinstance(command, str):
            return _line("E", 23, "invalid json")
        if "+" in command:
            return json.dumps({one: [self._read(one)] for one in command.split("+")} | {"id": 1}).encode()
        if command == "summary" and self._mute_off and self._member.limit_w == 0:
            return b"Socket connect failed: Connection refused\n"
        return json.dumps(self._read(command)).encode()

    def _read(self, command: str) -> Json:
        if command in self._writes:
            return _envelope("E", 45, "permission denied")
        if command not in self._reads or (self._member.absent and command == "summary"):
            return _envelope("E", 14, "invalid cmd")
        return self._reads[command]()

    def _sealed(self, request: Json) -> bytes:
        key = hashlib.sha256(cached(self._secret, SALT).encode()).digest()
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        try:
            raw = base64.b64decode(request["data"], validate=True)
            way = cipher.decryptor()
            plain = json.loads((way.update(raw) + way.finalize()).rstrip(b"\0"))
            token, command = plain["token"], plain["cmd"]
        except (ValueError, KeyError, TypeError):
            return _line("E", 23, "enc json load err")
        if self._tokens.get(token, 0.0) < time.monotonic():
            return _line("E", 135, "token err")
        done = self._writes[command](plain) if command in self._writes else _envelope("E", 14, "invalid cmd")
        text = json.dumps(done).encode()
        seal = cipher.encryptor()
        sealed = seal.update(text + b"\0" * (-len(text) % 16)) + seal.finalize()
        return json.dumps({"enc": base64.b64encode(sealed).decode()}).encode()

    def _get_token(self) -> Json:
        now_s = time.monotonic()
        self._tokens = {sign: end_s for sign, end_s in self._tokens.items() if end_s > now_s}
        if len(self._tokens) >= _MOST_TOKENS:
            return _envelope("E", 136, "over max connect")
        moment = str(random.randint(1000, 9999))
        newsalt = "".join(secrets.choice(_LETTERS) for _ in range(8))
        self._tokens[md5crypt(cached(self._secret, SALT) + moment, newsalt)] = now_s + self._token_s
        return _envelope("S", 134, {"time": moment, "salt": SALT, "newsalt": newsalt})

    def _power_off(self, request: Json) -> Json:
        self._member.write(0.0)
        return _envelope("S", 131, "API command OK")

    def _power_on(self, request: Json) -> Json:
        if self._member.limit_w == 0:
            self._member.write(self._member.max_w)
        return _envelope("S", 131, "API command OK")

    def _set_power_pct(self, request: Json) -> Json:
        percent = request.get("percent")
        if not isinstance(percent, str) or not percent.isdecimal() or int(percent) > 100 or self._member.limit_w == 0:
            return _envelope("E", 132, "API command ERROR")
        self._member.write(self._member.max_w * int(percent) / 100.0)
        return _envelope("S", 131, "API command OK")

    def _figures(self) -> Json:
        power_w = self._member.power_w
        return {
            "Elapsed": int(time.monotonic() - self._start_s), "MHS av": power_w * 3e4, "MHS 5s": power_w * 3e4,
            "HS RT": power_w * 3e4, "Power": round(power_w), "Power Limit": round(self._member.max_w),
            "Power Mode": "Normal", "Power Rate": 29.4, "MAC": "02:00:5E:10:00:02", "Firmware Version": self._firmware,
            "Btminer Fast Boot": "enable" if self._fast_boot else "disable", "Factory GHS": 120000,
        }  # fmt: skip

    def _summary(self) -> Json:
        return _envelope("S", 11, "Summary") | {"STATUS": [{"STATUS": "S", "Msg": "Summary"}],
                                                "SUMMARY": [self._figures()], "id": 1}  # fmt: skip

    def _status(self) -> Json:
        off = "true" if self._member.limit_w == 0 else "false"
        return _envelope("S", 131, {"btmineroff": off, "Firmware Version": f"'{self._firmware}'"})

    def _get_version(self) -> Json:
        about = {"api_ver": "2.0.5", "fw_ver": self._firmware, "platform": "H616", "chip": "BTMiner-K60"}
        return _envelope("S", 131, about)

    def _devdetails(self) -> Json:
        if self._member.limit_w == 0:
            return _envelope("E", 14, "invalid cmd")
        row = {"DEVDETAILS": 0, "Name": "SM", "ID": 0, "Driver": "bitmicro", "Kernel": "", "Model": MODEL}
        return {"STATUS": [{"STATUS": "S", "Msg": "Device Details"}], "DEVDETAILS": [row], "id": 1}

    def _pools(self) -> Json:
        row = {"POOL": 1, "URL": "stratum+tcp://pool.example:3333", "Status": "Alive", "User": "hall.1"}
        return {"STATUS": [{"STATUS": "S", "Msg": "1 Pool(s)"}], "POOLS": [row], "id": 1}

    def _edevs(self) -> Json:
        return {"STATUS": [{"STATUS": "S", "Msg": "0 ASC(s)"}], "DEVS": [], "id": 1}


def _envelope(letter: str, code: int, message: object) -> Json:
    return {"STATUS": letter, "When": int(time.time()), "Code": code, "Msg": message, "Description": ""}


def _line(letter: str, code: int, message: object) -> bytes:
    return json.dumps(_envelope(letter, code, message)).encode()
