"""What the core is asked to follow: one order, as it stands in the image and, for a restart, in the journal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rampd.daemon.config import Config
from rampd.daemon.messages import Command
from rampd.ext import codes, views

VERBS: Final = {"setpoint": codes.TRACK, "hold": codes.HOLD}
SHAPES: Final = {"linear": codes.LINEAR, "s-curve": codes.S_CURVE}
ENVELOPES: Final = {"normal": codes.NORMAL, "dispatched": codes.DISPATCHED}


@dataclass(frozen=True, slots=True)
class Order:
    """Power in W, ramp in s or W/s, 0: as fast as the envelope allows."""

    verb: int
    target_w: float
    envelope: int = codes.NORMAL
    ramp_s: float = 0.0
    rate_w_per_s: float = 0.0
    shape: int = codes.LINEAR

    @classmethod
    def of(cls, verb: str, command: Command, target_w: float) -> Order:
        """The order that a command gives."""
        return cls(
            VERBS.get(verb, codes.STAND), target_w, ENVELOPES[command.envelope], command.ramp_s or 0.0,
            command.ramp_w_per_s or 0.0, SHAPES[command.shape],
        )  # fmt: skip

    def put(self, slot: views.Command, expires_ns: int, *, resumed: bool = False, outlived: bool = False) -> int:
        """Into the image, under the next number, which is returned. `resumed`: it held before a restart.

        `outlived`: it is no fresh command after one whose channel was lost for too long.
        """
        slot.seq += 1
        slot.verb = self.verb
        slot.envelope = self.envelope
        slot.expires_ns = expires_ns
        slot.shape = self.shape
        slot.lost_ns = 0
        slot.resumed = resumed
        slot.outlived = outlived
        slot.target_w = self.target_w
        slot.ramp_s = self.ramp_s
        slot.rate_w_per_s = self.rate_w_per_s
        return slot.seq

    def takes_s(self, config: Config, span_w: float) -> float:
        """How long the reference needs for a change of so much at the pace that its envelope allows."""
        if self.envelope == codes.DISPATCHED:
            most = (config.dispatched.up_mw_per_s if span_w > 0 else config.dispatched.down_mw_per_s) * 1e6
        else:
            most = (config.normal.up_mw_per_min if span_w > 0 else config.normal.down_mw_per_min) * 1e6 / 60
        least_s = abs(span_w) / (min(most, self.rate_w_per_s) if self.rate_w_per_s > 0 else most)
        # The steepest part of an S-curve is half as steep again as its mean.
        return max(least_s, self.ramp_s, (1.5 if self.shape == codes.S_CURVE else 1.0) * abs(span_w) / most)

    def record(self, now_s: float) -> dict[str, Any]:
        """For the journal; the ramp stands there by its end, by the wall clock."""
        return {
            "verb": int(self.verb), "target_w": self.target_w, "envelope": int(self.envelope), "shape": int(self.shape),
            "rate_w_per_s": self.rate_w_per_s, "ramp_until": now_s + self.ramp_s if self.ramp_s > 0 else 0.0,
        }  # fmt: skip

    @classmethod
    def restored(cls, record: Mapping[str, Any], now_s: float) -> Order:
        """From the journal, with what is left of its ramp. Raises KeyError, TypeError or ValueError."""
        verb, envelope = codes.Verb(record["verb"]), codes.Envelope(record["envelope"])
        target_w, rate, until_s = (float(record[key]) for key in ("target_w", "rate_w_per_s", "ramp_until"))
        if not (math.isfinite(target_w) and math.isfinite(rate) and math.isfinite(until_s)):
            raise ValueError("a number in it is none")
        if verb == codes.STAND or envelope == codes.EMERGENCY or rate < 0:
            raise ValueError("no command is kept like this")
        return cls(
            verb, target_w, envelope, min(max(0.0, until_s - now_s), 86400.0), rate, codes.Shape(record["shape"])
        )
