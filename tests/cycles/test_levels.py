"""Racks that move in whole steps of 10 kW, or through a list of levels: shares before, shares after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Cooling, Node, Rack, World, world

STEP = Rack(min_w=0.0, max_w=100.0, quantum_w=10.0)
FREE = Rack(min_w=0.0)
LIST = Rack(min_w=0.0, max_w=100.0, levels_w=(0.0, 40.0, 60.0, 100.0))
LAST = Rack(min_w=0.0, max_w=100.0, quantum_w=10.0, tier=1)
WIDE = [Node()]
ROWS = {
    # racks, nodes, share, applied -> share, largest step
    "whole already":             ([STEP, STEP], WIDE, [30.0, 50.0], [0.0, 0.0], [30.0, 50.0], 10.0),
    "rounded down":              ([STEP], WIDE, [34.0], [0.0], [30.0], 10.0),
    "rounded up from half":      ([STEP], WIDE, [35.0], [0.0], [40.0], 10.0),
    "the sum stays right":       ([STEP] * 4, WIDE, [15.0] * 4, [0.0] * 4, [20.0, 20.0, 10.0, 10.0], 10.0),
    "who has the step keeps it": ([STEP] * 4, WIDE, [15.0] * 4, [0.0, 0.0, 20.0, 20.0], [10.0, 10.0, 20.0, 20.0], 10.0),
    "between two steps":         ([STEP] * 3, WIDE, [13.0] * 3, [10.0, 20.0, 10.0], [10.0, 20.0, 10.0], 10.0),
    "nearly a step is a step":   ([STEP], WIDE, [30.0 - 1e-6], [0.0], [30.0], 10.0),
    "never above the most":      ([STEP, STEP], WIDE, [100.0, 16.0], [0.0, 0.0], [100.0, 20.0], 10.0),
    "no room at the node":       ([STEP, STEP], [Node(35.0)], [15.0, 19.0], [0.0, 0.0], [20.0, 10.0], 10.0),
    "continuous racks stay":     ([FREE, STEP], WIDE, [33.0, 34.0], [0.0, 0.0], [33.0, 30.0], 10.0),
    "only continuous racks":     ([FREE, FREE], WIDE, [33.3, 44.4], [0.0, 0.0], [33.3, 44.4], 0.0),
    "a level of the list":       ([LIST], WIDE, [60.0], [0.0], [60.0], 40.0),
    "the nearer level below":    ([LIST], WIDE, [49.0], [0.0], [40.0], 20.0),
    "the nearer level above":    ([LIST], WIDE, [51.0], [0.0], [60.0], 20.0),
    "asleep":                    ([LIST], WIDE, [19.0], [0.0], [0.0], 40.0),
    "lists add up":              ([LIST, LIST], WIDE, [50.0, 50.0], [40.0, 60.0], [40.0, 60.0], 20.0),
    "the rest goes on a tier":   ([STEP, LAST], WIDE, [14.0, 14.0], [0.0, 0.0], [10.0, 20.0], 10.0),
    "and never back":            ([STEP, LAST], WIDE, [14.0, 19.0], [20.0, 0.0], [10.0, 20.0], 10.0),
    "a step too much is owed":   ([STEP, LAST], WIDE, [16.0, 18.0], [0.0, 0.0], [20.0, 10.0], 10.0),
}  # fmt: skip


def placed(made: World, share: list[float], applied: list[float]) -> None:
    made.state.rise_w = codes.ENDLESS
    for i in range(made.limits.site.racks):
        made.state.share_w[i], made.state.applied_w[i] = share[i], applied[i]
        made.state.lo_w[i], made.state.hi_w[i], made.state.reach_w[i] = 0.0, 100.0, 100.0


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(
    row: tuple[list[Rack], list[Node], list[float], list[float], list[float], float],
) -> None:
    racks, nodes, share, applied, expected, grain = row
    made = world(racks, nodes)
    placed(made, share, applied)
    assert interpreted.levels.quantise(made.limits, made.state, codes.ENDLESS) == pytest.approx(grain)
    assert made.state.share_w[: len(racks)] == pytest.approx(expected)


def test_racks_that_may_not_move_stay_and_out_of_reach_is_out_of_reach() -> None:
    made = world([STEP, STEP, STEP])
    state = made.state
    state.rise_w = codes.ENDLESS
    for i, (lo_w, hi_w, reach_w) in enumerate([(34.0, 34.0, 34.0), (0.0, 100.0, 35.0), (0.0, 100.0, 100.0)]):
        state.lo_w[i], state.hi_w[i], state.reach_w[i], state.share_w[i] = lo_w, hi_w, reach_w, 34.0 + (i > 0)
    interpreted.levels.quantise(made.limits, state, codes.ENDLESS)
    assert state.share_w[:3] == [34.0, 30.0, 40.0]


def test_its_least_is_a_level_of_a_rack() -> None:
    made = world([STEP])
    placed(made, [34.0], [0.0])
    made.state.lo_w[0] = 32.0
    interpreted.levels.quantise(made.limits, made.state, codes.ENDLESS)
    assert made.state.share_w[0] == 32.0


ONCE = Rack(min_w=0.0, max_w=100.0, quantum_w=10.0, on_s=60.0, off_s=60.0)
CHANGES = {
    # goal of the sum, share on the way, applied -> share
    "down, not due yet":          (0.0, [80.0, 80.0], [100.0, 100.0], [100.0, 100.0]),
    "down, half of it is due":    (0.0, [70.0, 70.0], [100.0, 100.0], [100.0, 0.0]),
    "down, the other as well":    (0.0, [20.0, 20.0], [100.0, 100.0], [0.0, 0.0]),
    "down to the goal's level":   (100.0, [70.0, 70.0], [100.0, 100.0], [100.0, 50.0]),
    "and not below it":           (100.0, [40.0, 40.0], [100.0, 100.0], [50.0, 50.0]),
    "the sum at the goal":        (90.0, [45.0, 45.0], [100.0, 100.0], [40.0, 50.0]),
    "up, not due yet":            (200.0, [20.0, 20.0], [0.0, 0.0], [0.0, 0.0]),
    "up, half of it is due":      (200.0, [30.0, 30.0], [0.0, 0.0], [100.0, 0.0]),
    "up, the other as well":      (200.0, [80.0, 80.0], [100.0, 0.0], [100.0, 100.0]),
    "who is there stays there":   (100.0, [60.0, 60.0], [100.0, 50.0], [50.0, 50.0]),
    "a goal between two levels":  (104.0, [52.0, 52.0], [50.0, 50.0], [50.0, 50.0]),
    "nearer to the higher one":   (107.0, [53.5, 53.5], [50.0, 50.0], [50.0, 60.0]),
    "between them it stays":      (105.0, [52.5, 52.5], [50.0, 60.0], [50.0, 60.0]),
}  # fmt: skip


@pytest.mark.parametrize("row", CHANGES.values(), ids=CHANGES.keys())
def test_a_rack_that_rests_after_a_change_goes_where_the_goal_takes_it_when_half_of_that_is_due(
    row: tuple[float, list[float], list[float], list[float]],
) -> None:
    goal_w, share, applied, expected = row
    made = world([ONCE, ONCE], loss_ratio=0.0)
    placed(made, share, applied)
    made.state.goal_w = goal_w
    interpreted.levels.quantise(made.limits, made.state, codes.ENDLESS)
    assert made.state.share_w[:2] == pytest.approx(expected)


def come_to(made: World, target_w: float, begin_w: list[float]) -> list[float]:
    """The set points of racks that do as they are told, forty seconds after a command."""
    count = len(begin_w)
    drawn_w = begin_w
    for tick in range(801):
        for i, power_w in enumerate(drawn_w):
            made.rack(i, power_w, power_w)
        made.meter(sum(drawn_w))
        if tick == 41:
            made.command(codes.TRACK, target_w)
        drawn_w = made.tick().setpoint_w[:count]
        made.refresh()
    return drawn_w


def test_what_the_levels_of_resting_racks_leave_is_one_more_where_others_make_room() -> None:
    """A rack that moves freely and two that are on or off: 213 of 218 kW, and neither stays off for ever."""
    whole = Rack(min_w=0.0, max_w=109e3, quantum_w=109e3, on_s=60.0, off_s=60.0)
    made = world([Rack(), whole, whole], dispatched_up=1e6, dispatched_down=1e6, max_w=318e3, import_w=400e3)
    assert come_to(made, 313e3, [20e3, 0.0, 0.0]) == pytest.approx([95e3, 109e3, 109e3], abs=1e3)


@pytest.mark.parametrize("rest_s", [0.0, 60.0])
@pytest.mark.parametrize("import_w, expected_w", [(213e3, 109e3), (217e3, 109e3), (219e3, 218e3)])
def test_one_level_more_is_not_nearer_where_nobody_makes_room_below_the_import_limit(
    import_w: float, expected_w: float, rest_s: float
) -> None:
    whole = Rack(min_w=0.0, max_w=109e3, quantum_w=109e3, on_s=rest_s, off_s=rest_s)
    made = world([whole, whole], dispatched_up=1e6, dispatched_down=1e6, max_w=213e3, import_w=import_w)
    assert sum(come_to(made, 213e3, [0.0, 0.0])) == expected_w


@pytest.mark.parametrize("min_w, expected_w", [(0.0, 100.0), (170.0, 200.0)])
def test_where_the_ramp_ends_the_response_leads_no_lower_than_the_sites_least(min_w: float, expected_w: float) -> None:
    """Half of the 200 W is owed there."""
    once = Rack(min_w=0.0, max_w=100.0, levels_w=(0.0, 100.0), on_s=60.0, off_s=60.0)
    made = world([once] * 3, resting=1, min_w=min_w, generation_w=0.0)
    placed(made, [0.0] * 3, [100.0] * 3)
    made.state.through, made.state.goal_w, made.state.droop_w = 1.0, 200.0, -100.0
    interpreted.levels.spread(made.limits, made.state)
    assert sum(made.state.end_w[:3]) == expected_w


def test_a_rack_that_rests_goes_all_the_way_to_what_its_loop_carries() -> None:
    """And not one level, which it would then sit out."""
    rests = Rack(min_w=30e3, max_w=110e3, quantum_w=10e3, on_s=60.0, off_s=60.0)
    made = world(
        [rests, rests], loops=[Cooling(min_flow_lpm=10.0)], dispatched_up=1e6, dispatched_down=1e6, max_w=220e3,
        import_w=400e3,
    )  # fmt: skip
    for i in range(2):
        made.rack(i, 30e3, 30e3)
    made.meter(60e3)
    for tick in range(300):
        out = made.tick()
        made.refresh()
        # 75 l/min over 28 K carry 145 kW.
        made.cool(0, flow_lpm=75.0)
        for i in range(2):
            made.rack(i, out.setpoint_w[i], out.setpoint_w[i])
        made.meter(sum(out.setpoint_w[:2]))
        if tick == 40:
            made.command(codes.TRACK, 200e3)
    assert list(out.setpoint_w[:2]) == [70e3, 70e3]


def test_what_one_resting_rack_leaves_of_its_loop_another_takes_up() -> None:
    """Three miners that are on or off, where the flow carries two thirds: two are on."""
    whole = Rack(min_w=0.0, max_w=100e3, quantum_w=100e3, on_s=60.0, off_s=60.0)
    made = world([whole] * 3, loops=[Cooling(min_flow_lpm=10.0)], dispatched_up=1e6, dispatched_down=1e6, max_w=300e3)
    # 105 l/min over 28 K carry 203 kW.
    made.cool(0, flow_lpm=105.0, age_s=-60.0)
    assert sum(come_to(made, 300e3, [0.0] * 3)) == 200e3


@pytest.mark.parametrize("down_w, expected", [(400e3, 0.0), (40.0, 50.0), (1.0, 90.0)])
def test_what_the_envelope_does_not_let_the_sum_do_at_once_a_rack_does_in_several_changes(
    down_w: float, expected: float
) -> None:
    made = world([ONCE], loss_ratio=0.0, dispatched_down=down_w)
    made.limits.site.phases = 20
    placed(made, [40.0 if down_w > 100.0 else expected], [100.0])
    interpreted.levels.quantise(made.limits, made.state, codes.ENDLESS)
    assert made.state.share_w[0] == expected


SWITCH = Rack(min_w=0.0, max_w=100e3, levels_w=(0.0, 100e3), on_s=60.0, off_s=30.0)


def switched(made: World, target_w: float, seconds: float) -> list[float]:
    """The set points after so long under a command."""
    made.command(codes.TRACK, target_w)
    for _ in range(round(seconds / 0.05)):
        made.refresh()
        for i in range(made.limits.site.racks):
            if made.state.known[i]:
                made.rack(i, made.state.power_w[i], made.state.applied_w[i])
        drawn_w = made.state.power_w if made.state.tick else made.limits.max_w
        made.meter(sum(drawn_w[: made.limits.site.racks]))
        made.tick()
    return made.state.applied_w[: made.limits.site.racks]


def test_minimum_times_hold_and_safety_does_not_wait() -> None:
    made = world([SWITCH] * 4, default_w=400e3, max_w=400e3, import_w=500e3)
    assert switched(made, 400e3, 2.0) == [100e3] * 4
    assert sorted(switched(made, 200e3, 5.0)) == [0.0, 0.0, 100e3, 100e3]
    low = made.state.applied_w[:4]
    # Two are down, and stay so for half a minute whatever is asked.
    assert switched(made, 400e3, 24.0) == low
    assert switched(made, 400e3, 10.0) == [100e3] * 4
    # Up again: for a minute only those two that were not raised can fall.
    assert switched(made, 0.0, 10.0) == [0.0 if was_w else 100e3 for was_w in low]
    made.command(codes.ESTOP)
    made.refresh()
    made.tick()
    assert made.state.applied_w[:4] == [0.0] * 4


def test_what_rests_between_changes_does_not_rise_on_a_loop_that_is_warm() -> None:
    made = world([SWITCH] * 3, max_w=300e3, default_w=300e3, import_w=400e3)
    switched(made, 300e3, 2.0)
    low = switched(made, 100e3, 40.0)
    assert sorted(low) == [0.0, 0.0, 100e3]
    made.cool(0, supply_c=39.0)
    assert switched(made, 300e3, 5.0) == low
    assert made.vetoes() == {}
    made.cool(0)
    assert switched(made, 300e3, 40.0) == [100e3] * 3


def test_a_budget_of_changes_is_spent_and_grows_again() -> None:
    # Three changes at once, one more every hundred seconds.
    made = world([Rack(min_w=0.0, levels_w=(0.0, 100e3), wear_s=100.0, budget_s=300.0)], max_w=100e3, default_w=100e3,
                 dispatched_up=1e6, dispatched_down=1e6)  # fmt: skip
    assert switched(made, 100e3, 2.0) == [100e3]
    begin_s = made.now_s
    assert switched(made, 0.0, 3.0) == [0.0]
    assert switched(made, 100e3, 3.0) == [100e3]
    assert switched(made, 0.0, 3.0) == [0.0]
    assert switched(made, 100e3, begin_s + 98.0 - made.now_s) == [0.0]
    assert switched(made, 100e3, 6.0) == [100e3]


def test_a_level_that_the_sum_may_not_rise_by_yet_is_left_to_others() -> None:
    made = world([LIST, STEP, STEP])
    placed(made, [65.0, 40.0, 40.0], [40.0, 40.0, 40.0])
    made.state.rise_w = 19.0
    interpreted.levels.quantise(made.limits, made.state, codes.ENDLESS)
    assert made.state.share_w[:3] == [40.0, 50.0, 50.0]


@pytest.mark.parametrize("rest_s", [0.0, 60.0])
def test_a_rack_with_minimum_times_leaves_a_node_that_carries_less(rest_s: float) -> None:
    """What rounding left of a rack elsewhere does not hold it above its own node's limit."""
    rack = Rack(min_w=50e3, levels_w=(0.0, 50e3, 100e3), on_s=rest_s, off_s=rest_s)
    made = world(
        [replace(rack, node=1), replace(rack, node=2)], [Node(), Node(90e3, 0), Node(1e6, 0)], max_w=200e3,
        default_w=200e3, import_w=300e3,
    )  # fmt: skip
    for t in range(3000):
        if t == 2000:
            made.limits.node_w[2] = 70e3
        stands = made.state.applied_w[:2] if t else [50e3, 100e3]
        for i in (0, 1):
            made.rack(i, stands[i], stands[i])
        made.cool(0)
        made.meter(sum(stands))
        made.tick()
    assert made.state.applied_w[:2] == [50e3, 50e3]
    assert made.vetoes() == {}


def test_what_rises_slowly_saves_up_for_a_step() -> None:
    """A step of 100 kW, while the sum may rise by 1 kW/s: it comes, and the site takes no more than that on average."""
    step_w, up = 100e3, 1e3
    made = world([Rack(min_w=0.0, levels_w=(0.0, step_w))] * 2, max_w=200e3, default_w=0.0, import_w=300e3,
                 normal_up=up, normal_down=4e5, dispatched_up=1e3, dispatched_down=4e5)  # fmt: skip
    assert switched(made, 0.0, 5.0) == [0.0, 0.0]
    begin_s = made.now_s
    switched(made, 200e3, 85.0)
    assert sorted(made.state.applied_w[:2]) == [0.0, step_w]
    switched(made, 200e3, 100.0)
    assert made.state.applied_w[:2] == [step_w] * 2
    assert made.vetoes() == {}
    assert made.now_s - begin_s < 200.0


def test_steps_too_fine_to_count_add_up() -> None:
    made = world([Rack(min_w=0.0, quantum_w=100.0)] * 3, max_w=300e3, default_w=300e3, import_w=400e3)
    assert made.limits.stepped_first[1] == 0
    found_w = switched(made, 100e3, 10.0)
    assert all(power_w % 100.0 == 0.0 for power_w in found_w)
    assert sum(found_w) == pytest.approx(100e3, abs=100.0)


def test_what_the_sum_may_not_do_at_once_is_done_in_part() -> None:
    made = world([Rack(), STEP, Rack()])
    state = made.state
    for i, applied_w in enumerate([50e3, 40.0, 0.0]):
        state.applied_w[i] = applied_w
    afford = interpreted.move.afford
    rows = [
        # rack, share, rise and fall left, safety -> asked, rise and fall left then
        (0, 60e3, 4e3, 9e3, False, 54e3, 0.0, 9e3),
        (0, 60e3, 0.0, 9e3, False, 50e3, 0.0, 9e3),
        (0, 50e3, 0.0, 0.0, False, 50e3, 0.0, 0.0),
        (0, 30e3, 4e3, 9e3, False, 41e3, 4e3, 0.0),
        (0, 30e3, 4e3, 9e3, True, 30e3, 4e3, 0.0),
        (1, 70.0, 25.0, 25.0, False, 60.0, 5.0, 25.0),
        (1, 70.0, 9.0, 25.0, False, 40.0, 9.0, 25.0),
        (1, 10.0, 25.0, 25.0, False, 20.0, 25.0, 5.0),
        (2, 20e3, 19e3, 9e3, False, 0.0, 19e3, 9e3),
    ]
    for i, share_w, rise_w, fall_w, safe, asked_w, rise_left_w, fall_left_w in rows:
        state.rise_w, state.fall_w = rise_w, fall_w
        assert afford(made.limits, state, i, share_w, safe) == asked_w
        assert (state.rise_w, state.fall_w) == (rise_left_w, fall_left_w)


BEYOND = {
    # rack, what it wants in kW -> the level that shows whether it wants more
    "a step and a half above":  (STEP, 35.0, 50.0),
    "two steps above a level":  (STEP, 40.0, 60.0),
    "no further than its most": (STEP, 90.0, 100.0),
    "the next of a list":       (LIST, 20.0, 40.0),
    "the one after a near one": (LIST, 58.0, 100.0),
    "a level of a list":        (LIST, 40.0, 60.0),
    "the last of a list":       (LIST, 100.0, 100.0),
}  # fmt: skip


@pytest.mark.parametrize("row", BEYOND.values(), ids=BEYOND.keys())
def test_the_level_that_shows_whether_a_rack_wants_more(row: tuple[Rack, float, float]) -> None:
    rack, wants_kw, level_kw = row
    assert interpreted.levels.beyond(world([rack]).limits, 0, wants_kw) == level_kw
