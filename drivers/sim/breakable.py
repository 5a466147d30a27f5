"""What a fault acts on, whatever it speaks."""

from __future__ import annotations

from typing import Literal, Protocol

from rampd.drivers.sim.faults import Fault


class Breakable(Protocol):
    """A Modbus device, or a member of a rack.

    `kind` is that of its map, or "member"; `place` the position of its rack, node or loop in the plant. `writes` says
    what becomes of a write, `written_s` when the last one came.
    """

    writes: Literal["done", "dropped"]
    written_s: float

    @property
    def id(self) -> str:
        """Its name in fault files."""

    @property
    def kind(self) -> str:
        """What it is."""

    @property
    def place(self) -> int:
        """Where it stands in the plant."""

    @property
    def limit_w(self) -> float:
        """The limit that holds."""

    @property
    def max_w(self) -> float:
        """Its rating."""

    def set_limit(self, limit_w: float, now_s: float) -> None:
        """A limit that takes hold, whoever set it."""

    def freeze(self, frozen: bool) -> None:
        """Keeps what is shown, or lets it go."""

    def set_absent(self, absent: bool) -> None:
        """No values at all, or what the plant shows again."""

    def break_wire(self, fault: Fault, seed: int) -> bool:
        """Answers wrongly, if the fault is one of the wire."""

    def mend_wire(self) -> None:
        """Answers rightly again."""

    def power_on(self, now_s: float) -> None:
        """What a restart leaves."""


class Where(Protocol):
    """The address of a device: closed and opened, or deaf, for as long as any cause stands."""

    def take_down(self, cause: object) -> None:
        """Closes it."""

    def bring_up(self, cause: object) -> bool:
        """Removes a cause; True when it is to be opened again."""

    def deafen(self, cause: object) -> None:
        """Stops to read."""

    def hear(self, cause: object) -> None:
        """Removes a cause; reads on with the last."""

    async def open(self) -> None:
        """Listens."""
