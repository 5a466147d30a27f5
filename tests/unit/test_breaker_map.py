"""The contact of the main breaker, by a map of the site's own: which words are open, and that the core reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon.site import compose
from rampd.drivers import maps
from rampd.drivers.device import field_spec
from rampd.drivers.maps import DeviceMap
from rampd.ext import codes, views
from rampd.ext.decode import Decoder
from tests.field import image
from tests.sites import SITE, Edit, load, site

HEAD = """
name = "own"
kind = "meter"
title = "A meter with two inputs"
source = ["its list of registers"]
verified = "on the device, the breaker opened and closed by hand"
[values]
power_w = { at = 10, type = "f32", range = [-1.0e7, 1.0e7] }
frequency_hz = { at = 12, type = "f32", range = [0.0, 80.0] }
voltage_v = { at = 14, type = "f32", range = [0.0, 1.0e5] }
"""
CLOSED_BY = {
    # line of the map, as docs/devices.md has it: the words in which it is open, and closed
    "a contact that closes with it": (
        'breaker_state = { at = 310, type = "u16", mask = 0x0004 }', (0x0000, 0xFFFB), (0x0004, 0xFFFF),
    ),
    "a contact that opens with it": (
        'breaker_state = { at = 310, type = "u16", mask = 0x0004, scale = -1.0, offset = 1.0 }',
        (0x0004, 0xFFFF), (0x0000, 0xFFFB),
    ),
    "a number for each":             (
        'breaker_state = { at = 310, type = "u16", offset = -2.0, range = [0.0, 1.0] }', (2,), (3,),
    ),
}  # fmt: skip


def own(folder: Path, line: str) -> DeviceMap:
    (folder / "own.toml").write_text(HEAD + line + "\n", encoding="utf-8")
    found = maps.load("own", folder)
    assert isinstance(found, DeviceMap)
    return found


@pytest.mark.parametrize(("line", "opened", "closed"), CLOSED_BY.values(), ids=CLOSED_BY.keys())
def test_what_is_taken_for_open(tmp_path: Path, line: str, opened: tuple[int, ...], closed: tuple[int, ...]) -> None:
    found = own(tmp_path, line)
    register = found.register("breaker_state", found.values["breaker_state"])
    for words, expected in ((opened, 0.0), (closed, 1.0)):
        for word in words:
            wall = image(3)
            Decoder([field_spec(register, 310, 1)], 1).decode(word.to_bytes(2, "big"), wall, 1)
            inputs = views.inputs(wall)
            assert (inputs.quality[1], inputs.value[1]) == (codes.GOOD, expected), hex(word)


def test_the_core_reads_it_of_the_site_meter(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    own(folder, CLOSED_BY["a contact that closes with it"][0])
    edits: tuple[Edit, ...] = (
        (SITE, 'meter = "poi"', 'meter = "poi"\nmap_folder = "maps"'), (SITE, "janitza-umg", "own"),
    )  # fmt: skip
    composed = compose(load(site(tmp_path, *edits)))
    assert views.limits(composed.limits).site.breaker_slot == composed.meter.slots["breaker_state"] >= 0
