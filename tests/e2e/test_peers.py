"""rampd against Modbus software that nobody here wrote, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.simulator import DataType, SimData, SimDevice
from pyModbusTCP.server import DataBank, ModbusServer
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from rampd.daemon import halls, simulate, sitecheck
from rampd.drivers import maps
from rampd.drivers.sim.hall import SimHall
from rampd.ext.codes import REFUSED, SENTINEL
from rampd.ext.units import ModbusError
from tests.field import tcp, until
from tests.reader import HOST, Reader, floats, free_port, pymodbus_server, reader, tool

MODBUS_SERIAL = Path(sys.prefix) / "node" / "node_modules" / "modbus-serial"
LIBMODBUS = Path("/usr/share/doc/libmodbus-dev/examples")

# pyModbusTCP and pymodbus as servers


@pytest.fixture
def bank() -> Iterator[tuple[int, DataBank]]:
    port = free_port()
    server = ModbusServer(HOST, port, no_block=True)
    server.start()
    yield port, server.data_bank
    server.stop()


async def test_a_meter_of_pymodbustcp(bank: tuple[int, DataBank]) -> None:
    port, memory = bank
    memory.set_holding_registers(19000, floats(230.5, 231.5, 229.5))
    memory.set_holding_registers(19020, floats(16e6, 17e6, 17.25e6, 50.25e6))
    memory.set_holding_registers(19050, floats(float("nan")))
    async with reader(tcp(HOST, port)) as ours:
        values = await ours.values("janitza-umg")
        assert values["power_w"] == pytest.approx(50.25e6, rel=1e-7)
        assert [values[f"voltage_l{n}_v"] for n in (1, 2, 3)] == [230.5, 231.5, 229.5]
        assert values["frequency_hz"] == SENTINEL
        memory.set_holding_registers(19050, floats(60.5))
        slot = list(maps.load("janitza-umg").values).index("frequency_hz")
        await until(lambda: ours.inputs.value[slot] == 60.5)


async def test_a_rack_of_pymodbustcp_takes_a_limit(bank: tuple[int, DataBank]) -> None:
    port, memory = bank
    memory.set_holding_registers(0, [1, 0xE240, 0, 0, 0, 0, 0, 0, 1])
    async with reader(tcp(HOST, port)) as ours:
        assert (await ours.values("rack-power"))["power_w"] == 123456.0
        await ours.endpoint.write(1, 2, (60_000).to_bytes(4, "big"), 1.0)
        assert memory.get_holding_registers(2, 2) == [0, 60_000]
        slot = list(maps.load("rack-power").values).index("limit_w")
        await until(lambda: ours.inputs.value[slot] == 60_000.0)


def pdu(unit: int) -> SimDevice:
    """A PDU that refuses what lies between its blocks."""
    blocks = [(12296, [415.0, 1800.5]), (12306, [1.25e6, 1.3e6, 0.9375]), (12322, [60.5, -350e3])]
    data = [SimData(at, values=values, datatype=DataType.FLOAT32) for at, values in blocks]
    return SimDevice(unit, simdata=data)  # type: ignore[arg-type]


async def test_pdus_of_pymodbus_behind_one_address() -> None:
    async with pymodbus_server(pdu(1), pdu(7)) as port, reader(tcp(HOST, port)) as ours:
        for unit in (1, 7):
            assert await ours.values("xerus-pdu", unit) == {
                "power_w": 1.25e6, "apparent_va": 1.3e6, "voltage_v": 415.0, "current_a": 1800.5, "frequency_hz": 60.5,
                "power_factor_ratio": 0.9375, "reactive_var": -350e3,
            }  # fmt: skip
        assert {result for (_, result), n in ours.endpoint.link.counters().items() if n} == {"ok"}


async def test_what_a_pymodbus_device_does_not_have_is_refused_and_no_number() -> None:
    async with pymodbus_server(pdu(1)) as port, reader(tcp(HOST, port)) as ours:
        values = await ours.values("rack-power")
        assert set(values.values()) == {REFUSED}
        with pytest.raises(ModbusError) as caught:
            await ours.endpoint.read(1, 3, 12300, 2, 1.0)
        assert caught.value.code == 2


# libmodbus


@pytest.fixture(scope="module")
def unit_test_server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """libmodbus's own test server on an address of ours, and its port."""
    folder = tmp_path_factory.mktemp("libmodbus")
    compiler, config = tool("gcc", "gcc"), tool("pkg-config", "pkg-config")
    assert (LIBMODBUS / "unit-test-server.c").is_file(), (
        "libmodbus's test server is not installed: apt-get install libmodbus-dev (make setup does)"
    )
    port = free_port()
    source = (LIBMODBUS / "unit-test-server.c").read_text()
    place = 'modbus_new_tcp("127.0.0.1", 1502)'
    assert place in source
    (folder / "server.c").write_text(source.replace(place, f'modbus_new_tcp("{HOST}", {port})'))
    shutil.copy(LIBMODBUS / "unit-test.h", folder)
    (folder / "config.h").touch()
    flags = subprocess.run([config, "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=True)
    command = [compiler, "-I.", "-o", "server", "server.c", *flags.stdout.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "server", port


@pytest.fixture
async def libmodbus(unit_test_server: tuple[Path, int]) -> AsyncIterator[Reader]:
    """A reader of the server, which takes one client and ends with it."""
    program, port = unit_test_server
    process = await asyncio.create_subprocess_exec(
        program, "tcp", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with reader(tcp(HOST, port)) as ours:
            yield ours
        async with asyncio.timeout(10):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


UNIT = 0xFF
AT = 0x160


async def test_libmodbus_takes_writes_and_gives_them_back(libmodbus: Reader) -> None:
    data = bytes.fromhex("47f12000 1234")
    await libmodbus.endpoint.write(UNIT, AT, data, 1.0)
    assert await libmodbus.endpoint.read(UNIT, 3, AT, 3, 1.0) == data
    assert await libmodbus.endpoint.read(UNIT, 4, 0x108, 1, 1.0) == b"\0\x0a"
    with pytest.raises(ModbusError, match="exception 2"):
        await libmodbus.endpoint.read(UNIT, 3, 0, 3, 1.0)
    assert {result for (_, result), n in libmodbus.endpoint.link.counters().items() if n} == {"ok", "exception"}


async def test_libmodbus_says_busy(libmodbus: Reader) -> None:
    with pytest.raises(ModbusError, match="exception 6"):
        await libmodbus.endpoint.read(UNIT, 3, 0x170, 1, 1.0)


async def test_libmodbus_answers_with_another_id(libmodbus: Reader) -> None:
    with pytest.raises(ModbusError, match="no answer in time"):
        await libmodbus.endpoint.read(UNIT, 3, 0x171, 1, 0.2)
    assert libmodbus.endpoint.link.counters()["read", "late"] == 1
    assert await libmodbus.endpoint.read(UNIT, 3, AT, 1, 1.0) == b"\0\0"


async def test_libmodbus_answers_late_and_the_next_answer_is_the_right_one(libmodbus: Reader) -> None:
    await libmodbus.endpoint.write(UNIT, AT, b"\x12\x34", 1.0)
    with pytest.raises(ModbusError, match="no answer in time"):
        await libmodbus.endpoint.read(UNIT, 3, 0x172, 1, 0.2)
    assert await libmodbus.endpoint.read(UNIT, 3, AT, 1, 2.0) == b"\x12\x34"
    assert libmodbus.endpoint.link.counters()["read", "late"] == 1


async def test_libmodbus_answers_byte_by_byte(libmodbus: Reader) -> None:
    assert await libmodbus.endpoint.read(UNIT, 3, 0x173, 1, 1.0) == b"\0\0"


async def test_libmodbus_answers_too_little(libmodbus: Reader) -> None:
    with pytest.raises(ModbusError, match="no answer in time"):
        await libmodbus.endpoint.read(UNIT, 3, AT, 2, 0.2)
    assert libmodbus.endpoint.link.counters()["read", "foreign"] == 1
    assert len(await libmodbus.endpoint.read(UNIT, 3, AT, 3, 1.0)) == 6


# npm's modbus-serial


@pytest.fixture
async def modbus_serial() -> AsyncIterator[Reader]:
    """A reader of a server by modbus-serial."""
    node = tool("node", "nodejs")
    assert MODBUS_SERIAL.is_dir(), f"{MODBUS_SERIAL} is missing: make test-setup installs it"
    port = free_port()
    script = Path(__file__).with_name("modbus_serial.js")
    process = await asyncio.create_subprocess_exec(
        node, script, MODBUS_SERIAL, HOST, str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        async with reader(tcp(HOST, port)) as ours:
            yield ours
    finally:
        process.kill()
        await process.wait()


async def test_modbus_serial_is_read_by_a_map_and_takes_a_limit(modbus_serial: Reader) -> None:
    assert (await modbus_serial.values("rack-power"))["power_w"] == 123456.0
    await modbus_serial.endpoint.write(1, 2, (60_000).to_bytes(4, "big"), 1.0)
    slot = list(maps.load("rack-power").values).index("limit_w")
    await until(lambda: modbus_serial.inputs.value[slot] == 60_000.0)
    assert await modbus_serial.endpoint.read(7, 3, 0, 2, 1.0) == bytes.fromhex("00000309")


async def test_modbus_serial_refuses_what_it_does_not_have(modbus_serial: Reader) -> None:
    with pytest.raises(ModbusError) as caught:
        await modbus_serial.endpoint.read(1, 3, 20, 2, 1.0)
    assert caught.value.code == 2
    assert await modbus_serial.endpoint.read(1, 3, 0, 1, 1.0) == b"\0\x01"


async def test_modbus_serial_answers_many_at_once(modbus_serial: Reader) -> None:
    """Over one connection, one after the other, each with its own."""
    reads = (modbus_serial.endpoint.read(7 if n % 2 else 1, 3, n % 2, 1, 1.0) for n in range(8))
    assert await asyncio.gather(*reads) == [b"\0\x01", b"\x03\x09"] * 4


# Our simulated hall under the eyes of others


@contextlib.asynccontextmanager
async def hall(folder: Path, net: int, meter: str) -> AsyncIterator[SimHall]:
    path = halls.write(halls.Hall("peers", 4, net=net), folder)
    path.write_text(path.read_text().replace("janitza-umg", meter))
    sim = SimHall(simulate.spec(sitecheck.load(path)))
    stop = asyncio.Event()
    await sim.start()
    running = asyncio.create_task(sim.run(stop))
    try:
        await until(lambda: sim.ticks > 20)
        yield sim
    finally:
        stop.set()
        await running
        await sim.stop()


async def test_mbpoll_reads_the_meter_of_the_simulated_hall(tmp_path: Path) -> None:
    program = tool("mbpoll", "mbpoll")
    async with hall(tmp_path, 240, "janitza-umg") as sim:
        spec = sim.devices["poi"].spec
        command = f"{program} -m tcp -p {spec.port} -a 1 -t 4:float -r 19026 -0 -B -1 {spec.host}".split()
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=True)
        shown = next(line for line in ended.stdout.splitlines() if line.startswith("[19026]:"))
        full_w = sum(rack.max_w for rack in sim.spec.plant.racks)
        assert 0.3 * full_w < float(shown.split()[-1]) < 1.2 * full_w


def scan(host: str, port: int) -> Any:
    device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=host, ipport=port, timeout=10)
    device.scan()
    device.close()
    return device


async def test_pysunspec2_scans_the_meter_of_the_simulated_hall_and_we_agree(tmp_path: Path) -> None:
    async with hall(tmp_path, 244, "sunspec-213") as sim:
        spec = sim.devices["poi"].spec
        sim.devices["poi"].refresh()
        sim.devices["poi"].frozen = True
        theirs = await asyncio.to_thread(scan, spec.host, spec.port)
        assert [number for number in theirs.models if isinstance(number, int)] == [1, 213]
        async with reader(tcp(spec.host, spec.port)) as ours:
            values = await ours.values("sunspec-213")
        model = theirs.models[213][0]
        for point, name in (("W", "power_w"), ("WphA", "power_l1_w"), ("Hz", "frequency_hz"), ("VA", "apparent_va")):
            assert getattr(model, point).value == pytest.approx(values[name])
