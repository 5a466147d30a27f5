"""Racks whose load goes by itself: when they have fallen, by how much, and when that no longer counts. kW."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import START_S, Rack, World, world

SWINGS = [80.0, 80.0, 40.0, 40.0] * 20
MINUTE_S = 60.0


def adopted(quantum_w: float = 0.0) -> World:
    """A world whose only rack has just been taken over."""
    made = world([Rack(quantum_w=quantum_w)])
    interpreted.crash.forget(made.state, 0)
    return made


def read(made: World, powers_kw: list[float], *, every_s: float = 0.5, cap_kw: float = 80.0) -> list[float]:
    """What rack 0 has fallen by, after each reading, under a cap that it has had for long; kW."""
    state = made.state
    state.gain[0], state.cap_w[0] = 1.0, cap_kw * 1e3
    found = []
    for kw in powers_kw:
        made.now_s += every_s
        state.now_ns = made.now_ns
        interpreted.crash.age(made.limits, state)
        state.rising[0] = kw * 1e3 > state.seen_w[0] + 1e3
        state.seen_w[0] = kw * 1e3
        if not 0.5 * state.trough[0] <= kw <= 0.5 * state.crest[0]:
            interpreted.crash.heed(made.limits, state, 0, 0.0 if state.rising[0] else cap_kw * 1e3)
        assert state.fell_w == state.lost_w[0]
        found.append(state.fell_w / 1e3)
    return found


FALLS = {
    # cap, readings -> what it has fallen by in the end
    "steady":                     (80.0, [80.0] * 50, 0.0),
    "steady, then gone":          (80.0, [*[80.0] * 50, 10.0], 70.0),
    "below its cap, then gone":   (80.0, [*[60.0] * 50, 10.0], 50.0),
    "switched off":               (80.0, [*[80.0] * 50, 0.0], 80.0),
    "reads less than nothing":    (80.0, [*[80.0] * 50, -5.0], 80.0),
    "swings":                     (80.0, SWINGS, 0.0),
    "swings, gone at its crest":  (80.0, [*SWINGS, 80.0, 10.0], 70.0),
    "swings, gone in its trough": (80.0, [*SWINGS, 80.0, 40.0, 10.0], 70.0),
    "swings, a little lower":     (80.0, [*SWINGS, 80.0, 35.5], 0.0),
    "capped above the reading":   (14.0, [*[80.0] * 50, 10.0], 0.0),
    "capped since":               (50.0, [*[80.0] * 50, 10.0], 40.0),
    "goes on falling":            (80.0, [*[80.0] * 50, 30.0, 20.0, 25.0, 10.0], 70.0),
    "comes back":                 (80.0, [*[80.0] * 50, 10.0, 30.0, 60.0, 80.0], 0.0),
    "comes back in part":         (80.0, [*[80.0] * 50, 10.0, 30.0, 60.0], 70.0),
    "the first swing":            (80.0, [*[80.0] * 50, 40.0], 40.0),
    "the second swing":           (80.0, [*[80.0] * 50, 40.0, 80.0, 40.0], 0.0),
    "declines":                   (80.0, [80.0 - 0.1 * k for k in range(700)], 0.0),
    "in its first reading":       (80.0, [0.0], 0.0),
}  # fmt: skip


@pytest.mark.parametrize("row", FALLS.values(), ids=FALLS.keys())
def test_what_a_rack_has_fallen_by(row: tuple[float, list[float], float]) -> None:
    cap_kw, powers_kw, fell_kw = row
    made = adopted()
    read(made, powers_kw[:-1] if cap_kw < 80.0 else [])
    found = read(made, powers_kw[-1:] if cap_kw < 80.0 else powers_kw, cap_kw=cap_kw)
    assert found[-1] == pytest.approx(fell_kw, abs=0.5)


def test_a_trough_is_known_for_a_minute_or_two() -> None:
    for since_s, fallen in ((55.0, False), (125.0, True)):
        made = adopted()
        read(made, [40.0, 80.0, 40.0])
        read(made, [80.0] * 10, every_s=since_s / 10)
        assert (read(made, [40.0])[-1] > 0.0) == fallen


@pytest.mark.parametrize("off_s", [-0.5, -0.25, 0.0, 0.25, 0.5])
def test_a_new_minute_begins_with_no_fall(off_s: float) -> None:
    """The reading that ends a minute's troughs may be the one that lies below them."""
    made = adopted()
    made.now_s = START_S - START_S % MINUTE_S + 2 * MINUTE_S + off_s - 0.5 * (len(SWINGS) + 1)
    assert read(made, [*SWINGS, 10.0])[-1] == 70.0
    assert read(made, [10.0] * 20)[-1] == 70.0


def test_a_crash_after_a_return_counts_as_the_first_did() -> None:
    """What it drew when it had crashed is no trough."""
    made = adopted()
    read(made, SWINGS)
    for _ in range(3):
        assert read(made, [10.0] * 100)[-1] == 70.0
        assert max(read(made, [30.0, 60.0, *SWINGS[:20]])[2:]) == 0.0


def test_what_comes_back_within_fifteen_seconds_was_a_swing() -> None:
    for away, fell_kw in ((20, 0.0), (40, 70.0)):
        made = adopted()
        read(made, [*SWINGS, *[10.0] * away, *SWINGS])
        assert read(made, [10.0])[-1] == fell_kw


def test_where_it_stays_for_ten_minutes_it_is_at_home() -> None:
    made = adopted()
    read(made, SWINGS)
    assert read(made, [20.0] * 60, every_s=9.9)[-1] == 60.0
    assert read(made, [20.0] * 3, every_s=9.9)[-1] == 0.0
    assert read(made, [5.0])[-1] == pytest.approx(15.0, abs=0.5)


def test_a_set_point_that_comes_down_explains_it() -> None:
    made = adopted()
    read(made, SWINGS)
    assert read(made, [20.0])[-1] == 60.0
    assert read(made, [20.0], cap_kw=25.0)[-1] == 60.0
    # A rack that rises is under no cap for certain.
    assert read(made, [22.0], cap_kw=22.0)[-1] == 60.0
    assert read(made, [22.0], cap_kw=22.0)[-1] == 0.0


@pytest.mark.parametrize(("quantum_w", "step_w", "fallen"), [(0.0, 4e3, True), (12e3, 0.0, False), (0.0, 50e3, False)])
def test_steps_are_no_falls(quantum_w: float, step_w: float, fallen: bool) -> None:
    made = adopted(quantum_w)
    made.state.step_w[0] = step_w
    read(made, SWINGS)
    assert (read(made, [30.0])[-1] > 0.0) == fallen
    assert read(made, [10.0])[-1] == 70.0, "no step is so large"


def lively(**site: float) -> World:
    """Two racks at 80 of 100 kW, read twice a second for a minute and a half."""
    made = world([Rack(), Rack()], **site)
    for i in range(2):
        made.rack(i, 80e3, 80e3)
    live(made, 90.0)
    return made


def live(made: World, seconds: float, *unread: int) -> float:
    """So many seconds of compiled ticks; what racks have fallen by."""
    for _ in range(round(seconds / 0.5)):
        at_ns = {i: made.inputs.at_ns[made.limits.power_slot[i]] for i in unread}
        made.refresh()
        for i, then_ns in at_ns.items():
            made.inputs.at_ns[made.limits.power_slot[i]] = then_ns
        out = made.tick(0.5)
    return out.fell_w


def test_the_sum_is_in_the_snapshot() -> None:
    made = lively()
    made.rack(0, 10e3)
    assert live(made, 0.5) == 70e3
    made.rack(1, 30e3)
    assert live(made, 0.5) == 120e3
    made.rack(0, 80e3)
    assert live(made, 0.5) == 50e3


@pytest.mark.parametrize("state", [codes.MANUAL, codes.UNRESPONSIVE])
def test_a_rack_in_other_hands_does_not_count(state: int) -> None:
    made = lively()
    made.rack(0, 10e3)
    assert live(made, 0.5) == 70e3
    made.inputs.rack_state[0] = state
    assert live(made, 0.5) == 0.0
    made.rack(0, 60e3)
    live(made, 2.0)
    made.rack(0, 0.0)
    assert live(made, 2.0) == 0.0
    made.inputs.rack_state[0] = codes.AVAILABLE
    assert live(made, 2.0) == 0.0, "how it is found is how it is"


def test_a_rack_that_is_not_read_does_not_count() -> None:
    made = lively()
    made.rack(0, 10e3)
    assert live(made, 4.0, 0) == 70e3
    assert live(made, 2.0, 0) == 0.0
    assert live(made, 2.0) == 0.0, "and when it is read again that is no new fall"
