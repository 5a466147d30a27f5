"""TLS, RTU over TCP and RTU over a serial line, against servers of pymodbus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import subprocess
import termios
import tty
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from rampd.drivers.address import Address, Serial, Tls, Transport
from rampd.drivers.serial_port import open_line
from rampd.ext.units import ModbusError
from tests.field import until
from tests.reader import HOST, Reader, free_port, pymodbus_server, reader, tool

POWER_W = 1.25e6
CURVE = "ec -pkeyopt ec_paramgen_curve:P-256"


def pdu(unit: int) -> SimDevice:
    """A PDU by the map xerus-pdu; it takes writes as well."""
    blocks = [(12296, [415.0, 1800.5]), (12306, [POWER_W, 1.3e6]), (12322, [60.5])]
    data = [SimData(at, values=values, datatype=DataType.FLOAT32) for at, values in blocks]
    return SimDevice(unit, simdata=data)  # type: ignore[arg-type]


async def reads_and_writes(ours: Reader, *units: int) -> None:
    for unit in units:
        assert (await ours.values("xerus-pdu", unit))["power_w"] == POWER_W
    await ours.endpoint.write(units[0], 12296, bytes.fromhex("43c80000"), 2.0)
    assert await ours.endpoint.read(units[0], 3, 12296, 2, 2.0) == bytes.fromhex("43c80000")
    with pytest.raises(ModbusError) as caught:
        await ours.endpoint.read(units[0], 3, 100, 2, 2.0)
    assert caught.value.code == 2
    results = {result for (_, result), n in ours.endpoint.link.counters().items() if n}
    assert results == {"ok", "exception"}


# TLS


class Authority:
    """A certificate authority of the test, by openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.ca = folder / f"{name}.pem"
        self._openssl(f"req -x509 -newkey {CURVE} -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem")

    def _openssl(self, words: str) -> None:
        command = [tool("openssl", "openssl"), *words.split()]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def certificate(self, name: str, alternative: str) -> tuple[Path, Path]:
        """A certificate and its key."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        self._openssl(f"req -newkey {CURVE} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        self._openssl(
            f"x509 -req -in {name}.csr -CA {self.name}.pem -CAkey {self.name}.key -CAcreateserial -days 2 "
            f"-extfile {name}.ext -out {name}.crt"
        )
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "plant-ca")


@pytest.fixture(scope="module")
def tls(authority: Authority) -> Tls:
    return Tls(authority.ca, *authority.certificate("rampd", "DNS:rampd"))


@contextlib.asynccontextmanager
async def tls_server(authority: Authority, alternative: str = f"IP:{HOST}", port: int = 0) -> AsyncIterator[int]:
    """A PDU that shows a certificate and demands one."""
    port = port or free_port()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("pdu", alternative))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ModbusTlsServer(pdu(1), framer=FramerType.TLS, address=(HOST, port), sslctx=context)
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


async def test_tls_with_certificates_on_both_sides(authority: Authority, tls: Tls) -> None:
    async with tls_server(authority) as port, reader(Transport(Address("tls", HOST, port), tls)) as ours:
        await reads_and_writes(ours, 1)


@pytest.mark.parametrize("case", ["another authority", "the system's authorities", "another name", "no certificate"])
async def test_tls_that_is_not_right_is_no_connection(
    case: str, authority: Authority, tls: Tls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alternative = "IP:127.40.200.99" if case == "another name" else f"IP:{HOST}"
    files = {
        "another authority": Tls(Authority(tmp_path, "other-ca").ca, tls.cert_file, tls.key_file),
        "the system's authorities": Tls(None, tls.cert_file, tls.key_file),
        "another name": tls,
        "no certificate": Tls(tls.ca_file),
    }[case]
    async with tls_server(authority, alternative) as port:
        with caplog.at_level(logging.WARNING, "rampd.modbus"):
            async with reader(Transport(Address("tls", HOST, port), files), connected=False) as ours:
                await until(lambda: caplog.records)
                # TLS 1.3 tells a client that its certificate was missing only after the handshake.
                assert case == "no certificate" or ours.endpoint.connects == 0
                assert ours.endpoint.link.answered == 0
    if case != "no certificate":
        assert "certificate verify failed" in caplog.text or "IP address mismatch" in caplog.text


async def test_tls_files_are_read_anew_at_each_connect(
    authority: Authority, tls: Tls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changing = tmp_path / "ca.pem"
    changing.write_bytes(Authority(tmp_path, "other-ca").ca.read_bytes())
    files = Tls(changing, tls.cert_file, tls.key_file)
    port = free_port()
    transport = Transport(Address("tls", HOST, port), files)
    async with tls_server(authority, port=port), reader(transport, connected=False) as ours:
        await until(lambda: "certificate verify failed" in caplog.text)
        assert ours.endpoint.connects == 0
        changing.write_bytes(authority.ca.read_bytes())
        async with asyncio.timeout(5):
            await ours.endpoint.up()
        await reads_and_writes(ours, 1)


async def test_a_missing_file_is_said_and_tried_again(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    transport = Transport(Address("tls", HOST, free_port()), Tls(tmp_path / "none.pem"))
    with caplog.at_level(logging.WARNING, "rampd.modbus"):
        async with reader(transport, connected=False):
            await until(lambda: caplog.records)
    assert "No such file" in caplog.text


# RTU


async def test_rtu_over_tcp() -> None:
    port = free_port()
    transport = Transport(Address("rtu+tcp", HOST, port))
    async with pymodbus_server(pdu(1), pdu(7), framer=FramerType.RTU, port=port), reader(transport) as ours:
        await reads_and_writes(ours, 1, 7)


class Cable:
    """Two pseudo terminals and what carries bytes between them; each end is a path that looks like a serial port."""

    def __init__(self, folder: Path) -> None:
        self.ends = (folder / "ttyA", folder / "ttyB")
        self._fds: list[int] = []
        self.plug()

    def plug(self) -> None:
        loop = asyncio.get_running_loop()
        pairs = [os.openpty() for _ in self.ends]
        self._fds = [fd for pair in pairs for fd in pair]
        for (_, slave), end in zip(pairs, self.ends, strict=True):
            tty.setraw(slave)
            end.unlink(missing_ok=True)
            end.symlink_to(os.ttyname(slave))
        for (here, _), (there, _) in (pairs, pairs[::-1]):
            loop.add_reader(here, lambda here=here, there=there: os.write(there, os.read(here, 4096)))

    def unplug(self) -> None:
        for fd in self._fds:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
        self._fds = []


@contextlib.asynccontextmanager
async def cable(folder: Path) -> AsyncIterator[Cable]:
    made = Cable(folder)
    try:
        yield made
    finally:
        made.unplug()


@contextlib.asynccontextmanager
async def serial_server(path: Path, *devices: SimDevice) -> AsyncIterator[None]:
    server = ModbusSerialServer(list(devices), framer=FramerType.RTU, port=str(path), baudrate=9600)
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def line(path: Path) -> Transport:
    return Transport(Address("serial", path=str(path)), serial=Serial(baud=9600, parity="none", stop_bits=2))


async def test_a_serial_line_with_two_units(tmp_path: Path) -> None:
    server = partial(serial_server, tmp_path / "ttyB", pdu(1), pdu(7))
    async with cable(tmp_path), server(), reader(line(tmp_path / "ttyA")) as ours:
        await reads_and_writes(ours, 1, 7)
        with (tmp_path / "ttyA").open("rb") as port:
            flags = termios.tcgetattr(port)
        assert flags[4:6] == [termios.B9600, termios.B9600]
        assert flags[2] & termios.CSTOPB
        assert not flags[2] & termios.PARENB


async def test_a_serial_line_is_ours_alone(tmp_path: Path) -> None:
    async with cable(tmp_path) as wire, reader(line(wire.ends[0])):
        with pytest.raises(OSError, match="lock"):
            await open_line(str(wire.ends[0]), Serial(), asyncio.Protocol())


async def test_a_serial_adapter_that_is_pulled_and_plugged_in_again(tmp_path: Path) -> None:
    async with cable(tmp_path) as wire, reader(line(wire.ends[0])) as ours:
        async with serial_server(wire.ends[1], pdu(1)):
            assert (await ours.values("xerus-pdu"))["power_w"] == POWER_W
        wire.unplug()
        await until(lambda: not ours.endpoint.link.connected)
        wire.plug()
        async with serial_server(wire.ends[1], pdu(1)):
            answered = ours.endpoint.link.answered
            await until(lambda: ours.endpoint.link.answered > answered + 5)
            assert ours.endpoint.connects >= 2
