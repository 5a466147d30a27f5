"""What the racks must be drawing by now: dead times, slopes, demand, and what the meter shows beyond the racks."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world

DT = 0.1


def one(rack: Rack, *, cap_kw: float = 100.0, **site: float) -> World:
    """One rack that has stood at its cap for ever, at 10 Hz."""
    made = world([rack], hz=10.0, **site)
    state = made.state
    state.known[0] = state.ours[0] = state.meter_good = 1
    state.applied_w[0] = state.cap_w[0] = state.power_w[0] = cap_kw * 1e3
    state.demand_w[0] = rack.max_w
    for k in range(made.limits.site.history):
        state.past_w[k] = state.past_model_w[k] = cap_kw * 1e3
    made.rack(0, cap_kw * 1e3)
    return made


def advance(made: World, applied_kw: float | None = None) -> float:
    """One tick; then the set point that the guard let pass. The model's power in kW."""
    made.state.tick += 1
    made.now_s += DT
    interpreted.model.advance(made.inputs, made.limits, made.state, made.now_ns, DT)
    if applied_kw is not None:
        made.state.applied_w[0] = applied_kw * 1e3
    interpreted.model.record(made.limits, made.state)
    return round(made.state.power_w[0] / 1e3, 6)


RESPONSES = {
    # rack, from kW, to kW -> power in the ticks of 0.1 s after the one that wrote it
    "at once":            (Rack(), 100, 50, [50, 50]),
    "dead time down":     (Rack(dead_down_s=0.2), 100, 50, [100, 100, 50, 50]),
    "dead time up":       (Rack(dead_up_s=0.3), 50, 100, [50, 50, 50, 100]),
    "slope down":         (Rack(down_w_per_s=200e3), 100, 50, [80, 60, 50, 50]),
    "slope up":           (Rack(up_w_per_s=100e3), 50, 75, [60, 70, 75, 75]),
    "dead time and slope": (Rack(dead_down_s=0.1, down_w_per_s=250e3), 100, 50, [100, 75, 50]),
    "slow up, fast down":  (Rack(dead_up_s=0.4, dead_down_s=0.1), 100, 50, [100, 50, 50]),
    "fast up, slow down":  (Rack(dead_up_s=0.1, dead_down_s=0.4), 100, 50, [100, 100, 100, 100, 50]),
}  # fmt: skip


@pytest.mark.parametrize("row", RESPONSES.values(), ids=RESPONSES.keys())
def test_response(row: tuple[Rack, float, float, list[float]]) -> None:
    rack, begin_kw, end_kw, expected = row
    made = one(rack, cap_kw=begin_kw)
    assert advance(made, end_kw) == begin_kw
    assert [advance(made) for _ in expected] == expected


TURNS = {
    # rack, from kW, set points in kW one tick after the other -> power in the ticks after the first
    "down and half back":   (Rack(dead_up_s=0.4, dead_down_s=0.1), 100, (50, 70), [100, 50, 50, 50, 50, 70]),
    "down and back":        (Rack(dead_up_s=0.4, dead_down_s=0.1), 100, (50, 100), [100, 50, 50, 50, 50, 100]),
    "down in two parts":    (Rack(dead_up_s=0.4, dead_down_s=0.1), 100, (70, 50, 90), [100, 70, 50, 50, 50, 50, 90]),
    "up and half back":     (Rack(dead_up_s=0.1, dead_down_s=0.4), 50, (100, 70), [50, 100, 100, 100, 100, 70]),
    "up before it is down": (Rack(dead_up_s=0.4, dead_down_s=0.1), 50, (100, 40), [50, 50, 40, 40, 40, 40]),
    "equally quick":        (Rack(dead_up_s=0.2, dead_down_s=0.2), 100, (50, 70), [100, 100, 50, 70]),
}  # fmt: skip


@pytest.mark.parametrize("row", TURNS.values(), ids=TURNS.keys())
def test_a_rack_that_is_sent_back_comes_no_sooner_than_it_answers(
    row: tuple[Rack, float, tuple[float, ...], list[float]],
) -> None:
    rack, begin_kw, sent_kw, expected = row
    made = one(rack, cap_kw=begin_kw)
    for _ in range(10):
        advance(made)
    found = [advance(made, kw) for kw in sent_kw]
    found += [advance(made) for _ in range(len(expected) - len(found) + 1)]
    assert found == [begin_kw, *expected]


def test_the_power_is_the_smaller_of_cap_and_demand() -> None:
    made = one(Rack(), cap_kw=100)
    made.state.demand_w[0] = 70e3
    made.inputs.at_ns[1] = made.state.seen_ns[0] = 1
    assert advance(made) == 70.0
    assert advance(made, 60.0) == 70.0
    assert advance(made) == 60.0


def test_demand_falls_to_what_is_drawn_while_the_cap_does_not_bind() -> None:
    made = one(Rack(), cap_kw=100)
    seen = []
    for _ in range(40):
        made.now_s += DT
        made.rack(0, 60e3)
        advance(made)
        seen.append(made.state.demand_w[0] / 1e3)
    # By half while the work has changed, by a tenth where it may be noise.
    # The first reading is compared with none before it: a rack that rises is not judged.
    assert seen[:5] == [100.0, 80.0, 70.0, 65.0, 64.5]
    assert seen[-1] == pytest.approx(60.0, abs=0.2)


def test_demand_learns_nothing_from_an_old_or_stale_reading_nor_while_the_cap_moves() -> None:
    made = one(Rack(), cap_kw=100)
    made.rack(0, 60e3)
    advance(made)
    learned_w = made.state.demand_w[0]
    advance(made)
    assert made.state.demand_w[0] == learned_w
    made.rack(0, 50e3)
    made.state.stale[0] = 1
    advance(made)
    assert made.state.demand_w[0] == learned_w
    made.state.stale[0] = 0
    made.state.applied_w[0] = 60e3
    advance(made)
    assert made.state.demand_w[0] == learned_w


def test_a_rack_that_is_not_ours_counts_as_it_shows() -> None:
    made = one(Rack(), cap_kw=100)
    made.inputs.rack_state[0] = codes.MANUAL
    made.rack(0, 42e3)
    assert advance(made) == 42.0
    made.state.stale[0] = 1
    made.rack(0, 80e3)
    assert advance(made) == 42.0
    made.state.stale[0] = 0
    made.rack(0, -3e3)
    assert advance(made) == 0.0


@pytest.mark.parametrize("shown_kw", [0.0, 42.0, 100.0])
def test_a_change_of_what_a_rack_is_modelled_by_is_no_change_at_the_meter(shown_kw: float) -> None:
    made = one(Rack(), cap_kw=70, loss_ratio=0.02)
    state = made.state
    state.started = 1
    state.meter_good = 0
    state.disturbance_w, state.total_w, state.model_w = 30e3, 70e3, 70e3
    made.inputs.rack_state[0] = codes.UNRESPONSIVE
    made.rack(0, shown_kw * 1e3)
    before_w = state.disturbance_w + 1.02 * state.model_w
    wanted_w = state.disturbance_w + 1.02 * state.total_w
    advance(made)
    assert state.disturbance_w + 1.02 * state.model_w == pytest.approx(before_w)
    assert state.disturbance_w + 1.02 * state.total_w == pytest.approx(wanted_w)
    assert all(w == pytest.approx(shown_kw * 1e3) for w in state.past_model_w[: made.limits.site.history])


def compare(made: World, meter_kw: float, seconds: float = 1.0) -> float:
    """One new meter reading; the disturbance in kW afterwards."""
    made.now_s += seconds
    made.meter(meter_kw * 1e3)
    interpreted.model.compare(made.inputs, made.limits, made.state, made.now_ns)
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
    "soon forgotten":              ((900.0, 150.0), 80.0),
}  # fmt: skip


@pytest.mark.parametrize(("readings_kw", "disturbance_kw"), WILD.values(), ids=WILD.keys())
def test_one_reading_alone_may_be_wild(readings_kw: tuple[float, ...], disturbance_kw: float) -> None:
    made = one(Rack(), cap_kw=70, max_w=1000e3, import_w=1e9, feedback_s=1.0)
    made.state.model_w = 70e3
    compare(made, 100.0)
    for reading_kw in readings_kw:
        found_kw = compare(made, reading_kw)
    assert found_kw == pytest.approx(disturbance_kw, abs=0.1)


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
    interpreted.model.compare(made.inputs, made.limits, made.state, made.now_ns)
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
    assert compare(made, 105.9) == 30.0
    assert compare(made, 94.1) == 30.0
    assert compare(made, 108.0) == 31.0


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


def test_trims_do_not_keep_an_old_dip_alive() -> None:
    """What acts is the least of all that was sent between the two dead times, to a part of the trims."""
    made = one(Rack(min_w=0.0, dead_up_s=3.0, dead_down_s=1.0))
    sent_kw = [100.0] * 60
    for t in range(400):
        kw = 20.0 if 100 <= t < 110 else 100.0 - 0.5 * (t // 10 % 3)
        advance(made, kw)
        sent_kw.append(kw)
        acts_kw = made.state.acts_w[0] / 1e3
        if t > 40:
            # A set point counts from the tick after the one that wrote it.
            assert acts_kw == pytest.approx(min(sent_kw[-32:-11]), abs=2.0), t


def test_a_rack_that_wants_less_than_its_least_counts_with_what_it_draws() -> None:
    made = world([Rack(min_w=30e3), Rack()], max_w=200e3, default_w=150e3, import_w=300e3)
    made.rack(0, 5e3, 30e3)
    made.rack(1, 100e3, 100e3)
    made.meter(105e3)
    for _ in range(400):
        made.refresh()
        made.rack(0, 5e3, made.state.applied_w[0] if made.state.tick else 30e3)
        made.rack(1, made.state.applied_w[1] if made.state.tick else 100e3)
        made.meter(5e3 + (made.state.applied_w[1] if made.state.tick else 100e3))
        made.command(codes.TRACK, 80e3) if made.state.tick == 20 else None
        made.tick()
    state = made.state
    # What it does not draw the other one does.
    assert state.applied_w[1] == pytest.approx(75e3, rel=0.01)
    assert state.least_w == pytest.approx(25e3, abs=2e3)


def test_a_rack_that_joins_is_no_noise_of_the_load() -> None:
    made = one(Rack(), cap_kw=70, loss_ratio=0.02)
    state = made.state
    state.model_w = 70e3
    for shown_kw in (100.0, 100.0, 102.0):
        compare(made, shown_kw)
    assert state.noise_w == pytest.approx(2e3)
    state.model_w += 50e3
    interpreted.model.shift(made.inputs, made.limits, state, 50e3)
    compare(made, 102.0)
    assert state.noise_w == pytest.approx(2e3)


APART = {
    # what is odd about the racks, one letter each -> power in kW; . plain, s slow, h in other hands, u unknown
    "none":          ("....", [100, 100, 100, 100]),
    "the first":     ("h...", [70, 100, 100, 100]),
    "the last":      ("...u", [100, 100, 100, 0]),
    "in the middle": (".sh.", [100, 100, 70, 100]),
    "every one":     ("hush", [70, 0, 100, 70]),
}  # fmt: skip


@pytest.mark.parametrize("row", APART.values(), ids=APART.keys())
def test_the_sums_hold_every_rack_once(row: tuple[str, list[float]]) -> None:
    """Racks that are treated apart interrupt the others, and change hands in their place."""
    letters, expected = row
    made = world([Rack(slow=letter == "s") for letter in letters], hz=10.0)
    state, history = made.state, made.limits.site.history
    for i, letter in enumerate(letters):
        state.known[i] = state.ours[i] = letter != "u"
        state.demand_w[i] = 100e3
        state.applied_w[i] = state.cap_w[i] = state.power_w[i] = 0.0 if letter == "u" else 100e3
        for k in range(history):
            state.past_w[k * len(letters) + i] = state.applied_w[i]
        made.rack(i, 70e3 if letter == "h" else state.applied_w[i])
        made.inputs.rack_state[i] = codes.AVAILABLE if letter != "h" else codes.MANUAL
    state.tick += 1
    state.started = 1
    interpreted.model.advance(made.inputs, made.limits, state, made.now_ns, DT)
    assert [w / 1e3 for w in state.power_w[: len(letters)]] == expected
    assert state.model_w == state.stand_w == sum(expected) * 1e3
    assert state.idle_w == 0.0
    assert [state.ours[i] for i in range(4)] == [letter in ".s" for letter in letters]
    # What the readings show differs from the model no more and no less than what changed hands.
    assert state.total_w == -30e3 * letters.count("h")
