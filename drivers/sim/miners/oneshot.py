"""The API of cgminer as a server: a connection carries one JSON request and one answer, then the miner closes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, cast

# What a miner has room for; a client that sends more is cut off.
_LONGEST: Final = 16 * 1024

Json = dict[str, Any]


class OneShot(asyncio.Protocol):
    """One connection. A request ends with a NUL, a newline, or where it is complete; `answer` makes the reply of it."""

    def __init__(self, answer: Callable[[Json], bytes]) -> None:
        self._answer = answer
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answers once the request is complete."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._got += data
        ended = self._got.rstrip(b"\0\r\n") != self._got
        try:
            request = json.loads(self._got.rstrip(b"\0\r\n"))
        except ValueError:
            if not ended and len(self._got) <= _LONGEST:
                return
            request = {}
        self._transport.write(self._answer(request if isinstance(request, dict) else {}))
        self._transport.close()
