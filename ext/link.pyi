from asyncio import Future, Protocol, Transport
from collections.abc import Callable

from typing_extensions import disjoint_base

from rampd.ext.decode import Decoder
from rampd.ext.image import InputWall

RESULT_NAMES: tuple[str, ...]

class ModbusError(Exception):
    """A request that was not done; `code` is the Modbus exception code, 0 when there was no answer."""

    code: int
    def __init__(self, message: str, code: int = 0) -> None: ...

@disjoint_base
class Unit:
    """Breaker of one unit: after three misses in a row it is asked only once a pause until it answers."""

    @property
    def failures(self) -> int: ...
    @property
    def heard_ns(self) -> int: ...
    @property
    def open(self) -> bool: ...

@disjoint_base
class Exchange:
    """A request frame, encoded once, and what its answer must be; cyclic reads carry the decoder of their answer.

    `frame` is a whole MBAP frame; its transaction id is replaced at every attempt. Raises ValueError on a frame that is
    too short, and when the decoder is not of as many registers.
    """

    def __init__(self, frame: bytes, unit: Unit, decoder: Decoder | None, timeout_ns: int) -> None: ...
    @property
    def unit(self) -> Unit: ...

@disjoint_base
class Link(Protocol):
    """The protocol of one connection; `lost` is called when it ends. One link serves one connection after the other."""

    def __init__(self, wall: InputWall, in_flight: int, lost: Callable[[BaseException | None], None]) -> None: ...
    def connection_made(self, transport: Transport) -> None: ...  # type: ignore[override]
    @property
    def in_flight(self) -> int: ...
    @property
    def connected(self) -> bool: ...
    @property
    def answered(self) -> int:
        """Right answers so far, over all connections."""
    @property
    def overrun_count(self) -> int: ...
    def read(self, exchange: Exchange, now_ns: int) -> bool:
        """Asks for a cyclic read, unless it is still under way, its unit is dead, or the link is down."""
    def request(self, exchange: Exchange, future: Future[bytes | None]) -> None:
        """A write or a one-off, one at a time per exchange.

        `future` ends with the registers read, or None, or ModbusError.
        """
    def sweep(self, now_ns: int) -> int:
        """Ends what is past its deadline. Three in a row without any answer, and the connection is given up."""
    def abort(self) -> None:
        """Drops the connection at once."""
    def counters(self) -> dict[tuple[str, str], int]:
        """Requests by (function, result)."""
    def latency(self) -> tuple[list[int], int]:
        """Histogram of answered requests: counts up to 2^k microseconds, and the sum in ns."""

def turn(links: list[Link], due: list[tuple[Link, Exchange]], now_ns: int) -> None:
    """One turn of the poll wheel: sweeps the deadlines of all links, then sends what is due."""
