"""Swings of the purchase: their size in the band and in five seconds, and the feedback that swings by itself. kW, s."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import World, world

DT = 0.05


def metered(
    made: World, seconds: float, power_kw: Callable[[float], float], *, refresh_s: float = 0.1, read_s: float = 0.1
) -> None:
    """The meter shows a function of time, anew each `refresh_s`, and is read each `read_s`."""
    state = made.state
    state.meter_good = state.started = 1
    first_s = made.now_s
    shown_s = -1.0
    for k in range(round(seconds / DT)):
        made.now_s += DT
        state.now_ns = made.now_ns
        at_s = made.now_s - first_s
        if at_s >= shown_s + refresh_s - 1e-9:
            shown_s = at_s
            made.inputs.value[0] = 1e3 * power_kw(at_s)
        if k % round(read_s / DT) == 0:
            made.meter(made.inputs.value[0])
        state.meter_w, state.meter_at_ns = made.inputs.value[0], made.inputs.at_ns[0]
        interpreted.swing.swing(made.inputs, made.limits, state)


SINES = {
    # Hz, share of its root mean square that is seen
    "slow":          (0.01, 0.0, 0.2),
    "in the band":   (0.5, 0.85, 1.02),
    "still in it":   (1.0, 0.75, 1.02),
}  # fmt: skip


@pytest.mark.parametrize("row", SINES.values(), ids=SINES.keys())
def test_band_power_of_a_sine(row: tuple[float, float, float]) -> None:
    hz, low, high = row
    made = world()
    metered(made, 60.0, lambda t: 500.0 + 20.0 * math.sin(2 * math.pi * hz * t))
    rms_kw = 20.0 / math.sqrt(2.0)
    assert low * rms_kw <= made.state.band_w / 1e3 <= high * rms_kw


def test_peak_to_peak_is_that_of_the_last_five_seconds() -> None:
    made = world()
    metered(made, 20.0, lambda t: 500.0 + (30.0 if 10.0 <= t < 10.5 else 0.0))
    assert made.state.swing_w == 0.0
    metered(made, 2.0, lambda t: 500.0 if t < 1.0 else 480.0)
    assert made.state.swing_w == pytest.approx(20e3)
    metered(made, 6.0, lambda t: 480.0)
    assert made.state.swing_w == 0.0


def ticks(made: World, seconds: float, power_kw: Callable[[float], float]) -> None:
    """The compiled core under a meter that shows a function of time; the racks draw what they drew."""
    first_s = made.now_s
    for _ in range(round(seconds / DT)):
        made.now_s += DT
        made.refresh()
        made.meter(1e3 * power_kw(made.now_s - first_s))
        made.tick(0.0)


def square(kw: float, period_s: float = 2.0) -> Callable[[float], float]:
    return lambda t: 800.0 + (kw if t % period_s < 0.5 * period_s else 0.0)


WARNED = {
    # limit, what the meter shows -> whether it is said
    "more than the limit":        (30.0, square(30.1), ["swing"]),
    "just the limit":             (30.0, square(30.0), []),
    "no limit":                   (0.0, square(300.0), []),
    "at the edge of the band":    (30.0, square(31.0, period_s=9.0), ["swing"]),
    "too slow for five seconds":  (30.0, lambda t: 800.0 + 3.0 * min(t, 60.0), []),
    "fast enough":                (30.0, lambda t: 800.0 + 6.5 * min(t, 30.0), ["swing"]),
    "once":                       (30.0, lambda t: 800.0 if t < 15.0 else 760.0, ["swing"]),
}  # fmt: skip


@pytest.mark.parametrize("row", WARNED.values(), ids=WARNED.keys())
def test_a_purchase_that_swings_is_said(row: tuple[float, object, list[str]]) -> None:
    limit_kw, shown, reasons = row
    made = world(swing_limit_w=1e3 * limit_kw, import_w=2000e3)
    ticks(made, 20.0, shown)
    assert made.reasons() == reasons
    # It is a warning: nothing is barred.
    assert made.state.action[0] == (codes.ACT_WARN if reasons else codes.ACT_NONE)


def test_it_ends_a_minute_after_the_last_swing() -> None:
    made = world(swing_limit_w=30e3)
    ticks(made, 10.0, square(40.0))
    ticks(made, 64.0, square(0.0))
    assert made.reasons() == ["swing"]
    ticks(made, 3.0, square(0.0))
    assert made.reasons() == []


def test_what_a_dip_of_the_voltage_takes_is_no_swing() -> None:
    made = world(swing_limit_w=30e3, measured=True)
    ticks(made, 10.0, square(0.0))
    made.grid(volts=6000.0)
    ticks(made, 2.0, lambda t: 0.0)
    made.grid()
    ticks(made, 30.0, square(0.0))
    assert made.reasons() == []


@pytest.mark.parametrize("refresh_s", [0.1, 0.2, 1.0])
def test_the_refresh_rate_is_that_of_new_values(refresh_s: float) -> None:
    made = world()
    metered(made, 120.0, lambda t: 500.0 + math.sin(7.7 * t), refresh_s=refresh_s)
    assert made.state.refresh_s == pytest.approx(refresh_s, rel=0.1)


def test_a_gap_of_the_meter_is_no_swing() -> None:
    made = world()
    metered(made, 10.0, lambda t: 500.0)
    made.now_s += 30.0
    metered(made, 0.2, lambda t: 900.0)
    assert made.state.band_w <= 1e3


def test_a_reading_that_the_model_did_not_judge_is_no_swing() -> None:
    made = world()
    metered(made, 10.0, lambda t: 500.0)
    made.now_s += DT
    made.meter(900e3)
    made.state.meter_w = 900e3
    interpreted.swing.swing(made.inputs, made.limits, made.state)
    assert made.state.swing_w == 0.0


def turning(
    made: World, seconds: float, amplitude_kw: Callable[[float], float], half_s: Callable[[int], float]
) -> list[float]:
    """The disturbance turns round after each half; how slow the feedback is after each second."""
    state = made.state
    found, left_s, side = [], 0.0, 1.0
    for k in range(round(seconds / DT)):
        made.now_s += DT
        state.now_ns = made.now_ns
        left_s -= DT
        if left_s <= 0.0:
            left_s, side = half_s(k), -side
        state.disturbance_w = side * 1e3 * amplitude_kw(k * DT)
        interpreted.swing.tune(made.limits, state)
        if k % 20 == 19:
            found.append(state.detune)
    return found


QUIET = {
    # amplitude of 1 MW of site, half of a period
    "a small one":       (lambda t: 3.0, lambda k: 2.0),
    "a short one":       (lambda t: 50.0, lambda k: 0.5),
    "a long one":        (lambda t: 50.0, lambda k: 20.0),
    "an irregular one":  (lambda t: 50.0, lambda k: (1.3, 5.0)[k // 7 % 2]),
    "one that dies out": (lambda t: 50.0 * 0.75**t, lambda k: 2.0),
}  # fmt: skip


@pytest.mark.parametrize("row", QUIET.values(), ids=QUIET.keys())
def test_what_is_no_swing_of_its_own(row: tuple[Callable[[float], float], Callable[[int], float]]) -> None:
    assert set(turning(world(), 60.0, *row)) == {1.0}


def test_a_feedback_that_swings_is_slowed_until_it_does_not_and_comes_back_slowly() -> None:
    made = world()
    assert turning(made, 20.0, lambda t: 50.0, lambda k: 2.0)[-1] == 2.0
    assert turning(made, 590.0, lambda t: 0.0, lambda k: 2.0)[-1] == 2.0
    assert turning(made, 60.0, lambda t: 0.0, lambda k: 2.0)[-1] == 1.0


def test_what_swings_on_at_an_eighth_comes_from_elsewhere() -> None:
    made = world()
    seen = turning(made, 120.0, lambda t: 50.0, lambda k: 2.0)
    assert [d for d in dict.fromkeys(seen) if d > 1.0] == [2.0, 4.0, 8.0]
    assert seen[-1] == 1.0
    assert made.state.foreign_ns > 0
    # For ten minutes it is let be.
    assert set(turning(made, 300.0, lambda t: 50.0, lambda k: 2.0)) == {1.0}


def test_the_feedback_that_is_slowed_is_slower() -> None:
    found = []
    for detune in (1.0, 4.0):
        made = world(feedback_s=1.0)
        state = made.state
        state.known[0] = state.meter_good = state.started = 1
        state.detune, state.meter_at_ns = detune, made.now_ns
        made.now_s += 1.0
        made.meter(10e3)
        interpreted.meter.compare(made.inputs, made.limits, state, made.now_ns)
        found.append(state.disturbance_w)
    assert found == [pytest.approx(5e3), pytest.approx(2e3)]
