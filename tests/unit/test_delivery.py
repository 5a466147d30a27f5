"""What becomes of a limit beyond its read-back: budgets, other writers, and whether the power obeys; times in s, kW."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from random import Random

import pytest

from rampd.daemon import actuate
from rampd.daemon.delivery import Target
from rampd.drivers.racks import Foreign
from rampd.ext import codes
from tests.delivering import Bench, Rack, S


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(actuate, "time", made)
    return made


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


async def test_a_burst_of_two_and_then_two_a_second(bench: Bench) -> None:
    """The write budget: 20 new set points a second, no more than two of them a second reach the rack."""
    for k in range(100):
        bench.pulse(100 - 0.1 * k)
        if bench.rack.open is not None:
            await bench.answer()
        bench.now_s += 0.05
    assert 10 <= len(bench.asked) <= 13
    await bench.look_until(1.0)
    assert bench.asked[-1] == 90.1, "and the last one does"


# A rack that takes one write in ten seconds, two at once; it has spent one of the two on its first limit.
RAMPS = {
    # set points from 100 kW on, one every 0.1 s -> what it is asked, with the time since the first in s
    "a jump":                  ([60.0], [(60.0, 0.3)]),
    "a ramp that ends soon":   ([90.0, 80.0, 70.0, 60.0], [(60.0, 0.6)]),
    "to nothing, at once":     ([50.0, 0.0], [(0.0, 0.1)]),
    "a long ramp":             ([100.0 - k for k in range(1, 41)], [(89.0, 1.0), (60.0, 10.0)]),
}  # fmt: skip


@pytest.mark.parametrize("row", RAMPS.values(), ids=RAMPS.keys())
async def test_the_last_write_for_long_waits_until_the_set_point_rests(
    bench: Bench, row: tuple[list[float], list[tuple[float, float]]]
) -> None:
    set_points_kw, expected = row
    bench.target.writes_per_s, bench.rack.dead_man = 0.1, None
    bench.pulse(100)
    await bench.answer()
    bench.now_s += 0.1
    begun_s, found = bench.now_s, []
    for k in range(120):
        bench.reads(bench.asked[-1])
        bench.pulse(set_points_kw[min(k, len(set_points_kw) - 1)])
        bench.actuation.check(bench.monotonic_ns())
        if bench.rack.open is not None:
            found.append((bench.asked[-1], round(bench.now_s - begun_s, 1)))
            await bench.answer()
        bench.now_s += 0.1
    assert [kw for kw, _ in found] == [kw for kw, _ in expected]
    assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=0.25)


async def test_a_limit_in_a_memory_that_wears_is_never_written(bench: Bench) -> None:
    bench.target.barred = True
    bench.actuation.tell(0)
    assert bench.state == codes.MANUAL
    bench.rack.armed = False
    bench.pulse(80)
    await bench.look_until(20.0, reads_kw=109)
    assert bench.asked == []
    assert bench.rack.programs == 0


async def lowered(bench: Bench, foreign: Foreign) -> None:
    """A rack that latched 80 kW."""
    bench.target.foreign = foreign
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(0.2, reads_kw=80)


@pytest.mark.parametrize("foreign", ["hold", "yield"])
async def test_a_rack_is_left_to_another_writer(bench: Bench, foreign: Foreign) -> None:
    await lowered(bench, foreign)
    await bench.look_until(2.0, reads_kw=60)
    bench.pulse(70)
    await bench.look_until(2.0, reads_kw=60)
    assert bench.asked == [80], "nothing is written against them"
    assert bench.state == codes.MANUAL
    await bench.look_until(0.2, reads_kw=80)
    assert bench.state == codes.AVAILABLE, "they gave it back"


@pytest.mark.parametrize(("foreign", "state"), [("hold", codes.MANUAL), ("yield", codes.AVAILABLE)])
async def test_after_a_long_quiet_a_rack_that_yields_is_ours_again(bench: Bench, foreign: Foreign, state: int) -> None:
    await lowered(bench, foreign)
    await bench.look_until(1.0, reads_kw=60)
    bench.now_s += 590
    await bench.look_until(0.2, reads_kw=61)
    bench.now_s += 590
    await bench.look_until(0.2, reads_kw=61)
    assert bench.state == codes.MANUAL, "they wrote ten minutes ago"
    bench.now_s += 20
    await bench.look_until(0.2, reads_kw=61)
    assert bench.state == state


@pytest.mark.parametrize("foreign", ["retake", "hold", "yield"])
async def test_what_a_restart_left_is_always_taken_back(bench: Bench, foreign: Foreign) -> None:
    await lowered(bench, foreign)
    await bench.look_until(0.2, reads_kw=109)
    assert bench.asked == [80, 80]
    assert bench.state == codes.AVAILABLE


# Limits in kW accepted at (s), the power read at (s), and whether that obeys when a limit has 2 s to act.
OBEDIENCE = [
    ("at its limit", [(0, 80)], [(3, 80.0)] * 3, True),
    ("within what a rack may draw above", [(0, 80)], [(3, 84.9)] * 3, True),
    ("one reading is none", [(0, 80)], [(3, 109.0), (3.5, 109.0)], True),
    ("three over a second are", [(0, 80)], [(3, 109.0), (3.5, 109.0), (4, 109.0)], False),
    ("three within a moment are not", [(0, 80)], [(3, 109.0), (3.1, 109.0), (3.2, 109.0)], True),
    ("the same reading thrice is one", [(0, 80)], [(3, 109.0)] * 5, True),
    ("it has its time", [(0, 80)], [(1, 109.0), (1.5, 109.0), (1.9, 109.0)], None),
    ("the limit before still holds", [(0, 100), (5, 40)], [(6, 95.0), (6.3, 95.0), (6.9, 95.0)], True),
    ("and then no more", [(0, 100), (5, 40)], [(7.1, 95.0), (7.6, 95.0), (8.2, 95.0)], False),
    ("raised since", [(0, 40), (5, 100)], [(5.1, 99.0), (5.2, 99.0), (5.3, 99.0)], True),
    ("in a ramp, late by less", [(k, 100 - 10 * k) for k in range(6)], [(5, 74.0), (5.1, 74.0), (5.2, 74.0)], True),
    ("in a ramp, not at all", [(k, 100 - 10 * k) for k in range(6)], [(5, 99.0), (5.5, 99.0), (6.1, 99.0)], False),
    ("draws less than it may", [(0, 80)], [(3, 10.0)] * 3, True),
]


@pytest.mark.parametrize(("what", "limits", "readings", "obeys"), OBEDIENCE, ids=[row[0] for row in OBEDIENCE])
def test_power_obeys(
    what: str, limits: list[tuple[float, float]], readings: list[tuple[float, float]], obeys: bool | None
) -> None:
    driver = Rack()
    target = Target("rack", driver, 0, S, S, wait_ns=2 * S, effect_w=5e3, max_w=110e3)
    for at_s, limit_kw in limits:
        driver.expected_w = limit_kw * 1e3
        target.accepted(S + round(at_s * S))
    found: bool | None = None
    for at_s, power_kw in readings:
        said = target.obeys(S + round(at_s * S), power_kw * 1e3)
        found = found if said is None else said
    assert found is obeys, what


def limited(limits: list[tuple[float, float]], fall_kw_per_s: float = 100.0, wait_s: float = 2.0) -> Target:
    """A rack of 110 kW that was given these limits in kW at these times in s; 5 kW above them it may draw."""
    driver = Rack()
    target = Target(
        "rack", driver, 0, S, S, wait_ns=round(wait_s * S), fall_w_per_s=fall_kw_per_s * 1e3, effect_w=5e3,
        max_w=110e3,
    )  # fmt: skip
    for at_s, limit_kw in limits:
        driver.expected_w = limit_kw * 1e3
        target.accepted(S + round(at_s * S))
    return target


@pytest.mark.parametrize("after_s", [0.0, 1.0, 2.0, 3.0, 6.0, 8.5, 9.0, 20.0])
@pytest.mark.parametrize(("over_kw", "obeys"), [(-0.01, True), (0.01, False)])
def test_one_that_falls_slowly_has_its_time_and_no_more(after_s: float, over_kw: float, obeys: bool) -> None:
    """By 10 kW/s, two seconds after its limit went from 110 to 40 kW; three readings in a row count."""
    target = limited([(-50.0, 110.0), (0.0, 40.0)], fall_kw_per_s=10.0)
    for late_s in (after_s, after_s + 0.5, after_s + 1.0):
        may_kw = max(40.0, 110.0 - 10.0 * max(0.0, late_s - 2.0)) + 5.0
        said = target.obeys(S + round(late_s * S), (may_kw + over_kw) * 1e3)
    assert said is obeys


def follows(random: Random, target: Target, dead_s: float, fall_kw_per_s: float, stuck_s: float) -> float | None:
    """A minute of a rack under random limits, which stops to follow at `stuck_s`; when it is called disobedient, s."""
    driver, step_s = target.driver, 0.02
    assert isinstance(driver, Rack)
    limits, drawn_kw, write_s, read_s = [(-99.0, 110.0)], 110.0, 0.0, 0.0
    for k in range(3000):
        now_s = k * step_s
        if now_s >= write_s:
            write_s = now_s + random.uniform(0.3, 8.0)
            limits.append(
                (now_s, random.choice([limits[-1][1] + random.uniform(-9.0, 9.0), random.uniform(0.0, 110.0)]))
            )
            driver.expected_w = 1e3 * min(110.0, max(0.0, limits[-1][1]))
            target.accepted(S + round(now_s * S))
        if now_s < stuck_s:
            acting_kw = next(kw for at_s, kw in reversed(limits) if at_s + dead_s <= now_s)
            drawn_kw = max(min(110.0, max(0.0, acting_kw)), drawn_kw - fall_kw_per_s * step_s)
        if now_s >= read_s:
            read_s = now_s + random.uniform(0.1, 0.6)
            if target.obeys(S + round(now_s * S), 1e3 * (drawn_kw + random.uniform(-4.9, 4.9))) is False:
                return now_s
    return None


@pytest.mark.parametrize("seed", range(40))
def test_one_that_follows_within_its_time_is_never_blamed(seed: int) -> None:
    random = Random(seed)
    dead_s, fall_kw_per_s = random.uniform(0.0, 1.98), random.uniform(10.0, 200.0)
    target = limited([], fall_kw_per_s=fall_kw_per_s)
    assert follows(random, target, dead_s, fall_kw_per_s * random.uniform(1.0, 3.0), math.inf) is None
    # The same rack, once it is stuck, is: so the row above can fail.
    assert follows(Random(seed), limited([], fall_kw_per_s=fall_kw_per_s), dead_s, fall_kw_per_s, 0.0) is not None


def test_in_a_ramp_of_five_seconds_a_rack_that_draws_on_is_noticed_in_less_than_its_length() -> None:
    """As a GPU rack of the examples: it falls by 147 kW/s at least, and has 2.8 s until that shows."""
    target = limited([(-50.0, 110.0), *((0.5 * k, 110.0 - 7.0 * k) for k in range(1, 11))], 147.0, wait_s=2.8)
    said = {k: target.obeys(S + round(0.5 * k * S), 110e3) for k in range(20)}
    assert min(k for k, obeys in said.items() if obeys is False) * 0.5 <= 5.0


async def test_a_rack_that_latches_and_does_not_obey_is_unresponsive_until_it_does(bench: Bench) -> None:
    target = bench.target
    target.power_slot, target.wait_ns, target.effect_w = 1, 2 * S, 5e3

    async def run(seconds: float, power_kw: float) -> None:
        for _ in range(round(seconds / 0.1)):
            bench.inputs.quality[1] = codes.GOOD
            bench.inputs.value[1] = power_kw * 1e3
            bench.inputs.at_ns[1] = bench.monotonic_ns()
            await bench.look_until(0.1, reads_kw=80)

    bench.pulse(80)
    await bench.answer()
    await run(2.0, 109)
    assert bench.state == codes.AVAILABLE, "it has its time"
    await run(1.5, 109)
    assert bench.state == codes.UNRESPONSIVE
    assert bench.actuation.stages["disobeyed"] == 1
    assert bench.actuation.stages["effective"] == 0
    await run(0.5, 79)
    assert bench.state == codes.AVAILABLE
    assert bench.actuation.stages["effective"] >= 1


async def test_a_limit_that_somebody_disabled_is_written_again(bench: Bench) -> None:
    await lowered(bench, "hold")
    bench.rack.enabled = True
    await bench.look_until(0.3, reads_kw=80)
    assert bench.asked == [80]
    bench.rack.enabled = False
    await bench.look_until(0.3, reads_kw=80)
    assert bench.asked == [80, 80], "80 kW stand there, but nothing holds the rack to them"


async def test_a_rack_that_comes_back_from_another_writer_has_its_time_to_latch(bench: Bench) -> None:
    bench.target.foreign = "yield"
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(0.5, reads_kw=80)
    await bench.look_until(0.5, reads_kw=60)
    assert bench.target.yielded_ns
    bench.now_s += 1.1 * actuate.YIELD_NS / S
    bench.reads(60)
    await bench.look_until(0.5)
    assert not bench.target.yielded_ns
    assert bench.asked[-1] == 80
    assert bench.actuation.stages["ignored"] == 0
    assert bench.target.responsive
    await bench.look_until(0.5, reads_kw=80)
    assert bench.target.latched
