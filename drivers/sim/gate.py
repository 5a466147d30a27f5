"""The address of one simulated member: listens, and breaks what passes between client and server when told to.

The server's own protocol stands behind; faults of the wire act on the bytes, whatever they mean.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any, Final, cast

from rampd.drivers.sim.doors import Doors
from rampd.drivers.sim.faults import ByteByByte, Fault, Late
from rampd.drivers.sim.members import Server
from rampd.drivers.sim.spec import SimError

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Gate(Doors):
    """One listening address before a member's server. `trouble` is the fault of the wire that holds, if any."""

    def __init__(self, server: Server, host: str, port: int, seed: int = 1) -> None:
        super().__init__()
        self.host = host
        self.port = port
        self.server = server
        self.trouble: Fault | None = None
        self.random = Random(f"{seed}:{host}:{port}")
        self.visits: set[_Visit] = set()
        self._listener: asyncio.Server | None = None
        self._started = False

    async def open(self) -> None:
        """Listens; port 0 takes a free one and keeps it. Raises SimError naming address and remedy."""
        if not self._started:
            await self.server.start()
            self._started = True
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: _Visit(self), self.host, self.port, reuse_address=True, backlog=64
            )
        except OSError as error:
            remedy = "end what listens there; a simulated hall has loopback addresses, 127.x.y.z, and ports above 1023"
            raise SimError(f"cannot listen on {self.host}:{self.port}: {error.strerror or error}: {remedy}") from error
        self.port = self._listener.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listens no more and drops every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for visit in tuple(self.visits):
            visit.transport.abort()

    async def stop(self) -> None:
        """Closes, and ends the server."""
        self.close()
        if self._started:
            await self.server.stop()
            self._started = False

    def wake(self) -> None:
        """Goes on where a half-open gate stopped."""
        for visit in tuple(self.visits):
            visit.resume()


class _Visit(asyncio.Protocol):
    """One client's connection: what it sends goes to the server's protocol unless a fault stands between."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.transport: asyncio.Transport
        self._inner = gate.server.connect()
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.gate.visits.add(self)
        self._inner.connection_made(cast(asyncio.BaseTransport, _Way(self)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.visits.discard(self)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        gate = self.gate
        if gate.deaf:
            self._held += data
            self.transport.pause_reading()
            return
        kind = gate.trouble.kind if gate.trouble is not None else ""
        if kind == "rst":
            wire = self.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()
        elif kind == "garbage":
            self.transport.write(gate.random.randbytes(gate.random.randint(5, 40)))
        elif kind != "silent":
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def resume(self) -> None:
        """Goes on where a half-open gate stopped."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
            held, self._held = self._held, b""
            if held:
                self.data_received(held)


class _Way:
    """The transport as the server's protocol sees it: what it writes is late or comes byte by byte when so broken."""

    def __init__(self, visit: _Visit) -> None:
        self._visit = visit
        self._until_s = 0.0
        self._queue: deque[bytes | None] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._visit.transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """To the client, through the fault that holds."""
        data = bytes(data)
        match self._visit.gate.trouble:
            case Late(delay_s=delay_s):
                self._later(delay_s, data)
            case ByteByByte(gap_s=gap_s):
                # Behind what is still on its way: an answer may be several writes.
                ahead_s = max(0.0, self._until_s - asyncio.get_running_loop().time())
                for i in range(len(data)):
                    self._later(ahead_s + i * gap_s, data[i : i + 1])
            case _:
                self._send(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        """All parts as one."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Ends the connection once everything is sent."""
        self._later(max(0.0, self._until_s - asyncio.get_running_loop().time()), None)

    def _later(self, delay_s: float, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        self._until_s = max(self._until_s, loop.time() + delay_s)
        # Timers of one millisecond fire in any order; what is sent keeps its own.
        self._queue.append(data)
        loop.call_later(delay_s, self._send_next)

    def _send_next(self) -> None:
        data = self._queue.popleft()
        if data is None:
            self._visit.transport.close()
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        if not self._visit.transport.is_closing():
            self._visit.transport.write(data)
