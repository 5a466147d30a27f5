"""What the racks must be drawing by now: dead times, slopes and demand."""

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
    state.held_w[0] = state.lately_w[0] = cap_kw * 1e3
    state.held_ns[0] = made.now_ns
    state.demand_w[0] = rack.max_w
    for k in range(made.limits.site.history):
        state.past_w[k] = state.past_model_w[k] = cap_kw * 1e3
    made.rack(0, cap_kw * 1e3)
    return made


def advance(made: World, applied_kw: float | None = None) -> float:
    """One tick; then the set point that the guard let pass. The model's power in kW."""
    made.state.tick += 1
    made.now_s += DT
    interpreted.failsafe.hear(made.inputs, made.limits, made.state, made.now_ns)
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
    made.rack(0, 50e3, age_s=60.0)
    advance(made)
    assert made.state.demand_w[0] == learned_w
    advance(made, 53.0)
    made.rack(0, 50e3)
    advance(made)
    assert made.state.demand_w[0] == learned_w


ASKED_FOR = {
    # dead time s, set points from and to in kW, one more a second -> whether a rack that draws nothing wants nothing
    "late, but asked for long":       (3.0, 20, 60, True),
    "it may not have answered yet":   (3.0, 20, 25, False),
    "asked for next to nothing":      (0.2, 0, 4, False),
}  # fmt: skip


@pytest.mark.parametrize("row", ASKED_FOR.values(), ids=ASKED_FOR.keys())
def test_a_rack_that_never_draws_wants_nothing_also_while_it_is_asked_for_more_and_more(
    row: tuple[float, int, int, bool],
) -> None:
    dead_s, first_kw, last_kw, nothing = row
    made = one(Rack(dead_up_s=dead_s, up_w_per_s=10e3), cap_kw=0.0)
    for kw in range(first_kw, last_kw):
        for _ in range(10):
            made.state.now_ns = made.now_ns
            made.rack(0, 0.0, kw * 1e3)
            advance(made, kw)
    assert (made.state.demand_w[0] < 1e3) == nothing


@pytest.mark.parametrize(
    ("readings_kw", "wants_kw"),
    [((30, 30, 50, 50), 50), ((30, 40, 50), 100), ((30, 30, 30), 30), ((30, 97), 100)],
    ids=["a job that wants more", "on its way", "idle", "there meanwhile"],
)
def test_what_a_rack_below_its_set_point_wants_shows_after_a_start(
    readings_kw: tuple[float, ...], wants_kw: float
) -> None:
    made = one(Rack(), cap_kw=100)
    made.state.demand_w[0] = 30e3
    made.state.first_ns = made.now_ns
    for reading_kw in readings_kw:
        made.state.now_ns = made.now_ns
        made.rack(0, reading_kw * 1e3)
        advance(made)
    assert made.state.demand_w[0] == pytest.approx(wants_kw * 1e3, abs=12e3)


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
