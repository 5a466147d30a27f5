"""Halls to order: every size is a right site, and says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import halls, sitecheck
from rampd.daemon.halls import Hall, address


@pytest.mark.parametrize("racks", [*range(4, 30), 60, 61, 100, 119, 120, 121, 400, 1999, 2000])
def test_every_size_is_a_right_site(tmp_path: Path, racks: int) -> None:
    config = sitecheck.load(halls.write(Hall("any", racks), tmp_path))
    assert len(config.racks) == racks
    assert {rack.kind for rack in config.racks} == {"gpu", "asic"}
    assert sum(node.kind == "feeder" for node in config.nodes) >= 2
    kinds: dict[str, set[str]] = {}
    for rack in config.racks:
        kinds.setdefault(rack.loop, set()).add(rack.kind)
    assert all(len(kind) == 1 for kind in kinds.values())
    assert set(kinds) == {loop.id for loop in config.loops}
    most = max(sum(rack.loop == loop for rack in config.racks) for loop in kinds)
    assert most <= halls.RACKS_PER_LOOP
    needed = sum(rack.min_kw for rack in config.racks) / 1000
    drawn = sum(rack.max_kw for rack in config.racks) / 1000
    assert needed < config.site.max_mw < drawn * halls.OVERHEAD <= config.site.import_limit_mw * 1.02


@pytest.mark.parametrize("racks", [-1, 0, 3, 2001])
def test_other_sizes_are_refused(tmp_path: Path, racks: int) -> None:
    with pytest.raises(ValueError, match=f"a hall has 4 to 2000 racks, not {racks}"):
        halls.write(Hall("any", racks), tmp_path)


def test_two_halls_side_by_side_share_no_address(tmp_path: Path) -> None:
    seen = []
    for net in (20, 60):
        config = sitecheck.load(
            halls.write(Hall("any", 300, net=net, mqtt_port=1800 + net, http_port=9400 + net), tmp_path)
        )
        seen.append({device.address for _, _, device in sitecheck.device_rows(config)})
        assert (config.mqtt.port, config.http.port) == (1800 + net, 9400 + net)
    assert not seen[0] & seen[1]


@pytest.mark.parametrize(("index", "host"), [(0, "127.23.0.1"), (199, "127.23.0.200"), (200, "127.23.1.1")])
def test_addresses_are_loopback_hosts(index: int, host: str) -> None:
    assert address(20, 3, index) == f"{host}:1502"


def test_a_hall_is_written_over_an_older_one(tmp_path: Path) -> None:
    halls.write(Hall("old", 100), tmp_path)
    config = sitecheck.load(halls.write(Hall("new", 10), tmp_path))
    assert (config.site.id, len(config.racks)) == ("new", 10)
