"""Modbus policy over `rampd.ext.link`: frames by pymodbus, connect and reconnect, one connection an endpoint."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)

from rampd.drivers.address import Transport
from rampd.drivers.dial import Connection, dial
from rampd.drivers.maps import DeviceMap
from rampd.ext.image import InputWall
from rampd.ext.link import Link
from rampd.ext.units import Exchange, ModbusError, Unit

log = logging.getLogger("rampd.modbus")

FIRST_PAUSE_S: Final = 0.2
# A control path is wanted back within two seconds, however long it was gone.
LONGEST_PAUSE_S: Final = 1.0
STEADY_S: Final = 5.0
_FRAMER: Final = FramerSocket(DecodePDU(False))


def _frame(pdu: ModbusPDU) -> bytes:
    return bytes(_FRAMER.buildFrame(pdu))


def read_frame(unit: int, function: int, at: int, count: int) -> bytes:
    """MBAP frame of a register read (function 3 or 4), transaction id 0."""
    if function == 4:
        return _frame(ReadInputRegistersRequest(address=at, count=count, dev_id=unit))
    return _frame(ReadHoldingRegistersRequest(address=at, count=count, dev_id=unit))


def write_frame(unit: int, at: int, data: bytes) -> bytes:
    """MBAP frame that writes big-endian register bytes with function 16, transaction id 0."""
    words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    return _frame(WriteMultipleRegistersRequest(address=at, registers=words, dev_id=unit))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an endpoint may be asked: the narrowest of the devices behind it."""

    in_flight: int = 1
    gap_s: float = 0.0
    connect_delay_s: float = 0.0

    @classmethod
    def of(cls, device_maps: Iterable[DeviceMap]) -> Pace:
        """The pace that suits all of them. Raises ValueError when there are none."""
        found = list(device_maps)
        return cls(
            in_flight=min(one.in_flight for one in found), gap_s=max(one.gap_s for one in found),
            connect_delay_s=max(one.connect_delay_s for one in found),
        )  # fmt: skip


class Endpoint:
    """A place with its one connection, kept up until cancelled; units behind it share it."""

    def __init__(self, wall: InputWall, transport: Transport, pace: Pace | None = None) -> None:
        pace = pace or Pace()
        self.transport = transport
        self.connects = 0
        self.units: dict[int, Unit] = {}
        numbered = transport.address.numbered
        # What the transport needs as well: without ids one request at a time, on a line a silence between frames.
        self.pace = Pace(pace.in_flight if numbered else 1, max(pace.gap_s, transport.gap_s), pace.connect_delay_s)
        self.link = Link(
            wall, self.pace.in_flight, self._ended, numbered=numbered,
            gap_ns=round(1e9 * self.pace.gap_s), delay_ns=round(1e9 * self.pace.connect_delay_s),
        )  # fmt: skip
        self._gone = asyncio.Event()
        self._up = asyncio.Event()
        self._random = random.Random(self.name)

    @property
    def name(self) -> str:
        """Its address, the link label of the metrics."""
        return str(self.transport.address)

    def unit(self, number: int) -> Unit:
        """The breaker of a unit."""
        return self.units.setdefault(number, Unit())

    def _ended(self, _error: BaseException | None) -> None:
        self._up.clear()
        self._gone.set()

    async def up(self) -> None:
        """Waits until the connection stands."""
        await self._up.wait()

    async def _dial(self) -> Connection:
        try:
            return await dial(self.transport, self.link)
        except BaseException:
            # It may have been made all the same, a moment too late to be ours.
            self.link.abort()
            raise

    async def run(self) -> None:
        """Connects, and connects again with jittered back-off whenever the connection ends.

        The log hears of the first loss, and of the first connection that stood for a while: a link that flaps is one
        trouble, not a line a second.
        """
        pause_s = FIRST_PAUSE_S
        attempts = 0
        while True:
            self._gone.clear()
            try:
                connection = await self._dial()
            except (OSError, TimeoutError, UnicodeError) as error:
                if not attempts:
                    log.warning("%s: cannot connect: %s; trying on", self.name, error or "no answer")
            else:
                self.connects += 1
                answered = self.link.answered
                try:
                    if await self._stood(attempts):
                        attempts = 0
                finally:
                    connection.abort()
                if not attempts:
                    log.warning("%s: connection lost; reconnecting", self.name)
                # One that accepts and drops at once is as good as one that refuses.
                if self.link.answered > answered:
                    pause_s = FIRST_PAUSE_S
            attempts += 1
            await asyncio.sleep(pause_s * self._random.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _stood(self, attempts: int) -> bool:
        """Waits until the connection ends; whether it stood long enough to be called one."""
        # It may have ended before this task went on.
        if self.link.connected:
            self._up.set()
        try:
            async with asyncio.timeout(STEADY_S):
                await self._gone.wait()
        except TimeoutError:
            if attempts:
                log.warning("%s: connected again, at attempt %d", self.name, attempts + 1)
            await self._gone.wait()
            return True
        return False

    async def call(self, unit: int, frame: bytes, timeout_s: float) -> bytes | None:
        """A one-off request. Returns the register bytes of a read. Raises ModbusError; safe to cancel."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self.link.request(Exchange(frame, self.unit(unit), None, round(timeout_s * 1e9)), future)
        return await future

    async def read(self, unit: int, function: int, at: int, count: int, timeout_s: float) -> bytes:
        """Registers as big-endian bytes. Raises ModbusError."""
        data = await self.call(unit, read_frame(unit, function, at, count), timeout_s)
        if data is None:
            raise ModbusError("the answer to a read held no registers")
        return data

    async def write(self, unit: int, at: int, data: bytes, timeout_s: float) -> None:
        """Writes big-endian register bytes. Raises ModbusError."""
        await self.call(unit, write_frame(unit, at, data), timeout_s)
