"""Device maps: what the linter says of wrong ones, and what the ones that ship make of golden words."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.drivers import maps
from rampd.drivers.maphead import MapError
from rampd.drivers.maps import NEEDED, UNITS, parse
from rampd.drivers.register import Encoding, WordOrder

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
limit_w = { at = 2, type = "u32", range = [0.0, 1.0e6] }
[setpoint]
readback = "limit_w"
limit = { at = 2, type = "u32" }
"""
POWER = 'power_w = { at = 10, type = "f32", range = [-1.0e6, 1.0e6] }'
LIMIT = 'limit = { at = 2, type = "u32" }'


LOCKABLE = RACK.replace("[setpoint]", 'local_state = { at = 4, type = "u16", range = [0.0, 3.0] }\n[setpoint]')


def lockout(value: str, locked: str) -> tuple[str, str]:
    """Adds a lockout to the set point."""
    return LIMIT, f'{LIMIT}\nlockout = {{ value = "{value}", locked = {locked} }}'


def line(name: str, rest: str) -> tuple[str, str]:
    """Adds a value to the meter."""
    return POWER, f"{POWER}\n{name} = {{ {rest} }}"


def test_the_maps_to_get_wrong_are_right() -> None:
    assert parse(METER, "m").kind == "meter"
    assert parse(RACK, "r").setpoint is not None
    setpoint = parse(LOCKABLE.replace(*lockout("local_state", "[1, 2]")), "r").setpoint
    assert setpoint is not None
    assert setpoint.lockout is not None
    assert setpoint.lockout.locked == (1.0, 2.0)
    for state, locked in (
        ("mask = 0x0100", "[0, 1]"), ("mask = 0x0500", "[4, 5]"), ("nan = [9]", "[8, 65535]"), ("scale = 0.5", "[1.5]"),
    ):  # fmt: skip
        parse(LOCKABLE.replace("range = [0.0, 3.0]", state).replace(*lockout("local_state", locked)), "r")
    parse(
        LOCKABLE.replace("local_state", "local_bits")
        .replace("range", "mask = 2, range")
        .replace(*lockout("local_bits", "[1]")),
        "r",
    )


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (METER, 'name = "bench-meter"\n', "", "m: name: Field required"),
        (METER, '"bench-meter"', '"Bench Meter"', "m: name: String should match pattern"),
        (METER, '"meter"', '"toaster"', "m: kind: Input should be 'meter', 'pdu', 'cdu', 'chiller'"),
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
        (METER, POWER, POWER + '\ndew_point_c = { at = 30, type = "s16" }', "dew_point_c: a control input needs its"),
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
        (METER, "at = 10", "at = 10, mask = 1", "mask selects bits of an integer register"),
        (METER, *line("a_bits", 'at = 0, type = "u16", mask = 0x10000'), "mask selects bits of an integer register"),
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
        (RACK, *lockout("local_state", "[1]"), "setpoint.lockout: local_state is none of the values"),
        (RACK, *lockout("power_w", "[0]"), "setpoint.lockout: power_w is no state: name one that ends with _state"),
        (LOCKABLE, *lockout("local_state", "[]"), "m: setpoint.lockout.locked: Tuple should have at least 1 item"),
        (LOCKABLE, *lockout("local_state", "[4]"), "local_state lies within [0, 3], so it is never 4"),
        (LOCKABLE, *lockout("local_state", "[nan]"), "m: setpoint.lockout.locked.0: Input should be a finite number"),
        (LOCKABLE, LIMIT, LIMIT + '\nlockout = "local_state"', "m: setpoint.lockout: Input should be"),
        (LOCKABLE.replace("3.0] }", "3.0], slow = true }"), *lockout("local_state", "[1]"),
         "setpoint.lockout: local_state is read at a tenth of the rate"),
        # Such a rack would be written to while somebody works at it.
        *(
            (LOCKABLE.replace("range = [0.0, 3.0]", state), *lockout("local_state", f"[{never}]"),
             f"local_state is never {never:g}, as it is decoded")
            for state, never in (
                ("mask = 0x0100", 256), ("mask = 0x0100", 2), ("mask = 0x0500", 2), ("nan = [9]", 9), ("scale = 2", 3),
                ("scale = 1", -1), ("scale = 1", 65536), ("scale = 1", 0.5),
            )
        ),
        (LOCKABLE.replace("local_state", "local_bits"), *lockout("local_bits", "[1]"), "its mask says which of them"),
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


@pytest.mark.parametrize("name", maps.modbus_names())
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
    assert {register.name for read in one.reads() for register in read.registers} == set(one.values)


def test_registers_count_from_the_base_of_a_model() -> None:
    one = maps.load("sunspec-213")
    assert {r.name: r.at for r in one.registers({1: 40002, 213: 50070})}["power_w"] == 50098
    assert {r.name: r.at for r in one.registers()}["power_w"] == 40098
    assert one.register("power_w", one.values["power_w"]).at == 28


def test_a_value_may_have_order_and_function_of_its_own() -> None:
    text = METER.replace("at = 10", 'at = 10, order = "CDAB", function = 4').replace(
        "[values]", 'word_order = "DCBA"\n[values]'
    )
    power, energy = parse(text, "m").registers()
    assert (power.order, power.function, energy.order, energy.function) == (WordOrder.CDAB, 4, WordOrder.DCBA, 3)
    assert (power.encoding, energy.encoding, energy.words) == (Encoding.F32, Encoding.U64, 4)


# What a map may say of SunSpec devices and of set points.


SUNSPEC = """
name = "bench-der"
kind = "rack"
title = "a rack behind SunSpec models"
source = ["the test"]
verified = "nothing to verify"
max_gap = 60
[values]
power_w = { model = 701, at = 10, type = "s16", factor_at = 116, scale = -1.0, range = [0.0, 1.0e6] }
limit_percent = { model = 704, at = 15, type = "u16", factor_at = 54, range = [0.0, 100.0] }
[texts]
model = { model = 1, at = 18, words = 16 }
[setpoint]
readback = "limit_percent"
limit = { model = 704, at = 15, type = "u16", factor_at = 54, unit = "percent" }
enable = { model = 704, at = 14, type = "u16", value = 1 }
deadman = { model = 704, at = 18, type = "u32" }
deadman_enable = { model = 704, at = 17, type = "u16", value = 1 }
fallback = { model = 704, at = 16, type = "u16", factor_at = 54 }
ramp = { model = 704, at = 49, type = "u16", unit = "percent_per_s" }
effect_s = 3.0
"""


def test_values_of_several_models_count_each_from_its_own() -> None:
    one = parse(SUNSPEC, "m")
    assert one.extents() == {701: 115, 704: 53}
    assert one.nominal() == {1: 40002, 701: 40070, 704: 40225}
    places = {register.name: (register.at, register.factor_at) for register in one.registers({1: 2, 701: 300, 704: 70})}
    assert places == {"power_w": (310, 416), "limit_percent": (85, 124)}
    assert [(text.name, text.at) for text in one.strings({1: 2, 701: 300, 704: 70})] == [("model", 20)]
    assert one.setpoint is not None
    limit = one.register("limit", one.setpoint.limit, {1: 2, 701: 300, 704: 70})
    assert (limit.at, limit.factor_at) == (85, 124)


def test_a_request_ends_where_a_model_begins() -> None:
    text = SUNSPEC.replace("[texts]", 'enable_state = { model = 704, at = 2, type = "u16" }\n[texts]').replace(
        "model = 701, at = 10", "model = 701, at = 152"
    )
    reads = parse(text, "m").reads()
    assert [(read.at, read.count) for read in reads] == [(40186, 37), (40227, 53)]


def test_fixed_point_is_exact() -> None:
    text = METER.replace(POWER, POWER + '\nbus_v = { at = 30, type = "u16", binary = 10, scale = 2.0, offset = 1.0 }')
    register = {r.name: r for r in parse(text, "m").registers()}["bus_v"]
    assert (register.scale, register.offset) == (2.0**-9, 1.0)


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (METER, *line("a_bits", 'at = 0, type = "f32", mask = 1'), "mask selects bits of an integer register"),
        (METER, *line("a_bits", 'at = 0, type = "s16", mask = 0x0A00'), "mask of a signed register has no holes"),
        (METER, *line("a_v", 'at = 0, type = "f32", binary = 3'), "binary is the fixed point of an integer register"),
        (METER, *line("a_v", 'at = 0, type = "u16", binary = 64'), "m: values.a_v.binary"),
        (METER, *line("frequency_hz", 'at = 0, type = "f32"'), "frequency_hz: a control input needs its plausible"),
        (METER, "[values]", "in_flight = 2\ngap_s = 0.05\n[values]", "gap_s: a device that needs a pause"),
        (METER, "[values]", "barriers = [11]\n[values]", "m: values: power_w lies across the barrier 11"),
        (METER, "[values]", "protocol = 'telepathy'\n[values]", "m: protocol: there is no 'telepathy'; known: modbus"),
        (METER, "[values]", "protocol = 3\n[values]", "m: protocol: there is no 3"),
        (METER, "[values]", "max_regs = 4\n[texts]\nname = { at = 0, words = 5 }\n[values]", "texts: name has 5 reg"),
        (METER, "[values]", "[texts]\nname = { at = 65535, words = 2 }\n[values]", "the text ends beyond address"),
        (METER, "[values]", "[texts]\npower_w = { at = 0, words = 2 }\n[values]", "texts.power_w: a value has that"),
        (RACK, "[0.0, 1.0e6] }\n[setpoint]", "[0.0, 1.0e6], nan = [] }\nx_c = 3\n[setpoint]", "m: values.x_c"),
        (RACK, 'type = "u32", range = [0.0, 1.0e6] }\n[setpoint]', 'type = "u32" }\n[setpoint]', "limit_w: a control"),
        (SUNSPEC, 'unit = "percent" }', 'unit = "kw" }', "m: setpoint.limit.unit: Input should be 'w' or 'percent'"),
        (SUNSPEC, ', unit = "percent" }', " }", "limit_percent is not in the unit of the limit, w"),
        (SUNSPEC, ', unit = "percent_per_s"', "", "m: setpoint.ramp.unit: Field required"),
        (SUNSPEC, ", value = 1 }\ndeadman =", " }\ndeadman =", "m: setpoint.enable.value: Field required"),
        (SUNSPEC, "effect_s = 3.0", 'expiry = "lifted"', "expiry 'lifted' is for a deadman that has no fallback"),
        (SUNSPEC, 'deadman = { model = 704, at = 18, type = "u32" }', "", "setpoint: deadman and fallback go together"),
        (SUNSPEC, "at = 14", "at = 15", "m: setpoint: enable and limit overlap at register"),
        (SUNSPEC, "effect_s = 3.0", "effect_s = 0", "m: setpoint.effect_s"),
    ],
)
def test_what_else_can_be_wrong(text: str, old: str, new: str, message: str) -> None:
    test_a_wrong_map_says_where_and_what(text, old, new, message)


def test_a_timer_that_lifts_the_limit_is_said_to() -> None:
    text = SUNSPEC.replace('deadman_enable = { model = 704, at = 17, type = "u16", value = 1 }', "").replace(
        'fallback = { model = 704, at = 16, type = "u16", factor_at = 54 }', 'expiry = "lifted"'
    )
    setpoint = parse(text, "m").setpoint
    assert setpoint is not None
    assert (setpoint.expiry, setpoint.fallback) == ("lifted", None)
    with pytest.raises(MapError, match="a timer that drops the limit has expiry"):
        parse(text.replace('expiry = "lifted"', ""), "m")
