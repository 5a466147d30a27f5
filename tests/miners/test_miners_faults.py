"""Every protocol behind a gate that breaks its wire: slow is borne, broken is an error in time, mended is good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from rampd.drivers.members import DeviceError
from rampd.drivers.miners.antminer import AntminerMember
from rampd.drivers.miners.braiins import BraiinsMember
from rampd.drivers.miners.luxos import LuxosMember
from rampd.drivers.miners.whatsminer_v2 import WhatsminerV2Member
from rampd.drivers.miners.whatsminer_v3 import WhatsminerV3Member
from rampd.drivers.sim.faults import ByteByByte, Late, Plain
from rampd.drivers.sim.gate import Gate
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.miners.antminer import AntminerServer
from rampd.drivers.sim.miners.braiins import BraiinsServer
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import WhatsminerV3Server
from tests.miner import LOGIN, MAX_W, map_of, plant

KINDS: Final = {
    "luxos": (LuxosServer, LuxosMember),
    "whatsminer-v2": (WhatsminerV2Server, WhatsminerV2Member),
    "whatsminer-v3": (WhatsminerV3Server, WhatsminerV3Member),
    "braiins": (BraiinsServer, BraiinsMember),
    "antminer-stock": (AntminerServer, AntminerMember),
}
TIMEOUT_S: Final = 0.4


@asynccontextmanager
async def behind_a_gate(name: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[tuple[Gate, Member, Any]]:
    hall = plant()
    hall.start(time.monotonic())
    device_map = map_of(name, timeout_s=timeout_s, capability={"min_w": 1000.0, "max_w": MAX_W})
    make, client = KINDS[name]
    member = Member(hall, 0, 0, 1, device_map.capability)
    gate = Gate(make(member, device_map, LOGIN), "127.0.0.1", 0)
    await gate.open()
    miner = client(gate.host, gate.port, device_map, LOGIN)
    try:
        yield gate, member, miner
    finally:
        await miner.close()
        await gate.stop()
        # One turn of the loop lets the dropped connections say so.
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", KINDS)
async def test_answers_that_come_late_are_borne(name: str) -> None:
    async with behind_a_gate(name) as (gate, member, miner):
        gate.trouble = Late(device="m", kind="late", delay_s=0.05)
        ability = await miner.open()
        await miner.set_limit(0.0)
        assert member.limit_w == 0.0
        assert (await miner.read()).limit_w == 0.0
        await miner.set_limit(ability.max_w)
        assert member.limit_w == pytest.approx(MAX_W)


@pytest.mark.parametrize("name", KINDS)
async def test_answers_that_come_byte_by_byte_are_borne(name: str) -> None:
    async with behind_a_gate(name, timeout_s=10.0) as (gate, _, miner):
        await miner.open()
        gate.trouble = ByteByByte(device="m", kind="byte_by_byte", gap_s=0.001)
        assert (await miner.read()).limit_w in (None, MAX_W)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", ["silent", "rst", "garbage"])
async def test_a_broken_wire_is_an_error_in_time_and_a_mended_one_good_at_once(name: str, kind: Any) -> None:
    async with behind_a_gate(name) as (gate, member, miner):
        await miner.open()
        gate.trouble = Plain(device="m", kind=kind)
        for call in (miner.read, lambda: miner.set_limit(0.0), miner.open):
            begin_s = time.monotonic()
            with pytest.raises(DeviceError):
                await call()
            assert time.monotonic() - begin_s < 2 * TIMEOUT_S + 1.0
        assert member.limit_w == MAX_W
        gate.trouble = None
        assert (await miner.open()).sleeps
        assert (await miner.read()).limit_w in (None, MAX_W)
        await miner.set_limit(0.0)
        assert member.limit_w == 0.0


@pytest.mark.parametrize("name", KINDS)
async def test_a_miner_that_was_away_is_there_again(name: str) -> None:
    async with behind_a_gate(name) as (gate, member, miner):
        await miner.open()
        gate.close()
        with pytest.raises(DeviceError):
            await miner.read()
        member.power_on()
        gate.server.power_on()
        await gate.open()
        await miner.read()
        await miner.set_limit(0.0)
        assert member.limit_w == 0.0


@pytest.mark.parametrize("name", KINDS)
async def test_a_half_open_miner_is_given_up_in_time(name: str) -> None:
    async with behind_a_gate(name) as (gate, _, miner):
        await miner.open()
        gate.deafen("test")
        with pytest.raises(DeviceError, match="no answer within"):
            await miner.read()
        gate.hear("test")
        await miner.read()
