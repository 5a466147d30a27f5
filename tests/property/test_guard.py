"""What the guard holds whatever it is asked and whatever the image shows, tick after tick. Interpreted."""

from __future__ import annotations

import math
import os
from random import Random

import pytest

from rampd.ext import codes
from tests.core import Cooling, Node, Rack, World, world
from tests.property.test_allocate import parents

SEEDS = 10 if os.environ.get("RAMPD_LONG") == "1" else 1
TICKS = 40
NAN, INF = float("nan"), float("inf")


def made_of(random: Random) -> World:
    nodes = random.randint(1, 6)
    racks = sorted(
        (
            Rack(
                min_w=random.choice([0.0, 20e3]), max_w=random.choice([50e3, 100e3]), node=random.randrange(nodes),
                loop=random.randrange(2), readback=random.random() < 0.8,
            )
            for _ in range(random.randint(1, 12))
        ),
        key=lambda rack: rack.node,
    )  # fmt: skip
    most_w = sum(rack.max_w for rack in racks)
    limits = [random.choice([1e12, most_w, random.uniform(0.1, 1.0) * most_w]) for _ in range(nodes)]
    tree = [Node(w, p, measured=random.random() < 0.3) for w, p in zip(limits, parents(random, nodes), strict=True)]
    made = world(
        racks, tree,
        [Cooling(leak=random.random() < 0.5) for _ in range(2)], import_w=random.uniform(0.5, 1.1) * most_w,
        dispatched_up=random.uniform(0.05, 1.0) * most_w, dispatched_down=random.uniform(0.05, 1.0) * most_w,
        normal_up=0.01 * most_w, normal_down=0.01 * most_w,
    )  # fmt: skip
    for i, rack in enumerate(racks):
        shown_w = random.choice([0.0, rack.min_w, random.uniform(rack.min_w, rack.max_w), rack.max_w])
        made.rack(i, random.choice([shown_w, rack.max_w]), shown_w)
        made.inputs.free_ns[i] = random.choice([0, made.now_ns + 10**9])
    return made


def disturb(random: Random, made: World) -> None:
    """A new image: some readings fresh, some old, some bad, some wild."""
    site = made.limits.site
    for slot in range(site.slots):
        if random.random() < 0.7:
            age_s = random.choice([0.0] * 12 + [1.9, 2.1, 5.1, 11.0])
            quality = random.choice([codes.GOOD] * 12 + list(codes.Quality))
            made.put(slot, made.inputs.value[slot], age_s=age_s, quality=quality)
    for i in range(site.racks):
        power_w = random.choice([made.watch.last_w[i], random.uniform(-1e3, 1.2 * made.limits.max_w[i])])
        made.inputs.value[made.limits.power_slot[i]] = power_w
        made.inputs.rack_state[i] = random.choice([codes.AVAILABLE] * 9 + list(codes.RackState))
    made.inputs.value[site.power_slot] = random.choice([random.uniform(0, 1.2 * site.import_w), 0.5 * site.import_w])
    for v in range(site.nodes):
        if made.limits.draw_slot[v] >= 0:
            made.inputs.value[made.limits.draw_slot[v]] = random.uniform(0.0, made.limits.node_w[v])
    for k in range(site.loops):
        made.inputs.value[made.limits.supply_slot[k]] = random.choice([30.0] * 9 + [38.0, 40.0, 50.0])
        made.inputs.value[made.limits.flow_slot[k]] = random.choice([2000.0] * 9 + [99.9, 0.0])
        made.inputs.value[made.limits.dew_slot[k]] = random.choice([12.0] * 9 + [28.1, 40.0])
    if random.random() < 0.1:
        made.command(random.choice(list(codes.Verb)), envelope=random.choice([codes.NORMAL, codes.DISPATCHED]),
                     lease_s=random.choice([0.5, 5.0, 900.0]))  # fmt: skip


def asked(random: Random, made: World) -> list[float]:
    found = []
    for i in range(made.limits.site.racks):
        least_w, most_w = made.limits.min_w[i], made.limits.max_w[i]
        last_w = made.watch.last_w[i]
        level_w = random.uniform(least_w, most_w)
        near_w = min(max(last_w + random.uniform(-1e3, 1e3), least_w), most_w)
        wild_w = random.choice([NAN, INF, -INF, -1.0, 0.5 * least_w, math.nextafter(most_w, INF), 1e300])
        found.append(random.choice([last_w, last_w, last_w, near_w, near_w, level_w, 0.0, least_w, most_w, wild_w]))
    return found


def worst_w(made: World, i: int, last_w: float, out_w: float) -> float:
    """The most that a rack may draw on its way from the last set point to the new one."""
    slot, most_w = made.limits.power_slot[i], made.limits.max_w[i]
    fresh = made.inputs.quality[slot] == codes.GOOD and made.now_ns - made.inputs.at_ns[slot] <= 5 * 10**9
    if not fresh or not made.watch.known[i] or made.inputs.rack_state[i] != codes.AVAILABLE:
        return most_w
    return max(last_w, out_w, min(made.inputs.value[slot], most_w))


def found_w(made: World, i: int) -> float:
    """Where a rack stands at first sight: what it shows, and at least what it draws unless it rests."""
    seen_w = made.inputs.value[made.limits.power_slot[i]]
    if made.limits.limit_slot[i] >= 0:
        shown_w = made.inputs.value[made.limits.limit_slot[i]]
        seen_w = shown_w if made.inputs.free_ns[i] else max(seen_w, shown_w)
    return 0.0 if seen_w <= 0.0 else min(max(seen_w, made.limits.min_w[i]), made.limits.max_w[i])


def lacks_flow(made: World, loop: int) -> bool:
    """Whether a loop is known to carry less than its least flow."""
    slot = made.limits.flow_slot[loop]
    fresh = made.inputs.quality[slot] == codes.GOOD and made.now_ns - made.inputs.at_ns[slot] <= 10 * 10**9
    return fresh and made.inputs.value[slot] < made.limits.min_flow_lpm[loop]


def damp(made: World, loop: int) -> bool:
    """Whether a loop's supply is known to be less than its margin above the dew point."""
    slot = made.limits.dew_slot[loop]
    fresh = made.inputs.quality[slot] == codes.GOOD and made.now_ns - made.inputs.at_ns[slot] <= 10 * 10**9
    return fresh and made.inputs.value[made.limits.supply_slot[loop]] < made.inputs.value[slot] + 2.0


def play(random: Random) -> int:
    """Some ticks of one world, every one checked; how many raises passed."""
    made = made_of(random)
    limits, site, racks = made.limits, made.limits.site, range(made.limits.site.racks)
    raises = 0
    for _ in range(TICKS):
        disturb(random, made)
        last_w, knew = made.watch.last_w[: site.racks], made.watch.known[: site.racks]
        up = made.inputs.command.envelope == codes.DISPATCHED and made.inputs.command.verb != codes.STAND
        up = up and made.now_ns < made.inputs.command.expires_ns
        rate = site.dispatched_up if up else site.normal_up
        since_s = min(1.0, (made.now_ns - made.watch.last_ns) * 1e-9) if made.watch.last_ns else 0.0
        most_w = max(rate, 0.1 * site.dispatched_up, site.jump_w)
        budget_w = min(made.watch.rise_w + 1.25 * rate * since_s, 1.25 * most_w)
        wanted_w = asked(random, made)
        out_w = made.guard(*wanted_w)
        meter_ns = made.now_ns - made.inputs.at_ns[site.power_slot]
        meter_good = made.inputs.quality[site.power_slot] == codes.GOOD and meter_ns <= 2 * 10**9
        risen = set()
        for i in racks:
            assert math.isfinite(out_w[i])
            # A level, or where it was found at first sight.
            found = out_w[i] == last_w[i] or not knew[i]
            assert out_w[i] == 0.0 or limits.min_w[i] <= out_w[i] <= limits.max_w[i] or found
            assert out_w[i] <= limits.max_w[i]
            if not made.watch.known[i]:
                assert out_w[i] == 0.0
                continue
            if not knew[i] or out_w[i] <= last_w[i]:
                continue
            risen.add(i)
            raises += 1
            assert out_w[i] == wanted_w[i]
            slot, supply = limits.power_slot[i], limits.supply_slot[limits.loop[i]]
            assert meter_good
            assert made.inputs.quality[slot] == made.inputs.quality[supply] == codes.GOOD
            assert made.now_ns - made.inputs.at_ns[slot] <= 5 * 10**9
            assert made.now_ns - made.inputs.at_ns[supply] <= 10 * 10**9
            assert made.inputs.value[supply] < limits.warn_c[limits.loop[i]]
            assert not lacks_flow(made, limits.loop[i])
            assert not damp(made, limits.loop[i])
        change_w = sum(out_w[i] - (last_w[i] if knew[i] else found_w(made, i)) for i in racks if made.watch.known[i])
        assert change_w <= max(0.0, budget_w) + 1e-6
        for v in range(site.nodes):
            below = [i for i in racks if v <= limits.node[i] < limits.node_end[v]]
            if risen & set(below):
                sum_w = made.watch.taken_w[v] + sum(worst_w(made, i, last_w[i], out_w[i]) for i in below)
                assert sum_w <= limits.node_w[v] * (1 + 1e-9) + 1e-3
        made.now_s += random.choice([0.05, 0.05, 0.05, 0.5, 3.0])
    return raises


@pytest.mark.parametrize("seed", range(20 * SEEDS))
def test_what_always_holds(seed: int) -> None:
    random = Random(f"guard {seed}")
    # Not vacuous: in ten worlds of a seed some raises pass.
    assert sum(play(random) for _ in range(10)) >= 4


@pytest.mark.parametrize("seed", range(20 * SEEDS))
def test_a_minute_of_raises_stays_within_its_envelope(seed: int) -> None:
    random = Random(f"minute {seed}")
    made = made_of(random)
    site = made.limits.site
    for v in range(site.nodes):
        made.limits.node_w[v] = 1e12
    for i in range(site.racks):
        made.rack(i, 0.0, 0.0)
    made.guard(*[0.0] * site.racks)
    up = random.choice([codes.NORMAL, codes.DISPATCHED])
    made.command(codes.TRACK, envelope=up, lease_s=900.0)
    rate = site.dispatched_up if up == codes.DISPATCHED else site.normal_up
    sums, times = [0.0], [made.now_s]
    for _ in range(300):
        made.now_s += random.uniform(0.01, 0.3)
        made.refresh()
        levels = [
            random.uniform(0.0, 1.0) * made.limits.max_w[i] if random.random() < 0.3 else made.watch.last_w[i]
            for i in range(site.racks)
        ]
        sums.append(sum(made.guard(*[0.0 if w < made.limits.min_w[i] else w for i, w in enumerate(levels)])))
        times.append(made.now_s)
    burst_w = 1.25 * max(rate, 0.1 * site.dispatched_up, site.jump_w)
    for k, (a_w, a_s) in enumerate(zip(sums, times, strict=True)):
        for b_w, b_s in zip(sums[k:], times[k:], strict=True):
            assert b_w - a_w <= burst_w + 1.25 * rate * (b_s - a_s) + 1e-3
