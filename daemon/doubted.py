"""Site meters that are not believed, over a restart: what was doubted has to prove itself after it as before it.

With a second meter the doubts stand here in the daemon, for whichever counts in the core. The journal has both, and
what the rest of the site drew last: a hall whose meter is doubted is taken over by its racks and that.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Final

from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed
from rampd.daemon.standby import DOUBTS, Standby
from rampd.ext import reasons, views

log = logging.getLogger("rampd.doubted")

NAMES: Final = {line.name: 1 << line.reason for line in reasons.TABLE if 1 << line.reason & DOUBTS}
MOVED_PART: Final = 0.01  # of the site's most: what the rest drew is noted anew where it moved by more


class Doubted:
    """Keeps the doubts in the journal as the snapshots tell them, and tells a new core and its two meters."""

    def __init__(self, composed: Composed, journal: Journal, standby: Standby | None) -> None:
        self.composed = composed
        self.journal = journal
        self.standby = standby
        self._rest_w = math.nan

    def tick(self, out: views.Outputs) -> None:
        """One snapshot. Until the hall is taken over what a restart has found stands."""
        if not out.started:
            return
        found = out.zone_reasons[0] & DOUBTS
        if self.standby is None:
            names = [self.composed.meter.id] if found else []
        else:
            names = [meter.name for meter in (self.standby.first, self.standby.second) if meter.doubted]
        record: dict[str, Any] | None = None
        if names:
            moved_w = abs(out.disturbance_w - self._rest_w)
            if not moved_w <= MOVED_PART * self.composed.config.site.max_mw * 1e6:
                self._rest_w = round(out.disturbance_w, 1)
            record = {
                "meters": names, "reasons": [name for name, bit in NAMES.items() if found & bit],
                "rest_w": self._rest_w,
            }  # fmt: skip
        if record != self.journal.rest.get("doubted"):
            self.journal.stand(doubted=record)

    def restore(self, inputs: views.Inputs) -> None:
        """Tells the core, before its first tick. What cannot be read of it is forgotten: its rest leads nowhere."""
        record = self.journal.rest.get("doubted")
        if record is None:
            return
        try:
            names = {str(name) for name in record["meters"]}
            found = sum(NAMES[name] for name in set(record["reasons"])) or DOUBTS
            rest_w = float(record["rest_w"])
            if not abs(rest_w) <= 2e6 * self.composed.config.site.max_mw:
                raise ValueError(f"{rest_w:g} W is more than the site draws")
        except (KeyError, TypeError, ValueError) as error:
            log.error("which site meter was doubted is not usable in the journal, none is: %s", error)
            return
        inputs.rest_w = rest_w
        if self.standby is not None:
            self.standby.restore(names, found)
        elif self.composed.meter.id in names:
            inputs.doubted = found
        log.warning("not believed before the restart: site meter %s", ", ".join(sorted(names)))
