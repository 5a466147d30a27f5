"""What the maps that ship make of words that a person can check: planned, read, decoded as the daemon does."""

from __future__ import annotations

import pytest

from rampd.drivers import maps
from rampd.drivers.device import field_spec
from rampd.ext import views
from rampd.ext.codes import GOOD, Quality
from rampd.ext.decode import Decoder
from tests.field import image
from tests.golden import meters, orv3, plant, sunspec
from tests.golden.vector import Vectors

GOLDEN: Vectors = {**meters.GOLDEN, **sunspec.GOLDEN, **orv3.GOLDEN, **plant.GOLDEN}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, vectors in GOLDEN.items() for number in range(len(vectors))]
)
def test_golden_words(name: str, number: int) -> None:
    words, expected = GOLDEN[name][number]
    one = maps.load(name)
    bases = one.nominal()
    memory = bytearray(2 * 65536)
    for place, shown in words.items():
        at = place if isinstance(place, int) else bases[place[0]] + place[1]
        data = bytes.fromhex(shown)
        memory[2 * at : 2 * at + len(data)] = data
    slots = {value: i for i, value in enumerate(one.values)}
    wall = image(len(slots))
    inputs = views.inputs(wall)
    for read in one.reads(bases):
        fields = [field_spec(register, read.at, slots[register.name]) for register in read.registers]
        Decoder(fields, read.count).decode(bytes(memory[2 * read.at : 2 * (read.at + read.count)]), wall, 1)
    texts = {text.name: text.decode(memory[2 * text.at : 2 * (text.at + text.words)]) for text in one.strings(bases)}
    for value, wanted in expected.items():
        if isinstance(wanted, str):
            assert (value, texts[value]) == (value, wanted)
            continue
        quality = Quality(inputs.quality[slots[value]])
        if isinstance(wanted, Quality):
            assert (value, quality, inputs.value[slots[value]]) == (value, wanted, 0.0)
        else:
            assert (value, quality) == (value, GOOD)
            assert inputs.value[slots[value]] == pytest.approx(wanted, rel=1e-6)
    if number == 0:
        assert set(expected) == {*slots, *texts}, "the first vector of a map holds all of it"


def test_every_map_has_golden_words() -> None:
    assert set(GOLDEN) == set(maps.modbus_names())
