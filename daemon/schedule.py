"""The schedule: what the site is to draw when, as long as nobody with more authority asks for something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rampd.daemon import admit, messages
from rampd.daemon.config import Site
from rampd.daemon.messages import Planned, Rejected, Schedule
from rampd.daemon.order import ENVELOPES, SHAPES, Order
from rampd.ext import codes

SEAM_S: Final = 2.0
"""An interval that is followed at once by another lives so much longer, so that none falls through between them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule that stands. Times are the wall clock's."""

    id: str
    intervals: tuple[Planned, ...]
    topic: str | None = None

    def at(self, now_s: float) -> int | None:
        """The number of the interval that is now."""
        for k, one in enumerate(self.intervals):
            if one.start.timestamp() <= now_s < one.end.timestamp():
                return k
        return None

    def over(self, now_s: float) -> bool:
        """Whether nothing is to come."""
        return not self.intervals or self.intervals[-1].end.timestamp() <= now_s

    def left_s(self, k: int, now_s: float) -> float:
        """How long an interval lives on."""
        end = self.intervals[k].end
        seam = k + 1 < len(self.intervals) and self.intervals[k + 1].start == end
        return end.timestamp() - now_s + (SEAM_S if seam else 0.0)

    def order(self, k: int, site: Site) -> Order:
        """What an interval asks of the core."""
        one = self.intervals[k]
        return Order(
            codes.TRACK, admit.asked_w(one.power_w, one.percent, site), ENVELOPES[one.envelope], one.ramp_s or 0.0,
            one.ramp_w_per_s or 0.0, SHAPES[one.shape],
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "id": self.id, "topic": self.topic,
            "intervals": [one.model_dump(mode="json", exclude_none=True) for one in self.intervals],
        }  # fmt: skip

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> Plan:
        """From the journal. Raises KeyError, TypeError or ValueError."""
        topic = record["topic"]
        good = isinstance(topic, str) and messages.may_answer_on(topic)
        return cls(
            str(record["id"]),
            tuple(Planned.model_validate(one) for one in record["intervals"]),
            topic if good else None,
        )


def accept(asked: Schedule, site: Site, now_s: float, topic: str | None) -> Plan:
    """The plan that a schedule makes, without what is over. Raises Rejected."""
    low_w, high_w = site.min_mw * 1e6, site.max_mw * 1e6
    for k, one in enumerate(asked.intervals):
        power_w = admit.asked_w(one.power_w, one.percent, site)
        if not low_w <= power_w <= high_w * (1 + 1e-9):
            place = f"{low_w / 1e6:g} to {high_w / 1e6:g} MW"
            raise Rejected("limit", f"intervals.{k}: {power_w / 1e6:.3f} MW lies outside the site's {place}", asked.id)
        if one.end.timestamp() > now_s + admit.HORIZON_S:
            raise Rejected(
                "horizon", f"intervals.{k} ends more than {admit.HORIZON_S / 86400:g} days from now", asked.id
            )
    rest = tuple(one for one in asked.intervals if one.end.timestamp() > now_s)
    if asked.intervals and not rest:
        raise Rejected("expired", "all its intervals have ended", asked.id)
    return Plan(asked.id, rest, topic)
