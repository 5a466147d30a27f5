"""The sensitivity that `margins` computes, measured: the compiled core in closed loop, and a sine beside the racks.

|S| at a frequency is the amplitude of the purchase there over that of what was added to it. The plant's dead times and
gain are not as configured, and the core is not told: of set points that move by so little it learns neither. Nothing
else moves, no device is noisy. Needs numpy (the extra `report`).
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import numpy as np

from rampd.daemon import margins
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Config
from rampd.daemon.proving import DEAD_S, Figures, hall
from rampd.ext import views

RACKS: Final = 60
# Dead times of the hall of `rampd qualify`; and all like the mean of those of its racks that follow tick by tick, which
# is harder: what is spread out is smoothed.
HALLS: Final = {"ordinary": DEAD_S, "alike": (0.7, 0.7)}
# At this part of the site's most the racks that move freely carry what is added.
BASE: Final = 0.55
# Parts of the site's most. Four times as much the core would take for a swing of its own, and slow its feedback.
AMPLITUDES: Final = (0.0025, 0.005)
# Of the frequency where the formula has its maximum.
FREQUENCIES: Final = tuple(float(part) for part in np.geomspace(0.6, 2.0, 8))
SETTLE_S: Final = 12.0
PERIODS: Final = 5


def plant(config: Config, dead: float, gain: float, seed: int) -> ClosedLoop:
    """The hall at its base; dead times are `dead` times as configured, a change of a set point counts `gain` times."""
    late = tuple(
        rack.model_copy(update={"dead_up_s": dead * rack.dead_up_s, "dead_down_s": dead * rack.dead_down_s})
        for rack in config.racks
    )
    loop = ClosedLoop(config, seed, noise=0.0)
    loop.fleet = ClosedLoop(config.model_copy(update={"racks": late}), seed, noise=0.0).fleet
    loop.run(15.0)
    loop.command(BASE * config.site.max_mw * 1e6, ramp_s=5.0, lease_s=86_400.0)
    loop.run(40.0)
    # What the way there has taught is forgotten: dead times count as configured.
    loop.restart()
    loop.run(30.0)
    loop.base_w = loop.setpoint_w.copy()
    loop.over = np.full(loop.count, gain)
    return loop


def sensitivity(loop: ClosedLoop, hz: float, part: float) -> float:
    """|S| near a frequency, by a sine of a part of the site's most, over whole periods after the transient."""
    amplitude_w = part * loop.config.site.max_mw * 1e6
    period = round(1.0 / (hz * loop.dt_s))
    settle = math.ceil(SETTLE_S / (period * loop.dt_s))
    for k in range((settle + PERIODS) * period):
        loop.fleet.other_w = amplitude_w * math.sin(2.0 * math.pi * k / period)
        loop.run(loop.dt_s)
    power_w = np.array(loop.poi_w[-PERIODS * period :])
    turn = np.exp(-2j * np.pi * np.arange(len(power_w)) / period)
    return float(2.0 * abs((power_w * turn).mean()) / amplitude_w)


def highest(loop: ClosedLoop, peak_hz: float, part: float) -> float:
    """The highest |S| around the frequency where it ought to be."""
    return max(sensitivity(loop, relative * peak_hz, part) for relative in FREQUENCIES)


def table(seed: int) -> Figures:
    """Ms by corner, "dead time/gain": by the formula, and in each hall by each amplitude.

    Beside it how much the core has slowed its feedback meanwhile: by more than once, and the figures are not its own.
    """
    configs = {name: hall(seed, dead_s, racks_of=RACKS) for name, dead_s in HALLS.items()}
    corners: Figures = {}
    slowed = 1.0
    for dead, gain in itertools.product(margins.DEAD, margins.GAIN):
        peaks = {name: margins.corner(config, dead, gain) for name, config in configs.items()}
        corner: Figures = {"formula": round(max(peak.ms for peak in peaks.values()), 3)}
        for name, config in configs.items():
            loop = plant(config, dead, gain, seed)
            corner[name] = [round(highest(loop, peaks[name].hz, part), 3) for part in AMPLITUDES]
            slowed = max(slowed, views.outputs(loop.out).detune)
        corners[f"{dead:g}/{gain:g}"] = corner
    return {"amplitude_ratios": list(AMPLITUDES), "feedback_slowed": slowed, "table": corners}
