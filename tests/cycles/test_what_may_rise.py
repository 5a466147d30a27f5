"""What safety, silence and cooling do to set points, tick by tick: no more than they must, and without a veto."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, Cooling, Node, Rack, World, world

LPM_PER_W = 1.0 / (992.0 * 4179.0 / 60_000.0)
"""Flow that carries one watt by one kelvin, as in `thermal.capacity`."""


def run(
    made: World,
    seconds: float,
    drawn: Callable[[int], float] | None = None,
    *,
    supply_c: float = 32.0,
    flow_lpm: float = 20e3,
    silent: tuple[int, ...] = (),
) -> list[float]:
    """So long with racks that draw what the model says, or what is given; their set points in kW."""
    racks = range(made.limits.site.racks)
    for _ in range(round(seconds / 0.05)):
        made.cool(0, supply_c=supply_c, flow_lpm=flow_lpm)
        power_w = [made.state.power_w[i] if drawn is None else drawn(i) for i in racks]
        for i in racks:
            if i not in silent:
                made.rack(i, power_w[i], made.state.applied_w[i])
        made.meter(sum(power_w))
        made.tick()
    return [round(w / 1e3, 1) for w in made.state.applied_w[: made.limits.site.racks]]


def stood(made: World, *kw: float, drawn_kw: float | None = None) -> World:
    """Taken over with these set points."""
    for i, one_kw in enumerate(kw):
        made.rack(i, (one_kw if drawn_kw is None else min(one_kw, drawn_kw)) * 1e3, one_kw * 1e3)
    made.cool(0)
    made.meter(sum(min(one_kw, drawn_kw or one_kw) for one_kw in kw) * 1e3)
    made.tick()
    for why in range(codes.VETOES):
        made.watch.vetoes[why] = 0
    return made


@pytest.mark.parametrize("what", ["a stop", "a trip"])
def test_a_stop_and_a_trip_act_also_while_the_meter_was_never_read(what: str) -> None:
    made = world([Rack(), Rack()], max_w=200e3, default_w=200e3, import_w=300e3)
    made.meter(0.0, quality=codes.NEVER)
    for t in range(100):
        made.cool(0, supply_c=46.0 if what == "a trip" and t > 20 else 32.0)
        for i in (0, 1):
            made.rack(i, 100e3, made.state.applied_w[i] if made.state.known[i] else 100e3)
        if what == "a stop" and t == 20:
            made.command(codes.ESTOP)
        made.tick()
        if t == 19:
            before = made.state.applied_w[:2]
    assert before == [100e3, 100e3]
    assert made.state.applied_w[:2] == [made.limits.min_w[0]] * 2


def test_until_the_meter_is_read_the_meter_is_why() -> None:
    made = world([Rack(), Rack()], max_w=200e3, default_w=200e3, import_w=300e3)
    made.meter(0.0, quality=codes.NEVER)
    for _ in range(40):
        made.cool(0)
        for i in (0, 1):
            made.rack(i, 80e3, 80e3)
        made.tick()
    assert made.state.site_why == codes.SITE_METER
    assert made.state.why[:2] == [codes.WHY_STALE] * 2


def test_racks_whose_readings_are_lost_are_not_switched_off() -> None:
    """They count at their rating whatever they are given: their node is beyond its limit, and stays it."""
    made = world(
        [Rack(min_w=36e3, node=1)] * 6, [Node(1e6), Node(480e3, 0)], phases=10, max_w=600e3, default_w=600e3,
        import_w=700e3,
    )  # fmt: skip
    stood(made, *[75.0] * 6)
    run(made, 5.0)
    assert min(run(made, 8.0, lambda _: 75e3, silent=tuple(range(6)))) >= 36.0


def test_a_rack_that_gives_way_goes_off_also_when_it_wants_less_than_its_most() -> None:
    made = world(
        [Rack(min_w=36e3, node=1), Rack(min_w=36e3, node=1), Rack(min_w=36e3, node=1, tier=1)],
        [Node(1e6), Node(230e3, 0)], max_w=300e3, default_w=300e3, import_w=400e3,
    )  # fmt: skip
    stood(made, 60.0, 60.0, 60.0, drawn_kw=50.0)

    def wants(i: int) -> float:
        return min(50e3, made.state.applied_w[i])

    run(made, 20.0, wants)
    # Two that are silent count 200 of 230 kW: there is no room for the least of the third.
    assert run(made, 8.0, wants, silent=(0, 1))[2] == 0.0
    assert "LEVEL" not in made.vetoes()


@pytest.mark.parametrize(("supply_c", "least"), [(38.5, 0.0), (32.0, 1.01)], ids=["warm", "little flow"])
def test_racks_that_may_not_rise_keep_what_the_flow_carries(supply_c: float, least: float) -> None:
    made = world([Rack(), Rack(), Rack(tier=1), Rack(tier=1)], max_w=400e3, default_w=400e3, import_w=500e3)
    stood(made, *[90.0] * 4)
    made.command(codes.TRACK, 240e3)
    before = run(made, 10.0)
    assert sum(before) == pytest.approx(240.0, abs=2.0)
    flow_lpm = 300e3 * LPM_PER_W / (60.0 - supply_c)
    made.limits.min_flow_lpm[0] = flow_lpm * least
    assert sum(run(made, 10.0, supply_c=supply_c, flow_lpm=flow_lpm)) == pytest.approx(sum(before), abs=2.0)
    assert made.vetoes() == {}


def test_slow_racks_take_over_from_slow_racks_that_may_not_rise() -> None:
    """No fast rack bridges them: the others go all the way, and who may not rise says why."""
    slow = [Rack(min_w=0.0, loop=k // 2, dead_up_s=3.0, dead_down_s=3.0, slow=True) for k in range(4)]
    made = world(slow, [Node(1e6)], [Cooling(), Cooling()], phases=10, max_w=400e3, default_w=400e3, import_w=500e3)
    made.cool(1)
    stood(made, *[40.0] * 4)
    made.command(codes.TRACK, 240e3, lease_s=600.0)
    made.cool(1, supply_c=39.0, age_s=-1000.0)
    stands = run(made, 20.0)
    assert stands[2:] == pytest.approx([40.0] * 2, abs=1.0)
    assert sum(stands) == pytest.approx(240.0, abs=1.0)
    assert made.state.why[2:4] == [codes.WHY_COOLING] * 2
    assert made.vetoes() == {}


def test_headroom_is_no_room_beyond_what_the_flow_carries() -> None:
    made = world([Rack()] * 4, max_w=400e3, default_w=400e3, import_w=500e3, phases=10)
    stood(made, *[100.0] * 4, drawn_kw=80.0)

    def wants(i: int) -> float:
        return min(80e3, made.state.applied_w[i])

    assert run(made, 60.0, wants) == pytest.approx([88.0] * 4, abs=1.0)
    assert sum(run(made, 40.0, wants, flow_lpm=240e3 * LPM_PER_W / 28.0)) <= 240.1


@pytest.mark.parametrize(
    "rack",
    [
        Rack(min_w=36e3, levels_w=(36e3, 68e3, 100e3)),
        Rack(min_w=20e3, quantum_w=10e3),
        Rack(min_w=20e3, quantum_w=450.0),
        Rack(min_w=20e3),
    ],
    ids=["levels", "large steps", "fine steps", "free"],
)
def test_on_a_warm_loop_nothing_is_asked_that_the_guard_withholds(rack: Rack) -> None:
    made = world([rack] * 3, max_w=300e3, default_w=300e3, import_w=400e3)
    stood(made, 68.0, 68.0, 50.0, drawn_kw=60.0)

    def wants(i: int) -> float:
        return min(60e3, made.state.applied_w[i])

    before = [w / 1e3 for w in made.state.applied_w[:3]]
    after = run(made, 10.0, wants, supply_c=38.5)
    assert all(now <= was for now, was in zip(after, before, strict=True))
    assert made.vetoes() == {}


def test_a_least_that_is_no_multiple_of_the_step_is_still_a_place_to_be() -> None:
    fine = Rack(min_w=20e3, quantum_w=15e3)
    made = world([fine, Rack(min_w=20e3, quantum_w=15e3, tier=1)], max_w=200e3, default_w=71e3, import_w=300e3)
    stood(made, 50.0, 0.0)
    made.command(codes.TRACK, 71e3)
    stands = run(made, 30.0)
    assert stands[1] >= 20.0
    assert sum(stands) == pytest.approx(71.0, abs=7.5)
    assert made.vetoes() == {}


def test_a_rack_below_its_set_point_is_waited_for_two_seconds_at_most() -> None:
    """Idle or on its way there, nobody knows before its second reading, and that does not come."""
    made = world([Rack(), Rack()], max_w=200e3, default_w=200e3, import_w=300e3, rack_stale_ns=60 * NS)
    made.limits.stale_ns[1] = 60 * NS
    made.rack(1, 30e3, 100e3)
    made.command(codes.TRACK, 90e3)
    assert run(made, 1.8, lambda i: (100e3, 30e3)[i], silent=(1,))[0] == 100.0
    assert run(made, 3.0, lambda i: (made.state.applied_w[0], 30e3)[i], silent=(1,))[0] < 70.0


def test_a_rack_that_may_not_rise_keeps_its_headroom_free_and_no_more() -> None:
    made = stood(world([Rack(min_w=20e3, max_w=100e3)] * 3), 100.0, 100.0, 100.0)
    state = made.state
    # It was seen to go no lower than 95 kW, wants 30, and may go to its least now.
    state.bottom_w[1], state.demand_w[1], state.usual[1], state.action[1] = 95e3, 30e3, 0, codes.ACT_NO_RAISE
    interpreted.bounds.bounds(made.inputs, made.limits, state)
    assert (state.lo_w[1], state.hi_w[1]) == (20e3, 30e3)
    assert state.head_w[1] == made.limits.headroom_w[1] > 0.0
    assert state.reserve_w[0] == state.head_w[0] + state.head_w[1] + state.head_w[2]


def test_a_rack_that_makes_way_for_slow_ones_takes_no_place_from_others_at_its_node() -> None:
    """What it still draws above its set point is what it comes back to."""
    slow = Rack(min_w=0.0, node=1, dead_up_s=3.0, dead_down_s=3.0, slow=True)
    fast = Rack(min_w=0.0, node=1, dead_up_s=0.2, dead_down_s=1.0)
    made = world([slow, fast, slow], [Node(1e6), Node(305e3, 0)], phases=10, max_w=300e3, import_w=400e3)
    state, slot = made.state, made.limits.power_slot
    state.slow_count = 2
    for i in range(3):
        state.known[i] = state.ours[i] = 1
        state.applied_w[i] = state.cap_w[i] = state.ahead_w[i] = state.demand_w[i] = 100e3
        made.inputs.value[slot[i]] = 100e3
        made.inputs.at_ns[slot[i]] = state.now_ns

    def told(kw: float) -> None:
        for ago in range(made.limits.site.history):
            state.past_w[3 * ago + 1] = kw * 1e3

    # Told to go, and still there.
    told(100.0)
    state.applied_w[1] = 10e3
    interpreted.bounds.bounds(made.inputs, made.limits, state)
    assert state.reserve_w[1] + 300e3 <= 305e3
    # One that may not rise does not come back.
    state.action[1] = codes.ACT_NO_RAISE
    interpreted.bounds.bounds(made.inputs, made.limits, state)
    assert state.reserve_w[1] == pytest.approx(90e3)
    # Nor is it the place of one that should be gone by now, and just draws more than it was told.
    state.action[1] = codes.ACT_NONE
    told(10.0)
    interpreted.bounds.bounds(made.inputs, made.limits, state)
    assert state.reserve_w[1] == pytest.approx(90e3)
    # A slow one that was told to go leaves for good: others wait for what it still draws.
    state.applied_w[1], state.applied_w[0] = 100e3, 10e3
    interpreted.bounds.bounds(made.inputs, made.limits, state)
    assert state.reserve_w[1] == pytest.approx(90e3)


# Two racks at 100 kW of 20 to 100, and one that is off and has 36 kW for its least; the others' least, target, kW.
WAKES = {
    "less than half of its least is left open": (20.0, 216.0, False),
    "half of it, and the others make room":     (20.0, 219.0, True),
    "all of it":                                (20.0, 240.0, True),
    "the others cannot go down":                (100.0, 230.0, False),
    "nor need they":                            (100.0, 240.0, True),
}  # fmt: skip


@pytest.mark.parametrize("quantum_w", [0.0, 4e3], ids=["continuous", "in steps"])
@pytest.mark.parametrize("row", WAKES.values(), ids=WAKES)
def test_a_rack_comes_back_from_off(row: tuple[float, float, bool], quantum_w: float) -> None:
    least_kw, target_kw, wakes = row
    other = Rack(min_w=least_kw * 1e3, quantum_w=quantum_w)
    off = Rack(min_w=36e3, quantum_w=quantum_w, up_w_per_s=5e3, dead_up_s=1.0, dead_down_s=0.1)
    made = world([other, other, off], phases=10, max_w=300e3, default_w=200e3, import_w=target_kw * 1e3 + 1e3)
    stood(made, 100.0, 100.0, 0.0)
    made.command(codes.TRACK, target_kw * 1e3)
    most_kw = max(sum(run(made, 0.5)) for _ in range(60))
    stands = run(made, 0.5)
    assert (stands[2] >= 36.0) == wakes
    if wakes:
        assert sum(stands) == pytest.approx(target_kw, abs=2.1)
    assert most_kw <= target_kw + 2.1
    assert made.vetoes() == {}


def test_who_is_lowered_on_the_way_up_keeps_the_room_that_it_still_rises_into() -> None:
    """The loop of a protected rack cools while a slow one below the same node has not begun to rise yet."""
    slow = Rack(node=1, tier=1, dead_up_s=4.0, dead_down_s=2.0, slow=True)
    made = world(
        [slow, Rack(node=1, loop=1)], [Node(1e6), Node(130e3, 0)], [Cooling(), Cooling()], max_w=200e3, import_w=300e3,
        default_w=60e3,
    )  # fmt: skip
    told_w = [[30e3] * 80, [30e3] * 80]
    most_w = 0.0
    for t in range(round(25 / 0.05)):
        made.cool(0)
        # Ten seconds later its racks may rise again.
        made.cool(1, supply_c=39.0 if t < 100 else 32.0)
        if t == 240:
            made.command(codes.TRACK, 200e3)
        # A fall passes a rise that has not arrived yet.
        power_w = [min(told_w[0][-40], told_w[0][-80]), told_w[1][-1]]
        for i in (0, 1):
            made.rack(i, power_w[i], told_w[i][-1])
        made.meter(sum(power_w))
        made.tick()
        for i in (0, 1):
            told_w[i].append(made.state.applied_w[i])
        most_w = max(most_w, sum(power_w))
    assert max(told_w[0]) > 90e3
    assert [told_w[i][-1] for i in (0, 1)] == pytest.approx([30e3, 100e3])
    assert most_w <= 130e3 * 1.001
    assert made.vetoes() == {}


def test_a_level_that_stands_above_what_its_rack_wants_is_kept_free_for_it() -> None:
    """Taken over with all that they can have below a node that carries less; one draws 60 kW at its level of 100."""
    racks = [Rack(node=1, min_w=0.0, levels_w=(0.0, 50e3, 100e3)), Rack(node=1, tier=1)]
    made = world(racks, [Node(1e6), Node(180e3, 0)], max_w=200e3, import_w=300e3)
    for t in range(200):
        power_w = [60e3, made.state.power_w[1] if t > 0 else 100e3]
        for i in (0, 1):
            made.rack(i, power_w[i], made.state.applied_w[i] if t > 0 else 100e3)
        made.cool(0)
        made.meter(sum(power_w))
        made.tick()
    assert [round(w / 1e3, 1) for w in made.state.applied_w[:2]] == [100.0, 80.0]
    assert made.vetoes() == {}
