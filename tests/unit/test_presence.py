"""Which falls and returns of devices are told, and when. A row is what happens to `a` at which second."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from rampd.daemon.presence import QUIET_S, Presence

Told = tuple[int, str, int]


def watch(changes: dict[int, bool], seconds: int) -> list[Told]:
    """What is told of `a`: when, the state, how many falls."""
    presence, up, told = Presence(), True, []
    for now_s in range(seconds):
        up = changes.get(now_s, up)
        told += [(now_s, one.state, one.falls) for one in presence.look({"a", "b"} if up else {"b"}, float(now_s))]
    return told


LOST, BACK = False, True


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({5: LOST}, [(5, "lost", 0)]),
        ({5: LOST, 9: BACK}, [(5, "lost", 0), (9, "back", 0)]),
        ({5: LOST, 500: BACK}, [(5, "lost", 0), (500, "back", 0)]),
        ({5: LOST, 9: BACK, 80: LOST, 81: BACK}, [(5, "lost", 0), (9, "back", 0), (80, "lost", 0), (81, "back", 0)]),
        ({5: LOST, 500: BACK, 501: LOST}, [(5, "lost", 0), (500, "back", 0), (501, "lost", 0)]),
        ({5: LOST, 9: BACK, 10: LOST}, [(5, "lost", 0), (9, "back", 0), (65, "lost", 1)]),
        ({5: LOST, 9: BACK, 65: LOST}, [(5, "lost", 0), (9, "back", 0), (65, "lost", 1)]),
        ({5: LOST, 9: BACK, 10: LOST, 11: BACK}, [(5, "lost", 0), (9, "back", 0), (65, "back", 1)]),
        (
            {5: LOST, 9: BACK, 10: LOST, 66: BACK, 300: LOST},
            [(5, "lost", 0), (9, "back", 0), (65, "lost", 1), (125, "back", 0), (300, "lost", 0)],
        ),
    ],
)
def test_what_is_told(changes: dict[int, bool], told: list[Told]) -> None:
    assert watch(changes, 600) == told


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens(seed: int) -> None:
    """No fall is left out, the last word is true, and there are few of them."""
    dice = random.Random(seed)
    often = dice.choice([0.02, 0.1, 0.5, 1.0])
    up, changes, fell = True, {}, 0
    for now_s in range(1, 3000):
        if dice.random() < often:
            up = changes[now_s] = not up
            fell += not up
    told = watch(changes, 3200)
    assert told[-1][1] == ("back" if up else "lost")
    assert sum(falls or state == "lost" for _, state, falls in told) == fell
    sums = [at_s for at_s, _, falls in told if falls]
    assert all(after - before >= QUIET_S for before, after in pairwise(sums))
    # One that was lost for long comes back, falls and comes back once more.
    assert all(sum(at_s <= other < at_s + QUIET_S for other, _, _ in told) <= 3 for at_s, _, _ in told)


def test_what_falls_together_is_told_together() -> None:
    presence, names = Presence(), {f"rack-{k}" for k in range(300)}
    told = [one for now_s in range(600) for one in presence.look(names if now_s % 2 == 0 else set(), float(now_s))]
    assert len(told) <= 2 + 600 / QUIET_S
    assert all(one.names == sorted(names) for one in told)


def test_what_was_never_heard_is_not_told() -> None:
    presence = Presence()
    assert [one for now_s in range(200) for one in presence.look(set(), float(now_s))] == []
