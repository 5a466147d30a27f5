"""Maps of miners: the ones that ship, and what is wrong in others."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rampd.drivers.miners.maps import MINER_MAPS
from tests.miner import MAPS, map_of


@pytest.mark.parametrize("protocol", [p for p in MINER_MAPS if (MAPS / f"{p}.toml").exists()])
def test_a_shipped_map_is_named_for_its_protocol_and_moves(protocol: str) -> None:
    device_map = map_of(protocol)
    assert type(device_map) is MINER_MAPS[protocol]
    assert device_map.name == device_map.protocol == protocol
    assert device_map.storage == "ram"
    assert device_map.capability.sleeps
    assert device_map.capability.asleep_w < device_map.capability.min_w


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"luxos": {"profile": True}}, "luxos.profile"),
        ({"braiins": {"ramp_up_s": 5}}, "braiins"),
        ({"port": 0}, "port"),
        ({"capability": {"min_w": 9000}}, "capability"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_a_wrong_key_is_named(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        map_of("luxos", **changes)
    assert ".".join(map(str, raised.value.errors()[0]["loc"])).startswith(where)
