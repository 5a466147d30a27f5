from collections.abc import Callable
from typing import Self

from typing_extensions import disjoint_base

from rampd.ext.decode import Decoder

STATE_NAMES: tuple[str, ...]

class ModbusError(Exception):
    """A request that was not done; `code` is the Modbus exception code, 0 when there was no answer."""

    code: int
    def __init__(self, message: str, code: int = 0) -> None: ...

@disjoint_base
class Unit:
    """A unit at the other end: its breaker, and what is queued for it.

    After three misses in a row the breaker opens: reads wait, writes fail at once, and one probe after a pause decides.
    """

    def __new__(cls) -> Self: ...
    @property
    def failures(self) -> int:
        """Misses since the last answer."""
    @property
    def returns(self) -> int:
        """How often it answered again after its breaker had opened."""
    @property
    def heard_ns(self) -> int:
        """Time of the last answer, 0 before the first."""
    @property
    def answer_ns(self) -> int:
        """How long its last answers took, in the mean; 0 before the first."""
    @property
    def slowest_ns(self) -> int:
        """The slowest of its last few hundred answers, forgotten little by little."""
    @property
    def open(self) -> bool:
        """Whether its breaker is open or half-open."""
    @property
    def state_name(self) -> str:
        """One of `STATE_NAMES`."""

@disjoint_base
class Exchange:
    """A request frame, encoded once, and what its answer must be; cyclic reads carry the decoder of their answer.

    `frame` is a whole MBAP frame; its transaction id is replaced at every attempt. Raises ValueError on a frame that is
    too short, and when the decoder is not of as many registers.
    """

    answered: Callable[[], object] | None
    """Called after each right answer."""
    refused: Callable[[int], bool] | None
    """Called with the exception code when the device refuses a read for good; True: the values keep what they have."""

    def __init__(self, frame: bytes, unit: Unit, decoder: Decoder | None, timeout_ns: int) -> None: ...
    @property
    def unit(self) -> Unit: ...

@disjoint_base
class Queue:
    """Units with something to send, in the order they are served, and the dead ones."""

    def __new__(cls) -> Self: ...
