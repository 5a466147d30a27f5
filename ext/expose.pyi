from array import array
from typing import Self

from typing_extensions import disjoint_base

@disjoint_base
class Series:
    """Lines of the text exposition: `prefixes` are name, labels and the space before the number, as bytes."""

    def __new__(cls, prefixes: list[bytes]) -> Self: ...
    @property
    def count(self) -> int: ...
    def render(self, values: array[float], shown: bytes | bytearray) -> bytes:
        """One line per series whose mark is not 0. Raises ValueError when the lengths differ."""
