"""What a golden vector is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rampd.ext.codes import Quality

Words = Mapping[int | tuple[int, int], str]
"""Register words in hex by their address, or by (SunSpec model, offset from its ID register)."""
Found = Mapping[str, float | Quality | str]
"""What they are: a number, a text, or the quality of what is none."""
Vectors = dict[str, list[tuple[Words, Found]]]

NAN: Final = "7fc00000"


def text(shown: str, words: int) -> str:
    """A string as registers hold it, in hex."""
    return shown.encode("ascii").hex().ljust(4 * words, "0")
