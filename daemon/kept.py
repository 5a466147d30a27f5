"""The live command as the journal keeps it, and how it is taken up again after a restart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rampd.daemon.answers import Sender, place_found, place_kept
from rampd.daemon.arbitrate import Source
from rampd.daemon.life import Live
from rampd.daemon.order import Order
from rampd.ext import codes


def record(
    live: Live | None, stopped_by: Source | None, now_s: float, left_s: float, lost_s: float
) -> dict[str, Any] | None:
    """What a restart must know: `left_s` of the lease, the channel lost since `lost_s`. None: nothing is to be kept."""
    if live is None or live.verb == codes.STAND or live.source is Source.SCHEDULE:
        return None
    kept = live.order.record(now_s) | {
        "id": live.id, "until": now_s - lost_s + left_s, "source": int(live.source),
        "who": live.who, "stopped_by": None if stopped_by is None else int(stopped_by),
    } | place_kept(live.topic, live.correlation)  # fmt: skip
    return kept | ({"lost_at": now_s - lost_s} if lost_s > 0 else {})


@dataclass(frozen=True, slots=True)
class Kept:
    """A command that was live. Seconds count from now."""

    id: str
    order: Order
    source: Source
    stopped_by: Source | None
    left_s: float
    lost_s: float
    sender: Sender

    @classmethod
    def restored(cls, found: Mapping[str, Any], now_s: float, longest_s: float) -> Kept:
        """From the journal; a clock that was set back gives no longer lease than the site allows.

        A stop holds whatever else is legible. Raises KeyError, TypeError or ValueError.
        """
        topic, correlation = place_found(found)
        if found.get("verb") == codes.ESTOP:
            sender = Sender(str(found.get("who", "")), topic=topic, correlation=correlation)
            return cls(
                str(found.get("id", "stop")), Order(codes.ESTOP, 0.0), Source.STOP, _stopped_by(found), 0.0, 0.0, sender
            )
        lost_at_s = float(found.get("lost_at", now_s))
        if not 0 <= lost_at_s < math.inf:
            raise ValueError(f"its channel was lost at no time: {lost_at_s:g}")
        lost_s = max(0.0, now_s - lost_at_s)
        order, source = Order.restored(found, now_s), Source(found["source"])
        sender = Sender(str(found["who"]), topic=topic, correlation=correlation)
        left_s = min(float(found["until"]) - now_s + lost_s, longest_s)
        return cls(str(found["id"]), order, source, None, left_s, lost_s, sender)

    @property
    def over(self) -> bool:
        """Whether its lease ended meanwhile; a stop has none."""
        return self.left_s <= 0 and self.stopped_by is None


def _stopped_by(found: Mapping[str, Any]) -> Source:
    """Who stopped the site. A stop that does not say is the operator's to reset."""
    try:
        return Source(found["stopped_by"])
    except (KeyError, ValueError):
        return Source.OPERATOR
