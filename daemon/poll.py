"""One wheel for all devices: every 20 ms it sweeps deadlines, sends what is due and hands the image over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from rampd.drivers.device import ModbusDevice
from rampd.drivers.modbus import Endpoint
from rampd.ext.image import InputWall
from rampd.ext.link import Link, turn
from rampd.ext.units import Exchange, ModbusError

log = logging.getLogger("rampd.poll")

TURN_S: Final = 0.02
DISCOVER_PAUSE_S: Final = 1.0

Due = list[tuple[Link, Exchange]]


class Wheel:
    """Cyclic reads on absolute deadlines. A period missed is skipped and counted, never made up for.

    `before` is called with the time before each hand-over.
    """

    def __init__(
        self, wall: InputWall, endpoints: Iterable[Endpoint], before: Callable[[int], None] = lambda _: None
    ) -> None:
        self.wall = wall
        self.before = before
        self.links = [endpoint.link for endpoint in endpoints]
        self.skipped = 0
        self.turned_ns = 0
        self._rings: dict[int, list[Due]] = {}
        self.places: dict[Exchange, Due] = {}
        self._placed = 0

    def add(self, device: ModbusDevice) -> None:
        """Reads a device from now on."""
        device.begin(self)

    def place(self, link: Link, exchange: Exchange, period_s: float) -> None:
        """Takes in a cyclic read; reads are spread over their period."""
        turns = max(1, round(period_s / TURN_S))
        ring = self._rings.setdefault(turns, [[] for _ in range(turns)])
        # Golden-ratio steps spread any number of devices evenly over any period.
        place = ring[int(self._placed * 0.6180339887 * turns) % turns]
        place.append((link, exchange))
        self.places[exchange] = place
        self._placed += 1

    def remove(self, exchange: Exchange) -> None:
        """Takes out a cyclic read."""
        place = self.places.pop(exchange)
        place[:] = [item for item in place if item[1] is not exchange]

    def turn(self, number: int) -> None:
        """One turn: deadlines, due reads, hand-over."""
        due: Due = []
        for turns, ring in self._rings.items():
            due += ring[number % turns]
        now_ns = time.monotonic_ns()
        turn(self.links, due, now_ns)
        self.before(now_ns)
        self.wall.publish(now_ns)
        self.turned_ns = now_ns

    async def run(self) -> None:
        """Turns until cancelled."""
        loop = asyncio.get_running_loop()
        number = 0
        due_s = loop.time()
        while True:
            self.turn(number)
            number += 1
            due_s += TURN_S
            behind = int((loop.time() - due_s) / TURN_S)
            if behind > 0:
                self.skipped += behind
                number += behind
                due_s += behind * TURN_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))


async def discover(device: ModbusDevice, wheel: Wheel) -> None:
    """Adds a device to the wheel once it is known where its map begins; asks again as long as that is not known."""
    reported = ""
    while True:
        await device.endpoint.up()
        try:
            await device.discover()
        except ModbusError as error:
            if str(error) != reported:
                log.warning("%s: SunSpec discovery: %s; trying on", device.id, error)
                reported = str(error)
            await asyncio.sleep(DISCOVER_PAUSE_S)
        else:
            wheel.add(device)
            return
