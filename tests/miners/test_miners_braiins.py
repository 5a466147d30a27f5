"""Braiins OS: pause and resume, targets and their budget, native ramps, tokens, and answers that are none."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Login, Reading
from rampd.drivers.miners import braiins, budget
from rampd.drivers.miners import braiins_pb2 as pb
from rampd.drivers.miners.braiins import BraiinsMember
from rampd.drivers.sim.miners.braiins import BraiinsServer
from tests.miner import LOGIN, MAX_W, Rig, answering, map_of, served, until
from tests.miners_python import CLIENTS

ROOT = Path(__file__).resolve().parents[2]
MAP = map_of("braiins")
TARGETS = map_of("braiins", braiins={"targets_per_day": 3})
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


def client(rig: Rig, device_map: Any = MAP, login: Login | None = LOGIN) -> BraiinsMember:
    return BraiinsMember(rig.host, rig.port, device_map, login)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (pb.Credentials(username="root", password="ab"), "0a04726f6f7412026162"),
        (pb.SetPowerTarget(save_action=pb.SAVE_AND_APPLY, power_target=pb.Power(watt=3400)), "0802120308c81a"),
        (pb.SetQuickRamping(save_action=pb.SAVE_AND_APPLY, up_s=5, down_s=2), "080210051802"),
        (pb.Session(token="t", timeout_s=3600), "0a017410901c"),
        (pb.Details(status=pb.PAUSED), "6003"),
        (pb.Nothing(), ""),
    ],
)
def test_messages_are_these_bytes(message: Any, wire: str) -> None:
    assert message.SerializeToString().hex() == wire
    assert type(message).FromString(bytes.fromhex(wire)) == message


def test_the_checked_in_messages_are_what_the_proto_says(tmp_path: Path) -> None:
    source = ROOT / "drivers" / "miners"
    subprocess.run(
        [CLIENTS, "-m", "grpc_tools.protoc", "-I", source, f"--python_out={tmp_path}", f"--pyi_out={tmp_path}",
         source / "braiins.proto"], check=True,
    )  # fmt: skip
    for name in ("braiins_pb2.py", "braiins_pb2.pyi"):
        assert (tmp_path / name).read_bytes() == (source / name).read_bytes(), f"{name}: run make proto"


async def test_pause_and_resume() -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        assert (await miner.open()).levels == (MAX_W,)
        assert await miner.read() == Reading(MAX_W, MAX_W)
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == 0.0
        await until(lambda: rig.member.power_w < 1.0)
        assert await miner.read() == Reading(0.0, 0.0)
        saves = rig.server.saves
        await miner.set_limit(MAX_W)
        assert (await miner.read()).limit_w == MAX_W
        assert rig.server.saves == saves
        with pytest.raises(DeviceError, match="no level up to 2000 W"):
            await miner.set_limit(2000.0)
        assert rig.connections == 1
        await miner.close()


async def test_the_native_ramps_are_written_once() -> None:
    async with served(BraiinsServer, MAP) as rig:
        for saves in (1, 1):
            miner = client(rig)
            await miner.open()
            assert rig.server.ramp_s == (5, 2)
            assert rig.server.saves == saves
            await miner.close()


@pytest.mark.parametrize(
    ("ramps", "has", "says"),
    [
        ({"ramp_up_s": 900}, True, "ramps from 1 to 600 s, its map wants"),
        ({}, False, "has no quick ramping: take ramp_up_s and ramp_down_s out of its map"),
    ],
)
async def test_ramps_that_the_miner_does_not_have(ramps: dict[str, int], has: bool, says: str) -> None:
    device_map = map_of("braiins", braiins=ramps)
    async with served(BraiinsServer, device_map, ramps=has) as rig:
        miner = client(rig, device_map)
        with pytest.raises(DeviceError, match=says):
            await miner.open()
        assert rig.server.saves == 0
        await miner.close()


async def test_a_map_without_ramps_suits_older_firmware() -> None:
    device_map = map_of("braiins", braiins={"ramp_up_s": None, "ramp_down_s": None})
    async with served(BraiinsServer, device_map, ramps=False) as rig:
        miner = client(rig, device_map)
        await miner.open()
        assert rig.server.saves == 0
        await miner.close()


async def test_targets_are_set_within_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(BraiinsServer, TARGETS) as rig:
        miner = client(rig, TARGETS)
        ability = await miner.open()
        assert (ability.min_w, ability.max_w, ability.step_w) == (1360.0, 3400.0, 1.0)
        for limit_w, target_w in ((3000.7, 3000.0), (2500.0, 2500.0), (2500.0, 2500.0), (0.0, 0.0), (2000.0, 2000.0)):
            await miner.set_limit(limit_w)
            assert rig.member.limit_w == target_w
            assert (await miner.read()).limit_w == target_w
        with pytest.raises(DeviceError, match="3 power targets a day are spent") as raised:
            await miner.set_limit(1500.0)
        assert raised.value.refused
        assert rig.member.limit_w == 2000.0
        monkeypatch.setattr(budget, "DAY_S", 0.0)
        await miner.set_limit(1500.0)
        assert rig.member.limit_w == 1500.0
        await miner.close()


async def test_a_foreign_target_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        assert (await miner.read()).limit_w == MAX_W
        rig.member.set_limit(2000.0)
        assert (await miner.read()).limit_w == MAX_W
        monkeypatch.setattr(braiins, "TARGET_S", 0.0)
        assert (await miner.read()).limit_w == 2000.0
        monkeypatch.setattr(braiins, "TARGET_S", 1e9)
        rig.member.set_limit(MAX_W)
        await until(lambda: rig.member.power_w > 3000.0)
        assert (await miner.read()).limit_w == MAX_W
        await miner.close()


async def test_a_target_out_of_range_is_refused_by_the_miner() -> None:
    async with served(BraiinsServer, TARGETS) as rig:
        miner = client(rig, TARGETS)
        await miner.open()
        with pytest.raises(DeviceError, match="refused: invalid_argument: power target out of range") as raised:
            await miner.set_limit(500.0)
        assert raised.value.refused
        await miner.close()


async def test_a_lost_token_is_made_anew_and_a_refused_one_is_not_tried_for_ever() -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        rig.server.power_on()
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0
        rig.server._token_s = -1.0
        rig.server._tokens.clear()
        with pytest.raises(DeviceError, match="refused: unauthenticated: invalid token"):
            await miner.set_limit(MAX_W)
        assert rig.member.limit_w == 0.0
        await miner.close()


async def test_a_wrong_password() -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig, login=Login("root", "wrong"))
        with pytest.raises(DeviceError, match="Login refused: unauthenticated: invalid credentials") as raised:
            await miner.open()
        assert raised.value.refused
        with pytest.raises(DeviceError, match="give its rack a login"):
            await client(rig, login=None).open()
        await miner.close()


async def test_values_that_are_not_there_and_writes_that_are_dropped() -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        rig.member.writes = "dropped"
        await miner.set_limit(0.0)
        assert (await miner.read()).limit_w == MAX_W
        rig.member.absent = True
        with pytest.raises(DeviceError, match="tells no power"):
            await miner.read()
        await miner.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"\xff\xfe\0garbage that is no frame at all", "not a usable answer|no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "not a usable answer|no answer"),
        (SETTINGS, "no answer within 0.3 s"),
        (SETTINGS + struct.pack(">I", 8)[1:] + b"\x07\0\0\0\0\0" + b"\0" * 8, "not a usable answer|no answer"),
        (None, "not a usable answer|no connection"),
        (b"", "no answer within 0.3 s"),
        ((SETTINGS + b"\0\x40\0\0\0\0\0\0\x01" + b"x" * 16384) * 20, "not a usable answer"),
    ],
    ids=["garbage", "http1", "settings", "goaway", "reset", "silent", "huge"],
)
async def test_what_is_no_answer(answer: bytes | None, says: str) -> None:
    quick = map_of("braiins", timeout_s=0.3)
    async with answering(answer, hold=True) as (host, port, _):
        miner = BraiinsMember(host, port, quick, LOGIN)
        with pytest.raises(DeviceError, match=says):
            await miner.open()
        await miner.close()


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(braiins._Wire, "budget", 64)
    monkeypatch.setattr(braiins, "LONGEST", 64)
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        with pytest.raises(DeviceError, match="not a usable answer"):
            await miner.open()
        await miner.close()


async def test_nobody_listens() -> None:
    async with answering(b"") as (host, port, _):
        pass
    with pytest.raises(DeviceError, match="no connection"):
        await BraiinsMember(host, port, MAP, LOGIN).open()


async def test_a_cancelled_call_gives_up_its_connection() -> None:
    async with served(BraiinsServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        for turns in range(12):
            call = asyncio.create_task(miner.set_limit(0.0))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises((asyncio.CancelledError, AssertionError)):
                assert await call is not None
            await miner.set_limit(MAX_W)
            assert rig.member.limit_w == MAX_W
        await miner.close()
