"""What the grid shows, reading by reading: faults, droop, under-frequency steps. 60 Hz, 8 kV, a site of 1 MW."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Cooling, Rack, World, world

NAN = math.nan


def observed(made: World, seconds: float = 0.0, meter_good: int = 1, **shown: Any) -> World:
    made.now_s += seconds
    made.refresh()
    if made.limits.site.frequency_slot >= 0:
        made.grid(**shown)
    made.state.meter_good = meter_good
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    return made


FAULTS = {
    # what is shown -> fault
    "nominal":            ({}, 0),
    "just not low":       ({"volts": 7200.0}, 0),
    "low":                ({"volts": 7199.9}, 1),
    "just not high":      ({"volts": 8800.0}, 0),
    "high":               ({"volts": 8800.1}, 1),
    "dead bus":           ({"volts": 0.0, "hz": 40.0}, 1),
    "no bus has that":    ({"hz": 53.9}, 1),
    "nor that":           ({"hz": 66.1}, 1),
    "very low, but live": ({"hz": 54.0}, 0),
    "breaker open":       ({"closed": 0.0}, 1),
    "not a number":       ({"volts": NAN, "hz": NAN, "closed": NAN}, 0),
    "too old":            ({"volts": 0.0, "age_s": 2.1}, 0),
    "bad quality":        ({"volts": 0.0, "quality": codes.RANGE}, 0),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(shown: dict[str, Any], fault: int) -> None:
    assert observed(world(measured=True), **shown).state.fault == fault


def test_one_phase_is_enough() -> None:
    for phase in range(3):
        made = world(measured=True)
        made.put(made.limits.voltage_slot[phase], 7000.0)
        interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
        assert made.state.fault


def test_what_is_not_measured_shows_no_fault() -> None:
    made = world()
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    assert not made.state.fault


def test_ten_seconds_after_a_fault_everything_still_holds() -> None:
    made = observed(world(measured=True), volts=0.0)
    for _ in range(10):
        assert made.state.fault_hold
        observed(made, 0.999)
    observed(made, 0.01)
    assert not made.state.fault_hold


UNSEEN = {
    # what showed a fault, and how it goes unread
    "voltage, too old":           ({"volts": 0.0}, {"age_s": 2.1}),
    "voltage, out of range":      ({"volts": 0.0}, {"quality": codes.RANGE}),
    "voltage, not a number":      ({"volts": 0.0}, {"volts": NAN}),
    "high voltage, refused":      ({"volts": 9000.0}, {"quality": codes.REFUSED}),
    "frequency, too old":         ({"hz": 40.0}, {"age_s": 2.1}),
    "frequency, not a number":    ({"hz": 40.0}, {"hz": NAN}),
    "breaker, too old":           ({"closed": 0.0}, {"age_s": 2.1}),
    "breaker, never again":       ({"closed": 0.0}, {"quality": codes.SENTINEL}),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "unread"), UNSEEN.values(), ids=UNSEEN.keys())
def test_a_fault_whose_end_nobody_can_see_goes_on(shown: dict[str, Any], unread: dict[str, Any]) -> None:
    made = observed(world(measured=True), **shown)
    assert made.state.fault
    for _ in range(59):
        observed(made, 1.0, **unread)
        assert (made.state.fault, made.state.fault_hold) == (0, 1)
    # Read again, it ends after its ten seconds.
    observed(made, 1.0)
    for _ in range(9):
        assert made.state.fault_hold
        observed(made, 1.0)
    observed(made, 1.1)
    assert not made.state.fault_hold


def test_one_phase_that_is_read_again_says_nothing_of_another() -> None:
    made = observed(world(measured=True), volts=0.0)
    for _ in range(20):
        made.now_s += 1.0
        made.grid()
        made.put(made.limits.voltage_slot[2], 8000.0, age_s=2.1)
        interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
        assert made.state.fault_hold


def test_a_voltage_that_was_well_when_last_read_is_no_fault() -> None:
    made = observed(world(measured=True))
    observed(made, 1.0, volts=0.0, age_s=2.1)
    assert (made.state.fault, made.state.fault_hold) == (0, 0)


def test_an_unread_fault_does_not_keep_what_must_fall_without_a_meter_for_long() -> None:
    made = observed(world(measured=True, blind_max_ns=20 * 10**9), volts=0.0)
    made.state.started = 1
    since_s = made.now_s
    made.state.blind_ns = made.now_ns
    for _ in range(40):
        made.now_s += 1.0
        made.state.meter_good = 0
        interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
        assert made.state.fault_hold == (made.now_s - since_s < 20.0)
        assert made.reasons() == ["fault"]


def test_nor_beside_a_meter_that_is_read() -> None:
    """A breaker that was open when its contact was read last, on a bus that has its voltage."""
    made = observed(world(measured=True, blind_max_ns=20 * 10**9), closed=0.0)
    made.state.started = 1
    since_s = made.now_s
    for _ in range(40):
        made.now_s += 1.0
        made.grid()
        made.put(made.limits.site.breaker_slot, 1.0, quality=codes.REFUSED)
        interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
        assert made.state.fault_hold == (made.now_s - since_s < 20.0)
        assert made.reasons() == ["fault"]
    # Read again it ends as any does, and the next one holds from its begin.
    for second in range(12):
        observed(made, 1.0)
        assert made.state.fault_hold == (second < 9)
    assert observed(made, 1.0, closed=0.0).state.fault_hold


def test_an_unread_fault_is_no_reason_not_to_shed() -> None:
    made = observed(world(measured=True, under=STEPS), volts=0.0)
    made.grid(hz=59.6)
    for k in range(3):
        made.put(made.limits.voltage_slot[k], 8000.0, quality=codes.RANGE)
    interpreted.grid.observe(made.inputs, made.limits, made.state, made.now_ns)
    assert (made.state.fault_hold, made.state.shedding) == (1, 1)


STEPS = [(59.7, 2), (59.5, 1)]
DROOP = {
    # Hz -> kW of purchase: 5 % droop and a deadband of 0.017 Hz on 1 MW
    "nominal":           (60.0, 0.0),
    "within the band":   (59.984, 0.0),
    "just at its edge":  (59.983, 0.0),
    "59.95":             (59.95, -11.06),
    "59.90":             (59.90, -27.82),
    "59.85":             (59.85, -44.59),
    "59.70":             (59.70, -94.87),
    "all it has":        (57.0, -1000.0),
    "and no more":       (55.0, -1000.0),
    "high":              (60.10, 27.82),
    "very high":         (63.5, 1000.0),
}  # fmt: skip


@pytest.mark.parametrize(("hz", "expected"), DROOP.values(), ids=DROOP.keys())
def test_droop(hz: float, expected: float) -> None:
    made = observed(world(measured=True, droop=0.05, deadband_hz=0.017), hz=hz)
    assert made.state.droop_w / 1e3 == pytest.approx(expected, abs=0.01)


def test_without_droop_or_before_a_frequency_was_read_there_is_no_response() -> None:
    assert observed(world(measured=True), hz=59.5).state.droop_w == 0.0
    made = observed(world(measured=True, droop=0.05), hz=59.5, age_s=3.0)
    assert (made.state.droop_w, made.state.away_hz) == (0.0, 0.0)


RANGE, OLD = {"quality": codes.RANGE}, {"age_s": 2.1}
UNREAD = {
    # Hz while it could be read; then shown for a minute, and how -> kW of response, shedding and from which tier
    "nominal, out of range":       (60.0, 60.0, RANGE, (0.0, 0, 0)),
    "nominal, not a number":       (60.0, NAN, {}, (0.0, 0, 0)),
    "response, out of range":      (59.8, 60.0, RANGE, (-61.35, 0, 0)),
    "response, too old":           (59.8, 60.0, OLD, (-61.35, 0, 0)),
    "response, not a number":      (59.8, NAN, {}, (-61.35, 0, 0)),
    "response upward":             (60.2, 60.0, RANGE, (61.35, 0, 0)),
    "no more than it was":         (59.8, 57.0, RANGE, (-61.35, 0, 0)),
    "shed, out of range":          (59.7, 60.0, RANGE, (-94.87, 1, 2)),
    "shed, too old":               (59.7, 60.0, OLD, (-94.87, 1, 2)),
    "shed, not a number":          (59.4, NAN, {}, (-195.44, 1, 1)),
    "no further step":             (59.7, 59.4, RANGE, (-94.87, 1, 2)),
}  # fmt: skip


@pytest.mark.parametrize(("hz", "shown_hz", "how", "stays"), UNREAD.values(), ids=UNREAD.keys())
def test_a_frequency_that_cannot_be_read_counts_as_it_was(
    hz: float, shown_hz: float, how: dict[str, Any], stays: tuple[float, int, int]
) -> None:
    made = world(measured=True, droop=0.05, deadband_hz=0.017, under=STEPS)
    made.state.started = 1
    observed(made, hz=hz)
    assert made.reasons() == (["under_frequency"] if stays[1] else [])
    for _ in range(60):
        observed(made, 1.0, hz=shown_hz, **how)
        state = made.state
        assert state.droop_w / 1e3 == pytest.approx(stays[0], abs=0.01)
        assert (state.shedding, state.shed_tier) == stays[1:]
        assert made.reasons() == (["frequency_lost", "under_frequency"] if stays[1] else ["frequency_lost"])
    # Read again it is believed; the way back has its own time.
    for _ in range(10):
        observed(made, 0.999)
        assert (made.state.droop_w, made.state.shedding) == (0.0, stays[1])
    observed(made, 0.02)
    assert (made.state.shedding, made.reasons()) == (0, [])


def test_seconds_in_which_nobody_saw_the_frequency_end_no_step() -> None:
    made = observed(world(measured=True, under=STEPS), hz=59.7)
    observed(made, 1.0, hz=59.8)
    for _ in range(60):
        observed(made, 1.0, hz=59.8, quality=codes.RANGE)
    for _ in range(9):
        observed(made, 1.0, hz=59.8)
        assert made.state.shedding
    observed(made, 1.1, hz=59.8)
    assert not made.state.shedding


RAMPS = {
    # what the site owes, Hz before -> whether it is said that the frequency is lost, how far off it counts
    "steps":                  ({"under": [(59.7, 1)]}, 60.0, True, 0.0),
    "droop":                  ({"droop": 0.05}, 60.0, True, 0.0),
    "nothing":                ({}, 59.9, False, -0.1),
    "a ramp up is held":      ({"hold_hz": 0.05}, 59.9, True, -0.1),
    "no ramp is held":        ({"hold_hz": 0.05}, 59.96, False, -0.04),
    "a fall is held no more": ({"hold_hz": 0.05}, 60.1, False, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("owed", "hz", "lost", "away_hz"), RAMPS.values(), ids=RAMPS.keys())
def test_a_lost_frequency_is_said_where_it_bars_something(
    owed: dict[str, Any], hz: float, lost: bool, away_hz: float
) -> None:
    made = world(measured=True, **owed)
    made.state.started = 1
    observed(made, hz=hz)
    observed(made, 0.05, hz=60.0, quality=codes.RANGE)
    assert (made.reasons() == ["frequency_lost"]) == lost
    assert made.state.away_hz == pytest.approx(away_hz, abs=1e-9)


def test_a_fault_holds_the_response() -> None:
    made = observed(world(measured=True, droop=0.05), hz=59.5)
    before_w = made.state.droop_w
    observed(made, 0.1, hz=60.0, volts=5000.0)
    assert made.state.droop_w == before_w != 0.0


def test_a_frequency_that_falls_right_after_a_fault_sheds() -> None:
    """A large unit that trips is first a dip of the voltage, then of the frequency."""
    made = observed(world(measured=True, under=STEPS), volts=5000.0, hz=59.4)
    assert (made.state.fault_hold, made.state.shedding) == (1, 0)
    observed(made, 0.2, hz=59.4)
    assert (made.state.fault, made.state.fault_hold, made.state.shedding, made.state.shed_tier) == (0, 1, 1, 1)


SHED = {
    # Hz, second by second -> shedding and from which tier
    "never that low":        ([59.71] * 3, [(0, 0)] * 3),
    "the first step":        ([59.7, 59.69], [(1, 2), (1, 2)]),
    "then the second":       ([59.7, 59.5, 59.6], [(1, 2), (1, 1), (1, 1)]),
    "both at once":          ([59.4], [(1, 1)]),
    "ten seconds above":     ([59.7, *[59.8] * 10], [(1, 2)] * 10 + [(0, 2)]),
    "again below":           ([59.7, *[59.8] * 5, 59.7, *[59.8] * 9], [(1, 2)] * 16),
}  # fmt: skip


@pytest.mark.parametrize("row", SHED.values(), ids=SHED.keys())
def test_under_frequency_steps(row: tuple[list[float], list[tuple[int, int]]]) -> None:
    shown, expected = row
    made = world(measured=True, under=STEPS)
    seen = []
    for hz in shown:
        observed(made, 1.0, hz=hz)
        seen.append((made.state.shedding, made.state.shed_tier))
    assert seen == expected


def test_racks_of_a_step_go_down_at_once_and_nobody_makes_up_for_them() -> None:
    racks = [Rack(), Rack(tier=1, feeder=1), Rack(tier=2, feeder=2)]
    made = world(racks, measured=True, under=[(59.7, 1)], max_w=300e3, default_w=300e3, import_w=400e3,
                 stagger_ns=5_000_000_000, return_up=20e3, raise_after=1)  # fmt: skip
    drawn_w = [100e3] * 3

    def tick(hz: float, ticks: int = 1, quality: int = codes.GOOD) -> list[float]:
        for _ in range(ticks):
            made.refresh()
            for i in range(3):
                made.rack(i, drawn_w[i], made.state.applied_w[i] if made.state.tick else 100e3)
            made.meter(sum(drawn_w))
            made.grid(hz=hz, quality=quality)
            made.tick()
            drawn_w[:] = made.state.applied_w[:3]
        return made.state.applied_w[:3]

    assert tick(60.0, 60) == [100e3] * 3
    assert tick(59.69) == [100e3, 20e3, 20e3]
    assert tick(59.8, 150) == [100e3, 20e3, 20e3]
    assert [codes.Why(made.state.why[i]).name for i in range(3)] == ["WHY_GRID"] * 3
    # Nor do they come back because nobody sees the frequency any more, for however long.
    assert tick(60.0, 2400, codes.RANGE) == [100e3, 20e3, 20e3]
    assert made.reasons() == ["frequency_lost", "under_frequency"]
    assert tick(59.8, 150) == [100e3, 20e3, 20e3]
    # Back by feeders: the second after five seconds, the third after ten.
    tick(60.0, 60)
    assert not made.state.shedding
    assert made.state.applied_w[2] == 20e3
    tick(60.0, 110)
    assert made.state.applied_w[1] > 20e3
    assert made.state.applied_w[2] == 20e3
    tick(60.0, 400)
    assert made.state.applied_w[:3] == [100e3] * 3
    assert made.vetoes() == {}


def test_a_restart_without_a_frequency_raises_nothing() -> None:
    """What was shed before is not known any more, and the command that is taken up again asks for all of it."""
    made = world([Rack(), Rack(tier=1), Rack(tier=2)], measured=True, under=[(59.7, 1)], max_w=300e3, import_w=400e3)
    made.put(made.limits.site.frequency_slot, 0.0, quality=codes.NEVER)
    drawn_w = [100e3, 20e3, 20e3]

    def tick(ticks: int) -> list[float]:
        for _ in range(ticks):
            made.refresh()
            for i in range(3):
                made.rack(i, drawn_w[i], drawn_w[i])
            made.meter(sum(drawn_w))
            made.tick()
            drawn_w[:] = made.state.applied_w[:3]
        return drawn_w

    made.command(codes.TRACK, 300e3)
    assert tick(1200) == [100e3, 20e3, 20e3]
    assert made.reasons() == ["frequency_lost"]
    made.grid()
    assert tick(200) == pytest.approx([100e3] * 3, rel=0.01)
    assert (made.reasons(), made.vetoes()) == ([], {})


GIVEN = {
    # kW commanded while the frequency cannot be read -> kW of purchase; at 59.8 Hz 61.35 of 800 kW are given
    "nothing new":  (None, 738.65),
    "a rise":       (900.0, 738.65),
    "a fall":       (500.0, 438.65),
}  # fmt: skip


@pytest.mark.parametrize(("asked_kw", "kw"), GIVEN.values(), ids=GIVEN.keys())
def test_what_was_given_for_the_frequency_is_not_taken_back_unseen(asked_kw: float | None, kw: float) -> None:
    made = world([Rack()] * 10, measured=True, droop=0.05, deadband_hz=0.017, hold_hz=0.05, import_w=1.2e6)
    drawn_w = [80e3] * 10

    def tick(hz: float, ticks: int, quality: int = codes.GOOD) -> float:
        for _ in range(ticks):
            made.refresh()
            for i in range(10):
                made.rack(i, drawn_w[i], made.state.applied_w[i] if made.state.tick else 80e3)
            made.meter(sum(drawn_w))
            made.put(made.limits.site.frequency_slot, hz, quality=quality)
            made.tick()
            drawn_w[:] = made.state.applied_w[:10]
        return sum(drawn_w) / 1e3

    tick(60.0, 40)
    made.command(codes.TRACK, 800e3)
    assert tick(60.0, 200) == pytest.approx(800.0, abs=0.5)
    assert tick(59.8, 100) == pytest.approx(738.65, abs=0.5)
    if asked_kw is not None:
        made.command(codes.TRACK, asked_kw * 1e3)
    most_kw = max(tick(60.0, 1, codes.RANGE) for _ in range(400))
    assert most_kw <= 738.65 + 0.5
    assert tick(60.0, 800, codes.RANGE) == pytest.approx(kw, abs=0.5)
    # Seen again, it is made up for.
    assert tick(60.0, 200) == pytest.approx(asked_kw or 800.0, abs=0.5)
    assert made.vetoes() == {}


def test_in_a_fault_nothing_moves_but_what_must_fall() -> None:
    made = world([Rack(), Rack(loop=1)], loops=[Cooling(), Cooling()], measured=True, max_w=200e3, default_w=200e3)

    def tick(ticks: int, volts: float = 8000.0) -> list[float]:
        for _ in range(ticks):
            made.refresh()
            drawn_w = [made.state.power_w[i] if volts > 7000.0 else 0.0 for i in range(2)]
            for i in range(2):
                made.rack(i, drawn_w[i] if made.state.tick else 100e3, made.state.applied_w[i] or 100e3)
            made.meter(sum(drawn_w) if made.state.tick else 200e3)
            made.grid(volts=volts)
            made.tick()
        return made.state.applied_w[:2]

    tick(20)
    made.command(codes.TRACK, 120e3)
    stood = tick(60)
    assert sum(stood) == pytest.approx(120e3, rel=0.01)
    demand, disturbance = made.state.demand_w[:2], made.state.disturbance_w
    # The bus is dead, then back: nobody sees the racks' silence as their demand, nobody makes up for it.
    made.command(codes.TRACK, 180e3)
    assert tick(40, 0.0) == stood
    assert (made.state.demand_w[:2], made.state.disturbance_w) == (demand, disturbance)
    assert made.state.site_why == codes.SITE_FAULT
    assert tick(190) == stood
    # A hot loop is lowered all the same.
    made.cool(1, supply_c=46.0)
    assert tick(1, 0.0) == [stood[0], 20e3]
    made.cool(1)
    made.inputs.command.resets += 1
    assert sum(tick(450)) == pytest.approx(180e3, rel=0.01)
