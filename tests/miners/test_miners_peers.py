"""Clients that others wrote at our simulated miners: they find out what it is, read it, and curtail it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from rampd.drivers.members import Login
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.miners.antminer import AntminerServer
from rampd.drivers.sim.miners.braiins import BraiinsServer
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.oneshot import OneShot
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import FIRMWARE, WhatsminerV3Server
from tests.miner import LOGIN, MAX_W, Rig, map_of, served, until
from tests.miners_python import CLIENTS

PEER: Final = Path(__file__).with_name("peer.py")


async def peer(client: str, rig: Rig, what: str, password: str = LOGIN.secret) -> dict[str, Any]:
    host = f"{rig.host}:{rig.port}" if client == "httpx" else rig.host
    process = await asyncio.create_subprocess_exec(
        CLIENTS, PEER, client, host, password, what, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, problem = await process.communicate()
    assert process.returncode == 0, f"{problem.decode()[-2000:]}\n(the clients are installed by make test-setup)"
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("server", "name", "found"),
    [
        (LuxosServer, "luxos", {"class": "LUXMinerS19jPro", "firmware": "LuxOS"}),
        (WhatsminerV2Server, "whatsminer-v2", {"class": "BTMinerM50SVH30", "mining": True}),
    ],
    ids=["luxos", "whatsminer-v2"],
)
async def test_pyasic_identifies_reads_and_curtails(server: Any, name: str, found: dict[str, Any]) -> None:
    async with served(server, map_of(name), fixed=True) as rig:
        seen = await peer("pyasic", rig, "read")
        assert seen.items() >= found.items()
        assert seen["watts"] == pytest.approx(MAX_W, abs=1.0)
        assert seen["limit"] == pytest.approx(MAX_W, abs=1.0)
        assert (await peer("pyasic", rig, "stop"))["done"]
        assert rig.member.limit_w == 0.0
        await until(lambda: rig.member.power_w < 1.0)
        assert (await peer("pyasic", rig, "read"))["watts"] == pytest.approx(0.0, abs=1.0)
        assert (await peer("pyasic", rig, "resume"))["done"]
        assert rig.member.limit_w == MAX_W


async def test_pyasic_identifies_reads_and_curtails_api_3() -> None:
    """It takes a miner for one with API 3 by the version that port 4028 tells."""
    login = Login("super", LOGIN.secret)
    async with (
        served(WhatsminerV3Server, map_of("whatsminer-v3"), login, fixed=True) as rig,
        served(WhatsminerV2Server, map_of("whatsminer-v2"), fixed=True, host=rig.host, firmware=FIRMWARE),
    ):
        seen = await peer("pyasic", rig, "read")
        assert seen["class"] == "BTMinerM50SVH30"
        assert (seen["watts"], seen["limit"], seen["mining"]) == (MAX_W, MAX_W, True)
        assert (await peer("pyasic", rig, "stop"))["done"]
        assert rig.member.limit_w == 0.0
        assert (await peer("pyasic", rig, "resume"))["done"]
        assert rig.member.limit_w == MAX_W
        assert not (await peer("pyasic", rig, "stop", "wrong"))["done"]
        assert rig.member.limit_w == MAX_W


class Face:
    """What a miner with Braiins OS says on port 4028, where clients look who it is."""

    ANSWERS: Final = {
        "version": {"STATUS": [{"STATUS": "S", "Description": "BOSer boser-openwrt 0.1.0"}],
                    "VERSION": [{"API": "3.7", "BOSer": "boser-openwrt 0.1.0"}]},
        "devdetails": {"STATUS": [{"STATUS": "S"}], "DEVDETAILS": [{"Model": "Antminer S19J Pro"}]},
    }  # fmt: skip

    def __init__(self, member: Member, device_map: Any, login: Login | None) -> None:
        self.start = self.stop = self._nothing

    async def _nothing(self) -> None:
        pass

    def connect(self) -> asyncio.Protocol:
        return OneShot(lambda request: json.dumps(self.ANSWERS.get(request.get("command"), {})).encode())

    def power_on(self) -> None:
        pass


async def test_pyasic_identifies_reads_and_curtails_braiins() -> None:
    async with (
        served(BraiinsServer, map_of("braiins"), fixed=True) as rig,
        served(Face, map_of("luxos"), fixed=True, host=rig.host),
    ):
        seen = await peer("pyasic", rig, "read")
        assert seen["class"] == "BOSMinerS19jPro"
        assert (seen["watts"], seen["limit"]) == (MAX_W, MAX_W)
        assert (await peer("pyasic", rig, "stop"))["done"]
        assert rig.member.limit_w == 0.0
        assert (await peer("pyasic", rig, "resume"))["done"]
        assert rig.member.limit_w == MAX_W


async def test_grpcio_reads_and_curtails_braiins() -> None:
    async with served(BraiinsServer, map_of("braiins"), fixed=True) as rig:
        # power_stats (3) holds approximated_consumption (1) holds watt (1): 3400 is c8 1a as a varint.
        assert await peer("grpcio", rig, "read") == {"answer": "1a050a0308c81a"}
        assert await peer("grpcio", rig, "stop") == {"answer": ""}
        assert rig.member.limit_w == 0.0
        assert await peer("grpcio", rig, "stop") == {"answer": "0801"}
        assert await peer("grpcio", rig, "read", "wrong") == {"refused": "UNAUTHENTICATED"}


async def test_httpx_logs_in_at_an_antminer_and_wipes_its_pools() -> None:
    async with served(AntminerServer, map_of("antminer-stock")) as rig:
        assert json.loads((await peer("httpx", rig, "read"))["answer"]) == rig.server.conf
        assert (await peer("httpx", rig, "read", "wrong"))["status"] == 401
        assert "M000" in (await peer("httpx", rig, "stop"))["answer"]
        assert rig.member.limit_w == 0.0
        assert rig.server.conf["pools"] == []


async def test_the_whatsminer_client_reads_sets_and_curtails() -> None:
    async with served(WhatsminerV2Server, map_of("whatsminer-v2"), fixed=True) as rig:
        assert (await peer("whatsminer", rig, "read"))["SUMMARY"][0]["Power Limit"] == MAX_W
        assert (await peer("whatsminer", rig, "percent"))["Code"] == 131
        assert rig.member.limit_w == pytest.approx(0.6 * MAX_W)
        assert (await peer("whatsminer", rig, "stop"))["Msg"] == "API command OK"
        assert rig.member.limit_w == 0.0
        assert (await peer("whatsminer", rig, "resume"))["Code"] == 131
        assert rig.member.limit_w == MAX_W
