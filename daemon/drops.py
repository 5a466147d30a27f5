"""Load that went by itself: the racks' own readings tell it within a second, crests of the meter where these are late.

What the racks fell by comes from the core (`rampd.ext.crash`). The meter tells what they cannot show: load that rampd
does not control, racks that are read slowly. What goes on falling, or shows the other way later, is the same thing.
The first swing of a job cannot be told from a crash while it lasts, nor a pause of a job: each is one event.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rampd.ext import codes, views

DROP_PART: Final = 0.05
"""Of the site's most: the least fall that is an event."""
STILL_PART: Final = 0.005
"""Of the site's most: a reference that moves by more leads the purchase, a fall that grows by less is over."""
SETTLED_S: Final = 60.0
"""After a start or a fault the hall finds its place first."""
WITHIN_S: Final = 2.0
"""Racks fall together that fall within this time."""
REST_S: Final = 0.2
"""So long a fall does not grow when it is over; racks that are read twice a second are read at any time of that."""
LONGEST_S: Final = 0.5
"""It is waited for no longer."""
CREST_S: Final = 6.0
"""What swings comes back within this time: crests of the meter are compared, not values."""
LAG_S: Final = 12.0
"""The purchase follows reference and set points within this time, slow racks and all."""
BACK_S: Final = 15.0
"""What comes back within this time has swung, and so may others until their troughs are known, in `LEARNT_S`."""
LEARNT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Drop:
    """How much fell, in W, within which time, in s, and who says so: `racks` or `meter`."""

    fell_w: float
    within_s: float
    by: str


@dataclass(slots=True)
class Drops:
    """Remembers some seconds of what it was shown; `max_w` is the site's most. Times in s."""

    max_w: float
    _calm_s: float = math.inf  # since when there is no fault
    _good_s: float = math.inf  # and a purchase to judge
    _told_s: float = -math.inf
    _back_w: float = -math.inf  # the racks' sum has come back from what was told where it is less than that
    _quiet_s: float = -math.inf  # until when racks are not believed
    _begun_s: float | None = None  # since when the racks' sum has risen by enough
    _sums: deque[tuple[float, float]] = field(default_factory=deque)  # when, what racks have fallen by
    _seen: deque[tuple[float, float]] = field(default_factory=deque)  # when, meter
    _asked: deque[tuple[float, float, float]] = field(default_factory=deque)  # when, set points in sum, reference

    def look(self, out: views.Outputs, now_s: float) -> Drop | None:
        """One look at a site that has started; what fell, once."""
        if out.site_why == codes.SITE_FAULT:
            self._calm_s = self._good_s = now_s
            self._begin()
            return None
        self._calm_s = min(self._calm_s, now_s)
        drop = self._racks(out, now_s) or self._meter(out, now_s)
        if drop is not None:
            self._begin()
            self._told_s = now_s
            self._back_w = out.fell_w - 0.5 * drop.fell_w if drop.by == "racks" else -math.inf
        return drop

    def _begin(self) -> None:
        self._sums.clear()
        self._seen.clear()
        self._begun_s = None

    def _racks(self, out: views.Outputs, now_s: float) -> Drop | None:
        """The rise of what they have fallen by, once it rests."""
        sums = self._sums
        sums.append((now_s, out.fell_w))
        while sums[0][0] < now_s - WITHIN_S:
            sums.popleft()
        if out.fell_w < self._back_w and now_s - self._told_s < BACK_S:
            self._quiet_s = self._told_s + LEARNT_S
        low_w, low_s = min((sum_w, -at_s) for at_s, sum_w in sums)
        rise_w = out.fell_w - low_w
        if rise_w < DROP_PART * self.max_w:
            self._begun_s = None
            return None
        if now_s - self._told_s < CREST_S:
            # What goes on falling is the same thing.
            self._told_s = now_s
            return None
        if now_s - self._calm_s < SETTLED_S or now_s < self._quiet_s:
            return None
        if self._begun_s is None:
            self._begun_s = now_s
        rested_w = next(sum_w for at_s, sum_w in sums if at_s > now_s - 1.5 * REST_S)
        if out.fell_w - rested_w > STILL_PART * self.max_w and now_s - self._begun_s < LONGEST_S:
            return None
        return Drop(rise_w, now_s + low_s, "racks")

    def _meter(self, out: views.Outputs, now_s: float) -> Drop | None:
        """The crest of the purchase before and now, less what set points fell by: demand that goes takes some."""
        seen, asked = self._seen, self._asked
        asked.append((now_s, out.total_w, out.reference_w))
        while asked[0][0] < now_s - 2.0 * CREST_S - LAG_S:
            asked.popleft()
        if not out.meter_good:
            seen.clear()
            self._good_s = now_s
            return None
        self._good_s = min(self._good_s, now_s)
        if now_s - self._told_s < CREST_S:
            return None
        seen.append((now_s, out.power_w))
        while seen[0][0] < now_s - 2.0 * CREST_S:
            seen.popleft()
        if now_s - seen[0][0] < 1.9 * CREST_S or now_s - self._good_s < SETTLED_S:
            return None
        recent_w = max(power_w for at_s, power_w in seen if at_s > now_s - CREST_S)
        before_w = max(power_w for at_s, power_w in seen if at_s <= now_s - CREST_S)
        lowered_w = max(total_w for _, total_w, _ in asked) - out.total_w
        led_w = max(reference_w for *_, reference_w in asked) - min(reference_w for *_, reference_w in asked)
        if led_w > STILL_PART * self.max_w or before_w - recent_w - lowered_w < DROP_PART * self.max_w:
            return None
        return Drop(before_w - out.power_w, CREST_S, "meter")
