"""JSON out of files that rampd keeps, which a disk or somebody may have spoiled: no number in them breaks a start."""

from __future__ import annotations

import json
import math
from typing import Any, Final

NO_NUMBER: Final = "not a finite number"
"""In its place: whoever asks for a number there finds a ValueError, as with any other text."""
MOST_DIGITS: Final = 18


def loads(text: str | bytes) -> Any:
    """As `json.loads`; what a double or 64 bits cannot hold is NO_NUMBER. Raises ValueError or RecursionError."""
    return json.loads(text, parse_constant=lambda _: NO_NUMBER, parse_float=_float, parse_int=_int)


def _float(text: str) -> float | str:
    found = float(text)
    return found if math.isfinite(found) else NO_NUMBER


def _int(text: str) -> int | str:
    return int(text) if len(text.lstrip("-")) <= MOST_DIGITS else NO_NUMBER
