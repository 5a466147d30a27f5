"""The second meter of a site: it stands for the site's own while that cannot be read, or is not believed.

The core reads slots of its own; before each hand-over of the image they get the readings of the meter that counts, with
their own time and quality: power, and what both meters tell of the grid. That changes before the core would miss a
reading, and back once the first was read for a while. The core finds a meter frozen or implausible by the racks. One
that it has found so counts no more, however well it answers, until it has proven itself beside the other; or, where
that one cannot be read or is doubted as well, beside the racks and what the rest drew last.
"""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from rampd.daemon.site import Composed, Point, twin
from rampd.daemon.twins import Twins
from rampd.ext import codes, views

log = logging.getLogger("rampd.standby")

PATIENCE: Final = 0.75  # of the time after which a reading is stale: then the other is asked for
BACK_NS: Final = 10_000_000_000
CLEAR_NS: Final = 15_000_000_000
"""After a change: what the core held against the other meter has ended by then."""
RACKS_PART: Final = 0.04  # of the site's most: what the rest draws may have changed by as much
DOUBTS: Final = 1 << codes.R_METER_FROZEN | 1 << codes.R_METER_IMPLAUSIBLE


@dataclass(slots=True)
class Meter:
    """One of the two: the slots of what the core reads, by the names that the site meter has for it."""

    name: str
    slots: dict[str, int]
    read_ns: int = 0  # since when its power can be read, 0: it cannot
    doubted: bool = False

    @classmethod
    def of(cls, point: Point, names: dict[str, int]) -> Meter:
        """Of a device that tells all of these."""
        return cls(point.id, {name: point.slots[twin(name, point.slots) or name] for name in names})

    @property
    def fit(self) -> bool:
        """Whether it may count."""
        return self.read_ns > 0 and not self.doubted


@dataclass(slots=True)
class Standby:
    """`site` are the slots that the core reads. `why` is what made the meter count that does."""

    inputs: views.Inputs
    first: Meter
    second: Meter
    site: dict[str, int]
    wait_ns: int
    twins: Twins
    racks: Twins  # the meter that does not count beside the racks, while the other is not fit
    loss_ratio: float
    on_second: bool = False
    why: str = ""
    _changed_ns: int = -CLEAR_NS
    _before: int = 0  # the reasons for which a meter was doubted before a restart
    _begun_ns: int = 0
    _started: bool = False  # the core has taken the hall over

    @classmethod
    def of(cls, composed: Composed, inputs: views.Inputs) -> Standby | None:
        """Of a site that has a second meter."""
        control, site = composed.config.control, composed.config.site
        max_w = site.max_mw * 1e6
        if site.second_meter is None:
            return None
        shared = {name: slot for name, slot in composed.read.items() if slot != composed.meter.slots[name]}
        return cls(
            inputs, Meter.of(composed.meter, shared), Meter.of(composed.by_id[site.second_meter], shared), shared,
            round(PATIENCE * control.meter_stale_s * 1e9), Twins(max_w), Twins(max_w, RACKS_PART),
            site.losses_percent / 100,
        )  # fmt: skip

    @property
    def counts(self) -> Meter:
        """The meter that counts."""
        return self.second if self.on_second else self.first

    @property
    def other(self) -> Meter:
        """The meter that does not."""
        return self.first if self.on_second else self.second

    def restore(self, names: Container[str], reasons: int) -> None:
        """Meters that were doubted before a restart, by the core for these reasons.

        Where both were, nobody knows for which of them these are: the one that counts has to disprove all.
        """
        for meter in (self.first, self.second):
            meter.doubted = meter.name in names
        self._before = DOUBTS if self.first.doubted and self.second.doubted else reasons
        self.on_second = self.first.doubted and not self.second.doubted
        self.why = "doubted" if self.on_second else ""
        self.inputs.doubted = self._before if self.counts.doubted else 0

    def look(self, now_ns: int) -> None:
        """Chooses the meter that counts, and hands its readings on, those that it does not have from the other."""
        self._begun_ns = self._begun_ns or now_ns
        for meter in (self.first, self.second):
            slot = meter.slots["power_w"]
            if not self._read(slot, now_ns):
                meter.read_ns = 0
            elif meter.read_ns == 0:
                meter.read_ns = self.inputs.at_ns[slot]
        self._choose(now_ns)
        counts, other, inputs = self.counts, self.other, self.inputs
        for name, site in self.site.items():
            slot = counts.slots[name]
            if name != "power_w" and not self._read(slot, now_ns) and self._read(other.slots[name], now_ns):
                slot = other.slots[name]
            inputs.value[site] = inputs.value[slot]
            inputs.at_ns[site] = inputs.at_ns[slot]
            inputs.quality[site] = inputs.quality[slot]
        if not self._started:
            inputs.doubted = self._before if counts.doubted else 0

    def heed(self, out: views.Outputs, now_ns: int) -> None:
        """What the core makes of the meter that counts, and what the two make of each other."""
        counts, other = self.counts, self.other
        self._started = self._started or bool(out.started)
        before = counts.doubted
        if now_ns - self._changed_ns >= CLEAR_NS:
            counts.doubted = bool(out.zone_reasons[0] & DOUBTS)
        self._compare(out, counts.doubted != before, now_ns)
        if other.doubted and (beside := self._proven(now_ns)):
            other.doubted = False
            log.info("meter %s has gone along with %s again: it is believed", other.name, beside)

    def _compare(self, out: views.Outputs, turned: bool, now_ns: int) -> None:
        """Holds the two against each other, and the other against the racks while the one that counts is not fit."""
        counts, other = self.counts, self.other
        first_w, second_w = (self.inputs.value[meter.slots["power_w"]] for meter in (self.first, self.second))
        if counts.read_ns and other.read_ns and not turned:
            self.twins.look(first_w, second_w, now_ns)
        else:
            self.twins.part(now_ns)
        if other.read_ns and not counts.fit and out.started:
            racks_w = (1.0 + self.loss_ratio) * out.model_w + out.disturbance_w
            self.racks.look(first_w if self.on_second else second_w, racks_w, now_ns)
        else:
            self.racks.part(now_ns)

    def _proven(self, now_ns: int) -> str:
        """What the meter that does not count has proven itself beside, empty: nothing."""
        if not self.counts.doubted and self.twins.proven(0 if self.on_second else 1, now_ns):
            return self.counts.name
        return "the racks" if self.racks.proven(0, now_ns) else ""

    def _read(self, slot: int, now_ns: int) -> bool:
        inputs = self.inputs
        return inputs.quality[slot] == codes.GOOD and now_ns - inputs.at_ns[slot] <= self.wait_ns

    def _choose(self, now_ns: int) -> None:
        first, second = self.first, self.second
        alone = self.other.read_ns > 0 and not self.counts.read_ns
        if self._before and alone and not self._started and now_ns - self._begun_ns >= BACK_NS:
            # A hall is taken over by a meter that is doubted rather than not at all.
            self._change("unread", now_ns)
        elif self.on_second:
            read_ns = self.inputs.at_ns[first.slots["power_w"]] - first.read_ns
            if first.fit and (not second.fit or read_ns >= BACK_NS):
                self._change("doubted" if second.doubted else "unread" if not second.fit else "read", now_ns)
        elif second.fit and not first.fit:
            self._change("doubted" if first.doubted else "unread", now_ns)

    def _change(self, why: str, now_ns: int) -> None:
        was = self.counts.name
        self.on_second = not self.on_second
        self.why, self._changed_ns = why, now_ns
        if not self.on_second:
            log.info("site meter %s is read again", self.first.name)
        elif why == "doubted":
            log.warning("site meter %s is not believed: %s stands for it", was, self.second.name)
        else:
            log.warning("site meter %s cannot be read: %s stands for it", was, self.second.name)
