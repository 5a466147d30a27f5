"""Two meters of one place, side by side: whether they agree, for how long, and whether that proves anything.

One that stands still agrees with a load that stands still. So a meter that was found wrong must have gone along with
the other through a move that is larger than what they may differ by. Both are taken by their range of three seconds:
they are read at different times, and neither is late for that.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

AGREE_PART: Final = 0.02  # of the site's most
MOVED_PART: Final = 0.05
"""More than twice that: no value stays so near to all of such a move."""
AGREE_NS: Final = 60_000_000_000
DIFFER_PART: Final = 0.03
DIFFER_NS: Final = 60_000_000_000
RANGE_NS: Final = 3_000_000_000


@dataclass(slots=True)
class Twins:
    """Powers in W, times CLOCK_MONOTONIC ns. `apart_w`: the first meter less the second, NaN: not both were read."""

    max_w: float
    apart_w: float = math.nan
    differ: bool = False
    _samples: deque[tuple[int, float, float]] = field(default_factory=deque)
    _other_ns: int = 0  # until when they did what `differ` says
    _agree_ns: int = 0  # since when they agree, 0: they do not
    _least_w: tuple[float, float] = (0.0, 0.0)  # of both, since then
    _most_w: tuple[float, float] = (0.0, 0.0)

    def look(self, first_w: float, second_w: float, now_ns: int) -> None:
        """Both were read."""
        self.apart_w = first_w - second_w
        samples = self._samples
        samples.append((now_ns, first_w, second_w))
        while samples[0][0] < now_ns - RANGE_NS:
            samples.popleft()
        firsts, seconds = [one[1] for one in samples], [one[2] for one in samples]
        gap_w = max(min(firsts) - max(seconds), min(seconds) - max(firsts))
        self._note(gap_w <= AGREE_PART * self.max_w, first_w, second_w, now_ns)
        if self._other_ns == 0 or (gap_w > DIFFER_PART * self.max_w) == self.differ:
            self._other_ns = now_ns
        elif now_ns - self._other_ns >= DIFFER_NS:
            self.differ = not self.differ

    def _note(self, agree: bool, first_w: float, second_w: float, now_ns: int) -> None:
        if not agree:
            self._agree_ns = 0
        elif self._agree_ns == 0:
            self._agree_ns, self._least_w, self._most_w = now_ns, (first_w, second_w), (first_w, second_w)
        else:
            self._least_w = (min(self._least_w[0], first_w), min(self._least_w[1], second_w))
            self._most_w = (max(self._most_w[0], first_w), max(self._most_w[1], second_w))

    def part(self, now_ns: int) -> None:
        """One was not read, or was found wrong: what they agreed on before says nothing about it."""
        self._samples.clear()
        self.apart_w, self._agree_ns, self._other_ns = math.nan, 0, now_ns

    def proven(self, now_ns: int) -> bool:
        """Whether they have agreed for long, while both have moved."""
        moved_w = min(most_w - least_w for most_w, least_w in zip(self._most_w, self._least_w, strict=True))
        return 0 < self._agree_ns <= now_ns - AGREE_NS and moved_w >= MOVED_PART * self.max_w
