"""What the core has begun and a restart must not forget: racks that rest between changes, a shed, a return after
it, what others drew at measured nodes.

So is a purchase that regulation has lowered: it comes back as slowly as after an emergency. In the journal it stands
by the wall clock, racks by their names. What is taken up again bars no rack for longer than its minimum times and its
budget do, and no site for longer than a return lasts, whatever the file says and whichever way the clock was set.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed
from rampd.ext import codes, views

log = logging.getLogger("rampd.unfinished")

KEEP_NS: Final = codes.SECOND_NS
"""Racks that change are noted so often at most; what a crash takes away is no older than that and a write."""
STEP_S: Final = 1.0
"""The wall clock was set where it moved by more against the monotonic one."""
OTHERS_NS: Final = 10 * codes.SECOND_NS
"""What others draw is noted so often at most, and where it moved by a hundredth of the node's limit."""
RETURN_S: Final = 3600.0
LEAST_W: Final = 1.0
"""The cap of a return that leads nowhere; 0 tells the core nothing."""


class Unfinished:
    """Keeps it in the journal as the snapshots tell it, and tells a new core. Seconds are the wall clock's."""

    def __init__(self, composed: Composed, journal: Journal) -> None:
        self.composed = composed
        self.journal = journal
        self.limits = views.limits(composed.limits)
        self._places = {rack.id: i for i, rack in enumerate(composed.racks)}
        self._resting = [i for i in self._places.values() if self._rest_ns(i) > 0]
        self._measured = [v for v, point in enumerate(composed.node_points) if point is not None]
        self._tiers = sorted({rack.tier for rack in composed.racks})
        self._rests = 0  # of the core, as of the last note
        self._noted_ns = -KEEP_NS
        self._others: dict[int, tuple[float, float]] = {}
        self._others_ns = -OTHERS_NS
        self._emergency: tuple[Any, ...] = ()
        self._offset_s = math.nan

    def _rest_ns(self, i: int) -> int:
        """The longest that a rack rests after one change."""
        return max(self.limits.on_ns[i], self.limits.off_ns[i], self.limits.wear_ns[i])

    # Into the journal.

    def tick(self, out: views.Outputs, now_s: float, now_ns: int, *, last: bool = False) -> None:
        """One snapshot. What changed is noted, racks no more than once a second, or now where it is the `last`."""
        offset_s = now_s - now_ns * 1e-9
        set_anew = not abs(offset_s - self._offset_s) <= STEP_S
        if (out.rests != self._rests or set_anew) and (last or now_ns - self._noted_ns >= KEEP_NS):
            self._rests, self._noted_ns, self._offset_s = out.rests, now_ns, offset_s
            self._stand("rests", self._record(out, offset_s, now_ns))
        if last or now_ns - self._others_ns >= OTHERS_NS:
            self._note_others(out, now_ns)
        stopped = out.verb == codes.ESTOP
        found = (out.shedding, out.shed_tier, out.returning, out.return_ns, stopped, out.return_cap_w)
        # Until the meter was read a new core has not taken up the stop that holds.
        if out.started and (found != self._emergency or set_anew):
            self._emergency = found
            self._stand("emergency", self._emergency_of(out, offset_s))
        # A stream goes below and above its set point all the time: only its begin and its end are noted.
        if out.regulated or (out.started and not out.regulating):
            self._stand("regulated", {"below": True} if out.regulated else {})

    def _note_others(self, out: views.Outputs, now_ns: int) -> None:
        self._others_ns = now_ns
        found = {v: (out.learnt_w[v], out.phase_w[v]) for v in self._measured}
        if any(
            abs(now_w - was_w) > 0.01 * self.limits.node_w[v]
            for v, pair in found.items()
            for now_w, was_w in zip(pair, self._others.get(v, (0.0, 0.0)), strict=True)
        ):
            self._others = found
            nodes = self.composed.nodes
            self._stand("others", {nodes[v].id: [round(w, 1) for w in pair] for v, pair in found.items() if any(pair)})

    def _stand(self, name: str, found: dict[str, Any]) -> None:
        if found != self.journal.rest.get(name, {}):
            self.journal.stand(**{name: found or None})

    def _record(self, out: views.Outputs, offset_s: float, now_ns: int) -> dict[str, Any]:
        """Racks that rest or whose budget is not whole, with the end of both."""
        return {
            self.composed.racks[i].id: [_wall_s(out.free_ns[i], offset_s), _wall_s(out.worn_ns[i], offset_s)]
            for i in self._resting
            if max(out.free_ns[i], out.worn_ns[i]) > now_ns
        }

    def _emergency_of(self, out: views.Outputs, offset_s: float) -> dict[str, Any]:
        """Nothing where there is none."""
        if not out.shedding and not out.returning and out.verb != codes.ESTOP:
            return {}
        beyond = [*self._tiers, self._tiers[-1] + 1]
        return {
            "cap_w": out.return_cap_w,
            "shed_from_tier": beyond[min(out.shed_tier, len(self._tiers))] if out.shedding else None,
            "returning_since": _wall_s(out.return_ns, offset_s) if out.returning else None,
        }

    # Out of it.

    def restore(self, inputs: views.Inputs, now_s: float, now_ns: int) -> None:
        """Tells the core, before its first tick."""
        if self.journal.unreadable:
            self._doubt(inputs, self._resting, now_ns)
            return
        self._restore_rests(inputs, self.journal.rest.get("rests", {}), now_s, now_ns)
        inputs.regulated = bool(self.journal.rest.get("regulated"))
        self._restore_others(inputs, self.journal.rest.get("others", {}))
        found = self.journal.rest.get("emergency")
        if found is not None:
            self._restore_emergency(inputs, found, now_s, now_ns)

    def _doubt(self, inputs: views.Inputs, racks: Iterable[int], now_ns: int) -> None:
        """Nobody knows when these have changed: they rest as if it had been just now. Budgets are whole."""
        doubted = [i for i in racks if self._rest_ns(i) > 0]
        for i in doubted:
            rest_ns = max(self.limits.on_ns[i], self.limits.off_ns[i])
            inputs.free_ns[i] = now_ns + rest_ns if rest_ns > 0 else 0
        if doubted:
            log.error(
                "when racks have changed is not readable in the journal: %d rest as if it had been just now",
                len(doubted),
            )

    def _restore_rests(self, inputs: views.Inputs, found: Any, now_s: float, now_ns: int) -> None:
        if not isinstance(found, dict):
            self._doubt(inputs, self._resting, now_ns)
            return
        doubted = []
        for rack_id, times in found.items():
            i = self._places.get(rack_id)
            if i is None:
                log.warning("%s rested before the restart, and is no rack of this site any more: left out", rack_id)
                continue
            try:
                free_s, worn_s = (_number(one) - now_s for one in times)
            except (TypeError, ValueError):
                doubted.append(i)
                continue
            inputs.free_ns[i] = _until_ns(free_s, self._rest_ns(i), now_ns)
            inputs.worn_ns[i] = _until_ns(worn_s, self.limits.budget_ns[i], now_ns)
        self._doubt(inputs, doubted, now_ns)

    def _restore_others(self, inputs: views.Inputs, found: Any) -> None:
        """What is no number, or no measured node's any more, is left out: their meters will tell."""
        for v in self._measured:
            try:
                learnt_w, phase_w = (_number(one) for one in found[self.composed.nodes[v].id])
            except (KeyError, TypeError, ValueError):
                continue
            inputs.learnt_w[v] = min(max(0.0, learnt_w), 2.0 * self.limits.rating_w[v])
            inputs.phase_w[v] = min(max(0.0, phase_w), 0.8 * self.limits.node_w[v])

    def _restore_emergency(self, inputs: views.Inputs, found: Any, now_s: float, now_ns: int) -> None:
        """What cannot be read of it is a return that begins now and leads no higher than where the site stands."""
        try:
            cap_w, tier, since = (found[name] for name in ("cap_w", "shed_from_tier", "returning_since"))
            cap_w = max(LEAST_W, _number(cap_w))
            tier = None if tier is None else _number(tier)
            past_s = RETURN_S if since is None else max(0.0, now_s - _number(since))
        except (KeyError, TypeError, ValueError):
            log.error("the emergency in the journal is not readable: nothing rises until a fresh command, for 60 min")
            cap_w, tier, past_s = LEAST_W, None, 0.0
        if tier is not None and not self.limits.site.under_steps:
            log.warning("what was shed before the restart comes back: the site has no under-frequency steps any more")
            tier, past_s = None, 0.0
        inputs.return_cap_w = cap_w
        if tier is not None:
            inputs.shedding, inputs.shed_tier = 1, bisect_left(self._tiers, tier)
        if past_s < RETURN_S:
            inputs.returning, inputs.return_ns = 1, now_ns - round(past_s * 1e9)


def _wall_s(at_ns: int, offset_s: float) -> float:
    """A monotonic time by the wall clock, in tenths and none too early."""
    return math.ceil((at_ns * 1e-9 + offset_s) * 10.0) / 10.0


def _until_ns(left_s: float, most_ns: int, now_ns: int) -> int:
    """The monotonic end of what lasts so long still, `most_ns` at most; 0 where it is over."""
    left_ns = min(left_s, most_ns * 1e-9) * 1e9
    return now_ns + round(left_ns) if left_ns > 0.0 else 0


def _number(found: Any) -> float:
    """Raises TypeError or ValueError where it is none."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{found!r} is no number")
    if not math.isfinite(found):
        raise ValueError(f"{found!r} is no number to count with")
    return float(found)
