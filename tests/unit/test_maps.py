"""Device maps: what the linter says of wrong ones, and what the ones that ship make of golden words."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from rampd.drivers import maps
from rampd.drivers.device import field_spec
from rampd.drivers.maps import NEEDED, UNITS, MapError, parse
from rampd.drivers.plan import plan
from rampd.drivers.register import Encoding, WordOrder
from rampd.ext import views
from rampd.ext.codes import GOOD, RANGE, SENTINEL, Quality
from rampd.ext.decode import Decoder
from tests.field import image

METER = """
name = "bench-meter"
kind = "meter"
title = "a meter to test with"
source = ["the test"]
verified = "nothing to verify"
[values]
power_w = { at = 10, type = "f32", range = [-1.0e6, 1.0e6] }
energy_wh = { at = 20, type = "u64" }
"""
RACK = """
name = "bench-rack"
kind = "rack"
title = "a rack to test with"
source = ["the test"]
verified = "nothing to verify"
[values]
power_w = { at = 0, type = "u32", range = [0.0, 1.0e6] }
limit_w = { at = 2, type = "u32" }
[setpoint]
readback = "limit_w"
limit = { at = 2, type = "u32" }
"""
POWER = 'power_w = { at = 10, type = "f32", range = [-1.0e6, 1.0e6] }'
LIMIT = 'limit = { at = 2, type = "u32" }'


def line(name: str, rest: str) -> tuple[str, str]:
    """Adds a value to the meter."""
    return POWER, f"{POWER}\n{name} = {{ {rest} }}"


def test_the_maps_to_get_wrong_are_right() -> None:
    assert parse(METER, "m").kind == "meter"
    assert parse(RACK, "r").setpoint is not None


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (METER, 'name = "bench-meter"\n', "", "m: name: Field required"),
        (METER, '"bench-meter"', '"Bench Meter"', "m: name: String should match pattern"),
        (METER, '"meter"', '"toaster"', "m: kind: Input should be 'meter', 'pdu', 'cdu' or 'rack'"),
        (METER, 'source = ["the test"]', "source = []", "m: source: "),
        (METER, 'source = ["the test"]', "", "m: source: Field required"),
        (METER, 'verified = "nothing to verify"', "", "m: verified: Field required"),
        (METER, 'verified = "nothing to verify"', 'verified = ""', "m: verified: String should have at least 5"),
        (METER, '"a meter to test with"', '"x"', "m: title: String should have at least 5"),
        (METER, "[values]", "max_reg = 5\n[values]", "m: max_reg: Extra inputs are not permitted"),
        (METER, "[values]", "function = 1\n[values]", "m: function: Input should be 3 or 4"),
        (METER, "[values]", 'word_order = "BIG"\n[values]', "m: word_order: Input should be 'ABCD', 'CDAB'"),
        (METER, "[values]", "max_regs = 126\n[values]", "m: max_regs: "),
        (METER, "[values]", "timeout_s = 0\n[values]", "m: timeout_s: "),
        (METER, "[values]", "in_flight = 17\n[values]", "m: in_flight: "),
        (METER, "[values]", "max_regs = 3\n[values]", "m: values: energy_wh spans 4 registers, the device answers 3"),
        (METER, POWER, "", "a meter needs power_w"),
        (METER, POWER, 'power_w = { at = 10, type = "f32" }', "power_w: a control input needs its plausible range"),
        (METER, "[-1.0e6, 1.0e6]", "[1.0e6, -1.0e6]", "is empty: give [lowest, highest]"),
        (METER, "[-1.0e6, 1.0e6]", "[5.0, 5.0]", "m: values.power_w: Value error, range [5.0, 5.0] is empty"),
        (METER, "[-1.0e6, 1.0e6]", "[5.0]", "m: values.power_w.range"),
        (METER, "[-1.0e6, 1.0e6]", "[-inf, inf]", "m: values.power_w.range"),
        (METER, "[-1.0e6, 1.0e6]", "[nan, nan]", "m: values.power_w.range"),
        (METER, '"f32", range', '"f16", range', "m: values.power_w.type: Input should be 'u16', 's16'"),
        (METER, "at = 10", "at = -1", "m: values.power_w.at: "),
        (METER, "at = 10", "at = 65535", "the register ends beyond address 65535"),
        (METER, "at = 10", "at = 10, formula = '2*x'", "m: values.power_w.formula: Extra inputs are not permitted"),
        (METER, "at = 10", "at = 10, scale = 0.0", "scale 0 makes every reading the offset"),
        (METER, "at = 10", "at = 10, scale = nan", "m: values.power_w.scale: Input should be a finite number"),
        (METER, "at = 10", "at = 10, offset = inf", "m: values.power_w.offset: Input should be a finite number"),
        (METER, "at = 10", "at = 10, nan = [0x1_0000_0000]", "nan holds raw words of f32: 0 to 0xffffffff"),
        (METER, "at = 10", "at = 10, nan = [-1]", "nan holds raw words of f32"),
        (METER, "at = 10", "at = 10, nan = [1, 2, 3, 4, 5]", "m: values.power_w.nan: "),
        (METER, "at = 10", "at = 10, mask = 1", "mask selects bits of a u16 or u32 register"),
        (METER, *line("a_bits", 'at = 0, type = "u16", mask = 0x10000'), "mask selects bits of a u16 or u32 register"),
        (METER, *line("power", 'at = 0, type = "u16"'), "power: end the name with its unit, one of _w, _va"),
        (METER, *line("power_kw", 'at = 0, type = "u16"'), "power_kw: end the name with its unit"),
        (METER, *line("a_w", 'at = 11, type = "u16"'), "m: values: power_w and a_w overlap at register 11"),
        (METER, *line("a_w", 'at = 9, type = "u32"'), "m: values: a_w and power_w overlap at register 10"),
        (METER, *line("a_w", 'at = 10, type = "f32"'), "overlap at register 10"),
        (METER, *line("a_w", 'at = 23, type = "u16"'), "m: values: energy_wh and a_w overlap at register 23"),
        (METER, "[values]", "[values", "m: Expected ']'"),
        (METER, "[values]", "[setpoint]\nreadback = 'x_w'\n[values]", "m: setpoint.limit: Field required"),
        (RACK, RACK[RACK.index("[setpoint]") :], "", "a rack needs [setpoint]"),
        (RACK, 'readback = "limit_w"', 'readback = "limt_w"', "setpoint.readback: limt_w is none of the values"),
        (RACK, LIMIT, LIMIT + '\ndeadman = { at = 4, type = "u16" }', "setpoint: deadman and fallback go together"),
        (RACK, LIMIT, LIMIT + '\nstorage = "disk"', "m: setpoint.storage: Input should be 'ram' or 'nvm'"),
        (RACK, LIMIT, LIMIT + "\nwrites_per_s = 50", "m: setpoint.writes_per_s: "),
    ],
)  # fmt: skip
def test_a_wrong_map_says_where_and_what(text: str, old: str, new: str, message: str) -> None:
    assert old in text
    with pytest.raises(MapError) as caught:
        parse(text.replace(old, new, 1), "m")
    assert message in str(caught.value)
    assert all(part.startswith("m: ") for part in str(caught.value).splitlines())


def test_every_problem_of_a_map_at_once() -> None:
    text = METER.replace("at = 10", "at = -1").replace('"meter"', '"mter"').replace('"u64"', '"u65"')
    with pytest.raises(MapError) as caught:
        parse(text, "m")
    places = [part.split(": ")[1] for part in str(caught.value).splitlines()]
    assert places == ["kind", "values.power_w.at", "values.energy_wh.type"]


@pytest.mark.parametrize(
    ("one", "other", "right"),
    [
        ('at = 0, type = "u16", mask = 0x00FF', 'at = 0, type = "u16", mask = 0xFF00', True),
        ('at = 0, type = "u16", mask = 0x01FF', 'at = 0, type = "u16", mask = 0xFF00', False),
        ('at = 0, type = "u16", mask = 0x00FF', 'at = 0, type = "u16"', False),
        ('at = 0, type = "u32", mask = 0x00FF', 'at = 1, type = "u16", mask = 0xFF00', False),
        ('at = 0, type = "u16"', 'at = 0, type = "u16", function = 4', True),
        ('at = 0, type = "u32"', 'at = 2, type = "u32"', True),
    ],
)
def test_registers_may_be_shared_by_bit_fields_and_by_nothing_else(one: str, other: str, right: bool) -> None:
    text = METER.replace(POWER, f"{POWER}\na_bits = {{ {one} }}\nb_bits = {{ {other} }}")
    if right:
        assert len(parse(text, "m").values) == 4
    else:
        with pytest.raises(MapError, match="overlap"):
            parse(text, "m")


# A site's own maps.


def test_a_sites_own_map_goes_before_the_one_that_ships(tmp_path: Path) -> None:
    (tmp_path / "rack-power.toml").write_text(RACK)
    assert maps.load("rack-power", tmp_path).name == "bench-rack"
    assert maps.load("rack-power").name == "rack-power"
    assert maps.load("xerus-pdu", tmp_path).name == "xerus-pdu"


@pytest.mark.parametrize("name", ["", "none", "x" * 300, "a\0b", "../maps/rack-power", "RACK-POWER", "rack-power.toml"])
def test_a_map_that_does_not_exist(tmp_path: Path, name: str) -> None:
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(KeyError):
            maps.load(name, folder)


def test_an_own_map_that_is_wrong_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(METER.replace('"f32"', '"f33"'))
    with pytest.raises(MapError, match=r"mine\.toml: values\.power_w\.type"):
        maps.load("mine", tmp_path)


def test_an_own_map_in_another_encoding_is_a_problem_of_the_map(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(METER.replace("a meter", "Zähler").encode("latin-1"))
    with pytest.raises(MapError, match=r"mine\.toml: "):
        maps.load("mine", tmp_path)


# The maps that ship.


@pytest.mark.parametrize("name", maps.names())
def test_what_ships_is_sourced_marked_and_clean(name: str) -> None:
    one = maps.load(name)
    assert one.name == name
    assert all(len(source) > 10 for source in one.source)
    assert any(word in one.verified for word in ("hardware", "simulator"))
    assert maps.lint(one) == []
    for needed in NEEDED[one.kind]:
        assert one.values[needed].range is not None
    for value in one.values:
        assert value.rsplit("_", 1)[-1] in UNITS
    plan(one.registers(), max_regs=one.max_regs, max_gap=one.max_gap, barriers=one.barriers)


def test_registers_count_from_the_base_of_a_model() -> None:
    one = maps.load("sunspec-213")
    assert {r.name: r.at for r in one.registers(40070)}["power_w"] == 40098
    assert {r.name: r.at for r in one.registers()}["power_w"] == 28


def test_a_value_may_have_order_and_function_of_its_own() -> None:
    text = METER.replace("at = 10", 'at = 10, order = "CDAB", function = 4').replace(
        "[values]", 'word_order = "DCBA"\n[values]'
    )
    power, energy = parse(text, "m").registers()
    assert (power.order, power.function, energy.order, energy.function) == (WordOrder.CDAB, 4, WordOrder.DCBA, 3)
    assert (power.encoding, energy.encoding, energy.words) == (Encoding.F32, Encoding.U64, 4)


NAN = "7fc00000"
# Words as they stand in the device, by address; and what they are, or why they are not.
GOLDEN: dict[str, list[tuple[Mapping[int, str], Mapping[str, float | Quality]]]] = {
    "janitza-umg": [
        (
            {
                19000: "43668000 43674000 4365c000", 19012: "478aac00 4789b240 478ca020",
                19020: "4b7a3e80 4b7bc520 4b845eb8 4c3fb044", 19034: "4c428cb0", 19042: "c9989680",
                19050: "426fef9e", 19068: "51e5f468",
            },
            {
                "voltage_l1_v": 230.5, "voltage_l2_v": 231.25, "voltage_l3_v": 229.75,
                "current_l1_a": 71000.0, "current_l2_a": 70500.5, "current_l3_a": 72000.25,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "power_w": 50.25e6,
                "apparent_va": 51e6, "reactive_var": -1.25e6, "frequency_hz": 59.98400115966797,
                "energy_wh": 123455995904.0,
            },
        ),
        # words swapped by a wrong setting in the meter: the power passes, the frequency shows it
        ({19026: "b0444c3f", 19050: "ef9e426f"}, {"power_w": -7.139978e-10, "frequency_hz": RANGE}),
        ({19026: NAN, 19050: "00000000"}, {"power_w": SENTINEL, "frequency_hz": RANGE}),
        ({19026: "7f800000", 19050: "42820000"}, {"power_w": RANGE, "frequency_hz": 65.0}),
    ],
    "sunspec-213": [
        (
            {2: "478aac00", 10: "4657a000", 26: "426fef9e", 28: "4c3fb044 4b7a3e80 4b7bc520 4b845eb8", 36: "4c428cb0",
             44: "ca559f80"},
            {
                "current_a": 71000.0, "voltage_v": 13800.0, "frequency_hz": 59.98400115966797, "power_w": 50.25e6,
                "power_l1_w": 16.4e6, "power_l2_w": 16.5e6, "power_l3_w": 17.35e6, "apparent_va": 51e6,
                "reactive_var": -3.5e6,
            },
        ),
        ({28: NAN, 26: NAN}, {"power_w": SENTINEL, "frequency_hz": SENTINEL}),
    ],
    "xerus-pdu": [
        (
            {12296: "43cf8000 44e11000", 12306: "49989680 499eb100", 12322: "4270147b"},
            {"voltage_v": 415.0, "current_a": 1800.5, "power_w": 1.25e6, "apparent_va": 1.3e6,
             "frequency_hz": 60.02000045776367},
        ),
        ({12306: "c9989680"}, {"power_w": RANGE}),
    ],
    "orv3-rpu": [
        (
            {36864: "3039 0140 01b8 0bb8 ff9c", 36873: "004b 0e10 0e2e", 37377: "0040 1050"},
            {
                "flow_lpm": 1234.5, "supply_c": 32.0, "return_c": 44.0, "outlet_kpa": 300.0, "inlet_kpa": -10.0,
                "pump_percent": 75.0, "pump1_rpm": 3600.0, "pump2_rpm": 3630.0, "pump_alarm_bits": 64.0,
                "leak_bits": 5.0,
            },
        ),
        (
            {36864: "ffff ffff ffff 8000"},
            {"flow_lpm": RANGE, "supply_c": RANGE, "return_c": RANGE, "outlet_kpa": RANGE},
        ),
        ({36865: "0385", 36873: "0065"}, {"supply_c": RANGE, "pump_percent": RANGE}),
    ],
    "rack-power": [
        (
            {0: "0001e240 000203a0 001e 0011 000101d0 0002"},
            {"power_w": 123456.0, "limit_w": 132000.0, "deadman_s": 30.0, "deadman_left_s": 17.0, "fallback_w": 66000.0,
             "control_state": 2.0},
        ),
        ({0: "ffffffff ffffffff", 8: "0004"}, {"power_w": SENTINEL, "limit_w": SENTINEL, "control_state": RANGE}),
        ({0: "01312d00 01312d01"}, {"power_w": 2e7, "limit_w": RANGE}),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, vectors in GOLDEN.items() for number in range(len(vectors))]
)
def test_golden_words(name: str, number: int) -> None:
    words, expected = GOLDEN[name][number]
    memory = bytearray(2 * 65536)
    for at, text in words.items():
        data = bytes.fromhex(text)
        memory[2 * at : 2 * at + len(data)] = data
    one = maps.load(name)
    slots = {value: i for i, value in enumerate(one.values)}
    wall = image(len(slots))
    inputs = views.inputs(wall)
    for read in plan(one.registers(), max_regs=one.max_regs, max_gap=one.max_gap, barriers=one.barriers):
        fields = [field_spec(register, read.at, slots[register.name]) for register in read.registers]
        Decoder(fields, read.count).decode(bytes(memory[2 * read.at : 2 * (read.at + read.count)]), wall, 1)
    for value, wanted in expected.items():
        quality = Quality(inputs.quality[slots[value]])
        if isinstance(wanted, Quality):
            assert (value, quality, inputs.value[slots[value]]) == (value, wanted, 0.0)
        else:
            assert (value, quality) == (value, GOOD)
            assert inputs.value[slots[value]] == pytest.approx(wanted, rel=1e-6)
    if number == 0:
        assert set(expected) == set(slots), "the first vector of a map holds all of it"


def test_every_map_has_golden_words() -> None:
    assert set(GOLDEN) == set(maps.names())
    assert struct.unpack(">f", bytes.fromhex("4c3fb044"))[0] == pytest.approx(50.25e6, rel=1e-4)
