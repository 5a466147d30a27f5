"""How well a dispatch went, from samples of the meter that an independent reader took."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

BAND: Final = 0.01
HOLD_S: Final = 10.0
MEAN_S: Final = 1.0
FINAL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Score:
    """One step. `t_s` is None when the meter never settled; ratios are of the step."""

    t_s: float | None
    overshoot_ratio: float
    final_error_ratio: float


def means(samples: list[tuple[float, float]], width_s: float = MEAN_S) -> list[tuple[float, float]]:
    """Trailing mean over `width_s` at every sample that has a full window behind it; samples are (s, W)."""
    out: list[tuple[float, float]] = []
    window: deque[tuple[float, float]] = deque()
    total = 0.0
    for at, value in samples:
        window.append((at, value))
        total += value
        while window and window[0][0] <= at - width_s:
            total -= window.popleft()[1]
        if at - samples[0][0] >= width_s:
            out.append((at, total / len(window)))
    return out


def score(
    samples: list[tuple[float, float]], begun_s: float, from_w: float, target_w: float, *, band: float = BAND
) -> Score:
    """A step begun at `begun_s` from `from_w` to `target_w`; settled when the 1 s mean stays in its band for 10 s.

    The band is a part of the step, 1 % where nothing else is said. Samples from a second before the step on are needed.
    Raises ValueError on a step of nothing or without samples.
    """
    step_w = target_w - from_w
    after = [(at, w) for at, w in samples if at >= begun_s]
    if step_w == 0 or not after:
        raise ValueError("a score needs a step, and samples after it")
    settled: float | None = None
    last_s = after[-1][0]
    for at, mean_w in means([s for s in samples if s[0] >= begun_s - MEAN_S]):
        if at < begun_s:
            continue
        if abs(mean_w - target_w) > band * abs(step_w):
            settled = None
        elif settled is None:
            settled = at
    if settled is not None and last_s - settled < HOLD_S:
        settled = None
    over = max((w - target_w) / step_w for _, w in after)
    final = [w for at, w in after if at >= last_s - FINAL_S]
    error = abs(sum(final) / len(final) - target_w) / abs(step_w)
    return Score(None if settled is None else round(settled - begun_s, 2), round(max(0.0, over), 4), round(error, 4))
