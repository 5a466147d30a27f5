"""`rampd probe` against servers that nobody here wrote: pymodbus, pyModbusTCP and libmodbus's own."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus import ModbusDeviceIdentification
from pymodbus.framer import FramerType
from pymodbus.simulator import DataType, SimData, SimDevice
from pyModbusTCP.server import DataBank, ModbusServer

from rampd.drivers.address import Tls
from tests.e2e.test_peers import unit_test_server  # noqa: F401 - a fixture
from tests.e2e.test_sunspec import COMMON, DER, UNKNOWN, device
from tests.e2e.test_transports import (  # noqa: F401 - fixtures among them
    POWER_W,
    Authority,
    authority,
    cable,
    pdu,
    serial_server,
    tls,
    tls_server,
)
from tests.reader import HOST, floats, free_port, pymodbus_server
from tests.unit.test_cli import run


@pytest.fixture
def bank() -> Iterator[tuple[str, DataBank]]:
    port = free_port()
    server = ModbusServer(HOST, port, no_block=True)
    server.start()
    yield f"{HOST}:{port}", server.data_bank
    server.stop()


async def probed(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> Any:
    """The JSON that a probe prints, run in a thread of its own as a program would be."""
    assert await asyncio.to_thread(run, "probe", *arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_every_value_of_a_map_with_its_raw_words(
    bank: tuple[str, DataBank], capsys: pytest.CaptureFixture[str]
) -> None:
    address, data = bank
    data.set_holding_registers(19026, floats(50.25e6))
    data.set_holding_registers(19050, floats(49.98))
    data.set_holding_registers(19020, [0x7FC0, 0])
    data.set_holding_registers(19000, floats(-1.0))
    assert run("probe", address, "--map", "janitza-umg", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["power_w"] == {
        "value": 50.25e6, "quality": "good", "unit": "W", "at": 19026, "raw": "4c3f b044",
    }  # fmt: skip
    assert found["values"]["frequency_hz"]["value"] == pytest.approx(49.98, abs=1e-4)
    for name, quality in (("power_l1_w", "sentinel"), ("voltage_l1_v", "range")):
        assert (found["values"][name]["quality"], found["values"][name]["value"]) == (quality, None)
    assert run("probe", address, "--map", "janitza-umg") == 0
    shown = capsys.readouterr().out
    assert "power_w" in shown
    assert "4c3f b044" in shown


def test_a_map_file_of_ones_own(bank: tuple[str, DataBank], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address, data = bank
    data.set_input_registers(3, [0x1234])
    data.set_holding_registers(20, [int.from_bytes(pair, "big") for pair in (b"PX", b"-3", b"\0\0", b"\0\0")])
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nkind = "meter"\ntitle = "my meter"\nsource = ["me"]\nverified = "by nobody"\n[values]\n'
        'power_w = { at = 3, type = "u16", function = 4, scale = 0.5, range = [0.0, 1.0e5] }\n'
        "[texts]\nmodel = { at = 20, words = 4 }\n",
        encoding="utf-8",
    )
    assert run("probe", address, "--map", path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["values"]["power_w"]["value"], found["texts"]) == (2330.0, {"model": "PX-3"})


def test_raw_registers_in_every_type_and_order(bank: tuple[str, DataBank], capsys: pytest.CaptureFixture[str]) -> None:
    address, data = bank
    words = struct.unpack(">4H", struct.pack(">d", 59.98))
    data.set_holding_registers(100, list(words))
    data.set_holding_registers(200, [0xB044, 0x4C3F])
    assert run("probe", address, "--at", "100", "--count", "4", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["sightings"]
    assert {(row["at"], row["order"]): row["f64"] for row in rows if "f64" in row}["100", "ABCD"] == "59.98"
    assert len(rows) == 4 * 2 + 3 * 4 + 1 * 4
    assert run("probe", address, "--at", "0xc8", "--count", "2") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["200", "CDAB"])
    assert "f32 5.025e+07" in line


async def test_what_a_device_says_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    identity = ModbusDeviceIdentification(
        info_name={"VendorName": "Acme", "ProductCode": "DER", "MajorMinorRevision": "4.2"}
    )
    async with pymodbus_server(device(40000, COMMON, UNKNOWN, DER), identity=identity) as port:
        found = await probed(capsys, 0, f"{HOST}:{port}")
    assert [(model["model"], model["at"]) for model in found["sunspec"]] == [(1, 40002), (64999, 40070), (701, 40075)]
    assert found["texts"] == {"manufacturer": "Acme", "model": "DER-1", "firmware": "4.2", "serial": "0815"}
    assert found["maps"] == ["sunspec-701"]
    assert found["identity"] == {"vendor": "Acme", "product": "DER", "revision": "4.2"}


async def test_a_map_that_does_not_fit_says_what_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    data = [SimData(12306, values=[1.25e6, 1.3e6, 0.9], datatype=DataType.FLOAT32)]
    async with pymodbus_server(SimDevice(3, simdata=data)) as port:
        found = await probed(capsys, 1, f"{HOST}:{port}", "--unit", "3", "--map", "xerus-pdu")
        assert found["values"]["power_w"]["value"] == 1.25e6
        refused = found["values"]["voltage_v"]
        assert refused == {"value": None, "quality": "refused", "unit": "V", "at": 12296, "raw": ""}
        assert found["refused"][0] == "FC03 12296+2: exception 2, illegal data address"
        assert await asyncio.to_thread(run, "probe", f"{HOST}:{port}", "--unit", "3", "--map", "sunspec-704") == 1
        assert "no SunSpec marker at 40000, 0 or 50000" in capsys.readouterr().err
        assert await asyncio.to_thread(run, "probe", f"{HOST}:{port}", "--unit", "3", "--at", "5", "--count", "2") == 1
        assert "exception 2, illegal data address" in capsys.readouterr().err


async def test_a_hole_in_a_request_costs_no_value_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """One request of the map spans 19000 to 19051; this meter has neither 19028 to 19033 nor the value at 19034."""
    data = [
        SimData(19000, values=[230.0] * 14, datatype=DataType.FLOAT32),
        SimData(19042, values=[50.0] * 14, datatype=DataType.FLOAT32),
    ]
    async with pymodbus_server(SimDevice(1, simdata=data)) as port:
        found = await probed(capsys, 1, f"{HOST}:{port}", "--map", "janitza-umg")
    qualities = {name: one["quality"] for name, one in found["values"].items()}
    assert {name for name, quality in qualities.items() if quality != "good"} == {"apparent_va"}
    assert qualities["apparent_va"] == "refused"
    assert found["refused"] == ["FC03 19034+2: exception 2, illegal data address"]


def test_libmodbus_and_its_short_answer(
    unit_test_server: tuple[Path, int],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asked for two registers, that server answers one: pymodbus lets it pass, the probe does not."""
    program, port = unit_test_server
    for count, code in ((1, 0), (3, 0), (2, 1)):
        with subprocess.Popen([program, "tcp"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _listening(port)
                found = run("probe", f"{HOST}:{port}", "--unit", "255", "--at", "0x160", "--count", str(count))
                assert found == code, count
            finally:
                process.kill()
        shown = capsys.readouterr()
        assert ("a wrong answer: 1 registers" in shown.err or "no answer" in shown.err) == (code == 1), shown.err


def _listening(port: int) -> None:
    """Waits for the listener without taking its one connection: by the kernel's table of sockets."""
    place = f":{port:04X} 00000000:0000 0A"
    for _ in range(2000):
        if place in Path("/proc/net/tcp").read_text():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the server does not listen")


# Other transports


async def test_over_tls_with_certificates_on_both_sides(
    authority: Authority,  # noqa: F811
    tls: Tls,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = ["--ca", str(tls.ca_file), "--cert", str(tls.cert_file), "--key", str(tls.key_file)]
    async with tls_server(authority) as port:
        found = await probed(capsys, 0, f"tls://{HOST}:{port}", "--at", "12306", "--count", "2", *files)
        assert found["sightings"][2]["f32"] == f"{POWER_W:.7g}"
        assert await asyncio.to_thread(run, "probe", f"tls://{HOST}:{port}", "--at", "12306") == 69
    assert "is its certificate signed by --ca" in capsys.readouterr().err


async def test_rtu_over_tcp_and_over_a_serial_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--at", "12306", "--count", "2", "--unit", "7"]
    async with pymodbus_server(pdu(7), framer=FramerType.RTU) as port:
        found = await probed(capsys, 0, f"rtu+tcp://{HOST}:{port}", *wanted)
        assert found["sightings"][2]["f32"] == f"{POWER_W:.7g}"
    async with cable(tmp_path) as wire, serial_server(wire.ends[1], pdu(7)):
        found = await probed(capsys, 0, f"serial:{wire.ends[0]}", *wanted, "--baud", "9600", "--parity", "none")
        assert found["sightings"][2]["f32"] == f"{POWER_W:.7g}"
    assert await asyncio.to_thread(run, "probe", f"serial:{tmp_path / 'none'}", *wanted) == 69
    assert "does the line exist" in capsys.readouterr().err


# Nobody there, and words that make no probe


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", f"{HOST}:{free_port()}") == 69
    shown = capsys.readouterr().err
    assert "no connection: is it switched on, is Modbus/TCP enabled" in shown


@pytest.mark.parametrize("arguments", [[], ["--map", "janitza-umg"], ["--at", "0"]])
def test_one_that_connects_and_says_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert run("probe", f"{HOST}:{port}", "--unit", "9", "--timeout", "0.2", *arguments) == 69
    assert f"{HOST}:{port} unit 9: connected, but no answer: is the unit right" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1.2.3.4:0"], "the port lies between 1 and 65535"),
        (["1.2.3.4:99999"], "the port lies between 1 and 65535"),
        (["1.2.3.4:modbus"], "an address is host:port"),
        ([":502"], "an address is host:port"),
        (["h", "--unit", "256"], "lies outside 0 to 255"),
        (["h", "--unit", "x"], "is no whole number"),
        (["h", "--at", "65536"], "lies outside 0 to 65535"),
        (["h", "--at", "65535", "--count", "2"], "ends beyond register 65535"),
        (["h", "--count", "126"], "lies outside 1 to 125"),
        (["h", "--map", "nothing"], "there is no map 'nothing'"),
        (["h", "--map", "rack-power", "--at", "1"], "either --map or --at"),
        (["h", "--timeout", "0"], "lies outside 0.05 to 60"),
        (["h", "--timeout", "soon"], "is no number of seconds"),
        (["h", "--function", "6"], "invalid choice"),
        (["serial:/dev/null", "--baud", "-5"], "lies outside 300 to 1000000"),
    ],
)
def test_words_that_make_no_probe(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("probe", *arguments) == 2
    assert message in capsys.readouterr().err
