"""How a rack's limit is split over its members: tables in W."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.members import Ability
from rampd.drivers.spread import Seat, floor, spread

GPU = Ability(min_w=2000.0, max_w=10000.0, step_w=1.0)
MINER = Ability(min_w=3400.0, max_w=3400.0, sleeps=True)
PERCENT = Ability(min_w=1200.0, max_w=4000.0, step_w=40.0, sleeps=True)
PROFILES = Ability(min_w=2000.0, max_w=3500.0, levels=(2000.0, 2600.0, 3500.0), sleeps=True)


@pytest.mark.parametrize(
    ("what", "ability", "now", "limit_w", "expected"),
    [
        ("all may draw all", GPU, [10000] * 3, 30000, [10000, 10000, 10000]),
        ("lowered alike", GPU, [10000] * 3, 15000, [5000, 5000, 5000]),
        ("odd watts go to some", GPU, [5000] * 3, 15002, [5001, 5001, 5000]),
        ("not below their least", GPU, [10000] * 3, 100, [2000, 2000, 2000]),
        ("miners sleep one by one", MINER, [3400] * 3, 7000, [0, 3400, 3400]),
        ("who sleeps stays asleep", MINER, [3400, 0, 3400], 7000, [3400, 0, 3400]),
        ("all asleep", MINER, [3400, 0, 3400], 0, [0, 0, 0]),
        ("woken", MINER, [0, 0, 0], 6800, [3400, 3400, 0]),
        ("lowered before any sleeps", PERCENT, [4000] * 3, 6000, [2000, 2000, 2000]),
        ("below the least of three", PERCENT, [2000] * 3, 3000, [0, 1480, 1520]),
        ("profiles: what is left raises one", PROFILES, [3500] * 3, 8800, [3500, 2600, 2600]),
        ("profiles: least of all", PROFILES, [3500] * 3, 4100, [0, 2000, 2000]),
    ],
)
def test_split(what: str, ability: Ability, now: list[float], limit_w: float, expected: list[float]) -> None:
    # The first changed longest ago: it is the first to be changed.
    found = spread(limit_w, [Seat(ability, w, changed_s=float(i)) for i, w in enumerate(now)])
    assert sorted(found) == sorted(expected), what
    assert [w == 0 for w in found] == [w == 0 for w in expected], what


def test_one_that_cannot_be_set_counts_with_its_worst() -> None:
    seats = [Seat(MINER, 3400.0, free=False), Seat(MINER, 3400.0), Seat(MINER, 3400.0)]
    assert spread(7000.0, seats) == [3400.0, 3400.0, 0.0]
    assert spread(3000.0, seats) == [3400.0, 0.0, 0.0]


def test_minimum_times_are_kept() -> None:
    seats = [Seat(MINER, 3400.0, may_sleep=False), Seat(MINER, 0.0, may_wake=False), Seat(MINER, 3400.0)]
    assert spread(0.0, seats) == [3400.0, 0.0, 0.0]
    assert spread(10200.0, seats) == [3400.0, 0.0, 3400.0]


abilities = st.sampled_from([GPU, MINER, PERCENT, PROFILES, Ability(100.0, 100.0), Ability(0.0, 700.0)])
seats = st.builds(
    lambda ability, part, changed_s, free, may_sleep, may_wake: Seat(
        ability, floor(ability, part * ability.max_w) if part > 0 or not ability.sleeps else 0.0, changed_s, free,
        may_sleep, may_wake,
    ),
    abilities, st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.floats(0, 100), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(seats, min_size=1, max_size=12), st.floats(0, 2e5))
def test_never_more_than_allowed(given_seats: list[Seat], limit_w: float) -> None:
    found = spread(limit_w, given_seats)
    least_w = 0.0
    for seat, w in zip(given_seats, found, strict=True):
        ability = seat.ability
        if not seat.free:
            assert w == seat.limit_w
            least_w += w
            continue
        assert (w == 0.0 and ability.sleeps) or ability.min_w <= w <= ability.max_w
        assert not ability.levels or w in (0.0, *ability.levels)
        if seat.limit_w > 0 and not seat.may_sleep:
            assert w > 0 or not ability.sleeps
        if seat.limit_w == 0 and ability.sleeps and not seat.may_wake:
            assert w == 0
        if not ability.sleeps or (seat.limit_w > 0 and not seat.may_sleep):
            least_w += ability.min_w
    assert sum(found) <= max(limit_w, least_w) + 1e-3
    # A second split at the same limit changes nobody.
    again = [
        Seat(s.ability, w, s.changed_s, s.free, s.may_sleep, s.may_wake)
        for s, w in zip(given_seats, found, strict=True)
    ]
    assert [w == 0 for w in spread(limit_w, again)] == [w == 0 for w in found]
