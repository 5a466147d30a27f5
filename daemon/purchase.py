"""What the desk knows of the purchase: its mean over a second, how much it wanders by itself, and its reference."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Self

from rampd.daemon.site import Composed
from rampd.ext import views

MEAN_S: Final = 1.0
SWING_S: Final = 5.0
SETTLE_S: Final = 10.0
"""So long after the reference has come to rest, the racks have followed it."""
FADE_S: Final = 600.0
STEP_PART: Final = 0.01
SITE_PART: Final = 0.0025
HALF_A_STEP: Final = 0.55
"""What racks that move in steps leave of a target, and a little for what they draw beside their steps."""
LOOSE_PART: Final = 0.1
"""A small step is judged no more loosely than by this part of it, whatever the noise and the grain are."""


@dataclass(slots=True)
class Purchase:
    """Powers in W, times CLOCK_MONOTONIC ns. `mean_w` and `led_w` are NaN until the meter was read.

    `max_w` is the site's most, `grain_w` half the largest step in which a rack moves.
    """

    max_w: float
    grain_w: float = 0.0
    mean_w: float = math.nan
    led_w: float = math.nan  # without regulation and primary response: what a command makes of it
    reference_w: float = 0.0
    goal_w: float = 0.0  # where the reference goes
    least_w: float = 0.0
    noise_w: float = 0.0  # peak to peak of the mean within 5 s while nothing is asked of it; a peak that fades
    _samples: deque[tuple[int, float]] = field(default_factory=deque)
    _means: deque[tuple[int, float]] = field(default_factory=deque)
    _rest_ns: int = 0  # since when the reference stands
    _noise_ns: int = 0

    @classmethod
    def of(cls, composed: Composed) -> Self:
        """The purchase of a site; levels count from one to the next, off is none."""
        site, grain_w = composed.config.site, 0.0
        for rack in composed.racks:
            levels = [level_kw for level_kw in rack.levels_kw if level_kw > 0.0]
            grain_w = max(grain_w, rack.quantum_kw * 1e3, *((b - a) * 1e3 for a, b in pairwise(levels)))
        return cls(site.max_mw * 1e6, HALF_A_STEP * grain_w)

    def tight_w(self, span_w: float) -> float:
        """How far from its target a step of so much has arrived: 1 % of the step, or 0.25 % of the site's most."""
        return max(STEP_PART * span_w, SITE_PART * self.max_w)

    def band_w(self, span_w: float) -> float:
        """The same where the load's own noise or its racks' grain come nearer to nothing."""
        return max(self.tight_w(span_w), min(LOOSE_PART * span_w, max(self.noise_w, self.grain_w)))

    def note(self, out: views.Outputs, now_ns: int) -> None:
        """One snapshot, ten a second. What a meter shows that is not to be believed changes nothing."""
        if not out.started or not out.meter_good:
            self._rest_ns = now_ns
            return
        if out.reference_w != self.reference_w:
            self._rest_ns = now_ns
        self.reference_w, self.goal_w, self.least_w = out.reference_w, out.goal_w, out.least_w
        self.mean_w = _enter(self._samples, now_ns, out.power_w, MEAN_S)
        self.led_w = self.mean_w - out.regulation_w - out.response_w
        _enter(self._means, now_ns, self.led_w, SWING_S)
        swing_w = self._own_swing_w() if now_ns - self._rest_ns > SETTLE_S * 1e9 else 0.0
        fade = math.exp((self._noise_ns - now_ns) * 1e-9 / FADE_S)
        self.noise_w, self._noise_ns = max(swing_w, self.noise_w * fade), now_ns

    def _own_swing_w(self) -> float:
        """Peak to peak about the reference, less what is a trend: racks that wake are no noise."""
        means = [mean_w for _, mean_w in self._means]
        if not min(means) <= self.reference_w <= max(means):
            return 0.0
        half = len(means) // 2
        trend_w = 2.0 * abs(sum(means[half:]) / (len(means) - half) - sum(means[:half]) / max(1, half))
        return max(0.0, max(means) - min(means) - trend_w)


def _enter(window: deque[tuple[int, float]], now_ns: int, value: float, width_s: float) -> float:
    """The mean over a trailing window, with a new value in it."""
    window.append((now_ns, value))
    while window[0][0] <= now_ns - width_s * 1e9:
        window.popleft()
    return sum(each for _, each in window) / len(window)
