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
_LONGEST: Final = 256
_NO_ID: Final = b"\0\0"


def _size(data: bytes) -> int:
    """Bytes of the answer that begins here, 0 when none does, one more than there are while that is not known."""
    if len(data) < 3:
        return len(data) + 1
    function = data[1]
    if function & 0x80:
        return 5
    if function in (3, 4):
        return 5 + data[2]
    return 8 if function in (6, 16) else 0


def take(data: bytes) -> tuple[bytes, int] | None:
    """The first whole frame, without its checksum, and where it ends; None when there is none yet."""
    for begin in range(len(data) - 4):
        size = _size(data[begin:])
        end = begin + size
        if size and end <= len(data) and FramerRTU.check_CRC(data[begin : end - 2], _number(data[end - 2 : end])):
            return data[begin : end - 2], end
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


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
        self._rest = (self._rest + data)[-2 * _LONGEST :]
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
