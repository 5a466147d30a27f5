"""Slow racks begin at once and fast ones bridge them: what each is given, and what is expected of it. 20 Hz, kW."""

from __future__ import annotations

import dataclasses

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world

SLOW = Rack(min_w=0.0, dead_up_s=3.0, dead_down_s=3.0, slow=True)
FAST = Rack(min_w=0.0)


def hall(*racks: Rack, at_kw: float = 50.0) -> World:
    most_w = sum(rack.max_w for rack in racks)
    made = world(list(racks), max_w=most_w, import_w=2 * most_w)
    state = made.state
    state.tick = 200
    state.reference_w = state.heading_w = at_kw * 1e3 * len(racks)
    for i, rack in enumerate(racks):
        state.lo_w[i], state.hi_w[i] = 0.0, rack.max_w
        state.floor_w[i], state.reach_w[i] = 0.0, rack.max_w
        state.applied_w[i] = state.cap_w[i] = state.share_w[i] = at_kw * 1e3
        state.demand_w[i], state.ours[i] = rack.max_w, 1
        for k in range(made.limits.site.history):
            state.past_w[k * len(racks) + i] = at_kw * 1e3
    interpreted.bridge.look_back(made.limits, state)
    return made


def given(made: World) -> list[float]:
    return [round(w / 1e3, 3) for w in made.state.share_w[: made.limits.site.racks]]


def test_in_steady_state_everyone_has_the_fair_share() -> None:
    made = hall(SLOW, FAST)
    interpreted.step.share(made.limits, made.state, 100e3)
    assert given(made) == [50.0, 50.0]


def test_a_slow_rack_is_given_what_the_reference_will_be_when_it_answers() -> None:
    made = hall(SLOW, FAST)
    made.state.heading_w, made.state.pace_w = 20e3, 1e3
    # In its three seconds and a tick the reference falls by 61 of 80 kW: 39 kW for the two of them.
    interpreted.step.share(made.limits, made.state, 100e3)
    assert given(made) == [19.5, 50.0]


def test_no_further_than_where_it_is_heading() -> None:
    made = hall(SLOW, FAST)
    made.state.goal_w = 20e3
    made.state.heading_w, made.state.pace_w = 60e3, 1e3
    interpreted.step.share(made.limits, made.state, 100e3)
    assert given(made) == [30.0, 50.0]


def test_the_response_there_is_what_the_sites_least_leaves_of_it() -> None:
    made = hall(SLOW, FAST)
    made.state.heading_w, made.state.pace_w = 60e3, 1e3
    made.state.droop_w, made.limits.site.min_w = -30e3, 50e3
    # 30 kW less are owed at the goal as well, and only ten of them may be given.
    interpreted.step.share(made.limits, made.state, 100e3)
    assert given(made) == [25.0, 50.0]


def test_fast_racks_make_up_for_what_slow_ones_still_draw() -> None:
    made = hall(SLOW, FAST)
    made.state.heading_w = made.state.reference_w = 60e3
    # The slow one draws its 50 kW for three seconds more.
    interpreted.step.share(made.limits, made.state, 60e3)
    assert given(made) == [30.0, 10.0]


def test_and_are_given_back_as_those_arrive() -> None:
    made = hall(SLOW, FAST)
    state = made.state
    state.heading_w = state.reference_w = 60e3
    ticks = made.limits.dead_down[0] - made.limits.site.bridge_ticks
    row = (state.tick - ticks) % made.limits.site.history
    # It was told to go to 30 kW long enough ago for half a second from now.
    state.past_w[row * 2] = 30e3
    interpreted.step.share(made.limits, state, 60e3)
    assert given(made) == [30.0, 30.0]


def test_what_bridging_cannot_give_is_left_open() -> None:
    made = hall(SLOW, SLOW, FAST)
    made.state.heading_w = made.state.reference_w = 60e3
    interpreted.step.share(made.limits, made.state, 60e3)
    assert given(made) == [20.0, 20.0, 0.0]


def passing(made: World, from_kw: float, to_kw: float, ago_s: float) -> None:
    """The slow rack was sent elsewhere so long ago and goes there after its dead time; the fast one makes up for it."""
    state, racks, history = made.state, made.limits.site.racks, made.limits.site.history
    state.now_ns = 1_000_000_000_000
    state.moved_ns[0] = state.now_ns - round(ago_s * 1e9)
    state.cap_w[0] = state.power_w[0] = from_kw * 1e3
    state.applied_w[0] = state.share_w[0] = state.ahead_w[0] = to_kw * 1e3
    for i in range(1, racks):
        state.ahead_w[i] = state.cap_w[i] = (100e3 - to_kw * 1e3) / (racks - 1)
    for ago in range(round(ago_s * 20) + 1):
        state.past_w[(state.tick - ago) % history * racks] = to_kw * 1e3
    for ago in range(round(ago_s * 20) + 1, history):
        state.past_w[(state.tick - ago) % history * racks] = from_kw * 1e3


# The slow rack falls from 80 to 20 kW in a second, so the fast one needs 20 kW now and 80 kW then.
WAYS_BACK = {
    #                              kW/s  dead s  stop   it must keep
    "back within a moment":      (1000,  0.0,  False,   0.0),
    "answers in half a second":  (1000,  0.5,  False,  20.0),
    "answers when it is late":   (1000,  1.1,  False,  80.0),
    "rises in a second":         (  60,  0.0,  False,  23.0),
    "rises in two":              (  30,  0.0,  False,  51.5),
    "rises in two, after half":  (  30,  0.5,  False,  66.5),
    "never, to speak of":        (   1,  0.0,  False,  79.0),
    "a stop asks for no way":    (   1,  0.0,   True,   0.0),
}  # fmt: skip


@pytest.mark.parametrize("row", WAYS_BACK.values(), ids=WAYS_BACK)
def test_a_fast_rack_goes_no_farther_than_it_comes_back_from(row: tuple[float, float, bool, float]) -> None:
    up_kw_per_s, dead_s, stop, keeps_kw = row
    made = hall(SLOW, Rack(min_w=0.0, up_w_per_s=up_kw_per_s * 1e3, dead_up_s=dead_s))
    passing(made, 80.0, 20.0, 2.0)
    interpreted.bridge.come_back(made.limits, made.state, 100e3, stop)
    # Looked at every fifth of a second; for 0.2 % of the site nobody stays.
    assert made.state.floor_w[1] / 1e3 == pytest.approx(keeps_kw, abs=0.5 + min(12.0, 0.2 * up_kw_per_s))


def test_nor_higher_than_it_falls_from() -> None:
    made = hall(SLOW, Rack(min_w=0.0, down_w_per_s=30e3))
    passing(made, 20.0, 80.0, 2.0)
    interpreted.bridge.come_back(made.limits, made.state, 100e3, False)
    assert made.state.floor_w[1] == 0.0
    assert made.state.reach_w[1] == pytest.approx(50e3, abs=6.3e3)


def test_once_the_slow_ones_are_there_nothing_is_kept() -> None:
    made = hall(SLOW, Rack(min_w=0.0, up_w_per_s=1e3))
    passing(made, 20.0, 20.0, 4.0)
    interpreted.bridge.come_back(made.limits, made.state, 100e3, False)
    assert (made.state.floor_w[1], made.state.reach_w[1]) == (0.0, 100e3)


@pytest.mark.parametrize("falls", [True, False])
def test_racks_in_steps_hold_to_it_together(falls: bool) -> None:
    made = hall(SLOW, *[Rack(min_w=0.0, max_w=25e3, up_w_per_s=1e3, down_w_per_s=1e3, quantum_w=5e3)] * 9)
    passing(made, *((80.0, 20.0) if falls else (20.0, 80.0)), 2.0)
    interpreted.bridge.come_back(made.limits, made.state, 100e3, False)
    ends_w = made.state.floor_w[1:10] if falls else made.state.reach_w[1:10]
    assert all(end_w % 5e3 == 0.0 for end_w in ends_w)
    # Each of them may go a second's way farther.
    assert sum(ends_w) == pytest.approx(80e3 - 9e3 if falls else 20e3 + 9e3, abs=6e3)


def test_racks_that_cannot_give_up_their_power_in_time_hold_no_others_up() -> None:
    made = hall(SLOW, Rack(min_w=0.0, up_w_per_s=1e3), Rack(min_w=0.0, down_w_per_s=1e3))
    passing(made, 80.0, 20.0, 2.0)
    # In the second until the slow one falls the last one gives up 1 of 40 kW: 41 of 80 are left for the other.
    made.state.cap_w[2] = 80e3
    interpreted.bridge.come_back(made.limits, made.state, 100e3, False)
    assert made.state.floor_w[1] == pytest.approx(20e3, abs=1.5e3)


@pytest.mark.parametrize("reason", ["a node draws too much", "a fault of the grid"])
def test_what_must_fall_is_not_kept_up(reason: str) -> None:
    made = hall(SLOW, Rack(min_w=0.0, up_w_per_s=1e3))
    passing(made, 80.0, 20.0, 2.0)
    if reason == "a node draws too much":
        made.state.worst_w[0] = made.limits.node_w[0] * 1.01
    else:
        made.state.fault_hold = 1
    made.state.tick += 1
    interpreted.bridge.look_back(made.limits, made.state)
    interpreted.step.share(made.limits, made.state, 60e3)
    assert made.state.floor_w[1] == 0.0


def test_for_one_step_of_one_rack_nobody_makes_way() -> None:
    made = hall(dataclasses.replace(SLOW, quantum_w=20e3), Rack(min_w=0.0, up_w_per_s=1e3))
    passing(made, 60.0, 40.0, 2.0)
    interpreted.bridge.come_back(made.limits, made.state, 100e3, False)
    assert made.state.floor_w[1] == 0.0


def test_one_that_comes_back_does_not_wait_until_the_sum_shows_it() -> None:
    made = hall(SLOW, Rack(min_w=0.0, up_w_per_s=30e3))
    state = made.state
    passing(made, 80.0, 20.0, 2.0)
    state.applied_w[1] = 20e3
    state.total_w = state.stand_w = state.model_w = 100e3
    interpreted.bridge.come_back(made.limits, state, 100e3, False)
    assert interpreted.move.in_step(made.limits, state, 1, 50e3) > 45e3
    state.back_w[1] = state.applied_w[1]
    assert interpreted.move.in_step(made.limits, state, 1, 50e3) < 21e3


def test_a_slow_rack_that_is_not_ours_counts_as_it_is() -> None:
    made = hall(SLOW, FAST)
    made.state.ours[0] = 0
    made.state.lo_w[0] = made.state.hi_w[0] = 70e3
    made.state.floor_w[0] = made.state.reach_w[0] = 70e3
    interpreted.step.share(made.limits, made.state, 100e3)
    assert given(made) == [70.0, 30.0]


def test_a_slow_rack_starts_with_the_command_not_with_its_turn() -> None:
    made = world([SLOW, SLOW, FAST, FAST], max_w=400e3, default_w=400e3, import_w=500e3, phases=10, normal_up=100e3)

    def tick() -> list[float]:
        made.refresh()
        for i in range(4):
            made.rack(i, made.state.power_w[i] if made.state.tick else 100e3, made.state.applied_w[i] or 100e3)
        made.meter(sum(made.state.power_w[:4]) if made.state.tick else 400e3)
        made.tick()
        return made.state.applied_w[:4]

    for _ in range(40):
        tick()
    made.command(codes.TRACK, 200e3, ramp_s=1.0)
    slow_w = tick()[:2]
    assert slow_w == pytest.approx([50e3, 50e3], rel=0.05)
