"""A miner with LuxOS, as far as its clients look: reads without a session, writes within the only one."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from typing import Final

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.miners.oneshot import Json, OneShot

VERSION: Final = "2026.1.15.120000-5a3c11d0"
PROFILES: Final = {"435MHz": 0.6, "485MHz": 0.75, "535MHz": 0.9, "default": 1.0}
_INVALID_COMMAND: Final = 14
_SESSION_ACTIVE: Final = 402


class LuxosServer:
    """One simulated miner. `session_s` is how long a session lives after its last use."""

    def __init__(
        self, member: Member, device_map: MemberMap, login: Login | None = None, *, session_s: float = 60.0
    ) -> None:
        self._member = member
        self._session_s = session_s
        self._session = ""
        self._used_s = float("-inf")
        self._profile = "default"
        self.tuner = False
        self._start_s = time.monotonic()
        self._reads: dict[str, Callable[[], Json]] = {
            "version": self._version, "devdetails": self._devdetails, "summary": self._summary, "stats": self._stats,
            "config": self._config, "power": self._power, "profiles": self._profiles, "session": self._tell_session,
            "pools": self._pools, "fans": self._fans, "tempctrl": self._tempctrl, "groups": self._groups,
            "atm": self._atm,
        }  # fmt: skip

    async def start(self) -> None:
        """Needs nothing."""

    async def stop(self) -> None:
        """Holds nothing."""

    def connect(self) -> asyncio.Protocol:
        """A connection with one request."""
        return OneShot(lambda request: json.dumps(self._answer(request)).encode() + b"\0")

    def power_on(self) -> None:
        """The session is gone, the member mines with the profile it was bought with."""
        self._session = ""
        self._profile = "default"
        self.tuner = False
        self._start_s = time.monotonic()
        self._member.power_on()

    def _answer(self, request: Json) -> Json:
        command, parameter = request.get("command"), request.get("parameter")
        if not isinstance(command, str):
            return _error(23, "Invalid JSON")
        if "+" in command:
            if parameter is not None:
                return _error(_INVALID_COMMAND, "Joined commands take no parameter")
            return {one: [self._one(one, [])] for one in command.split("+")} | {"id": 1}
        return self._one(command, str(parameter).split(",") if parameter is not None else [])

    def _one(self, command: str, words: list[str]) -> Json:
        if command in self._reads:
            if self._member.absent and command in ("power", "config"):
                return _error(_INVALID_COMMAND, "Section unavailable")
            return self._reads[command]()
        if command == "logon":
            return self._logon()
        writes = {"logoff": self._logoff, "curtail": self._curtail, "profileset": self._profileset,
                  "atmset": self._atmset}  # fmt: skip
        if command not in writes:
            return _error(_INVALID_COMMAND, "Invalid command")
        if not self._alive() or not words or words[0] != self._session:
            return _error(403, "Invalid session id")
        self._used_s = time.monotonic()
        return writes[command](words[1:])

    def _alive(self) -> bool:
        return bool(self._session) and time.monotonic() - self._used_s < self._session_s

    def _logon(self) -> Json:
        if self._alive():
            return _error(_SESSION_ACTIVE, "Another session is active")
        self._session, self._used_s = secrets.token_hex(4), time.monotonic()
        return _done(316, "Session created", "SESSION", {"SessionID": self._session})

    def _tell_session(self) -> Json:
        return _done(319, "Session information", "SESSION", {"SessionID": self._session if self._alive() else ""})

    def _logoff(self, words: list[str]) -> Json:
        self._session = ""
        return _done(317, "Session dropped")

    def _curtail(self, words: list[str]) -> Json:
        if words == ["sleep"]:
            self._member.write(0.0)
        elif words == ["wakeup"]:
            self._member.write(self._watts(self._profile))
        else:
            return _error(410, "Invalid curtail mode")
        return _done(340, "Curtail mode set", "CURTAIL", {"Mode": words[0]})

    def _profileset(self, words: list[str]) -> Json:
        if words[:1] == [] or words[0] not in PROFILES:
            return _error(411, "Invalid profile")
        if self.tuner:
            return _error(412, "ATM is enabled")
        if self._member.writes == "done":
            self._profile = words[0]
        if self._member.limit_w > 0:
            self._member.write(self._watts(self._profile))
        return _done(321, "Profile set", "PROFILE", {"Board": 0, "Profile": words[0]})

    def _atmset(self, words: list[str]) -> Json:
        self.tuner = "enabled=true" in words
        return _done(324, "ATM set")

    def _watts(self, profile: str) -> float:
        return self._member.max_w * PROFILES[profile]

    def _shown(self) -> str:
        """The profile that its limit amounts to, whoever set it; the one to wake up to while it sleeps."""
        if self._asleep():
            return self._profile
        fitting = [name for name in PROFILES if self._watts(name) <= self._member.limit_w + 0.5]
        return max(fitting, key=PROFILES.__getitem__, default=next(iter(PROFILES)))

    def _asleep(self) -> bool:
        return self._member.limit_w == 0

    def _ghs(self) -> float:
        return round(self._member.power_w * 50.0, 2)

    def _version(self) -> Json:
        body = {"API": "3.7", "LUXminer": VERSION, "Miner": "uart_trans.1.3", "Type": "Antminer S19j Pro"}
        return _done(22, "LUXminer versions", "VERSION", body)

    def _devdetails(self) -> Json:
        body = {"DEVDETAILS": 0, "ID": 0, "Name": "LUX", "Model": "Antminer S19j Pro"}
        return _done(69, "Device Details", "DEVDETAILS", body)

    def _summary(self) -> Json:
        body = {"Elapsed": self._elapsed(), "GHS 5s": self._ghs(), "GHS av": self._ghs(), "Accepted": 5231}
        return _done(11, "Summary", "SUMMARY", body)

    def _stats(self) -> Json:
        body = {"Elapsed": self._elapsed(), "total_rateideal": self._member.max_w * 50.0, "rate_unit": "GH"}
        return _done(70, "LUXminer stats", "STATS", {"Type": "Antminer S19j Pro"}, {"ID": "LUX0", **body})

    def _config(self) -> Json:
        body = {
            "CurtailMode": "Sleep" if self._asleep() else "None", "IsPowerSupplyOn": not self._asleep(),
            "IsAtmEnabled": self.tuner, "Profile": self._shown(), "Model": "Antminer S19j Pro",
            "MACAddr": "02:00:5e:10:00:01", "RedLed": "off", "GreenLed": "on", "OS": "LuxOS",
        }  # fmt: skip
        return _done(33, "LUXminer config", "CONFIG", body)

    def _power(self) -> Json:
        return _done(311, "Power usage", "POWER", {"PSU": True, "Watts": round(self._member.power_w)})

    def _profiles(self) -> Json:
        rows = [
            {"Profile Name": name, "Watts": round(self._watts(name)), "Hashrate": round(self._watts(name) * 0.05, 1),
             "Frequency": 400 + 100 * share, "Voltage": 13.4, "IsTuned": False, "IsDynamic": True, "Step": "0"}
            for name, share in PROFILES.items()
        ]  # fmt: skip
        return _done(323, "List profiles", "PROFILES", *rows)

    def _pools(self) -> Json:
        status = "Disabled" if self._asleep() else "Alive"
        body = {"POOL": 0, "URL": "stratum+tcp://pool.example:3333", "User": "hall.1", "Status": status, "GROUP": 0,
                "Stratum Active": not self._asleep(), "Accepted": 5231, "Rejected": 1}  # fmt: skip
        return _done(7, "1 Pool(s)", "POOLS", body)

    def _fans(self) -> Json:
        return _done(202, "4 Fan(s)", "FANS", *({"FAN": i, "ID": i, "RPM": 5640, "Speed": 65} for i in range(4)))

    def _tempctrl(self) -> Json:
        return _done(200, "Temperature control", "TEMPCTRL", {"Mode": "Automatic", "Target": 45, "Hot": 65})

    def _groups(self) -> Json:
        return _done(4, "1 Group(s)", "GROUPS", {"GROUP": 0, "Name": "default", "Pools": 1, "Quota": 1})

    def _atm(self) -> Json:
        return _done(339, "ATM", "ATM", {"Enabled": self.tuner})

    def _elapsed(self) -> int:
        return int(time.monotonic() - self._start_s)


def _status(letter: str, code: int, message: str) -> Json:
    entry = {"STATUS": letter, "Code": code, "Msg": message, "When": int(time.time()),
             "Description": f"LUXminer {VERSION}"}  # fmt: skip
    return {"STATUS": [entry], "id": 1}


def _done(code: int, message: str, key: str | None = None, *rows: Json) -> Json:
    return _status("S", code, message) | ({key: list(rows)} if key else {})


def _error(code: int, message: str) -> Json:
    return _status("E", code, message)
