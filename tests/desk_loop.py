"""A command desk on the compiled core and a plant, all on one clock: the simulated time of the plant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from rampd.daemon import answers, commands, journal, restart
from rampd.daemon.answers import Reply
from rampd.daemon.commands import Desk
from rampd.daemon.journal import Journal
from rampd.ext import views
from tests.closed_loop import NS, ClosedLoop

WALL_S: Final = 1_800_000_000.0


class DeskLoop:
    """What the desk takes for `time`, and the way to it. Seconds count from now, stamps are RFC 3339."""

    def __init__(self, loop: ClosedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = loop
        self.count = 0
        self.silent = False
        for module in (answers, commands, journal, restart):
            monkeypatch.setattr(module, "time", self)

    def monotonic_ns(self) -> int:
        return round(self.loop.now_s * NS)

    def monotonic(self) -> float:
        return self.loop.now_s

    def time(self) -> float:
        return WALL_S + self.loop.now_s

    def stamp(self, seconds: float) -> str:
        return datetime.fromtimestamp(self.time() + seconds, UTC).isoformat()

    def open(self, kept: Journal) -> None:
        """A desk of a process that starts now."""
        self.desk = Desk(self.loop.composed, self.loop.inputs, kept, self.heard)

    def heard(self, reply: Reply) -> None:
        """An acknowledgement."""

    def send(self, verb: str, **fields: Any) -> None:
        """One command, with an envelope of its own."""
        self.count += 1
        self.desk.channel.heard(self.monotonic_ns())
        made = {"id": f"p{self.count}", "issued_at": self.stamp(0), "expires_at": self.stamp(30)} | fields
        self.desk.receive(verb, json.dumps(made).encode())

    def tick(self) -> views.Outputs:
        """A tenth of a second of plant, core and desk."""
        out = self.loop.run(0.1)
        self.before_desk(out)
        if not self.silent:
            self.desk.channel.heard(self.monotonic_ns())
        self.desk.tick(out, self.monotonic_ns())
        return out

    def before_desk(self, out: views.Outputs) -> None:
        """What is to be seen before the desk does."""
