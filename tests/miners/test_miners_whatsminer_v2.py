"""Whatsminer API 2: what is read, sleep and percent, tokens, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Login, Reading
from rampd.drivers.miners import whatsminer_v2
from rampd.drivers.miners.whatsminer_v2 import WhatsminerV2Member
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from tests.miner import LOGIN, MAX_W, Rig, answering, map_of, served, until

MAP = map_of("whatsminer-v2")
PLAIN = map_of("whatsminer-v2", whatsminer={"percent": False})


def client(rig: Rig, device_map: Any = MAP, login: Login | None = LOGIN) -> WhatsminerV2Member:
    return WhatsminerV2Member(rig.host, rig.port, device_map, login)


async def test_sleep_and_wake_up() -> None:
    async with served(WhatsminerV2Server, PLAIN) as rig:
        miner = client(rig, PLAIN)
        ability = await miner.open()
        assert ability.levels == (MAX_W,)
        assert ability.sleeps
        assert await miner.read() == Reading(MAX_W, MAX_W)
        await miner.set_limit(0.0)
        await until(lambda: rig.member.power_w < 1.0)
        assert await miner.read() == Reading(0.0, 0.0)
        await miner.set_limit(MAX_W)
        assert rig.member.limit_w == MAX_W
        assert (await miner.read()).limit_w == MAX_W


@pytest.mark.parametrize(
    ("limit_w", "percent"), [(3400.0, 100), (3399.9, 99), (2040.0, 60), (2039.0, 59), (1224.0, 36), (34.0, 1)]
)
async def test_a_limit_becomes_the_percentage_below_it(limit_w: float, percent: int) -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        ability = await miner.open()
        assert (ability.min_w, ability.max_w, ability.step_w) == (1224.0, 3400.0, 34.0)
        await miner.set_limit(limit_w)
        assert rig.member.limit_w == pytest.approx(MAX_W * percent / 100)
        assert (await miner.read()).limit_w is None


async def test_a_miner_that_refuses_its_percentage_while_it_starts_does_not_run_in_full() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        rig.server._writes["set_power_pct"] = lambda _: {"Code": 132, "Msg": "API command ERROR"}
        with pytest.raises(DeviceError, match="set_power_pct refused"):
            await miner.set_limit(2040.0)
        assert rig.member.limit_w == 0.0
        await miner.set_limit(MAX_W)
        assert rig.member.limit_w == MAX_W
        with pytest.raises(DeviceError, match="set_power_pct refused"):
            await miner.set_limit(2040.0)
        assert rig.member.limit_w == MAX_W
        await miner.close()


async def test_a_miner_wakes_up_to_a_percentage() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == 0.0
        await miner.set_limit(2040.0)
        assert rig.member.limit_w == pytest.approx(2040.0)


async def test_without_fast_boot_it_only_sleeps() -> None:
    async with served(WhatsminerV2Server, MAP, fast_boot=False) as rig:
        miner = client(rig)
        assert (await miner.open()).levels == (MAX_W,)
        with pytest.raises(DeviceError, match="no level up to 2000 W"):
            await miner.set_limit(2000.0)
        assert rig.member.limit_w == MAX_W


async def test_a_reading_of_a_running_miner_is_one_connection() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        before = rig.connections
        await miner.read()
        assert rig.connections == before + 1
        await miner.set_limit(2040.0)
        assert rig.connections == before + 2


async def test_a_miner_that_is_off_and_mute_is_read_as_asleep() -> None:
    async with served(WhatsminerV2Server, MAP, mute_off=True) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        assert await miner.read() == Reading(MAP.capability.asleep_w, 0.0)
        again = client(rig)
        assert (await again.open()).levels == (MAP.capability.max_w,)
        await again.set_limit(MAP.capability.max_w)
        assert rig.member.limit_w == MAX_W


async def test_a_token_is_renewed_beside_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        first = miner._token
        await miner.read()
        assert miner._token is first
        monkeypatch.setattr(whatsminer_v2, "RENEW_S", -1.0)
        await miner.read()
        assert miner._token is not first
        second = miner._token
        await miner.read()
        assert miner._token is second


async def test_a_token_that_the_miner_forgot_is_made_again() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        rig.server.power_on()
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0


async def test_a_token_that_is_always_refused_is_not_tried_for_ever() -> None:
    async with served(WhatsminerV2Server, MAP, token_s=-1.0) as rig:
        miner = client(rig)
        await miner.open()
        before = rig.connections
        with pytest.raises(DeviceError, match=r"power_off refused: token err \(135\)") as raised:
            await miner.set_limit(0.0)
        assert raised.value.refused
        assert rig.connections == before + 3
        assert rig.member.limit_w == MAX_W


async def test_a_wrong_password_moves_nothing() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig, login=Login("admin", "wrong"))
        await miner.open()
        with pytest.raises(DeviceError, match="is the password right"):
            await miner.set_limit(0.0)
        assert rig.member.limit_w == MAX_W
        with pytest.raises(DeviceError, match="give its rack a login"):
            await client(rig, login=None).open()


async def test_too_many_tokens() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        for _ in range(32):
            await client(rig).open()
        with pytest.raises(DeviceError, match=r"no token: over max connect \(136\)"):
            await client(rig).open()


@pytest.mark.parametrize(
    ("message", "limit_w"), [({"mineroff": "true"}, 0.0), ({"mineroff": "false"}, 3400.0), ({"btmineroff": True}, 0.0)]
)
async def test_both_spellings_of_off(message: dict[str, Any], limit_w: float) -> None:
    summary = json.dumps({"Code": 131, "Msg": {"Power": 30, "Power Limit": 3400}}).encode()
    status = json.dumps({"Code": 131, "Msg": message}).encode()
    async with answering(summary, status) as (host, port, _):
        miner = WhatsminerV2Member(host, port, PLAIN, None)
        miner._limit_w = 3400.0
        assert await miner.read() == Reading(30.0, limit_w)


async def test_a_status_that_does_not_tell() -> None:
    summary = json.dumps({"SUMMARY": [{"Power": 30, "Power Limit": 3400}]}).encode()
    async with answering(summary, b'{"Code":131,"Msg":{}}') as (host, port, _):
        with pytest.raises(DeviceError, match="does not tell whether it mines"):
            await WhatsminerV2Member(host, port, PLAIN, None).read()


async def test_values_that_are_not_there_and_writes_that_are_dropped() -> None:
    async with served(WhatsminerV2Server, PLAIN) as rig:
        miner = client(rig, PLAIN)
        await miner.open()
        rig.member.writes = "dropped"
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == MAX_W
        rig.member.absent = True
        with pytest.raises(DeviceError, match="summary refused: invalid cmd"):
            await miner.read()


async def test_a_cancelled_call_never_leaves_a_woken_miner_in_full() -> None:
    async with served(WhatsminerV2Server, MAP) as rig:
        miner = client(rig)
        await miner.open()
        ended = set()
        for turns in range(0, 120, 3):
            await miner.set_limit(0.0)
            call = asyncio.create_task(miner.set_limit(2040.0))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            # What was on its way is taken within a moment.
            await asyncio.sleep(0.01)
            ended.add(rig.member.limit_w)
        assert 0.0 in ended
        assert MAX_W not in ended
        await miner.close()
