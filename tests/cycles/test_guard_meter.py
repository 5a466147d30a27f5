"""The guard and a meter that answers always the same: when it takes it for frozen, and what it then withholds.

Three racks, everything read every 100 ms. Doubted is what contradicts more than 50 kW of the racks' own readings for
two seconds. Then a raise of one kilowatt is asked of the third rack. All powers in kW.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rampd.ext import codes
from tests.core import Cooling, Rack, World, world
from tests.guarding import TICK_S, Phase, go

DOWN = (55.0, 54.999, 40.0)  # 50.001 less
LESS = (55.0, 55.0, 40.0)  # 50 less


P = Phase
SCRIPTS = {
    # name: phases -> whether it is frozen
    "nothing moves":                  ((P(50, 300.0),), 0),
    "the meter moves as well":        ((P(5, 300.0), P(50, 250.0, DOWN)), 0),
    "just not enough":                ((P(5, 300.0), P(50, 300.0, LESS)), 0),
    "enough, not for long":           ((P(5, 300.0), P(21, 300.0, DOWN)), 0),
    "enough, for two seconds":        ((P(5, 300.0), P(22, 300.0, DOWN)), 1),
    "upwards":                        ((P(5, 300.0, DOWN), P(22, 300.0)), 1),
    "from the first reading on":      ((P(1, 300.0), P(22, 300.0, DOWN)), 1),
    "in two steps":                   ((P(5, 300.0), P(5, 300.0, (60.0, 70.0, 40.0)), P(22, 300.0, DOWN)), 1),
    "there and back":                 ((P(5, 300.0), P(20, 300.0, DOWN), P(50, 300.0)), 0),
    "there and back and there":       ((P(5, 300.0), P(15, 300.0, DOWN), P(2, 300.0), P(15, 300.0, DOWN)), 0),
    "the meter moves in between":     ((P(5, 300.0), P(15, 300.0, DOWN), P(1, 301.0), P(15, 301.0, DOWN)), 0),
    "just not enough, after a move":  ((P(5, 300.0), P(5, 301.0), P(50, 301.0, LESS)), 0),
    "just enough, after a move":      ((P(5, 300.0), P(5, 301.0), P(22, 301.0, DOWN)), 1),
    "racks read late":                ((P(5, 300.0), P(10, 250.0, read=()), P(50, 250.0, DOWN)), 0),
    "racks read late, then as said":  ((P(5, 300.0), P(10, 250.0, read=()), P(5, 250.0, DOWN), P(22, 250.0)), 1),
    "readings that are none":         ((P(5, 300.0), P(50, 300.0, (900.0, 80.0, 40.0), bad=(0,))), 0),
    "one is none, two moved":         ((P(5, 300.0), P(22, 300.0, (900.0, 54.999, 15.0), bad=(0,))), 1),
    "one is not read, two moved":     ((P(5, 300.0), P(22, 300.0, (900.0, 54.999, 15.0), read=(1, 2))), 1),
    "none, and none again":           ((P(5, 300.0), P(9, 300.0, (0.0, 80.0, 40.0), bad=(0,)), P(50, 300.0)), 0),
    "no meter, no doubt":             ((P(5, 300.0), P(50, 300.0, DOWN, meter_age_s=2.1), P(1, 301.0, DOWN)), 0),
    "the doubt begins anew":          ((P(5, 300.0, meter_age_s=0.5), P(15, 301.0, DOWN, meter_age_s=0.5)), 0),
    "frozen for good":                ((P(5, 300.0), P(200, 300.0, DOWN)), 1),
    "the racks are back, it is not":  ((P(5, 300.0), P(30, 300.0, DOWN), P(200, 300.0)), 1),
    "it moves, not for long":         ((P(5, 300.0), P(30, 300.0, DOWN), P(100, 250.0, DOWN)), 1),
    "it moves for ten seconds":       ((P(5, 300.0), P(30, 300.0, DOWN), P(101, 250.0, DOWN)), 0),
    "it goes on moving":              ((P(5, 300.0), P(30, 300.0, DOWN), P(60, 250.0, DOWN), P(41, 251.0, DOWN)), 0),
    "it moves and is doubted again":  ((P(5, 300.0), P(30, 300.0, DOWN), P(60, 250.0, DOWN), P(10, 250.0),
                                        P(60, 300.0)), 1),
}  # fmt: skip


def hall(measured: bool = False) -> World:
    made = world(
        [Rack() for _ in range(3)], loops=[Cooling()], freeze_w=50e3, import_w=500e3, dispatched_up=80e3,
        dispatched_down=80e3, measured=measured,
    )  # fmt: skip
    made.command(codes.TRACK, 300e3)
    return made


@pytest.mark.parametrize(("phases", "frozen"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(phases: Sequence[Phase], frozen: int) -> None:
    made = hall()
    go(made, phases)
    assert made.watch.frozen == frozen
    before = made.vetoes()
    stood_w = made.watch.last_w[2]
    out_w = made.guard(*made.watch.last_w[:2], stood_w + 1e3)[2]
    assert out_w - stood_w == (0.0 if frozen else 1e3)
    assert made.vetoes().get("STALE", 0) - before.get("STALE", 0) == frozen


FAULTS = {
    "open all the time":    ((P(50, 300.0, DOWN, closed=0.0),), 0),
    "closed, not for long": ((P(50, 300.0, DOWN, closed=0.0), P(20, 300.0, DOWN)), 0),
    "closed":               ((P(50, 300.0, DOWN, closed=0.0), P(21, 300.0, DOWN)), 1),
    "frozen before":        ((P(22, 300.0, DOWN), P(50, 300.0, closed=0.0)), 1),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "frozen"), FAULTS.values(), ids=FAULTS.keys())
def test_in_a_fault_it_may_well_show_the_same(phases: Sequence[Phase], frozen: int) -> None:
    made = hall(measured=True)
    go(made, [P(5, 300.0), *phases])
    assert made.watch.frozen == frozen


def test_a_frozen_meter_above_the_import_limit_is_no_reason_to_fall_freely() -> None:
    made = hall()
    high = (100.0, 100.0, 100.0)
    go(made, [P(5, 600.0, high)])
    made.watch.last_w[0] = made.watch.last_w[1] = made.watch.last_w[2] = 100e3
    go(made, [P(22, 600.0, (70.0, 70.0, 100.0))])
    assert made.watch.frozen
    assert made.guard(0.0, 0.0, 100e3) == [100e3, 0.0, 100e3]
    assert made.vetoes() == {"FALL": 1}


def test_before_the_meter_was_read_the_racks_contradict_nothing() -> None:
    """A meter that shows nothing at all, and means it: the racks' first readings are no move."""
    made = hall()
    made.now_s += TICK_S
    made.meter(0.0)
    go(made, [P(50, 0.0)])
    assert not made.watch.frozen
