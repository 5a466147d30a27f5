"""The addresses of a site file: of Modbus devices, of members of racks, of racks, which may be either, of brokers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from rampd.drivers import address


def _modbus(text: str) -> str:
    return str(address.parse(text))


def _member(text: str) -> str:
    address.member(text)
    return text


def _either(text: str) -> str:
    """The map decides later which of the two it must be."""
    try:
        return _modbus(text) if text else text
    except address.AddressError as error:
        try:
            return _member(text)
        except address.AddressError:
            raise error from None


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("no control characters, and none that Unicode has not assigned")
    return text


Address = Annotated[str, AfterValidator(_modbus), Field(examples=["10.0.3.17:502", "serial:/dev/ttyUSB0"])]
"""host:port, tls://host:port, rtu+tcp://host:port or serial:/dev/NAME."""
MemberAddress = Annotated[str, AfterValidator(_member), Field(examples=["10.0.7.21:4028", "http://10.0.7.21"])]
"""Without a scheme the protocol's secure form where it has one; without a port the map's."""
Legible = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
"""A topic or user of a broker: it may close on control characters and non-characters. [MQTT 5.0, 1.5.4]"""
Host = Annotated[str, AfterValidator(address.host), Field(examples=["10.0.3.17", "broker.hall", "fd00::17"])]
"""Where to connect or listen; the port stands in a key of its own."""
RackAddress = Annotated[str, AfterValidator(_either), Field(examples=["10.0.3.17:502", "10.0.7.21"])]
"""Empty for a rack whose members are listed."""
