"""The TCP API that miners inherited from cgminer: one JSON request a connection, one answer, then the miner closes.

The answer ends with a NUL or with the connection. Nothing of it is believed before it fits a model.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rampd.drivers.address import joined
from rampd.drivers.members import DeviceError

# The longest answer that is asked for, profiles of every board, is some 20 KB.
LONGEST: Final = 256 * 1024
BACK_S: Final = 1.0
"""How long a call that failed or was cancelled may take to undo what it had begun."""

Watts = Annotated[float, Field(ge=0, le=100_000)]


class Answer(BaseModel):
    """A part of an answer: types are not coerced, what is not asked for is ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False, populate_by_name=True)


AnswerT = TypeVar("AnswerT", bound=Answer)


class _Exchange(asyncio.Protocol):
    """Sends the request once connected and collects the answer; `done` gets it, or the reason why there is none."""

    def __init__(self, request: bytes, done: asyncio.Future[bytes | str]) -> None:
        self._request = request
        self._done = done
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        begin = len(self._got)
        self._got += data
        end = self._got.find(0, begin)
        if end >= 0:
            self._end(bytes(self._got[:end]))
        elif len(self._got) > LONGEST:
            self._end(f"the answer is longer than {LONGEST} bytes")

    def eof_received(self) -> None:
        self._end(bytes(self._got) or "it closed without an answer")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else bytes(self._got) or "it closed without an answer")

    def _end(self, outcome: bytes | str) -> None:
        if not self._done.done():
            self._done.set_result(outcome)


async def ask(host: str, port: int, request: bytes, timeout_s: float) -> bytes:
    """The answer to one request on a connection of its own. Raises DeviceError, also when there is none in time."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes | str] = loop.create_future()
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await loop.create_connection(lambda: _Exchange(request, done), host, port)
            outcome = await done
    except TimeoutError:
        raise DeviceError(f"{joined(host, port)}: no answer within {timeout_s:g} s") from None
    except (OSError, UnicodeError) as error:  # the latter of a name that is none
        raise DeviceError(f"{joined(host, port)}: no connection: {error}") from error
    finally:
        if transport is not None:
            transport.abort()
    if isinstance(outcome, str):
        raise DeviceError(f"{joined(host, port)}: {outcome}")
    return outcome


def parse(model: type[AnswerT], raw: bytes, where: str) -> AnswerT:
    """An answer as its model. Raises DeviceError that names the first thing that does not fit."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise DeviceError(f"{where}: not a usable answer: {misfit(error)}") from None


def misfit(error: ValidationError) -> str:
    """The first thing that does not fit, in one short line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}"[:200] if place else str(first["msg"])[:200]
