"""Why the site and each rack stand where they do: the binding constraint, in words and figures.

The same words for the running site (asked over MQTT) and for a moment of a recording. Powers in W.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rampd.daemon.messages import ID
from rampd.ext import codes, views

LARGEST: Final = 1024

SITE_WORDS: Final[dict[codes.SiteWhy, str]] = {
    codes.SiteWhy.SITE_REFERENCE: "it follows its reference {reference_mw:.3f} MW",
    codes.SiteWhy.SITE_IMPORT: "the import limit {import_mw:.3f} MW holds it",
    codes.SiteWhy.SITE_RATE: "the ramp limit of the {envelope} envelope holds it on its way to {reference_mw:.3f} MW",
    codes.SiteWhy.SITE_FLOOR: "every rack is at its least: the meter goes no lower than {least_mw:.3f} MW",
    codes.SiteWhy.SITE_ROOM: "every rack is as high as it may or wants to be: the meter goes no higher than "
    "{most_mw:.3f} MW",
    codes.SiteWhy.SITE_METER: "the site meter is stale: nothing is raised",
    codes.SiteWhy.SITE_ESTOP: "an emergency stop holds every rack at its least until `rampd reset`",
    codes.SiteWhy.SITE_FAULT: "voltage, breaker or frequency show a fault: everything holds, and ten seconds longer",
    codes.SiteWhy.SITE_FREQUENCY: "the ramp would go against a grid that is off nominal: the reference waits at "
    "{reference_mw:.3f} MW",
    codes.SiteWhy.SITE_WINDOW: "the purchase has moved as far as a rolling window allows: the reference waits at "
    "{reference_mw:.3f} MW",
    codes.SiteWhy.SITE_RETURN: "the way back after an emergency ends at the mean before it, until a fresh command",
    codes.SiteWhy.SITE_CHANNEL: "the channel is silent, or was, and regulation waits for a fresh signal or command: "
    "the site holds, for a limited time",
    codes.SiteWhy.SITE_MINIMUM: "regulation or primary response lead no lower than the site's least of "
    "{min_mw:.3f} MW (min_mw)",
    codes.SiteWhy.SITE_MAXIMUM: "regulation leads no higher than the site's most of {max_mw:.3f} MW (max_mw)",
}
RACK_WORDS: Final[dict[codes.Why, str]] = {
    codes.Why.WHY_SHARE: "its share of the site's reference {reference_mw:.3f} MW",
    codes.Why.WHY_MAX: "its own maximum of {max_kw:.1f} kW",
    codes.Why.WHY_MIN: "its own minimum of {min_kw:.1f} kW",
    codes.Why.WHY_DEMAND: "its jobs want no more than {demand_kw:.1f} kW",
    codes.Why.WHY_RATE: "on its way to its share, as fast as it moves",
    codes.Why.WHY_NODE: "the limit of an electrical node above it: {nodes}{taken}",
    codes.Why.WHY_COOLING: "cooling loop {loop}, {loop_action}: {loop_room}",
    codes.Why.WHY_STALE: "a reading is too old, its own or the site meter's: it is not raised",
    codes.Why.WHY_UNRESPONSIVE: "it does not follow its set point: its share went to others",
    codes.Why.WHY_MANUAL: "it is left to somebody else",
    codes.Why.WHY_LOCKED: "it is locked out where it stands: nobody steers it from here",
    codes.Why.WHY_GUARD: "the guard withheld its set point",
    codes.Why.WHY_SHED: "it is off, and the reference has no room to bring it back",
    codes.Why.WHY_GRID: "the grid: an under-frequency step, an import excess, a fault, or the slow return after one",
    codes.Why.WHY_REST: "its minimum time, or its budget of changes: it stays until that has passed",
    codes.Why.WHY_SWING: "a standing cap: its job swings, and so does the site's purchase",
    codes.Why.WHY_TRIP: "a node above it, {nodes}, drew more than its limit at its racks' least: off until "
    "`rampd reset`",
}
_VERBS: Final = {
    codes.Verb.STAND: "the site's default", codes.Verb.TRACK: "a set point", codes.Verb.HOLD: "a hold",
    codes.Verb.ESTOP: "an emergency stop",
}  # fmt: skip
_STATES: Final = {state: state.name.lower() for state in codes.RackState}


@dataclass(frozen=True, slots=True)
class Names:
    """What racks, loops and nodes are called, in the order of the image."""

    racks: Sequence[str]
    loops: Sequence[str]
    nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """The command that is followed, and on whose behalf."""

    id: str
    who: str
    source: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A site at one moment: live, or of a recording. `wall` gives the wall time of a monotonic one, ns."""

    names: Names
    limits: views.Limits
    inputs: views.Inputs
    out: views.Outputs
    wall: Callable[[int], datetime]
    command: Asked | None = None

    def site(self) -> dict[str, Any]:
        """What holds the site, figures and words."""
        out, command = self.out, self.inputs.command
        found: dict[str, Any] = {
            "at": _stamp(self.wall(out.at_ns)),
            "power_w": out.power_w if out.meter_good else None,
            "reference_w": out.reference_w, "regulation_w": out.regulation_w, "response_w": out.response_w,
            "goal_w": out.goal_w, "least_w": out.least_w, "most_w": out.most_w,
            "envelope": codes.Envelope(out.envelope).name.lower(),
            "asked": _VERBS[codes.Verb(out.verb)],
            "command_id": None if self.command is None else self.command.id,
            "who": None if self.command is None else self.command.who or self.command.source,
            "command_seq": out.seq,
            "until": None if out.verb == codes.STAND or out.seq != command.seq
            else _stamp(self.wall(command.expires_ns)),
            "binding": codes.SiteWhy(out.site_why).name.removeprefix("SITE_").lower(),
        }  # fmt: skip
        words, site = SITE_WORDS[codes.SiteWhy(out.site_why)], self.limits.site
        found["words"] = words.format(
            reference_mw=out.reference_w / 1e6, least_mw=out.least_w / 1e6, most_mw=out.most_w / 1e6,
            import_mw=site.import_w / 1e6, min_mw=site.min_w / 1e6, max_mw=site.max_w / 1e6, envelope=found["envelope"],
        ) + beside(out.regulation_w, out.response_w)  # fmt: skip
        return found

    def rack(self, i: int) -> dict[str, Any]:
        """What holds rack `i`."""
        out, limits, inputs = self.out, self.limits, self.inputs
        slot, loop = limits.power_slot[i], limits.loop[i]
        why = codes.Why(out.why[i])
        found: dict[str, Any] = {
            "id": self.names.racks[i], "binding": why.name.removeprefix("WHY_").lower(),
            "power_w": inputs.value[slot] if inputs.quality[slot] == codes.GOOD and not out.stale[i] else None,
            "setpoint_w": out.setpoint_w[i], "demand_w": out.demand_w[i], "min_w": limits.min_w[i],
            "max_w": limits.max_w[i], "tier": limits.tier[i], "state": _STATES[codes.RackState(inputs.rack_state[i])],
            "failsafe": _action(out.action[i]), "loop": self.names.loops[loop],
            "nodes": self._path(limits.node[i]),
        }  # fmt: skip
        found["words"] = RACK_WORDS[why].format(
            reference_mw=out.reference_w / 1e6, max_kw=limits.max_w[i] / 1e3, min_kw=limits.min_w[i] / 1e3,
            demand_kw=out.demand_w[i] / 1e3, nodes=" or ".join(found["nodes"]), loop=found["loop"],
            loop_action=_action(out.loop_action[loop]), loop_room=_room(out.loop_w[loop]),
            taken=self._taken(limits.node[i]),
        )  # fmt: skip
        return found

    def _path(self, node: int) -> list[str]:
        """The nodes from the rack up."""
        found = []
        while node >= 0:
            found.append(self.names.nodes[node])
            node = self.limits.node_parent[node]
        return found

    def _taken(self, node: int) -> str:
        """What of the limits from a node up is not for racks, where that is a kilowatt or more."""
        words = ""
        while node >= 0:
            taken_kw, limit_kw = self.out.taken_w[node] / 1e3, self.limits.node_w[node] / 1e3
            if taken_kw >= 1.0:
                name = self.names.nodes[node]
                words += f"; others there, or its fullest phase, take {taken_kw:.0f} of {limit_kw:.0f} kW at {name}"
            node = self.limits.node_parent[node]
        return words

    def explain(self, rack: str | None) -> dict[str, Any]:
        """The site and, where one is named, a rack; or an error that names the nearest rack."""
        if rack is None:
            counts: dict[str, int] = {}
            for i in range(len(self.names.racks)):
                name = codes.Why(self.out.why[i]).name.removeprefix("WHY_").lower()
                counts[name] = counts.get(name, 0) + 1
            return {"site": self.site(), "racks": counts}
        if rack not in self.names.racks:
            # Names alike are looked for where that takes no time.
            near = difflib.get_close_matches(rack, list(self.names.racks), n=1) if len(self.names.racks) < 500 else []
            return {"error": f"there is no rack {rack!r}" + (f"; did you mean {near[0]!r}?" if near else "")}
        return {"site": self.site(), "rack": self.rack(list(self.names.racks).index(rack))}


def beside(regulation_w: float, response_w: float) -> str:
    """Regulation and primary response in words, where they show in the figures that stand beside them."""
    named = (("regulation", round(regulation_w / 1e6, 3)), ("primary response", round(response_w / 1e6, 3)))
    return "".join(f", {name} {mw:+.3f} MW" for name, mw in named if mw)


def _room(loop_w: float) -> str:
    """A loop without a reading has no figure."""
    if loop_w >= codes.ENDLESS:
        return "none of its racks is raised"
    return f"its flow carries {loop_w / 1e6:.3f} MW of racks"


def _action(action: int) -> str:
    return codes.Action(action).name.removeprefix("ACT_").lower()


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wall_now(now_ns: int) -> datetime:
    """Wall time of a monotonic one of this machine, as the clocks stand now."""
    return datetime.now(UTC) + timedelta(microseconds=(now_ns - time.monotonic_ns()) / 1e3)


def question(payload: bytes) -> tuple[str, str | None]:
    """Id and rack of a question `{"id": "...", "rack": "..."}`, rack left out for the site. Raises ValueError."""
    if len(payload) > LARGEST:
        raise ValueError(f"{len(payload)} bytes; a question has {LARGEST} at most")
    found = json.loads(payload)
    name = found.get("id") if isinstance(found, dict) else None
    if not isinstance(name, str) or re.fullmatch(ID, name) is None:
        raise ValueError("a question is a JSON object with an id")
    rack = found.get("rack")
    if not isinstance(rack, str | None):
        raise ValueError("rack is the id of one")
    return name, rack


def lines(found: dict[str, Any]) -> list[str]:
    """For people: the site, then the rack or how many racks each reason holds."""
    site = found["site"]
    power = "no good reading" if site["power_w"] is None else f"{site['power_w'] / 1e6:.3f} MW"
    asked = site["asked"]
    if site["command_id"] is not None:
        asked += f", command {site['command_id']} by {site['who']}"
    if site["until"] is not None:
        asked += f", until {site['until']}"
    out = [f"{site['at']}  site at {power}: {site['words']}", f"asked: {asked}; goal {site['goal_w'] / 1e6:.3f} MW"]
    if (rack := found.get("rack")) is not None:
        power = "no good reading" if rack["power_w"] is None else f"{rack['power_w'] / 1e3:.1f} kW"
        out.append(f"rack {rack['id']} at {power}, set point {rack['setpoint_w'] / 1e3:.1f} kW: {rack['words']}")
        if rack["state"] != "available" or rack["failsafe"] != "none":
            out.append(f"  {rack['state']}, failsafe {rack['failsafe']}")
    else:
        counts = sorted(found["racks"].items(), key=lambda item: -item[1])
        out.append("racks: " + ", ".join(f"{count} by {name}" for name, count in counts))
    return out
