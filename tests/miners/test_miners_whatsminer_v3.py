"""Whatsminer API 3: frames, tokens, one kept connection, sleep and percent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Login, Reading
from rampd.drivers.miners.whatsminer_v3 import WhatsminerV3Member, frame, token
from rampd.drivers.sim.miners.whatsminer_v3 import WhatsminerV3Server
from tests.miner import MAX_W, Rig, answering, map_of, served, until

MAP = map_of("whatsminer-v3")
PLAIN = map_of("whatsminer-v3", whatsminer={"percent": False})
SUPER = Login("super", "correct horse")
SALT = {"code": 0, "msg": {"salt": "abc"}, "desc": "get.device.info"}
SUMMARY = {"code": 0, "msg": {"summary": {"power-realtime": 3000, "power-limit": 3400}}, "desc": "get.miner.status"}


def client(rig: Rig, device_map: Any = MAP, login: Login | None = SUPER) -> WhatsminerV3Member:
    return WhatsminerV3Member(rig.host, rig.port, device_map, login)


def framed(answer: Any) -> bytes:
    raw = json.dumps(answer).encode()
    return struct.pack("<I", len(raw)) + raw


@pytest.mark.parametrize(
    ("payload", "wire"), [(b"{}", b"\x02\0\0\0{}"), (b"x" * 300, b"\x2c\x01\0\0" + b"x" * 300), (b"", b"\0\0\0\0")]
)
def test_frames(payload: bytes, wire: bytes) -> None:
    assert frame(payload) == wire


def test_a_token_is_the_hash_by_hand() -> None:
    digest = hashlib.sha256(b"set.miner.servicesuper5QAHiKMb1692685512").digest()
    assert token("set.miner.service", "super", "5QAHiKMb", 1692685512) == base64.b64encode(digest)[:8].decode()


async def test_sleep_and_wake_up() -> None:
    async with served(WhatsminerV3Server, PLAIN, SUPER) as rig:
        miner = client(rig, PLAIN)
        assert (await miner.open()).levels == (MAX_W,)
        assert await miner.read() == Reading(MAX_W, MAX_W)
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == 0.0
        await until(lambda: rig.member.power_w < 1.0)
        assert await miner.read() == Reading(0.0, 0.0)
        await miner.set_limit(MAX_W)
        assert (await miner.read()).limit_w == MAX_W
        await miner.close()


@pytest.mark.parametrize(("limit_w", "percent"), [(3400.0, 100), (3399.9, 99), (2040.0, 60), (2039.0, 59), (34.0, 1)])
async def test_a_limit_becomes_the_percentage_below_it_and_is_read_back(limit_w: float, percent: int) -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        ability = await miner.open()
        assert (ability.min_w, ability.max_w, ability.step_w) == (1224.0, 3400.0, 34.0)
        await miner.set_limit(limit_w)
        assert rig.member.limit_w == pytest.approx(MAX_W * percent / 100)
        assert (await miner.read()).limit_w == pytest.approx(MAX_W * percent / 100)
        await miner.close()


async def test_a_miner_that_refuses_its_percentage_while_it_starts_does_not_run_in_full() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        rig.server._writes["set.miner.power_percent"] = lambda _: False
        with pytest.raises(DeviceError, match=r"set\.miner\.power_percent refused"):
            await miner.set_limit(2040.0)
        assert rig.member.limit_w == 0.0
        await miner.set_limit(MAX_W)
        assert rig.member.limit_w == MAX_W
        with pytest.raises(DeviceError, match=r"set\.miner\.power_percent refused"):
            await miner.set_limit(2040.0)
        assert rig.member.limit_w == MAX_W
        await miner.close()


async def test_a_miner_wakes_up_to_a_percentage() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        await miner.set_limit(2040.0)
        assert rig.member.limit_w == pytest.approx(2040.0)
        await miner.close()


async def test_one_connection_serves_all_calls() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        await miner.open()
        for limit_w in (0.0, 2040.0, 3400.0):
            await miner.set_limit(limit_w)
            await miner.read()
        assert rig.connections == 1
        await miner.close()
        await until(lambda: not rig.server.clients)


async def test_a_miner_that_closes_after_each_answer_gets_a_connection_a_call() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER, closes=True) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0
        assert (await miner.read()).limit_w == 0.0
        await miner.set_limit(2040.0)
        assert (await miner.read()).limit_w == pytest.approx(2040.0)
        await until(lambda: not rig.server.clients)


async def test_a_write_is_never_sent_twice() -> None:
    salt, summary = framed(SALT), framed(SUMMARY)
    async with answering(salt, summary, None, hold=True) as (host, port, sent):
        miner = WhatsminerV3Member(host, port, MAP, SUPER)
        await miner.open()
        with pytest.raises(DeviceError, match=r"closed the connection|connection lost"):
            await miner.set_limit(0.0)
        assert len(sent) == 3


async def test_the_salt_of_a_restarted_miner_is_learnt() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        await miner.open()
        rig.server.power_on()
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0
        await miner.close()


@pytest.mark.parametrize("login", [Login("super", "wrong"), Login("user1", "correct horse")])
async def test_who_has_no_permission_moves_nothing(login: Login) -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig, login=login)
        await miner.open()
        with pytest.raises(DeviceError, match=r"no permission \(-4\); are account, password and clock right") as raised:
            await miner.set_limit(0.0)
        assert raised.value.refused
        assert rig.member.limit_w == MAX_W
        await miner.close()


async def test_without_a_login_it_does_not_open() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        with pytest.raises(DeviceError, match="give its rack a login"):
            await client(rig, login=None).open()


async def test_an_eleventh_client_is_hung_up_on() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miners = [client(rig) for _ in range(10)]
        for miner in miners:
            await miner.open()
        with pytest.raises(DeviceError, match=r"closed the connection|connection lost"):
            await client(rig).open()
        for miner in miners:
            await miner.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (framed({"code": 0, "msg": {"salt": "abc"}, "desc": "get.miner.status"}), "answered for 'get.miner.status'"),
        (framed({"code": -1, "msg": "fail", "desc": "get.device.info"}), r"refused: fail \(-1\)"),
        (b"\xff\xff\xff\xff{}", "a frame of 4294967295 bytes is announced"),
        (struct.pack("<I", 3) + b"\xff\xfe\xfd", "not a usable answer"),
        (framed([]), "not a usable answer"),
        (struct.pack("<I", 50) + b"{}", "no answer within 0.3 s"),
        (b"\0\0\0\0", "no answer within 0.3 s"),
        (b"", "no answer within 0.3 s"),
        (None, "connection lost|closed the connection"),
    ],
    ids=["foreign", "refused", "huge", "binary", "list", "short", "heartbeat", "silent", "reset"],
)
async def test_what_is_no_answer(answer: bytes | None, says: str) -> None:
    quick = map_of("whatsminer-v3", timeout_s=0.3)
    async with answering(answer, hold=True) as (host, port, _):
        with pytest.raises(DeviceError, match=says):
            await WhatsminerV3Member(host, port, quick, SUPER).open()


async def test_heartbeats_between_answers_are_skipped() -> None:
    beat = b"\0\0\0\0"
    async with answering(beat + framed(SALT), beat + beat + framed(SUMMARY) + beat, hold=True) as (host, port, _):
        miner = WhatsminerV3Member(host, port, MAP, SUPER)
        assert (await miner.open()).max_w == 3400.0
        await miner.close()


async def test_an_answer_too_many_is_never_that_of_the_next_call() -> None:
    async with answering(framed(SALT) + framed(SUMMARY), framed(SALT), framed(SUMMARY), hold=True) as (
        host,
        port,
        sent,
    ):
        miner = WhatsminerV3Member(host, port, MAP, SUPER)
        assert await miner._new_salt() == "abc"
        await until(lambda: miner._wire is not None and miner._wire.transport is None)
        assert (await miner.open()).max_w == 3400.0
        assert len(sent) == 3
        await miner.close()


async def test_a_cancelled_call_gives_up_its_connection() -> None:
    async with answering(b"", framed(SALT), hold=True) as (host, port, requests):
        miner = WhatsminerV3Member(host, port, MAP, SUPER)
        call = asyncio.create_task(miner._new_salt())
        await until(lambda: bool(requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await miner._new_salt() == "abc"
        await miner.close()


async def test_values_that_are_not_there_and_writes_that_are_dropped() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
        miner = client(rig)
        await miner.open()
        rig.member.writes = "dropped"
        await miner.set_limit(2040.0)
        assert (await miner.read()).limit_w == MAX_W
        rig.member.absent = True
        with pytest.raises(DeviceError, match="refused: fail"):
            await miner.read()
        await miner.close()


async def test_a_cancelled_call_never_leaves_a_woken_miner_in_full() -> None:
    async with served(WhatsminerV3Server, MAP, SUPER) as rig:
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
