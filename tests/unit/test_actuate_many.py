"""Delivery to a hall of racks: the event loop serves others in between, and nobody is left out."""

from __future__ import annotations

import asyncio
import ctypes
import time
from array import array
from typing import Any

from rampd.daemon.actuate import AT_ONCE, Actuation
from rampd.daemon.delivery import Target
from rampd.ext import codes, views
from rampd.ext.image import Configuration, InputWall

RACKS = 5 * AT_ONCE + 1


class Rack:
    """Accepts every limit at once, and notes in `turns` in which turn of the event loop it was asked for what."""

    tolerance_w = 1.0
    dead_man = None

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.asked_w: list[float] = []
        self.expected_w = 0.0
        self.locked_out = False

    def set_limit(self, limit_w: float) -> asyncio.Future[None]:
        self.hall.note()
        self.asked_w.append(limit_w)
        self.expected_w = limit_w
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def verdict(self) -> None:
        self.hall.note()

    def in_force(self) -> None:
        return None

    async def program(self) -> None:
        raise AssertionError("nothing to program")

    def programmed(self) -> bool:
        return True


class Hall:
    """The racks, and the snapshots that actuation takes."""

    def __init__(self) -> None:
        self.turn = 0
        self.turns: dict[int, int] = {}
        self.limit_w = 0.0
        self.out = views.Outputs()
        self.racks = [Rack(self) for _ in range(RACKS)]
        wall = InputWall(Configuration(slots=1, racks=RACKS, nodes=1, loops=1, groups=1, tiers=1, history=2))
        inputs = views.inputs(wall)
        inputs.quality[0], inputs.at_ns[0] = codes.GOOD, time.monotonic_ns()
        targets = [Target(f"r{i}", rack, 0, 10**9, 10**10) for i, rack in enumerate(self.racks)]
        outputs: Any = self
        self.actuation = Actuation(outputs, inputs, targets, 10**9, lambda _: None)

    def note(self) -> None:
        self.turns[self.turn] = self.turns.get(self.turn, 0) + 1

    def latch(self) -> int:
        return ctypes.addressof(self.out)

    def moved(self, last_w: array[float]) -> list[int]:
        found = [i for i in range(RACKS) if last_w[i] != self.limit_w]
        for i in found:
            last_w[i] = self.limit_w
        return found

    def pulse(self, limit_w: float) -> None:
        self.limit_w = limit_w
        self.out.at_ns = time.monotonic_ns()
        self.actuation.pulse(self.out.at_ns)

    async def turn_until(self, done: asyncio.Future[Any] | None = None) -> None:
        while self.turn < 20 if done is None else not done.done():
            await asyncio.sleep(0)
            self.turn += 1


async def test_a_step_of_the_whole_hall_goes_out_in_turns() -> None:
    hall = Hall()
    hall.pulse(50e3)
    assert hall.turns == {0: AT_ONCE}, "the first at once"
    hall.pulse(40e3)
    await hall.turn_until()
    assert max(hall.turns.values()) <= 3 * AT_ONCE
    assert len(hall.turns) >= 3
    assert all(rack.asked_w[-1] == 40e3 for rack in hall.racks)
    assert all(rack.asked_w == [40e3] for rack in hall.racks[AT_ONCE:]), "the latest wins"


async def test_a_look_after_the_whole_hall_is_taken_in_turns() -> None:
    hall = Hall()
    hall.pulse(50e3)
    await hall.turn_until()
    hall.turns.clear()
    await hall.turn_until(asyncio.ensure_future(hall.actuation.check_all()))
    assert sum(hall.turns.values()) == RACKS, "everybody, once"
    assert max(hall.turns.values()) <= AT_ONCE
