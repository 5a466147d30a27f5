"""Addresses: every form, and what is none says what one looks like."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rampd.drivers.address import Address, AddressError, Serial, Tls, Transport, member, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.3.17:502", Address("tcp", "10.0.3.17", 502)),
        ("meter-1.hall_2.example:1502", Address("tcp", "meter-1.hall_2.example", 1502)),
        ("[fd00::17]:502", Address("tcp", "fd00::17", 502)),
        ("tls://meter.hall:802", Address("tls", "meter.hall", 802)),
        ("tls://[fd00::17]:802", Address("tls", "fd00::17", 802)),
        ("rtu+tcp://10.0.3.20:4001", Address("rtu+tcp", "10.0.3.20", 4001)),
        ("serial:/dev/ttyUSB0", Address("serial", path="/dev/ttyUSB0")),
        ("serial:/dev/serial/by-id/usb-FTDI_X (1)", Address("serial", path="/dev/serial/by-id/usb-FTDI_X (1)")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text
    assert address.numbered == (address.kind in ("tcp", "tls"))


@pytest.mark.parametrize(
    "text",
    [
        "", "10.0.3.17", ":502", "10.0.3.17:", "10.0.3.17:modbus", "10.0.3.17:502 ", "10.0.3.17:502\n", "a b:502",
        "http://10.0.3.17:502", "tcp://10.0.3.17:502", "rtu://10.0.3.17:502", "TLS://h:802", "tls:h:802", "tls://h",
        "serial:", "serial:ttyUSB0", "serial:/dev/tty\0", "/dev/ttyUSB0", "fd00::17:502", "[fd00::17]", "h:502/1",
        f"{'h' * 64}:502",
    ],
)  # fmt: skip
def test_what_is_no_address_says_what_one_is(text: str) -> None:
    with pytest.raises(AddressError, match="an address is host:port, tls://host:port"):
        parse(text)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_the_port_is_one(port: str) -> None:
    with pytest.raises(AddressError, match="between 1 and 65535"):
        parse(f"10.0.3.17:{port}")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.7.21", "10.0.7.21", None),
        ("10.0.7.21:4028", "10.0.7.21", 4028),
        ("http://Miner-7.hall", "miner-7.hall", None),
        ("[::1]:4433", "::1", 4433),
        ("https://[2001:DB8:0::17]", "2001:db8::17", None),
    ],
)
def test_addresses_of_members(text: str, host: str, port: int | None) -> None:
    assert member(text) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "::1", "::1:4433", "[::1", "[::1]4433", "[::1]:", "a b", "tls://h:1", "serial:/dev/ttyUSB0", "h:1:2"]
)
def test_what_is_no_address_of_a_member(text: str) -> None:
    with pytest.raises(AddressError, match="the address of a BMC or miner is host, host:port"):
        member(text)


@pytest.mark.parametrize("text", ["[::1::2]:502", "[:.:]:502", "[1.2.3.4]:502", "[12345::]:502"])
def test_brackets_hold_an_ipv6_address(text: str) -> None:
    for read in (parse, member):
        with pytest.raises(AddressError, match=r"is no IPv6 address; one is written \[2001:db8::17\]:502"):
            read(text)


def test_an_ipv6_address_has_one_spelling() -> None:
    assert parse("[0:0::0:1]:502") == parse("[::1]:502")
    assert str(parse("[FD00:0::17]:502")) == "[fd00::17]:502"


@pytest.mark.parametrize(("baud", "gap_ms"), [(9600, 4.01), (19200, 2.01), (38400, 1.75), (115200, 1.75)])
def test_the_silence_between_two_frames(baud: int, gap_ms: float) -> None:
    line = Transport(parse("serial:/dev/ttyS0"), serial=Serial(baud=baud))
    assert line.gap_s * 1e3 == pytest.approx(gap_ms, abs=0.01)
    assert Transport(parse("rtu+tcp://10.0.3.20:4001")).gap_s == 0.0


def encrypted(folder: Path) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rampd")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    sealed = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    (folder / "key.pem").write_bytes(sealed)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Tls(None, folder / "cert.pem", folder / "key.pem")


@pytest.mark.parametrize("case", ["no file", "no name", "no certificate", "a key behind a password"])
def test_certificates_that_cannot_be_used_are_an_os_error(tmp_path: Path, case: str) -> None:
    """None of them ends a task, and none waits for somebody at a terminal."""
    (tmp_path / "text").write_text("nothing", encoding="utf-8")
    tls = {
        "no file": Tls(tmp_path / "none"), "no name": Tls(Path("a\0b")), "no certificate": Tls(tmp_path / "text"),
        "a key behind a password": encrypted(tmp_path),
    }[case]  # fmt: skip
    with pytest.raises(OSError, match=r"."):
        tls.context()
