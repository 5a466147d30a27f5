"""Delivery of set points to one rack, look by look: times in seconds, powers in kW."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from array import array
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from rampd.daemon import actuate
from rampd.daemon.actuate import Actuation
from rampd.daemon.delivery import Target
from rampd.drivers.racks import DeadMan, Foreign, Latch
from rampd.drivers.register import RegisterError
from rampd.ext import codes, views
from rampd.ext.image import Configuration, InputWall
from rampd.ext.units import ModbusError

S = 1_000_000_000
DEADLINE_S, VERIFY_S, REFRESH_S = 1.0, 2.0, 10.0


class Rack:
    """A driver that notes what it is told and answers when the test says so."""

    tolerance_w = 1.0

    def __init__(self) -> None:
        self.expected_w = 0.0
        self.enabled: bool | None = None
        self.dead_man: DeadMan | None = DeadMan(30, 0.0)
        self.asked: list[float] = []
        self.open: asyncio.Future[bytes | None] | None = None
        self.armed: bool | None = True
        self.programs = 0
        self.refuses: Exception | None = None

    def set_limit(self, limit_w: float) -> asyncio.Future[bytes | None]:
        if isinstance(self.refuses, RegisterError):
            raise self.refuses
        assert self.open is None, "one write at a time"
        self.asked.append(limit_w / 1e3)
        self.expected_w = limit_w
        self.open = asyncio.get_running_loop().create_future()
        return self.open

    def verdict(self) -> Latch | None:
        return None

    def in_force(self) -> bool | None:
        return self.enabled

    async def program(self) -> None:
        self.programs += 1
        if self.refuses is not None:
            raise self.refuses

    def programmed(self) -> bool | None:
        return self.armed


class Loop:
    """The control thread's snapshots, as actuation takes them."""

    def __init__(self) -> None:
        self.out = views.Outputs()
        self.limit_w: float | None = None

    def latch(self) -> int:
        return ctypes.addressof(self.out)

    def moved(self, last_w: array[float]) -> list[int]:
        if self.limit_w is None or last_w[0] == self.limit_w:
            return []
        last_w[0] = self.limit_w
        return [0]


class Bench:
    """One rack on a clock of its own; its read-back shows what `reads` says."""

    def __init__(self) -> None:
        self.now_s = 100.0
        configuration = Configuration(slots=2, racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2)
        self.wall = InputWall(configuration)
        self.inputs = views.inputs(self.wall)
        self.rack, self.loop = Rack(), Loop()
        self.tasks: list[asyncio.Task[None]] = []
        target = Target("rack", self.rack, 0, round(VERIFY_S * S), round(REFRESH_S * S), max_w=109e3)
        loop: Any = self.loop
        self.actuation = Actuation(loop, self.inputs, [target], round(DEADLINE_S * S), self.spawn)
        self.reads(109)

    def spawn(self, work: Coroutine[Any, Any, None]) -> object:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    def monotonic_ns(self) -> int:
        return round(self.now_s * S)

    @property
    def target(self) -> Target:
        return self.actuation.targets[0]

    @property
    def asked(self) -> list[float]:
        return self.rack.asked

    @property
    def state(self) -> int:
        return self.inputs.rack_state[0]

    def reads(self, limit_kw: float | None) -> None:
        """A fresh read-back now; None is an answer without a value."""
        self.inputs.quality[0] = codes.GOOD if limit_kw is not None else codes.SENTINEL
        self.inputs.value[0] = (limit_kw or 0.0) * 1e3
        self.inputs.at_ns[0] = self.monotonic_ns()

    def pulse(self, limit_kw: float | None = None, *, age_s: float = 0.0, fault: int = 0) -> None:
        """A tick of the loop, with a new set point."""
        if limit_kw is not None:
            self.loop.limit_w = limit_kw * 1e3
        self.loop.out.at_ns = self.monotonic_ns() - round(age_s * S)
        self.loop.out.fault = fault
        self.actuation.pulse(self.monotonic_ns())

    async def answer(self, error: Exception | None = None) -> None:
        """The device's answer to the write under way."""
        assert self.rack.open is not None, "no write is under way"
        future, self.rack.open = self.rack.open, None
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)
        await asyncio.sleep(0)

    async def look(self, seconds: float = 0.1) -> None:
        """Time passes, with fresh ticks, and actuation looks after its rack."""
        self.now_s += seconds
        self.pulse()
        self.actuation.check(self.monotonic_ns())
        await asyncio.sleep(0)

    async def look_until(self, seconds: float, *, reads_kw: float | None = None) -> None:
        """Looks ten times a second, the read-back fresh at each; a write is accepted at once."""
        for _ in range(round(seconds / 0.1)):
            if reads_kw is not None:
                self.reads(reads_kw)
            await self.look()
            if self.rack.open is not None:
                await self.answer()


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(actuate, "time", made)
    return made


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


async def test_a_set_point_is_written_and_latched(bench: Bench) -> None:
    bench.pulse(80)
    assert bench.asked == [80]
    await bench.answer()
    assert not bench.target.latched
    bench.now_s += 0.3
    bench.reads(80)
    await bench.look()
    assert bench.target.latched
    stages = bench.actuation.stages
    assert (stages["sent"], stages["accepted"], stages["latched"], stages["failed"]) == (1, 1, 1, 0)


async def test_the_same_set_point_is_not_written_twice(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    for _ in range(5):
        bench.pulse(80)
    assert bench.asked == [80]


async def test_one_write_is_under_way_and_the_latest_wins(bench: Bench) -> None:
    bench.pulse(80)
    for limit_kw in (70, 60, 50):
        bench.pulse(limit_kw)
    assert bench.asked == [80]
    await bench.answer()
    assert bench.asked == [80, 50]
    await bench.answer()
    assert bench.asked == [80, 50]


@pytest.mark.parametrize(("age_s", "fault", "written"), [(0.9, 0, True), (1.1, 0, False), (0.0, 1, False)])
async def test_an_old_or_faulty_output_is_not_written(bench: Bench, age_s: float, fault: int, written: bool) -> None:
    bench.pulse(80, age_s=age_s, fault=fault)
    assert bench.asked == ([80] if written else [])
    assert (bench.actuation.pulse_ns > 0) == written, "and the watchdog sees it"


async def test_a_write_that_fails_is_tried_again_and_twice_is_unresponsive(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer(ModbusError("no answer"))
    assert bench.state == codes.AVAILABLE
    await bench.look(0.4)
    assert bench.asked == [80], "not before half a second"
    await bench.look(0.2)
    assert bench.asked == [80, 80]
    await bench.answer(ModbusError("no answer"))
    assert bench.state == codes.UNRESPONSIVE
    await bench.look(0.6)
    await bench.answer()
    bench.now_s += 0.2
    bench.reads(80)
    await bench.look()
    assert bench.state == codes.AVAILABLE, "it comes back by itself"
    assert bench.actuation.stages["failed"] == 2


async def test_while_it_fails_the_latest_is_tried(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer(ModbusError("no answer"))
    bench.pulse(40)
    assert bench.asked == [80]
    await bench.look(0.6)
    assert bench.asked == [80, 40]


async def test_a_cancelled_write_is_a_failed_one(bench: Bench) -> None:
    bench.pulse(80)
    assert bench.rack.open is not None
    bench.rack.open.cancel()
    bench.rack.open = None
    await asyncio.sleep(0)
    assert not bench.target.busy
    assert bench.actuation.stages["failed"] == 1


async def test_a_limit_that_does_not_fit_its_register_is_a_failed_write(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.rack.refuses = RegisterError("80000 does not fit")
    bench.pulse(80)
    assert not bench.target.busy
    assert bench.actuation.stages["failed"] == 1
    assert "does not fit" in caplog.text


async def test_a_limit_that_is_not_read_back_is_not_delivered(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(VERIFY_S - 0.3)
    assert bench.state == codes.AVAILABLE
    await bench.look_until(0.5)
    assert bench.state == codes.UNRESPONSIVE


async def test_a_rack_that_ignores_is_found_out_and_tried_on(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(VERIFY_S + 0.3, reads_kw=109)
    assert bench.state == codes.UNRESPONSIVE
    await bench.look_until(2.0, reads_kw=109)
    assert 3 <= bench.asked.count(80) <= 7, "about twice a second, not at every look"
    await bench.look_until(0.3, reads_kw=80)
    assert bench.state == codes.AVAILABLE


async def test_a_rack_that_ignores_is_found_out_in_the_middle_of_a_ramp(bench: Bench) -> None:
    """Each new set point begins the wait anew; what shows it is that nothing ever moves."""
    for k in range(9):
        bench.pulse(100 - 5 * k)
        if bench.rack.open is not None:
            await bench.answer()
        await bench.look_until(0.5, reads_kw=109)
    assert bench.state == codes.UNRESPONSIVE


async def test_a_rack_that_lags_is_not_taken_for_deaf(bench: Bench) -> None:
    shown = [109, 109, *(100 - 5 * k for k in range(10))]
    for k in range(10):
        bench.pulse(100 - 5 * k)
        if bench.rack.open is not None:
            await bench.answer()
        await bench.look_until(0.5, reads_kw=shown[k])
        assert bench.state == codes.AVAILABLE, k


async def test_what_ignored_counts_is_writes(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(6.0, reads_kw=109)
    assert 1 <= bench.actuation.stages["ignored"] <= bench.actuation.stages["sent"]


async def test_a_rack_that_is_gone_does_not_ignore(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    bench.now_s += 0.2
    bench.reads(80)
    await bench.look()
    bench.pulse(60)
    for _ in range(40):
        if bench.rack.open is not None:
            await bench.answer(ModbusError("no connection"))
        await bench.look()
    assert bench.state == codes.UNRESPONSIVE
    assert bench.actuation.stages["ignored"] == 0


@pytest.mark.parametrize("read_kw", [109, 60, 0, 80.002])
async def test_a_foreign_limit_is_taken_back(bench: Bench, read_kw: float, caplog: pytest.LogCaptureFixture) -> None:
    bench.pulse(80)
    await bench.answer()
    bench.now_s += 0.2
    bench.reads(80)
    await bench.look()
    bench.now_s += 0.2
    bench.reads(read_kw)
    await bench.look()
    assert bench.asked == [80, 80]
    assert "somebody else wrote it" in caplog.text
    await bench.answer()
    bench.now_s += 0.2
    bench.reads(80)
    await bench.look()
    assert bench.target.latched
    assert bench.actuation.stages["foreign"] == 1
    assert bench.state == codes.AVAILABLE


@pytest.mark.parametrize("read_kw", [80.0, 80.001, 79.999])
async def test_the_resolution_of_the_register_is_no_foreign_limit(bench: Bench, read_kw: float) -> None:
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(3.0, reads_kw=read_kw)
    assert bench.asked == [80]
    assert bench.actuation.stages["foreign"] == 0


async def test_a_read_back_from_before_the_write_says_nothing(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    bench.now_s += 0.2
    bench.reads(80)
    await bench.look()
    bench.reads(80)
    bench.now_s += 0.1
    bench.pulse(60)
    await bench.answer()
    bench.inputs.at_ns[0] = bench.monotonic_ns() - S // 20
    await bench.look()
    assert not bench.target.latched
    assert bench.actuation.stages["foreign"] == 0


async def test_every_limit_is_written_again_in_time(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(2.2 * REFRESH_S, reads_kw=80)
    assert bench.asked == [80, 80, 80]
    assert bench.actuation.stages["refreshed"] == 2


async def test_without_fresh_ticks_nothing_is_refreshed(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer()
    bench.now_s += 3 * REFRESH_S
    bench.reads(80)
    bench.actuation.check(bench.monotonic_ns())
    assert bench.asked == [80], "the dead-man is for just this"


async def test_a_dead_man_that_does_not_read_back_is_programmed_with_a_pause(bench: Bench) -> None:
    bench.rack.armed = None
    await bench.look_until(1.0)
    assert bench.rack.programs == 0, "not known yet"
    bench.rack.armed = False
    await bench.look_until(1.0)
    assert bench.rack.programs == 1
    await bench.look_until(4.0)
    assert bench.rack.programs == 3, "every two seconds"
    assert bench.actuation.unarmed() == ["rack"]
    bench.rack.armed = True
    await bench.look_until(4.0)
    assert bench.rack.programs == 3
    assert bench.actuation.unarmed() == []
    assert bench.actuation.stages["programmed"] == 3


async def test_a_dead_man_that_cannot_be_programmed_is_tried_on(bench: Bench) -> None:
    bench.rack.armed, bench.rack.refuses = False, ModbusError("no answer")
    await bench.look_until(4.5)
    assert bench.rack.programs == 3
    assert bench.actuation.stages["programmed"] == 0
    assert all(task.exception() is None for task in bench.tasks)


async def test_a_rack_without_a_dead_man_is_named(bench: Bench) -> None:
    bench.rack.dead_man = None
    assert bench.actuation.unarmed() == ["rack"]


async def test_what_waits_too_long_is_overdue(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer(ModbusError("no answer"))
    bench.pulse(60)
    assert bench.actuation.overdue == 0
    bench.now_s += 2 * DEADLINE_S + 0.6
    assert bench.actuation.overdue == 1, "its budget gave it half a second more"
    bench.target.faults.add("refused")
    assert bench.actuation.overdue == 0, "a dead rack is not the daemon's fault"


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
    target = Target("rack", driver, 0, S, S, effect_ns=2 * S, effect_w=5e3)
    for at_s, limit_kw in limits:
        driver.expected_w = limit_kw * 1e3
        target.accepted(S + round(at_s * S))
    found: bool | None = None
    for at_s, power_kw in readings:
        said = target.obeys(S + round(at_s * S), power_kw * 1e3)
        found = found if said is None else said
    assert found is obeys, what


async def test_a_rack_that_latches_and_does_not_obey_is_unresponsive_until_it_does(bench: Bench) -> None:
    target = bench.target
    target.power_slot, target.effect_ns, target.effect_w = 1, 2 * S, 5e3

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
