from collections.abc import Sequence
from typing import Self

from typing_extensions import disjoint_base

from rampd.ext.image import InputWall

_FieldSpec = tuple[int, int, int, int, float, float, float, float, Sequence[int], int, int, int]

@disjoint_base
class Decoder:
    """Decodes the registers of one answer into the slots of an image.

    A field is (register offset in the answer, encoding, word order, words, scale, offset, low, high, sentinels, mask,
    register offset of the decimal exponent or -1, slot); the enums are those of the drivers' registers.
    Raises ValueError when a field lies outside the answer, reads beyond it, or has more than four sentinels.
    """

    def __new__(cls, fields: Sequence[_FieldSpec], registers: int) -> Self: ...
    @property
    def count(self) -> int: ...
    @property
    def registers(self) -> int: ...
    def decode(self, answer: bytes | bytearray | memoryview, wall: InputWall, at_ns: int) -> None:
        """Big-endian register bytes as they came; a bad value keeps the slot's last number and gets its quality."""
