"""A rack of members that do what a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rampd.drivers.members import Ability, Capability, MemberMap, Reading
from rampd.drivers.rack_members import MemberRack
from rampd.drivers.racks import Foreign
from rampd.ext import codes, views
from tests.field import image

POWER, LIMIT = 0, 1


class Miner:
    """A member that does what it is told, or what the test breaks: `fails` for every call, `deaf` for writes.

    `mute` does what was written and does not answer.
    """

    def __init__(
        self, number: int, *, watts: float = 3000.0, tells_power: bool = True, tells_limit: bool = True
    ) -> None:
        self.id = f"m{number}"
        self.ability = Ability(watts, watts, sleeps=True)
        self.limit_w = watts
        self.fails: Exception | None = None
        self.refuses: Exception | None = None
        self.deaf = False
        self.mute = False
        self.hangs = self.hangs_reading = self.hangs_closing = False
        self.fails_reading: Exception | None = None
        self.slow_s = 0.0
        self.closed_under_way = False
        self.tells_power = tells_power
        self.tells_limit = tells_limit
        self.under_way = 0
        self.writes: list[float] = []
        self.opened = self.reads = self.closed = 0

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        assert self.under_way == 0, "one call at a time"
        self.under_way += 1
        try:
            await asyncio.sleep(0.001)
            if self.hangs:
                await asyncio.Event().wait()
            if self.fails is not None:
                raise self.fails
            yield
        finally:
            self.under_way -= 1

    async def open(self) -> Ability:
        async with self.call():
            self.opened += 1
            return self.ability

    async def read(self) -> Reading:
        async with self.call():
            if self.hangs_reading:
                await asyncio.Event().wait()
            if self.fails_reading is not None:
                raise self.fails_reading
            self.reads += 1
            return Reading(
                0.98 * self.limit_w if self.tells_power else None, self.limit_w if self.tells_limit else None
            )

    async def set_limit(self, limit_w: float) -> None:
        async with self.call():
            if self.refuses is not None:
                raise self.refuses
            await asyncio.sleep(self.slow_s)
            self.writes.append(limit_w)
            if not self.deaf:
                self.limit_w = limit_w
            if self.mute:
                await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed += 1
        self.closed_under_way = self.closed_under_way or self.under_way > 0
        if self.hangs_closing:
            await asyncio.Event().wait()


def rack_map(in_flight: int = 16, timeout_s: float = 1.0, **changes: float) -> MemberMap:
    return MemberMap(
        name="toy", protocol="toy", title="a miner of the test", source=("the test",), verified="nothing to verify",
        port=1, in_flight=in_flight, timeout_s=timeout_s, update_s=0.03, accept_s=timeout_s, effect_s=1.0,
        capability=Capability(
            min_w=3000, max_w=3000, sleeps=True, dead_up_s=1, dead_down_s=0.1, up_w_per_s=500, down_w_per_s=9000,
            **changes,
        ),
    )  # fmt: skip


class Bench:
    """A rack of so many members, running."""

    def __init__(
        self, members: list[Miner], foreign: Foreign = "retake", *, in_flight: int = 16, timeout_s: float = 1.0,
        **changes: float,
    ) -> None:  # fmt: skip
        self.members = members
        self.wall = image(2)
        self.inputs = views.inputs(self.wall)
        self.rack = MemberRack(
            "rack", members, rack_map(in_flight, timeout_s, **changes), self.inputs, {"power_w": 0, "limit_w": 1}, 0.03,
            foreign,
        )  # fmt: skip

    async def __aenter__(self) -> Bench:
        self.task = asyncio.create_task(self.rack.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        assert self.task.cancelled()
        assert all(member.closed for member in self.members)

    def shows(self, power_w: float, limit_w: float) -> bool:
        inputs = self.inputs
        good = inputs.quality[POWER] == codes.GOOD and inputs.quality[LIMIT] == codes.GOOD
        return good and abs(inputs.value[POWER] - power_w) < 1 and abs(inputs.value[LIMIT] - limit_w) < 1

    def age_ns(self, slot: int = POWER) -> int:
        return self.inputs.at_ns[slot]
