"""A simulated device's answers: registers from an image, written values to the plant."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol

from rampd.drivers import server
from rampd.drivers.server import (
    HEAD,
    IDENTIFY,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    MOST_READ,
    MOST_WRITTEN,
    WRITE_MANY,
    WRITE_ONE,
    ListenError,
    identify,
    refusal,
)
from rampd.drivers.sim.doors import Doors
from rampd.drivers.sim.image import Image
from rampd.drivers.sim.spec import SimError

_WORDS: Final = struct.Struct(">HH")


Answer = Callable[[], bytes]


class Trouble(Protocol):
    """Stands between a request and its answer; `answer()` carries the request out and gives the right answer."""

    def __call__(self, session: Session, request: bytes, answer: Answer) -> None:
        """Handles one whole request, MBAP header included."""


class Unit:
    """One Modbus unit: `refresh` brings its image up to date before a read, `write` takes a written value.

    `write` gets the key of the set-point register in the map (limit, enable, deadman ...) and its value.
    """

    def __init__(self, image: Image, refresh: Callable[[], None], write: Callable[[str, float], None]) -> None:
        self.image = image
        self.trouble: Trouble | None = None
        self._refresh = refresh
        self._write = write

    def answer(self, pdu: bytes) -> bytes:
        """The answer to a request, both without header. Never raises on what a client sends."""
        function = pdu[0]
        if function in self.image.functions:
            return self._read(function, pdu)
        if function in (WRITE_ONE, WRITE_MANY) and self.image.writable:
            return self._write_one(pdu) if function == WRITE_ONE else self._write_many(pdu)
        if function == IDENTIFY:
            return identify(pdu, (b"rampd", self.image.map.name.encode("ascii"), b"1.0"))
        return refusal(function, ILLEGAL_FUNCTION)

    def _read(self, function: int, pdu: bytes) -> bytes:
        if len(pdu) != 5:
            return refusal(function, ILLEGAL_VALUE)
        at, count = _WORDS.unpack_from(pdu, 1)
        if not 1 <= count <= MOST_READ:
            return refusal(function, ILLEGAL_VALUE)
        self._refresh()
        data = self.image.read(function, at, count)
        if data is None:
            return refusal(function, ILLEGAL_ADDRESS)
        return bytes((function, count * 2)) + data

    def _write_one(self, pdu: bytes) -> bytes:
        if len(pdu) != 5:
            return refusal(WRITE_ONE, ILLEGAL_VALUE)
        (at, _) = _WORDS.unpack_from(pdu, 1)
        code = self._store(at, pdu[3:])
        return refusal(WRITE_ONE, code) if code else pdu

    def _write_many(self, pdu: bytes) -> bytes:
        if len(pdu) < 6:
            return refusal(WRITE_MANY, ILLEGAL_VALUE)
        at, count = _WORDS.unpack_from(pdu, 1)
        if not 1 <= count <= MOST_WRITTEN or pdu[5] != count * 2 or len(pdu) != 6 + count * 2:
            return refusal(WRITE_MANY, ILLEGAL_VALUE)
        code = self._store(at, pdu[6:])
        return refusal(WRITE_MANY, code) if code else pdu[:5]

    def _store(self, at: int, data: bytes) -> int:
        """Writes whole registers, all or none; exception code, 0 when done."""
        end = at + len(data) // 2
        inside = [r for r in self.image.writable if at <= r.at and r.at + r.words <= end]
        if sum(r.words for r in inside) * 2 != len(data):
            return ILLEGAL_ADDRESS
        values = [(r.name, self.image.taken(r, data[(r.at - at) * 2 : (r.at - at + r.words) * 2])) for r in inside]
        if any(not 0 <= value < float("inf") for _, value in values):
            return ILLEGAL_VALUE
        for name, value in values:
            self._write(name, value)
        return 0


class Session(server.Session):
    """One client's connection, with the faults of units and of the address between it and the answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._doors = endpoint

    def serve(self) -> None:
        """Reads and answers nothing while the endpoint is half-open."""
        if not self._doors.deaf:
            super().serve()
        elif self.transport is not None:
            # Only here: uvloop starts to read after connection_made, whatever that asked for.
            self.transport.pause_reading()

    def answer(self, request: bytes, answers: list[bytes]) -> None:
        """Hands the request over to what troubles its unit, after those before it were sent."""
        unit = self._doors.units.get(request[HEAD.size - 1])
        if unit is None or unit.trouble is None:
            super().answer(request, answers)
            return
        self.send(b"".join(answers))
        answers.clear()
        unit.trouble(self, request, lambda: self._right(request))

    def _right(self, request: bytes) -> bytes:
        found: list[bytes] = []
        super().answer(request, found)
        return found[0]


class Endpoint(server.Endpoint[Unit], Doors):
    """A listening address of the simulated hall."""

    def __init__(self, host: str, port: int) -> None:
        server.Endpoint.__init__(self, host, port)
        Doors.__init__(self)

    def session(self) -> Session:
        """The protocol of a client that connects."""
        return Session(self)

    def wake(self) -> None:
        """Goes on where a half-open endpoint stopped."""
        for session in tuple(self.sessions):
            session.serve()

    async def open(self) -> None:
        """Listens; port 0 takes a free one and keeps it. Raises SimError naming address and remedy."""
        try:
            await super().open()
        except ListenError as error:
            remedy = "end what listens there; a simulated hall has loopback addresses, 127.x.y.z, and ports above 1023"
            raise SimError(f"{error}: {remedy}") from error
