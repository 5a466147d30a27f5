"""The guard and a fault whose end nobody can see: what showed it counts as it was, until it is read again.

Three racks at 40 kW, everything else read. Then a raise of 10 kW is asked of the first.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rampd.ext import codes
from tests.core import World
from tests.guarding import hall, standing

Slot = Callable[[World], int]
SHOWS: dict[str, tuple[Slot, float, float]] = {
    # name: slot, what it shows in a fault, and otherwise
    "first phase":  (lambda w: w.limits.voltage_slot[0], 7000.0, 8000.0),
    "second phase": (lambda w: w.limits.voltage_slot[1], 7000.0, 8000.0),
    "third phase":  (lambda w: w.limits.voltage_slot[2], 9000.0, 8000.0),
    "frequency":    (lambda w: w.limits.site.frequency_slot, 40.0, 60.0),
    "breaker":      (lambda w: w.limits.site.breaker_slot, 0.0, 1.0),
}  # fmt: skip


def asks(made: World, after_s: float = 1.0) -> bool:
    """Whether a raise passes after so long, everything that was not put last read again."""
    made.now_s += after_s
    passed = made.guard(50e3, 40e3, 40e3)[0] == 50e3
    made.watch.last_w[0] = 40e3
    return passed


def read(made: World, but: int = -1) -> None:
    """Everything as it stands, but one slot, read a second from now."""
    for slot in range(made.limits.site.slots):
        if slot != but:
            made.inputs.at_ns[slot] = made.now_ns + 10**9


@pytest.mark.parametrize(("slot_of", "bad", "well"), SHOWS.values(), ids=SHOWS.keys())
def test_what_showed_a_fault_counts_as_it_was_until_it_is_read(slot_of: Slot, bad: float, well: float) -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    slot = slot_of(made)
    read(made)
    made.put(slot, bad, age_s=-1.0)
    assert not asks(made)
    # Too old, then no number, then refused: and everything else is well.
    for _ in range(5):
        read(made, slot)
        assert not asks(made)
    for quality in (codes.RANGE, codes.SENTINEL, codes.REFUSED, codes.NEVER):
        read(made)
        made.put(slot, well, age_s=-1.0, quality=quality)
        assert not asks(made)
    read(made)
    made.put(slot, well, age_s=-1.0)
    assert asks(made)
    # And what was well counts as well.
    read(made)
    made.put(slot, bad, age_s=-1.0, quality=codes.RANGE)
    assert asks(made)


@pytest.mark.parametrize("other", SHOWS, ids=SHOWS.keys())
@pytest.mark.parametrize("name", SHOWS, ids=SHOWS.keys())
def test_each_says_nothing_of_another(name: str, other: str) -> None:
    """Both show a fault; the one is well again, the other goes unread."""
    made = standing(hall(), 40.0, 40.0, 40.0)
    (slot_of, bad, well), (other_of, other_bad, _) = SHOWS[name], SHOWS[other]
    read(made)
    made.put(other_of(made), other_bad, age_s=-1.0)
    made.put(slot_of(made), bad, age_s=-1.0)
    assert not asks(made)
    read(made, other_of(made))
    made.put(slot_of(made), well, age_s=-1.0)
    if name == other:
        assert asks(made)
        return
    made.inputs.quality[other_of(made)] = codes.RANGE
    assert not asks(made)
