"""A field to test in: Modbus/TCP devices answered byte for byte by the test, and rampd's reading side before them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from rampd.daemon.poll import Wheel
from rampd.drivers import maps
from rampd.drivers.address import Address, Kind, Transport
from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint, Pace
from rampd.ext import codes, views
from rampd.ext.image import Configuration, InputWall
from rampd.ext.units import Exchange, Unit

POISON: Final = 0xDEADBEEF
"""No device holds it: answers that must not count carry it."""

_hosts = (f"127.40.{n // 250}.{n % 250 + 1}" for n in itertools.count())
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_MAP: Final = """
name = "bench"
kind = "meter"
title = "two numbers of a scripted device"
source = ["the test"]
verified = "nothing to verify"
timeout_s = {timeout_s}
in_flight = {in_flight}
[values]
power_w = {{ at = 0, type = "u32", range = [0.0, 1.0e9], nan = [0xFFFFFFFF] }}
spare_w = {{ at = 2, type = "u32", range = [0.0, 1.0e9] }}
"""


def image(slots: int) -> InputWall:
    """An image of so many readings."""
    return InputWall(Configuration(slots=slots, racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2))


def tcp(host: str, port: int) -> Transport:
    """Plain Modbus/TCP."""
    return Transport(Address("tcp", host, port))


async def until(condition: Callable[[], object], within_s: float = 20.0) -> float:
    """Waits for a condition; seconds that it took. Fails when it does not come true."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > within_s:
            raise AssertionError(f"waited {within_s} s in vain")
        await asyncio.sleep(0.005)
    return time.monotonic() - began_s


def adu(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A Modbus/TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as a device got it, and the ways to answer."""

    wire: Wire
    frame: bytes

    @property
    def id(self) -> int:
        return int.from_bytes(self.frame[:2], "big")

    @property
    def unit(self) -> int:
        return self.frame[6]

    @property
    def function(self) -> int:
        return self.frame[7]

    @property
    def at(self) -> int:
        return int.from_bytes(self.frame[8:10], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.frame[10:12], "big")

    def good(self) -> bytes:
        """The right answer, with values that the device holds."""
        if self.function in (3, 4):
            return self.read(self.wire.peer.words(self.unit, self.count))
        return adu(self.id, self.unit, self.frame[7:12])

    def read(self, data: bytes, *, id_: int | None = None, unit: int | None = None, function: int = 3) -> bytes:
        """An answer to a read with these register bytes."""
        pdu = bytes((function, len(data))) + data
        return adu(self.id if id_ is None else id_, self.unit if unit is None else unit, pdu)

    def poison(self, registers: int | None = None) -> bytes:
        """Register bytes that no device holds."""
        words = self.count if registers is None else registers
        return (POISON.to_bytes(4, "big") * words)[: 2 * words]

    def refuse(self, code: int) -> bytes:
        return adu(self.id, self.unit, bytes((self.function | 0x80, code)))

    def send(self, data: bytes) -> None:
        self.wire.send(data)

    def later(self, delay_s: float, data: bytes) -> None:
        asyncio.get_running_loop().call_later(delay_s, self.send, data)

    def reset(self) -> None:
        if self.wire.transport is not None:
            wire = self.wire.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.wire.transport.abort()

    def close(self) -> None:
        if self.wire.transport is not None:
            self.wire.transport.close()


Script = Callable[[Ask], None]


def well(ask: Ask) -> None:
    """Answers as it should."""
    ask.send(ask.good())


class Wire(asyncio.Protocol):
    """One connection to a scripted device."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peer.wires.append(self)
        self.peer.connections += 1
        if self.peer.greet is not None:
            self.peer.greet(Ask(self, b""))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.peer.wires.remove(self)
        self.peer.ends.append(exc)

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if self.peer.deaf:
            return
        while len(self._rest) >= 6 and len(self._rest) >= (end := 6 + int.from_bytes(self._rest[4:6], "big")):
            frame, self._rest = self._rest[:end], self._rest[end:]
            self.take(frame)

    def take(self, frame: bytes) -> None:
        """A whole request."""
        ask = Ask(self, frame)
        self.peer.asked.append(ask)
        self.peer.scripts.get(ask.unit, well)(ask)


class Peer:
    """A listening address; `scripts` say how a unit answers, one without a script answers well.

    Each right answer holds new numbers, and `held` remembers them by unit. `greet` is done to every new connection.
    While `deaf`, nothing is read or answered.
    """

    kind: Kind = "tcp"
    wire: type[Wire] = Wire

    def __init__(self) -> None:
        self.host = next(_hosts)
        self.port = 0
        self.scripts: dict[int, Script] = {}
        self.greet: Script | None = None
        self.asked: list[Ask] = []
        self.wires: list[Wire] = []
        self.connections = 0
        self.ends: list[Exception | None] = []
        self.deaf = False
        self.held: dict[int, set[float]] = {}
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None

    @property
    def transport(self) -> Transport:
        """How it is reached."""
        return Transport(Address(self.kind, self.host, self.port))

    def words(self, unit: int, count: int) -> bytes:
        """Registers of a unit as they stand now: u32 numbers of its own."""
        numbers = [unit * 10_000_000 + next(self._numbers) for _ in range((count + 1) // 2)]
        self.held.setdefault(unit, {0.0}).update(map(float, numbers))
        return struct.pack(f">{len(numbers)}I", *numbers)[: 2 * count]

    def asked_of(self, unit: int) -> int:
        """Requests that came for a unit."""
        return sum(ask.unit == unit for ask in self.asked)

    async def open(self) -> None:
        """Listens, on the same port every time."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self.wire(self), self.host, self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    def reserve(self) -> None:
        """Takes a port without listening on it: who connects is refused."""
        with socket.socket() as probe:
            probe.bind((self.host, 0))
            self.port = probe.getsockname()[1]

    def close(self) -> None:
        """Listens no more and drops every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for wire in tuple(self.wires):
            if wire.transport is not None:
                wire.transport.abort()


class Reading(NamedTuple):
    """One slot of the image."""

    quality: codes.Quality
    value: float
    age_s: float


class Bench:
    """Units 1..n of one endpoint, polled as the daemon does, and a check of every turn: no value that nobody held."""

    def __init__(
        self,
        peer: Peer,
        *,
        units: int = 2,
        in_flight: int = 1,
        timeout_s: float = 0.2,
        period_s: float = 0.06,
        loose: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self.peer = peer
        self.loose = loose
        self._pace = pace
        self.timeout_s = timeout_s
        self.period_s = period_s
        self.units = range(1, units + 1)
        self.wall = image(2 * units)
        self.inputs = views.inputs(self.wall)
        self.endpoint: Endpoint
        self.oldest_s = dict.fromkeys(self.units, 0.0)
        self.wrong: list[str] = []
        self._map = maps.parse(_MAP.format(timeout_s=timeout_s, in_flight=in_flight), "bench")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Bench:
        if not self.peer.port:
            await self.peer.open()
        self.endpoint = Endpoint(self.wall, self.peer.transport, self._pace or Pace.of([self._map]))
        self.wheel = Watched(self)
        if not self.loose:
            for number in self.units:
                slots = {"power_w": 2 * number - 2, "spare_w": 2 * number - 1}
                self.wheel.add(ModbusDevice(str(number), self.endpoint, number, self._map, slots, self.period_s))
        self._tasks = [asyncio.create_task(self.endpoint.run()), asyncio.create_task(self.wheel.run())]
        return self

    async def __aexit__(self, *_: object) -> None:
        failed = [task.exception() for task in self._tasks if task.done() and not task.cancelled()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.peer.close()
        await until(lambda: not self.peer.wires and not self.endpoint.link.connected)
        assert not failed, f"a task of the daemon ended: {failed}"
        assert not self.wrong, self.wrong[:5]

    def reading(self, unit: int) -> Reading:
        slot = 2 * unit - 2
        age_s = (time.monotonic_ns() - self.inputs.at_ns[slot]) / 1e9
        return Reading(codes.Quality(self.inputs.quality[slot]), self.inputs.value[slot], age_s)

    def fresh(self, unit: int) -> bool:
        """Good, and read since about now."""
        quality, _, age_s = self.reading(unit)
        return quality == codes.GOOD and age_s < self.timeout_s + 3 * self.period_s

    @property
    def exchanges(self) -> list[Exchange]:
        """The cyclic reads."""
        return list(self.wheel.places)

    def breaker(self, unit: int) -> Unit:
        return self.endpoint.unit(unit)

    def counts(self) -> dict[tuple[str, str], int]:
        return self.endpoint.link.counters()

    async def running(self) -> None:
        """Waits until every unit reads well."""
        await until(lambda: all(map(self.fresh, self.units)))

    def forget(self) -> None:
        """Starts the record of the oldest reading anew."""
        self.oldest_s = dict.fromkeys(self.units, 0.0)

    def look(self) -> None:
        """Judges the image: every number was held by the unit whose slot it is in."""
        for unit in self.units:
            held = self.peer.held.get(unit, {0.0})
            for slot in (2 * unit - 2, 2 * unit - 1):
                if self.inputs.value[slot] not in held:
                    self.wrong.append(f"unit {unit}: {self.inputs.value[slot]:#} was never held")
            self.oldest_s[unit] = max(self.oldest_s[unit], self.reading(unit).age_s)


class Watched(Wheel):
    """The wheel of the daemon, with a look at the image before and after each turn."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.wall, [bench.endpoint])
        self._bench = bench

    def turn(self, number: int) -> None:
        self._bench.look()
        super().turn(number)
        self._bench.look()
