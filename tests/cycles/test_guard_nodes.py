"""A node's own meter before the guard: what draws there beside its racks is not theirs; an overload is what it shows.

Racks of 20 to 100 kW: a and b at a measured PDU of 200 kW, c at another, measured in one test, below a main of 1000 kW.
A tick is half a second; racks are read in every tick, and a reading of the PDU is held against them a second later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, Cooling, Node, Rack, World, world

warden = interpreted.warden
STEP_S = 0.5
MAIN, PDU, OTHER = 0, 1, 2
NONE = (0.0, 0.0, 0.0)
A200, A225, A240 = (200.0, 0.0, 0.0), (225.0, 0.0, 0.0), (240.0, 0.0, 0.0)
LOW = (60.0, 60.0, 40.0)


def hall(*, pdu_kw: float = 200.0, phase_a: float = 0.0, other: bool = False, main: bool = False) -> World:
    made = world(
        [Rack(node=PDU), Rack(node=PDU), Rack(node=OTHER)],
        [Node(1e6, measured=main), Node(pdu_kw * 1e3, MAIN, measured=True, phase_a=phase_a, trip_s=3.0),
         Node(1e6, MAIN, measured=other)],
        [Cooling()], dispatched_up=1e6, dispatched_down=1e6, import_w=2e6, max_w=2e6,
    )  # fmt: skip
    made.limits.rating_w[PDU] = 250e3
    made.limits.span_ns[PDU] = 2 * NS
    for i, kw in enumerate(LOW):
        made.rack(i, kw * 1e3, kw * 1e3)
    made.command(codes.TRACK, 300e3)
    made.guard(*(kw * 1e3 for kw in LOW))
    return made


@dataclass(frozen=True)
class Phase:
    """For so long the PDU shows `kw`, None: it is not read; its phases `amps`, the racks `draws`; `read` are read."""

    seconds: float
    kw: float | None
    draws: tuple[float, float, float] = LOW
    amps: tuple[float, ...] = NONE
    read: tuple[int, ...] = (0, 1, 2)
    good: int = codes.GOOD


P = Phase


def go(made: World, phases: Iterable[Phase]) -> None:
    for phase in phases:
        for _ in range(round(phase.seconds / STEP_S)):
            made.now_s += STEP_S
            made.meter(500e3)
            made.cool(0)
            for i in phase.read:
                made.rack(i, phase.draws[i] * 1e3)
            if phase.kw is not None:
                made.feed(PDU, phase.kw * 1e3, *phase.amps, quality=phase.good)
            made.guard(*made.watch.last_w[:3])


def known_kw(made: World) -> float:
    return made.watch.other_w[PDU] / 1e3


SILENT = (1, 2)
RISEN = (80.0, 80.0, 40.0)
OTHER_LOAD = {
    # name: phases -> kW that draw beside the racks
    "one reading is no two, however long":   ((P(0.5, 170.0), P(4.5, None)), 0.0),
    "as much as its racks":                 ((P(20.0, 120.0),), 0.0),
    "never less than nothing":              ((P(20.0, 115.0),), 0.0),
    "the first reading is none yet":        ((P(2.0, 170.0),), 0.0),
    "nor the second, until it was weighed": ((P(2.5, 170.0),), 0.0),
    "two are":                              ((P(3.0, 170.0),), 50.0),
    "by the lesser of two":                 ((P(1.5, 170.0), P(1.5, 150.0)), 30.0),
    "also where it came first":             ((P(1.5, 150.0), P(1.5, 170.0)), 30.0),
    "it stays":                             ((P(20.0, 170.0),), 50.0),
    "one that is more is not believed":     ((P(7.5, 170.0), P(1.5, 200.0)), 50.0),
    "two that are":                         ((P(7.5, 170.0), P(3.0, 200.0)), 80.0),
    "one that is less is not believed":     ((P(7.5, 170.0), P(1.5, 140.0)), 50.0),
    "of two that are the greater":          ((P(7.5, 170.0), P(1.5, 140.0), P(1.5, 150.0)), 30.0),
    "in any order":                         ((P(7.5, 170.0), P(1.5, 150.0), P(1.5, 140.0)), 30.0),
    "less is":                              ((P(7.5, 170.0), P(20.0, 120.0)), 0.0),
    "not read, it is what it was":          ((P(7.5, 170.0), P(60.0, None)), 50.0),
    "its quality is bad":                   ((P(7.5, 170.0), P(60.0, 120.0, good=codes.RANGE)), 50.0),
    "less than its racks by much":          ((P(7.5, 170.0), P(60.0, 99.999)), 50.0),
    "less than its racks by little":        ((P(7.5, 170.0), P(20.0, 100.0)), 0.0),
    "less than nothing":                    ((P(7.5, 40.0, (0.0, 0.0, 0.0)), P(60.0, -0.001, (0.0, 0.0, 0.0))), 40.0),
    "nothing":                              ((P(7.5, 40.0, (0.0, 0.0, 0.0)), P(60.0, 0.0, (0.0, 0.0, 0.0))), 0.0),
    "more than can be":                     ((P(7.5, 170.0), P(60.0, 500.001)), 50.0),
    "more than should be":                  ((P(7.5, 170.0), P(60.0, 500.0)), 380.0),
    "a rack shows less than nothing":       ((P(20.0, 100.0, (-50.0, 60.0, 0.0)),), 40.0),
    "a rack shows more than its most":      ((P(20.0, 200.0, (900.0, 60.0, 0.0)),), 40.0),
    "its racks rise":                       ((P(9.0, 170.0), P(20.0, 210.0, RISEN)), 50.0),
    "its racks fall":                       ((P(9.0, 210.0, RISEN), P(20.0, 170.0)), 50.0),
    "what its racks drew just before":      ((P(9.0, 160.0, RISEN), P(3.0, 170.0)), 10.0),
    "is forgotten":                         ((P(9.0, 160.0, RISEN), P(4.5, 170.0)), 50.0),
    "what its racks drew just before, less": ((P(9.0, 170.0), P(3.0, 160.0, RISEN)), 40.0),
    "is forgotten as well":                 ((P(9.0, 170.0), P(8.0, 160.0, RISEN)), 0.0),
    "a silent rack may draw its most":      ((P(9.0, 120.0), P(30.0, 160.0, read=SILENT)), 0.0),
    "and no more":                          ((P(9.0, 120.0), P(30.0, 170.0, read=SILENT)), 10.0),
    "any of them":                           ((P(9.0, 120.0), P(30.0, 170.0, read=(0, 2))), 10.0),
    "or nothing":                           ((P(9.0, 170.0), P(30.0, 110.0, read=SILENT)), 50.0),
    "and no less":                          ((P(9.0, 170.0), P(30.0, 100.0, read=SILENT)), 40.0),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "kw"), OTHER_LOAD.values(), ids=OTHER_LOAD.keys())
def test_other_load(phases: tuple[Phase, ...], kw: float) -> None:
    made = hall()
    go(made, phases)
    assert known_kw(made) == pytest.approx(kw, abs=1e-6)
    assert made.watch.taken_w[PDU] == made.watch.other_w[PDU]
    # It draws at the main as well, and nowhere else.
    assert made.watch.other_w[MAIN] == made.watch.other_w[PDU]
    assert made.watch.other_w[OTHER] == 0.0


@pytest.mark.parametrize(("asked_kw", "passes"), [(90.0, True), (90.001, False)])
def test_the_racks_get_what_is_left(asked_kw: float, passes: bool) -> None:
    made = hall()
    go(made, [P(9.0, 170.0)])
    out = made.guard(asked_kw * 1e3, 60e3, 40e3)
    assert out == [asked_kw * 1e3 if passes else 60e3, 60e3, 40e3]
    assert made.vetoes() == ({} if passes else {"NODE": 1})


def test_the_same_reading_again_at_once_is_no_second_one() -> None:
    """A meter that is read five times a second and shows one value for so long: a wild one comes once."""
    made = hall()
    for k in range(60):
        made.now_s += 0.2
        made.meter(500e3)
        made.cool(0)
        for i in range(3):
            made.rack(i, LOW[i] * 1e3)
        made.feed(PDU, 200e3 if 30 <= k < 34 else 120e3)
        made.guard(*made.watch.last_w[:3])
        assert known_kw(made) == 0.0


def test_it_is_weighed_once_all_of_its_racks_were_read_a_second_later() -> None:
    made = hall()
    go(made, [P(3.0, 170.0, read=(1, 2))])
    assert known_kw(made) == 0.0
    go(made, [P(0.5, 170.0), P(1.0, 170.0, read=(1, 2))])
    assert known_kw(made) == 0.0
    go(made, [P(0.5, 170.0), P(1.5, 170.0)])
    assert known_kw(made) == pytest.approx(50.0)


def test_racks_elsewhere_do_not_matter() -> None:
    made = hall()
    go(made, [P(20.0, 170.0, (60.0, 60.0, 90.0), read=(0, 1))])
    assert known_kw(made) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("main_kw", "pdu_kw", "other_kw", "found"),
    [
        (160.0, 120.0, 40.0, (0.0, 0.0, 0.0)),
        (260.0, 120.0, 40.0, (100.0, 0.0, 0.0)),
        (260.0, 150.0, 60.0, (100.0, 30.0, 20.0)),
        (190.0, 150.0, 60.0, (50.0, 30.0, 20.0)),
    ],
)
def test_nodes_above_count_the_greater(
    main_kw: float, pdu_kw: float, other_kw: float, found: tuple[float, float, float]
) -> None:
    made = hall(main=True, other=True)
    for _ in range(20):
        made.feed(MAIN, main_kw * 1e3)
        made.feed(OTHER, other_kw * 1e3)
        go(made, [P(STEP_S, pdu_kw)])
    assert [w / 1e3 for w in made.watch.other_w[:3]] == pytest.approx(found)
    assert made.watch.taken_w[:3] == made.watch.other_w[:3]


# A phase of the PDU may draw 300 A; at 100 kW of 150 A as much as the PDU, 200 kW.
A = (100.0, 150.0, 120.0)
FULL = 200.0
PHASES = {
    # name: phases -> kW that the fullest phase takes of the limit
    "as the rating says":             ((P(9.0, 100.0, amps=A),), 0.0),
    "less than it says":              ((P(9.0, 120.0, amps=A),), 0.0),
    "the first phase":                ((P(9.0, 120.0, amps=(200.0, 10.0, 20.0)),), 20.0),
    "the second":                     ((P(9.0, 120.0, amps=(10.0, 200.0, 20.0)),), 20.0),
    "one whose current is counted down": ((P(9.0, 120.0, amps=(-200.0, 10.0, 20.0)),), 20.0),
    "the third":                      ((P(9.0, 120.0, amps=(10.0, 20.0, 200.0)),), 20.0),
    "nor by one however long":        ((P(0.5, 120.0, amps=A200), P(4.5, None)), 0.0),
    "not by one reading":             ((P(0.5, 120.0, amps=A200),), 0.0),
    "by two":                         ((P(2.0, 120.0, amps=A200),), 20.0),
    "by the lesser":                  ((P(1.5, 120.0, amps=A225), P(0.5, 120.0, amps=A200)), 20.0),
    "also where it came first":       ((P(1.5, 120.0, amps=A200), P(0.5, 120.0, amps=A225)), 20.0),
    "it stays":                       ((P(9.0, 120.0, amps=A200), P(0.5, 120.0, amps=A)), 20.0),
    "less by two":                    ((P(9.0, 120.0, amps=A225), P(3.0, 120.0, amps=A200)), 20.0),
    "by the greater of two":          ((P(9.0, 120.0, amps=A240), P(1.5, 120.0, amps=A225),
                                        P(1.5, 120.0, amps=A200)), 40.0),
    "in any order":                   ((P(9.0, 120.0, amps=A240), P(1.5, 120.0, amps=A200),
                                        P(1.5, 120.0, amps=A225)), 40.0),
    "more of it above its limit":     ((P(9.0, 120.0, amps=(330.0, 0.0, 0.0)),), 100.0),
    "three times its share at most":  ((P(9.0, 50.0, draws=(25.0, 25.0, 40.0), amps=(320.0, 0.0, 0.0)),), 159.375),
    "a fifth is left":                ((P(9.0, 120.0, amps=(1200.0, 0.0, 0.0)),), 160.0),
    "the least that can be told":     ((P(9.0, 12.0, draws=(0.0, 0.0, 0.0), amps=(30.0, 0.0, 0.0)),), 80.0),
    "too little to tell":             ((P(9.0, 12.0, draws=(0.0, 0.0, 0.0), amps=(29.999, 0.0, 0.0)),), 0.0),
    "then it is what it was":         ((P(9.0, 120.0, amps=A200),
                                        P(9.0, 120.0, amps=(29.0, 0.0, 0.0))), 20.0),
    "not read, it is what it was":    ((P(9.0, 120.0, amps=A200), P(60.0, None)), 20.0),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "kw"), PHASES.values(), ids=PHASES.keys())
def test_the_fullest_phase(phases: tuple[Phase, ...], kw: float) -> None:
    made = hall(phase_a=300.0)
    go(made, phases)
    assert made.watch.phase_w[PDU] / 1e3 == pytest.approx(kw, abs=1e-6)
    assert made.watch.taken_w[PDU] == made.watch.other_w[PDU] + made.watch.phase_w[PDU]
    # Another node has phases of its own.
    assert made.watch.taken_w[MAIN] == made.watch.other_w[MAIN]


def test_of_small_currents_as_of_large_ones() -> None:
    made = hall(phase_a=3.0)
    go(made, [P(9.0, 40.0, draws=NONE, amps=(0.75, 0.0, 0.0))])
    assert made.watch.phase_w[PDU] == pytest.approx(40e3)


def test_the_phases_of_other_nodes_do_not_matter() -> None:
    made = hall(phase_a=300.0, main=True, other=True)
    for _ in range(20):
        made.feed(MAIN, 300e3, 250.0, 250.0, 250.0)
        made.feed(OTHER, 60e3, 250.0, 250.0, 250.0)
        go(made, [P(STEP_S, 120.0, amps=A200)])
    assert made.watch.phase_w[PDU] == pytest.approx(20e3)


def test_a_phase_that_cannot_be_read_counts_for_nothing() -> None:
    made = hall(phase_a=300.0)
    for _ in range(20):
        go(made, [P(STEP_S, 120.0, amps=(200.0, 240.0, 0.0))])
        made.inputs.quality[made.limits.amps_slot[3 * PDU + 1]] = codes.SENTINEL
        made.now_s += STEP_S
        made.guard(*made.watch.last_w[:3])
    for k, quality in enumerate((codes.GOOD, codes.SENTINEL, codes.GOOD)):
        made.inputs.quality[made.limits.amps_slot[3 * PDU + k]] = quality
    assert made.watch.phase_w[PDU] / 1e3 >= 20.0


def test_without_a_rating_its_currents_say_nothing() -> None:
    made = hall()
    go(made, [P(9.0, 120.0, amps=(900.0, 0.0, 0.0))])
    assert made.watch.taken_w[PDU] == 0.0


@pytest.mark.parametrize(("phases", "kw"), [
    ((), 50.0), ((P(3.0, 120.0), P(6.0, 120.1)), 0.1), ((P(1.5, 120.0),), 50.0),
    # What shows one value since then may have frozen before it.
    ((P(30.0, 120.0),), 50.0), ((P(30.0, 180.0),), 60.0),
])  # fmt: skip
def test_a_restart_forgets_nothing_of_it(phases: tuple[Phase, ...], kw: float) -> None:
    made = world(
        [Rack(node=PDU), Rack(node=PDU), Rack(node=OTHER)],
        [Node(1e6), Node(200e3, MAIN, measured=True, phase_a=300.0), Node(1e6, MAIN)], max_w=2e6, import_w=2e6,
    )  # fmt: skip
    made.limits.rating_w[PDU] = 250e3
    made.inputs.learnt_w[PDU], made.inputs.phase_w[PDU] = 50e3, 20e3
    for i, power_w in enumerate((60e3, 60e3, 40e3)):
        made.rack(i, power_w, power_w)
    made.guard(60e3, 60e3, 40e3)
    go(made, phases)
    assert known_kw(made) == pytest.approx(kw)
    # It shows no current: of its phases nothing is told.
    assert made.watch.taken_w[PDU] == made.watch.other_w[PDU] + 20e3
    assert made.watch.taken_w[OTHER] == 0.0


def test_nor_the_phase_by_one_reading() -> None:
    made = hall(phase_a=300.0)
    made.watch.last_ns = 0
    made.inputs.phase_w[PDU] = 20e3
    go(made, [P(1.0, 120.0, amps=A)])
    assert made.watch.phase_w[PDU] == 20e3
    go(made, [P(2.0, 120.0, amps=A)])
    assert made.watch.phase_w[PDU] == 0.0


# A reading is held against the racks a second later: until two were, what draws beside them is not known.
ABOVE = {
    # name: phases -> whether a rack may rise
    "one reading is above":               ((P(0.5, 210.0),), True),
    "the same at once":                   ((P(1.0, 210.0),), True),
    "the same a second later":            ((P(1.5, 210.0),), False),
    "another":                            ((P(0.5, 210.0), P(0.5, 211.0)), False),
    "at its limit":                       ((P(1.5, 200.0),), True),
    "one of two":                         ((P(0.5, 190.0), P(0.5, 210.0)), True),
    "one below does not free it":         ((P(0.5, 210.0), P(0.5, 211.0), P(0.5, 190.0)), False),
    "nor the same at once":               ((P(0.5, 210.0), P(0.5, 211.0), P(1.0, 120.0)), False),
    "two do":                             ((P(0.5, 210.0), P(0.5, 211.0), P(0.5, 120.0), P(0.5, 121.0)), True),
    "and two more, one after the other":  ((P(0.5, 210.0), P(0.5, 190.0), P(0.5, 211.0), P(0.5, 191.0)), True),
    "more than can be is none":           ((P(0.5, 600.0), P(0.5, 601.0)), True),
    "and comes between two":              ((P(0.5, 210.0), P(0.5, 500.001), P(0.5, 211.0)), False),
    "less than nothing is none either":   ((P(0.5, 210.0), P(0.5, 211.0), P(0.5, -0.001), P(0.5, -0.002)), False),
    "nothing is":                         ((P(0.5, 210.0), P(0.5, 211.0), P(0.5, 0.001), P(0.5, 0.0)), True),
    "the most that can be":               ((P(0.5, 499.0), P(0.5, 500.0)), False),
    "its quality is bad":                 ((P(1.5, 210.0, good=codes.RANGE),), True),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "may"), ABOVE.values(), ids=ABOVE.keys())
def test_above_its_limit_nothing_rises(phases: tuple[Phase, ...], may: bool) -> None:
    made = hall()
    go(made, phases)
    assert made.watch.taken_w[PDU] == 0.0
    out = made.guard(65e3, 60e3, 45e3)
    # Elsewhere it may, and to fall everywhere.
    assert out == [65e3 if may else 60e3, 60e3, 45e3]
    assert made.vetoes() == ({} if may else {"NODE": 1})
    assert made.guard(60e3, 50e3, 45e3) == [60e3, 50e3, 45e3]


@pytest.mark.parametrize(("silent_s", "may"), [(5.0, False), (5.5, True)])
def test_a_meter_that_is_not_read_bars_nothing(silent_s: float, may: bool) -> None:
    made = hall()
    go(made, [P(0.5, 210.0), P(0.5, 211.0)])
    # By their sum alone the racks are far below.
    made.limits.node_w[PDU] = 1e6
    go(made, [P(silent_s, None)])
    assert made.watch.last_w[:3] == [60e3, 60e3, 40e3]
    assert made.guard(65e3, 60e3, 40e3)[0] == (65e3 if may else 60e3)


def test_after_a_silence_it_takes_two_readings_again() -> None:
    made = hall()
    made.limits.node_w[PDU] = 1e6
    go(made, [P(1.5, 1001.0 / 5.0), P(0.5, 120.0)])
    made.limits.node_w[PDU] = 200e3
    go(made, [P(0.5, 210.0), P(5.5, None)])
    made.limits.node_w[PDU] = 205e3
    go(made, [P(0.5, 210.0, (60.0, 60.0, 40.0))])
    assert made.watch.over[PDU] == 0
    go(made, [P(0.5, 211.0)])
    assert made.watch.over[PDU] == 1


@pytest.mark.parametrize("main", (False, True))
def test_a_node_above_bars_what_is_below(main: bool) -> None:
    made = hall(main=True, other=True)
    for k in range(2):
        made.feed(MAIN, 1050e3 + k if main else 990e3)
        made.feed(OTHER, 1050e3 + k)
        go(made, [P(STEP_S, 120.0)])
    out = made.guard(65e3, 60e3, 45e3)
    assert out == [60e3 if main else 65e3, 60e3, 40e3]


@pytest.mark.parametrize(("kw", "may"), [(180.0, True), (181.0, False)])
def test_above_what_its_fullest_phase_leaves(kw: float, may: bool) -> None:
    made = hall(phase_a=300.0)
    go(made, [P(2.0, 120.0, amps=A200)])
    assert made.watch.phase_w[PDU] == pytest.approx(20e3)
    # Of so little current nothing is told.
    go(made, [P(0.5, kw, amps=(1.0, 1.0, 1.0)), P(0.5, kw - 0.1, amps=(1.0, 1.0, 1.0))])
    assert (made.guard(61e3, 60e3, 40e3)[0] == 61e3) == may


HIGH = (80.0, 80.0, 40.0)
DOWN = (20.0, 20.0, 40.0)


def test_the_first_slot_of_the_image_may_be_a_node() -> None:
    """That of the site's meter here: 500 kW."""
    made = hall()
    made.limits.draw_slot[PDU] = 0
    go(made, [P(9.0, None)])
    assert known_kw(made) == pytest.approx(380.0)
    # By the racks' own readings they draw as much as they did, by the meter less than that.
    made.watch.learnt_w[PDU] = 250e3
    assert warden.load(made.limits, made.watch, PDU, made.now_ns) == 500e3
    made.watch.read_before_w[PDU] = 170e3
    assert warden.load(made.limits, made.watch, PDU, made.now_ns) == 170e3


def stands(made: World) -> tuple[list[float], int]:
    return [w / 1e3 for w in made.watch.last_w[:3]], made.watch.tripped[PDU]


# Above its limit from the second reading on; 2 s later the racks are at their least, and 3 s after that it trips.
TRIPS = {
    # name: phases -> set points, tripped
    "not for long":                    ((P(4.5, 250.0),), [60.0, 60.0, 40.0], 0),
    "sent to their least":             ((P(6.0, 250.0),), [20.0, 20.0, 40.0], 0),
    "racks that obey make room":       ((P(6.0, 250.0), P(60.0, 170.0, DOWN)), [20.0, 20.0, 40.0], 0),
    "they do, and it is not enough":   ((P(6.0, 250.0), P(60.0, 210.0, DOWN)), [0.0, 0.0, 40.0], 1),
    "they do, and it just is":         ((P(6.0, 250.0), P(60.0, 200.0, DOWN)), [20.0, 20.0, 40.0], 0),
    "silent, by the racks and the rest": ((P(6.0, 250.0), P(60.0, None)), [0.0, 0.0, 40.0], 1),
    "a dead rack draws nothing":       ((P(6.0, 285.0), P(60.0, 185.0, (0.0, 20.0, 40.0), read=SILENT)),
                                        [20.0, 20.0, 40.0], 0),
    "a reading is one for five seconds": ((P(6.0, 285.0), P(4.0, 185.0, (0.0, 20.0, 40.0), read=SILENT),
                                         P(8.0, None, (0.0, 20.0, 40.0), read=SILENT)), [20.0, 20.0, 40.0], 0),
    "and no longer":                   ((P(6.0, 285.0), P(4.0, 185.0, (0.0, 20.0, 40.0), read=SILENT),
                                         P(8.5, None, (0.0, 20.0, 40.0), read=SILENT)), [0.0, 0.0, 40.0], 1),
    "silent, and it is enough":        ((P(6.0, 285.0), P(4.0, 185.0, (10.0, 10.0, 40.0)),
                                         P(60.0, None, (10.0, 10.0, 40.0))), [20.0, 20.0, 40.0], 0),
    "silent, and the racks obey":      ((P(6.0, 240.0), P(60.0, None, DOWN)), [20.0, 20.0, 40.0], 0),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "setpoints", "tripped"), TRIPS.values(), ids=TRIPS.keys())
def test_the_trip_goes_by_the_meter(phases: tuple[Phase, ...], setpoints: list[float], tripped: int) -> None:
    made = hall()
    go(made, phases)
    assert stands(made) == (setpoints, tripped)


@pytest.mark.parametrize(("amps", "tripped"), [(310.0, 1), (299.0, 0)])
def test_an_overload_of_one_phase_is_one_of_the_node(amps: float, tripped: int) -> None:
    made = hall(phase_a=300.0)
    go(made, [P(60.0, 190.0, DOWN, amps=(amps, 0.0, 0.0))])
    assert stands(made)[1] == tripped
