"""Where a device is and how it is reached: one text in the site file, and what belongs to it.

10.0.3.17:502              Modbus/TCP
tls://meter.hall:802       Modbus/TCP Security: the device's certificate is verified, ours is shown when given
rtu+tcp://10.0.3.20:4001   RTU frames over TCP: a serial device server that does not translate
serial:/dev/ttyUSB0        RTU over a serial line

A host is a name, an IPv4 address or an IPv6 address in brackets: [2001:db8::17]:502.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Kind = Literal["tcp", "tls", "rtu+tcp", "serial"]
Parity = Literal["none", "even", "odd"]

_NAME: Final = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"
_HOST: Final = rf"(?P<host>{_NAME}|\[[0-9A-Fa-f:.]+\])"
_NET: Final = re.compile(rf"(?:(?P<kind>tls|rtu\+tcp)://)?{_HOST}:(?P<port>[0-9]{{1,5}})\Z")
_MEMBER: Final = re.compile(rf"(?:https?://)?{_HOST}(?::(?P<port>[0-9]{{1,5}}))?\Z")
_LINE: Final = re.compile(r"serial:(?P<path>/[^\0\n]+)\Z")


class AddressError(ValueError):
    """A text that is no address; the message shows what one looks like."""


@dataclass(frozen=True, slots=True)
class Address:
    """A place that devices answer at. `str()` gives the text it was parsed from, in one spelling."""

    kind: Kind
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "serial":
            return f"serial:{self.path}"
        return f"{'' if self.kind == 'tcp' else self.kind + '://'}{joined(self.host, self.port)}"

    @property
    def numbered(self) -> bool:
        """Whether its frames carry transaction ids; RTU frames do not."""
        return self.kind in ("tcp", "tls")


def joined(host: str, port: int) -> str:
    """Host and port as one text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(text: str) -> str:
    """What is connected to: a name in small letters, an IPv6 address without brackets and in one spelling."""
    if not text.startswith("["):
        return text.lower()
    try:
        return ipaddress.IPv6Address(text[1:-1]).compressed
    except ValueError:
        raise AddressError(f"{text} is no IPv6 address; one is written [2001:db8::17]:502") from None


def host(text: str) -> str:
    """A host that stands by itself, an IPv6 address without brackets. Raises AddressError."""
    try:
        if ":" in text:
            ipaddress.IPv6Address(text)
        elif not re.fullmatch(_NAME, text):
            raise ValueError(text)
    except ValueError:
        raise AddressError("a host is a name, an IPv4 address, or an IPv6 address without brackets") from None
    return text


def _port(text: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise AddressError("the port lies between 1 and 65535: 10.0.3.17:502")
    return int(text)


def member(text: str) -> tuple[str, int | None]:
    """Host of a BMC or miner, and the port where one is given. Raises AddressError."""
    if not (found := _MEMBER.match(text)):
        raise AddressError(
            "the address of a BMC or miner is host, host:port or http://host:port, such as 10.0.7.21:4028"
        )
    return _host(found["host"]), None if found["port"] is None else _port(found["port"])


def parse(text: str) -> Address:
    """The address of a text, its host in one spelling. Raises AddressError."""
    if line := _LINE.match(text):
        return Address("serial", path=line["path"])
    if not (net := _NET.match(text)):
        raise AddressError(
            "an address is host:port, tls://host:port, rtu+tcp://host:port or serial:/dev/NAME, such as 10.0.3.17:502"
        )
    kind: Kind = "tls" if net["kind"] == "tls" else "rtu+tcp" if net["kind"] else "tcp"
    return Address(kind, _host(net["host"]), _port(net["port"]))


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a TLS connection: who may have signed the device's certificate, and our own certificate and key."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A new context from the files as they are now; the device is always verified. Raises OSError."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert_file is not None:
                # With a password, or OpenSSL asks for one at the terminal and waits.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except ValueError as error:  # a name that can be no file's
            raise OSError(str(error)) from error
        return context


@dataclass(frozen=True, slots=True)
class Serial:
    """Settings of a serial line. RTU has eight data bits; without parity it asks for two stop bits."""

    baud: int = 19200
    parity: Parity = "even"
    stop_bits: Literal[1, 2] = 1

    @property
    def gap_s(self) -> float:
        """The silence between two frames: 3.5 characters of eleven bits, above 19,200 baud 1.75 ms.

        MODBUS over serial line specification V1.02, 2.5.1.1.
        """
        return 3.5 * 11 / self.baud if self.baud <= 19200 else 0.00175


@dataclass(frozen=True, slots=True)
class Transport:
    """How an endpoint is reached. `tls` and `serial` count where the address is of that kind."""

    address: Address
    tls: Tls = Tls()
    serial: Serial = Serial()

    @property
    def gap_s(self) -> float:
        """The least time between two frames."""
        return self.serial.gap_s if self.address.kind == "serial" else 0.0
