"""Racks whose jobs swing: how they are noticed, where their caps stand, and who takes over. kW."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world

WINDOW = [(15.0, codes.NORMAL, 100e3, 100e3)]


def seen(
    made: World, powers_kw: list[float], *, every_s: float = 0.5, cap_kw: float = 80.0, sure: bool = True
) -> list[bool]:
    """Whether rack 0, under its cap, for certain or not, swings after each reading."""
    made.state.cap_w[0] = cap_kw * 1e3
    sure_w = made.state.cap_w[0] if sure else 0.0
    found = []
    for kw in powers_kw:
        made.now_s += every_s
        made.state.now_ns = made.now_ns
        found.append(interpreted.ballast.watch(made.limits, made.state, 0, kw * 1e3, sure_w))
    return found


SEEN = {
    # readings -> swings in the end, its trough
    "at its cap":               ([80.0] * 10, False, 0.0),
    "below its cap":            ([50.0] * 10, False, 50.0),
    "up and down":              ([80.0, 40.0, 80.0, 41.0], True, 40.01),
    "a little up and down":     ([80.0, 75.0, 80.0, 74.0], False, 0.0),
    "one pause":                ([80.0, 40.0, *[80.0] * 100], False, 40.0),
    "a pause now and then":     ([80.0, 40.0, *[80.0] * 31, 40.0, *[80.0] * 5], False, 40.0),
    "then at its cap for long": ([80.0, 40.0, 80.0, 40.0, *[80.0] * 100], True, 40.0),
    "then slack for long":      ([80.0, 40.0, 80.0, 40.0, *[40.0] * 40], False, 40.0),
}  # fmt: skip


@pytest.mark.parametrize("row", SEEN.values(), ids=SEEN.keys())
def test_swings_are_noticed(row: tuple[list[float], bool, float]) -> None:
    powers_kw, expected, low_kw = row
    made = world()
    assert seen(made, powers_kw)[-1] == expected
    assert made.state.low_w[0] / 1e3 == pytest.approx(low_kw, abs=0.01)


def test_a_rack_on_its_way_does_not_swing() -> None:
    made = world()
    assert not any(seen(made, [80.0, 40.0] * 10, sure=False))


def test_a_rack_that_is_off_is_not_bound_by_its_cap() -> None:
    made = world()
    for _ in range(3):
        assert not any(seen(made, [0.0], cap_kw=0.0) + seen(made, [0.0]))


def test_after_half_an_hour_without_a_trough_it_is_free_again() -> None:
    made = world()
    assert seen(made, [80.0, 40.0, 80.0, 40.0, 80.0])[-1]
    assert seen(made, [80.0] * 170, every_s=10.0)[-1]
    assert not seen(made, [80.0] * 20, every_s=10.0)[-1]


def noisy(noise_kw: float, envelope: int = codes.NORMAL) -> World:
    made = world([Rack(), Rack()], windows=WINDOW, quiet_w=20e3)
    state = made.state
    state.now_ns, state.ballast_ns, state.ballast = made.now_ns, made.now_ns - 17 * 10**9, 1.0
    state.noise_w, state.envelope = noise_kw * 1e3, envelope
    for i in range(2):
        state.lo_w[i], state.hi_w[i] = 20e3, 100e3
    state.swings[0], state.low_w[0] = 1, 40e3
    return made


DECIDED = {
    # noise kW, envelope, share before -> share after: 90 of the window's 100 kW are let stand, 20 when dispatched
    "quiet enough":       (89.0, codes.NORMAL, 1.0, 1.0),
    "too noisy":          (180.0, codes.NORMAL, 1.0, 0.475),
    "too noisy, capped":  (180.0, codes.NORMAL, 0.5, 0.2375),
    "much too noisy":     (1e6, codes.NORMAL, 1.0, 0.02),
    "dispatched":         (40.0, codes.DISPATCHED, 1.0, 0.475),
    "quiet again":        (10.0, codes.NORMAL, 0.5, 0.55),
    "quiet for long":     (10.0, codes.NORMAL, 0.95, 1.0),
    "in between":         (80.0, codes.NORMAL, 0.5, 0.5),
}  # fmt: skip


@pytest.mark.parametrize("row", DECIDED.values(), ids=DECIDED.keys())
def test_the_noise_decides_where_caps_stand(row: tuple[float, int, float, float]) -> None:
    noise_kw, envelope, before, after = row
    made = noisy(noise_kw, envelope)
    made.state.ballast = before
    interpreted.ballast.decide(made.limits, made.state)
    assert made.state.ballast == pytest.approx(after)


def test_it_waits_until_the_noise_shows_what_the_last_change_did() -> None:
    made = noisy(180.0)
    made.state.ballast_ns += 1
    interpreted.ballast.decide(made.limits, made.state)
    assert made.state.ballast == 1.0


def test_while_no_rack_swings_there_is_nothing_to_cap() -> None:
    made = noisy(1e6)
    made.state.swings[0], made.state.ballast = 0, 0.02
    interpreted.ballast.decide(made.limits, made.state)
    assert made.state.ballast == 1.0


def test_caps_stand_between_trough_and_most() -> None:
    made = noisy(180.0)
    interpreted.ballast.standing(made.limits, made.state, 150e3)
    assert made.state.hi_w[:2] == pytest.approx([40e3 + 0.475 * 60e3, 100e3])


@pytest.mark.parametrize(("total_kw", "hi_kw"), [(100.0, 68.5), (200.0, 100.0), (184.25, 84.25)])
def test_under_a_command_no_more_is_taken_than_others_can_give(total_kw: float, hi_kw: float) -> None:
    made = noisy(40.0, codes.DISPATCHED)
    interpreted.ballast.standing(made.limits, made.state, total_kw * 1e3)
    assert made.state.hi_w[0] / 1e3 == pytest.approx(hi_kw)


SOON = {
    # dead time s, slope kW/s of the other rack, which draws 60 kW of 100 -> the cap of the one that swings
    "at once":              (0.2, 100.0, 68.5),
    "some seconds":         (4.0, 10.0, 68.5),
    "in time for a part":   (10.0, 2.0, 90.0),
    "boots for minutes":    (30.0, 10.0, 100.0),
}  # fmt: skip


@pytest.mark.parametrize("row", SOON.values(), ids=SOON.keys())
def test_slow_racks_take_over_what_they_can_draw_soon(row: tuple[float, float, float]) -> None:
    dead_s, slope_kw, hi_kw = row
    made = noisy(40.0, codes.DISPATCHED)
    state = made.state
    state.slow[1], state.power_w[1], state.up_w_per_s[1] = dead_s > 1.2, 60e3, slope_kw * 1e3
    state.dead_up[1] = round(dead_s * 1e9) // made.limits.site.period_ns
    interpreted.ballast.standing(made.limits, state, 160e3)
    assert state.hi_w[0] / 1e3 == pytest.approx(hi_kw, abs=0.3)
