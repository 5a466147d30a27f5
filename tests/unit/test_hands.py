"""Racks in hand, as actuation writes them: one rack on a clock of its own; times in s, powers in kW."""

from __future__ import annotations

import math

import pytest

from rampd.daemon import actuate
from rampd.ext import codes
from tests.delivering import REFRESH_S, Bench


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(actuate, "time", made)
    made.pulse(80)
    await made.answer()
    await made.look_until(1.0, reads_kw=80)
    return made


async def test_what_the_operator_asks_is_written_and_what_the_core_wants_is_not(bench: Bench) -> None:
    bench.actuation.take(0, 50e3)
    assert bench.state == codes.MANUAL
    await bench.look_until(1.0, reads_kw=50)
    bench.pulse(70)
    await bench.look_until(1.0, reads_kw=50)
    assert bench.asked == [80, 50]


async def test_its_dead_man_is_kept_off(bench: Bench) -> None:
    bench.actuation.take(0, 50e3)
    await bench.look_until(2.5 * REFRESH_S, reads_kw=50)
    assert bench.asked == [80, 50, 50, 50]
    assert bench.actuation.overdue == 0


async def test_hands_off_means_that_nothing_is_written(bench: Bench) -> None:
    bench.actuation.take(0, math.nan)
    assert bench.state == codes.MANUAL
    bench.rack.armed = False
    bench.pulse(60)
    for reads_kw in (80, 0, 109):
        await bench.look_until(2 * REFRESH_S, reads_kw=reads_kw)
    assert bench.asked == [80]
    assert bench.rack.programs == 0
    assert bench.actuation.overdue == 0
    assert bench.state == codes.MANUAL


async def test_given_back_it_gets_what_the_core_wants(bench: Bench) -> None:
    bench.actuation.take(0, 50e3)
    await bench.look_until(1.0, reads_kw=50)
    bench.actuation.give_back(0)
    assert bench.state == codes.AVAILABLE
    bench.pulse(50)
    await bench.look_until(1.0, reads_kw=50)
    bench.pulse(55)
    await bench.look_until(1.0, reads_kw=55)
    assert bench.asked == [80, 50, 50, 55]


async def test_a_rack_that_fails_in_hand_stays_in_hand(bench: Bench) -> None:
    bench.actuation.take(0, 50e3)
    bench.actuation.blame(0, "refused", "writes are not accepted")
    assert bench.state == codes.MANUAL
    bench.actuation.give_back(0)
    assert bench.state == codes.UNRESPONSIVE


@pytest.mark.parametrize("barred", [False, True])
async def test_what_is_never_written_cannot_be_set(bench: Bench, barred: bool) -> None:
    bench.target.barred = barred
    assert bench.actuation.writable(0) is not barred
