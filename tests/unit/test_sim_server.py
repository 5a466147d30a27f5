"""The simulator's Modbus/TCP against raw sockets and clients that are not ours."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pyModbusTCP.client import ModbusClient
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from rampd.drivers import maps
from rampd.drivers.sim.image import Image
from rampd.drivers.sim.server import Endpoint, Unit
from rampd.drivers.sim.spec import SimError

HOST = "127.30.1.1"


class Bench:
    """A rack as unit 1 and a PDU as unit 7 behind one address, and what was written."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(HOST, 0)
        self.written: list[tuple[str, float]] = []
        self.refreshed = 0
        for number, name in ((1, "rack-power"), (7, "xerus-pdu"), (9, "sunspec-213")):
            image = Image(maps.load(name))
            self.endpoint.units[number] = Unit(
                image, self.refresh, lambda name, value: self.written.append((name, value))
            )
        rack, pdu, meter = (self.endpoint.units[n].image for n in (1, 7, 9))
        rack.put(rack.registers["power_w"], 123_456)
        rack.put(rack.registers["limit_w"], 132_000)
        pdu.put(pdu.registers["power_w"], 1.25e6)
        meter.put(meter.registers["power_w"], 50.25e6)
        meter.put(meter.registers["frequency_hz"], 60.0)

    def refresh(self) -> None:
        self.refreshed += 1


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.endpoint.open()
    yield bench
    bench.endpoint.close()
    await asyncio.sleep(0)


def adu(transaction: int, unit: int, pdu: str) -> bytes:
    data = bytes.fromhex(pdu)
    return struct.pack(">HHHB", transaction, 0, len(data) + 1, unit) + data


async def exchange(bench: Bench, *pieces: bytes, answers: int = 1) -> list[bytes]:
    """Sends the pieces one by one; the answers, each whole."""
    reader, writer = await asyncio.open_connection(HOST, bench.endpoint.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.002)
    seen = []
    async with asyncio.timeout(10):
        for _ in range(answers):
            head = await reader.readexactly(6)
            seen.append(head + await reader.readexactly(struct.unpack(">H", head[4:])[0]))
    writer.close()
    await writer.wait_closed()
    return seen


@pytest.mark.parametrize(
    ("unit", "pdu", "answer"),
    [
        # rack: power 0-1, limit 2-3 rw, dead-man 4 rw, left 5, fallback 6-7 rw, state 8
        (1, "03 0000 0004", "03 08 0001e240 000203a0"),
        (1, "03 0000 0009", "03 12 0001e240 000203a0 0000 0000 00000000 0000"),
        (1, "03 0000 000a", "83 02"),
        (1, "03 0009 0001", "83 02"),
        (1, "03 ffff 0002", "83 02"),
        (1, "03 0000 0000", "83 03"),
        (1, "03 0000 007e", "83 03"),
        (1, "03 0000", "83 03"),
        (1, "04 0000 0002", "84 01"),
        (1, "01 0000 0001", "81 01"),
        (1, "10 0002 0002 04 0000ea60", "10 0002 0002"),
        (1, "10 0002 0003 06 0000ea60 001e", "10 0002 0003"),
        (1, "06 0004 001e", "06 0004 001e"),
        (1, "06 0002 001e", "86 02"),
        (1, "10 0002 0001 02 0000", "90 02"),
        (1, "10 0000 0002 04 00000000", "90 02"),
        (1, "10 0004 0002 04 001e 0000", "90 02"),
        (1, "10 0002 0002 03 0000ea", "90 03"),
        (1, "10 0002 0000 00", "90 03"),
        (1, "10 0002 0002 04 0000", "90 03"),
        (1, "10 0002", "90 03"),
        # PDU: 12306-12309 are one block, 12300 lies in a hole, nothing can be written
        (7, "03 3012 0002", "03 04 49989680"),
        (7, "03 300c 0001", "83 02"),
        (7, "06 3012 0001", "86 01"),
        # nobody there
        (5, "03 0000 0001", "83 0b"),
        (1, "2b 0e 01 05", "2b 0e 01 81 00 00 03 00 05 72616d7064 01 0a 7261636b2d706f776572 02 03 312e30"),
        (1, "2b 0e 04 05", "ab 02"),
        (1, "2b 0e 04 01", "2b 0e 04 81 00 00 01 01 0a 7261636b2d706f776572"),
        (1, "2b", "ab 03"),
    ],
)  # fmt: skip
async def test_answers(bench: Bench, unit: int, pdu: str, answer: str) -> None:
    assert await exchange(bench, adu(0x1234, unit, pdu)) == [adu(0x1234, unit, answer)]


@pytest.mark.parametrize(
    ("pdu", "written"),
    [
        ("10 0002 0002 04 0000ea60", [("limit", 60000.0)]),
        ("10 0002 0003 06 0000ea60 001e", [("limit", 60000.0), ("deadman", 30.0)]),
        ("06 0004 001e", [("deadman", 30.0)]),
        ("10 0006 0002 04 000101d0", [("fallback", 66000.0)]),
        ("10 0004 0002 04 001e 0000", []),
    ],
)
async def test_writes_reach_the_device_whole_or_not_at_all(
    bench: Bench, pdu: str, written: list[tuple[str, float]]
) -> None:
    await exchange(bench, adu(1, 1, pdu))
    assert bench.written == written


async def test_requests_in_one_segment_are_answered_in_order(bench: Bench) -> None:
    requests = [adu(n, 1 if n % 2 else 7, "03 0000 0002" if n % 2 else "03 3012 0002") for n in range(50)]
    answers = await exchange(bench, b"".join(requests), answers=50)
    assert [struct.unpack_from(">H", answer)[0] for answer in answers] == list(range(50))
    assert bench.refreshed == 50


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_request_may_come_in_pieces(bench: Bench, cut: int) -> None:
    request = adu(9, 1, "03 0000 0002")
    assert await exchange(bench, request[:cut], request[cut:]) == [adu(9, 1, "03 04 0001e240")]


async def test_clients_do_not_disturb_each_other(bench: Bench) -> None:
    request = adu(3, 1, "03 0000 0002")
    answers = await asyncio.gather(*(exchange(bench, request[: 3 + n % 5], request[3 + n % 5 :]) for n in range(20)))
    assert answers == [[adu(3, 1, "03 04 0001e240")]] * 20


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes.fromhex("0001 0001 0006 01 03 0000 0001"),
        bytes.fromhex("0001 0000 0001 01 00 00"),
        bytes.fromhex("0001 0000 0100 01 03 0000 0001"),
    ],
)
async def test_what_is_no_modbus_ends_the_connection(bench: Bench, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_connection(HOST, bench.endpoint.port)
    writer.write(adu(1, 1, "03 0000 0001") + request_bytes)
    async with asyncio.timeout(10):
        assert await reader.read() == adu(1, 1, "03 02 0001")
    writer.close()
    await writer.wait_closed()


async def test_a_taken_address_is_named_with_a_remedy(bench: Bench) -> None:
    with pytest.raises(SimError, match=rf"cannot listen on {HOST}:{bench.endpoint.port}: .*: end what listens there"):
        await Endpoint(HOST, bench.endpoint.port).open()


async def test_pymodbus_reads_and_writes(bench: Bench) -> None:
    client = AsyncModbusTcpClient(HOST, port=bench.endpoint.port)
    assert await client.connect()
    read = await client.read_holding_registers(0, count=4, device_id=1)
    assert client.convert_from_registers(read.registers, client.DATATYPE.UINT32) == [123_456, 132_000]
    assert not (await client.write_registers(2, [0, 40000], device_id=1)).isError()
    assert bench.written == [("limit", 40000.0)]
    assert (await client.read_holding_registers(12300, count=1, device_id=7)).exception_code == 2
    info: Any = await client.read_device_information(device_id=7)
    assert info.information[1] == b"xerus-pdu"
    client.close()


def modbus_tcp(port: int) -> tuple[Any, ...]:
    client = ModbusClient(host=HOST, port=port, unit_id=7, auto_open=True, timeout=10)
    power = client.read_holding_registers(12306, 2)
    client.unit_id = 1
    done = client.write_multiple_registers(6, [1, 464])
    hole = client.read_holding_registers(9, 1)
    code = client.last_except
    client.close()
    return power, done, hole, code


async def test_pymodbustcp_reads_and_writes(bench: Bench) -> None:
    power, done, hole, code = await asyncio.to_thread(modbus_tcp, bench.endpoint.port)
    assert struct.unpack(">f", struct.pack(">2H", *power)) == (1.25e6,)
    assert (done, hole, code) == (True, None, 2)
    assert bench.written == [("fallback", 66000.0)]


def scan(port: int) -> Any:
    device = SunSpecModbusClientDeviceTCP(slave_id=9, ipaddr=HOST, ipport=port, timeout=10)
    device.scan()
    device.close()
    return device


async def test_pysunspec2_finds_the_meter(bench: Bench) -> None:
    device = await asyncio.to_thread(scan, bench.endpoint.port)
    assert [number for number in device.models if isinstance(number, int)] == [1, 213]
    assert (device.models[1][0].Mn.value, device.models[1][0].Md.value) == ("rampd", "sunspec-213")
    assert device.models[213][0].W.value == pytest.approx(50.25e6)
    assert device.models[213][0].Hz.value == 60.0


@pytest.mark.parametrize(
    ("what", "status", "shown"),
    [
        ("-a 7 -t 4:float -r 12306", 0, "1.25e+06"),
        ("-a 1 -t 4 -r 8", 0, "[8]: \t0"),
        ("-a 7 -t 4 -r 12300", 1, "Illegal data address"),
    ],
)
async def test_mbpoll_reads(bench: Bench, what: str, status: int, shown: str) -> None:
    command = f"mbpoll -m tcp -p {bench.endpoint.port} -0 -B -1 {what} {HOST}".split()
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == status
    assert shown in ended.stdout + ended.stderr
