"""What the site tells the outside: the state message, telemetry by device, and what each thing is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

from rampd.daemon import ladder
from rampd.daemon.commands import Desk
from rampd.daemon.equipment import Rack
from rampd.daemon.happenings import MODES
from rampd.daemon.messages import stamp
from rampd.daemon.metrics import rack_state
from rampd.daemon.nameplates import Nameplates
from rampd.daemon.site import Composed, Point
from rampd.daemon.why import Asked, Moment, Names, wall_now
from rampd.drivers.maps import UNITS, DeviceMap
from rampd.ext import codes, views

TOPIC_KIND: Final = {"meter": "meter", "pdu": "pdu", "cdu": "loop", "rack": "rack"}
DEADBAND: Final = 0.005
FULL_EVERY: Final = 10
TIMING: Final = ("timeout_s", "connect_delay_s", "gap_s", "in_flight")
_QUALITY: Final = {
    codes.NEVER: "never",
    codes.GOOD: "good",
    codes.SENTINEL: "sentinel",
    codes.RANGE: "range",
    codes.REFUSED: "refused",
}


class Show:
    """Messages from the newest snapshot. Powers in W."""

    def __init__(
        self, composed: Composed, inputs: views.Inputs, desk: Desk, nameplates: Nameplates | None = None
    ) -> None:
        self.nameplates = nameplates or Nameplates(())
        self.composed = composed
        self.inputs = inputs
        self.desk = desk
        self.names = Names(
            [rack.id for rack in composed.racks], [loop.id for loop in composed.config.loops],
            [node.id for node in composed.nodes],
        )  # fmt: skip
        self._sequence = 0
        self._second = 0
        self._last: dict[str, dict[str, tuple[float, int]]] = {}

    def state(self, out: views.Outputs) -> dict[str, Any]:
        """The state topic's payload."""
        self._sequence += 1
        site = self.composed.config.site
        racks = dict.fromkeys(("available", "stale", "unresponsive", "manual", "locked"), 0)
        for i in range(len(self.composed.racks)):
            racks[rack_state(out, self.inputs, i)] += 1
        live = self.desk.live
        power_w = out.power_w if out.meter_good else None
        stands_w = out.reference_w + out.regulation_w + out.response_w
        tracking = power_w is not None and abs(power_w - stands_w) <= 0.02 * site.max_mw * 1e6
        return {
            "seq": self._sequence,
            "at": stamp(),
            "mode": MODES[codes.Verb(out.verb)] if out.started else "starting",
            "envelope": codes.Envelope(out.envelope).name.lower(),
            "control": str(self.desk.mode),
            "source": self.desk.holder.name.lower(),
            "command_id": None if live is None else live.id,
            "regulation_id": self.desk.regulation.id,
            "requested_w": round(out.goal_w, 1) if out.started else None,
            "reference_w": round(out.reference_w, 1) if out.started else None,
            "regulation_w": round(out.regulation_w, 1) if out.started else None,
            "response_w": round(out.response_w, 1) if out.started else None,
            "power_w": None if power_w is None else round(power_w, 1),
            "frequency_hz": self._frequency(),
            "min_w": round(max(site.min_mw * 1e6, out.least_w), 1),
            "max_w": round(min(site.max_mw * 1e6, out.most_w), 1),
            "firm_down_5s_w": round(out.firm_down_w, 1),
            "firm_up_5s_w": round(out.firm_up_w, 1),
            "firm_down_60s_w": round(out.firm_down_60_w, 1),
            "firm_up_60s_w": round(out.firm_up_60_w, 1),
            "firm_down_600s_w": round(out.firm_down_600_w, 1),
            "firm_up_600s_w": round(out.firm_up_600_w, 1),
            "oscillation_w": round(out.band_w, 1),
            "swing_5s_w": round(out.swing_w, 1),
            "slope_15s_w_per_s": round(out.coming_w_per_s, 1) if out.started and out.meter_good else None,
            "meter_refresh_hz": round(1.0 / out.refresh_s, 2) if out.refresh_s > 0.0 else None,
            "feedback_slowed": round(out.detune, 1) if out.started else None,
            "in_flight": live is not None and live.stage in ("accepted", "started"),
            "compliant": bool(out.started and tracking),
            "best_effort": bool(live is not None and live.best_effort),
            "failsafe": [
                {
                    "scope": one.scope,
                    "reason": one.line.name,
                    "racks": one.racks,
                    "needs_reset": one.latched,
                    "action": one.line.action.name.removeprefix("ACT_").lower(),
                }
                for one in ladder.active(self.composed, out)
            ],
            "binding": codes.SiteWhy(out.site_why).name.removeprefix("SITE_").lower(),
            "channel": self.desk.channel_state,
            "racks": racks,
        }

    def why(self, out: views.Outputs, rack: str | None) -> dict[str, Any]:
        """The answer to `ask/why`."""
        live = self.desk.live
        moment = Moment(
            self.names, views.limits(self.composed.limits), self.inputs, out, wall_now,
            None if live is None else Asked(live.id, live.who, live.source.name.lower()),
        )  # fmt: skip
        return moment.explain(rack)

    def _frequency(self) -> float | None:
        slot = self.composed.read.get("frequency_hz")
        stale_ns = self.composed.config.control.meter_stale_s * 1e9
        if slot is None or self.inputs.quality[slot] != codes.GOOD:
            return None
        if time.monotonic_ns() - self.inputs.at_ns[slot] > stale_ns:
            return None
        return round(self.inputs.value[slot], 4)

    def telemetry(self, out: views.Outputs) -> Iterator[tuple[str, dict[str, Any]]]:
        """(topic below the site's prefix, payload): what changed, and every device in full each ten seconds."""
        self._second += 1
        good = bool(out.started and out.meter_good)
        site = {
            "power_w": out.power_w, "reference_w": out.reference_w, "regulation_w": out.regulation_w,
            "response_w": out.response_w, "applied_w": out.total_w,
        }  # fmt: skip
        values = {k: {"v": round(v, 1) if good else None, "q": "good" if good else "stale"} for k, v in site.items()}
        yield "tele/site", {"at": stamp(), "values": values}
        now_ns = time.monotonic_ns()
        for i, point in enumerate(self.composed.points):
            values = self._values(point, now_ns, full=(self._second + i) % FULL_EVERY == 0)
            if values:
                yield f"tele/{TOPIC_KIND[point.kind]}/{point.id}", {"at": stamp(), "values": values}

    def _values(self, point: Point, now_ns: int, *, full: bool) -> dict[str, Any]:
        last = self._last.setdefault(point.id, {})
        stale_ns = max(3e9, 3e9 * point.device.period_s)
        found: dict[str, Any] = {}
        for name, slot in point.slots.items():
            quality = self.inputs.quality[slot]
            value = self.inputs.value[slot]
            slow = 10 if name in point.slow else 1
            # Beyond the codes of a reading: good once, but too old to be called so.
            stale = quality == codes.GOOD and now_ns - self.inputs.at_ns[slot] > stale_ns * slow
            mark = -1 if stale else quality
            before = last.get(name)
            changed = (
                before is None or before[1] != mark or abs(value - before[0]) > DEADBAND * max(abs(before[0]), 1e-9)
            )
            if full or changed:
                last[name] = (value, mark)
                good = mark == codes.GOOD
                found[name] = {
                    "v": round(value, 4) if good else None,
                    "q": "stale" if stale else _QUALITY[codes.Quality(quality)],
                }
        return found

    def meta(self, dead_men_s: Mapping[str, int], only: Set[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """(topic, payload) of what every thing is, or of devices by their ids; retained by the caller.

        `dead_men_s`: when racks fall back, those that do.
        """
        if only is None:
            yield self._site_meta()
        racks = {rack.id: rack for rack in self.composed.racks}
        for point in self.composed.points:
            if only is None or point.id in only:
                yield self._point_meta(point, racks.get(point.id), dead_men_s.get(point.id))

    def _site_meta(self) -> tuple[str, dict[str, Any]]:
        site = self.composed.config.site
        return f"meta/site/{site.id}", {
            "name": site.name, "max_w": site.max_mw * 1e6, "min_w": site.min_mw * 1e6,
            "import_limit_w": site.import_limit_mw * 1e6, "default_w": site.default_mw * 1e6,
            "racks": len(self.composed.racks),
        }  # fmt: skip

    def _point_meta(self, point: Point, rack: Rack | None, dead_man_s: int | None) -> tuple[str, dict[str, Any]]:
        payload: dict[str, Any] = {
            "map": point.map.name, "title": point.map.title, "address": point.device.address,
            "unit": point.device.unit, "period_s": point.device.period_s,
            "units": {name: UNITS[name.rsplit("_", 1)[-1]] for name in point.slots},
        }  # fmt: skip
        if isinstance(point.map, DeviceMap):
            payload["timing"] = {name: getattr(point.map, name) for name in TIMING}
        if rack is not None:
            payload |= {
                "kind": rack.kind, "node": rack.node, "loop": rack.loop, "tier": rack.tier,
                "min_w": rack.min_kw * 1e3, "max_w": rack.max_kw * 1e3,
                "dead_man_s": dead_man_s,
                "fallback_w": (rack.min_kw if rack.fallback_kw is None else rack.fallback_kw) * 1e3,
            }  # fmt: skip
        if texts := self.nameplates.found.get(point.id):
            payload["device"] = texts
        return f"meta/{TOPIC_KIND[point.kind]}/{point.id}", payload
