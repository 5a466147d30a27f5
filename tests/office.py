"""A command desk on a clock of its own, with a core that follows at once or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from rampd.daemon import restart
from rampd.daemon.answers import Reply
from rampd.daemon.commands import Desk
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed
from rampd.ext import codes, views
from rampd.ext.image import InputWall, OutputWall

S: Final = 1_000_000_000
NUMBERS: Final = count(1)


class Clock:
    """What the desk and the journal take for `time`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * S)

    def time(self) -> float:
        return self.wall_s

    def stamp(self, seconds: float) -> str:
        return datetime.fromtimestamp(self.wall_s + seconds, UTC).isoformat()


class Office:
    """A desk, what it says, and a core that follows at once or not at all. Powers in W; the site goes to 496 kW."""

    def __init__(self, composed: Composed, clock: Clock, kept: Journal) -> None:
        self.clock = clock
        self.wall = InputWall(composed.limits)
        self.inputs = views.inputs(self.wall)
        self.said: list[Reply] = []
        self.silent = False
        self.desk = Desk(composed, self.inputs, kept, self.said.append)
        self.outputs = OutputWall(composed.limits)
        self.out = views.outputs(self.outputs)
        self.out.started = self.out.meter_good = 1
        self.out.power_w = self.out.reference_w = self.out.goal_w = 496e3
        self.out.least_w, self.out.most_w = 95e3, 496e3

    def send(self, verb: str, **fields: Any) -> str:
        """One command; returns its id."""
        options = {key: fields.pop(key) for key in ("retained", "topic", "correlation") if key in fields}
        made = {
            "id": f"c{next(NUMBERS)}", "issued_at": self.clock.stamp(0), "expires_at": self.clock.stamp(30),
        } | fields  # fmt: skip
        payload = json.dumps({key: value for key, value in made.items() if value is not None})
        self.desk.receive(verb, payload.encode(), **options)
        return str(made["id"])

    def tick(self, seconds: float = 0.1, *, follow: bool = True, power_w: float | None = None) -> None:
        """The core takes the command, and with `power_w` the meter shows that."""
        self.clock.now_s += seconds
        self.clock.wall_s += seconds
        if not self.silent:
            self.desk.channel.heard(self.clock.monotonic_ns())
        command = self.inputs.command
        if follow and command.seq:
            self.out.seq, self.out.verb = command.seq, command.verb
            if command.verb == codes.TRACK:
                self.out.goal_w = self.out.reference_w = command.target_w
        if power_w is not None:
            self.out.power_w = power_w
        self.out.at_ns = self.clock.monotonic_ns()
        self.desk.tick(self.out, self.clock.monotonic_ns())

    def run(self, seconds: float, **facts: Any) -> None:
        for _ in range(round(seconds / 0.1)):
            self.tick(**facts)

    def stages(self, command_id: str) -> list[str]:
        return [r.payload["stage"] for r in self.said if r.payload["id"] == command_id]

    def last(self, command_id: str) -> tuple[str, str]:
        payload = [r.payload for r in self.said if r.payload["id"] == command_id][-1]
        return payload["stage"], payload["code"]

    def slot(self) -> tuple[int, int, float, float]:
        """What the core is asked: number, verb, power, seconds left."""
        command = self.inputs.command
        return command.seq, command.verb, command.target_w, (command.expires_ns - self.clock.monotonic_ns()) / S


def kept(office: Office) -> Callable[..., Office]:
    """Another process with the same files."""
    journal = office.desk.journal
    journal.save()

    def again(composed: Composed, clock: Clock, *, silent: bool = False, power_w: float = 496e3) -> Office:
        made = Office(composed, clock, Journal.open(journal.path))
        made.silent = silent
        made.out.power_w = made.out.reference_w = made.out.goal_w = power_w
        restart.resume(made.desk)
        made.tick()
        made.silent = False
        return made

    return again
