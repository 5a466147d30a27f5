"""What bends or holds the reference: windows, S-curves, frequency, silent channels, the return. kW, each second."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, World, world
from tests.cycles.test_ramp import follow


def hall(reference_kw: float = 800.0, **options: object) -> World:
    made = world(default_w=900e3, measured=True, **options)
    made.state.started = made.state.meter_good = 1
    made.state.reference_w = made.state.goal_w = reference_kw * 1e3
    made.meter(reference_kw * 1e3)
    return made


WINDOW = [(15.0, codes.NORMAL, 60e3, 30e3)]
WINDOWS = {
    # target kW, envelope, noise kW -> reference in the next seconds, from 800 kW, 10 kW/s at most
    # 0.9 x 60 kW in 15 s are 3.6 kW/s up, 0.9 x 30 kW 1.8 kW/s down.
    "up":                 (950.0, codes.NORMAL, 0.0, [803.6, 807.2, 810.8]),
    "down":               (600.0, codes.NORMAL, 0.0, [798.2, 796.4, 794.6]),
    "beside noise":       (950.0, codes.NORMAL, 30.0, [801.8, 803.6]),
    "noise takes it all": (950.0, codes.NORMAL, 60.0, [800.0, 800.0]),
    "another envelope":   (950.0, codes.DISPATCHED, 60.0, [950.0, 950.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", WINDOWS.values(), ids=WINDOWS.keys())
def test_windows_leave_the_load_its_noise(row: tuple[float, int, float, list[float]]) -> None:
    target_kw, envelope, noise_kw, expected = row
    made = hall(windows=WINDOW)
    made.state.noise_w = noise_kw * 1e3
    made.command(codes.TRACK, target_kw * 1e3, envelope=envelope)
    assert follow(made, ticks=len(expected)) == expected


NOISE_ENDS = {
    # ramp s, shape -> reference in the next seconds, from 800 kW to 780 kW, 0.9 x 30 kW in 15 s
    "as fast as it may": (0.0, codes.LINEAR, [798.2, 796.4, 794.6]),
    "in a ramp":         (21.0, codes.LINEAR, [799.0, 798.0, 797.0]),
    "in a short ramp":   (5.0, codes.LINEAR, [798.2, 796.4, 794.6]),
    "in an S-curve":     (0.0, codes.S_CURVE, [798.2, 796.4, 794.6]),
}  # fmt: skip


@pytest.mark.parametrize("row", NOISE_ENDS.values(), ids=NOISE_ENDS.keys())
def test_a_command_taken_in_noise_moves_when_it_ends(row: tuple[float, int, list[float]]) -> None:
    ramp_s, shape, expected = row
    made = hall(windows=WINDOW)
    made.state.noise_w = 60e3
    made.command(codes.TRACK, 780e3, envelope=codes.NORMAL, ramp_s=ramp_s)
    made.inputs.command.shape = shape
    assert follow(made, ticks=20) == [800.0] * 20
    made.state.noise_w = 0.0
    assert follow(made, ticks=len(expected)) == expected


BLIND = {
    # target kW, ramp s, rate kW/s, envelope, noise kW: the reference 5 s later, two and ten after `blind_max_s`
    "no rate of its own":       (800.0, 0.0, 0.0, codes.DISPATCHED, 0.0, [800.0, 400.0, 400.0]),
    "a ramp to where it stood": (800.0, 5.0, 0.0, codes.DISPATCHED, 0.0, [800.0, 400.0, 400.0]),
    "a long ramp up":           (900.0, 0.0, 0.1, codes.DISPATCHED, 0.0, [800.0, 400.0, 400.0]),
    "a long ramp down":         (600.0, 0.0, 0.1, codes.DISPATCHED, 0.0, [799.5, 400.0, 400.0]),
    "a long ramp below it":     (300.0, 0.0, 0.1, codes.DISPATCHED, 0.0, [799.5, 399.9, 399.1]),
    "normal":                   (800.0, 0.0, 0.0, codes.NORMAL, 0.0, [800.0, 796.4, 782.0]),
    "normal, in noise":         (800.0, 0.0, 0.0, codes.NORMAL, 60.0, [800.0, 796.4, 782.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", BLIND.values(), ids=BLIND.keys())
def test_no_rate_keeps_a_site_without_a_meter_above_its_default(
    row: tuple[float, float, float, int, float, list[float]],
) -> None:
    target_kw, ramp_s, rate_kw, envelope, noise_kw, expected = row
    made = hall(windows=WINDOW, blind_max_ns=5 * NS)
    made.limits.site.default_w = 400e3
    made.state.noise_w = noise_kw * 1e3
    made.state.meter_good, made.state.blind_ns = 0, made.now_ns + NS
    made.command(codes.TRACK, target_kw * 1e3, ramp_s=ramp_s, rate_w_per_s=rate_kw * 1e3, envelope=envelope)
    seen = follow(made, ticks=15)
    assert [seen[4], seen[6], seen[14]] == expected


def test_what_a_blind_site_gave_up_comes_back_at_the_normal_rate() -> None:
    made = hall(blind_max_ns=5 * NS)
    made.limits.site.default_w = 400e3
    made.command(codes.TRACK, 800e3, ramp_s=5.0)
    made.state.meter_good, made.state.blind_ns = 0, made.now_ns
    assert follow(made, ticks=10)[-1] == 400.0
    made.state.meter_good = 1
    assert follow(made, ticks=2) == [410.0, 420.0]
    # A fresh command is free of that.
    made.command(codes.TRACK, 800e3)
    assert follow(made) == [800.0]


def test_what_was_dispatched_counts_in_the_windows_that_follow() -> None:
    made = hall(windows=WINDOW)
    made.command(codes.TRACK, 750e3)
    follow(made, ticks=2)
    made.command(codes.TRACK, 600e3, envelope=codes.NORMAL)
    # 50 kW of the last seconds are more than the 30 kW of the window already, until they are older than it.
    assert follow(made, ticks=13) == [750.0] * 13
    assert made.state.site_why == codes.SITE_WINDOW
    assert follow(made, ticks=3)[-1] < 750.0


def test_no_window_is_ever_exceeded() -> None:
    made = hall(windows=WINDOW, normal_up=50e3, normal_down=50e3)
    seen = [800.0]
    for second in range(300):
        if second % 20 == 0:
            made.command(codes.TRACK, 500e3 if second % 40 else 990e3, envelope=codes.NORMAL)
        made.meter(seen[-1] * 1e3)
        seen += follow(made)
    for span in range(1, 16):
        changes = [b - a for a, b in zip(seen, seen[span:], strict=False)]
        assert max(changes) <= 60.0 + 1e-6
        assert min(changes) >= -30.0 - 1e-6
    assert max(seen) - min(seen) > 30.0


def test_an_s_curve_begins_and_ends_flat_and_takes_its_time() -> None:
    made = hall(1000.0, lead_s=0.0)
    made.command(codes.TRACK, 600e3, ramp_s=10.0)
    made.inputs.command.shape = codes.S_CURVE
    seen = [1000.0, *follow(made, ticks=11)]
    steps = [round(a - b, 3) for a, b in pairwise(seen)]
    assert steps[:10] == [11.2, 30.4, 44.8, 54.4, 59.2, 59.2, 54.4, 44.8, 30.4, 11.2]
    assert seen[-1] == 600.0


def test_an_s_curve_takes_longer_where_the_envelope_is_too_flat_for_it() -> None:
    made = hall(1000.0, lead_s=0.0, dispatched_down=40e3)
    made.command(codes.TRACK, 600e3, ramp_s=10.0)
    made.inputs.command.shape = codes.S_CURVE
    seen = [1000.0, *follow(made, ticks=15)]
    steps = [a - b for a, b in pairwise(seen)]
    assert max(steps) <= 40.0
    assert seen[-2] > 600.0
    assert seen[-1] == 600.0


def test_a_new_command_bends_an_s_curve_where_it_is() -> None:
    made = hall(1000.0, lead_s=0.0)
    made.command(codes.TRACK, 600e3, ramp_s=10.0)
    made.inputs.command.shape = codes.S_CURVE
    at_kw = follow(made, ticks=5)[-1]
    made.meter(at_kw * 1e3)
    made.command(codes.TRACK, 1000e3, rate_w_per_s=10e3)
    made.inputs.command.shape = codes.LINEAR
    assert follow(made) == [at_kw + 10.0]


def test_an_s_curve_goes_on_where_a_shed_stopped_it() -> None:
    made = hall(600.0, lead_s=0.0)
    made.command(codes.TRACK, 1000e3, ramp_s=10.0)
    made.inputs.command.shape = codes.S_CURVE
    follow(made, ticks=5)
    made.state.reference_w = 585e3
    # As fast as normal to where it began, then the second half of the curve, then what is missing at its mean rate.
    assert follow(made, ticks=8) == [595.0, 600.0, 659.2, 713.6, 758.4, 788.8, 800.0, 840.0]


FREQUENCY = {
    # target kW, Hz -> moves, what holds the site
    "low, up":          (900.0, 59.949, False, codes.SITE_FREQUENCY),
    "low, down":        (700.0, 59.949, True, codes.SITE_REFERENCE),
    "high, down":       (700.0, 60.051, False, codes.SITE_FREQUENCY),
    "high, up":         (900.0, 60.051, True, codes.SITE_REFERENCE),
    "nearly low":       (900.0, 59.951, True, codes.SITE_REFERENCE),
    "nothing to do":    (800.0, 59.90, False, codes.SITE_FREQUENCY),
}  # fmt: skip


@pytest.mark.parametrize("row", FREQUENCY.values(), ids=FREQUENCY.keys())
def test_no_ramp_goes_against_the_frequency(row: tuple[float, float, bool, int]) -> None:
    target_kw, hz, moves, why = row
    made = hall(hold_hz=0.05)
    made.grid(hz=hz)
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    made.command(codes.TRACK, target_kw * 1e3, rate_w_per_s=10e3)
    assert (follow(made) != [800.0]) == moves
    assert made.state.site_why == why or not moves


def test_a_silent_channel_is_waited_for_and_its_lease_does_not_run() -> None:
    made = hall(hold_max_ns=10 * NS, raise_after=1)
    made.command(codes.TRACK, 700e3, rate_w_per_s=10e3, lease_s=3.0)
    assert follow(made) == [790.0]
    made.inputs.command.lost_ns = made.now_ns
    assert follow(made, ticks=9) == [790.0] * 9
    assert (made.state.site_why, made.state.lapsed) == (codes.SITE_CHANNEL, 0)
    # Then the default, but never above the present.
    assert follow(made, ticks=3) == [790.0] * 3
    assert (made.state.verb, made.state.lapsed) == (codes.STAND, 1)


def test_a_channel_that_comes_back_goes_on_where_it_was() -> None:
    made = hall(hold_max_ns=10 * NS)
    made.command(codes.TRACK, 700e3, rate_w_per_s=10e3, lease_s=60.0)
    follow(made)
    made.inputs.command.lost_ns = made.now_ns
    follow(made, ticks=5)
    made.inputs.command.lost_ns = 0
    assert follow(made, ticks=2) == [780.0, 770.0]


def test_after_a_stop_the_way_back_is_slow_and_ends_at_what_was_usual() -> None:
    made = hall(700.0, return_up=5e3, normal_up=50e3)
    for _ in range(100):
        made.now_s += 1.0
        made.meter(700e3)
        made.state.meter_w = 700e3
        interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    made.command(codes.ESTOP)
    follow(made)
    made.meter(100e3)
    made.command(codes.STAND)
    assert follow(made, ticks=3) == [105.0, 110.0, 115.0]
    made.state.reference_w = 698e3
    assert follow(made, ticks=3) == [700.0] * 3
    assert made.state.site_why == codes.SITE_RETURN
    # A fresh command is free of that.
    made.command(codes.TRACK, 900e3)
    assert follow(made) == [900.0]


@pytest.mark.parametrize(("response_kw", "reference_kw"), [(0.0, 500.0), (-60.0, 560.0), (60.0, 440.0)])
def test_a_return_begins_where_the_response_leaves_the_purchase_as_it_is(
    response_kw: float, reference_kw: float
) -> None:
    made = hall(700.0)
    made.state.model_w, made.state.disturbance_w, made.state.response_w = 450e3, 50e3, 1e3 * response_kw
    interpreted.grid.come_back(made.limits, made.state, made.now_ns)
    assert made.state.reference_w / 1e3 == reference_kw


def test_the_cap_of_the_return_ends_after_an_hour() -> None:
    made = hall(700.0)
    interpreted.grid.come_back(made.limits, made.state, made.now_ns)
    assert made.state.returning
    made.now_s += 3599.0
    made.refresh()
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    assert made.state.returning
    made.now_s += 1.0
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    assert not made.state.returning


OPEN = {
    # verb, whether the breaker is open, whether a restart resumes it -> whether it is taken in the fault
    "a set point":        (codes.TRACK, 1, 0, 1),
    "in another fault":   (codes.TRACK, 0, 0, 0),
    "one that is resumed": (codes.TRACK, 1, 1, 0),
    "a hold":             (codes.HOLD, 1, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize(("verb", "exceeded", "resumed", "taken"), OPEN.values(), ids=OPEN.keys())
def test_a_set_point_behind_an_open_breaker_does_not_end_the_return(
    verb: int, exceeded: int, resumed: int, taken: int
) -> None:
    made = hall()
    made.state.fault_hold, made.state.exceeded, made.state.returning = 1, exceeded, 1
    made.command(verb, 950e3)
    made.inputs.command.resumed = resumed
    assert follow(made, ticks=2) == [800.0, 800.0]
    assert (made.state.seq == made.inputs.command.seq, made.state.returning) == (taken, 1)
    assert made.state.goal_w == (950e3 if taken else 800e3)


NORMAL_WINDOW, OWN_WINDOW = (15.0, codes.NORMAL, 60e3, 60e3), (15.0, codes.DISPATCHED, 150e3, 150e3)
BACK = {
    # windows, kW thrown to, returning, noise kW -> reference in the next seconds below a dispatched 800 kW, 10 kW/s
    # 0.9 x 60 kW in 15 s are 3.6 kW/s.
    "thrown off":          ([NORMAL_WINDOW], 700.0, 0, 0.0, [703.6, 707.2, 710.8]),
    "after an emergency":  ([NORMAL_WINDOW], 700.0, 1, 0.0, [703.6, 707.2, 710.8]),
    "beside noise":        ([NORMAL_WINDOW], 700.0, 1, 30.0, [701.8, 703.6]),
    "noise takes it all":  ([NORMAL_WINDOW], 700.0, 1, 60.0, [700.0, 700.0]),
    "both hold":           ([NORMAL_WINDOW, OWN_WINDOW], 700.0, 0, 120.0, [700.0, 700.0]),
    "its own hold":        ([OWN_WINDOW], 700.0, 0, 120.0, [701.8, 703.6]),
    "downwards it is its": ([NORMAL_WINDOW], 900.0, 0, 30.0, [800.0, 800.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", BACK.values(), ids=BACK.keys())
def test_what_no_command_asked_for_keeps_the_normal_windows(
    row: tuple[list[tuple[float, int, float, float]], float, int, float, list[float]],
) -> None:
    windows, thrown_kw, returning, noise_kw, expected = row
    made = hall(windows=windows, return_up=10e3)
    made.command(codes.TRACK, 800e3)
    follow(made, ticks=20)
    made.state.reference_w = thrown_kw * 1e3
    made.state.returning, made.state.return_cap_w = returning, 1e6
    made.state.noise_w = noise_kw * 1e3
    assert follow(made, ticks=len(expected)) == pytest.approx(expected)
    # A fresh one has leave for its own.
    made.state.noise_w = 0.0
    made.meter(made.state.reference_w / 1e3)
    made.command(codes.TRACK, 900e3, rate_w_per_s=10e3)
    at_kw = follow(made)[0]
    assert follow(made) == pytest.approx([at_kw + (9.0 if OWN_WINDOW in windows else 10.0)])
