from asyncio import Future, Protocol, Transport
from collections.abc import Callable

from typing_extensions import disjoint_base

from rampd.ext.image import InputWall
from rampd.ext.units import Exchange
from rampd.ext.units import ModbusError as ModbusError

RESULT_NAMES: tuple[str, ...]

@disjoint_base
class Link(Protocol):
    """The protocol of one connection; `lost` is called when it ends. One link serves one connection after the other.

    `in_flight` requests are under way at most, `gap_ns` lies between two, `delay_ns` after connecting. A link that is
    not `numbered` has no ids on the wire (RTU): a unit that missed is not asked again before its answer would have
    come twice over. Raises ValueError on an impossible `in_flight`.
    """

    def __init__(
        self,
        wall: InputWall,
        in_flight: int,
        lost: Callable[[BaseException | None], None],
        *,
        gap_ns: int = 0,
        delay_ns: int = 0,
        numbered: bool = True,
    ) -> None: ...
    def connection_made(self, transport: Transport) -> None: ...  # type: ignore[override]
    @property
    def in_flight(self) -> int: ...
    @property
    def numbered(self) -> bool: ...
    @property
    def connected(self) -> bool: ...
    @property
    def answered(self) -> int:
        """Right answers so far, over all connections."""
    @property
    def overrun_count(self) -> int:
        """Cyclic reads that came due while the one before was still under way."""
    def read(self, exchange: Exchange) -> bool:
        """Asks for a cyclic read, unless it is still under way. It waits while its unit is dead or the link is down."""
    def request(self, exchange: Exchange, future: Future[bytes | None]) -> None:
        """A write or a one-off, one at a time per exchange.

        `future` ends with the registers read, or None, or ModbusError; after a second in the queue it fails unsent.
        """
    def sweep(self, now_ns: int) -> int:
        """Ends what is past its deadline, sent or not, and probes dead units.

        Three in a row without any answer, and the connection is given up.
        """
    def paced(self) -> None:
        """The pause that the device needs is over."""
    def abort(self) -> None:
        """Drops the connection at once."""
    def counters(self) -> dict[tuple[str, str], int]:
        """Requests by (function, result)."""
    def latency(self) -> tuple[list[int], int]:
        """Histogram of answered requests: counts up to 2^k microseconds, and the sum in ns."""

def turn(links: list[Link], due: list[tuple[Link, Exchange]], now_ns: int) -> None:
    """One turn of the poll wheel: sweeps the deadlines of all links, then sends what is due."""
