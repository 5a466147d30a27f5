"""Stock Antminers: the mode alone changes, pools stay, flash has a budget, and answers that are none."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Login, Reading
from rampd.drivers.miners.antminer import AntminerMember
from rampd.drivers.sim.miners.antminer import AntminerServer
from tests.miner import LOGIN, MAX_W, Rig, answering, map_of, served

MAP = map_of("antminer-stock", capability={"min_w": MAX_W, "max_w": MAX_W})
POOLS = [{"url": "stratum+tcp://p:1", "user": "u", "pass": "x"}]


def client(rig: Rig, device_map: Any = MAP, login: Login | None = LOGIN) -> AntminerMember:
    return AntminerMember(rig.host, rig.port, device_map, login)


def page(content: object, status: str = "200 OK") -> bytes:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def test_only_the_mode_changes() -> None:
    async with served(AntminerServer, MAP) as rig:
        before = copy.deepcopy(rig.server.conf)
        miner = client(rig)
        assert (await miner.open()).levels == (MAX_W,)
        assert await miner.read() == Reading(None, MAX_W)
        await miner.set_limit(0.0)
        assert rig.member.limit_w == 0.0
        assert rig.server.conf == before | {"bitmain-work-mode": "1"}
        assert await miner.read() == Reading(None, 0.0)
        await miner.set_limit(MAX_W)
        assert rig.server.conf == before
        assert rig.member.limit_w == MAX_W
        assert rig.server.saves == 2
        assert rig.connections == 1
        await miner.close()


async def test_nothing_is_written_where_the_mode_is_that_already() -> None:
    async with served(AntminerServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(MAX_W)
        with pytest.raises(DeviceError, match="no level up to 1000 W"):
            await miner.set_limit(1000.0)
        assert rig.server.saves == 0
        await miner.close()


async def test_changes_have_a_budget() -> None:
    device_map = map_of("antminer-stock", antminer={"changes_per_day": 2}, capability={"min_w": MAX_W, "max_w": MAX_W})
    async with served(AntminerServer, device_map) as rig:
        miner = client(rig, device_map)
        await miner.set_limit(0.0)
        await miner.set_limit(MAX_W)
        with pytest.raises(DeviceError, match="2 changes a day are spent") as raised:
            await miner.set_limit(0.0)
        assert raised.value.refused
        assert rig.server.saves == 2
        await miner.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pools": []}, "names no pool"),
        ({"pools": [{"url": "", "user": "", "pass": ""}]}, "names no pool"),
        ({"pools": [{"url": "stratum+tcp://p:1", "user": "u", "pass": "****"}]}, "hides pass"),
    ],
)
async def test_what_cannot_be_written_back_is_not_touched(change: dict[str, Any], says: str) -> None:
    async with served(AntminerServer, MAP) as rig:
        rig.server.conf |= change
        miner = client(rig)
        for call in (miner.open(), miner.set_limit(0.0)):
            with pytest.raises(DeviceError, match=says):
                await call
        assert rig.server.saves == 0
        await miner.close()


@pytest.mark.parametrize(
    ("conf", "mode"),
    [
        ({"miner-mode": 0, "pools": POOLS}, 1),
        ({"miner-mode": "0", "pools": POOLS}, "1"),
        ({"bitmain-work-mode": "0", "pools": POOLS, "kept": [1, None, 2.5]}, 1),
        ({"bitmain-work-mode": 3, "pools": POOLS, "bitmain-freq-level": "90"}, 1),
    ],
)
async def test_the_mode_is_written_under_the_name_that_is_taken(conf: dict[str, Any], mode: object) -> None:
    done = page({"stats": "success", "code": "M000"})
    async with answering(page(conf), done, hold=True) as (host, port, requests):
        miner = AntminerMember(host, port, MAP, LOGIN)
        await miner.set_limit(0.0)
        head, _, body = requests[1].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /cgi-bin/set_miner_conf.cgi ")
        sent = json.loads(body)
        expected = {key: value for key, value in conf.items() if key != "bitmain-work-mode"} | {"miner-mode": mode}
        if "bitmain-freq-level" in conf:
            expected["freq-level"] = "90"
        assert sent == expected
        assert type(sent["miner-mode"]) is type(mode)
        await miner.close()


@pytest.mark.parametrize(("told", "limit_w"), [("0", MAX_W), ("1", 0.0), ("3", None), (1, 0.0)])
async def test_modes(told: object, limit_w: float | None) -> None:
    async with answering(page({"bitmain-work-mode": told, "pools": POOLS}), hold=True) as (host, port, _):
        miner = AntminerMember(host, port, MAP, LOGIN)
        assert await miner.read() == Reading(None, limit_w)
        await miner.close()


async def test_a_refused_write_is_named() -> None:
    refused = page({"stats": "error", "code": "M001", "msg": "Invalid pool!"})
    async with answering(page({"miner-mode": 0, "pools": POOLS}), refused, hold=True) as (host, port, _):
        miner = AntminerMember(host, port, MAP, LOGIN)
        with pytest.raises(DeviceError, match=r"set_miner_conf refused: Invalid pool! \(M001\)") as raised:
            await miner.set_limit(0.0)
        assert raised.value.refused
        await miner.close()


async def test_a_wrong_password() -> None:
    async with served(AntminerServer, MAP) as rig:
        miner = client(rig, login=Login("root", "wrong"))
        with pytest.raises(DeviceError, match="HTTP 401: is the password right") as raised:
            await miner.open()
        assert raised.value.refused
        with pytest.raises(DeviceError, match="give its rack a login"):
            await client(rig, login=None).open()
        await miner.close()


async def test_a_restart_keeps_the_mode_and_forgets_who_was_logged_in() -> None:
    async with served(AntminerServer, MAP) as rig:
        miner = client(rig)
        await miner.open()
        await miner.set_limit(0.0)
        rig.server.power_on()
        assert await miner.read() == Reading(None, 0.0)
        await miner.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (page({"pools": POOLS}), "tells no mode"),
        (page({"bitmain-work-mode": True, "pools": POOLS}), "not a usable answer: bitmain-work-mode"),
        (page({"bitmain-work-mode": "sleep"}), "not a usable answer: bitmain-work-mode"),
        (page(b"\xff\xfe"), "not a usable answer"),
        (page(b"[" * 9999), "not a usable answer"),
        (page(b"x" * 300_000), "longer than 262144 bytes"),
        (page({}, "302 Found"), "answered HTTP 302"),
        (page({}, "500 Oops"), "answered HTTP 500"),
        (page({}, '401 No\r\nWWW-Authenticate: Digest realm="a", nonce=""'), "not a usable answer"),
        (page({}, '401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b", algorithm=XX'), "not a usable answer"),
        (b"\x00\x01garbage\r\n\r\n", "not a usable answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "no answer within 0.3 s"),
        (b"", "no answer within 0.3 s"),
        (None, "not a usable answer"),
    ],
    ids=["no-mode", "bool", "word", "binary", "deep", "huge", "redirect", "error", "no-nonce", "algorithm", "garbage",
         "short", "silent", "reset"],
)  # fmt: skip
async def test_what_is_no_answer(answer: bytes | None, says: str) -> None:
    quick = map_of("antminer-stock", timeout_s=0.3)
    async with answering(answer, hold=True) as (host, port, _):
        miner = AntminerMember(host, port, quick, LOGIN)
        with pytest.raises(DeviceError, match=says):
            await miner.read()
        await miner.close()


async def test_nobody_listens() -> None:
    async with answering(b"") as (host, port, _):
        pass
    miner = AntminerMember(host, port, MAP, LOGIN)
    with pytest.raises(DeviceError, match="not a usable answer: ClientConnectorError"):
        await miner.read()
    await miner.close()
