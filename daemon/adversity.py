"""Yardsticks of bad days: readings that lie, are late or missing, and a training job that ends at once.

Needs numpy (the extra `report`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rampd.daemon import scores
from rampd.daemon.closed import ClosedLoop, Reading
from rampd.daemon.commands import Desk
from rampd.daemon.events import Events
from rampd.daemon.happenings import Happenings
from rampd.daemon.journal import Journal
from rampd.daemon.proving import Figures, Keep, hall, ignore, trace, training
from rampd.ext import codes

BEFORE: Final = 0.7
# While the readings are bad: part of the site's most, and for how long in s.
ASKED: Final = ((0.7, 10.0), (0.6, 20.0), (1.0, 30.0))
LATE_S: Final = 1.5
NOISE: Final = 0.02
FROZEN: Final = 0.25
JOB_MW: Final = 8.0
CRASH_S: Final = 600.0
AWAY_S: Final = 120.0
LOOK_S: Final = 0.1
WINDOW_S: Final = 15.0
WINDOW_W: Final = 5e6


def meter_frozen(loop: ClosedLoop, random: np.random.Generator) -> None:
    """It answers, always with the same value."""
    shown_w = loop.fleet.meter_w
    loop.meter = lambda _, now_ns: Reading(shown_w, now_ns)


def meter_noisy(loop: ClosedLoop, random: np.random.Generator) -> None:
    """Noise of 2 % of the site on every reading."""
    sd_w = NOISE * loop.config.site.max_mw * 1e6
    loop.meter = lambda value_w, now_ns: Reading(value_w + sd_w * float(random.standard_normal()), now_ns)


def meter_lost(loop: ClosedLoop, random: np.random.Generator) -> None:
    """No answer."""
    loop.meter = lambda *_: None


def meter_nan(loop: ClosedLoop, random: np.random.Generator) -> None:
    """It answers with NaN, which the decoder marks."""
    loop.meter = lambda _, now_ns: Reading(math.nan, now_ns, codes.SENTINEL)


def meter_late(loop: ClosedLoop, random: np.random.Generator) -> None:
    """Every reading comes 1.5 s late, just fresh enough to be believed."""
    past: deque[Reading] = deque()

    def late(value_w: float, now_ns: int) -> Reading | None:
        past.append(Reading(value_w, now_ns))
        return past.popleft() if now_ns - past[0].at_ns >= LATE_S * 1e9 else None

    loop.meter = late


def racks_frozen(loop: ClosedLoop, random: np.random.Generator) -> None:
    """A quarter of the racks repeat their last power."""
    loop.frozen[random.choice(loop.count, round(FROZEN * loop.count), replace=False)] = True


FAULTS: Final[dict[str, Callable[[ClosedLoop, np.random.Generator], None]]] = {
    fault.__name__: fault for fault in (meter_frozen, meter_noisy, meter_lost, meter_nan, meter_late, racks_frozen)
}


def over_limit(loop: ClosedLoop) -> bool:
    """Whether the site or a node truly draws more than its limit now."""
    limits, power_w = loop.limits, loop.fleet.power_w
    sums = np.concatenate([[0.0], np.cumsum(power_w)])
    for v in range(limits.site.nodes):
        drawn_w = sums[limits.rack_first[limits.node_end[v]]] - sums[limits.rack_first[v]]
        if drawn_w > limits.node_w[v] + 1.0:
            return True
    return loop.fleet.poi_w > limits.site.import_w


def sensors(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """For each fault: down and up again under it. Parts of the site's most; `over` is above what was asked or stood."""
    found: Figures = {}
    for name, fault in FAULTS.items():
        loop = ClosedLoop(hall(seed), seed)
        full_w = loop.config.site.max_mw * 1e6
        loop.run(15.0)
        loop.command(BEFORE * full_w, ramp_s=5.0)
        loop.run(60.0)
        stood_w = float(np.mean(loop.poi_w[-20:]))
        fault(loop, np.random.default_rng(seed))
        broken, over_w, raised_w, error_w = 0, 0.0, 0.0, 0.0
        for part, seconds in ASKED:
            loop.command(part * full_w, ramp_s=5.0)
            begin = loop.tick
            for _ in range(round(seconds / loop.dt_s)):
                loop.run(loop.dt_s)
                broken += over_limit(loop)
            power_w = scores.rolling(np.array(loop.poi_w[begin - 20 :]), loop.dt_s, 1.0)
            over_w = max(over_w, float(power_w.max()) - max(part * full_w, stood_w))
            raised_w = max(raised_w, float(power_w.max()) - stood_w)
            error_w = abs(float(np.mean(loop.poi_w[-100:])) - part * full_w)
            if part < BEFORE:
                down_w = error_w
        keep(trace(f"{name.replace('_', ' ')} from 75 s: 60 % at 85 s, 100 % at 105 s", loop, first_s=60.0))
        found[name] = {
            "limit_violations": broken, "over_ratio": round(max(0.0, over_w) / full_w, 4),
            "raised_ratio": round(max(0.0, raised_w) / full_w, 4), "down_error_ratio": round(down_w / full_w, 4),
            "up_error_ratio": round(error_w / full_w, 4),
        }  # fmt: skip
    return {"sensors": found}


def told(loop: ClosedLoop, watch: Happenings, seconds: float) -> float:
    """When a fall of load was told in so many seconds, as the daemon looks and tells; infinite: it was not."""
    found_s = math.inf
    for _ in range(round(seconds / LOOK_S)):
        watch.tick(loop.run(LOOK_S), loop.now_s, loop.now_s)
        while (event := watch.events.first()) is not None:
            watch.events.delivered(event["seq"])
            if event["type"] == "load_drop":
                found_s = min(found_s, loop.now_s)
    return found_s


def crash(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """A job of 8 MW ends at once and comes back two minutes later, in the normal envelope.

    `told_s` is until the event. The drop is not scored; from the return on, every sample counts that stands 5 MW above
    another of the 15 s before it.
    """
    config = hall(seed)
    (job,) = training(config, (JOB_MW,), seed)
    job = replace(job, crash_s=CRASH_S, resume_s=CRASH_S + AWAY_S)
    found: Figures = {}
    for name, controlled in (("return_violations", True), ("uncontrolled_violations", False)):
        loop = ClosedLoop(config, seed, jobs=(job,))
        loop.controlled = controlled
        desk = Desk(loop.composed, loop.inputs, Journal(None), lambda _: None)
        watch = Happenings(desk, Events(), list, config.site.max_mw * 1e6)
        before_s = told(loop, watch, CRASH_S)
        told_s = told(loop, watch, 10.0) - CRASH_S
        loop.run(AWAY_S - 10.0)
        first = loop.tick - round(WINDOW_S / loop.dt_s)
        loop.run(300.0)
        found[name] = int(risen(np.array(loop.poi_w[first:]), loop.dt_s).sum())
        if controlled:
            # Who told it before told something else.
            found["told_s"] = round(told_s, 2) if told_s < math.inf and before_s == math.inf else None
            keep(trace("A job of 8 MW ends at 600 s and comes back at 720 s", loop, first_s=560.0))
    return {"crash": found}


def risen(power_w: NDArray[np.float64], dt_s: float) -> NDArray[np.bool_]:
    """Per 1 s mean, whether it stands more than 5 MW above one of the 15 s before it."""
    smooth = scores.rolling(power_w, dt_s, 1.0)[:: round(1.0 / dt_s)]
    frames = np.lib.stride_tricks.sliding_window_view(smooth, round(WINDOW_S) + 1)
    above: NDArray[np.bool_] = frames[:, -1] - frames.min(axis=1) > WINDOW_W
    return above
