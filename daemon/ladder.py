"""The failsafe ladder as people see it: which reasons act, for what, and a line in the log when one begins or ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from rampd.daemon.events import Events
from rampd.daemon.site import Composed
from rampd.ext import codes, views
from rampd.ext.reasons import TABLE, Line

log = logging.getLogger("rampd.failsafe")


@dataclass(frozen=True, slots=True)
class Active:
    """A reason that acts. `scope` is what it acts for: site, racks, or the id of a feeder, link, loop or node.

    `racks` counts those behind it, where it is about racks; `latched`: only an operator's reset ends it.
    """

    scope: str
    line: Line
    racks: int = 0
    latched: bool = False

    @property
    def words(self) -> str:
        """What is so and what is done about it, in words."""
        count = f" ({self.racks} racks)" if self.racks else ""
        reset = "; it needs a reset" if self.latched else ""
        return f"{self.scope}: {self.line.name}{count}: {self.line.when}; {self.line.does}{reset}"


def active(composed: Composed, out: views.Outputs) -> Iterator[Active]:
    """The reasons that act, the site's first; those of single racks are one each, with their number."""
    for line in TABLE:
        if line.scope == "rack" and out.reason_racks[line.reason]:
            yield Active("racks", line, out.reason_racks[line.reason])
    for zone, scope in enumerate(composed.zones):
        reasons = out.zone_reasons[zone]
        if not reasons:
            continue
        for line in TABLE:
            if reasons & 1 << line.reason:
                lost = out.zone_lost[zone] if line.reason == codes.R_COMMON else 0
                yield Active(scope, line, lost, bool(out.zone_latched[zone] & 1 << line.reason))


def latched(composed: Composed, out: views.Outputs) -> dict[str, list[str]]:
    """The reasons that only an operator's reset ends, by what they act for."""
    found: dict[str, list[str]] = {}
    for one in active(composed, out):
        if one.latched:
            found.setdefault(one.scope, []).append(one.line.name)
    return found


def restore(composed: Composed, inputs: views.Inputs, held: dict[str, list[str]]) -> None:
    """Tells the core what was latched before a restart; what the site no longer has is said and left out."""
    lines = {line.name: line for line in TABLE if line.latches}
    # A feeder is a zone and a node: what it was latched by says which.
    first = len(composed.zones) - len(composed.nodes)
    zones = {(scope, zone >= first): zone for zone, scope in enumerate(composed.zones)}
    for scope, names in held.items():
        for name in names:
            place = (scope, name in lines and lines[name].scope == "node")
            if place not in zones or name not in lines:
                log.warning("%s: %s was latched before the restart, and is not known here: left out", scope, name)
                continue
            inputs.latched[zones[place]] |= 1 << lines[name].reason


class Watch:
    """Says what begins and what ends, in the log and by events, once each: many racks that fall silent are one line."""

    def __init__(self, composed: Composed, events: Events | None = None) -> None:
        self.composed = composed
        self.events = Events() if events is None else events
        self.known: dict[tuple[str, str], Active] = {}

    def tick(self, out: views.Outputs) -> None:
        """Compares with the tick before."""
        now = {(one.scope, one.line.name): one for one in active(self.composed, out)}
        for key, one in now.items():
            if key not in self.known:
                log.warning("%s", one.words)
                self._note("raised", one)
        for key, one in self.known.items():
            if key not in now:
                log.info("%s: %s has ended", one.scope, one.line.name)
                self._note("cleared", one)
        self.known = now

    def _note(self, state: str, one: Active) -> None:
        self.events.note(
            "failsafe", state=state, scope=one.scope, reason=one.line.name,
            action=one.line.action.name.removeprefix("ACT_").lower(), racks=one.racks or None,
            needs_reset=one.latched or None,
        )  # fmt: skip
