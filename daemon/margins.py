"""How stable the feedback is: its maximum sensitivity, nominal and where dead time and gain are not as configured.

Internal-model control: the meter less the model, both as the meter shows them, goes through a first-order filter and is
taken off the target. With plant P, model Pm, meter M and filter F the sensitivity is
(1 - F M Pm) / (1 + F M (P - Pm)); its maximum Ms bounds gain margin (Ms / (Ms - 1)) and phase margin
(2 asin(1 / (2 Ms))). Racks that are bridged by others get feed-forward only and are not in the loop. `corners` measures
the same on the compiled core.
"""

from __future__ import annotations

import cmath
import itertools
import math
from typing import Final, NamedTuple

from rampd.daemon.config import Config
from rampd.daemon.site import loop_s

DEAD: Final = (0.5, 1.0, 1.5)
GAIN: Final = (0.7, 1.0, 1.3)
POINTS: Final = 2000


class Peak(NamedTuple):
    """The maximum of the sensitivity, and where it is."""

    ms: float
    hz: float


def sensitivity(dead: float, meter_s: float, filter_s: float, dead_part: float, gain: float) -> Peak:
    """Ms of one corner: dead times of the plant times `dead_part`, its gain times `gain`."""
    worst = Peak(0.0, 0.0)
    for k in range(1, POINTS):
        # From a thousandth of the loop's own frequency to ten times it.
        s = 1j * 10.0 ** (-3.0 + 4.0 * k / POINTS) / max(dead + meter_s, 0.05)
        model = cmath.exp(-s * dead)
        plant = gain * cmath.exp(-s * dead * dead_part)
        shown = cmath.exp(-s * meter_s) / (1.0 + s * filter_s)
        ms = abs((1.0 - shown * model) / (1.0 + shown * (plant - model)))
        worst = max(worst, Peak(ms, s.imag / (2.0 * math.pi)))
    return worst


def corner(config: Config, dead_part: float, gain: float) -> Peak:
    """Ms where dead times and gain are so many times the configured ones."""
    meter = next(meter for meter in config.meters if meter.id == config.site.meter)
    meter_s = config.control.meter_delay_s + 0.5 * meter.period_s
    dead = loop_s(config.racks)
    filter_s = max(config.control.feedback_s, dead + meter_s)
    return sensitivity(dead, meter_s, filter_s, dead_part, gain)


def table(config: Config) -> dict[tuple[float, float], float]:
    """Ms by (dead time, gain), as parts of the configured ones; (1, 1) is nominal."""
    return {(part, gain): corner(config, part, gain).ms for part, gain in itertools.product(DEAD, GAIN)}


def words(ms: float) -> str:
    """A maximum sensitivity as the margins it guarantees."""
    gain_db = 20.0 * math.log10(ms / (ms - 1.0)) if ms > 1.0 else math.inf
    return f"gain margin >= {gain_db:.1f} dB, phase margin >= {math.degrees(2 * math.asin(0.5 / ms)):.0f} deg"
