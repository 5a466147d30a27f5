from array import array

class Series:
    """Lines of the text exposition: `prefixes` are name, labels and the space before the number, as bytes."""

    def __init__(self, prefixes: list[bytes]) -> None: ...
    @property
    def count(self) -> int: ...
    def render(self, values: array[float], shown: bytes | bytearray) -> bytes:
        """One line per series whose mark is not 0. Raises ValueError when the lengths differ."""
