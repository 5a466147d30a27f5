"""What is worth an event: compares the site with how it was, ten times a second, and notes what has changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from rampd.daemon.commands import Desk
from rampd.daemon.drops import Drops
from rampd.daemon.events import Events
from rampd.daemon.presence import Presence
from rampd.daemon.standby import Standby
from rampd.ext import codes, views

MODES: Final = {codes.STAND: "default", codes.TRACK: "dispatched", codes.HOLD: "hold", codes.ESTOP: "estop"}
CLOCK_STEP_S: Final = 0.5
GUARD_EVERY_S: Final = 10.0
DEVICES_EVERY_S: Final = 1.0
MOST_NAMED: Final = 50


@dataclass(slots=True)
class Happenings:
    """Remembers what it told last. `devices` yields every device and whether it answers. Times in s."""

    desk: Desk
    events: Events
    devices: Callable[[], Iterable[tuple[str, bool]]]
    max_w: float
    standby: Standby | None = None
    _meters: tuple[str, bool] | None = None  # which counts, and whether they differ
    _mode: tuple[str, str] | None = None
    _envelope: int | None = None
    _trigger: str = ""
    _detune: float = 1.0
    _vetoes: list[int] = field(default_factory=list)
    _guard_s: float = -GUARD_EVERY_S
    _devices_s: float = 0.0
    _presence: Presence = field(default_factory=Presence)
    _writable: bool = True
    _ahead_s: float | None = None
    _drops: Drops = field(init=False)

    def __post_init__(self) -> None:
        self._drops = Drops(self.max_w)

    def tick(self, out: views.Outputs, now_s: float, wall_s: float) -> None:
        """One look, at a monotonic and a wall time."""
        self._clock(now_s, wall_s)
        if now_s - self._devices_s >= DEVICES_EVERY_S:
            self._devices_s = now_s
            self._devices(now_s)
        self._journal()
        if self.standby is not None:
            self._two_meters(self.standby)
        if not out.started:
            return
        self._followed(out)
        self._limits(out)
        self._guard(out, now_s)
        self._feedback(out)
        self._drop(out, now_s)

    def _clock(self, now_s: float, wall_s: float) -> None:
        ahead_s = wall_s - now_s
        before_s, self._ahead_s = self._ahead_s, ahead_s
        if before_s is not None and abs(ahead_s - before_s) > CLOCK_STEP_S:
            self.events.note("clock", step_s=round(ahead_s - before_s, 3))

    def _followed(self, out: views.Outputs) -> None:
        mode = (MODES[codes.Verb(out.verb)], str(self.desk.mode))
        before, self._mode = self._mode, mode
        if before is not None and before != mode:
            live = self.desk.live
            self.events.note(
                "mode", mode=mode[0], control=mode[1], was=before[0] if before[0] != mode[0] else before[1],
                command_id=None if live is None else live.id, who=None if live is None else live.who,
            )  # fmt: skip

    def _limits(self, out: views.Outputs) -> None:
        before, self._envelope = self._envelope, out.envelope
        # What begins by itself ends by itself as well; a stop ends by whoever resets it.
        triggered = self._trigger
        self._trigger = ""
        if out.envelope == codes.EMERGENCY and out.verb != codes.ESTOP:
            opened = out.zone_reasons[0] & (1 << codes.R_BREAKER)
            self._trigger = "frequency" if out.shedding else "breaker" if opened else "import"
        if before is None or before == out.envelope:
            return
        live = self.desk.live
        cause = triggered or self.desk.holder.name.lower()
        if out.envelope == codes.EMERGENCY:
            cause = self._trigger or "stop"
        was, now = (codes.Envelope(one).name.lower() for one in (before, out.envelope))
        self.events.note(
            "envelope", envelope=now, was=was, cause=cause, command_id=None if live is None else live.id
        )  # fmt: skip

    def _guard(self, out: views.Outputs, now_s: float) -> None:
        """The first at once, what follows in sums: a guard that withholds does so every tick."""
        counts = [out.vetoes[k] for k in range(codes.VETOES)]
        if not self._vetoes:
            self._vetoes = [0] * len(counts)
        if counts == self._vetoes or now_s - self._guard_s < GUARD_EVERY_S:
            return
        more = {
            codes.Veto(k).name.removeprefix("VETO_").lower(): count - before
            for k, (count, before) in enumerate(zip(counts, self._vetoes, strict=True))
            if count != before
        }
        self._vetoes, self._guard_s = counts, now_s
        self.events.note("guard", vetoes=more)

    def _feedback(self, out: views.Outputs) -> None:
        before, self._detune = self._detune, out.detune
        if out.detune != before:
            self.events.note("limit_cycle", slowed=round(out.detune, 3))

    def _devices(self, now_s: float) -> None:
        """One event for all that changed together."""
        for one in self._presence.look({name for name, answers in self.devices() if answers}, now_s):
            self.events.note(
                "device", state=one.state, devices=one.names[:MOST_NAMED], count=len(one.names), falls=one.falls or None
            )  # fmt: skip

    def _journal(self) -> None:
        journal = self.desk.journal
        before, self._writable = self._writable, journal.writable
        if journal.writable != before:
            state = "writable" if journal.writable else "unwritable"
            self.events.note("journal", state=state, message=journal.problem or None)

    def _two_meters(self, standby: Standby) -> None:
        """Which one counts from now on, and whether they have begun or ceased to differ for long."""
        found = (standby.counts.name, standby.twins.differ)
        before, self._meters = self._meters or (standby.first.name, False), found
        apart_w = standby.twins.apart_w
        facts = {"device": found[0], "apart_w": None if math.isnan(apart_w) else round(apart_w, 1)}
        if found[0] != before[0]:
            self.events.note("meter", state="counts", why=standby.why, **facts)
        if found[1] != before[1]:
            self.events.note("meter", state="differ" if found[1] else "agree", **facts)

    def _drop(self, out: views.Outputs, now_s: float) -> None:
        drop = self._drops.look(out, now_s)
        if drop is not None:
            self.events.note(
                "load_drop", fell_w=round(drop.fell_w, 1), within_s=round(drop.within_s, 1), by=drop.by,
                power_w=round(out.power_w, 1),
            )  # fmt: skip
