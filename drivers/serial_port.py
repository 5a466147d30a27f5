"""A serial line as an asyncio transport. The port is opened and set by pyserial; reading and writing wait for nothing.

pymodbus's own serial transport is not used: it does not say `connection_lost` when it is aborted, and polls elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

import serial

from rampd.drivers.address import Serial

_PARITY: Final = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_CHUNK: Final = 4096
_MOST_UNSENT: Final = 4096


class SerialTransport(asyncio.Transport):
    """An open line. Calls the protocol as a socket transport does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, port: serial.Serial) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._port = port
        self._fd: int = port.fileno()
        self._unsent = b""
        self._closing = False
        loop.add_reader(self._fd, self._readable)
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends, or keeps what the line does not take at once."""
        if self._closing:
            return
        if not self._unsent:
            self._loop.add_writer(self._fd, self._writable)
        self._unsent += bytes(data)
        if len(self._unsent) > _MOST_UNSENT:
            self._end(OSError("the serial line takes nothing"))
        else:
            self._writable()

    def abort(self) -> None:
        """Closes the line at once."""
        self._end(None)

    def close(self) -> None:
        """Likewise."""
        self._end(None)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(OSError("the serial line is gone"))

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _end(self, error: OSError | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._port.close()
        # As any transport: never from within a call of the protocol.
        self._loop.call_soon(self._protocol.connection_lost, error)


async def open_line(path: str, settings: Serial, protocol: asyncio.Protocol) -> SerialTransport:
    """Opens a line for this process alone. Raises OSError."""

    def opened() -> serial.Serial:
        port = serial.Serial(
            path, settings.baud, bytesize=8, parity=_PARITY[settings.parity], stopbits=settings.stop_bits,
            timeout=0, write_timeout=0, exclusive=True,
        )  # fmt: skip
        port.reset_input_buffer()
        return port

    loop = asyncio.get_running_loop()
    try:
        port = await asyncio.to_thread(opened)
    except serial.SerialException as error:
        raise OSError(str(error)) from error
    return SerialTransport(loop, protocol, port)
