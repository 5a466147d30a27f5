"""The addresses of a site file: of Modbus devices, of members of racks, and of racks, which may be either."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from rampd.drivers import address as modbus

_MEMBER: Final = re.compile(r"(https?://)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*(:(?P<port>[0-9]{1,5}))?\Z")


def _modbus(text: str) -> str:
    return str(modbus.parse(text))


def _member(text: str) -> str:
    if not (found := _MEMBER.match(text)):
        raise ValueError("the address of a BMC or miner is host, host:port or http://host:port, such as 10.0.7.21:4028")
    if found["port"] is not None and not 1 <= int(found["port"]) <= 65535:
        raise ValueError("the port lies between 1 and 65535: 10.0.7.21:4028")
    return text


def _either(text: str) -> str:
    """The map decides later which of the two it must be."""
    try:
        return _modbus(text) if text else text
    except modbus.AddressError:
        if _MEMBER.match(text):
            return _member(text)
        raise


Address = Annotated[str, AfterValidator(_modbus), Field(examples=["10.0.3.17:502", "serial:/dev/ttyUSB0"])]
"""host:port, tls://host:port, rtu+tcp://host:port or serial:/dev/NAME."""
MemberAddress = Annotated[str, AfterValidator(_member), Field(examples=["10.0.7.21:4028", "http://10.0.7.21"])]
"""Without a scheme the protocol's secure form where it has one; without a port the map's."""
RackAddress = Annotated[str, AfterValidator(_either), Field(examples=["10.0.3.17:502", "10.0.7.21"])]
"""Empty for a rack whose members are listed."""
