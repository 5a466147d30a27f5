"""The second meter of a site: it stands for the site's own while that cannot be read.

The core reads one slot; before each hand-over of the image it gets the reading of the meter that counts, with its own
time and quality. That changes before the core would miss a reading, and back once the first was read for a while.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from rampd.daemon.site import Composed
from rampd.ext import codes, views

log = logging.getLogger("rampd.standby")

PATIENCE: Final = 0.75  # of the time after which a reading is stale: then the other is asked for
BACK_NS: Final = 10_000_000_000


@dataclass(slots=True)
class Standby:
    """`first` and `second` are slots of the two meters' power, `site` the one that the core reads."""

    inputs: views.Inputs
    first: int
    second: int
    site: int
    wait_ns: int
    names: tuple[str, str]
    on_second: bool = False
    read_ns: int = 0  # since when the first can be read again, 0: it cannot

    @classmethod
    def of(cls, composed: Composed, inputs: views.Inputs) -> Standby | None:
        """Of a site that has a second meter."""
        control, site = composed.config.control, composed.config.site
        if site.second_meter is None:
            return None
        return cls(
            inputs, composed.meter.slots["power_w"], composed.by_id[site.second_meter].slots["power_w"],
            views.limits(composed.limits).site.power_slot, round(PATIENCE * control.meter_stale_s * 1e9),
            (site.meter, site.second_meter),
        )  # fmt: skip

    def look(self, now_ns: int) -> None:
        """Chooses the meter that counts, and hands its reading on."""
        first, second = self._read(self.first, now_ns), self._read(self.second, now_ns)
        if not first:
            self.read_ns = 0
        elif self.read_ns == 0:
            self.read_ns = self.inputs.at_ns[self.first]
        if self.on_second:
            if first and (not second or self.inputs.at_ns[self.first] - self.read_ns >= BACK_NS):
                self._change()
        elif second and not first:
            self._change()
        slot = self.second if self.on_second else self.first
        inputs = self.inputs
        inputs.value[self.site] = inputs.value[slot]
        inputs.at_ns[self.site] = inputs.at_ns[slot]
        inputs.quality[self.site] = inputs.quality[slot]

    def _read(self, slot: int, now_ns: int) -> bool:
        inputs = self.inputs
        return inputs.quality[slot] == codes.GOOD and now_ns - inputs.at_ns[slot] <= self.wait_ns

    def _change(self) -> None:
        self.on_second = not self.on_second
        if self.on_second:
            log.warning("site meter %s cannot be read: %s stands for it", *self.names)
        else:
            log.info("site meter %s is read again", self.names[0])
