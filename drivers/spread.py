"""Splits a rack's limit over its members: as much as fits, never more, with as few of them changed as that takes.

Members that can be lowered are lowered alike; only when all are at their least, some are put to sleep. Who sleeps stays
asleep and who is awake stays awake as long as the limit allows, and who changed longest ago changes first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rampd.drivers.members import Ability

_SLACK_W = 1e-6


@dataclass(frozen=True, slots=True)
class Seat:
    """One member in the split: what it can, the limit it has, when it last fell asleep or woke (s, any clock).

    `free` is False for one that cannot be set now: it counts with `limit_w`. `may_sleep` and `may_wake` are False
    within its minimum times on and off.
    """

    ability: Ability
    limit_w: float
    changed_s: float = 0.0
    free: bool = True
    may_sleep: bool = True
    may_wake: bool = True


def spread(limit_w: float, seats: Sequence[Seat]) -> list[float]:
    """A limit for each seat, in W; 0 sleeps. Their sum exceeds `limit_w` only where all free seats are at their least.

    Seats that are not free keep theirs.
    """
    found = [seat.limit_w for seat in seats]
    free = [i for i, seat in enumerate(seats) if seat.free]
    budget_w = limit_w - sum(seat.limit_w for seat in seats if not seat.free)
    awake = _awake(budget_w, seats, free)
    for i in free:
        found[i] = 0.0
    low_w = sum(seats[i].ability.min_w for i in awake)
    room_w = sum(seats[i].ability.max_w - seats[i].ability.min_w for i in awake)
    fill = min(1.0, max(0.0, (budget_w - low_w) / room_w)) if room_w > 0 else 0.0
    left_w = budget_w
    for i in awake:
        ability = seats[i].ability
        found[i] = floor(ability, ability.min_w + fill * (ability.max_w - ability.min_w))
        left_w -= found[i]
    for i in sorted(awake, key=lambda i: found[i] - seats[i].limit_w):
        # What rounding down left over raises some by one step.
        raised_w = above(seats[i].ability, found[i])
        if raised_w - found[i] <= left_w + _SLACK_W:
            left_w -= raised_w - found[i]
            found[i] = raised_w
    return found


def _awake(budget_w: float, seats: Sequence[Seat], free: Sequence[int]) -> list[int]:
    """Who is awake: those who must, then as many others as the budget holds, those who are awake now first."""

    def must(i: int) -> bool:
        return not seats[i].ability.sleeps or (seats[i].limit_w > 0 and not seats[i].may_sleep)

    chosen = [i for i in free if must(i)]
    left_w = budget_w - sum(seats[i].ability.min_w for i in chosen)
    others = [i for i in free if not must(i) and (seats[i].limit_w > 0 or seats[i].may_wake)]
    # Awake before asleep; of the awake, those who woke last stay; of the sleeping, those who fell asleep first wake.
    others.sort(key=lambda i: (0, -seats[i].changed_s) if seats[i].limit_w > 0 else (1, seats[i].changed_s))
    for i in others:
        if seats[i].ability.min_w <= left_w + _SLACK_W:
            left_w -= seats[i].ability.min_w
            chosen.append(i)
    return sorted(chosen)


def floor(ability: Ability, limit_w: float) -> float:
    """The highest limit that a member can take and that is not above `limit_w`; its least when there is none."""
    if ability.levels:
        k = bisect_right(ability.levels, limit_w + _SLACK_W)
        return ability.levels[max(0, k - 1)]
    limit_w = min(max(limit_w, ability.min_w), ability.max_w)
    if ability.step_w > 0 and limit_w < ability.max_w:
        limit_w = ability.min_w + int((limit_w - ability.min_w + _SLACK_W) / ability.step_w) * ability.step_w
    return limit_w


def above(ability: Ability, limit_w: float) -> float:
    """The next limit above one that the member can take; itself at the top, and where limits are continuous."""
    if ability.levels:
        k = bisect_right(ability.levels, limit_w + _SLACK_W)
        return ability.levels[min(k, len(ability.levels) - 1)]
    if ability.step_w > 0:
        return min(ability.max_w, limit_w + ability.step_w)
    return limit_w
