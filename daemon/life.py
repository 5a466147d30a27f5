"""The life of the command that holds, as the meter tells it: started, reached, partial, failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rampd.daemon.arbitrate import Source
from rampd.daemon.messages import Stage
from rampd.daemon.order import Order
from rampd.daemon.purchase import Purchase
from rampd.ext import codes, views

REACHED_S: Final = 1.0
DEMAND_S: Final = 10.0
NAMES: Final = {codes.STAND: "release", codes.TRACK: "setpoint", codes.HOLD: "hold", codes.ESTOP: "estop"}


class Word(NamedTuple):
    """What is to be said of a command."""

    stage: Stage
    code: str = "ok"
    message: str = ""


@dataclass(slots=True)
class Live:
    """The command that holds, and how far it has come. Powers in W, times CLOCK_MONOTONIC ns."""

    id: str
    seq: int
    order: Order
    from_w: float
    begun_ns: int
    deadline_ns: int
    source: Source
    asked: str = ""  # the command's name, where it is not that of the order
    who: str = ""
    reason: str = ""
    interval: int = -1  # of the schedule
    topic: str | None = None
    correlation: bytes | None = None
    best_effort: bool = False
    stage: str = "accepted"
    begins: dict[str, Any] = field(default_factory=dict)  # what is yet to be said of it when it has started
    within_ns: int = 0
    left_ns: int = 0  # of its lease, while its channel is lost

    @property
    def verb(self) -> int:
        """What it asks of the core."""
        return self.order.verb

    @property
    def name(self) -> str:
        """What it is called in answers."""
        return "schedule" if self.source is Source.SCHEDULE else self.asked or NAMES[codes.Verb(self.verb)]


def progress(live: Live, out: views.Outputs, purchase: Purchase, racks: int, now_ns: int) -> Word | None:
    """What became of a started command, None while nothing did."""
    mean_w = purchase.led_w
    if live.verb in (codes.HOLD, codes.ESTOP):
        there = live.verb == codes.HOLD or mean_w <= out.least_w + 0.01 * purchase.max_w
        return Word("reached") if there else None
    goal_w, short_w = reachable(out, racks)
    span_w = abs(goal_w - live.from_w) if not math.isnan(live.from_w) else 0.0
    # A fast ramp lands softly, its last bit takes seconds: what lies well within the band is no way any more.
    landed = abs(out.reference_w - out.goal_w) <= 0.5 * purchase.tight_w(span_w)
    if not landed or abs(mean_w - goal_w) > purchase.band_w(span_w):
        live.within_ns = 0
    elif live.within_ns == 0:
        live.within_ns = now_ns
    # Demand may still be on its way up, cooling is: that is watched longer.
    hold_s = DEMAND_S if short_w else REACHED_S
    if live.within_ns and now_ns - live.within_ns >= hold_s * 1e9:
        if short_w:
            return Word("reached", "demand", f"the racks want no more: {short_w / 1e6:.3f} MW below the set point")
        return Word("reached")
    if now_ns > live.deadline_ns and live.stage == "started":
        stage: Stage = "partial" if abs(mean_w - live.from_w) > 0.1 * span_w else "failed"
        return Word(stage, "short", f"{abs(mean_w - goal_w) / 1e6:.3f} MW short of {goal_w / 1e6:.3f} MW")
    return None


def reachable(out: views.Outputs, racks: int) -> tuple[float, float]:
    """What an up-command can reach, min(goal, demand), and how far that is below the goal; W."""
    free = (codes.WHY_SHARE, codes.WHY_MAX, codes.WHY_DEMAND)
    wanting = out.goal_w > out.most_w and out.site_why == codes.SITE_ROOM
    if wanting and all(out.why[i] in free for i in range(racks)):
        return out.most_w, out.goal_w - out.most_w
    return out.goal_w, 0.0
