"""`rampd qualify`: the grid's yardsticks on a simulated hall of half GPU, half ASIC, with the compiled core.

Each yardstick is one function that returns its figures; all run in simulated time, a day in minutes. Needs numpy (the
extra `report`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rampd.daemon import adversity, calls, corners, halls, margins, scores
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Grid
from rampd.daemon.proving import DEAD_S, Figures, Keep, hall, ignore, trace, training
from rampd.ext import codes

Floats = NDArray[np.float64]
BASE: Final = 0.55
REGULATION: Final = 0.1
# A base holds for longer than the longest run; a signal for three times the four seconds of the slowest.
ALL_DAY_S: Final = 1e6
SIGNAL_LEASE_S: Final = 12.0
SILENT: Final = 0.05
BAND: Final = 0.01
PARTS: Final = (0.7, 0.85, 0.6, 0.9)
# MW of each training job in the noisy hall.
JOBS_MW: Final = (8.0, 4.0, *[1.0] * 11)
DROOP_PERCENT: Final = 5.0
# When the frequency falls, and the dead times of racks that are there within a second, their slopes included.
EVENT_S: Final = 120.0
QUICK_S: Final = (0.2, 0.7)
# Of what the facility side of a loop can carry, which is 1.2 times its heat at full load.
CHILLERS_LEFT: Final = 0.4
# Racks of the hall that is called again and again, and the jobs in every other one.
CALLED: Final = 120
CALLED_JOBS_MW: Final = (1.0, 0.5, 0.5)


def regulation_signal(hours: float, seed: int) -> Floats:
    """A regulation signal of -1 to 1 at 2 s: wanders over minutes, smooth over tens of seconds, often at its ends."""
    random = np.random.default_rng(seed)
    keep, smooth = math.exp(-2.0 / 240.0), 2.0 / 26.0
    slow = value = 0.0
    found = np.empty(round(hours * 1800))
    for k, draw in enumerate(random.standard_normal(len(found))):
        slow = keep * slow + math.sqrt(1.0 - keep * keep) * draw
        value += smooth * (slow - value)
        found[k] = min(1.0, max(-1.0, 0.95 * value))
    return found


def with_tail(hours: float, seed: int) -> Floats:
    """A regulation signal and a window more: the last that is scored is searched for its delay beyond its end."""
    return regulation_signal(hours + scores.WINDOW_S / 3600, seed)


def step(loop: ClosedLoop, part: float, seconds: float = 60.0) -> scores.Step:
    """One five-second command to a part of the site's most, and how it went on the true purchase."""
    fleet, full_w, dt_s = loop.fleet, loop.config.site.max_mw * 1e6, loop.dt_s
    begin_w, first = float(np.mean(loop.poi_w[-round(1 / dt_s) :])), loop.tick
    step_w = part * full_w - begin_w
    up, alive = step_w > 0, ~fleet.dead
    room_w = (fleet.max_w - fleet.power_w if up else fleet.power_w - fleet.min_w)[alive]
    slope_w = ((fleet.up_w if up else fleet.down_w) / dt_s)[alive]
    dead_s = ((fleet.dead_up if up else fleet.dead_down)[alive] * dt_s).astype(np.float64)
    optimum_s = scores.optimum(room_w, slope_w, dead_s, min(abs(step_w) / halls.OVERHEAD, 0.999 * float(room_w.sum())))
    loop.command(part * full_w, ramp_s=5.0)
    loop.run(seconds)
    power_w = np.array(loop.poi_w[first:])
    beyond_w = float((np.sign(step_w) * (power_w - part * full_w)).max())
    return scores.Step(
        scores.settled(power_w, part * full_w, step_w, dt_s, BAND), optimum_s, max(0.0, beyond_w / abs(step_w)),
        abs(float(power_w[-round(10 / dt_s) :].mean()) - part * full_w) / abs(step_w),
    )  # fmt: skip


def _figures(found: scores.Step) -> Figures:
    return {
        "t_s": round(found.t_s, 2), "optimum_s": round(found.optimum_s, 2),
        "overshoot_ratio": round(found.overshoot_ratio, 4),
    }  # fmt: skip


def steps(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """100 -> 40 -> 100 %, quiet, and parts of that; then with 5 % of the racks silently dead."""
    loop = ClosedLoop(hall(seed), seed)
    loop.run(15.0)
    down, up = step(loop, 0.4), step(loop, 1.0)
    keep(trace("100 to 40 to 100 % in five seconds each", loop))
    parts = [step(loop, part, 40.0) for part in PARTS]
    loop = ClosedLoop(hall(seed), seed)
    loop.run(15.0)
    loop.fleet.dead[np.random.default_rng(seed).choice(loop.count, round(SILENT * loop.count), replace=False)] = True
    dead = step(loop, 0.4)
    keep(trace("100 to 40 % with 5 % of the racks silently dead", loop))
    # The full range: all the living have, and the shortfall is told.
    loop.command(0.0, ramp_s=5.0)
    out = loop.run(60.0)
    short_w = float(np.mean(loop.poi_w[-200:]))
    told_w = out.least_w
    return {
        "step_down": _figures(down), "step_up": _figures(up),
        "part_steps": {
            "late_s": round(max(part.t_s - max(5.0, part.optimum_s) for part in parts), 2),
            "overshoot_ratio": round(max(part.overshoot_ratio for part in parts), 4),
        },
        "dead_racks": {
            **{key: _figures(dead)[key] for key in ("t_s", "optimum_s")},
            "shortfall_error_ratio": round(abs(told_w - short_w) / short_w, 5),
        },
    }  # fmt: skip


def regulate(loop: ClosedLoop, signal: Floats, every_s: float) -> tuple[Floats, Floats]:
    """Follows a regulation signal around the base, one an interval; what was asked and given beyond the base, W."""
    full_w = loop.config.site.max_mw * 1e6
    loop.command(BASE * full_w, ramp_s=5.0, lease_s=ALL_DAY_S)
    loop.run(240.0)
    first, asked = loop.tick, []
    for value in signal[:: round(every_s / scores.REGULATION_S)]:
        wanted_w = REGULATION * full_w * float(value)
        loop.signal(wanted_w, SIGNAL_LEASE_S)
        loop.run(every_s)
        asked += [wanted_w] * round(every_s / loop.dt_s)
    return np.array(asked), np.array(loop.poi_w[first:]) - BASE * full_w


def regulation(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Regulation of +-10 % at a base of 55 %, in a quiet and in a noisy hall; no worst hour of less than an hour."""
    signal = with_tail(hours, seed)
    found: Figures = {}
    for name, sizes_mw in (("quiet", ()), ("noisy", JOBS_MW)):
        config = hall(seed)
        loop = ClosedLoop(config, seed, jobs=training(config, sizes_mw, seed))
        loop.run(15.0)
        asked_w, given_w = regulate(loop, signal, scores.REGULATION_S)
        each = scores.regulation(asked_w, given_w, loop.dt_s)
        keep(trace(f"Regulation, {name} hall", loop, first_s=255.0, last_s=855.0))
        error_w = scores.rolling(given_w - asked_w, loop.dt_s, 1.0)
        worst = scores.worst_hour(each)
        found[name] = {
            "mean": round(float(each.mean()), 4), "worst_hour": None if worst is None else round(worst, 4),
        }  # fmt: skip
        if sizes_mw:
            range_w = 2 * REGULATION * config.site.max_mw * 1e6
            found[name]["rmse_ratio"] = round(float(np.sqrt((error_w**2).mean())) / range_w, 4)
    return {"regulation": found}


def base_points(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Updated desired set points every 4 s with ramps of 4 s, around a base point that moves every five minutes."""
    loop = ClosedLoop(hall(seed), seed)
    loop.run(15.0)
    full_w = loop.config.site.max_mw * 1e6
    random, signal = np.random.default_rng(seed), regulation_signal(hours, seed + 1)
    base = BASE
    loop.command(base * full_w, ramp_s=5.0)
    loop.run(60.0)
    first, asked, goal = loop.tick, [], base
    for k, value in enumerate(signal[::2]):
        if k % 75 == 0:
            goal = min(0.85, max(0.45, goal + float(random.uniform(-0.1, 0.1))))
        base += min(max(goal - base, -0.004), 0.004)
        asked_w = (base + 0.05 * float(value)) * full_w
        loop.command(asked_w, ramp_s=4.0, lease_s=60.0)
        loop.run(4.0)
        asked += [asked_w] * round(4.0 / loop.dt_s)
    keep(trace("Base points every four seconds", loop, first_s=75.0, last_s=975.0))
    share = scores.base_points(np.array(asked), np.array(loop.poi_w[first:]), loop.dt_s)
    return {"udsp": {"share_within": round(share, 4)}}


def event_hz(at_s: float) -> float:
    """A frequency event: 60 Hz to 59.77 within four seconds, back to 59.87 within ten, and so it stays."""
    if at_s < 0.0:
        return 60.0
    if at_s < 4.0:
        return 60.0 - 0.23 * at_s / 4.0
    return min(59.87, 59.77 + 0.10 * (at_s - 4.0) / 6.0)


def frequency(begin_s: float) -> Callable[[float], float]:
    """Hz by the time in seconds: the event from `begin_s` on, nominal for ever where that is infinite."""
    return lambda at_s: event_hz(at_s - begin_s) if begin_s < math.inf else 60.0


def answered(seed: int, dead_s: tuple[float, float], sizes_mw: tuple[float, ...], title: str, keep: Keep) -> Figures:
    """Primary response of one hall over what it owes: the run with the event, less the same without it."""
    grid = Grid(droop_percent=DROOP_PERCENT)
    config = hall(seed, dead_s, grid)
    runs: list[Floats] = []
    for begin_s in (math.inf, EVENT_S):
        loop = ClosedLoop(config, seed, jobs=training(config, sizes_mw, seed))
        loop.hz = frequency(begin_s)
        loop.run(15.0)
        loop.command(0.8 * config.site.max_mw * 1e6, ramp_s=5.0)
        loop.run(EVENT_S + 70.0 - loop.now_s)
        runs.append(np.array(loop.poi_w))
    keep(trace(f"Primary response to a frequency event at {EVENT_S:.0f} s, {title}", loop, first_s=EVENT_S - 30.0))
    hz = np.array([event_hz(k * loop.dt_s - EVENT_S) for k in range(len(runs[0]))])
    expected_w = scores.droop(hz, 60.0, DROOP_PERCENT / 100, grid.deadband_hz, config.site.max_mw * 1e6)
    # T is where the frequency is 0.1 Hz off.
    crossed_s = EVENT_S + 0.1 / 0.23 * 4.0
    initial, sustained = scores.primary(expected_w, runs[1] - runs[0], loop.dt_s, crossed_s)
    return {"initial": round(initial, 4), "sustained": round(sustained, 4)}


def primary(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Primary response with racks of at most a second's delay; beside it that of the ordinary hall, and with jobs."""
    return {"pfr": {
        **answered(seed, QUICK_S, (), "racks that answer within a second", keep),
        "others": answered(seed, DEAD_S, (), f"racks that answer within {DEAD_S[1]:.0f} s", keep),
        "noisy": answered(seed, DEAD_S, JOBS_MW, "the same with training jobs", keep),
    }}  # fmt: skip


def normal(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Nobody dispatches: set points by hand in the normal envelope; then one job of 8 MW, with and without us."""
    config = hall(seed)
    full_w = config.site.max_mw * 1e6
    loop = ClosedLoop(config, seed)
    loop.run(60.0)
    random, first = np.random.default_rng(seed), loop.tick
    for _ in range(max(1, round(hours * 4))):
        loop.command(float(random.uniform(0.5, 1.0)) * full_w, envelope=codes.NORMAL)
        loop.run(900.0)
    keep(trace("Set points by hand in the normal envelope", loop, first_s=60.0))
    power_w = np.array(loop.poi_w[first:])
    violations = sum(
        int(scores.beyond(power_w, loop.dt_s, seconds, most_w).sum())
        for seconds, most_w in ((15.0, 5e6), (60.0, 20e6), (5.0, 10e6))
    )
    jobs = training(config, (8.0,), seed)
    shares, energy = [], []
    for controlled in (True, False):
        loop = ClosedLoop(config, seed, jobs=jobs)
        loop.controlled = controlled
        loop.run(120.0)
        first, sums = loop.tick, 0.0
        for _ in range(max(10, round(hours * 3600))):
            loop.run(1.0)
            sums += float(loop.fleet.power_w[loop.fleet.gpu].sum())
        shares.append(float(scores.beyond(np.array(loop.poi_w[first:]), loop.dt_s, 15.0, 5e6).mean()))
        energy.append(sums)
        how = "with" if controlled else "without"
        keep(trace(f"A training job of 8 MW, {how} rampd", loop, first_s=120.0, last_s=240.0))
    return {"normal": {
        "commanded_violations": violations, "noisy_share": round(shares[0], 4),
        "uncontrolled_share": round(shares[1], 4), "gpu_energy_ratio": round(energy[0] / energy[1], 4),
    }}  # fmt: skip


def hottest(loop: ClosedLoop, failed: int) -> float:
    """The highest supply of a loop, degC, in the ten minutes after most of its chillers fail at full load."""
    loop.run(60.0)
    loop.fleet.loops[failed].chillers = CHILLERS_LEFT
    hottest_c = 0.0
    for _ in range(600):
        loop.run(1.0)
        hottest_c = max(hottest_c, loop.fleet.loops[failed].supply_c)
    return hottest_c


def cooling(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Most of the chillers of one GPU loop fail: its highest supply against its trip, with and without us."""
    config = hall(seed)
    failed = next(k for k, one in enumerate(config.loops) if one.id.startswith("gpu"))
    found_c = []
    for controlled in (True, False):
        loop = ClosedLoop(config, seed)
        loop.controlled = controlled
        found_c.append(hottest(loop, failed))
        how = "with" if controlled else "without"
        keep(trace(f"{CHILLERS_LEFT:.0%} of one loop's chillers are left from 60 s on, {how} rampd", loop))
    return {"cooling": {
        "max_supply_c": round(found_c[0], 2), "trip_c": config.loops[failed].max_supply_c,
        "uncontrolled_supply_c": round(found_c[1], 2),
    }}  # fmt: skip


def firm(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Firm capacity against a thousand random calls, fewer in less than an hour; every other hall has training jobs."""

    def lives() -> Iterator[ClosedLoop]:
        for life in itertools.count(1000 * seed):
            config = hall(life, racks_of=CALLED)
            config = config.model_copy(update={"control": config.control.model_copy(update={"hz": 10.0})})
            yield ClosedLoop(config, life, jobs=training(config, CALLED_JOBS_MW, life) if life % 2 else ())

    return {"firm": calls.score(calls.calls(lives(), seed, round(1000 * min(1.0, hours))))}


def stability(seed: int, hours: float, keep: Keep = ignore) -> Figures:
    """Maximum sensitivity of the feedback loop, nominal and over the corners: the larger of formula and measurement."""
    formula, measured = margins.table(hall(seed)), corners.table(seed)
    worst = {
        name: max(one["formula"], *(ms for hall_of in corners.HALLS for ms in one[hall_of]))
        for name, one in measured["table"].items()
    }
    return {"margins": {
        "ms_nominal": max(round(formula[1.0, 1.0], 3), worst["1/1"]),
        "ms_worst": max(round(max(formula.values()), 3), *worst.values()), **measured,
    }}  # fmt: skip


YARDSTICKS: Final[dict[str, Callable[[int, float, Keep], Figures]]] = {
    "steps": steps, "regulation": regulation, "udsp": base_points, "pfr": primary, "normal": normal,
    "cooling": cooling, "sensors": adversity.sensors, "crash": adversity.crash, "firm": firm, "margins": stability,
}  # fmt: skip


def run(
    names: list[str],
    *,
    seed: int,
    hours: float,
    say: Callable[[str], None],
    keep: Callable[[str], Keep] = lambda _: ignore,
) -> Figures:
    """The figures of some yardsticks, or of all; `keep` takes the traces of each."""
    found: Figures = {}
    for name in names or list(YARDSTICKS):
        figures = YARDSTICKS[name](seed, hours, keep(name))
        say(f"{name}: {figures}")
        found |= figures
    return found
