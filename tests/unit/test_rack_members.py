"""One rack out of members: what its readings show, what a limit does, and what members that fail cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from rampd.drivers import rack_members
from rampd.drivers.members import Ability, DeviceError
from rampd.drivers.racks import Foreign, Latch
from rampd.ext import codes
from tests.field import until
from tests.members import LIMIT, POWER, Bench, Miner


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench([Miner(k) for k in range(12)]) as made:
        await until(lambda: made.rack.members_up == 12)
        yield made


async def test_the_rack_shows_the_sums(bench: Bench) -> None:
    await until(lambda: bench.shows(12 * 2940, 36000))


async def test_a_limit_is_split_and_reads_back(bench: Bench) -> None:
    await bench.rack.set_limit(20000)
    assert bench.rack.expected_w == 18000, "six whole miners"
    assert sum(member.limit_w for member in bench.members) == 18000
    await until(lambda: bench.shows(6 * 2940, 18000))
    await bench.rack.set_limit(36000)
    await until(lambda: bench.shows(12 * 2940, 36000))
    assert all(len(member.writes) <= 2 for member in bench.members), "only who had to change"


async def test_a_member_that_was_restarted_gets_its_limit_again(bench: Bench) -> None:
    await bench.rack.set_limit(0)
    await until(lambda: bench.shows(0, 0))
    bench.members[3].limit_w = 3000
    await until(lambda: bench.shows(2940, 3000))
    await bench.rack.set_limit(0)
    await until(lambda: bench.shows(0, 0))
    assert [len(member.writes) for member in bench.members] == [1, 1, 1, 2, *[1] * 8]


async def test_others_make_up_for_one_that_refuses(bench: Bench) -> None:
    bench.members[0].refuses = DeviceError("busy", refused=True)
    await bench.rack.set_limit(18000)
    assert bench.members[0].limit_w == 3000
    assert sum(member.limit_w for member in bench.members) == 18000


async def test_what_nobody_can_make_up_for_is_said(bench: Bench) -> None:
    for member in bench.members[:4]:
        member.refuses = DeviceError("locked by its owner", refused=True)
    with pytest.raises(DeviceError, match="4 of 12 members did not take their limit; m0: locked by its owner"):
        await bench.rack.set_limit(6000)
    assert sum(member.limit_w for member in bench.members) == 12000, "the others gave what they have"


async def test_a_silent_member_counts_with_the_most_it_may_draw(bench: Bench) -> None:
    await bench.rack.set_limit(18000)
    await until(lambda: bench.shows(6 * 2940, 18000))
    gone = next(member for member in bench.members if member.limit_w)
    gone.hangs = True
    await until(lambda: bench.rack.members_up == 11)
    await until(lambda: bench.shows(5 * 2940 + 3000, 18000))
    await bench.rack.set_limit(9000)
    assert sum(member.limit_w for member in bench.members if member is not gone) == 6000
    gone.hangs = False
    await until(lambda: bench.rack.members_up == 12)
    await bench.rack.set_limit(9000)
    await until(lambda: bench.shows(3 * 2940, 9000))


async def test_a_member_that_misses_a_reading_does_not_make_the_others_old(bench: Bench) -> None:
    gone = bench.rack.posts[5]
    bench.members[5].hangs = True
    await until(lambda: gone.misses == 1)
    at_ns = gone.at_ns
    await until(lambda: bench.age_ns() > at_ns or not gone.up)
    assert gone.up, "the rack's sum went on before the member was given up"
    await until(lambda: bench.shows(11 * 2940 + 3000, 36000))


async def test_a_sleeping_member_that_falls_silent_may_come_back_in_full(bench: Bench) -> None:
    """A restart ends its sleep while nobody sees it: from the moment it is silent, the others leave room for it."""
    await bench.rack.set_limit(18000)
    await until(lambda: bench.rack.verdict() is Latch.LATCHED)
    gone = next(member for member in bench.members if not member.limit_w)
    gone.hangs = True
    await until(lambda: bench.rack.members_up == 11)
    await until(lambda: bench.rack.verdict() is Latch.FOREIGN)
    await bench.rack.set_limit(18000)
    gone.limit_w = 3000
    assert sum(member.limit_w for member in bench.members) <= 18000


async def test_with_too_many_out_of_sight_the_readings_grow_old(bench: Bench) -> None:
    for member in bench.members[:2]:
        member.fails = DeviceError("connection refused")
    await until(lambda: bench.rack.members_up == 10)
    seen_ns = bench.age_ns()
    reads = bench.members[5].reads
    await until(lambda: bench.members[5].reads > reads + 5)
    assert bench.age_ns() == seen_ns
    bench.members[0].fails = None
    await until(lambda: bench.age_ns() > seen_ns)


async def test_a_member_that_accepts_and_ignores_is_left_out(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.members[0].deaf = True
    await bench.rack.set_limit(0)
    await until(lambda: bench.shows(2940, 3000))
    for _ in range(3):
        await bench.rack.set_limit(0)
        reads = bench.members[0].reads
        await until(lambda: bench.members[0].reads > reads + 1)  # noqa: B023 awaited at once
    assert "accepted 0 W and shows 3000 W again and again; going on without it" in caplog.text
    writes = len(bench.members[0].writes)
    await bench.rack.set_limit(9000)
    assert len(bench.members[0].writes) == writes
    await until(lambda: bench.shows(3 * 2940, 9000))


async def test_minimum_times_hold_until_a_limit_breaks(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench([Miner(k) for k in range(4)], min_on_s=60, min_off_s=60) as bench:
        await until(lambda: bench.rack.members_up == 4)
        await bench.rack.set_limit(6000)
        asleep = [member for member in bench.members if member.limit_w == 0]
        assert len(asleep) == 2
        await bench.rack.set_limit(12000)
        assert all(member.limit_w == 0 for member in asleep), "they fell asleep a moment ago"
        await bench.rack.set_limit(0)
        assert all(member.limit_w == 0 for member in bench.members), "a limit wins"


async def test_members_that_tell_no_power(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench([Miner(k, tells_power=False) for k in range(3)]) as bench:
        await until(lambda: bench.inputs.quality[LIMIT] == codes.GOOD)
        assert bench.inputs.quality[POWER] == codes.SENTINEL, "no power is not zero power"
        assert bench.inputs.value[LIMIT] == 9000


async def test_a_write_goes_before_a_read(bench: Bench) -> None:
    """A member that is slow to read takes its limit at once."""
    member = bench.members[0]
    member.hangs = True
    await until(lambda: member.under_way == 1)
    member.hangs = False
    await asyncio.wait_for(bench.rack.set_limit(0), 0.15)
    assert member.limit_w == 0


async def test_who_is_written_all_the_time_is_read_now_and_then(bench: Bench) -> None:
    member = bench.members[0]
    member.slow_s = 0.05
    reads = member.reads
    for k in range(12):
        await bench.rack.set_limit(33000 if k % 2 else 36000)
        # The next write comes while it is read.
        await until(lambda: member.under_way == 1)
    assert member.reads >= reads + 3


async def test_a_rack_that_does_not_run_says_so() -> None:
    bench = Bench([Miner(0)])
    with pytest.raises(DeviceError, match="not started"):
        await bench.rack.set_limit(0)


async def test_one_line_a_change_not_one_a_try(caplog: pytest.LogCaptureFixture) -> None:
    member = Miner(0)
    member.fails = DeviceError("connection refused: is it powered?")
    with caplog.at_level(logging.WARNING):
        async with Bench([member]) as bench:
            await until(lambda: bench.rack.counts["open_failed"] >= 3)
    assert caplog.text.count("connection refused") == 1


async def test_what_was_accepted_has_latched_once_every_changed_member_was_read(bench: Bench) -> None:
    for member in bench.members:
        member.hangs = True
    bench.members[0].hangs = False
    await bench.rack.set_limit(33000)
    assert bench.rack.verdict() is Latch.WAITING
    for member in bench.members:
        member.hangs = False
    await until(lambda: bench.rack.verdict() is Latch.LATCHED)
    next(member for member in bench.members if member.limit_w == 0).limit_w = 3000
    await until(lambda: bench.rack.verdict() is Latch.FOREIGN)
    await bench.rack.set_limit(33000)
    await until(lambda: bench.rack.verdict() is Latch.LATCHED)


GPU = Ability(1000.0, 10000.0, 1.0)


@pytest.mark.parametrize(("foreign", "left"), [("retake", False), ("hold", True), ("yield", True)])
async def test_a_member_that_somebody_else_set_is_theirs_by_policy(foreign: Foreign, left: bool) -> None:
    members = [Miner(k) for k in range(3)]
    for member in members:
        member.ability, member.limit_w = GPU, 10000.0
    async with Bench(members, foreign) as bench:
        await until(lambda: bench.rack.members_up == 3)
        await bench.rack.set_limit(15000)
        await until(lambda: bench.rack.verdict() is Latch.LATCHED)
        members[0].limit_w = 7000
        await until(lambda: bench.shows(0.98 * 17000, 17000))
        await bench.rack.set_limit(15000)
        assert [member.limit_w for member in members] == ([7000, 4000, 4000] if left else [5000, 5000, 5000])
        members[0].limit_w = 10000
        await until(lambda: bench.inputs.value[LIMIT] > 15000)
        members[0].limit_w = 5000
        await until(lambda: bench.rack.counts["read"] and not bench.rack.posts[0].left_ns)
        await bench.rack.set_limit(15000)
        assert [member.limit_w for member in members] == [5000, 5000, 5000], "ours again once it showed ours"


async def test_a_member_is_not_closed_while_it_is_written(bench: Bench) -> None:
    member = bench.members[-1]
    member.fails_reading = DeviceError("busy")
    member.slow_s = 0.15
    await until(lambda: bench.rack.counts["read_failed"] == 2)
    await bench.rack.set_limit(0)
    await until(lambda: member.closed)
    assert member.writes == [0.0]
    assert not member.closed_under_way


async def test_a_member_that_does_not_close_does_not_make_an_error_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rack_members, "CLOSE_S", 0.05, raising=False)
    member = Miner(0)
    member.hangs_closing = True
    bench = Bench([member])
    task = asyncio.create_task(bench.rack.run())
    await until(lambda: bench.rack.members_up == 1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_member_that_goes_on_ignoring_is_left_out_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets another chance after a while, and no more than that."""
    monkeypatch.setattr(rack_members, "STUBBORN_S", 0.5)
    member, post = bench.members[0], bench.rack.posts[0]
    member.deaf = True
    await bench.rack.set_limit(0)
    await until(lambda: post.doubts >= 3)
    await until(lambda: bench.rack._free(post, set()))
    await bench.rack.set_limit(0)
    assert len(member.writes) == 2, "the other chance"
    await until(lambda: post.doubts >= 3)
    await bench.rack.set_limit(9000)
    assert len(member.writes) == 2
    await until(lambda: bench.shows(3 * 2940, 9000))
    assert caplog.text.count("going on without it") == 1


async def test_a_write_that_was_done_without_a_word_is_nobody_elses() -> None:
    members = [Miner(k) for k in range(3)]
    for member in members:
        member.ability, member.limit_w = GPU, 10000.0
    async with Bench(members, "hold") as bench:
        await until(lambda: bench.rack.members_up == 3)
        await bench.rack.set_limit(15000)
        await until(lambda: bench.rack.verdict() is Latch.LATCHED)
        members[0].mute = True
        with pytest.raises(DeviceError, match="no answer in time"):
            await bench.rack.set_limit(3000)
        members[0].mute = False
        await until(lambda: bench.shows(0.98 * 3000, 3000))
        assert not bench.rack.counts["foreign"]
        await bench.rack.set_limit(9000)
        assert [member.limit_w for member in members] == [3000, 3000, 3000]


async def test_a_write_that_failed_is_repeated_though_it_counts_as_done() -> None:
    """A member that tells no limit: whether it took its part is not known."""
    members = [Miner(k, tells_limit=False) for k in range(2)]
    async with Bench(members) as bench:
        await until(lambda: bench.rack.members_up == 2)
        await bench.rack.set_limit(0)
        members[0].refuses = members[1].refuses = DeviceError("busy", refused=True)
        await bench.rack.set_limit(6000)
        members[0].refuses = members[1].refuses = None
        await bench.rack.set_limit(6000)
        assert [member.limit_w for member in members] == [3000, 3000]


async def test_what_nobody_read_has_not_latched(bench: Bench) -> None:
    for member in bench.members:
        member.hangs_reading = True
    await bench.rack.set_limit(3000)
    await until(lambda: bench.rack.members_up == 0)
    assert bench.rack.verdict() is Latch.WAITING


async def test_more_than_was_asked_for_is_not_accepted(bench: Bench) -> None:
    """Members that cannot be set and draw more than the whole limit: the rack did not take it."""
    for member in bench.members[-4:]:
        member.deaf = True
    await bench.rack.set_limit(0)
    await until(lambda: all(post.doubts >= 3 for post in bench.rack.posts[-4:]))
    with pytest.raises(DeviceError, match="4 of 12 members cannot be set"):
        await bench.rack.set_limit(6000)
    await bench.rack.set_limit(15000)
    assert bench.rack.expected_w == 15000


async def test_many_readings_are_summed_up_once(bench: Bench) -> None:
    """A sum costs as much as a rack has members: one for each reading would be their square."""
    sums, reads, began_s = 0, bench.rack.counts["read"], time.monotonic()
    publish = bench.rack._publish

    def counted() -> None:
        nonlocal sums
        sums += 1
        publish()

    bench.rack._publish = counted  # type: ignore[method-assign]
    await until(lambda: bench.rack.counts["read"] > reads + 200)
    assert 1 <= sums <= (time.monotonic() - began_s) / rack_members.PUBLISH_S + 1
    await until(lambda: bench.shows(12 * 2940, 36000))


async def test_a_member_that_was_restarted_is_not_stubborn(bench: Bench) -> None:
    await bench.rack.set_limit(0)
    await until(lambda: all(post.latched for post in bench.rack.posts))
    bench.members[3].limit_w = 3000
    await until(lambda: bench.rack.counts["contradicted"] > 5)
    await bench.rack.set_limit(0)
    assert bench.members[3].limit_w == 0


async def test_a_member_that_falls_silent_is_missed_also_while_it_is_written_all_the_time(bench: Bench) -> None:
    """Each write ends the reading under way; a rack that is moved often must find out all the same."""
    bench.members[0].hangs = True

    async def move() -> None:
        for k in range(200):
            await asyncio.wait({bench.rack.set_limit(36000 - 3000 * (k % 2))})

    moving = asyncio.create_task(move())
    await until(lambda: bench.rack.members_up == 11, 5)
    moving.cancel()
    await asyncio.gather(moving, return_exceptions=True)


async def test_who_is_silent_does_not_hold_up_the_others() -> None:
    """A limit reaches those that answer before the deadlines of those that do not, which all have a read under way."""
    async with Bench([Miner(k) for k in range(12)], in_flight=4) as bench:
        await until(lambda: bench.rack.members_up == 12)
        silent, others = bench.members[:4], bench.members[4:]
        failed: list[int] = []

        def noted(take: Callable[[float], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
            async def take_and_note(limit_w: float) -> None:
                await take(limit_w)
                failed.append(bench.rack.counts["failed"])

            return take_and_note

        for member in others:
            member.set_limit = noted(member.set_limit)  # type: ignore[method-assign,assignment]
        for member in silent:
            member.hangs = True
        await until(lambda: all(post.misses == 1 for post in bench.rack.posts[:4]))
        # The silent have all turns to read; the others wait for one.
        await until(lambda: all(m.under_way for m in silent) and all(p.call.locked() for p in bench.rack.posts[4:]))
        limit = bench.rack.set_limit(0)
        await until(lambda: all(member.limit_w == 0 for member in others))
        assert failed == [0] * 8
        with pytest.raises(DeviceError, match="4 of 12 members did not take their limit"):
            await limit


async def test_who_fell_silent_gets_a_part_of_the_turns() -> None:
    async with Bench([Miner(k) for k in range(12)], in_flight=4, timeout_s=0.2) as bench:
        await until(lambda: bench.rack.members_up == 12)
        for member in bench.members[:6]:
            member.hangs = True
        await until(lambda: bench.rack.members_up == 6)
        failed, most = bench.rack.counts["open_failed"], 0

        def tried() -> bool:
            nonlocal most
            most = max(most, sum(member.under_way for member in bench.members[:6]))
            return bench.rack.counts["open_failed"] >= failed + 3

        await until(tried)
        assert most == 1
        for member in bench.members[:6]:
            member.hangs = False
        await until(lambda: bench.rack.members_up == 12)


async def test_a_member_that_was_left_is_set_again_after_a_long_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rack_members, "YIELD_S", 0.3)
    members = [Miner(k) for k in range(3)]
    for member in members:
        member.ability, member.limit_w = GPU, 10000.0
    async with Bench(members, "yield") as bench:
        post = bench.rack.posts[0]
        await until(lambda: bench.rack.members_up == 3)
        await bench.rack.set_limit(15000)
        await until(lambda: all(one.latched for one in bench.rack.posts))
        members[0].limit_w = 7000
        await until(lambda: post.left_ns)
        await bench.rack.set_limit(15000)
        await until(lambda: not post.left_ns)
        reads = members[0].reads
        await until(lambda: members[0].reads > reads + 5)
        await bench.rack.set_limit(15000)
        assert [member.limit_w for member in members] == [5000, 5000, 5000]


async def test_one_that_was_away_and_tells_no_limit_counts_in_full_until_it_is_set_again() -> None:
    """It may have been restarted, and what a restart leaves is no limit."""
    members = [Miner(k, tells_limit=False) for k in range(2)]
    async with Bench(members) as bench:
        await until(lambda: bench.rack.members_up == 2)
        await bench.rack.set_limit(0)
        members[0].fails = DeviceError("connection refused")
        await until(lambda: bench.rack.members_up == 1)
        members[0].limit_w, members[0].fails = 3000.0, None
        await until(lambda: bench.rack.members_up == 2)
        await until(lambda: bench.inputs.value[LIMIT] == 3000)
        assert bench.rack.verdict() is Latch.FOREIGN
        await bench.rack.set_limit(0)
        assert [member.limit_w for member in members] == [0, 0]
