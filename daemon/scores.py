"""The grid's yardsticks as functions of recorded series: steps, regulation, base points, primary response, windows.

Powers in W, times in s. Needs numpy (the extra `report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
REGULATION_S: Final = 2.0
WINDOW_S: Final = 300.0
# A signal that hardly moves has no correlation worth scoring.
STILL_SD: Final = 0.01


@dataclass(frozen=True, slots=True)
class Step:
    """How a step went: when it was there to stay, the least time physics allows, and what went beyond; parts of it."""

    t_s: float
    optimum_s: float
    overshoot_ratio: float
    error_ratio: float


def means(series: Floats, dt_s: float, width_s: float) -> Floats:
    """Means over consecutive intervals."""
    width = round(width_s / dt_s)
    count = len(series) // width
    found: Floats = series[: count * width].reshape(count, width).mean(axis=1)
    return found


def rolling(series: Floats, dt_s: float, width_s: float) -> Floats:
    """The mean of the last `width_s` at every sample that has so many before it."""
    width = round(width_s / dt_s)
    total = np.concatenate([[0.0], np.cumsum(series)])
    found: Floats = (total[width:] - total[:-width]) / width
    return found


def settled(power_w: Floats, target_w: float, step_w: float, dt_s: float, band: float) -> float:
    """Seconds until the power stays within the band, a part of the step, to the end of the series."""
    outside = np.nonzero(np.abs(power_w - target_w) > band * abs(step_w))[0]
    return float((outside[-1] + 1) * dt_s) if len(outside) else 0.0


def optimum(room_w: Floats, slope_w: Floats, dead_s: Floats, step_w: float) -> float:
    """The least time in which racks that all start at once bring a step; inf where they cannot."""
    if room_w.sum() < step_w:
        return float("inf")
    low_s, high_s = 0.0, 1.0
    while np.minimum(room_w, slope_w * np.maximum(0.0, high_s - dead_s)).sum() < step_w:
        high_s *= 2.0
    for _ in range(40):
        middle_s = 0.5 * (low_s + high_s)
        if np.minimum(room_w, slope_w * np.maximum(0.0, middle_s - dead_s)).sum() < step_w:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def regulation(signal_w: Floats, response_w: Floats, dt_s: float) -> Floats:
    """Our regulation score of every five minutes: correlation, delay and precision on 2 s means; 1 is exact.

    The delay d = 0, 2 .. 300 s is the one for which correlation and 1 - d / 300 s are best in sum; precision is
    taken without a shift, against the mean of the signal over the hour.
    """
    signal, response = (means(series, dt_s, REGULATION_S) for series in (signal_w, response_w))
    width = round(WINDOW_S / REGULATION_S)
    scale = max(float(np.abs(signal_w).max()), 1.0)
    hour = round(3600 / REGULATION_S)
    scores = []
    for begin in range(0, len(signal) - 2 * width + 1, width):
        asked = signal[begin : begin + width]
        given = response[begin : begin + 2 * width]
        at = begin // hour * hour
        mean = np.abs(signal[at : at + hour]).mean()
        precision = max(0.0, 1.0 - float(np.abs(given[:width] - asked).mean() / mean)) if mean > 0 else 1.0
        if asked.std() < STILL_SD * scale:
            scores.append(precision)
            continue
        best = _best(asked, given, width)
        scores.append((best[0] + best[1] + precision) / 3.0)
    return np.array(scores)


def _best(asked: Floats, given: Floats, width: int) -> tuple[float, float]:
    """Correlation and delay score where their sum is largest."""
    found = (0.0, 0.0)
    for d in range(width + 1):
        pair = (_correlation(asked, given[d : d + width]), 1.0 - d * REGULATION_S / WINDOW_S)
        if sum(pair) > sum(found):
            found = pair
        if 1.0 + pair[1] < sum(found):
            break  # no later shift can be better
    return found


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return max(0.0, float((a * b).sum()) / size) if size > 0 else 0.0


def worst_hour(scores: Floats) -> float | None:
    """The least mean of twelve five-minute scores in a row; None of less than an hour."""
    if len(scores) < 12:
        return None
    return float(min(scores[i : i + 12].mean() for i in range(len(scores) - 11)))


def base_points(asked_w: Floats, power_w: Floats, dt_s: float) -> float:
    """Share of five-minute intervals whose mean error is within 3 % and 3 MW."""
    asked, power = means(asked_w, dt_s, WINDOW_S), means(power_w, dt_s, WINDOW_S)
    return float((np.abs(power - asked) <= np.minimum(0.03 * np.abs(asked), 3e6)).mean())


def droop(hz: Floats, nominal: float, share: float, deadband: float, capacity_w: float) -> Floats:
    """What primary response must add to the purchase at each sample; W."""
    away = hz - nominal
    beyond = np.sign(away) * np.maximum(0.0, np.abs(away) - deadband)
    return beyond / (nominal * share - deadband) * capacity_w


def primary(expected_w: Floats, measured_w: Floats, dt_s: float, event_s: float) -> tuple[float, float]:
    """Initial (20 to 52 s) and sustained (46 to 60 s) response over the expected one, each less what was before."""

    def mean(series: Floats, first_s: float, last_s: float) -> float:
        return float(series[round((event_s + first_s) / dt_s) : round((event_s + last_s) / dt_s)].mean())

    before = [mean(series, -16.0, -2.0) for series in (measured_w, expected_w)]
    ratios = []
    for first_s, last_s in ((20.0, 52.0), (46.0, 60.0)):
        ratios.append((mean(measured_w, first_s, last_s) - before[0]) / (mean(expected_w, first_s, last_s) - before[1]))
    return ratios[0], ratios[1]


def beyond(power_w: Floats, dt_s: float, window_s: float, most_w: float) -> Any:
    """Per sample, whether the power left a band of `most_w` within the last `window_s`; 1 s means count."""
    smooth = rolling(power_w, dt_s, 1.0)[:: round(1.0 / dt_s)]
    width = round(window_s) + 1
    frames = np.lib.stride_tricks.sliding_window_view(smooth, width)
    return frames.max(axis=1) - frames.min(axis=1) > most_w
