"""Every protocol of miners over IPv6: the address of the site file, in brackets, leads there."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.drivers import protocols
from rampd.drivers.members import DeviceError, Reading, Trust
from rampd.drivers.sim.miners.antminer import AntminerServer
from rampd.drivers.sim.miners.braiins import BraiinsServer
from rampd.drivers.sim.miners.luxos import LuxosServer
from rampd.drivers.sim.miners.whatsminer_v2 import WhatsminerV2Server
from rampd.drivers.sim.miners.whatsminer_v3 import WhatsminerV3Server
from tests.miner import LOGIN, map_of, served


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("antminer-stock", AntminerServer), ("braiins", BraiinsServer), ("luxos", LuxosServer),
        ("whatsminer-v2", WhatsminerV2Server), ("whatsminer-v3", WhatsminerV3Server),
    ],
)  # fmt: skip
async def test_a_miner_at_an_ipv6_address(name: str, server: Any) -> None:
    device_map = map_of(name)
    async with served(server, device_map, host="::1") as rig:
        one = protocols.member(device_map, f"[::1]:{rig.port}", LOGIN, Trust())
        assert one.id == f"[::1]:{rig.port}"
        assert (await one.open()).max_w > 0
        assert await one.read() != Reading(None, None)
        await one.close()


def test_an_address_that_is_none_is_an_error_of_the_device() -> None:
    with pytest.raises(DeviceError, match="the address of a BMC or miner is host, host:port"):
        protocols.member(map_of("luxos"), "::1:4028", None, Trust())
