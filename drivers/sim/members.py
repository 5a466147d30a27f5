"""The members of a simulated rack, as the servers of their protocols see them."""

from __future__ import annotations

import asyncio
import time
from typing import Literal, Protocol

from rampd.drivers.members import Capability
from rampd.drivers.sim.plant import Plant


class Member:
    """One BMC or miner of a plant rack: it draws its share of the rack's power below its own limit.

    The rack's limit is the sum of its members' limits. While the rack is still on its way there, what it draws above or
    below is that of the members whose limits changed. `max_w` is its share of the rack's rating, `capability` what its
    map says of it. `absent` shows no values, `writes` says what becomes of a write: done, or accepted and dropped.
    """

    def __init__(self, plant: Plant, rack: int, number: int, of: int, capability: Capability) -> None:
        self.rack = rack
        self.number = number
        self.max_w = plant.racks.specs[rack].max_w / of
        self.capability = capability
        self.absent = False
        self.writes: Literal["done", "dropped"] = "done"
        self.written_s = float("-inf")
        self.siblings: list[Member] = [self]
        self._plant = plant
        self._limit_w = self.max_w
        self._from_w = self.max_w
        self._shown_w: float | None = None

    @property
    def limit_w(self) -> float:
        """The limit that is enforced; 0 while it sleeps."""
        return self._limit_w

    @property
    def power_w(self) -> float:
        """What it draws now."""
        if self._shown_w is not None:
            return self._shown_w
        total_w = sum([member._limit_w for member in self.siblings])
        rack_w = self._plant.racks.power_w[self.rack]
        away_w = rack_w - total_w
        if away_w * (moved_w := sum([member._from_w - member._limit_w for member in self.siblings])) > 0:
            share = min(1.0, away_w / moved_w)
            return max(0.0, self._limit_w + share * (self._from_w - self._limit_w))
        for member in self.siblings:
            member._from_w = member._limit_w
        return rack_w * self._limit_w / total_w if total_w > 0 else rack_w / len(self.siblings)

    def freeze(self, frozen: bool) -> None:
        """Keeps the present power, or lets it go."""
        self._shown_w = self.power_w if frozen else None

    def write(self, limit_w: float) -> None:
        """A limit from a client, within the member's range; 0 puts it to sleep."""
        self.written_s = time.monotonic()
        if self.writes == "done":
            self.set_limit(limit_w)

    def set_limit(self, limit_w: float) -> None:
        """A limit that takes hold, whoever set it."""
        self._from_w = self.power_w
        self._limit_w = min(limit_w, self.max_w)
        self._plant.set_limit(self.rack, sum([member._limit_w for member in self.siblings]), time.monotonic())

    def power_on(self) -> None:
        """What a restart leaves: no limit."""
        self.set_limit(self.max_w)


class Server(Protocol):
    """The protocol of one member at its address; a gate stands before it that opens, closes and breaks connections."""

    async def start(self) -> None:
        """What it needs before the first connection."""

    def connect(self) -> asyncio.Protocol:
        """The protocol object of a connection that was accepted."""

    def power_on(self) -> None:
        """What a restart leaves: sessions, tokens and settings are gone, the member has no limit."""

    async def stop(self) -> None:
        """Ends what it started."""
