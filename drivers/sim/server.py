"""Modbus/TCP as a device speaks it: one listening address, any number of units and clients.

Requests may come several in a segment or one over several segments; answers go out in their order. A unit with a
`trouble` hands every request to it instead (see `wire`).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final, Protocol, cast

from rampd.drivers.sim.image import Image
from rampd.drivers.sim.spec import SimError

HEAD: Final = struct.Struct(">HHHB")
_WORDS: Final = struct.Struct(">HH")

READS: Final = (3, 4)
WRITE_ONE: Final = 6
WRITE_MANY: Final = 16
IDENTIFY: Final = 0x2B

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
NO_TARGET: Final = 0x0B

_MOST_READ: Final = 125
_MOST_WRITTEN: Final = 123
_LONGEST: Final = 254

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
            return self._identify(pdu)
        return refusal(function, ILLEGAL_FUNCTION)

    def _read(self, function: int, pdu: bytes) -> bytes:
        if len(pdu) != 5:
            return refusal(function, ILLEGAL_VALUE)
        at, count = _WORDS.unpack_from(pdu, 1)
        if not 1 <= count <= _MOST_READ:
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
        if not 1 <= count <= _MOST_WRITTEN or pdu[5] != count * 2 or len(pdu) != 6 + count * 2:
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

    def _identify(self, pdu: bytes) -> bytes:
        """Read device identification (43/14), the three basic objects, whole or one by one."""
        objects = (b"rampd", self.image.map.name.encode("ascii"), b"1.0")
        if len(pdu) != 4 or pdu[1] != 0x0E or pdu[2] not in (1, 2, 3, 4):
            return refusal(IDENTIFY, ILLEGAL_VALUE)
        first = pdu[3] if pdu[3] < len(objects) else 0
        if pdu[2] == 4 and pdu[3] >= len(objects):
            return refusal(IDENTIFY, ILLEGAL_ADDRESS)
        shown = range(first, first + 1 if pdu[2] == 4 else len(objects))
        body = b"".join(bytes((i, len(objects[i]))) + objects[i] for i in shown)
        return bytes((IDENTIFY, 0x0E, pdu[2], 0x81, 0, 0, len(shown))) + body


def refusal(function: int, code: int) -> bytes:
    """An exception answer."""
    return bytes((function | 0x80, code))


class Session(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.transport: asyncio.Transport | None = None
        self._endpoint = endpoint
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Joins the endpoint."""
        self.transport = cast(asyncio.Transport, transport)
        self._endpoint.sessions.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves the endpoint."""
        self.transport = None
        self._endpoint.sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answers every whole request; what is no Modbus/TCP closes the connection."""
        data = self._rest + data if self._rest else data
        if self._endpoint.deaf:
            # Only here: uvloop starts to read after connection_made, whatever that asked for.
            self._rest = data
            if self.transport is not None:
                self.transport.pause_reading()
            return
        units = self._endpoint.units
        answers: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            transaction, protocol, length, number = HEAD.unpack_from(data, at)
            if protocol != 0 or not 2 <= length <= _LONGEST:
                self.send(b"".join(answers))
                self.close()
                return
            stop = at + 6 + length
            if stop > end:
                break
            unit = units.get(number)
            if unit is None or unit.trouble is None:
                pdu = data[at + 7 : stop]
                answer = refusal(pdu[0], NO_TARGET) if unit is None else unit.answer(pdu)
                answers.append(HEAD.pack(transaction, 0, len(answer) + 1, number) + answer)
            else:
                self.send(b"".join(answers))
                answers.clear()
                self._hand_over(unit, data[at:stop])
            at = stop
        self._rest = data[at:]
        self.send(b"".join(answers))

    def send(self, data: bytes) -> None:
        """Sends what may be nothing to a client that may be gone."""
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def resume(self) -> None:
        """Goes on where a half-open endpoint stopped."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(b"")

    def close(self) -> None:
        """Ends the connection in good order."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Drops the connection and everything unsent."""
        if self.transport is not None:
            self.transport.abort()

    def _hand_over(self, unit: Unit, request: bytes) -> None:
        def answer() -> bytes:
            body = unit.answer(request[HEAD.size :])
            transaction, _, _, number = HEAD.unpack_from(request)
            return HEAD.pack(transaction, 0, len(body) + 1, number) + body

        assert unit.trouble is not None
        unit.trouble(self, request, answer)


class Endpoint:
    """One listening address and the units behind it."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.units: dict[int, Unit] = {}
        self.sessions: set[Session] = set()
        self._server: asyncio.Server | None = None
        self._down_by: set[object] = set()
        self._deaf_by: set[object] = set()

    @property
    def deaf(self) -> bool:
        """Half-open: connections stay and are accepted, nothing is read any more."""
        return bool(self._deaf_by)

    @property
    def listening(self) -> bool:
        """Whether a client can connect."""
        return self._server is not None

    async def open(self) -> None:
        """Listens; port 0 takes a free one and keeps it. Raises SimError naming address and remedy."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Session(self), self.host, self.port, reuse_address=True, backlog=32
            )
        except OSError as error:
            remedy = "end what listens there; a simulated hall has loopback addresses, 127.x.y.z, and ports above 1023"
            raise SimError(f"cannot listen on {self.host}:{self.port}: {error.strerror or error}: {remedy}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in tuple(self.sessions):
            session.abort()

    def take_down(self, cause: object) -> None:
        """Closes for as long as any cause stands."""
        self._down_by.add(cause)
        self.close()

    def bring_up(self, cause: object) -> bool:
        """Removes a cause; True when it was the last, and the endpoint is to be opened again."""
        self._down_by.discard(cause)
        return not self._down_by

    def deafen(self, cause: object) -> None:
        """Reads no connection, old or new, for as long as any cause stands."""
        self._deaf_by.add(cause)

    def hear(self, cause: object) -> None:
        """Removes a cause; with the last one reading goes on where it stopped."""
        self._deaf_by.discard(cause)
        if not self._deaf_by:
            for session in tuple(self.sessions):
                session.resume()
