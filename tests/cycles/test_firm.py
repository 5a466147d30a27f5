"""Firm capacity: the 5 % quantile of what the racks would bring, against a lottery, and what does not count. kW."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import NS, Node, Rack, World, world

DOWN_5, DOWN_60, DOWN_600, UP_5, UP_60, UP_600 = range(codes.FIRMS)
SURE = 0.99
HALF_KW = 60.0


def standing(racks: list[Rack], nodes: int = 1, **site: Any) -> World:
    """Racks that all draw 60 kW and would draw 100, read just now; the meter shows their sum."""
    made = world(
        racks, [Node(), *[Node(parent=0)] * nodes], phases=4, dispatched_down=1e9, dispatched_up=1e9,
        max_w=1.3 * sum(rack.max_w for rack in racks), import_w=1e9, min_w=-1e9, **site,
    )  # fmt: skip
    made.limits.site.bridge_ticks = 0
    state, sum_kw = made.state, HALF_KW * len(racks)
    state.tick, state.now_ns, state.meter_good, state.started = 1, made.now_ns, 1, 1
    state.model_w = sum_kw * 1e3
    for k in range(made.limits.site.history):
        state.past_model_w[k] = state.model_w
    for i, rack in enumerate(racks):
        state.known[i] = 1
        state.power_w[i] = state.seen_w[i] = HALF_KW * 1e3
        state.demand_w[i] = state.hi_w[i] = state.peak_w[i] = rack.max_w
        state.bound_why[i], state.gap_ns[i] = codes.WHY_MAX, NS // 2
        made.rack(i, HALF_KW * 1e3)
    made.meter(sum_kw * 1e3)
    return made


def firm(made: World) -> list[float]:
    """All figures of one round, which the next one concludes; kW."""
    for _ in range(2 * interpreted.firm.round_ticks(made.limits)):
        made.state.meter_w = made.inputs.value[0]
        interpreted.firm.firm(made.inputs, made.limits, made.state)
    return [round(w / 1e3, 3) for w in made.state.firm_w[: codes.FIRMS]]


def test_nothing_is_promised_before_every_rack_was_weighed() -> None:
    made = standing([Rack()] * 50)
    # The meter shows more than the model: no capacity, but noise.
    made.meter(50 * HALF_KW * 1e3 + 5e5)
    made.state.meter_w = made.inputs.value[0]
    for _ in range(interpreted.firm.round_ticks(made.limits)):
        assert made.state.firm_w[: codes.FIRMS] == [0.0] * codes.FIRMS
        interpreted.firm.firm(made.inputs, made.limits, made.state)
    interpreted.firm.firm(made.inputs, made.limits, made.state)
    assert made.state.firm_w[DOWN_5] > 0.0


@pytest.mark.parametrize("beyond_kw", [400.0, -400.0])
def test_what_the_meter_shows_beyond_the_model_is_no_capacity_where_no_rack_counts(beyond_kw: float) -> None:
    made = standing([Rack()] * 50)
    for i in range(50):
        made.state.stale[i] = 1
    made.meter(50 * HALF_KW * 1e3 + beyond_kw * 1e3)
    assert firm(made) == [0.0] * codes.FIRMS


def test_a_round_leaves_nothing_to_the_next() -> None:
    made = standing([Rack()] * 50)
    for i in range(50):
        # Nobody has seen it draw more.
        made.state.peak_w[i] = HALF_KW * 1e3
    assert firm(made) == firm(made)


def lottery(each_kw: float, per_node: int, nodes: int, lost_p: float) -> float:
    """The same quantile of a hundred thousand draws."""
    random = np.random.default_rng(1)
    obey = random.binomial(per_node, SURE, size=(100_000, nodes))
    there = random.random((100_000, nodes)) >= lost_p
    return float(np.quantile((obey * there).sum(axis=1) * each_kw, 0.05))


@pytest.mark.parametrize("lost_p", [0.004, 0.02])
@pytest.mark.parametrize("nodes", [1, 4, 10, 40])
def test_the_quantile_is_that_of_a_lottery(nodes: int, lost_p: float) -> None:
    made = standing([Rack(node=1 + k // 10) for k in range(10 * nodes)], nodes)
    made.state.loss_p = lost_p
    made.limits.site.max_w = 0.0
    expected_kw = lottery(40.0, 10, nodes, lost_p)
    # The normal distribution stands for a sum of few racks: good to one rack's part.
    assert firm(made)[DOWN_60] == pytest.approx(expected_kw, rel=0.015, abs=40.0)


def test_the_normal_distribution() -> None:
    for k in range(-800, 801):
        x = k / 100
        assert interpreted.firm.normal(x) == pytest.approx(0.5 * math.erfc(-x / math.sqrt(2)), abs=2e-7)


def stale(made: World, i: int) -> None:
    made.state.stale[i] = 1


def deaf(made: World, i: int) -> None:
    made.inputs.rack_state[i] = codes.UNRESPONSIVE


def manual(made: World, i: int) -> None:
    made.inputs.rack_state[i] = codes.MANUAL


def unknown(made: World, i: int) -> None:
    made.state.known[i] = 0


def overdue(made: World, i: int) -> None:
    made.rack(i, HALF_KW * 1e3, age_s=1.4)


@pytest.mark.parametrize("happens", [stale, deaf, manual, unknown, overdue])
def test_a_rack_that_cannot_be_counted_on_adds_nothing(happens: Callable[[World, int], None]) -> None:
    with_it, without = standing([Rack()] * 30), standing([Rack()] * 29)
    happens(with_it, 7)
    # One rack more at the meter, none in the figures.
    assert firm(with_it) == pytest.approx(firm(without), rel=1e-3)


def test_a_reading_that_is_only_a_little_late_counts() -> None:
    late = standing([Rack()] * 30)
    late.rack(7, HALF_KW * 1e3, age_s=1.2)
    assert firm(late) == firm(standing([Rack()] * 30))


RESPONSES = {
    # rack, part of 40 kW a rack that 400 racks give at most -> within 5 s down, 60 s down, 5 s up, 60 s up
    "quick":               (Rack(), 1.0, 1.0, 1.0, 1.0),
    "dead for six seconds": (Rack(dead_down_s=6.0, dead_up_s=6.0), 0.0, 1.0, 0.0, 1.0),
    "slow up":             (Rack(up_w_per_s=4e3), 1.0, 1.0, 0.49, 1.0),
    "slower up":           (Rack(up_w_per_s=0.4e3), 1.0, 1.0, 0.049, 0.6),
    "slow down, and dead": (Rack(down_w_per_s=5e3, dead_down_s=1.0), 0.48, 1.0, 1.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("row", RESPONSES.values(), ids=RESPONSES.keys())
def test_what_dead_time_and_slope_allow(row: tuple[Rack, float, float, float, float]) -> None:
    rack, *parts = row
    found = firm(standing([rack] * 400))
    for at, part in zip((DOWN_5, DOWN_60, UP_5, UP_60), parts, strict=True):
        # Its most, less the racks that do not obey, the spread of the others, and 0.33 % of the site for noise.
        assert 0.93 * part * 16000.0 - 0.0033 * 52000.0 <= found[at] <= part * 16000.0 + 1e-6, at


def test_a_down_call_ends_at_the_racks_least_an_up_call_at_their_demand() -> None:
    made = standing([Rack(min_w=50e3)] * 100)
    made.limits.site.max_w = 8e6
    for i in range(100):
        made.state.demand_w[i] = 65e3
    found = firm(made)
    assert 930.0 <= found[DOWN_600] <= 1000.0
    assert 465.0 <= found[UP_600] <= 500.0


LIMITS = {
    # site, figure -> kW at most
    "the envelope's rate down": ({"dispatched_down": 100e3}, DOWN_5, 500.0),
    "the envelope's rate up":   ({"dispatched_up": 100e3}, UP_5, 500.0),
    "the site's most":          ({"max_w": 7000e3, "import_w": 7000e3}, UP_60, 1000.0),
    "the import limit":         ({"import_w": 6500e3}, UP_60, 500.0),
    "the site's least":         ({"min_w": 5500e3}, DOWN_60, 500.0),
}  # fmt: skip


@pytest.mark.parametrize("row", LIMITS.values(), ids=LIMITS.keys())
def test_what_the_site_may(row: tuple[dict[str, float], int, float]) -> None:
    site, at, most_kw = row
    made = standing([Rack()] * 100)
    for name, value in site.items():
        setattr(made.limits.site, name, value)
    assert 0.9 * most_kw <= firm(made)[at] <= most_kw


def in_a_tree(limits_kw: dict[int, float]) -> World:
    """A hundred racks on feeders 1 and 2 below the main 0; each feeder carries 3000 kW now, and could 5000."""
    made = standing([Rack(node=1 + k // 50) for k in range(100)], 2)
    for v, limit_kw in limits_kw.items():
        made.limits.node_w[v] = limit_kw * 1e3
    return made


NODES = {
    # limits, kW -> kW at most upward
    "no limit":                        ({}, 4000.0),
    "both feeders":                    ({1: 3600.0, 2: 3600.0}, 1200.0),
    "one feeder":                      ({1: 3200.0}, 2200.0),
    "the main":                        ({0: 7000.0}, 1000.0),
    "feeders more than the main":      ({0: 6800.0, 1: 3300.0, 2: 3300.0}, 600.0),
    "the main more than feeders":      ({0: 6500.0, 1: 3600.0, 2: 3600.0}, 500.0),
    "a feeder that is full":           ({1: 3000.0}, 2000.0),
    "one with more than it may carry": ({1: 2900.0}, 2000.0),
    "all of them full":                ({1: 3000.0, 2: 3000.0}, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("row", NODES.values(), ids=NODES.keys())
def test_what_racks_add_is_what_the_nodes_above_them_carry(row: tuple[dict[int, float], float]) -> None:
    limits_kw, most_kw = row
    made, free = in_a_tree(limits_kw), in_a_tree({})
    found = firm(made)
    for at in (UP_5, UP_60, UP_600):
        assert 0.93 * most_kw - 40.0 <= found[at] <= most_kw, at
    assert found[DOWN_5] == firm(free)[DOWN_5], "it limits nothing downward"


def test_what_a_node_keeps_free_is_not_there_but_what_falls_is_soon() -> None:
    made = in_a_tree({1: 3600.0, 2: 3000.0})
    made.state.reserve_w[1] = 400e3
    assert 100.0 <= firm(made)[UP_60] <= 200.0
    made.state.late_w[1] = 300e3
    assert 400.0 <= firm(made)[UP_60] <= 500.0


def test_what_the_meter_could_be_brought_to_is_within_the_loops() -> None:
    """What racks below a full node leave of their loop others have."""
    made = in_a_tree({0: 1e9, 1: 3600.0})
    made.state.tight = 1
    for carries_kw, most_kw in ((9000.0, 8600.0), (8600.0, 8600.0), (7000.0, 7000.0)):
        made.state.loop_cap_w[0] = carries_kw * 1e3
        interpreted.firm.span(made.limits, made.state)
        assert made.state.most_w == pytest.approx(most_kw * 1e3)
    made.state.reserve_w[1], made.state.late_w[1] = 500e3, 200e3
    made.state.loop_cap_w[0] = 9e6
    interpreted.firm.span(made.limits, made.state)
    assert made.state.most_w == pytest.approx(8300e3)
    assert made.state.reserve_w[1] == pytest.approx(500e3)


@pytest.mark.parametrize("room_kw", [100.0, 250.0, 385.0, 410.0])
def test_the_quantile_below_full_nodes_is_no_more_than_that_of_a_lottery(room_kw: float) -> None:
    made = standing([Rack(node=1 + k // 10) for k in range(400)], 40)
    for v in range(1, 41):
        made.limits.node_w[v] = 600e3 + room_kw * 1e3
    random = np.random.default_rng(1)
    given_kw = 40.0 * random.binomial(10, SURE, size=(50_000, 40)) * (random.random((50_000, 40)) >= 0.004)
    drawn_kw = float(np.quantile(np.minimum(given_kw, room_kw).sum(axis=1), 0.05))
    assert 0.93 * drawn_kw <= firm(made)[UP_60] <= 1.002 * drawn_kw


def test_what_the_meter_could_be_brought_to_is_within_the_tree() -> None:
    made = in_a_tree({0: 8000.0, 1: 3600.0})
    interpreted.firm.span(made.limits, made.state)
    assert made.state.most_w == pytest.approx(8000e3)
    made.limits.node_w[0] = 1e12
    interpreted.firm.span(made.limits, made.state)
    assert made.state.most_w == pytest.approx(3600e3 + 5000e3)
    made.state.reserve_w[1], made.state.late_w[1] = 500e3, 200e3
    interpreted.firm.span(made.limits, made.state)
    assert made.state.most_w == pytest.approx(3300e3 + 5000e3)
    for i in range(50):
        made.state.lo_w[i] = 80e3
    interpreted.firm.span(made.limits, made.state)
    assert made.state.most_w == pytest.approx(4000e3 + 5000e3), "what stands there stands"
    assert made.state.least_w == pytest.approx(4000e3)


def test_nothing_upward_without_the_meter_nor_where_nothing_may_rise() -> None:
    made = standing([Rack()] * 10)
    made.state.meter_good = 0
    found = firm(made)
    assert found[UP_5:] == [0.0, 0.0, 0.0]
    assert found[DOWN_5] > 0.0
    made = standing([Rack()] * 10)
    for i in range(10):
        made.state.action[i] = codes.ACT_NO_RAISE
    assert firm(made)[UP_5:] == [0.0, 0.0, 0.0]


def test_flow_that_must_rise_first_counts_within_a_minute_not_within_seconds() -> None:
    made = standing([Rack()] * 50)
    made.state.loop_w[0] = 50 * HALF_KW * 1e3
    interpreted.thermal.allow(made.inputs, made.limits, made.state)
    found = firm(made)
    assert found[UP_5] == 0.0
    assert found[UP_60] >= 0.93 * 2000.0


def test_a_job_that_swings_counts_at_its_trough() -> None:
    made = standing([Rack()] * 50)
    for i in range(50):
        made.state.swings[i], made.state.low_w[i] = 1, 70e3
    assert 0.9 * 500.0 <= firm(made)[UP_60] <= 500.0


def test_what_nobody_has_seen_drawn_counts_for_three_quarters() -> None:
    made = standing([Rack()] * 200)
    for i in range(200):
        made.state.peak_w[i] = HALF_KW * 1e3
    assert firm(made)[UP_60] == pytest.approx(0.735 * 8000.0, rel=0.02)


def test_a_rack_that_rests_between_steps_counts_when_it_is_free() -> None:
    made = standing([Rack(quantum_w=10e3)] * 50)
    for i in range(50):
        made.state.free_ns[i] = made.state.now_ns + 30 * NS
    found = firm(made)
    assert (found[DOWN_5], found[UP_5]) == (0.0, 0.0)
    assert found[DOWN_60] > 1800.0


def test_racks_that_change_one_after_the_other_count_from_half_the_ramp() -> None:
    together, quick = (Rack(up_w_per_s=8e3), Rack(up_w_per_s=8e3, on_s=60.0)), (Rack(), Rack(off_s=60.0))
    one, once = (firm(standing([rack] * 200)) for rack in together)
    assert 0.5 * one[UP_5] <= once[UP_5] <= 0.65 * one[UP_5], "half a ramp, less the meter's lag"
    assert once[UP_60] == one[UP_60]
    one, once = (firm(standing([rack] * 200)) for rack in quick)
    assert once[DOWN_5] == one[DOWN_5]


def test_what_the_meter_shows_beyond_the_model_is_there_to_lose() -> None:
    base, more = standing([Rack()] * 50), standing([Rack()] * 50)
    more.meter(3200e3)
    b, m = firm(base), firm(more)
    assert m[DOWN_60] - b[DOWN_60] == pytest.approx(200.0, abs=0.1)
    assert m[UP_60] - b[UP_60] == pytest.approx(-200.0, abs=0.1)


def test_a_lost_node_raises_the_chance_of_another_and_hours_forget_it() -> None:
    made = standing([Rack(node=1 + k // 10) for k in range(50)], 5)
    firm(made)
    usual_p = made.state.loss_p
    assert usual_p == pytest.approx(0.004)
    for i in range(10, 17):
        made.state.stale[i] = 1
    firm(made)
    assert made.state.node_lost[:6] == [0, 0, 1, 0, 0, 0]
    # The second of the two rounds has forgotten a little of it.
    round_s = interpreted.firm.round_ticks(made.limits) * 0.05
    assert made.state.loss_p == pytest.approx(usual_p + 0.01 * (1.0 - round_s / 3600.0))
    firm(made)
    assert made.state.loss_p == pytest.approx(usual_p + 0.01, rel=0.01), "a loss counts once"
    # Its last three racks are not counted on either: they hang on what the others lost.
    fewer = standing([Rack(node=1 + k // 10) for k in range(40)], 5)
    fewer.state.loss_p = made.state.loss_p
    assert firm(made)[DOWN_60] == pytest.approx(firm(fewer)[DOWN_60], rel=3e-3)
    rounds = round(3 * 3600 / round_s)
    for _ in range(rounds):
        interpreted.firm.losses(made.limits, made.state)
    assert made.state.loss_p == pytest.approx(usual_p, rel=0.2)


def test_one_rack_of_two_is_no_common_loss() -> None:
    made = standing([Rack(node=1 + k // 2) for k in range(10)], 5)
    made.state.stale[0] = made.state.stale[1] = 1
    firm(made)
    assert sum(made.state.node_lost[:6]) == 0
