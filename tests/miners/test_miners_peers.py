"""Clients that others wrote at our simulated miners: they find out what it is, read it, and curtail it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from rampd.drivers.members import Login
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import FIRMWARE, WhatsminerV3Server
from tests.miner import LOGIN, MAX_W, Rig, map_of, served, until

PEER: Final = Path(__file__).with_name("peer.py")
PYTHON: Final = Path(sys.prefix) / "miner-clients" / "bin" / "python"


async def peer(client: str, rig: Rig, what: str, password: str = LOGIN.secret) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        PYTHON, PEER, client, rig.host, password, what, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
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


async def test_the_whatsminer_client_reads_sets_and_curtails() -> None:
    async with served(WhatsminerV2Server, map_of("whatsminer-v2"), fixed=True) as rig:
        assert (await peer("whatsminer", rig, "read"))["SUMMARY"][0]["Power Limit"] == MAX_W
        assert (await peer("whatsminer", rig, "percent"))["Code"] == 131
        assert rig.member.limit_w == pytest.approx(0.6 * MAX_W)
        assert (await peer("whatsminer", rig, "stop"))["Msg"] == "API command OK"
        assert rig.member.limit_w == 0.0
        assert (await peer("whatsminer", rig, "resume"))["Code"] == 131
        assert rig.member.limit_w == MAX_W
