"""Opens the connection of a link, whatever its transport is."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, Protocol

from rampd.drivers.address import Transport
from rampd.drivers.rtu import RtuPort
from rampd.drivers.serial_port import open_line
from rampd.ext.link import Link

CONNECT_S: Final = 1.0
# Small devices take their time to sign.
HANDSHAKE_S: Final = 5.0
USER_TIMEOUT_MS: Final = 2000
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Connection(Protocol):
    """What an open connection can be asked for."""

    def abort(self) -> None:
        """Drops it at once."""


def tune(sock: socket.socket) -> None:
    """A dead peer is noticed within three seconds, also one that no FIN or RST ever reaches us from."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    # What is given up is reset: a device that takes one client has room for the next connection at once.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


async def dial(transport: Transport, link: Link) -> Connection:
    """Connects a link. Raises OSError, TimeoutError or UnicodeError; `ssl.SSLError` is an OSError."""
    address = transport.address
    if address.kind == "serial":
        return await open_line(address.path, transport.serial, RtuPort(link))
    loop = asyncio.get_running_loop()
    if address.kind == "tls":
        # Files are read anew, so that renewed certificates count from the next connection on.
        context = await asyncio.to_thread(transport.tls.context)
        async with asyncio.timeout(CONNECT_S + HANDSHAKE_S):
            made, _ = await loop.create_connection(
                lambda: link, address.host, address.port, ssl=context, ssl_handshake_timeout=HANDSHAKE_S
            )
    else:
        protocol = link if address.kind == "tcp" else RtuPort(link)
        async with asyncio.timeout(CONNECT_S):
            made, _ = await loop.create_connection(lambda: protocol, address.host, address.port)
    # It may have ended before this task went on.
    if link.connected:
        tune(made.get_extra_info("socket"))
    return made
