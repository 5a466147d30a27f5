"""A meter that answers and shows the same while the hall moves: what is believed, compiled as interpreted.

Four racks of 20 to 100 kW and a meter, all read every 50 ms. Doubted is what contradicts more than 150 kW of the racks'
own readings for two seconds; eleven seconds without contradiction clear it. All powers in kW.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from rampd.ext import codes, views
from rampd.ext.image import Memory
from tests.core import Rack, World, dump, world
from tests.property.test_same_bits import interpret

FULL = (100.0, 100.0, 100.0, 100.0)
DOWN = (40.0, 50.0, 69.0, 90.0)  # 151 less
LESS = (40.0, 50.0, 70.0, 90.0)  # 150 less
ONE = (0.0, 100.0, 100.0, 100.0)
BIT = math.nextafter(800.0, 900.0)


@dataclass(frozen=True)
class Phase:
    """For so long the meter shows this, the racks that; what is not read keeps its last reading."""

    seconds: float
    meter: float
    racks: Sequence[float] = FULL
    read: Sequence[int] = (0, 1, 2, 3)
    meter_read: bool = True


P = Phase
CALM = P(10.0, 800.0)
SCRIPTS = {
    # name: phases; is the meter frozen, is it good, at the end
    "nothing moves":                    ((CALM, P(120.0, 800.0)), 0, 1),
    "the meter moves with the racks":   ((CALM, P(30.0, 649.0, DOWN)), 0, 1),
    "just not enough":                  ((CALM, P(30.0, 800.0, LESS)), 0, 1),
    "enough, not for long":             ((CALM, P(2.05, 800.0, DOWN)), 0, 1),
    "enough, for two seconds":          ((CALM, P(2.1, 800.0, DOWN)), 1, 0),
    "upwards as well":                  ((CALM, P(9.0, 649.0, DOWN), P(2.1, 649.0)), 1, 0),
    "there and back":                   ((CALM, P(1.9, 800.0, DOWN), P(30.0, 800.0)), 0, 1),
    "there and back and there":         ((CALM, P(1.9, 800.0, DOWN), P(0.2, 800.0), P(1.9, 800.0, DOWN)), 0, 1),
    "one rack says what it likes":      ((CALM, P(30.0, 800.0, ONE)), 0, 1),
    "two against two":                  ((P(9.0, 800.0, (20.0, 20.0, 100.0, 100.0)),
                                          P(30.0, 800.0, (100.0, 100.0, 20.0, 20.0))), 0, 1),
    "the last bit moves":               ((CALM, P(1.9, 800.0, DOWN), P(30.0, BIT, DOWN)), 0, 1),
    "a meter that is slow":             ((CALM, P(1.9, 800.0, DOWN), P(1.9, 500.0), P(1.9, 800.0, DOWN),
                                          P(1.9, 500.0)), 0, 1),
    "racks read later than the meter":  ((CALM, P(2.0, 649.0, read=()), P(30.0, 649.0, DOWN)), 0, 1),
    "a rack comes back elsewhere":      ((CALM, P(9.0, 700.0, read=(1, 2, 3)), P(30.0, 700.0, ONE)), 0, 1),
    "a meter without answers is stale": ((CALM, P(3.0, 800.0, DOWN, meter_read=False)), 0, 0),
    "frozen stays frozen":              ((CALM, P(60.0, 800.0, DOWN)), 1, 0),
    "frozen though the hall is back":   ((CALM, P(3.0, 800.0, DOWN), P(60.0, 800.0)), 1, 0),
    "it moves, not for long":           ((CALM, P(3.0, 800.0, DOWN), P(9.9, 649.0, DOWN)), 1, 0),
    "it moves and stays so":            ((CALM, P(3.0, 800.0, DOWN), P(11.0, 649.0, DOWN)), 0, 1),
    "it moves and freezes again":       ((CALM, P(3.0, 800.0, DOWN), P(5.0, 649.0, DOWN), P(9.0, 649.0)), 1, 0),
    "doubted again, the ten anew":      ((CALM, P(3.0, 800.0, DOWN), P(5.0, 649.0, DOWN), P(1.0, 649.0),
                                          P(9.0, 700.0)), 1, 0),
}  # fmt: skip


def hall() -> World:
    return world([Rack() for _ in range(4)], feedback_s=1.0)


def image(made: World, phase: Phase) -> None:
    """The readings of one tick."""
    if phase.meter_read:
        made.meter(phase.meter * 1e3)
    for i in phase.read:
        made.rack(i, phase.racks[i] * 1e3)
    made.cool(0)


def play(made: World, phases: Sequence[Phase], memory: Memory | None = None) -> views.Outputs:
    """The phases by the compiled core, and by the interpreted one beside it where it has a memory."""
    lengths = made.lengths()
    out = views.outputs(made.out)
    for phase in phases:
        for _ in range(round(phase.seconds / 0.05)):
            made.now_s += 0.05
            image(made, phase)
            out = made.tick(0.0)
            if memory is not None:
                assert interpret(made, memory) == codes.FAULT_NONE
    if memory is not None:
        compiled = made.bytes()
        for name, raw in (dump(views.state(memory), lengths) | dump(views.watch(memory), lengths)).items():
            assert raw == compiled[name], name
    return out


@pytest.mark.parametrize(("phases", "frozen", "good"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(phases: Sequence[Phase], frozen: int, good: int) -> None:
    made = hall()
    out = play(made, phases, Memory(made.configuration))
    assert ("meter_frozen" in made.reasons(), out.meter_good) == (frozen, good)
    # The guard comes to the same by itself.
    assert made.watch.frozen == frozen
    assert (out.site_why == codes.SITE_METER) <= (not good)


def test_while_doubted_nothing_rises_and_the_feedback_learns_nothing() -> None:
    made = hall()
    play(made, [CALM])
    learned_w = made.state.disturbance_w
    before_w = list(made.state.applied_w[:4])
    made.command(codes.TRACK, 900e3)
    for _ in range(100):
        play(made, [P(0.05, 800.0, DOWN)])
        # Not even in the two seconds before it is called frozen.
        assert made.state.disturbance_w == learned_w
        if "meter_frozen" in made.reasons():
            now_w = list(made.state.applied_w[:4])
            assert all(now <= before for now, before in zip(now_w, before_w, strict=True))
        before_w = list(made.state.applied_w[:4])
    assert made.reasons() == ["meter_frozen"]


def test_the_step_believes_a_meter_again_a_second_after_the_guard() -> None:
    made = hall()
    play(made, [CALM, P(3.0, 800.0, DOWN), P(10.9, 649.0, DOWN)])
    assert (made.reasons(), made.watch.frozen) == (["meter_frozen"], 0)
    play(made, [P(0.1, 649.0, DOWN)])
    assert made.reasons() == []


def test_the_guard_withholds_a_raise_while_it_finds_the_meter_frozen() -> None:
    made = hall()
    play(made, [CALM, P(3.0, 800.0, DOWN)])
    made.command(codes.TRACK, 900e3)
    stood_w = list(made.watch.last_w[:4])
    before = made.vetoes()
    assert made.guard(*[w - 10e3 for w in stood_w]) == [w - 10e3 for w in stood_w]
    assert made.vetoes() == before
    low_w = list(made.watch.last_w[:4])
    assert made.guard(*[w + 10e3 for w in low_w]) == low_w
    assert made.vetoes()["STALE"] == before.get("STALE", 0) + 4


def test_without_a_meter_for_long_the_goal_is_no_longer_above_the_default() -> None:
    made = world([Rack() for _ in range(4)], default_w=300e3, blind_max_ns=5 * 10**9)
    made.meter(400e3)
    made.command(codes.TRACK, 400e3)
    play(made, [P(5.0, 400.0)])
    out = play(made, [P(6.9, 400.0, meter_read=False)])
    assert (out.meter_good, out.reference_w) == (0, 400e3)
    out = play(made, [P(2.0, 400.0, meter_read=False)])
    assert out.reference_w == 300e3
    out = play(made, [P(30.0, 400.0, meter_read=False)])
    assert out.reference_w == 300e3
    # What is commanded below that is still followed.
    made.command(codes.TRACK, 200e3)
    assert play(made, [P(2.0, 400.0, meter_read=False)]).reference_w == 200e3
