"""The schedule that stands, and what keeps it from rising: nothing that ended by itself is a reason to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rampd.daemon.config import Site
from rampd.daemon.journal import Journal
from rampd.daemon.order import Order
from rampd.daemon.schedule import Plan

log = logging.getLogger("rampd.agenda")

ANY: Final = -1


@dataclass(frozen=True, slots=True)
class Lid:
    """How high the schedule may go, W, in one interval or in ANY."""

    power_w: float
    interval: int


@dataclass(slots=True)
class Agenda:
    """Plan and lid; the journal knows both."""

    site: Site
    journal: Journal
    plan: Plan | None = None
    lid: Lid | None = None
    _before: int | None = None  # the interval that was followed last before a restart

    @property
    def fixed(self) -> bool:
        """Whether only a fresh command lifts the lid."""
        return self.lid is not None and self.lid.interval == ANY

    @property
    def back(self) -> bool:
        """Whether the interval that is now is not known yet after a restart: to follow it is no fresh command."""
        return self._before is not None

    def take(self, plan: Plan | None) -> None:
        """Another plan stands, or none."""
        self.plan = plan
        if plan is None:
            self.journal.stand(schedule=None, interval=None)
        else:
            self.journal.stand(schedule=plan.record(), interval=ANY)

    def lift(self) -> None:
        """A fresh command: the schedule may go where it likes."""
        self._cover(None)

    def lost(self, power_w: float) -> None:
        """A channel was lost for too long: the schedule only goes down until a fresh command."""
        self._cover(Lid(power_w, ANY))

    def lapsed(self, power_w: float, now_s: float) -> None:
        """A lease ended: the interval that is now does not raise, the next one is a reason of its own."""
        k = None if self.plan is None else self.plan.at(now_s)
        if k is not None and not self.fixed:
            self._cover(Lid(power_w, k))

    def present(self, now_s: float, power_w: float) -> int | None:
        """The interval that is now. One that began while rampd was away raises nothing."""
        k = None if self.plan is None else self.plan.at(now_s)
        if k is not None and self._before not in (None, k) and not self.fixed:
            self._cover(Lid(power_w, k))
        self._before = None
        return k

    def doubt(self) -> None:
        """What held before a restart is over: the interval that is now raises nothing."""
        self._before = ANY

    def begin(self, plan: Plan, k: int, stands_w: float) -> Order:
        """What an interval that begins asks of the core, under the lid, which does not go up again.

        One that only a fresh command lifts is no higher than where the site stands, or was led to before a shed: what
        lies between intervals, and racks that fell while rampd was away, have lowered it as well.
        """
        if self.lid is not None and self.lid.interval not in (ANY, k):
            self._cover(None)
        order = plan.order(k, self.site)
        if self.lid is not None:
            most_w = min(self.lid.power_w, stands_w) if self.fixed else self.lid.power_w
            order = replace(order, target_w=min(order.target_w, most_w))
            self._cover(replace(self.lid, power_w=order.target_w))
        self.journal.stand(interval=k)
        return order

    def restore(self, rest: Mapping[str, Any]) -> None:
        """From the journal. A lid that cannot be read is one that lets nothing rise: as low as the site may go."""
        try:
            if "lid" in rest:
                self.lid = Lid(float(rest["lid"][0]), int(rest["lid"][1]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.lid = Lid(self.site.min_mw * 1e6, ANY)
            log.error("how high the schedule may go is not usable in the journal, it only goes down: %s", error)
        try:
            if "schedule" in rest:
                self.plan, self._before = Plan.restored(rest["schedule"]), int(rest["interval"])
        except (KeyError, TypeError, ValueError) as error:
            log.error("the schedule in the journal is not usable, going on without it: %s", error)

    def _cover(self, lid: Lid | None) -> None:
        if lid != self.lid:
            self.lid = lid
            self.journal.stand(lid=None if lid is None else [lid.power_w, lid.interval])
