"""A Modbus device as cyclic reads: its map planned into requests whose answers decode into the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rampd.drivers import sunspec
from rampd.drivers.maps import DeviceMap
from rampd.drivers.modbus import Endpoint, read_frame
from rampd.drivers.plan import Read
from rampd.drivers.register import Register
from rampd.ext.decode import Decoder
from rampd.ext.units import Exchange, Unit

SLOW_FACTOR = 10
"""Values marked slow are read every so many periods."""


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
    the device was discovered.
    """

    id: str
    endpoint: Endpoint
    number: int
    map: DeviceMap
    slots: dict[str, int]
    period_s: float
    rating_w: float | None = None
    bases: Mapping[int, int] | None = None
    reads: tuple[Read, ...] = ()

    def __post_init__(self) -> None:
        if not self.map.extents():
            self.bases = {}

    @property
    def unit(self) -> Unit:
        """Its breaker."""
        return self.endpoint.unit(self.number)

    async def discover(self) -> None:
        """Finds the models of a SunSpec device. Raises ModbusError."""
        if self.bases is None:
            self.bases = await sunspec.find(
                lambda at, count: self.endpoint.read(self.number, 3, at, count, self.map.timeout_s), self.map.extents()
            )

    def exchanges(self, answered: Callable[[], object] | None = None) -> list[tuple[Exchange, float]]:
        """The cyclic reads with their periods in seconds; `answered` is called after each. Needs `bases`."""
        if self.bases is None:
            raise ValueError(f"{self.id} was not discovered yet")
        self.reads = self.map.reads(self.bases, self.rating_w)
        timeout_ns = round(self.map.timeout_s * 1e9)
        found = []
        for read in self.reads:
            fields = [field_spec(register, read.at, self.slots[register.name]) for register in read.registers]
            frame = read_frame(self.number, read.function, read.at, read.count)
            period_s = self.period_s * (SLOW_FACTOR if read.slow else 1)
            decoder = Decoder(fields, read.count)
            found.append((Exchange(frame, self.unit, decoder, timeout_ns, answered=answered), period_s))
        return found
