"""What the meter shows beyond the racks: what it teaches, how fast, and what of it is believed."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world
from tests.cycles.test_model import DT, advance, one


def compare(made: World, meter_kw: float, seconds: float = 1.0) -> float:
    """One new meter reading; the disturbance in kW afterwards."""
    made.now_s += seconds
    made.meter(meter_kw * 1e3)
    interpreted.meter.compare(made.inputs, made.limits, made.state, made.now_ns)
    return round(made.state.disturbance_w / 1e3, 6)


def test_the_first_reading_starts_from_the_present() -> None:
    made = one(Rack(), cap_kw=70, loss_ratio=0.5)
    made.state.model_w = 70e3
    assert compare(made, 200.0) == 95.0
    state = made.state
    assert (state.started, state.reference_w, state.goal_w, state.total_w) == (1, 200e3, 200e3, 70e3)


@pytest.mark.parametrize(("first_kw", "started"), [(100.0, 1), (-80.0, 1), (70e3, 0), (-200.0, 0)])
def test_a_first_reading_that_no_purchase_can_be_waits_for_a_second(first_kw: float, started: int) -> None:
    made = one(Rack(), cap_kw=70, max_w=1000e3, import_w=1000e3, generation_w=0.0)
    made.state.model_w = 70e3
    compare(made, first_kw)
    assert made.state.started == started
    compare(made, 100.0)
    assert made.state.started == 1
    assert started or made.state.reference_w == 100e3


WILD = {
    # readings in kW, a tenth of the site is 100 -> disturbance in kW; each teaches half of what is believed
    "a small change is followed":  ((140.0,), 50.0),
    "one alone by a tenth":        ((900.0,), 80.0),
    "either way":                  ((-900.0,), -20.0),
    "two in a row by the lesser":  ((500.0, 900.0), 280.0),
    "not one way and the other":   ((500.0, -900.0), 30.0),
    "the same again is not two":   ((900.0, 900.0), 130.0),
    "above the limit as well":    ((65e3, 65e3), 180.0),
    "soon forgotten":              ((900.0, 150.0), 80.0),
}  # fmt: skip


@pytest.mark.parametrize(("readings_kw", "disturbance_kw"), WILD.values(), ids=WILD.keys())
def test_one_reading_alone_may_be_wild(readings_kw: tuple[float, ...], disturbance_kw: float) -> None:
    made = one(Rack(), cap_kw=70, max_w=1000e3, import_w=1000e3, feedback_s=1.0)
    made.state.model_w = 70e3
    compare(made, 100.0)
    for reading_kw in readings_kw:
        found_kw = compare(made, reading_kw)
    assert found_kw == pytest.approx(disturbance_kw, abs=0.1)


def test_a_wild_reading_before_a_gap_makes_none_after_it_sure() -> None:
    made = one(Rack(), cap_kw=70, max_w=1000e3, import_w=1e9, feedback_s=1.0)
    made.state.model_w = 70e3
    compare(made, 100.0)
    compare(made, 900.0)
    made.state.meter_good = 0
    assert compare(made, 900.0) == 80.0
    made.state.meter_good = 1
    assert compare(made, 800.0) == 130.0


def test_a_wild_reading_moves_hardly_anything_and_no_command_begins_from_it() -> None:
    made = world([Rack(min_w=0.0)] * 10, phases=10, max_w=1000e3, default_w=1000e3, import_w=1e9, feedback_s=1.0)
    made.command(codes.TRACK, 1000e3)
    lowest_w = 1000e3
    for t in range(400):
        for i in range(10):
            made.rack(i, made.state.power_w[i] if t else 100e3, made.state.applied_w[i] if t else 100e3)
        made.cool(0)
        made.meter(1e9 if t == 300 else 1020e3 if t == 0 else sum(made.state.power_w[:10]) + 20e3)
        if t == 300:
            made.command(codes.TRACK, 990e3, envelope=codes.NORMAL)
        made.tick()
        lowest_w = min(lowest_w, sum(made.state.power_w[:10])) if t > 100 else lowest_w
        assert made.state.noise_w < 110e3
    assert lowest_w > 955e3
    assert made.state.reference_w == pytest.approx(990e3, rel=0.002)


def test_the_disturbance_follows_with_the_feedback_time() -> None:
    made = one(Rack(), cap_kw=70, feedback_s=1.0)
    made.state.model_w = 70e3
    assert compare(made, 100.0) == 30.0
    assert [compare(made, 140.0) for _ in range(3)] == [50.0, 60.0, 65.0]
    # The same reading again teaches nothing, nor does a bad meter.
    made.inputs.value[0] = 900e3
    interpreted.meter.compare(made.inputs, made.limits, made.state, made.now_ns)
    assert made.state.disturbance_w == 65e3
    made.state.meter_good = 0
    assert compare(made, 900.0) == 65.0


def test_a_ramp_is_not_a_disturbance() -> None:
    made = one(Rack(down_w_per_s=50e3), cap_kw=100, align_ticks=2)
    made.state.model_w = 100e3
    compare(made, 130.0)
    true_kw = [130.0]
    for tick in range(20):
        true_kw.append(30.0 + advance(made, 50.0 if tick == 0 else None))
        made.now_s -= DT
        # The meter shows what was two ticks ago.
        assert compare(made, true_kw[max(0, tick - 1)], DT) == pytest.approx(30.0, abs=1e-6)


def test_half_a_step_of_miners_is_let_stand() -> None:
    made = one(Rack(), cap_kw=70)
    made.state.model_w = 70e3
    compare(made, 100.0)
    made.state.grain_w = 10e3
    made.state.reference_w = 100e3
    assert compare(made, 105.9) == 30.0
    assert compare(made, 94.1) == 30.0
    # One more step is nearer then: what is learnt is all of it.
    assert compare(made, 108.0) == 34.0
    made.state.reference_w = 113e3
    assert compare(made, 105.0) == 34.5
    # Above the import limit steps fall for another reason, and what comes back then is withheld.
    made.limits.site.import_w = 104e3
    assert compare(made, 105.0) == 34.5


JUMPS = {
    # readings in kW, the limit is 110 kW -> disturbance in kW; each teaches a tenth of what it shows, 30 kW is known
    "below the limit":                ((108.0, 108.0), 31.52),
    "one above it may be wild":       ((900.0,), 40.0),
    "two in a row are believed":      ((150.0, 150.0), 80.0),
    "not in a row":                   ((150.0, 100.0, 150.0), 39.05),
    "by the lesser of the two":       ((150.0, 300.0), 80.0),
}  # fmt: skip


@pytest.mark.parametrize(("readings_kw", "disturbance_kw"), JUMPS.values(), ids=JUMPS.keys())
def test_what_two_readings_show_above_the_import_limit_waits_for_no_filter(
    readings_kw: tuple[float, ...], disturbance_kw: float
) -> None:
    made = one(Rack(), cap_kw=70, import_w=110e3, feedback_s=9.0)
    made.state.model_w = 70e3
    compare(made, 100.0)
    for reading_kw in readings_kw:
        found_kw = compare(made, reading_kw)
    assert found_kw == pytest.approx(disturbance_kw, abs=0.1)


@pytest.mark.parametrize("feedback_s", [0.5, 5.0, 60.0])
def test_other_load_that_breaks_the_import_limit_is_made_room_for_at_once(feedback_s: float) -> None:
    made = world(
        [Rack(min_w=0.0, dead_down_s=0.2)] * 4, phases=10, max_w=450e3, default_w=450e3, import_w=450e3,
        feedback_s=feedback_s,
    )  # fmt: skip
    made.command(codes.TRACK, 450e3, lease_s=600.0)
    above = 0
    for t in range(400):
        for i in range(4):
            made.rack(i, made.state.power_w[i] if t else 90e3, made.state.applied_w[i] if t else 90e3)
        made.cool(0)
        purchase_w = (sum(made.state.power_w[:4]) if t else 360e3) + (150e3 if t >= 200 else 40e3)
        made.meter(purchase_w)
        made.tick()
        above += t >= 200 and purchase_w > 450e3 * 1.001
    # Its turn comes within half a second, and it answers in two tenths.
    assert above <= 16
    assert purchase_w == pytest.approx(450e3, rel=0.01)


@pytest.mark.parametrize(("late_s", "lowest_kw"), [(0.0, 990.0), (0.5, 960.0), (1.0, 930.0)])
def test_what_racks_were_told_above_the_import_limit_is_not_told_twice(late_s: float, lowest_kw: float) -> None:
    """Also where they answer later than they were said to."""
    made = world(
        [Rack(min_w=0.0, dead_down_s=1.0)] * 10, phases=10, max_w=1000e3, default_w=1000e3, import_w=1050e3,
        feedback_s=2.0,
    )  # fmt: skip
    sent = [[100e3] * 10] * (round(late_s / 0.05) + 20)
    made.command(codes.TRACK, 1000e3, lease_s=600.0)
    lowest_w = 1000e3
    for t in range(600):
        drawn_w = sent[-round(late_s / 0.05) - 20]
        for i in range(10):
            made.rack(i, drawn_w[i], made.state.applied_w[i] if t else 100e3)
        made.cool(0)
        if t % 4 == 0:
            made.meter(sum(drawn_w) + (150e3 if t >= 200 else 0.0))
        made.tick()
        sent.append(made.state.applied_w[:10])
        if t >= 200:
            lowest_w = min(lowest_w, sum(drawn_w) + 150e3)
    assert lowest_w >= lowest_kw * 1e3


def test_a_rack_that_joins_is_no_noise_of_the_load() -> None:
    made = one(Rack(), cap_kw=70, loss_ratio=0.02)
    state = made.state
    state.model_w = 70e3
    for shown_kw in (100.0, 100.0, 102.0):
        compare(made, shown_kw)
    assert state.noise_w == pytest.approx(2e3)
    state.model_w += 50e3
    interpreted.meter.shift(made.inputs, made.limits, state, 50e3, 50e3)
    compare(made, 102.0)
    assert state.noise_w == pytest.approx(2e3)


CALM, PEAK, WILD_ONE, REREAD = (100.0, 100.0), (109.0, 109.1), (109.0, 100.0), (109.0, 109.0)
CRESTS = {
    # readings in kW, two a second; feedback_s 9 -> what is kept free below the import limit of 110 kW at the end
    "quiet":                         ([CALM] * 20, 0.0),
    "a peak of late":                ([*[CALM] * 4, PEAK, *[CALM] * 4], 8.5),
    "is remembered":                 ([*[CALM] * 4, PEAK, *[CALM] * 14], 8.9),
    "for fifteen seconds":           ([*[CALM] * 4, PEAK, *[CALM] * 16], 0.0),
    "a trough is none":              ([*[CALM] * 4, (91.0, 91.1), *[CALM] * 4], 0.6),
    "nor what has come to stay":     ([*[CALM] * 4, *[PEAK] * 60], 0.0),
    "one reading alone is none":     ([*[CALM] * 4, WILD_ONE, *[CALM] * 4], 0.0),
    "nor the same one read again":   ([*[CALM] * 4, REREAD, *[CALM] * 4], 0.0),
    "but one that is there again":   ([*[CALM] * 4, WILD_ONE, *[CALM] * 4, WILD_ONE], 8.3),
}  # fmt: skip


@pytest.mark.parametrize(("readings_kw", "free_kw"), CRESTS.values(), ids=CRESTS.keys())
def test_peaks_beside_the_racks_are_kept_free_below_the_import_limit(
    readings_kw: list[tuple[float, float]], free_kw: float
) -> None:  # fmt: skip
    made = one(Rack(), cap_kw=70, import_w=110e3, feedback_s=9.0)
    made.state.model_w = 70e3
    for pair_kw in readings_kw:
        for shown_kw in pair_kw:
            compare(made, shown_kw, 0.5)
    assert made.state.surge_w == pytest.approx(1e3 * free_kw, abs=100.0)


def test_a_rack_that_joins_is_no_peak() -> None:
    found_w = []
    for joins_w in (0.0, 50e3):
        made = one(Rack(), cap_kw=70, import_w=210e3, loss_ratio=0.02)
        made.state.model_w = 70e3
        for shown_kw in (100.0, 104.0, 104.1, 100.0):
            compare(made, shown_kw)
        made.state.model_w += joins_w
        interpreted.meter.shift(made.inputs, made.limits, made.state, joins_w, joins_w)
        compare(made, 100.0)
        found_w.append(made.state.surge_w)
    assert found_w == pytest.approx([found_w[0]] * 2)
    assert found_w[0] > 2e3


@pytest.mark.parametrize("fault", [0, 1])
def test_behind_an_open_breaker_nothing_is_learned_of_racks(fault: int) -> None:
    """Neither of those that draw at the start, nor of one that joins: their target is what they draw."""
    made = one(Rack(), cap_kw=70, import_w=210e3, max_w=1000e3, generation_w=20e3)
    state = made.state
    state.fault_hold, state.model_w = fault, 70e3
    compare(made, 0.0)
    state.model_w += 50e3
    interpreted.meter.shift(made.inputs, made.limits, state, 50e3, 50e3)
    assert state.disturbance_w == (-20e3 if fault else -120e3)
    assert state.reference_w - state.disturbance_w == 120e3
