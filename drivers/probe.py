"""What a device that nobody described says of itself, one request after the other: registers, identity, models.

The client is pymodbus's, not the link of the daemon: a probe asks little, and wants every answer spelled out. What
pymodbus lets pass is checked here: a short answer and one of another function are none.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU

from rampd.drivers import sunspec
from rampd.drivers.address import Transport
from rampd.drivers.device import ILLEGAL, field_spec
from rampd.drivers.maps import DeviceMap
from rampd.drivers.plan import Read, halves
from rampd.drivers.register import Text, WordOrder, reorder
from rampd.ext import views
from rampd.ext.codes import Quality
from rampd.ext.decode import Decoder
from rampd.ext.image import Configuration, InputWall
from rampd.ext.units import ModbusError

EXCEPTIONS: Final = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure", 6: "device busy",
    10: "gateway path unavailable", 11: "gateway target did not respond",
}  # fmt: skip
_OBJECTS: Final = {
    0: "vendor", 1: "product", 2: "revision", 3: "url", 4: "product_name", 5: "model", 6: "application",
}  # fmt: skip


_REMEDIES: Final = {
    "tcp": "is it switched on, is Modbus/TCP enabled, does a firewall stand between? the usual port is 502",
    "tls": "is it switched on, is its certificate signed by --ca and made out to this name? the usual port is 802",
    "rtu+tcp": "is the serial device server on, and in the mode that does not translate?",
    "serial": "does the line exist, and may you open it (group dialout)?",
}


class Unreachable(Exception):
    """No connection, or nobody answers; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a map: its raw words in hex, and what they are. No number unless the quality is good."""

    name: str
    at: int
    raw: str
    quality: str
    value: float | None


@dataclass(slots=True)
class Found:
    """What a device read by its map gave; `refused` are the requests that got no registers, and why."""

    readings: list[Reading] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Probe:
    """A connection to one unit; use as an async context. Raises Unreachable when there is nobody."""

    def __init__(self, transport: Transport, unit: int, timeout_s: float) -> None:
        self.place = str(transport.address)
        self.unit = unit
        self.answers = 0
        self._transport = transport
        self._timeout_s = timeout_s
        self._client: ModbusBaseClient

    async def __aenter__(self) -> Self:
        try:
            # Here, because the client wants a running loop.
            self._client = _client(self._transport, self._timeout_s)
            connected = await self._client.connect()
        except (OSError, ModbusException) as error:
            raise Unreachable(f"{self.place}: {error}: {_REMEDIES[self._transport.address.kind]}") from error
        if not connected:
            raise Unreachable(f"{self.place}: no connection: {_REMEDIES[self._transport.address.kind]}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client.ctx.transport is not None:
            # At once: a TLS connection would say good-bye after the loop has ended.
            self._client.ctx.transport.abort()  # type: ignore[attr-defined]
        self._client.close()
        await asyncio.sleep(0)

    async def read(self, function: int, at: int, count: int) -> bytes:
        """Registers as big-endian bytes. Raises ModbusError with the device's code, Unreachable when it is silent."""
        ask = self._client.read_input_registers if function == 4 else self._client.read_holding_registers
        answer = await self._asked(ask(at, count=count, device_id=self.unit))
        if answer.function_code != function or len(answer.registers) != count:
            raise ModbusError(f"a wrong answer: {len(answer.registers)} registers of function {answer.function_code}")
        return struct.pack(f">{count}H", *answer.registers)

    async def identity(self) -> dict[str, str]:
        """The objects of read device identification (43/14), empty when the device does not know the function."""
        found: dict[int, bytes] = {}
        following, more = 0, True
        while more and following < 256:
            try:
                answer = await self._asked(
                    self._client.read_device_information(read_code=1, object_id=following, device_id=self.unit)
                )
            except ModbusError:
                break
            found |= {int(key): _bytes(value) for key, value in getattr(answer, "information", {}).items()}
            more = bool(getattr(answer, "more_follows", 0))
            following = max(following + 1, getattr(answer, "next_object_id", 0))
        return {_OBJECTS.get(key, f"object_{key}"): _shown(value) for key, value in sorted(found.items())}

    async def models(self) -> tuple[sunspec.Model, ...]:
        """The SunSpec models in their order, none when there is no marker."""
        try:
            return await sunspec.survey(lambda at, count: self.read(3, at, count))
        except ModbusError:
            return ()

    async def common_texts(self, at: int) -> dict[str, str]:
        """Maker, model, firmware and serial number of a SunSpec device whose common model stands at `at`."""
        found = {}
        for name, (offset, words) in sunspec.COMMON_TEXTS.items():
            found[name] = Text(name, at + offset, words).decode(await self.read(3, at + offset, words))
        return found

    async def by_map(self, device_map: DeviceMap) -> Found:
        """Every value and text of a map. Raises ModbusError when a SunSpec device lacks a model."""
        extents = device_map.extents()
        bases: Mapping[int, int] = {}
        if extents:
            bases = await sunspec.find(lambda at, count: self.read(3, at, count), extents)
        found = Found()
        slots = {name: slot for slot, name in enumerate(device_map.values)}
        wall = InputWall(Configuration(slots=len(slots), racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2))
        inputs = views.inputs(wall)
        readings: dict[str, Reading] = {}
        async for read, data in self._answers(device_map.reads(bases), found.refused):
            if data is None:
                readings |= {one.name: Reading(one.name, one.at, "", "refused", None) for one in read.registers}
                continue
            fields = [field_spec(one, read.at, slots[one.name]) for one in read.registers]
            Decoder(fields, read.count).decode(data, wall, 1)
            for one in read.registers:
                slot, begin = slots[one.name], 2 * (one.at - read.at)
                quality = Quality(inputs.quality[slot])
                good = inputs.value[slot] if quality is Quality.GOOD else None
                raw = data[begin : begin + 2 * one.words].hex(" ", 2)
                readings[one.name] = Reading(one.name, one.at, raw, quality.name.lower(), good)
        found.readings = [readings[name] for name in slots]
        for text in device_map.strings(bases):
            try:
                found.texts[text.name] = text.decode(await self.read(text.function, text.at, text.words))
            except ModbusError as error:
                found.refused.append(f"FC{text.function:02d} {text.at}+{text.words}: {error}")
        return found

    async def _answers(self, reads: Iterable[Read], refused: list[str]) -> AsyncIterator[tuple[Read, bytes | None]]:
        """Every request with its registers, None where it got none; halved where the daemon would, to show the same."""
        waiting = [*reads][::-1]
        while waiting:
            read = waiting.pop()
            data = None
            try:
                data = await self.read(read.function, read.at, read.count)
            except ModbusError as error:
                if error.code in ILLEGAL and len(read.registers) > 1:
                    waiting += halves(read)[::-1]
                    continue
                refused.append(f"FC{read.function:02d} {read.at}+{read.count}: {error}")
            yield read, data

    async def _asked(self, request: object) -> ModbusPDU:
        try:
            answer: ModbusPDU = await request  # type: ignore[misc]
        except (ModbusException, TimeoutError, OSError) as error:
            if self.answers:
                raise ModbusError(f"no answer: {error}") from error
            remedy = "is the unit right (--unit)? does another client hold its only connection?"
            raise Unreachable(f"{self.place} unit {self.unit}: connected, but no answer: {remedy}") from error
        self.answers += 1
        if answer.isError():
            code = int(getattr(answer, "exception_code", 0))
            raise ModbusError(f"exception {code}, {EXCEPTIONS.get(code, 'unknown')}", code)
        return answer


def _client(transport: Transport, timeout_s: float) -> ModbusBaseClient:
    """pymodbus's client of a transport. Raises OSError on a certificate file that cannot be used."""
    at = transport.address
    if at.kind == "serial":
        line = transport.serial
        return AsyncModbusSerialClient(
            at.path, baudrate=line.baud, parity=line.parity[0].upper(), stopbits=line.stop_bits, timeout=timeout_s,
            retries=0, reconnect_delay=0,
        )  # fmt: skip
    if at.kind == "tls":
        return AsyncModbusTlsClient(
            at.host, sslctx=transport.tls.context(), port=at.port, timeout=timeout_s, retries=0, reconnect_delay=0,
        )  # fmt: skip
    framer = FramerType.RTU if at.kind == "rtu+tcp" else FramerType.SOCKET
    return AsyncModbusTcpClient(
        at.host, framer=framer, port=at.port, timeout=timeout_s, retries=0, reconnect_delay=0
    )  # fmt: skip


def sightings(data: bytes, at: int) -> list[dict[str, str]]:
    """Every register in every type and word order that it may begin: one dict a line, hex and numbers as text."""
    found = []
    for begin in range(0, len(data), 2):
        for size, kinds in ((2, "Hh"), (4, "Iif"), (8, "Qqd")):
            if begin + size > len(data):
                continue
            raw = data[begin : begin + size]
            for order in WordOrder:
                if size == 2 and order in (WordOrder.CDAB, WordOrder.DCBA):
                    continue
                whole = reorder(raw, order)
                row = {"at": str(at + begin // 2), "raw": raw.hex(" ", 2), "order": order.name[: 2 * size]}
                for kind in kinds:
                    (number,) = struct.unpack(f">{kind}", whole)
                    row[_KIND[kind]] = f"{number:.7g}" if kind in "fd" else str(number)
                found.append(row)
    return found


_KIND: Final = {"H": "u16", "h": "s16", "I": "u32", "i": "s32", "f": "f32", "Q": "u64", "q": "s64", "d": "f64"}


def _bytes(value: object) -> bytes:
    if isinstance(value, list):
        return b" ".join(_bytes(one) for one in value)
    return value if isinstance(value, bytes) else str(value).encode()


def _shown(value: bytes) -> str:
    text = value.decode("latin-1").strip("\0 ")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
