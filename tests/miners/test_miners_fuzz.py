"""Whatever a miner answers: a call ends with a value in range or with DeviceError, and nothing else escapes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rampd.drivers.members import Ability, DeviceError, Reading
from rampd.drivers.miners import antminer, braiins, cgminer, whatsminer_v2, whatsminer_v3
from rampd.drivers.miners import braiins_pb2 as pb
from rampd.drivers.miners.antminer import AntminerMember
from rampd.drivers.miners.braiins import BraiinsMember
from rampd.drivers.miners.luxos import LuxosMember
from rampd.drivers.miners.whatsminer_v2 import WhatsminerV2Member
from rampd.drivers.miners.whatsminer_v3 import WhatsminerV3Member
from tests.miner import LOGIN, map_of

STATUS: Final = [{"STATUS": "S", "Code": 11, "Msg": "", "Description": "LUXminer 1"}]
CONFIG: Final = {"CurtailMode": "None", "Profile": "default", "IsAtmEnabled": False}
PROFILES: Final = [{"Profile Name": "default", "Watts": 3400}]
# Answers that fit, as the seeds that are bent.
GOOD: Final = {
    "luxos": [
        {"power": [{"STATUS": STATUS, "POWER": [{"Watts": 3300}]}],
         "config": [{"STATUS": STATUS, "CONFIG": [CONFIG]}],
         "profiles": [{"STATUS": STATUS, "PROFILES": PROFILES}]},
        {"STATUS": STATUS, "SESSION": [{"SessionID": "ab12"}]},
    ],
    "whatsminer-v2": [
        {"SUMMARY": [{"Power": 3300, "Power Limit": 3400, "Btminer Fast Boot": "enable"}]},
        {"Code": 131, "Msg": {"btmineroff": "false"}},
        {"Code": 134, "Msg": {"time": "1234", "salt": "BQ5hoXV9", "newsalt": "abcdefgh"}},
        {"enc": "QUJDREVGR0hJSktMTU5PUA=="},
    ],
    "whatsminer-v3": [
        {"code": 0, "msg": {"salt": "abc", "summary": {"power-realtime": 3300, "power-limit": 3400},
                            "miner": {"working": "true"}, "power-percent": 90}},
        {"code": 0, "msg": "ok"},
    ],
    "antminer-stock": [
        {"bitmain-work-mode": "0", "pools": [{"url": "stratum+tcp://p:1", "user": "u", "pass": "x"}]},
        {"stats": "success", "code": "M000"},
    ],
}  # fmt: skip
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def bent(value: Any, draw: Callable[..., Any]) -> Any:
    """A good answer with one part replaced by anything, or left out."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: bent(value[key], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        return [bent(value[0], draw), *value[1:]]
    return draw(JSON)


@st.composite
def answers(draw: Any, name: str) -> bytes:
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=64))
    good = draw(st.sampled_from(GOOD[name]))
    if draw(st.integers(0, 2)) == 0:
        return json.dumps(good).encode()
    raw = json.dumps(bent(good, draw)).encode()
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 5)) == 0 else raw


def sensible(found: object) -> bool:
    """A reading or an ability whose numbers could be those of a miner."""
    if isinstance(found, Reading):
        numbers = [n for n in (found.power_w, found.limit_w) if n is not None]
    elif isinstance(found, Ability):
        numbers = [found.min_w, found.max_w, found.step_w, found.asleep_w, *found.levels]
        if not 0 < found.min_w <= found.max_w:
            return False
    else:
        return found is None
    return all(type(n) is float and math.isfinite(n) and 0 <= n <= 200_000 for n in numbers)


async def drive(miner: Any, limit_w: float) -> None:
    for call in (miner.open, miner.read, lambda: miner.set_limit(0.0), lambda: miner.set_limit(limit_w), miner.read):
        try:
            found = await call()
        except DeviceError as error:
            assert 5 < len(str(error)) < 500
        else:
            assert sensible(found), found
    await miner.close()


MEMBERS: Final = {
    "luxos": LuxosMember, "whatsminer-v2": WhatsminerV2Member, "whatsminer-v3": WhatsminerV3Member,
    "antminer-stock": AntminerMember,
}  # fmt: skip


WATTS: Final = pb.Power(watt=3400)
MESSAGES: Final = {
    pb.Session: pb.Session(token="t", timeout_s=3600),
    pb.Constraints: pb.Constraints(
        tuner_constraints=pb.TunerConstraints(power_target=pb.PowerRange(min=pb.Power(watt=1360), max=WATTS)),
        hashboards_constraints=pb.HashboardConstraints(quick_ramping_time_s=pb.SecondsRange(min=1, max=600)),
    ),
    pb.Configuration: pb.Configuration(hashboard_config=pb.HashboardConfiguration(quick_ramping_time_up_s=5)),
    pb.QuickRamping: pb.QuickRamping(up_s=5, down_s=2),
    pb.PerformanceMode: pb.PerformanceMode(
        tuner_mode=pb.TunerMode(power_target=pb.PowerTarget(power_target=WATTS)),
    ),
    pb.Stats: pb.Stats(power_stats=pb.PowerStats(approximated_consumption=WATTS)),
    pb.Details: pb.Details(status=pb.NORMAL),
    pb.PowerTarget: pb.PowerTarget(power_target=WATTS),
}


@pytest.mark.parametrize("name", MEMBERS)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_escapes_but_device_error(name: str, data: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*_: object, **__: object) -> bytes:
        return data.draw(answers(name))

    monkeypatch.setattr(cgminer, "ask", answer)
    monkeypatch.setattr(whatsminer_v3.WhatsminerV3Member, "_once", answer)
    monkeypatch.setattr(antminer.AntminerMember, "_http", answer)
    # Tokens are tested elsewhere; a thousand rounds of MD5 an example are not needed here. Nor is what stands for them
    # to be remembered for other tests.
    for name_of_hash in ("md5crypt", "cached"):
        monkeypatch.setattr(whatsminer_v2.md5crypt, name_of_hash, lambda word, salt: (word + salt)[:22])
    device_map = map_of(name, capability={"min_w": 1000.0, "max_w": 3400.0})
    limit_w = data.draw(st.sampled_from([3400.0, 2000.0, 1.0, 1e9]))
    asyncio.run(drive(MEMBERS[name]("10.0.0.1", 1, device_map, LOGIN), limit_w))


@pytest.mark.parametrize("name", ["whatsminer-v2", "whatsminer-v3"])
@pytest.mark.parametrize("limit_w", [0, 1e-323, 1e-9, 100_000])
def test_limits_that_percentages_cannot_be_of(name: str, limit_w: float, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.loads(json.dumps(GOOD[name]).replace("3400", repr(limit_w)))

    async def answer(_self: object, request: Any, *_: object, **__: object) -> bytes:
        asked = request.get("cmd", "") if isinstance(request, dict) else ""
        return json.dumps(good[{"status": 1, "get_token": 2}.get(asked, 0)]).encode()

    monkeypatch.setattr(whatsminer_v2.WhatsminerV2Member, "_ask", answer)
    monkeypatch.setattr(whatsminer_v3.WhatsminerV3Member, "_once", answer)
    device_map = map_of(name, capability={"min_w": 1000.0, "max_w": 3400.0})
    asyncio.run(drive(MEMBERS[name]("10.0.0.1", 1, device_map, LOGIN), 2000.0))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_escapes_but_device_error_from_messages(data: st.DataObject, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_: object, __: str, ___: object, reply: Any) -> Any:
        wire = bytearray(MESSAGES.get(reply, pb.Nothing()).SerializeToString())
        if data.draw(st.integers(0, 2)) == 0:
            wire = bytearray(data.draw(st.binary(max_size=24)))
        elif wire and data.draw(st.booleans()):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        try:
            return reply.FromString(bytes(wire))
        except DecodeError as error:
            raise DeviceError(f"not a usable answer: {error}") from error

    monkeypatch.setattr(braiins.BraiinsMember, "_unary", answer)
    changes = data.draw(st.sampled_from([{}, {"targets_per_day": 5}, {"ramp_up_s": None, "ramp_down_s": None}]))
    device_map = map_of("braiins", braiins=changes, capability={"min_w": 1000.0, "max_w": 3400.0})
    limit_w = data.draw(st.sampled_from([3400.0, 2000.0, 1.0, 1e9]))
    asyncio.run(drive(BraiinsMember("10.0.0.1", 1, device_map, LOGIN), limit_w))
