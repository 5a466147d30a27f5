"""Racks in hand: at a set point of the operator's, or not touched at all, until they are given back.

The core does not move such a rack and counts it at its rating; its set point follows what the rack shows, so that it
comes back from where it is. A rise waits for what any rise waits for: fresh readings, cooling, room at every node above
and below the import limit, and for the ramp of the rise before it; a fall waits for nothing. Where a rack must fall for
safety, a set point of the operator's ends. Hands off means that nothing is written, whatever happens: somebody may be
working there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from rampd.daemon import gridcheck, messages
from rampd.daemon.messages import RackUse, Rejected, Stage
from rampd.daemon.site import Composed
from rampd.ext import codes, views

log = logging.getLogger("rampd.hands")

NEAR: Final = 0.02  # of a rack's rating: as near as a read-back is to what was asked


class Actuators(Protocol):
    """Who writes to racks."""

    def take(self, i: int, limit_w: float) -> None:
        """A rack is written that limit and no other, NaN: nothing at all."""

    def give_back(self, i: int) -> None:
        """A rack is the core's again."""

    def writable(self, i: int) -> bool:
        """Whether rampd writes to a rack at all."""


class News(NamedTuple):
    """A stage in the life of a rack's command."""

    use: Use
    stage: Stage
    code: str = "ok"
    message: str = ""


@dataclass(slots=True)
class Use:
    """One rack in hand. Powers in W, NaN: hands off; `until_s` by the wall clock, without end for hands off."""

    id: str
    rack: str
    i: int
    limit_w: float
    until_s: float
    who: str = ""
    topic: str | None = None
    given_w: float = math.nan  # what actuation was told
    least_w: tuple[float, float] = (math.inf, math.inf)  # the least it drew in this turn and the one before
    turn_ns: int = 0
    reached: bool = False

    def note(self, drawn_w: float, turn_ns: int, now_ns: int) -> None:
        """What it draws now. More than it drew within a turn may not have come to the meter yet."""
        this_w, before_w = self.least_w
        if now_ns - self.turn_ns >= turn_ns:
            this_w, before_w, self.turn_ns = math.inf, this_w, now_ns
        self.least_w = min(this_w, drawn_w), before_w

    def coming_w(self, limit_w: float) -> float:
        """What it would draw at a limit beyond what the meter shows of it; of none, NaN, nothing."""
        more_w = limit_w - min(self.least_w)
        return more_w if more_w > 0.0 else 0.0


@dataclass(slots=True)
class Hands:
    """All racks in hand, by their place in the image."""

    composed: Composed
    actuators: Actuators | None = None
    uses: dict[int, Use] = field(default_factory=dict)
    limits: views.Limits = field(init=False)
    coming_w: float = 0.0  # what all of them were given and did not draw lately
    ramp_ns: int = 0  # when the envelope has had the time for all rises so far
    _places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = views.limits(self.composed.limits)
        self._places = {rack.id: i for i, rack in enumerate(self.composed.racks)}

    def ask(self, rack_id: str, asked: RackUse, until_s: float, topic: str | None) -> Iterator[News]:
        """Takes a rack into hand, or gives it back; what that ends. Raises Rejected."""
        i = self._places.get(rack_id)
        if i is None:
            raise Rejected("unknown", f"there is no rack {rack_id!r}", asked.id)
        before = self.uses.get(i)
        if asked.use == "auto":
            if before is None:
                raise Rejected("nothing", f"{rack_id} is not in hand", asked.id)
            return iter([self._end(before, "given_back")])
        power_w = math.nan if asked.power_w is None else asked.power_w
        if asked.use == "setpoint":
            self._fits(i, rack_id, power_w, asked.id)
        hands_off = math.isnan(power_w)
        use = Use(asked.id, rack_id, i, power_w, math.inf if hands_off else until_s, asked.who, topic)
        if before is not None:
            use.least_w, use.turn_ns = before.least_w, before.turn_ns
        self._take(use, math.nan if hands_off or before is None else before.given_w)
        log.info("%s in hand: %s, asked by %s", rack_id, "hands off" if hands_off else f"{power_w:.0f} W", asked.who)
        return iter([] if before is None else [News(before, "ended", "replaced")])

    def _fits(self, i: int, rack_id: str, power_w: float, command_id: str) -> None:
        low_w, high_w = self.limits.min_w[i], self.limits.max_w[i]
        levels = [self.limits.level_w[k] for k in range(self.limits.level_first[i], self.limits.level_first[i + 1])]
        if levels and power_w not in levels:
            known = ", ".join(f"{level_w:g}" for level_w in levels)
            raise Rejected("limit", f"{rack_id} has the levels {known} W", command_id)
        if not low_w <= power_w <= high_w:
            raise Rejected("limit", f"{power_w:g} W lies outside {rack_id}'s {low_w:g} to {high_w:g} W", command_id)
        if self.actuators is not None and not self.actuators.writable(i):
            raise Rejected("limit", f"{rack_id} is only read: writing would wear out its memory", command_id)

    def _take(self, use: Use, given_w: float) -> None:
        self.uses[use.i] = use
        use.given_w = given_w
        if self.actuators is not None:
            self.actuators.take(use.i, given_w)

    def _end(self, use: Use, code: str) -> News:
        del self.uses[use.i]
        if self.actuators is not None:
            self.actuators.give_back(use.i)
        log.info("%s out of hand: %s", use.rack, code)
        return News(use, "ended", code)

    def tick(self, out: views.Outputs, inputs: views.Inputs, now_s: float) -> list[News]:
        """Leads racks to what was asked of them, and ends what has its time or stands in the way of safety."""
        news = []
        self._note(out, inputs)
        for use in list(self.uses.values()):
            i = use.i
            if math.isnan(use.limit_w):
                if not use.reached:
                    use.reached = True
                    news.append(News(use, "reached"))
                continue
            if now_s >= use.until_s:
                news.append(self._end(use, "lease_ended"))
            elif out.verb == codes.ESTOP or out.action[i] >= codes.ACT_DERATE:
                news.append(self._end(use, "failsafe"))
            elif out.started and not out.stale[i]:
                self._lead(use, out, inputs)
                if not use.reached and abs(out.setpoint_w[i] - use.limit_w) <= NEAR * self.limits.max_w[i]:
                    use.reached = True
                    news.append(News(use, "reached"))
        return news

    def _note(self, out: views.Outputs, inputs: views.Inputs) -> None:
        """What they draw, and what is to come; the meter shows a rack's reading within a turn."""
        turn_ns = self.limits.site.meter_stale_ns + self.limits.site.meter_delay_ns
        self.coming_w = 0.0
        for i, use in self.uses.items():
            use.note(0.0 if out.stale[i] else inputs.value[self.limits.power_slot[i]], turn_ns, out.at_ns)
            self.coming_w += use.coming_w(use.given_w)

    def _lead(self, use: Use, out: views.Outputs, inputs: views.Inputs) -> None:
        if use.given_w == use.limit_w or self.actuators is None:
            return
        present_w = out.setpoint_w[use.i]
        goal_w = use.limit_w
        if goal_w > present_w and not self._may_rise(use, out, inputs):
            # Its dead-man is kept off meanwhile, at what it has.
            goal_w = present_w if math.isnan(use.given_w) else use.given_w
        if goal_w > present_w and goal_w != use.given_w:
            rise_w = (1.0 + self.limits.site.loss_ratio) * (goal_w - present_w)
            self.ramp_ns = out.at_ns + round(rise_w / self._pace_w_per_s(out) * 1e9)
        if goal_w != use.given_w:
            self.coming_w += use.coming_w(goal_w) - use.coming_w(use.given_w)
            use.given_w = goal_w
            self.actuators.take(use.i, goal_w)

    def _pace_w_per_s(self, out: views.Outputs) -> float:
        """How fast the purchase may rise by hand: in the envelope that holds, and as slowly as load comes back."""
        config = self.composed.config
        dispatched = out.envelope == codes.DISPATCHED
        ramp = gridcheck.dispatched_mw_per_s if dispatched else gridcheck.normal_mw_per_s
        most = 1e6 * ramp(config, up=True)
        return min(most, self.limits.site.return_up) if out.returning else most

    def _may_rise(self, use: Use, out: views.Outputs, inputs: views.Inputs) -> bool:
        limits, i = self.limits, use.i
        if not out.meter_good or out.action[i] >= codes.ACT_NO_RAISE or out.site_why == codes.SITE_FAULT:
            return False
        if out.at_ns < self.ramp_ns or not self._purchasable(use, out, inputs):
            return False
        v = limits.node[i]
        while v >= 0:
            others_w = sum(self._worst_w(j, out, inputs) for j in self._below(v) if j != i)
            if others_w + use.limit_w > limits.node_w[v] - out.taken_w[v]:
                return False
            v = limits.node_parent[v]
        return True

    def _purchasable(self, use: Use, out: views.Outputs, inputs: views.Inputs) -> bool:
        """Whether the site may purchase what a rise adds, by its raw meter or where the core is led, if that is more.

        What racks in hand were given and did not draw lately is to come; what falls makes room once the meter shows it.
        """
        site = self.limits.site
        meter_w = inputs.value[site.power_slot]
        if inputs.quality[site.power_slot] != codes.GOOD or math.isnan(meter_w):
            return False
        coming_w = self.coming_w - use.coming_w(use.given_w) + use.coming_w(use.limit_w)
        # The core takes up what it is left before the meter shows this rise, but no more than the hall can.
        led_w = out.goal_w + out.regulation_w + out.response_w
        purchase_w = max(meter_w, min(led_w, out.most_w))
        return purchase_w + (1.0 + site.loss_ratio) * coming_w <= site.import_w

    def _worst_w(self, j: int, out: views.Outputs, inputs: views.Inputs) -> float:
        if out.stale[j] or inputs.rack_state[j] != codes.AVAILABLE:
            return self.limits.max_w[j]
        return max(out.setpoint_w[j], inputs.value[self.limits.power_slot[j]])

    def _below(self, v: int) -> range:
        """Racks and nodes stand in order: those below a node are one piece."""
        return range(self.limits.rack_first[v], self.limits.rack_first[self.limits.node_end[v]])

    # Over a restart.

    def record(self) -> dict[str, Any]:
        """For the journal, by the racks' names."""
        return {
            use.rack: {
                "id": use.id, "limit_w": None if math.isnan(use.limit_w) else use.limit_w, "who": use.who,
                "until": None if math.isinf(use.until_s) else use.until_s, "topic": use.topic,
            }
            for use in self.uses.values()
        }  # fmt: skip

    def restore(self, record: Any, now_s: float, longest_s: float) -> None:
        """Takes up what was in hand. What cannot be read of a rack that was leaves it untouched: hands off."""
        for rack_id, found in (record if isinstance(record, dict) else {}).items():
            i = self._places.get(rack_id)
            if i is None:
                log.error("%s was in hand, but is no rack of this site any more", rack_id)
                continue
            try:
                use = self._restored(rack_id, i, found, now_s, longest_s)
            except (KeyError, TypeError, ValueError, Rejected) as error:
                log.error("%s was in hand, the journal does not say how: hands off (%s)", rack_id, error)
                use = Use("unknown", rack_id, i, math.nan, math.inf)
            self._take(use, math.nan)

    def _restored(self, rack_id: str, i: int, found: Any, now_s: float, longest_s: float) -> Use:
        limit_w, until, topic = found["limit_w"], found["until"], found["topic"]
        good = isinstance(topic, str) and messages.may_answer_on(topic)
        use = Use(str(found["id"]), rack_id, i, math.nan, math.inf, str(found["who"]), topic if good else None)
        if limit_w is not None:
            use.limit_w, use.until_s = float(limit_w), min(float(until), now_s + longest_s)
            self._fits(i, rack_id, use.limit_w, use.id)
        return use
