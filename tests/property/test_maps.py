"""Maps of any content: taken or refused as maps, and what is taken can be planned and decoded."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers import maps
from rampd.drivers.device import field_spec
from rampd.drivers.maphead import MapError
from rampd.ext.decode import Decoder
from tests.field import image

MAPS = Path(maps.__file__).parent / "maps"
CELLS = (
    "", "0", "-1", "1", "124", "126", "65535", "65536", "1e308", "nan", "-inf", "true", '"u64"', '"s16"', '"f33"',
    "[0.0, 1.0]", "[1, 2, 3, 4, 5]", "[]", '"DCBA"', "4", "power_w", "x_w", "mask = 0xF0", "nan = [0xFFFF]",
    "factor_at = 3", "slow = true", "scale = 0.0", "[values]", "[setpoint]", "max_regs = 1", "barriers = [19010]",
    "{", "}", ",", "=", '"', "\x00", "é",
)  # fmt: skip


def use(device_map: maps.DeviceMap) -> None:
    """What the daemon does with a map that was taken."""
    slots = {name: i for i, name in enumerate(device_map.values)}
    wall = image(len(slots))
    for read in device_map.reads():
        fields = [field_spec(register, read.at, slots[register.name]) for register in read.registers]
        Decoder(fields, read.count).decode(bytes(2 * read.count), wall, 1)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(maps.modbus_names()), st.integers(0, 2**32), st.integers(1, 4))
def test_a_garbled_map_is_taken_or_refused_and_what_is_taken_works(name: str, seed: int, times: int) -> None:
    source = random.Random(seed)
    text = (MAPS / f"{name}.toml").read_text()
    for _ in range(times):
        words = text.split(" ")
        at = source.randrange(len(words))
        match source.randrange(3):
            case 0:
                words[at] = source.choice(CELLS)
            case 1:
                words.insert(at, source.choice(CELLS))
            case 2:
                words[at] = words[source.randrange(len(words))]
        text = " ".join(words)
    try:
        device_map = maps.parse(text, "m")
    except MapError as error:
        assert all(line.startswith("m: ") for line in str(error).splitlines())
    else:
        use(device_map)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_file_in_a_sites_own_folder_is_a_map_or_a_map_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.toml").write_bytes(data)
        try:
            maps.load("mine", Path(folder))
        except MapError as error:
            assert "mine.toml" in str(error)
        else:
            raise AssertionError("a hundred random bytes are no map")
