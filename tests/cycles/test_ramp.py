"""The reference, second by second: limits of 400 kW/s dispatched and 10 kW/s normal, a lead of one second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import World, world


def hall(reference_kw: float = 800.0, **site: float) -> World:
    made = world(default_w=900e3, **site)
    made.state.started = made.state.meter_good = 1
    made.state.reference_w = made.state.goal_w = reference_kw * 1e3
    made.meter(reference_kw * 1e3)
    return made


def follow(made: World, seconds: float = 1.0, ticks: int = 1) -> list[float]:
    """The reference in kW after each tick."""
    found = []
    for _ in range(ticks):
        made.now_s += seconds
        made.state.meter_w = made.inputs.value[0]
        interpreted.ramp.follow(made.inputs, made.limits, made.state, made.now_ns, seconds)
        found.append(round(made.state.reference_w / 1e3, 6))
    return found


TRACK = {
    # target kW, ramp s, rate kW/s, envelope -> reference in the next seconds, from 800 kW; a ramp lands softly
    "as fast as dispatched":     (150.0, 0.0, 0.0, codes.DISPATCHED, [400.0, 150.0, 150.0]),
    "as fast as normal":         (700.0, 0.0, 0.0, codes.NORMAL, [790.0, 780.0, 770.0]),
    "up as fast as normal":      (815.0, 0.0, 0.0, codes.NORMAL, [810.0, 815.0, 815.0]),
    "in five seconds, less lead": (400.0, 5.0, 0.0, codes.DISPATCHED, [700.0, 600.0, 500.0, 400.9, 400.75]),
    "a ramp shorter than lead":  (600.0, 1.0, 0.0, codes.DISPATCHED, [603.6, 603.0]),
    "a ramp a little longer":    (700.0, 1.2, 0.0, codes.DISPATCHED, [703.0]),
    "a long ramp":               (600.0, 21.0, 0.0, codes.DISPATCHED, [790.0, 780.0]),
    "a ramp beyond its envelope": (700.0, 5.0, 0.0, codes.NORMAL, [790.0, 780.0, 770.0, 760.0, 750.0]),
    "at a rate":                 (600.0, 0.0, 50.0, codes.DISPATCHED, [750.0, 700.0, 650.0, 600.0, 600.0]),
    "a rate before a ramp":      (600.0, 5.0, 50.0, codes.DISPATCHED, [750.0, 700.0]),
    "a rate beyond its envelope": (600.0, 0.0, 50.0, codes.NORMAL, [790.0, 780.0]),
    "never above the most":      (5000.0, 0.0, 0.0, codes.DISPATCHED, [1000.0, 1000.0]),
    "never below the least":     (-50.0, 0.0, 0.0, codes.DISPATCHED, [400.0, 100.0, 100.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", TRACK.values(), ids=TRACK.keys())
def test_track(row: tuple[float, float, float, int, list[float]]) -> None:
    target_kw, ramp_s, rate_kw, envelope, expected = row
    made = hall(min_w=100e3)
    made.command(codes.TRACK, target_kw * 1e3, ramp_s=ramp_s, rate_w_per_s=rate_kw * 1e3, envelope=envelope)
    assert follow(made, ticks=len(expected)) == expected
    assert made.state.verb == codes.TRACK


def test_a_new_command_starts_from_the_present_reference() -> None:
    made = hall()
    made.command(codes.TRACK, 400e3, ramp_s=5.0)
    assert follow(made, ticks=2) == [700.0, 600.0]
    made.meter(550e3)
    made.command(codes.TRACK, 1000e3, ramp_s=5.0)
    assert follow(made, ticks=2) == [700.0, 800.0]
    made.command(codes.TRACK, 780e3, rate_w_per_s=5e3)
    made.meter(900e3)
    assert follow(made, ticks=2) == [795.0, 790.0]


def test_up_starts_from_the_power_where_racks_could_not_go_as_low() -> None:
    made = hall(reference_kw=200.0)
    made.meter(600e3)
    made.command(codes.TRACK, 1000e3, ramp_s=5.0)
    assert follow(made, ticks=4) == [700.0, 800.0, 900.0, 999.1]


def test_down_starts_from_the_power_where_racks_draw_less() -> None:
    made = hall(reference_kw=900.0)
    made.meter(600e3)
    made.command(codes.TRACK, 400e3, ramp_s=5.0)
    assert follow(made, ticks=4) == [550.0, 500.0, 450.0, 400.45]
    made = hall(reference_kw=900.0)
    made.meter(600e3)
    made.state.meter_good = 0
    made.command(codes.TRACK, 500e3, ramp_s=5.0)
    assert follow(made) == [800.0]


@pytest.mark.parametrize(("target_kw", "expected"), [(400.0, [700.0, 600.0]), (900.0, [825.0, 850.0])])
def test_what_is_given_for_the_frequency_is_no_part_of_the_ramp(target_kw: float, expected: list[float]) -> None:
    made = hall()
    made.meter(740e3)
    made.state.beside_w = -60e3
    made.command(codes.TRACK, target_kw * 1e3, ramp_s=5.0)
    assert follow(made, ticks=2) == expected


OFF_ITS_WAY = {
    # target kW, ramp s, rate kW/s; seconds on its way from 800 kW, then thrown to, returning -> reference afterwards
    "where it stood, shed":          (800.0, 5.0, 0.0, 1, 700.0, 1, [705.0, 710.0, 715.0]),
    "where it stood, not returning": (800.0, 5.0, 0.0, 1, 700.0, 0, [710.0, 720.0, 730.0]),
    "where it stood, lifted":        (800.0, 5.0, 0.0, 1, 900.0, 0, [800.0, 800.0]),
    "arrived":                       (820.0, 0.0, 2.0, 15, 700.0, 1, [705.0, 710.0]),
    "arrived, in a long ramp":       (820.0, 20.0, 0.0, 30, 700.0, 1, [705.0, 710.0]),
    "going up, shed":                (900.0, 0.0, 2.0, 10, 810.0, 1, [815.0, 820.0, 822.0]),
    "going up, shed below start":    (900.0, 0.0, 2.0, 10, 790.0, 1, [795.0, 800.0, 805.0]),
    "going down, shed on its way":   (700.0, 0.0, 2.0, 10, 740.0, 1, [738.0, 736.0]),
    "going down, shed beyond":       (700.0, 0.0, 2.0, 10, 690.0, 1, [695.0, 700.0, 700.0]),
    "going down, lifted":            (700.0, 0.0, 2.0, 10, 900.0, 0, [780.0, 778.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", OFF_ITS_WAY.values(), ids=OFF_ITS_WAY.keys())
def test_the_rate_of_a_command_holds_on_its_way_only(
    row: tuple[float, float, float, int, float, int, list[float]],
) -> None:
    target_kw, ramp_s, rate_kw, seconds, thrown_kw, returning, expected = row
    made = hall(return_up=5e3)
    made.command(codes.TRACK, target_kw * 1e3, ramp_s=ramp_s, rate_w_per_s=rate_kw * 1e3)
    follow(made, ticks=seconds)
    made.state.reference_w = thrown_kw * 1e3
    made.state.returning, made.state.return_cap_w = returning, 1e6
    assert follow(made, ticks=len(expected)) == expected


@pytest.mark.parametrize("envelope", [codes.NORMAL, codes.DISPATCHED])
@pytest.mark.parametrize(("return_kw_per_s", "kw_per_s"), [(5.0, 5.0), (10.0, 10.0), (15.0, 10.0)])
def test_on_the_way_back_the_slower_of_restore_and_normal_holds(
    envelope: int, return_kw_per_s: float, kw_per_s: float
) -> None:
    """A command that holds says where to, not how fast: an emergency was nothing that it asked for."""
    made = hall(return_up=return_kw_per_s * 1e3)
    made.command(codes.TRACK, 800e3, ramp_s=5.0, envelope=envelope)
    follow(made)
    made.state.reference_w = 700e3
    made.state.returning, made.state.return_cap_w = 1, 1e6
    assert follow(made, ticks=3) == pytest.approx([700.0 + kw_per_s * k for k in (1, 2, 3)])
    # A fresh one ends it, and its own rate holds.
    made.meter(730e3)
    made.command(codes.TRACK, 800e3, rate_w_per_s=25e3)
    first = follow(made)[0]
    assert made.state.returning == 0
    assert follow(made) == pytest.approx([first + 25.0])


def test_the_same_number_is_the_same_command() -> None:
    made = hall()
    made.command(codes.TRACK, 700e3, rate_w_per_s=10e3)
    assert follow(made) == [790.0]
    made.inputs.command.target_w = 0.0
    assert follow(made) == [780.0]


def test_nothing_rises_without_a_meter() -> None:
    made = hall()
    made.command(codes.TRACK, 1000e3)
    made.state.meter_good = 0
    assert follow(made, ticks=2) == [800.0, 800.0]
    made.state.meter_good = 1
    assert follow(made) == [1000.0]
    made.command(codes.TRACK, 600e3)
    made.state.meter_good = 0
    assert follow(made) == [600.0]


LEASE_END = {
    # after_hold, raise_after, reference when the lease ends -> afterwards, and where it goes (default 900 kW)
    "default below":                (0, 0, 950.0, [940.0, 930.0], 900.0),
    "default above, may not raise": (0, 0, 700.0, [700.0, 700.0], 700.0),
    "default above, may raise":     (0, 1, 700.0, [710.0, 720.0], 900.0),
    "hold":                         (1, 0, 700.0, [700.0, 700.0], 700.0),
    "hold, though it may raise":    (1, 1, 700.0, [700.0, 700.0], 700.0),
}  # fmt: skip


@pytest.mark.parametrize("row", LEASE_END.values(), ids=LEASE_END.keys())
def test_lease_end(row: tuple[int, int, float, list[float], float]) -> None:
    after_hold, raise_after, at_kw, expected, goal_kw = row
    made = hall(at_kw, after_hold=after_hold, raise_after=raise_after)
    made.command(codes.TRACK, at_kw * 1e3, lease_s=2.5)
    assert follow(made, ticks=2) == [at_kw, at_kw]
    assert (made.state.lapsed, made.state.envelope) == (0, codes.DISPATCHED)
    assert follow(made, ticks=2) == expected
    assert (made.state.lapsed, made.state.envelope, made.state.verb) == (1, codes.NORMAL, codes.STAND)
    assert made.state.goal_w == goal_kw * 1e3


def test_a_lease_ends_at_its_nanosecond() -> None:
    made = hall()
    made.command(codes.TRACK, 800e3, lease_s=1.0)
    made.inputs.command.expires_ns += 1
    follow(made)
    assert made.state.lapsed == 0
    made.command(codes.TRACK, 800e3, lease_s=1.0)
    follow(made, 0.5)
    follow(made, 0.5)
    assert made.state.lapsed == 1


HOLD = {
    # meter kW, of that primary response, meter good -> reference
    "at the power where it is lower": (750e3, 0.0, 1, 750.0),
    "at the reference where not":     (850e3, 0.0, 1, 800.0),
    "at the reference, meter lost":   (750e3, 0.0, 0, 800.0),
    "less for the frequency":         (740e3, -60e3, 1, 800.0),
    "more for the frequency":         (810e3, 60e3, 1, 750.0),
}  # fmt: skip


@pytest.mark.parametrize(("power_w", "response_w", "meter_good", "expected"), HOLD.values(), ids=HOLD.keys())
def test_hold(power_w: float, response_w: float, meter_good: int, expected: float) -> None:
    made = hall()
    made.state.beside_w = response_w
    made.command(codes.TRACK, 200e3, rate_w_per_s=1.0)
    made.state.meter_good = meter_good
    made.meter(power_w)
    made.command(codes.HOLD)
    assert follow(made, ticks=3) == [expected] * 3


def test_stop_is_at_once_and_outlives_its_lease() -> None:
    made = hall()
    made.command(codes.ESTOP, lease_s=1.5)
    assert follow(made, ticks=4) == [0.0] * 4
    assert (made.state.envelope, made.state.verb, made.state.lapsed) == (codes.EMERGENCY, codes.ESTOP, 0)


RELEASE: dict[str, tuple[Callable[[World], None], list[float]]] = {
    # before -> afterwards: the way back from a stop is slower
    "stop": (lambda w: w.command(codes.ESTOP), [5.0, 10.0, 15.0]),
    "track": (lambda w: w.command(codes.TRACK, 0.0), [10.0, 20.0, 30.0]),
}


@pytest.mark.parametrize(("before", "expected"), RELEASE.values(), ids=RELEASE.keys())
def test_release_returns_to_the_default(before: Callable[[World], None], expected: list[float]) -> None:
    made = hall(0.0)
    before(made)
    follow(made)
    made.command(codes.STAND)
    assert follow(made, ticks=3) == expected
    assert (made.state.envelope, made.state.goal_w, made.state.lapsed) == (codes.NORMAL, 900e3, 0)


@pytest.mark.parametrize(("raise_after", "expected"), [(0, 800.0), (1, 810.0)])
def test_before_the_first_command_it_raises_only_where_it_may(raise_after: int, expected: float) -> None:
    assert follow(hall(raise_after=raise_after)) == [expected]
    assert follow(hall(950.0, raise_after=raise_after)) == [940.0]
