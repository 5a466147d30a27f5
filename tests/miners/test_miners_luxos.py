"""LuxOS: what is read, how sleep and profiles are set, whose session it is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Reading
from rampd.drivers.miners.luxos import LuxosMember
from rampd.drivers.sim.miners.luxos import LuxosServer
from tests.miner import MAX_W, Rig, answering, map_of, served, until

LUXOS = map_of("luxos")
PROFILES = map_of("luxos", luxos={"profiles": True})


def client(rig: Rig, device_map: Any = LUXOS) -> LuxosMember:
    return LuxosMember(rig.host, rig.port, device_map)


async def command(rig: Rig, name: str, parameter: str | None = None) -> Any:
    """What any client of the miner would do."""
    reader, writer = await asyncio.open_connection(rig.host, rig.port)
    request = {"command": name} | ({"parameter": parameter} if parameter else {})
    writer.write(json.dumps(request).encode())
    answer = json.loads((await reader.read()).rstrip(b"\0"))
    writer.close()
    return answer


async def test_sleep_and_wake_up() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        ability = await miner.open()
        assert ability.levels == (MAX_W,)
        assert ability.sleeps
        assert ability.asleep_w == 30.0
        assert await miner.read() == Reading(MAX_W, MAX_W)
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0
        await until(lambda: rig.member.power_w < 1.0)
        assert await miner.read() == Reading(0.0, 0.0)
        await miner.set_limit(MAX_W)
        assert rig.member.limit_w == MAX_W
        assert (await miner.read()).limit_w == MAX_W
        await miner.close()


async def test_one_read_is_one_connection_and_a_write_leaves_no_session() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        before = rig.connections
        await miner.read()
        assert rig.connections == before + 1
        await miner.set_limit(0.0)
        assert rig.connections == before + 4
        assert (await command(rig, "session"))["SESSION"] == [{"SessionID": ""}]


@pytest.mark.parametrize(
    ("limit_w", "level_w"), [(3400.0, 3400.0), (3399.0, 3060.0), (3060.0, 3060.0), (2600.0, 2550.0), (2040.0, 2040.0)]
)
async def test_a_limit_becomes_the_highest_profile_below_it(limit_w: float, level_w: float) -> None:
    async with served(LuxosServer, PROFILES) as rig:
        miner = client(rig, PROFILES)
        assert (await miner.open()).levels == (2040.0, 2550.0, 3060.0, 3400.0)
        await miner.set_limit(limit_w)
        assert (await miner.read()).limit_w == level_w
        assert rig.member.limit_w == pytest.approx(level_w)


async def test_a_profile_is_set_before_the_miner_wakes_up() -> None:
    async with served(LuxosServer, PROFILES) as rig:
        miner = client(rig, PROFILES)
        await miner.open()
        await miner.set_limit(0.0)
        limits = []
        write = rig.member.write
        rig.member.write = lambda limit_w: (limits.append(limit_w), write(limit_w))[1]
        await miner.set_limit(2040.0)
        assert limits == [pytest.approx(2040.0)]


async def test_below_the_lowest_level_nothing_is_sent() -> None:
    async with served(LuxosServer, PROFILES) as rig:
        miner = client(rig, PROFILES)
        await miner.open()
        before = rig.connections
        with pytest.raises(DeviceError, match="no level up to 100 W") as raised:
            await miner.set_limit(100.0)
        assert raised.value.refused
        assert rig.connections == before


async def test_a_miner_that_is_awake_is_not_woken() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        before = rig.connections
        await miner.set_limit(MAX_W)
        assert rig.connections == before + 1
        assert rig.member.limit_w == MAX_W


async def test_a_session_of_somebody_else_is_named() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        sid = (await command(rig, "logon"))["SESSION"][0]["SessionID"]
        with pytest.raises(DeviceError, match="somebody else holds its only session") as raised:
            await miner.set_limit(0.0)
        assert raised.value.refused
        assert rig.member.limit_w == MAX_W
        await command(rig, "logoff", sid)
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0


async def test_a_session_that_was_lost_is_not_kept_for_ever() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        miner._session = "0000"
        sid = (await command(rig, "logon"))["SESSION"][0]["SessionID"]
        with pytest.raises(DeviceError, match="Invalid session id"):
            await miner.set_limit(0.0)
        with pytest.raises(DeviceError, match="somebody else holds"):
            await miner.set_limit(0.0)
        await command(rig, "logoff", sid)
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0


async def test_a_session_expires() -> None:
    async with served(LuxosServer, LUXOS, session_s=0.05) as rig:
        miner = client(rig)
        await miner.open()
        await command(rig, "logon")
        await asyncio.sleep(0.06)
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0


async def test_a_cancelled_write_does_not_lock_the_next_one_out() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        for turns in range(60):
            call = asyncio.create_task(miner.set_limit(0.0))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises((asyncio.CancelledError, AssertionError)):
                assert await call is not None
            # The miner needs a moment to take what was on its way.
            await asyncio.sleep(0.01)
            await miner.set_limit(MAX_W)
            assert rig.member.limit_w == MAX_W


async def test_the_tuner_hides_the_limit_and_forbids_profiles() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        rig.server.tuner = True
        miner = client(rig)
        assert (await miner.open()).levels == (LUXOS.capability.max_w,)
        assert (await miner.read()).limit_w is None
        with pytest.raises(DeviceError, match="tuner"):
            await client(rig, PROFILES).open()


async def test_a_restart_forgets_session_and_sleep() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        await command(rig, "logon")
        await miner_asleep(rig)
        rig.server.power_on()
        assert (await miner.read()).limit_w == MAX_W
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0


async def miner_asleep(rig: Rig) -> None:
    rig.member.set_limit(0.0)
    await until(lambda: rig.member.power_w < 1.0)


@pytest.mark.parametrize("name", ["power", "restart", "power+nonsense"])
async def test_the_simulator_refuses_as_the_firmware_does(name: str) -> None:
    async with served(LuxosServer, LUXOS) as rig:
        answer = await command(rig, name)
        last = answer.get("nonsense", [answer])[-1]
        assert last["STATUS"][0]["STATUS"] == ("S" if name == "power" else "E")
        assert (await command(rig, "curtail", "0000,sleep"))["STATUS"][0]["STATUS"] == "E"
        assert rig.member.limit_w == MAX_W


async def test_values_that_are_not_there() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        rig.member.absent = True
        with pytest.raises(DeviceError, match="Section unavailable"):
            await miner.read()


async def test_a_write_that_is_dropped_shows() -> None:
    async with served(LuxosServer, LUXOS) as rig:
        miner = client(rig)
        await miner.open()
        rig.member.writes = "dropped"
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == MAX_W


async def test_another_firmware_is_not_taken_for_luxos() -> None:
    status = [{"STATUS": "S", "Code": 33, "Msg": "", "Description": "cgminer 4.11"}]
    config = {"STATUS": status, "CONFIG": [{"CurtailMode": "None", "Profile": "x"}]}
    profiles = {"STATUS": status, "PROFILES": [{"Profile Name": "x", "Watts": 3000}]}
    answer = json.dumps({"config": [config], "profiles": [profiles]}).encode()
    async with answering(answer) as (host, port, _):
        with pytest.raises(DeviceError, match="not LuxOS but 'cgminer"):
            await LuxosMember(host, port, LUXOS).open()
