from array import array
from typing import Self

from typing_extensions import disjoint_base

@disjoint_base
class Configuration:
    """Memory of the configuration that step and guard read; fill it once through `views.limits`.

    Counts are of readings, racks, tree nodes, cooling loops, allocation groups, tiers, ticks of history, listed
    levels of racks, rolling windows, under-frequency steps, feeders, and addresses that several racks share.
    Raises ValueError on a count below its least.
    """

    def __new__(
        cls,
        *,
        slots: int,
        racks: int,
        nodes: int,
        loops: int,
        groups: int,
        tiers: int,
        history: int,
        levels: int = 0,
        windows: int = 0,
        under_steps: int = 0,
        feeders: int = 1,
        links: int = 0,
    ) -> Self: ...
    @property
    def address(self) -> int: ...

@disjoint_base
class InputWall:
    """asyncio's side of the inputs: write through `views.inputs`, then publish; the loop latches the newest."""

    def __new__(cls, configuration: Configuration) -> Self: ...
    @property
    def address(self) -> int: ...
    def publish(self, now_ns: int) -> None:
        """Hands a copy over: one memcpy and one atomic exchange."""

@disjoint_base
class OutputWall:
    """The loop's snapshots; `latch` gives the address of the newest, valid until the next latch."""

    def __new__(cls, configuration: Configuration) -> Self: ...
    def latch(self) -> int: ...
    def moved(self, last_w: array[float]) -> list[int]:
        """Racks whose set point differs from `last_w` and may be written; brings `last_w` up to date."""

@disjoint_base
class Memory:
    """What step and guard remember from tick to tick."""

    def __new__(cls, configuration: Configuration) -> Self: ...
    @property
    def state_address(self) -> int: ...
    @property
    def watch_address(self) -> int: ...

def sizes() -> dict[str, int]:
    """Bytes of every struct, for the check of `views`."""
