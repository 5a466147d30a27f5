"""Modbus/TCP as a device speaks it: one listening address, any number of units and clients.

Requests may come several in a segment or one over several segments; answers go out in their order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final, Generic, Protocol, TypeVar, cast

HEAD: Final = struct.Struct(">HHHB")

READS: Final = (3, 4)
WRITE_ONE: Final = 6
WRITE_MANY: Final = 16
IDENTIFY: Final = 0x2B

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
NO_TARGET: Final = 0x0B

MOST_READ: Final = 125
MOST_WRITTEN: Final = 123
AT_ONCE: Final = 32
"""Requests of one client that are answered in a row."""
_LONGEST: Final = 254


class ListenError(Exception):
    """An address that cannot be listened on; the message names it and says why."""


class Unit(Protocol):
    """One Modbus unit."""

    def answer(self, pdu: bytes) -> bytes:
        """The answer to a request, both without header. Never raises on what a client sends."""


UnitT = TypeVar("UnitT", bound=Unit)


def refusal(function: int, code: int) -> bytes:
    """An exception answer."""
    return bytes((function | 0x80, code))


def identify(pdu: bytes, objects: Sequence[bytes]) -> bytes:
    """The answer to read device identification (43/14), whole or one by one: vendor, product, revision."""
    if len(pdu) != 4 or pdu[1] != 0x0E or pdu[2] not in (1, 2, 3, 4):
        return refusal(IDENTIFY, ILLEGAL_VALUE)
    first = pdu[3] if pdu[3] < len(objects) else 0
    if pdu[2] == 4 and pdu[3] >= len(objects):
        return refusal(IDENTIFY, ILLEGAL_ADDRESS)
    shown = range(first, first + 1 if pdu[2] == 4 else len(objects))
    body = b"".join(bytes((i, len(objects[i]))) + objects[i] for i in shown)
    return bytes((IDENTIFY, 0x0E, pdu[2], 0x81, 0, 0, len(shown))) + body


def _end(data: bytes, at: int) -> int:
    """Where the request that begins at `at` ends; `at` while it is not there in whole, -1 when it is none."""
    if len(data) - at < HEAD.size:
        return at
    _, protocol, length, _ = HEAD.unpack_from(data, at)
    if protocol != 0 or not 2 <= length <= _LONGEST:
        return -1
    return at + 6 + length if at + 6 + length <= len(data) else at


def _notice_the_dead(sock: socket.socket) -> None:
    """A client that vanished gives its place up within half a minute."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)


class Session(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, endpoint: Endpoint[Any]) -> None:
        self.transport: asyncio.Transport | None = None
        self._endpoint = endpoint
        self._rest = b""
        self._choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Joins the endpoint."""
        self.transport = cast(asyncio.Transport, transport)
        _notice_the_dead(self.transport.get_extra_info("socket"))
        most = self._endpoint.most_sessions
        if most is not None and len(self._endpoint.sessions) >= most:
            self.transport.abort()
        else:
            self._endpoint.sessions.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves the endpoint."""
        self.transport = None
        self._endpoint.sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answers every whole request; what is no Modbus/TCP closes the connection."""
        self._rest += data
        self.serve()

    def pause_writing(self) -> None:
        """A client that does not take its answers is not read either."""
        self._choked = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Goes on where it stopped."""
        self._choked = False
        self.serve()

    def serve(self) -> None:
        """Answers what has arrived, a few requests at a time: in between others have their turn."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._choked:
            return
        data, at, stop, more = self._rest, 0, 0, False
        answers: list[bytes] = []
        for _ in range(AT_ONCE):
            stop = _end(data, at)
            if stop <= at:
                break
            self.answer(data[at:stop], answers)
            at = stop
        else:
            more = True
        self._rest = data[at:]
        self.send(b"".join(answers))
        if stop < 0:
            self.close()
        elif more:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.serve)
        elif not self._choked and not transport.is_closing():
            transport.resume_reading()

    def answer(self, request: bytes, answers: list[bytes]) -> None:
        """Adds the answer to one whole request, header included."""
        transaction, _, _, number = HEAD.unpack_from(request)
        unit = self._endpoint.units.get(number)
        body = refusal(request[HEAD.size], NO_TARGET) if unit is None else unit.answer(request[HEAD.size :])
        answers.append(HEAD.pack(transaction, 0, len(body) + 1, number) + body)

    def send(self, data: bytes) -> None:
        """Sends what may be nothing to a client that may be gone."""
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Ends the connection in good order."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Drops the connection and everything unsent."""
        if self.transport is not None:
            self.transport.abort()


class Endpoint(Generic[UnitT]):
    """One listening address and the units behind it; with `most_sessions`, further clients are turned away."""

    def __init__(self, host: str, port: int, most_sessions: int | None = None) -> None:
        self.host = host
        self.port = port
        self.most_sessions = most_sessions
        self.units: dict[int, UnitT] = {}
        self.sessions: set[Session] = set()
        self._server: asyncio.Server | None = None

    def session(self) -> Session:
        """The protocol of a client that connects."""
        return Session(self)

    @property
    def listening(self) -> bool:
        """Whether a client can connect."""
        return self._server is not None

    async def open(self) -> None:
        """Listens; port 0 takes a free one and keeps it. Raises ListenError naming the address."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self.session, self.host, self.port, reuse_address=True, backlog=32)
        except OSError as error:
            raise ListenError(f"cannot listen on {self.host}:{self.port}: {error.strerror or error}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in tuple(self.sessions):
            session.abort()
