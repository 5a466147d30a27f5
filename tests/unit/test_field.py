"""The devices of a site as objects: what follows up each rack, and what is left alone when it is only looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rampd.daemon.field import Field
from rampd.daemon.logins import logins
from rampd.daemon.site import compose
from rampd.daemon.sitefile import ConfigError
from rampd.drivers import maps
from rampd.drivers.members import MemberMap
from rampd.ext import views
from rampd.ext.image import InputWall
from tests.sites import EXAMPLES, RACKS, SITE, Edit, load, site


def field_of(folder: Path, *edits: Edit, shadow: bool = False) -> Field:
    for path in (EXAMPLES / "mixed-10").iterdir():
        if path.name not in (SITE, RACKS, "nodes.csv") and path.is_file():
            shutil.copy(path, folder / path.name)
    composed = compose(load(site(folder, *edits, example="mixed-10")))
    wall = InputWall(composed.limits)
    return Field(composed, wall, views.inputs(wall), shadow=shadow)


@pytest.mark.parametrize("period_s", ["2", "5", "8"])
def test_a_read_back_is_waited_for_as_long_as_it_takes_to_be_read(tmp_path: Path, period_s: str) -> None:
    """Members are not read more often than their map says, whatever the rack's row asks for."""
    field = field_of(tmp_path, (RACKS, "braiins,,5,", f"braiins,,{period_s},"))
    (target,) = [target for target in field.targets() if target.id == "asic-braiins"]
    device_map = maps.load("braiins")
    assert isinstance(device_map, MemberMap)
    read_every_s = max(float(period_s), device_map.update_s)
    assert target.verify_ns == round((device_map.accept_s + 2 * read_every_s) * 1e9)


SMOOTHING = {"path": "/redfish/v1/Chassis/{id}/Oem/PowerSmoothing", "preset": 1}


@pytest.mark.parametrize(
    ("name", "table", "extra"),
    [("redfish-hgx", "redfish", {"smoothing": SMOOTHING}), ("braiins", "braiins", {"ramp_up_s": 5, "ramp_down_s": 2})],
)
def test_a_rack_that_is_only_looked_at_is_not_prepared(name: str, table: str, extra: dict[str, Any]) -> None:
    shipped = maps.load(name)
    assert isinstance(shipped, MemberMap)
    raw = shipped.model_dump()
    prepared = type(shipped).model_validate(raw | {table: raw[table] | extra})
    plain = type(shipped).model_validate(raw | {table: raw[table] | dict.fromkeys(extra)})
    assert prepared != plain
    assert prepared.watching() == plain
    assert plain.watching() == plain


@pytest.mark.parametrize("shadow", [False, True])
def test_in_shadow_every_rack_is_only_looked_at(tmp_path: Path, shadow: bool) -> None:
    field = field_of(tmp_path, shadow=shadow)
    prepared = [rack.id for rack in field.member_racks if rack._map != rack._map.watching()]
    assert prepared == ([] if shadow else ["asic-braiins"])


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (b"\n", "the first line of secret_file"), (b"", "the first line of secret_file"), (b"\xff", "cannot be read"),
        (None, "cannot be read"),
    ],
)  # fmt: skip
def test_a_secret_that_is_none(tmp_path: Path, secret: bytes | None, message: str) -> None:
    (tmp_path / "s").write_bytes(secret or b"")
    config = load(site(tmp_path, (SITE, "[fleet]", '[[login]]\nid = "bmc"\nsecret_file = "s"\n[fleet]')))
    if secret is None:
        (tmp_path / "s").unlink()
    with pytest.raises(ConfigError, match=rf"login bmc: .*{message}"):
        logins(config)


def test_a_secret_is_the_first_line_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"correct horse\r\nbattery\n")
    config = load(site(tmp_path, (SITE, "[fleet]", '[[login]]\nid = "bmc"\nsecret_file = "s"\n[fleet]')))
    login, _ = logins(config)["bmc"]
    assert login.secret == "correct horse"
    assert "horse" not in repr(login)
