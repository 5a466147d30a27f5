"""What stands beside the reference, within the site's limits: a least of 300 kW, a most of 1000, 1100 of import.

Regulation follows its signal at 400 kW/s and goes back at 10 kW/s.
"""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, World, world

NOTHING = codes.SITE_REFERENCE


def site(reference_kw: float = 800.0, **options: object) -> World:
    made = world(min_w=300e3, max_w=1000e3, import_w=1100e3, **options)
    made.state.reference_w = made.state.goal_w = 1e3 * reference_kw
    made.inputs.command.regulation_after = codes.AFTER_BACK
    made.state.meter_good = 1
    return made


def beside(made: World, seconds: float = 1.0, moved_kw: float = 0.0) -> World:
    made.now_s += seconds
    made.state.site_why = NOTHING
    interpreted.beside.stand_beside(made.inputs, made.limits, made.state, 1e3 * moved_kw, made.now_ns, seconds)
    return made


def signal(made: World, kw: float, lease_s: float = 12.0, after: int = codes.AFTER_BACK) -> None:
    command = made.inputs.command
    command.regulation_seq += 1
    command.regulation_after = after
    command.regulation_w, command.regulation_ns = 1e3 * kw, made.now_ns + round(lease_s * NS)


GIVEN = {
    # kW of reference, signal, droop -> kW of regulation, of response, what holds them
    "nothing owed":              (800.0, 0.0, 0.0, 0.0, 0.0, NOTHING),
    "down, all of it":           (800.0, 0.0, -200.0, 0.0, -200.0, NOTHING),
    "just down to the least":    (500.0, 0.0, -200.0, 0.0, -200.0, NOTHING),
    "no lower than the least":   (400.0, 0.0, -200.0, 0.0, -100.0, codes.SITE_MINIMUM),
    "at the least":              (300.0, 0.0, -200.0, 0.0, 0.0, codes.SITE_MINIMUM),
    "below the least already":   (250.0, 0.0, -200.0, 0.0, 0.0, codes.SITE_MINIMUM),
    "and up from there":         (250.0, 0.0, 200.0, 0.0, 200.0, NOTHING),
    "up, all of it":             (800.0, 0.0, 300.0, 0.0, 300.0, NOTHING),
    "no higher than the limit":  (800.0, 0.0, 300.1, 0.0, 300.0, codes.SITE_IMPORT),
    "above the limit already":   (1200.0, 0.0, 100.0, 0.0, 0.0, codes.SITE_IMPORT),
    "and down from there":       (1200.0, 0.0, -100.0, 0.0, -100.0, NOTHING),
    "regulation":                (800.0, 100.0, 0.0, 100.0, 0.0, NOTHING),
    "to the most, not above":    (950.0, 100.0, 0.0, 50.0, 0.0, codes.SITE_MAXIMUM),
    "to the least, not below":   (350.0, -100.0, 0.0, -50.0, 0.0, codes.SITE_MINIMUM),
    "both":                      (800.0, 100.0, -50.0, 100.0, -50.0, NOTHING),
    "both, to the least":        (450.0, -100.0, -100.0, -100.0, -50.0, codes.SITE_MINIMUM),
    "response above the most":   (950.0, 100.0, 100.0, 50.0, 100.0, codes.SITE_MAXIMUM),
    "both, to the limit":        (950.0, 50.0, 200.0, 50.0, 100.0, codes.SITE_IMPORT),
}  # fmt: skip


@pytest.mark.parametrize("row", GIVEN.values(), ids=GIVEN.keys())
def test_both_stay_within_the_sites_limits(row: tuple[float, float, float, float, float, int]) -> None:
    reference_kw, signal_kw, owed_kw, regulation_kw, response_kw, why = row
    made = site(reference_kw)
    signal(made, signal_kw)
    made.state.droop_w = 1e3 * owed_kw
    state = beside(made).state
    assert (state.regulation_w / 1e3, state.response_w / 1e3) == pytest.approx((regulation_kw, response_kw))
    assert state.beside_w == state.regulation_w + state.response_w
    assert state.site_why == why
    # Where slow racks will find it is the same, once the signal is followed.
    assert interpreted.beside.given(made.limits, state, state.reference_w) == pytest.approx(state.beside_w)


RACKS = {
    # kW of reference, signal, that the racks can go down and up to -> of regulation, unmet, what holds it
    "not looked at yet":               (800.0, -100.0, 0.0, 0.0, -100.0, 0.0, NOTHING),
    "all of it":                       (800.0, -100.0, 650.0, 900.0, -100.0, 0.0, NOTHING),
    "no lower than the racks go":      (800.0, -100.0, 750.0, 900.0, -50.0, -50.0, codes.SITE_FLOOR),
    "at their floor":                  (750.0, -100.0, 750.0, 900.0, 0.0, -100.0, codes.SITE_FLOOR),
    "below it by its set point":       (740.0, -100.0, 750.0, 900.0, 0.0, -110.0, codes.SITE_FLOOR),
    "the site's least is higher":      (350.0, -100.0, 290.0, 900.0, -50.0, -50.0, codes.SITE_MINIMUM),
    "no higher, but for a little":     (800.0, 100.0, 650.0, 850.0, 52.5, 47.5, codes.SITE_ROOM),
    "the site's most is lower":        (950.0, 100.0, 650.0, 1050.0, 50.0, 50.0, codes.SITE_MAXIMUM),
    "more than they want already":     (900.0, 100.0, 650.0, 850.0, 0.0, 147.5, codes.SITE_ROOM),
}  # fmt: skip


@pytest.mark.parametrize("row", RACKS.values(), ids=RACKS.keys())
def test_regulation_stays_within_what_racks_can_do(row: tuple[float, float, float, float, float, float, int]) -> None:
    reference_kw, signal_kw, least_kw, most_kw, regulation_kw, unmet_kw, why = row
    made = site(reference_kw)
    signal(made, signal_kw)
    made.state.least_w, made.state.most_w = 1e3 * least_kw, 1e3 * most_kw
    state = beside(made).state
    assert (state.regulation_w / 1e3, state.unmet_w / 1e3) == pytest.approx((regulation_kw, unmet_kw))
    assert state.site_why == why
    assert interpreted.beside.given(made.limits, state, state.reference_w) == pytest.approx(state.beside_w)
    # What could not be given is not waiting: a signal that leads back is followed from here.
    signal(made, 0.5 * regulation_kw)
    state = beside(made, seconds=0.01).state
    assert abs(state.regulation_w / 1e3 - regulation_kw) == pytest.approx(min(4.0, abs(0.5 * regulation_kw)))
    # Only where the set point itself is beyond them something is still missing.
    beyond_kw = min(0.0, reference_kw - least_kw) + max(0.0, reference_kw - most_kw - 2.5 if most_kw else 0.0)
    assert state.unmet_w / 1e3 == pytest.approx(beyond_kw)


@pytest.mark.parametrize(("signal_kw", "expected_kw"), [(50.0, 0.0), (-50.0, -50.0)])
def test_without_a_meter_it_only_goes_down(signal_kw: float, expected_kw: float) -> None:
    made = site()
    signal(made, signal_kw)
    made.state.meter_good = 0
    assert beside(made).state.regulation_w == 1e3 * expected_kw


def test_a_fault_moves_it_for_no_limit() -> None:
    made = site()
    signal(made, -50.0)
    beside(made)
    made.state.least_w, made.state.fault_hold = 790e3, 1
    assert beside(made).state.regulation_w == -50e3


def test_a_stop_has_none() -> None:
    made = site()
    made.state.verb, made.state.droop_w, made.state.regulation_w = codes.ESTOP, 100e3, 50e3
    signal(made, 50.0)
    state = beside(made).state
    assert (state.regulation_w, state.response_w, state.beside_w, state.site_why) == (0.0, 0.0, 0.0, NOTHING)


def test_a_signal_is_followed_at_the_dispatched_limits_and_ends_along_the_normal_ramp() -> None:
    made = site(600.0, dispatched_up=40e3, dispatched_down=30e3, normal_up=10e3, normal_down=5e3)
    signal(made, 100.0, lease_s=4.0)
    assert [beside(made).state.regulation_w / 1e3 for _ in range(3)] == [40.0, 80.0, 100.0]
    # Silent for longer than its lease, to the nanosecond.
    assert [beside(made).state.regulation_w / 1e3 for _ in range(3)] == [95.0, 90.0, 85.0]
    assert not made.state.regulating
    signal(made, -10.0, lease_s=5.0)
    assert [beside(made).state.regulation_w / 1e3 for _ in range(5)] == [55.0, 25.0, -5.0, -10.0, 0.0]
    assert [beside(made).state.regulation_w / 1e3 for _ in range(2)] == [0.0, 0.0]


AFTER = {
    # what is said of it, kW that the reference moves in the same second, of regulation -> a second later, what holds
    "nothing yet":                        (codes.AFTER_FLAT, 0.0, -40.0, -40.0, NOTHING),
    "nothing yet, up":                    (codes.AFTER_FLAT, 0.0, 40.0, 40.0, NOTHING),
    "nothing yet, the reference moves":   (codes.AFTER_FLAT, -5.0, -40.0, -40.0, NOTHING),
    "its channel is lost":                (codes.AFTER_HELD, 0.0, -40.0, -40.0, codes.SITE_CHANNEL),
    "lost, up":                           (codes.AFTER_HELD, 0.0, 40.0, 40.0, codes.SITE_CHANNEL),
    "lost, nothing regulated":            (codes.AFTER_HELD, 0.0, 0.0, 0.0, NOTHING),
    "for too long":                       (codes.AFTER_LOWER, 0.0, -40.0, -40.0, codes.SITE_CHANNEL),
    "for too long, the reference rises":  (codes.AFTER_LOWER, 5.0, -40.0, -40.0, codes.SITE_CHANNEL),
    "for too long, the reference falls":  (codes.AFTER_LOWER, -6.0, -40.0, -34.0, codes.SITE_CHANNEL),
    "for too long, the last of it":       (codes.AFTER_LOWER, -6.0, -4.0, 0.0, codes.SITE_CHANNEL),
    "for too long, up":                   (codes.AFTER_LOWER, 0.0, 40.0, 30.0, codes.SITE_CHANNEL),
    "for too long, up, it falls":         (codes.AFTER_LOWER, -6.0, 40.0, 36.0, codes.SITE_CHANNEL),
}  # fmt: skip


@pytest.mark.parametrize("row", AFTER.values(), ids=AFTER.keys())
def test_silence_raises_nothing(row: tuple[int, float, float, float, int]) -> None:
    after, moved_kw, regulation_kw, expected_kw, why = row
    made = site()
    signal(made, regulation_kw, lease_s=0.5, after=after)
    made.state.regulation_w = 1e3 * regulation_kw
    state = beside(made, moved_kw=moved_kw).state
    assert (state.regulation_w / 1e3, state.site_why) == (pytest.approx(expected_kw), why)
    if expected_kw == regulation_kw:
        # Slow racks look no further either.
        assert interpreted.beside.given(made.limits, state, state.reference_w) == 1e3 * expected_kw
    # Racks that cannot go as low for a while come down to it again; the site's least holds.
    made.state.least_w, made.state.regulation_w = 790e3, -40e3
    made.inputs.command.regulation_ns = 0
    assert beside(made).state.regulation_w == -40e3
    made.limits.site.min_w = 790e3
    assert beside(made).state.regulation_w == -10e3


@pytest.mark.parametrize(("after", "begins_kw"), [(codes.AFTER_BACK, 760.0), (codes.AFTER_HELD, 800.0)])
def test_a_command_begins_where_regulation_has_brought_the_purchase_once_that_goes_back(
    after: int, begins_kw: float
) -> None:
    """An interval of a schedule that begins in the silence leaves it beside."""
    made = site()
    made.state.regulation_w = made.state.beside_w = -40e3
    made.state.meter_w, made.state.meter_good = 760e3, 1
    made.inputs.command.regulation_after = after
    made.command(codes.TRACK, 900e3)
    interpreted.ramp.take(made.inputs, made.limits, made.state, made.now_ns)
    assert made.state.reference_w == 1e3 * begins_kw
    assert made.state.reference_w + made.state.regulation_w == 760e3


END = {
    # kW that the reference moves in the same second, kW of regulation that has ended -> a second later
    "alone":                   (0.0, -40.0, -30.0),
    "with the reference":      (6.0, -40.0, -36.0),
    "the reference takes all": (10.0, -40.0, -40.0),
    "against it":              (-10.0, -40.0, -30.0),
    "alone, down":             (0.0, 40.0, 30.0),
    "with it, down":           (-6.0, 40.0, 36.0),
}  # fmt: skip


@pytest.mark.parametrize("row", END.values(), ids=END.keys())
def test_what_has_ended_goes_back_beside_the_reference_within_the_normal_ramp(row: tuple[float, float, float]) -> None:
    moved_kw, regulation_kw, expected_kw = row
    made = site()
    made.state.regulation_w = 1e3 * regulation_kw
    assert beside(made, moved_kw=moved_kw).state.regulation_w / 1e3 == pytest.approx(expected_kw)


def test_the_windows_of_the_normal_envelope_hold_it_as_well_and_noise_does_not() -> None:
    made = site(windows=[(15.0, codes.NORMAL, 60e3, 30e3), (15.0, codes.DISPATCHED, 300e3, 600e3)])
    made.state.noise_w = 1e6
    for regulation_kw, expected_kw in ((-40.0, -36.4), (40.0, 38.2)):
        made.state.regulation_w = 1e3 * regulation_kw
        assert beside(made).state.regulation_w / 1e3 == pytest.approx(expected_kw)
    # A signal has those of the dispatched envelope.
    for signal_kw, expected_kw in ((100.0, 18.0), (-100.0, -18.0)):
        made.state.regulation_w = 0.0
        signal(made, signal_kw)
        assert beside(made).state.regulation_w / 1e3 == pytest.approx(expected_kw * (2.0 if signal_kw < 0 else 1.0))


@pytest.mark.parametrize("what", ["shedding", "exceeded", "returning"])
def test_no_signal_is_followed_in_an_emergency_or_on_the_way_back(what: str) -> None:
    made = site()
    signal(made, 50.0)
    setattr(made.state, what, 1)
    assert (beside(made).state.regulation_w, made.state.regulating) == (0.0, 0)
    setattr(made.state, what, 0)
    assert (beside(made).state.regulation_w, made.state.regulating) == (50e3, 1)


def test_a_return_begins_with_what_regulation_has_moved() -> None:
    made = site()
    state = made.state
    state.regulation_w, state.response_w, state.model_w = 50e3, -20e3, 830e3
    interpreted.grid.come_back(made.limits, state, made.now_ns)
    assert (state.reference_w, state.regulation_w, state.beside_w) == (850e3, 0.0, -20e3)


def test_a_fault_holds_it() -> None:
    made = site()
    signal(made, 50.0)
    beside(made)
    signal(made, -50.0)
    made.state.fault_hold = 1
    assert beside(made).state.regulation_w == 50e3


def test_racks_rise_as_fast_as_a_set_point_or_a_signal_has_leave_for() -> None:
    made = site()
    assert interpreted.beside.quickest(made.limits, made.state) == 10e3
    made.state.regulating = 1
    assert interpreted.beside.quickest(made.limits, made.state) == 400e3
    made.state.regulating, made.state.envelope = 0, codes.DISPATCHED
    assert interpreted.beside.quickest(made.limits, made.state) == 400e3
