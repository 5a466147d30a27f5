"""A Modbus device as cyclic reads: its map planned into requests whose answers decode into the image.

A request that the device refuses (illegal address or value) is halved until what it refuses is known. That is said
once, with the line of the map to correct, and asked for ever more rarely, for a device may refuse while it starts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from rampd.drivers import sunspec
from rampd.drivers.maps import DeviceMap
from rampd.drivers.modbus import Endpoint, read_frame
from rampd.drivers.plan import Read, halves
from rampd.drivers.register import Register
from rampd.ext.decode import Decoder
from rampd.ext.link import Link
from rampd.ext.units import Exchange, Unit

log = logging.getLogger("rampd.device")

SLOW_FACTOR: Final = 10
"""Values marked slow are read every so many periods."""
AGAIN_S: Final = 1.0
RAREST_S: Final = 60.0
"""What a device refuses is asked for after this pause, twice as long each time, up to that."""
ILLEGAL: Final = (2, 3)


class Schedule(Protocol):
    """Who sends cyclic reads when they are due."""

    def place(self, link: Link, exchange: Exchange, period_s: float) -> None:
        """Takes one in."""

    def remove(self, exchange: Exchange) -> None:
        """Takes one out."""


def field_spec(
    register: Register, read_at: int, slot: int
) -> tuple[int, int, int, int, float, float, float, float, tuple[int, ...], int, int, int]:
    """A register of an answer that begins at `read_at`, as `Decoder` takes it."""
    factor_at = -1 if register.factor_at is None else register.factor_at - read_at
    return (
        register.at - read_at, register.encoding, register.order, register.words, register.scale, register.offset,
        register.low, register.high, register.sentinels, register.mask, factor_at, slot,
    )  # fmt: skip


@dataclass
class ModbusDevice:
    """A unit at an endpoint, read by its map; `slots` say where each value lands.

    `rating_w` is what limits in percent refer to. `bases` are the addresses that a SunSpec map counts from, None until
    the device was discovered. `refused` holds the values that the device does not give, with the pause until they are
    asked for again.
    """

    id: str
    endpoint: Endpoint
    number: int
    map: DeviceMap
    slots: dict[str, int]
    period_s: float
    rating_w: float | None = None
    bases: Mapping[int, int] | None = None
    refused: dict[str, float] = field(default_factory=dict)
    _reads: dict[Exchange, Read] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.map.extents():
            self.bases = {}

    @property
    def unit(self) -> Unit:
        """Its breaker."""
        return self.endpoint.unit(self.number)

    @property
    def reads(self) -> tuple[Read, ...]:
        """The requests that it is read by."""
        return tuple(self._reads.values())

    async def discover(self) -> None:
        """Finds the models of a SunSpec device. Raises ModbusError."""
        if self.bases is None:
            self.bases = await sunspec.find(
                lambda at, count: self.endpoint.read(self.number, 3, at, count, self.map.timeout_s), self.map.extents()
            )

    async def identify(self) -> dict[str, str]:
        """The texts of the map: maker, model, serial number. Needs `bases`. Raises ModbusError."""
        found = {}
        for text in self.map.strings(self.bases):
            data = await self.endpoint.read(self.number, text.function, text.at, text.words, self.map.timeout_s)
            found[text.name] = text.decode(data)
        return found

    def begin(self, schedule: Schedule) -> None:
        """Has all its values read from now on. Raises ValueError before it was discovered."""
        if self.bases is None:
            raise ValueError(f"{self.id} was not discovered yet")
        for read in self.map.reads(self.bases, self.rating_w):
            self._place(schedule, read)

    def _place(self, schedule: Schedule, read: Read) -> Exchange:
        fields = [field_spec(register, read.at, self.slots[register.name]) for register in read.registers]
        frame = read_frame(self.number, read.function, read.at, read.count)
        exchange = Exchange(frame, self.unit, Decoder(fields, read.count), round(self.map.timeout_s * 1e9))
        exchange.refused = lambda code: self._refuse(schedule, exchange, code)
        period_s = self.period_s * (SLOW_FACTOR if read.slow else 1)
        if len(read.registers) == 1 and (name := read.registers[0].name) in self.refused:
            exchange.answered = lambda: self._relent(schedule, exchange)
            period_s = max(period_s, self.refused[name])
        self._reads[exchange] = read
        schedule.place(self.endpoint.link, exchange, period_s)
        return exchange

    def _take_out(self, schedule: Schedule, exchange: Exchange) -> Read:
        schedule.remove(exchange)
        return self._reads.pop(exchange)

    def _refuse(self, schedule: Schedule, exchange: Exchange, code: int) -> bool:
        """Looks closer at what was refused. False when it is one value, which then has no number."""
        if exchange not in self._reads:
            return True
        if code not in ILLEGAL:
            return False
        if len(self._reads[exchange].registers) > 1:
            for half in halves(self._take_out(schedule, exchange)):
                self.endpoint.link.read(self._place(schedule, half))
            return True
        register = self._reads[exchange].registers[0]
        if register.name not in self.refused:
            log.warning(
                "%s: refuses %s, function %d, %d registers from %d (exception %d): correct values.%s of map %s",
                self.id, register.name, register.function, register.words, register.at, code, register.name,
                self.map.name,
            )  # fmt: skip
        self.refused[register.name] = min(2 * self.refused.get(register.name, AGAIN_S / 2), RAREST_S)
        self._place(schedule, self._take_out(schedule, exchange))
        return False

    def _relent(self, schedule: Schedule, exchange: Exchange) -> None:
        """It gives a value that it refused before: it is read as planned again, but for what is still refused."""
        if exchange not in self._reads:
            return
        (register,) = self._reads[exchange].registers
        log.info("%s: gives %s now", self.id, register.name)
        del self.refused[register.name]
        for one in list(self._reads):
            self._take_out(schedule, one)
        self.begin(schedule)
