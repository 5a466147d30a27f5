from typing_extensions import disjoint_base

from rampd.ext.image import Configuration, InputWall, Memory

@disjoint_base
class Tape:
    """What a `Loop` was given and gave in each tick, on its way to a thread that writes it down.

    The ring is bounded: ticks that find no room are lost, counted in `lost`, and the next record is a whole one.
    """

    def __init__(self, configuration: Configuration, wall: InputWall, memory: Memory) -> None: ...
    @property
    def lost(self) -> int: ...
    def want_whole(self) -> None:
        """The next tick is followed by a whole record: where another file may begin."""
    def drain(self) -> list[bytes]:
        """The records since the last call, in their order; one thread only."""

@disjoint_base
class Player:
    """Gives recorded ticks to a `Loop` on the same wall and memory, and says whether it gave the same."""

    def __init__(self, configuration: Configuration, wall: InputWall, memory: Memory) -> None: ...
    def give(self, record: bytes) -> tuple[bool, int]:
        """Takes a record in. Returns whether a tick follows, at which time.

        Raises ValueError on a record that does not belong here.
        """
    def differs(self) -> int:
        """-1 when the tick gave the recorded bits; 0: another reference, 1 + i: another set point of rack i."""
    def recorded_w(self, place: int) -> float:
        """The recorded value of such a place. Raises IndexError."""

def limits_bytes(configuration: Configuration) -> bytes:
    """The configuration's memory as it is."""

def limits_from(data: bytes) -> Configuration:
    """A configuration with that memory. Raises ValueError where it cannot be of this version."""
