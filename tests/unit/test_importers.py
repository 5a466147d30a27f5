"""Register lists of other programs: what becomes of each line, and what is left to a person."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from rampd.drivers import maps
from rampd.drivers.importers import lists
from rampd.drivers.maphead import MapError
from tests.unit.test_cli import run

TELEGRAF = """
[agent]
interval = "1s"
[[inputs.modbus]]
  name = "Main meter"
  controller = "tcp://10.0.0.1:502"
  holding_registers = [
    { name = "power",      byte_order = "CDAB", data_type = "FLOAT32-IEEE", scale = 1.0, address = [10, 11] },
    { name = "voltage_l1", byte_order = "AB",   data_type = "UFIXED",  scale = 0.1,   address = [0] },
    { name = "current_l1", byte_order = "ABCD", data_type = "FIXED",   scale = 0.001, address = [1, 2] },
    { name = "old energy", byte_order = "ABCD", data_type = "FLOAT32", scale = 0.5,   address = [20, 21] },
    { name = "total",      byte_order = "GHEFCDAB", data_type = "UINT64", scale = 1.0, address = [30, 31, 32, 33] },
    { name = "gap",        byte_order = "ABCD", data_type = "INT32",   scale = 1.0,   address = [40, 42] },
    { name = "model",      byte_order = "AB",   data_type = "STRING",  scale = 1.0,   address = [50, 51, 52, 53] },
  ]
  input_registers = [ { name = "frequency", byte_order = "AB", data_type = "UINT16", scale = 0.01, address = [7] } ]
  coils = [ { name = "run", address = [0] } ]
"""
REQUESTS = """
[[inputs.modbus]]
  name = "requests"
  [[inputs.modbus.request]]
    slave_id = 1
    byte_order = "DCBA"
    register = "input"
    fields = [
      { address = 0, name = "power_total", type = "FLOAT32" },
      { address = 4, name = "alarm", type = "BIT", bit = 3 },
      { address = 5, name = "low", type = "UINT8L" },
      { address = 6, name = "half", type = "FLOAT16" },
      { address = 9, name = "hidden", type = "INT16", omit = true },
      { address = 20, name = "serial", type = "STRING", length = 8 },
    ]
  [[inputs.modbus.request]]
    register = "coil"
    fields = [ { address = 0, name = "motor" } ]
"""
EXPORTER = """
modules:
  - name: meter
    protocol: tcp/ip
    metrics:
      - { name: power_watts, address: 400052, dataType: float32, endianness: big, metricType: gauge }
      - { name: voltage, labels: {phase: l1}, address: 300000, dataType: uint16, factor: 0.1, metricType: gauge }
      - { name: voltage, labels: {phase: l2}, address: 300001, dataType: uint16, factor: 0.1, metricType: gauge }
      - { name: energy_kwh, address: 300010, dataType: int32, endianness: yolo, metricType: counter }
      - { name: mixed, address: 300012, dataType: uint32, endianness: mixed, metricType: counter }
      - { name: tripped, address: 300014, dataType: bool, bitOffset: 5, metricType: gauge }
      - { name: coil, address: 100001, dataType: bool, metricType: gauge }
      - { name: half, address: 300015, dataType: float16, metricType: gauge }
  - name: other
    metrics: []
"""
RACKMON = {
    "name": "ORV3_HPR_PSU",
    "address_range": [[144, 149]],
    "registers": [
        {"begin": 8, "length": 8, "format": "STRING", "name": "PSU_MFR_Model"},
        {"begin": 60, "length": 1, "format": "FLAGS", "flags": [[8, "PFC"], [11, "Fan"]], "name": "Alarm_Register"},
        {"begin": 69, "length": 1, "format": "FLOAT", "precision": 7, "sign": True, "name": "PSU_Temp0_Inlet_Temp"},
        {"begin": 87, "length": 1, "format": "FLOAT", "precision": 3, "name": "PSU_Input_Power"},
        {"begin": 90, "length": 1, "format": "FLOAT", "scale": 0.1, "shift": -273.15, "name": "Cap_Temperature"},
        {"begin": 91, "length": 1, "format": "FLOAT", "precision": 1, "name": "Pump_Speed_RPM"},
        {"begin": 92, "length": 2, "format": "INTEGER", "endian": "L", "name": "Unix_Time"},
        {"begin": 94, "length": 3, "format": "INTEGER", "name": "Odd"},
        {"begin": 100, "length": 4, "format": "LONG", "name": "Long_Count"},
        {"begin": 37899, "length": 1, "format": "INTEGER", "name": "Clear_Leak_History"},
        {"begin": 37899, "length": 1, "format": "INTEGER", "name": "Clear_Error_Log"},
    ],
}  # fmt: skip
CSV = """name;address;type;unit;scale;byte order;fc;min;max
Total Active Power;100;float;kW;1;cdab;3;-1000;1000
Frequency;0x66;uint16;Hz;0.01;;4;45;65
Coolant temperature;103;int16;F;1;;3;;
Mystery;104;uint16;furlong;1;;3;;
Strange;105;bcd16;;1;;3;;
"""

MW = "scale = 1000.0"


@pytest.mark.parametrize(
    ("text", "pick", "lines", "notes"),
    [
        (
            TELEGRAF, "",
            [
                'power_w = { at = 10, type = "f32", order = "CDAB" }',
                'voltage_l1_v = { at = 0, type = "u16", scale = 0.1 }',
                'current_l1_a = { at = 1, type = "s32", scale = 0.001 }',
                # not a float, whatever the name of the type says
                'old_energy_wh = { at = 20, type = "u32", scale = 0.5 }',
                'total_count = { at = 30, type = "u64", order = "CDAB" }',
                'frequency_hz = { at = 7, type = "u16", scale = 0.01, function = 4 }',
                "model = { at = 50, words = 4 }",
            ],
            ["coils and discrete inputs are left out", "gap: left out", "old energy: FLOAT32 is an integer"],
        ),
        (
            REQUESTS, "",
            [
                # here FLOAT32 is a float
                'power_w = { at = 0, type = "f32", order = "DCBA", function = 4 }',
                'alarm_bits = { at = 4, type = "u16", mask = 0x8, order = "DCBA", function = 4 }',
                'low_bits = { at = 5, type = "u16", mask = 0xff, order = "DCBA", function = 4 }',
                "serial = { at = 20, words = 8 }",
            ],
            ["half: left out, type 'FLOAT16'", "motor: left out, a coil", "power_w: taken from 'power_total'"],
        ),
        (
            EXPORTER, "meter",
            [
                'power_w = { at = 52, type = "f32", function = 4 }',
                'voltage_l1_v = { at = 0, type = "u16", scale = 0.1 }',
                'voltage_l2_v = { at = 1, type = "u16", scale = 0.1 }',
                f'energy_wh = {{ at = 10, type = "s32", {MW}, order = "CDAB" }}',
                'mixed_count = { at = 12, type = "u32", order = "BADC" }',
                'tripped_bits = { at = 14, type = "u16", mask = 0x20 }',
            ],
            ["coil: left out, address 100001", "half: left out, float16"],
        ),
        (
            json.dumps(RACKMON), "",
            [
                'alarm_register_bits = { at = 60, type = "u16" }',
                # FLOAT is fixed point
                'psu_temp0_inlet_temp_c = { at = 69, type = "s16", binary = 7 }',
                'power_w = { at = 87, type = "u16", binary = 3 }',
                'cap_temperature_c = { at = 90, type = "u16", scale = 0.1, offset = -273.15 }',
                'pump_speed_rpm = { at = 91, type = "u16", binary = 1 }',
                'unix_time_count = { at = 92, type = "u32", order = "DCBA" }',
                # all of it: not cut to 32 bits, as upstream's own decoder does
                'long_count = { at = 100, type = "s64" }',
                'clear_leak_history_count = { at = 37899, type = "u16" }',
                "psu_mfr_model = { at = 8, words = 8 }",
            ],
            [
                "Alarm_Register: bits 8 PFC, 11 Fan", "precision 1 halves the value", "endian L taken as",
                "Odd: left out, INTEGER of 3 registers", "Clear_Error_Log: left out, Clear_Leak_History is at register",
            ],
        ),
        (
            CSV, "",
            [
                f'power_w = {{ at = 100, type = "f32", {MW}, order = "CDAB", range = [-1000000.0, 1000000.0] }}',
                'frequency_hz = { at = 102, type = "u16", scale = 0.01, function = 4, range = [45.0, 65.0] }',
                f'coolant_temperature_c = {{ at = 103, type = "s16", scale = {5 / 9!r}, offset = {-160 / 9!r} }}',
                'mystery_count = { at = 104, type = "u16" }',
            ],
            ["Mystery: unit 'furlong' is not known", "Strange: left out, bcd16"],
        ),
    ],
    ids=["telegraf registers", "telegraf requests", "modbus_exporter", "rackmon", "csv"],
)  # fmt: skip
def test_every_line_of_a_list(text: str, pick: str, lines: list[str], notes: list[str]) -> None:
    found = lists.read(text, "list", pick=pick)
    body = found.text.partition("[values]\n")[2]
    assert [line for line in body.splitlines() if line and line != "[texts]"] == lines
    for note in notes:
        assert any(note in line for line in found.notes), note
        assert note in found.text, "what was left out stands in the draft"


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        (TELEGRAF, ["frequency_hz: a control input needs its plausible range", "power_w: a control input needs its"]),
        (CSV, []),
        ("name,address\nsomething,1\n", ["a meter needs power_w"]),
        ("name,address,type\npower,65535,u32\n", ["the register ends beyond address 65535"]),
        ("name,address,type,unit,min,max\npower,1,u32,W,5,1\nother,2,u16,V,,\n", ["range [5.0, 1.0] is empty"]),
        ("name,address,type,unit,min,max\npower,1,u32,W,0,1\nother,2,u16,V,,\n", ["other_v and power_w overlap at"]),
    ],
)
def test_what_a_person_must_fill_in(text: str, open_: list[str]) -> None:
    found = lists.read(text, "list")
    assert (found.map is not None) == (not open_)
    shown = "\n".join(found.open).replace("power_w and other_v", "other_v and power_w")
    for line in open_:
        assert line in shown


def test_a_list_with_ranges_is_a_map_as_it_is() -> None:
    found = lists.read(CSV, "meter.csv", name="Hall 3 Meter", kind="meter")
    assert found.map is not None
    assert (found.map.name, found.map.kind) == ("hall-3-meter", "meter")
    assert maps.parse(found.text, "again") == found.map


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("", "", "the format was not recognised: force one with --format"),
        ("what is this", "", "the format was not recognised"),
        ("{}", "", "the format was not recognised"),
        # more digits than Python turns into a number
        (f"[inputs]\nmodbus = {'9' * 5000}\n", "", "the format was not recognised"),
        (f"[inputs]\nmodbus = {'9' * 5000}\n", "telegraf", "no TOML"),
        (f'{{"registers": [{"9" * 5000}]}}', "rackmon", "no JSON"),
        ('{"registers": [{"begin": "x"}]}', "", "registers.0.begin: Input should be a valid integer"),
        ('{"group": {}, "registers": []}', "", "id: Field required"),
        ('{"group": {"points": []}, "id": 1}', "", "no register that a map can hold"),
        ("not json", "rackmon", "no JSON"),
        ("a = [", "telegraf", "no TOML"),
        ("[[inputs.modbus]]\nname = 'a'\n[[inputs.modbus]]\nname = 'b'\n", "", "name one with --pick: 'a', 'b'"),
        ("[[inputs.modbus]]\nholding_registers = [{ address = 'x' }]\n", "", "holding_registers.0.address"),
        (EXPORTER, "", "which module? name one with --pick: meter, other"),
        ("modules: [", "", "no YAML"),
        ("modules: 5", "", "modules: Input should be a valid list"),
        ("a,b\n1,2\n", "", "the first line must name the columns, name and address at least; it has ['a', 'b']"),
        ("name,address\npower,one\n", "", "list line 2: invalid literal for int"),
        ("begin,length,format,flags_bit,name\n1,3,RAW,,x\n,,,²,y\n", "csv", "no register that a map can hold"),
        ("x" * 1_000_001, "", "are no register list"),
    ],
)
def test_what_is_no_list_is_refused_with_its_place(text: str, form: str, message: str) -> None:
    with pytest.raises(MapError, match=r"^list") as caught:
        lists.read(text, "list", form=form)
    assert message in str(caught.value)


def test_reference_numbers_are_pointed_out() -> None:
    found = lists.read("name,address,type,unit\npower,40001,u16,W\nvoltage,40002,u16,V\n", "list")
    assert "all addresses look like 3xxxx or 4xxxx reference numbers: subtract 30001 or 40001" in found.notes


MODELS = sorted((files("sunspec2") / "models" / "json").iterdir(), key=lambda path: path.name)


def test_every_model_of_an_independent_client_is_a_draft() -> None:
    """All definitions that pysunspec2 brings along; only those with nothing but texts and settings are none."""
    drafts, empty = 0, []
    for path in MODELS:
        if not re.fullmatch(r"model_\d+\.json", path.name):
            continue
        try:
            found = lists.read(path.read_text(encoding="utf-8"), path.name)
        except MapError as error:
            assert "no register that a map can hold" in str(error), path.name
            empty.append(path.name)
            continue
        drafts += 1
        assert all(re.search("range|needs", line) for line in found.open), (path.name, found.open)
    assert drafts > 80
    assert len(empty) < 10


def test_the_imported_model_reads_as_the_shipped_map() -> None:
    path = files("sunspec2") / "models" / "json" / "model_203.json"
    text = lists.read(path.read_text(encoding="utf-8"), "model_203.json", name="mine").text
    for name, range_ in (("power_w", "[-2.0e9, 2.0e9]"), ("frequency_hz", "[45.0, 65.0]")):
        text = re.sub(rf"^({name} = .*) }}$", rf"\1, range = {range_} }}", text, flags=re.MULTILINE)
    mine, shipped = maps.parse(text, "mine"), maps.modbus("sunspec-203")
    assert isinstance(mine, maps.DeviceMap)
    for name in ("power_w", "frequency_hz", "current_a", "voltage_v", "apparent_va", "reactive_var"):
        ours, theirs = (one.register(name, one.values[name]) for one in (mine, shipped))
        assert (ours.at, ours.encoding, ours.factor_at, ours.sentinels) == (
            theirs.at, theirs.encoding, theirs.factor_at, theirs.sentinels,
        )  # fmt: skip


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "meter.csv", tmp_path / "meter.toml"
    path.write_text(CSV, encoding="utf-8")
    assert run("maps", "import", path, "-o", out) == 0
    assert run("maps", "lint", out) == 0
    assert run("maps", "show", out) == 0
    assert "power_w" in capsys.readouterr().out
    path.write_text(TELEGRAF, encoding="utf-8")
    assert run("maps", "import", path, "--format", "telegraf") == 1
    shown = capsys.readouterr()
    assert shown.out.count("power_w = {") == 1
    assert "to fill in: map: power_w: a control input needs its plausible range" in shown.err
    assert run("maps", "import", path, "--format", "rackmon") == 78
    assert run("maps", "import", tmp_path / "none.csv") == 69
    assert run("maps", "import", path, "-o", tmp_path / "no" / "where.toml") == 69
