"""Which meters of nodes the guard doubts: one that stands still, shows what cannot be, or moves by another part.

Two racks of 20 to 100 kW at a PDU of 200 kW, rated 250 kW: they could pretend 100 kW; a reading counts for five
seconds, a move of theirs of 20 kW is clear, and they stand within 4 kW. Rows are readings, in kW.
"""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, START_S, Node, Rack, World, world

witness, warden = interpreted.witness, interpreted.warden
MAIN, PDU = 0, 1
STEP_S = 0.5


def hall(limit_w: float = 200e3, **site: bool) -> World:
    made = world(
        [Rack(node=PDU), Rack(node=PDU)], [Node(1e7), Node(limit_w, MAIN, measured=True)],
        dispatched_up=1e6, dispatched_down=1e6, import_w=2e6, max_w=2e6, **site,
    )  # fmt: skip
    made.limits.rating_w[PDU] = 250e3
    made.limits.span_ns[PDU] = 2 * NS
    for i in range(2):
        made.rack(i, 60e3, 60e3)
    made.guard(60e3, 60e3)
    return made


def show(made: World, at_s: float, kw: float) -> None:
    made.watch.drawn_ns[PDU], made.watch.drawn_w[PDU] = round((START_S + at_s) * NS), kw * 1e3


A, B = (0.0, 150.0, 120.0, 120.0), (1.0, 150.0, 221.0, 221.0)
C, D = (0.0, 150.0, 100.0, 140.0), (2.0, 151.0, 221.0, 221.0)
STILL = {
    # name: when, what it shows, what its racks draw at least and at most -> whether it says nothing, doubts
    "the first":                       ((A,), False, 0),
    "the first of many":               (((0.0, 150.0, 0.0, 200.0),), False, 0),
    "the same, and so do they":        ((A, (60.0, 150.0, 120.0, 120.0)), False, 0),
    "they moved a little":             ((A, (1.0, 150.0, 130.0, 130.0)), False, 0),
    "by more":                         ((A, (1.0, 150.0, 130.001, 130.001)), True, 0),
    "and came back":                   ((A, (1.0, 150.0, 130.001, 130.001), (2.0, 150.0, 120.0, 120.0)), True, 0),
    "down":                            ((A, (1.0, 150.0, 109.999, 109.999)), True, 0),
    "down a little":                   ((A, (1.0, 150.0, 110.0, 110.0)), False, 0),
    "maybe":                           ((C, (1.0, 150.0, 150.0, 300.0)), False, 0),
    "surely":                          ((C, (1.0, 150.0, 150.001, 300.0)), True, 0),
    "maybe down":                      ((C, (1.0, 150.0, 0.0, 90.0)), False, 0),
    "surely down":                     ((C, (1.0, 150.0, 0.0, 89.999)), True, 0),
    "down and up":                     ((C, (1.0, 150.0, 0.0, 110.0), (2.0, 150.0, 120.001, 300.0)), True, 0),
    "down and up a little":            ((C, (1.0, 150.0, 0.0, 110.0), (2.0, 150.0, 120.0, 300.0)), False, 0),
    "by what they could pretend":      ((A, (1.0, 150.0, 220.0, 220.0), (60.0, 150.0, 220.0, 220.0)), True, 0),
    "by more, not for long":           ((A, B, (15.999, 150.0, 221.0, 221.0)), True, 0),
    "by more, for long":               ((A, B, (16.0, 150.0, 221.0, 221.0)), True, 1),
    "it stays so when they come back": ((A, B, (16.0, 150.0, 221.0, 221.0), (17.0, 150.0, 120.0, 120.0)), True, 1),
    "until it moves":                  ((A, B, (16.0, 150.0, 221.0, 221.0), (17.0, 150.1, 221.0, 221.0)), False, 0),
    "from there on":                   ((A, B, D, (60.0, 151.0, 225.0, 225.0)), False, 0),
    "anew":                            ((A, B, D, (3.0, 151.0, 120.0, 120.0), (17.999, 151.0, 120.0, 120.0)), True, 0),
    "and long enough":                 ((A, B, D, (3.0, 151.0, 120.0, 120.0), (18.0, 151.0, 120.0, 120.0)), True, 1),
}  # fmt: skip
Rows = tuple[tuple[float, float, float, float], ...]


@pytest.mark.parametrize(("rows", "mute", "doubts"), STILL.values(), ids=STILL.keys())
def test_one_that_stands_still_while_its_racks_move(rows: Rows, mute: bool, doubts: int) -> None:
    made = hall()
    made.watch.doubts[PDU] = 6
    found = None
    for at_s, kw, least_kw, most_kw in rows:
        show(made, at_s, kw)
        found = witness.stuck(made.limits, made.watch, PDU, least_kw * 1e3, most_kw * 1e3)
    assert (found, made.watch.doubts[PDU]) == (mute, doubts + 6)


def test_after_a_restart_it_must_have_moved() -> None:
    made = hall()
    made.watch.doubts[PDU] = 14
    for at_s, kw, doubts in ((0.0, 150.0, 14), (1.0, 150.0, 14), (2.0, 151.0, 6), (3.0, 152.0, 6)):
        show(made, at_s, kw)
        assert witness.stuck(made.limits, made.watch, PDU, 120e3, 120e3) is False
        assert made.watch.doubts[PDU] == doubts


@pytest.mark.parametrize(("known_w", "doubts"), [(0.0, 0), (1.0, codes.DOUBT_BEFORE)])
def test_where_others_were_known_before_it(known_w: float, doubts: int) -> None:
    made = hall()
    made.inputs.learnt_w[PDU] = known_w
    made.watch.last_ns = 0
    made.guard(60e3, 60e3)
    assert made.watch.doubts[PDU] == doubts


S = (1.0, 19.0, 120.0)
FALSE = {
    # name: when, what it shows, the least that its racks draw -> doubts
    "less than they by what they could pretend": (((0.0, 20.0, 120.0), (60.0, 20.0, 120.0)), 0),
    "by more, once":                (((0.0, 19.999, 120.0),), 0),
    "not for long":                 (((1.0, 19.999, 120.0), (15.999, 19.0, 120.0)), 0),
    "for long":                     (((1.0, 19.999, 120.0), (16.0, 19.0, 120.0)), 2),
    "with a break":                 ((S, (4.0, 20.0, 120.0), (5.0, 19.0, 120.0), (19.9, 19.0, 120.0)), 0),
    "and long after":               ((S, (4.0, 20.0, 120.0), (5.0, 19.0, 120.0), (20.0, 19.0, 120.0)), 2),
    "a little less than nothing":   (((0.0, -20.0, 0.0), (60.0, -20.0, 0.0)), 0),
    "less than nothing":            (((0.0, -20.001, 0.0), (60.0, -20.001, 0.0)), 2),
    "twice its rating":             (((0.0, 500.0, 0.0), (60.0, 500.0, 0.0)), 0),
    "more":                         (((0.0, 500.001, 0.0), (60.0, 500.001, 0.0)), 2),
    "it comes near":               (((1.0, -3.0, 100.0), (16.0, -3.0, 100.0), (17.0, 94.999, 100.0)), 2),
    "it shows what they draw":      (((1.0, -3.0, 100.0), (16.0, -3.0, 100.0), (17.0, 95.0, 100.0)), 0),
    "they draw too little to tell": (((1.0, -3.0, 100.0), (16.0, -3.0, 100.0), (17.0, 50.0, 20.0)), 2),
    "they draw enough":             (((1.0, -3.0, 100.0), (16.0, -3.0, 100.0), (17.0, 50.0, 24.0)), 0),
    "just too little":              (((1.0, -3.0, 100.0), (16.0, -3.0, 100.0), (17.0, 50.0, 20.0 / 0.95)), 2),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "doubts"), FALSE.values(), ids=FALSE.keys())
@pytest.mark.parametrize("others", (0, 13))
def test_one_that_shows_what_cannot_be(rows: tuple[tuple[float, float, float], ...], doubts: int, others: int) -> None:
    made = hall()
    made.watch.doubts[PDU] = others
    for at_s, kw, least_kw in rows:
        show(made, at_s, kw)
        witness.contradict(made.limits, made.watch, PDU, least_kw * 1e3)
    assert made.watch.doubts[PDU] == doubts + others


@pytest.mark.parametrize(("limit_kw", "doubts"), [(1000.0, 2), (1500.0, 0)])
def test_of_a_wide_node_a_tenth_is_little(limit_kw: float, doubts: int) -> None:
    made = hall(limit_kw * 1e3)
    for at_s in (1.0, 17.0):
        show(made, at_s, 300.0)
        witness.contradict(made.limits, made.watch, PDU, 450e3)
    assert made.watch.doubts[PDU] == doubts


def stands(made: World, drawn_kw: float, racks_kw: float, width_kw: float = 0.0) -> None:
    show(made, 0.0, drawn_kw)
    least_w, most_w = (racks_kw - 0.5 * width_kw) * 1e3, (racks_kw + 0.5 * width_kw) * 1e3
    witness.gear(made.limits, made.watch, PDU, least_w, most_w)


# By how many times what the racks do it moves, one move after the other -> doubts.
GEAR = {
    "three times alike": ((2.0, 2.0, 2.0), 0), "four times": ((2.0,) * 4, 4), "six times": ((2.0,) * 6, 4),
    "a half": ((0.5,) * 4, 4), "by the root of three": ((1.732,) * 4, 4), "or by that less": ((0.577,) * 4, 4),
    "as its racks": ((1.0,) * 9, 0), "what cools them as well": ((1.5,) * 9, 0), "a little less": ((0.7,) * 9, 0),
    "too little to tell, above": ((1.6,) * 9, 0), "just told": ((1.625,) * 4, 4),
    "too little to tell, below": ((0.625,) * 9, 0), "just told as well": ((0.59375,) * 4, 4),
    "hardly": ((0.25,) * 9, 0), "not at all": ((0.0,) * 9, 0), "the other way": ((-1.0,) * 9, 0),
    "a third": ((0.3125,) * 4, 4), "a thousand times": ((1000.0,) * 4, 4),
    "one as its racks between": ((2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.0), 0),
    "one that says nothing between": ((2.0, 2.0, 0.0, 2.0, 2.0), 4),
    "not alike": ((2.0, 2.5, 2.0, 2.5, 2.0, 2.5), 0), "nor less": ((2.5, 2.0, 2.5, 2.0, 2.5, 2.0), 0),
    "three alike": ((2.5, 2.0, 2.0, 2.0), 0), "four alike": ((2.5, 2.0, 2.0, 2.0, 2.0), 4),
    "within a tenth": ((2.0, 2.125, 2.0, 2.125), 4), "it stays": ((*(2.0,) * 4, 0.0, 0.0), 4),
    "also where it differs": ((*(2.0,) * 4, 3.0), 4), "until it moves as they": ((*(2.0,) * 4, 1.0), 0),
    "by a little less": ((*(2.0,) * 4, 0.703125), 0), "or more": ((*(2.0,) * 4, 1.5), 0),
    "and then four times again": ((*(2.0,) * 4, 1.0, 2.0, 2.0, 2.0), 0),
}  # fmt: skip


@pytest.mark.parametrize(("ratios", "doubts"), GEAR.values(), ids=GEAR.keys())
@pytest.mark.parametrize("step_kw", (64.0, -64.0, 20.0))
def test_one_that_moves_by_another_part(ratios: tuple[float, ...], doubts: int, step_kw: float) -> None:
    made = hall()
    made.watch.doubts[PDU] = 11
    racks_kw, drawn_kw = 60.0, 90.0
    stands(made, drawn_kw, racks_kw)
    for k, ratio in enumerate(ratios):
        way_kw = step_kw if k % 2 == 0 else -step_kw
        racks_kw += way_kw
        drawn_kw += ratio * way_kw
        stands(made, drawn_kw, racks_kw)
    assert made.watch.doubts[PDU] == doubts + 11


@pytest.mark.parametrize(("kw", "strange"), [(70.0, 0), (69.999, 3), (30.0, 3), (30.001, 1), (59.999, 1), (60.0, 3)])
def test_the_ends_of_what_is_a_part(kw: float, strange: int) -> None:
    """After three alike, for a move of 100 kW."""
    made = hall()
    made.watch.strange[PDU], made.watch.ratio[PDU] = 3, 2.0
    stands(made, 0.0, 0.0)
    stands(made, kw, 100.0)
    assert made.watch.strange[PDU] == strange


@pytest.mark.parametrize(("before", "strange"), [(11.0, 4), (11.001, 1), (9.0, 4), (8.999, 1)])
def test_alike_is_within_a_tenth(before: float, strange: int) -> None:
    made = hall()
    made.watch.strange[PDU], made.watch.ratio[PDU] = 3, before
    stands(made, 0.0, 0.0)
    stands(made, 1000.0, 100.0)
    assert made.watch.strange[PDU] == strange


def test_no_more_than_four_are_counted() -> None:
    made = hall()
    for k in range(300):
        stands(made, 90.0 + 128.0 * (k % 2), 60.0 + 64.0 * (k % 2))
    assert made.watch.strange[PDU] == 4


@pytest.mark.parametrize(("step_kw", "doubts"), [(19.999, 0), (20.0, 4), (-20.0, 4)])
def test_a_small_move_of_its_racks_says_nothing(step_kw: float, doubts: int) -> None:
    made = hall()
    for k in range(8):
        stands(made, 90.0 + 2.0 * step_kw * (k % 2), 60.0 + step_kw * (k % 2))
    assert made.watch.doubts[PDU] == doubts


def test_of_a_wide_node_nor_a_larger_one() -> None:
    made = hall(1000e3)
    for k in range(8):
        stands(made, 90.0 + 79.9 * (k % 2), 60.0 + 39.95 * (k % 2))
    assert made.watch.doubts[PDU] == 0
    for k in range(8):
        stands(made, 90.0 + 80.1 * (k % 2), 60.0 + 40.05 * (k % 2))
    assert made.watch.doubts[PDU] == 4


@pytest.mark.parametrize(("width_kw", "doubts"), [(4.0, 4), (4.001, 0)])
def test_racks_that_do_not_stand_say_nothing(width_kw: float, doubts: int) -> None:
    made = hall()
    for k in range(8):
        stands(made, 90.0 + 128.0 * (k % 2), 60.0 + 64.0 * (k % 2), width_kw)
    assert made.watch.doubts[PDU] == doubts


def test_what_they_do_on_their_way_is_one_move() -> None:
    made = hall()
    for k in range(8):
        stands(made, 90.0 + 128.0 * (k % 2), 60.0 + 64.0 * (k % 2))
        stands(made, 500.0, 100.0, 60.0)
    assert made.watch.doubts[PDU] == 4


def go(
    made: World, seconds: float, kw: float, racks_kw: tuple[float, float] = (60.0, 60.0), volts: float = 8e3
) -> None:
    for _ in range(round(seconds / STEP_S)):
        made.now_s += STEP_S
        made.meter(500e3)
        made.cool(0)
        if made.limits.site.frequency_slot >= 0:
            made.grid(volts=volts)
        for i, rack_kw in enumerate(racks_kw):
            made.rack(i, rack_kw * 1e3)
        made.feed(PDU, kw * 1e3)
        made.guard(*made.watch.last_w[:2])


@pytest.mark.parametrize("bit", codes.Doubt)
def test_while_it_is_doubted_nothing_becomes_less(bit: int) -> None:
    made = hall()
    go(made, 9.0, 170.0)
    for k in range(20):
        made.watch.doubts[PDU] |= bit
        made.watch.same_w[PDU] = codes.ENDLESS
        go(made, 1.0, 120.0 + k)
    assert made.watch.learnt_w[PDU] == pytest.approx(50e3)
    for _ in range(9):
        made.watch.doubts[PDU] |= bit
        made.watch.same_w[PDU] = codes.ENDLESS
        go(made, 1.0, 180.0)
    assert made.watch.learnt_w[PDU] == pytest.approx(60e3)


@pytest.mark.parametrize("bit", (codes.DOUBT_FROZEN, codes.DOUBT_FALSE, codes.DOUBT_SCALE))
def test_nor_in_the_ten_seconds_after(bit: int) -> None:
    made = hall()
    go(made, 9.0, 170.0)
    made.watch.doubts[PDU] = bit
    made.now_s += STEP_S
    made.guard(60e3, 60e3)
    until_ns = made.watch.until_ns[PDU]
    assert until_ns == made.now_ns + 10 * NS
    made.watch.doubts[PDU] = 0
    while made.now_ns + round(STEP_S * NS) < until_ns:
        go(made, STEP_S, 120.0)
        assert made.watch.learnt_w[PDU] == pytest.approx(50e3)
    assert made.watch.until_ns[PDU] == until_ns
    go(made, 3.0, 120.0)
    assert made.watch.learnt_w[PDU] == pytest.approx(0.0)


def test_what_was_not_seen_to_move_alone_is_no_reason() -> None:
    made = hall()
    made.watch.doubts[PDU] = codes.DOUBT_BEFORE
    go(made, 3.0, 120.0)
    assert (made.watch.doubts[PDU], made.watch.until_ns[PDU]) == (codes.DOUBT_BEFORE, 0)


def test_it_is_weighed_from_the_time_of_its_end_on() -> None:
    made = hall()
    go(made, 9.0, 170.0)
    for at_ns, learnt_kw in ((made.now_ns + 1, 50.0), (made.now_ns, 30.0)):
        made.watch.until_ns[PDU] = at_ns
        made.watch.drawn_ns[PDU] = made.watch.read_ns[PDU] = made.now_ns
        made.watch.drawn_w[PDU] = made.watch.read_w[PDU] = 150e3
        made.watch.high_other_w[PDU] = 30e3
        witness.weigh(made.limits, made.watch, PDU, False, made.now_ns)
        assert made.watch.learnt_w[PDU] == pytest.approx(learnt_kw * 1e3)


def test_one_that_is_frozen_is_found_and_teaches_nothing() -> None:
    made = hall()
    go(made, 9.0, 259.0, (100.0, 100.0))
    go(made, 9.0, 260.0, (100.0, 100.0))
    go(made, 30.0, 260.0, (20.0, 20.0))
    assert made.watch.doubts[PDU] == codes.DOUBT_FROZEN
    assert made.watch.learnt_w[PDU] == pytest.approx(60e3)
    assert made.watch.over[PDU] == 0
    go(made, 1.5, 100.0, (20.0, 20.0))
    assert made.watch.doubts[PDU] == 0
    go(made, 30.0, 100.1, (20.0, 20.0))
    assert made.watch.learnt_w[PDU] == pytest.approx(60.1e3)


def test_one_that_shows_kilowatts_is_found() -> None:
    made = hall()
    go(made, 19.0, 0.16, (80.0, 80.0))
    assert made.watch.doubts[PDU] == codes.DOUBT_FALSE
    go(made, 3.0, 160.0, (80.0, 80.0))
    assert made.watch.doubts[PDU] == 0


def test_one_that_shows_the_double_is_found() -> None:
    made = hall()
    for _ in range(2):
        go(made, 9.0, 240.0)
        go(made, 9.0, 320.0, (80.0, 80.0))
    go(made, 9.0, 240.0)
    assert made.watch.doubts[PDU] == codes.DOUBT_SCALE


def test_in_a_fault_none_is_judged() -> None:
    made = hall(measured=True)
    for volts, doubts in ((4e3, 0), (8e3, codes.DOUBT_FALSE)):
        go(made, 30.0, 0.16, (80.0, 80.0), volts)
        assert made.watch.doubts[PDU] == doubts


def test_a_trip_does_not_go_by_a_meter_that_is_doubted() -> None:
    made = hall()
    go(made, 9.0, 170.0)
    assert warden.load(made.limits, made.watch, PDU, made.now_ns) == 170e3
    made.watch.learnt_w[PDU] = made.watch.other_w[PDU] = 40e3
    for until_ns, kw in ((made.now_ns, 170.0), (made.now_ns + 1, 160.0)):
        made.watch.until_ns[PDU] = until_ns
        assert warden.load(made.limits, made.watch, PDU, made.now_ns) == kw * 1e3
