"""Delivery of set points to one rack, look by look: times in seconds, powers in kW."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rampd.daemon import actuate
from rampd.drivers.register import RegisterError
from rampd.ext import codes
from rampd.ext.units import ModbusError
from tests.delivering import DEADLINE_S, REFRESH_S, VERIFY_S, Bench, S


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


async def test_a_rack_without_a_dead_man_is_named_and_its_writes_are_kept_for_changes(bench: Bench) -> None:
    bench.rack.dead_man = None
    assert bench.actuation.unarmed() == ["rack"]
    bench.pulse(80)
    await bench.answer()
    await bench.look_until(2.2 * REFRESH_S, reads_kw=80)
    assert bench.asked == [80]


async def test_what_waits_too_long_is_overdue(bench: Bench) -> None:
    bench.pulse(80)
    await bench.answer(ModbusError("no answer"))
    bench.pulse(60)
    assert bench.actuation.overdue == 0
    bench.now_s += 2 * DEADLINE_S + 0.6
    assert bench.actuation.overdue == 1, "its budget gave it half a second more"
    bench.target.faults.add("refused")
    assert bench.actuation.overdue == 0, "a dead rack is not the daemon's fault"


async def test_a_rack_that_is_locked_out_is_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.pulse(80)
    await bench.look_until(1.0, reads_kw=80)
    assert (bench.asked, bench.state) == ([80], codes.AVAILABLE)
    bench.rack.locked_out = True
    bench.rack.armed = False
    # Neither a set point nor the refresh for its dead-man goes out, and nothing that it shows counts against it.
    bench.pulse(60)
    for _ in range(2):
        await bench.look_until(REFRESH_S, reads_kw=20)
        bench.pulse(50)
    assert (bench.asked, bench.state, bench.rack.programs) == ([80, 60], codes.LOCKED, 0)
    assert bench.target.faults == set()
    assert bench.actuation.overdue == 0
    assert [text for text in caplog.messages if "locked" in text] == [
        "rack: locked out where it stands: it is not steered until that ends"
    ]


async def test_a_rack_that_is_no_longer_locked_out_gets_what_is_wanted_of_it(bench: Bench) -> None:
    """What somebody left there is no foreign limit, and what it did not take meanwhile no fault."""
    bench.target.foreign = "hold"
    bench.pulse(80)
    await bench.look_until(1.0, reads_kw=80)
    bench.pulse(60)
    await bench.answer(ModbusError("local", 4))
    bench.now_s += 1.0
    bench.pulse(60)
    await bench.look()
    await bench.answer(ModbusError("local", 4))
    assert bench.state == codes.UNRESPONSIVE
    bench.rack.locked_out = True
    await bench.look_until(5.0, reads_kw=20)
    assert bench.state == codes.LOCKED
    bench.rack.locked_out = False
    bench.actuation.check(bench.monotonic_ns())
    assert bench.state == codes.AVAILABLE
    asked = len(bench.asked)
    await bench.look_until(0.3, reads_kw=20)
    assert bench.asked[asked:] == [60]
    await bench.look_until(2.0, reads_kw=60)
    assert (bench.asked[asked:], bench.state, bench.target.yielded_ns) == ([60], codes.AVAILABLE, 0)


async def test_until_its_lockout_was_read_a_rack_is_locked_out(bench: Bench) -> None:
    bench.rack.locked_out = True
    loop: Any = bench.loop
    actuate.Actuation(loop, bench.inputs, [bench.target], S, bench.spawn)
    assert bench.state == codes.LOCKED


async def test_where_nothing_is_written_a_lockout_is_heeded_all_the_same(bench: Bench) -> None:
    bench.rack.locked_out = True
    loop: Any = bench.loop
    shadow = actuate.Actuation(loop, bench.inputs, [bench.target], S, bench.spawn)
    shadow.heed(bench.monotonic_ns())
    assert bench.state == codes.LOCKED
    bench.rack.locked_out = False
    shadow.heed(bench.monotonic_ns())
    assert bench.state == codes.AVAILABLE
    bench.rack.locked_out = True
    shadow.heed(bench.monotonic_ns())
    assert (bench.state, bench.asked) == (codes.LOCKED, [])
