"""RTU frames between a link and a byte stream: serial lines, and serial device servers over TCP.

The link speaks MBAP. Going out, its header becomes unit and checksum. Coming in, a frame whose checksum fits gets the
id of the one request that is out, if it is of its unit and function; the link checks the rest. What else arrives has an
id that no request has, so the link counts it as late. RTU has no ids of its own: that a unit which missed is left alone
until its answer would have come is the link's doing (see `numbered`).
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from rampd.ext.link import Link

_FRAMER: Final = FramerRTU(DecodePDU(False))
# The longest answer, and some noise before it.
_MOST_KEPT: Final = 300
READS: Final = (3, 4)
WRITES: Final = (6, 16)
_NO_ID: Final = b"\0\0"


def take(data: bytes) -> tuple[bytes, int] | None:
    """The first whole frame, without its checksum, and where it ends; None when there is none yet."""
    for begin in range(len(data) - 4):
        function = data[begin + 1]
        if function & 0x80:
            end = begin + 5
        elif function in READS:
            end = begin + 5 + data[begin + 2]
        elif function in WRITES:
            end = begin + 8
        else:
            continue
        if end <= len(data):
            body = data[begin : end - 2]
            if FramerRTU.check_CRC(body, int.from_bytes(data[end - 2 : end], "big")):
                return body, end
    return None


class RtuPort(asyncio.Protocol):
    """Stands between a byte stream and its link, which sees a transport in it. One request is out at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._asked = b""
        self._rest = b""

    # What the stream sees.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hands itself to the link as its transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._asked = self._rest = b""
        self._link.connection_made(cast(asyncio.Transport, self))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the link."""
        self._transport = None
        self._link.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Gives every whole frame to the link."""
        self._rest = (self._rest + data)[-_MOST_KEPT:]
        while (found := take(self._rest)) is not None:
            frame, end = found
            self._rest = self._rest[end:]
            self._hand_over(frame)
        if not self._asked and self._rest:
            self._rest = b""
            self._hand_over(b"\0\0\0")

    def _hand_over(self, frame: bytes) -> None:
        ours = bool(self._asked) and frame[0] == self._asked[6] and frame[1] & 0x7F == self._asked[7]
        id_ = self._asked[:2] if ours else _NO_ID
        if ours:
            self._asked = b""
        self._link.data_received(id_ + b"\0\0" + len(frame).to_bytes(2, "big") + frame)

    # What the link sees.

    def write(self, frame: bytes) -> None:
        """Sends an MBAP frame as RTU. What arrived before it cannot be its answer."""
        if self._rest:
            self._rest = b""
            self._asked = b""
            self._hand_over(b"\0\0\0")
        self._asked = frame
        if self._transport is not None:
            self._transport.write(_FRAMER.encode(frame[7:], frame[6], 0))

    def abort(self) -> None:
        """Drops the stream."""
        if self._transport is not None:
            self._transport.abort()
