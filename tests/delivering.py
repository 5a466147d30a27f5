"""One rack under actuation, on a clock of its own: times in seconds, powers in kW."""

from __future__ import annotations

import asyncio
import ctypes
from array import array
from collections.abc import Coroutine
from typing import Any

from rampd.daemon.actuate import Actuation
from rampd.daemon.delivery import Target
from rampd.drivers.racks import DeadMan, Latch
from rampd.drivers.register import RegisterError
from rampd.ext import codes, views
from rampd.ext.image import Configuration, InputWall

S = 1_000_000_000
DEADLINE_S, VERIFY_S, REFRESH_S = 1.0, 2.0, 10.0


class Rack:
    """A driver that notes what it is told and answers when the test says so."""

    tolerance_w = 1.0

    def __init__(self) -> None:
        self.expected_w = 0.0
        self.enabled: bool | None = None
        self.locked_out = False
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
