"""Two meters of one place, side by side: whether they agree, for how long, and whether that proves anything.

One that stands still agrees with a load that stands still. So a meter that was found wrong must have gone along with
the other through a move that is larger than what they may differ by; or, where no such move comes, have stood beside
it for much longer, alive, under a load at which a wrong scale would show. Both are taken by their range of three
seconds: they are read at different times, and neither is late for that.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

MOVED: Final = 2.5
"""Times what they may differ by, and so more than twice that: no value stays so near to all of such a move."""
AGREE_NS: Final = 60_000_000_000
REST_NS: Final = 300_000_000_000
LIFE_NS: Final = 30_000_000_000  # a meter of a load that draws something changes its last digit sooner
LOAD_PART: Final = 0.25
DIFFER_PART: Final = 0.03
DIFFER_NS: Final = 60_000_000_000
RANGE_NS: Final = 3_000_000_000


@dataclass(slots=True)
class Twins:
    """Powers in W, times CLOCK_MONOTONIC ns. `apart_w`: the first meter less the second, NaN: not both were read.

    What they may differ by is a part of `max_w`, the site's most.
    """

    max_w: float
    agree_part: float = 0.02
    apart_w: float = math.nan
    differ: bool = False
    _samples: deque[tuple[int, float, float]] = field(default_factory=deque)
    _other_ns: int = 0  # until when they did what `differ` says
    _agree_ns: int = 0  # since when they agree, 0: they do not
    _low_w: tuple[float, float] = (0.0, 0.0)  # how low both went since then, and stayed
    _high_w: tuple[float, float] = (0.0, 0.0)
    _shown_w: list[float] = field(default_factory=lambda: [math.nan, math.nan])
    _shown_ns: list[int] = field(default_factory=lambda: [0, 0])  # since when each shows that
    _rest_ns: list[int] = field(default_factory=lambda: [0, 0])  # since when each stands beside the other, alive

    def look(self, first_w: float, second_w: float, now_ns: int) -> None:
        """Both were read."""
        self.apart_w = first_w - second_w
        samples = self._samples
        samples.append((now_ns, first_w, second_w))
        while samples[0][0] < now_ns - RANGE_NS:
            samples.popleft()
        firsts, seconds = [one[1] for one in samples], [one[2] for one in samples]
        gap_w = max(min(firsts) - max(seconds), min(seconds) - max(firsts))
        agree_w = self.agree_part * self.max_w
        self._note(gap_w <= agree_w, (min(firsts), min(seconds)), (max(firsts), max(seconds)), now_ns)
        # At rest no single reading may be wild.
        wild_w = max(first_w - max(seconds), min(seconds) - first_w, second_w - max(firsts), min(firsts) - second_w)
        self._rest(wild_w <= agree_w, first_w, second_w, now_ns)
        if self._other_ns == 0 or (gap_w > DIFFER_PART * self.max_w) == self.differ:
            self._other_ns = now_ns
        elif now_ns - self._other_ns >= DIFFER_NS:
            self.differ = not self.differ

    def _note(self, agree: bool, least_w: tuple[float, float], most_w: tuple[float, float], now_ns: int) -> None:
        """Of a move counts what each showed for all of three seconds: one wild reading is none."""
        if not agree:
            self._agree_ns = 0
        elif self._agree_ns == 0:
            self._agree_ns, self._low_w, self._high_w = now_ns, most_w, least_w
        else:
            self._low_w = (min(self._low_w[0], most_w[0]), min(self._low_w[1], most_w[1]))
            self._high_w = (max(self._high_w[0], least_w[0]), max(self._high_w[1], least_w[1]))

    def _rest(self, beside: bool, first_w: float, second_w: float, now_ns: int) -> None:
        loaded = min(first_w, second_w) >= LOAD_PART * self.max_w
        for k, shown_w in enumerate((first_w, second_w)):
            if shown_w != self._shown_w[k]:
                self._shown_w[k], self._shown_ns[k] = shown_w, now_ns
            alive = now_ns - self._shown_ns[k] < LIFE_NS
            if not (beside and loaded and alive) or self._rest_ns[k] == 0:
                self._rest_ns[k] = now_ns

    def part(self, now_ns: int) -> None:
        """One was not read, or was found wrong: what they agreed on before says nothing about it."""
        self._samples.clear()
        self.apart_w, self._agree_ns, self._other_ns = math.nan, 0, now_ns
        self._rest_ns = [0, 0]

    def proven(self, which: int, now_ns: int) -> bool:
        """Whether the first (0) or the second has agreed with the other for long: while both have moved, or at rest."""
        moved_w = min(high_w - low_w for high_w, low_w in zip(self._high_w, self._low_w, strict=True))
        if 0 < self._agree_ns <= now_ns - AGREE_NS and moved_w >= MOVED * self.agree_part * self.max_w:
            return True
        return 0 < self._rest_ns[which] <= now_ns - REST_NS
