"""The foreseen slope of the coming fifteen seconds in closed loop, against two that anyone could tell.

These are none, and that of the last fifteen seconds gone on. Errors are root mean squares.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rampd.daemon import proving
from rampd.daemon.closed import ClosedLoop, Reading
from rampd.ext import codes

AHEAD_S = 15.0


class Hall:
    """A hall of 40 racks; `rest` is what draws beside it, a part of its most by seconds since that was set."""

    def __init__(self, *jobs_mw: float) -> None:
        config = proving.hall(1, (0.2, 1.0), racks_of=40)
        jobs = proving.training(config, jobs_mw, 1) if jobs_mw else ()
        self.loop = ClosedLoop(config, 1, jobs=jobs)
        self.full_w = config.site.max_mw * 1e6
        self.rest: Callable[[float], float] = lambda _: 0.0
        self.since_s = 0.0
        self.bought_w: list[float] = []
        self.foreseen: list[float] = []
        self.loop.meter = lambda power_w, now_ns: Reading(power_w + self.beside_w(), now_ns)

    def beside_w(self) -> float:
        return self.rest(self.loop.now_s - self.since_s) * self.full_w

    def drift(self, rest: Callable[[float], float]) -> None:
        self.rest, self.since_s = rest, self.loop.now_s

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / self.loop.dt_s)):
            self.foreseen.append(self.loop.run(self.loop.dt_s).coming_w_per_s)
            self.bought_w.append(self.loop.poi_w[-1] + self.beside_w())

    def errors(self, first_s: float, last_s: float) -> tuple[float, float, float]:
        """Of the foreseen, of none, and of what goes on; parts of the most a second."""
        ahead = round(AHEAD_S / self.loop.dt_s)
        at = np.arange(round(first_s / self.loop.dt_s), round(last_s / self.loop.dt_s))
        bought_w, foreseen = np.array(self.bought_w), np.array(self.foreseen)
        true = (bought_w[at + ahead] - bought_w[at]) / AHEAD_S
        wrong = (foreseen[at] - true, true, (bought_w[at] - bought_w[at - ahead]) / AHEAD_S - true)
        mine, none, on = (float(np.sqrt(np.mean(w**2))) / self.full_w for w in wrong)
        return mine, none, on


def ramp(hall: Hall) -> tuple[float, float]:
    hall.run(20.0)
    hall.loop.command(0.5 * hall.full_w, ramp_s=60.0)
    hall.run(100.0)
    return 20.1, 100.0


def s_curve(hall: Hall) -> tuple[float, float]:
    hall.loop.inputs.command.shape = codes.S_CURVE
    return ramp(hall)


def back(hall: Hall) -> tuple[float, float]:
    """A lease ends: the default is gone to along the normal ramp."""
    hall.run(20.0)
    hall.loop.command(0.5 * hall.full_w, ramp_s=10.0, lease_s=40.0)
    hall.run(160.0)
    return 60.1, 160.0


def stop(hall: Hall) -> tuple[float, float]:
    hall.run(20.0)
    hall.loop.command(0.0, verb=codes.ESTOP)
    hall.run(40.0)
    return 20.1, 40.0


def regulation(hall: Hall) -> tuple[float, float]:
    """A new signal every four seconds: what is known is what it asks for now."""
    hall.run(20.0)
    hall.loop.command(0.7 * hall.full_w, ramp_s=10.0)
    hall.run(20.0)
    part, random = 0.0, np.random.default_rng(3)
    for _ in range(75):
        part = min(max(part + float(random.normal(0.0, 0.03)), -0.1), 0.1)
        hall.loop.signal(part * hall.full_w, 8.0)
        hall.run(4.0)
    return 40.0, 320.0


def at_least(hall: Hall) -> tuple[float, float]:
    """The racks are at their least and other load grows for a minute, which shows after a while and until it ends."""
    hall.run(15.0)
    hall.loop.command(0.0)
    hall.run(85.0)
    hall.drift(lambda s: 0.002 * min(s, 60.0))
    hall.run(110.0)
    return 90.0, 190.0


COMMANDED = {
    # what happens -> at most so much of the error of none, and of that of the last seconds gone on
    "a ramp of a minute":        (ramp, 0.05, 0.05),
    "an s-curve":                (s_curve, 0.05, 0.05),
    "the return to the default": (back, 0.05, 0.1),
    "a stop":                    (stop, 0.2, 0.1),
    "regulation":                (regulation, 1.0, 0.8),
    "other load, racks at their least": (at_least, 0.75, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("row", COMMANDED.values(), ids=COMMANDED.keys())
def test_what_is_commanded_is_foreseen(
    row: tuple[Callable[[Hall], tuple[float, float]], float, float],
) -> None:
    happens, of_none, of_going_on = row
    hall = Hall()
    mine, none, on = hall.errors(*happens(hall))
    assert mine < of_none * none
    assert mine < of_going_on * on
    # And there was something to foresee.
    assert none > 1e-3


REST = {
    # jobs that train in MW, set point, how the rest of the load wanders
    "quiet":             ((), 0.7, lambda s: 0.0),
    "training":          ((0.8, 0.8), 1.0, lambda s: 0.0),
    "training, capped":  ((0.8, 0.8), 0.6, lambda s: 0.0),
    "other load cycles": ((), 0.7, lambda s: 0.02 * (s % 40.0 > 20.0)),
}  # fmt: skip


@pytest.mark.parametrize("row", REST.values(), ids=REST.keys())
def test_at_rest_nothing_is_foreseen_that_does_not_come(
    row: tuple[tuple[float, ...], float, Callable[[float], float]],
) -> None:
    jobs_mw, part, rest = row
    hall = Hall(*jobs_mw)
    hall.run(15.0)
    hall.loop.command(part * hall.full_w, ramp_s=10.0)
    hall.drift(rest)
    hall.run(135.0)
    mine, none, on = hall.errors(50.0, 135.0)
    assert mine <= 1.02 * none
    assert mine < on
