"""What every kind of rack offers to actuation, whatever it speaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Protocol

from rampd.drivers.members import DeviceError
from rampd.ext.units import ModbusError

NOT_DELIVERED: Final = (ModbusError, DeviceError)
"""What a write ends with when the rack did not take it."""


Foreign = Literal["retake", "hold", "yield"]
"""What a limit that somebody else wrote means: ours is written again, the rack is left to them until it shows ours, or
until they were quiet for long."""


class Latch(Enum):
    """What a read-back says of the limit accepted last."""

    WAITING = "waiting"
    LATCHED = "latched"
    FOREIGN = "foreign"  # it had latched, and shows another one now
    IGNORED = "ignored"  # it should have latched by now


@dataclass(frozen=True, slots=True)
class DeadMan:
    """What a rack does by itself when nobody writes to it: after `after_s` it goes to `fallback_w`."""

    after_s: int
    fallback_w: float


class RackDriver(Protocol):
    """A rack that takes a power limit. One write is under way at a time; the caller sees to that."""

    @property
    def tolerance_w(self) -> float:
        """How far a read-back may differ from what it should show: the resolution of the register."""

    @property
    def expected_w(self) -> float:
        """What the read-back shows once the limit accepted last has latched: that limit in the device's own steps."""

    @property
    def dead_man(self) -> DeadMan | None:
        """What was programmed, None for a device that holds its last limit for ever."""

    def set_limit(self, limit_w: float) -> asyncio.Future[Any]:
        """Sends a limit in W; the future ends when the device accepted it, or with one of NOT_DELIVERED."""

    def verdict(self) -> Latch | None:
        """Whether what it accepted last reads back, where it sees to that itself; None: compare the read-back."""

    def in_force(self) -> bool | None:
        """Whether the device says that it keeps to its limit; None where it does not say."""

    @property
    def locked_out(self) -> bool:
        """Whether somebody has locked the rack out where it stands. What cannot be read is as it was."""

    async def program(self) -> None:
        """Programs the dead-man, where the device has one. Raises one of NOT_DELIVERED."""

    def programmed(self) -> bool | None:
        """Whether the dead-man reads back as programmed; None while that is not known."""
