"""One rack out of members: polls them staggered, splits the limit over them, and sees that each took its part.

A member that does not answer, or does not do what it accepted, counts with the most that it may draw; the others make
up for it. Where too much of a rack is unknown, the rack's readings are let grow stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rampd.drivers.members import Ability, DeviceError, Member, MemberMap, Reading
from rampd.drivers.racks import Foreign, Latch
from rampd.drivers.spread import Seat, spread
from rampd.ext import codes
from rampd.ext.views import Inputs

log = logging.getLogger("rampd.rack")

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
MISSES: Final = 2
STUBBORN: Final = 3
"""Readings in a row that contradict what a member accepted, until the rack goes on without it."""
STUBBORN_S: Final = 30.0
MOST_CUT: Final = 2
YIELD_S: Final = 600.0
"""How long another writer must have been quiet until a member that was left to them is ours again."""
UNKNOWN_RATIO: Final = 0.1
"""How much of a rack's rating may be out of sight, or beyond the limit, while what it says counts."""
CLOSE_S: Final = 1.5
PUBLISH_S: Final = 0.1
"""Readings of so long go into the image together: a sum is taken over all members."""


@dataclass(slots=True)
class Post:
    """One member as its rack sees it. W, CLOCK_MONOTONIC ns; NaN before the first."""

    member: Member
    ability: Ability
    up: bool = False
    misses: int = 0  # readings and writes in a row without a usable answer
    power_w: float = math.nan
    shown_w: float = math.nan  # the limit that it reads
    accepted_w: float = math.nan  # the limit that it accepted from us
    at_ns: int = 0
    accepted_ns: int = 0
    changed_s: float = 0.0
    doubts: int = 0
    stubborn_ns: int = 0  # since when it is left out, 0: it is not
    unsure: bool = False  # its last write failed, and may have been done all the same
    cut: int = 0  # readings in a row that a write cut short
    untold: bool = False  # it tells no power
    latched: bool = False  # it showed what it accepted
    left_ns: int = 0  # since when it is left to somebody else, 0: it is ours
    left_w: float = math.nan
    call: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: asyncio.Task[Reading | DeviceError | TimeoutError] | None = None

    @property
    def limit_w(self) -> float:
        """The limit that holds for it as far as is known: what it read after its last write, else what it accepted."""
        if self.at_ns > self.accepted_ns and not math.isnan(self.shown_w):
            return self.shown_w
        return self.accepted_w if not math.isnan(self.accepted_w) else self.ability.max_w

    @property
    def most_w(self) -> float:
        """The most it may draw: a member that is silent may have been restarted, and is limited by nothing."""
        return self.limit_w if self.up else self.ability.max_w


class MemberRack:
    """A rack of members as a `RackDriver`. `run` polls until cancelled; without it nothing is written either.

    Slots `power_w` and `limit_w` of the image get the members' sums, with the age of the oldest reading among them.
    """

    dead_man = None
    locked_out = False

    def __init__(
        self, name: str, members: Sequence[Member], device_map: MemberMap, inputs: Inputs, slots: dict[str, int],
        period_s: float, foreign: Foreign = "retake",
    ) -> None:  # fmt: skip
        about = device_map.capability
        ability = Ability(about.min_w, about.max_w, about.step_w, (), about.sleeps, about.asleep_w)
        self.id = name
        self.posts = [Post(member, ability) for member in members]
        self.counts: Counter[str] = Counter()
        self.tolerance_w = max(1.0 * len(members), 0.002 * about.max_w * len(members))
        self.expected_w = math.nan
        self._foreign = foreign
        self._map = device_map
        self._inputs = inputs
        self._slots = slots
        self._period_s = max(period_s, device_map.update_s)
        # Apart, so that reads of silent members do not hold up a write.
        self._reads = asyncio.Semaphore(device_map.in_flight)
        self._writes = asyncio.Semaphore(device_map.in_flight)
        # Of what may be under way, those that were silent get a part.
        self._retries = asyncio.Semaphore(max(1, device_map.in_flight // 4))
        self._group: asyncio.TaskGroup | None = None
        self._publishing: asyncio.TimerHandle | None = None
        self._random = random.Random(name)

    # Reading.

    async def run(self) -> None:
        """Keeps every member open and read until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for k, post in enumerate(self.posts):
                    group.create_task(self._keep(post, k / len(self.posts) * self._period_s))
        finally:
            self._group = None
            if self._publishing is not None:
                self._publishing.cancel()
            closing = [asyncio.create_task(post.member.close()) for post in self.posts]
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                task.cancel()

    async def _keep(self, post: Post, offset_s: float) -> None:
        """One member: opened, read once a period, and opened again after it fell silent."""
        await asyncio.sleep(offset_s)
        pause_s = FIRST_PAUSE_S
        said = ""
        while True:
            try:
                turn = self._retries if said else contextlib.nullcontext()
                async with turn, post.call, self._reads, asyncio.timeout(2 * self._map.timeout_s):
                    post.ability = await post.member.open()
            except (DeviceError, TimeoutError) as error:
                self.counts["open_failed"] += 1
                if (text := str(error) or "no answer in time") != said:
                    log.warning("%s: %s: %s; trying on", self.id, post.member.id, text)
                    said = text
            else:
                log.log(logging.WARNING if said else logging.DEBUG, "%s: %s: open", self.id, post.member.id)
                if math.isnan(post.shown_w):
                    # It may have been restarted, and does not tell its limit: ours is to be set again.
                    post.accepted_w = math.nan
                if await self._poll(post):
                    pause_s = FIRST_PAUSE_S
                post.up = False
                said = "silent"
                log.warning("%s: %s: no answer any more; opening it again", self.id, post.member.id)
                async with post.call:
                    await post.member.close()
            await asyncio.sleep(pause_s * self._random.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _poll(self, post: Post) -> bool:
        """Reads a member until it misses twice in a row, in readings or in writes; whether it answered at all."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        post.misses = 0
        answered = False
        while post.misses < MISSES:
            at_ns = time.monotonic_ns()
            try:
                reading = await self._read(post)
            except (DeviceError, TimeoutError) as error:
                log.debug("%s: %s: %s", self.id, post.member.id, error or "no answer in time")
                self.counts["read_failed"] += 1
                post.misses += 1
            else:
                if reading is not None:
                    post.misses = 0
                    answered = post.up = True
                    self._take(post, reading, at_ns)
                    if self._publishing is None:
                        self._publishing = loop.call_later(PUBLISH_S, self._publish)
            due_s = max(due_s + self._period_s, loop.time())
            await asyncio.sleep(due_s - loop.time())
        return answered

    async def _read(self, post: Post) -> Reading | None:
        """One reading; None when a write went first, also while this one waited for its turn behind silent members."""
        assert self._group is not None
        async with post.call:
            post.reading = self._group.create_task(self._told(post.member))
            try:
                await asyncio.wait({post.reading})
                if post.reading.cancelled():
                    return None
                found = post.reading.result()
                if isinstance(found, Exception):
                    raise found
                return found
            finally:
                post.reading.cancel()
                post.reading = None

    async def _told(self, member: Member) -> Reading | DeviceError | TimeoutError:
        """A reading, or why there is none; a member that fails is no failure of the rack's tasks."""
        try:
            async with self._reads, asyncio.timeout(self._map.timeout_s):
                return await member.read()
        except (DeviceError, TimeoutError) as error:
            return error

    def _take(self, post: Post, reading: Reading, at_ns: int) -> None:
        """Notes a reading, and whether it contradicts what the member accepted before it was asked."""
        post.at_ns = at_ns
        post.cut = 0
        post.untold = reading.power_w is None
        post.power_w = math.nan if reading.power_w is None else reading.power_w
        post.shown_w = math.nan if reading.limit_w is None else reading.limit_w
        self.counts["read"] += 1
        if at_ns <= post.accepted_ns or math.isnan(post.accepted_w) or math.isnan(post.shown_w):
            return
        if post.unsure and post.shown_w < post.accepted_w:
            # Its write was done all the same.
            self.expected_w -= post.accepted_w - post.shown_w
            post.accepted_w = post.shown_w
        if _same(post, post.shown_w, post.accepted_w):
            post.doubts = post.left_ns = post.stubborn_ns = 0
            post.unsure = False
            post.latched = True
            return
        if post.left_ns or (
            post.latched and self._foreign != "retake" and not _same(post, post.shown_w, post.ability.max_w)
        ):
            self._leave(post, at_ns)
            return
        self.counts["contradicted"] += 1
        if post.latched:
            return  # It did take it, and was restarted or set by somebody else since.
        post.doubts += 1
        if post.doubts != STUBBORN:
            return
        if not post.stubborn_ns:
            log.warning(
                "%s: %s: accepted %.0f W and shows %.0f W again and again; going on without it",
                self.id, post.member.id, post.accepted_w, post.shown_w,
            )  # fmt: skip
        post.stubborn_ns = at_ns

    def _leave(self, post: Post, at_ns: int) -> None:
        """Somebody else set a limit that is not what a restart leaves: the member is theirs for the time being."""
        if not post.left_ns:
            self.counts["foreign"] += 1
            log.warning(
                "%s: %s: limit reads %.0f W, ours is %.0f W: somebody else wrote it; leaving it to them",
                self.id, post.member.id, post.shown_w, post.accepted_w,
            )  # fmt: skip
        if not post.left_ns or not _same(post, post.shown_w, post.left_w):
            post.left_ns = at_ns
            post.left_w = post.shown_w
        elif self._foreign == "yield" and at_ns - post.left_ns > YIELD_S * 1e9:
            # Ours again, and to be set by the next write.
            post.left_ns = 0
            post.latched = False
            post.accepted_w = math.nan

    def _publish(self) -> None:
        """The members' sums into the image; nothing while too much of the rack is out of sight."""
        self._publishing = None
        inputs, now_ns = self._inputs, time.monotonic_ns()
        hidden_w = rated_w = power_w = limit_w = 0.0
        at_ns = now_ns
        untold = False
        for post in self.posts:
            rated_w += post.ability.max_w
            limit_w += post.most_w
            if not post.up or post.misses:  # once is enough: its age would make the others' readings stale
                hidden_w += post.ability.max_w
                power_w += post.limit_w
                continue
            at_ns = min(at_ns, post.at_ns)
            untold = untold or post.untold
            power_w += 0.0 if post.untold else post.power_w
        if hidden_w > UNKNOWN_RATIO * rated_w:
            return
        slot = self._slots["power_w"]
        inputs.quality[slot] = codes.SENTINEL if untold else codes.GOOD
        inputs.value[slot] = inputs.value[slot] if untold else power_w
        inputs.at_ns[slot] = at_ns
        slot = self._slots["limit_w"]
        inputs.quality[slot] = codes.GOOD
        inputs.value[slot] = limit_w
        inputs.at_ns[slot] = at_ns

    @property
    def members_up(self) -> int:
        """Members that answer."""
        return sum(post.up for post in self.posts)

    # Writing.

    def set_limit(self, limit_w: float) -> asyncio.Future[None]:
        """Splits a limit in W over the members; the future ends when their sum holds it, or with DeviceError."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._group is None:
            future.set_exception(DeviceError(f"{self.id}: not started"))
        else:
            self._group.create_task(self._deliver(limit_w, future))
        return future

    async def _deliver(self, limit_w: float, future: asyncio.Future[None]) -> None:
        """Two rounds: who fails in the first is made up for by the others in the second."""
        failed: dict[str, DeviceError] = {}
        try:
            for _ in range(2):
                parts = self._split(limit_w, set(failed))
                changes = [
                    (post, part)
                    for post, part in zip(self.posts, parts, strict=True)
                    if self._free(post, set(failed)) and self._differs(post, part)
                ]
                # Down before up; who was not heard last time may take until its deadline, and must not hold up others.
                changes.sort(key=lambda change: (change[1] > change[0].limit_w, change[0].misses))
                errors = await asyncio.gather(*(self._write(post, part) for post, part in changes))
                new = {post.member.id: e for (post, _), e in zip(changes, errors, strict=True) if e is not None}
                failed |= new
                if not new:
                    break
            held_w = sum(post.most_w for post in self.posts)
            least_w = sum(
                0.0 if p.ability.sleeps else p.ability.min_w for p in self.posts if self._free(p, set(failed))
            )
            beyond_w = held_w - max(limit_w, least_w)
            if failed and beyond_w > self.tolerance_w:
                name, error = next(iter(failed.items()))
                text = f"{len(failed)} of {len(self.posts)} members did not take their limit; {name}: {error}"
                raise DeviceError(text, refused=error.refused)
            if beyond_w > UNKNOWN_RATIO * sum(post.ability.max_w for post in self.posts):
                stuck = sum(not self._free(post, set()) for post in self.posts)
                text = f"{stuck} of {len(self.posts)} members cannot be set, and the others do not make up for it"
                raise DeviceError(text)
            self.expected_w = held_w
        except DeviceError as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(None)
        finally:
            # Cancelled with its rack: whoever waits must not wait for ever.
            if not future.done():
                future.cancel()

    def _free(self, post: Post, failed: set[str]) -> bool:
        """Whether a member can be set now."""
        if not post.up or post.member.id in failed:
            return False
        if post.left_ns:
            return False
        return post.doubts < STUBBORN or time.monotonic_ns() - post.stubborn_ns > STUBBORN_S * 1e9

    def _split(self, limit_w: float, failed: set[str]) -> list[float]:
        """Each member's part. A limit wins over minimum times on, never over minimum times off."""
        about, now_s = self._map.capability, time.monotonic()
        seats = [
            Seat(
                post.ability, post.most_w, post.changed_s, self._free(post, failed),
                may_sleep=now_s - post.changed_s >= about.min_on_s or post.changed_s == 0.0,
                may_wake=now_s - post.changed_s >= about.min_off_s or post.changed_s == 0.0,
            )
            for post in self.posts
        ]  # fmt: skip
        parts = spread(limit_w, seats)
        if sum(parts) > limit_w + self.tolerance_w and not all(seat.may_sleep for seat in seats):
            seats = [Seat(s.ability, s.limit_w, s.changed_s, s.free, True, s.may_wake) for s in seats]
            parts = spread(limit_w, seats)
        return parts

    @staticmethod
    def _differs(post: Post, part_w: float) -> bool:
        """Whether a member needs a write to be at its part."""
        if post.unsure or math.isnan(post.accepted_w) or abs(part_w - post.accepted_w) > 0.5:
            return True
        return not _same(post, part_w, post.limit_w)

    async def _write(self, post: Post, part_w: float) -> DeviceError | None:
        """One member's part; what went wrong, None when it accepted."""
        # Who is written all the time must be heard now and then.
        post.cut += post.reading is not None and post.cut < MOST_CUT and post.reading.cancel()
        before_w = post.limit_w
        self.counts["sent"] += 1
        try:
            async with post.call, self._writes, asyncio.timeout(self._map.accept_s):
                await post.member.set_limit(part_w)
        except (DeviceError, TimeoutError) as error:
            # It may have been done all the same: the higher of the two counts until it is read.
            post.accepted_w = max(before_w, part_w)
            post.accepted_ns = time.monotonic_ns()
            post.latched = False
            post.unsure = True
            if not (isinstance(error, DeviceError) and error.refused):
                # Each write ends the reading under way: without this, one that is set often would never be missed.
                post.misses += 1
            self.counts["failed"] += 1
            return error if isinstance(error, DeviceError) else DeviceError("no answer in time")
        if (part_w == 0.0) != (before_w == 0.0):
            post.changed_s = time.monotonic()
        post.accepted_w = part_w
        post.accepted_ns = time.monotonic_ns()
        post.latched = post.unsure = False
        post.misses = 0
        # One that was left out has this one chance.
        post.doubts = min(post.doubts, STUBBORN - 1)
        self.counts["accepted"] += 1
        return None

    def verdict(self) -> Latch | None:
        """Whether all members that were set were read since, and their sum is what was accepted.

        A member that shows another limit makes the sum a foreign one: the next split takes it back, or around it.
        """
        if self._out_of_sight():
            return Latch.WAITING
        if abs(sum(post.most_w for post in self.posts) - self.expected_w) > self.tolerance_w:
            return Latch.FOREIGN
        unread = any(post.accepted_ns >= post.at_ns for post in self.posts if post.up and post.accepted_ns)
        return Latch.WAITING if unread else Latch.LATCHED

    def _out_of_sight(self) -> bool:
        """Whether so much of the rack does not answer that what is known of it says nothing."""
        rated_w = sum(post.ability.max_w for post in self.posts)
        return sum(post.ability.max_w for post in self.posts if not post.up) > UNKNOWN_RATIO * rated_w

    def in_force(self) -> bool | None:
        """The members' readings are what they enforce."""
        return None

    async def program(self) -> None:
        """Members of these kinds have no dead-man."""

    def programmed(self) -> bool | None:
        """Nothing to program."""
        return True


def _same(post: Post, one_w: float, other_w: float) -> bool:
    """Whether two limits are one to the resolution of a member."""
    return abs(one_w - other_w) <= max(1.0, 0.002 * post.ability.max_w)
