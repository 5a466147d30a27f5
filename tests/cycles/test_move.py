"""From shares to set points: what is dealt out anew falls here as it rises elsewhere. A site of 1 MW, 2 kW of slack."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Node, Rack, world

FREE, FINE, FAR = 0, 1, 2
KINDS = [
    Rack(min_w=20e3, max_w=100e3),
    Rack(min_w=20e3, max_w=100e3, quantum_w=5e3),
    Rack(min_w=36e3, max_w=109e3, levels_w=(36e3, 72e3, 109e3)),
]

ROWS = {
    # rack, set point, share, sum of set points and of the model less the total -> set point
    "a rise within the slack":            (FREE, 50e3, 51e3, 0.0, 0.0, 51e3),
    "a rise in part":                     (FREE, 50e3, 60e3, 0.0, 0.0, 52e3),
    "a rise that the sum needs":          (FREE, 50e3, 60e3, -10e3, -10e3, 60e3),
    "no rise beyond the slack":           (FREE, 50e3, 60e3, 2e3, 2e3, 50e3),
    "no fall while nobody rose":          (FREE, 50e3, 40e3, 0.0, 0.0, 50e3),
    "no fall for what has not risen yet": (FREE, 50e3, 40e3, 2e3, 0.0, 50e3),
    "a fall for what has risen":          (FREE, 50e3, 40e3, 2e3, 2e3, 48e3),
    "a fall that the sum needs":          (FREE, 50e3, 40e3, 12e3, 12e3, 40e3),
    "what was told too much falls":       (FREE, 50e3, 40e3, 12e3, 0.0, 40e3),
    "a step up, its nearer end":          (FINE, 50e3, 55e3, 0.0, 0.0, 55e3),
    "of many steps those that fit":       (FINE, 50e3, 80e3, 0.0, 0.0, 55e3),
    "no step down":                       (FINE, 50e3, 45e3, 0.0, 0.0, 50e3),
    "a step down, its nearer end":        (FINE, 50e3, 45e3, 2e3, 2e3, 45e3),
    "nothing between off and the least":  (FINE, 0.0, 60e3, -2e3, -2e3, 0.0),
    "on at once":                         (FINE, 0.0, 20e3, -8e3, -8e3, 20e3),
    "a far level stays":                  (FAR, 36e3, 109e3, 0.0, 0.0, 36e3),
    "the level that fits":                (FAR, 36e3, 109e3, -15e3, -15e3, 72e3),
    "the next level down":                (FAR, 109e3, 36e3, 16e3, 16e3, 72e3),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_in_step(row: tuple[int, float, float, float, float, float]) -> None:
    i, applied_w, share_w, stand_w, model_w, expected_w = row
    made = world(KINDS)
    state, made.limits.site.grain_w = made.state, 0.0
    made.limits.site.max_w = 1e6
    state.applied_w[i], state.demand_w[i], state.hi_w[i] = applied_w, 109e3, 109e3
    state.bound_why[i] = codes.WHY_MAX
    state.total_w, state.stand_w, state.model_w = 500e3, 500e3 + stand_w, 500e3 + model_w
    state.room_w = codes.ENDLESS
    assert interpreted.move.in_step(made.limits, state, i, share_w) == pytest.approx(expected_w)


# The slack is 2 kW, the largest step of a rack 20 kW.
BELOW_THE_IMPORT_LIMIT = {
    # rack, set point, share, sum of set points less the total, room beyond the total -> set point
    "no rise ahead":                  (FREE, 50e3, 60e3, 0.0, 0.0, 50e3),
    "as far ahead as there is room":  (FREE, 50e3, 60e3, 0.0, 1e3, 51e3),
    "into what has fallen":           (FREE, 50e3, 60e3, -6e3, 0.0, 56e3),
    "a fall ahead":                   (FREE, 50e3, 40e3, 0.0, 0.0, 40e3),
    "no further than a step ahead":   (FREE, 50e3, 20e3, -5e3, 0.0, 35e3),
    "nor beyond that":                (FREE, 50e3, 20e3, -20e3, 0.0, 50e3),
    "with room, no fall ahead":       (FREE, 50e3, 40e3, 0.0, 2e3, 50e3),
    "no step for its nearer end":     (FINE, 50e3, 55e3, -3e3, 0.0, 50e3),
    "a whole step":                   (FINE, 50e3, 55e3, -5e3, 0.0, 55e3),
    "the steps that fit":             (FINE, 50e3, 70e3, -11e3, 0.0, 60e3),
    "off, and not on in part":        (FINE, 0.0, 20e3, -18e3, 0.0, 0.0),
    "on, whole":                      (FINE, 0.0, 20e3, -20e3, 0.0, 20e3),
}  # fmt: skip


@pytest.mark.parametrize("row", BELOW_THE_IMPORT_LIMIT.values(), ids=BELOW_THE_IMPORT_LIMIT.keys())
def test_nobody_rises_ahead_where_the_import_limit_has_no_room(
    row: tuple[int, float, float, float, float, float],
) -> None:
    i, applied_w, share_w, stand_w, room_w, expected_w = row
    made = world(KINDS)
    state, site = made.state, made.limits.site
    site.grain_w, site.jump_w, site.max_w = 0.0, 20e3, 1e6
    state.applied_w[i], state.demand_w[i], state.hi_w[i] = applied_w, 109e3, 109e3
    state.bound_why[i] = codes.WHY_MAX
    state.total_w, state.stand_w, state.model_w = 500e3, 500e3 + stand_w, 500e3 + stand_w
    state.room_w = 500e3 + room_w
    assert interpreted.move.in_step(made.limits, state, i, share_w) == pytest.approx(expected_w)


@pytest.mark.parametrize(("exceeding", "expected"), [(0, [80e3, 100e3, 100e3, 100e3]), (1, [40e3] * 4)])
def test_an_import_excess_lowers_all_racks_in_the_tick(exceeding: int, expected: list[float]) -> None:
    """Otherwise one of the phases, and no more of it than the ramp gives: 20 kW."""
    made = world([Rack()] * 4, phases=4, dispatched_down=1.0, jump_w=20e3 / 1.2)
    state = made.state
    state.exceeding, state.fall_w = exceeding, 20e3
    state.total_w, state.stand_w = 160e3, 400e3
    for i in range(4):
        state.applied_w[i], state.share_w[i], state.known[i], state.demand_w[i] = 100e3, 40e3, 1, 100e3
        state.hi_w[i], state.lo_w[i], state.bound_why[i] = 100e3, 20e3, codes.WHY_MAX
    assert interpreted.move.move(made.inputs, made.limits, state) == codes.FAULT_NONE
    assert state.asked_w[:4] == pytest.approx(expected)


HEADROOM = {
    # how far below what it wants, 50 kW, its share is -> set point
    "all that it wants":             (0.0, 50.5e3),
    "but for the last digit":        (50e3 - math.nextafter(50e3, 0.0), 50.5e3),
    "a watt less":                   (1.0, 50e3 - 1.0),
}  # fmt: skip


@pytest.mark.parametrize("row", HEADROOM.values(), ids=HEADROOM.keys())
def test_who_has_all_that_it_wants_is_given_headroom(row: tuple[float, float]) -> None:
    """Else a rack that wants more is never seen to, and stays where it is for ever."""
    short_w, expected_w = row
    made = world(KINDS)
    state = made.state
    state.applied_w[0] = state.hi_w[0] = 50e3
    state.share_w[0] = 50e3 - short_w
    state.head_w[0] = 8e3
    assert interpreted.move.wanted(made.limits, state, 0) == expected_w


@pytest.mark.parametrize(("head_kw", "level_kw"), [(20.0, 60.0), (0.0, 50.0)], ids=["wants no more", "narrowed"])
def test_a_rack_in_steps_gets_a_level_more_only_where_what_it_wants_ends_its_share(
    head_kw: float, level_kw: float
) -> None:
    """Not where its cooling loop, or a standing cap, lets it have no more."""
    made = world([Rack(min_w=0.0, max_w=100e3, quantum_w=10e3)])
    state = made.state
    state.applied_w[0] = state.hi_w[0] = state.share_w[0] = 50e3
    state.head_w[0] = head_kw * 1e3
    assert interpreted.move.wanted(made.limits, state, 0) == level_kw * 1e3


@pytest.mark.parametrize("free", ["full node", "cap", "slow"])
def test_what_waits_for_nobody(free: str) -> None:
    made = world(KINDS)
    state = made.state
    state.applied_w[0], state.demand_w[0] = 50e3, 100e3
    state.hi_w[0] = 30e3 if free == "cap" else 100e3
    state.bound_why[0] = codes.WHY_NODE if free == "full node" else codes.WHY_MAX
    state.slow[0] = free == "slow"
    state.total_w = state.stand_w = state.model_w = 500e3
    assert interpreted.move.in_step(made.limits, state, 0, 30e3) == 30e3


# A rack of 20 to 100 kW at a node whose racks may draw so much by what stands, in kW.
FITS = {
    # step, limit, drawn by all, stands, draws, share -> set point
    "room for all of it":            (0, 300, 200, 40, 40, 90, 90),
    "room for a part":               (0, 300, 270, 40, 40, 90, 70),
    "no room":                       (0, 300, 300, 40, 40, 90, 40),
    "above its limit":               (0, 300, 400, 40, 40, 90, 40),
    "above its limit, and draws":    (0, 300, 400, 40, 80, 90, 40),
    "a part too small to be told":   (0, 300, 299.95, 40, 40, 90, 40),
    "what it still draws counts":    (0, 300, 300, 40, 80, 90, 80),
    "whole steps of a part":         (15, 300, 270, 45, 45, 90, 75),
    "no part between off and least": (0, 300, 285, 0, 0, 50, 0),
    "on within the room":            (0, 300, 275, 0, 0, 50, 25),
}  # fmt: skip


@pytest.mark.parametrize("row", FITS.values(), ids=FITS.keys())
def test_a_raise_waits_for_what_was_told_to_fall_below_the_same_node(row: tuple[float, ...]) -> None:
    step_w, limit_w, worst_w, applied_w, drawn_w, share_w, expected_w = (1e3 * value for value in row)
    made = world([Rack(min_w=20e3, max_w=100e3, quantum_w=step_w, node=1)], [Node(1e6), Node(limit_w, 0)])
    made.rack(0, drawn_w, applied_w)
    made.state.applied_w[0], made.state.worst_w[1] = applied_w, worst_w
    assert interpreted.move.fit(made.inputs, made.limits, made.state, 0, share_w) == pytest.approx(expected_w)
    # The next rack finds what this one took.
    assert made.state.worst_w[1] == pytest.approx(worst_w + max(0.0, expected_w - max(drawn_w, applied_w)))


def test_full_nodes_give_and_take_without_a_veto() -> None:
    """Sixty racks in six tiers below nodes too small for all, half of them in steps and slow to rise."""
    tree = [Node(6e6)] + [Node(limit_w, 0) for limit_w in (800e3, 850e3, 900e3, 950e3, 1000e3, 1100e3)]
    fast = Rack(min_w=40e3, max_w=100e3, up_w_per_s=2e5, down_w_per_s=2e5, dead_up_s=0.2, dead_down_s=0.2)
    slow = replace(fast, min_w=0.0, quantum_w=3125.0, up_w_per_s=5.5e3, dead_up_s=1.0, dead_down_s=0.1)
    racks = [replace(slow if k % 2 else fast, node=1 + k // 10, tier=k * 7 % 6) for k in range(60)]
    made = world(racks, tree, phases=10, max_w=6e6, import_w=6e6, default_w=5e6, dispatched_up=6e5, dispatched_down=6e5)
    for k in range(60):
        made.rack(k, 50e3, 50e3)
    made.meter(3e6)
    for t in range(1200):
        made.cool(0, flow_lpm=20e3)
        if t % 300 == 20:
            made.command(codes.TRACK, 2.4e6 if t % 600 == 20 else 4.8e6)
        for k in range(t % 10, 60, 10):
            made.rack(k, made.state.power_w[k] if made.state.known[k] else 50e3, made.state.applied_w[k] or 50e3)
        made.meter(sum(made.state.power_w[:60]) if made.state.started else 3e6)
        made.tick()
    assert sum(made.state.applied_w[:60]) == pytest.approx(4.8e6, rel=0.02)
    assert "NODE" not in made.vetoes()
