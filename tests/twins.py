"""Two site meters and what stands between them and the core, look by look: times in s, powers in kW."""

from __future__ import annotations

from collections.abc import Iterable

from rampd.daemon.config import Config
from rampd.daemon.site import Composed, compose
from rampd.daemon.standby import Standby
from rampd.ext import codes, views
from rampd.ext.image import InputWall, OutputWall
from tests.sites import SITE, Edit

S = 1_000_000_000
METER = """
[[meter]]
id = "check"
map = "schneider-3000"
address = "127.20.0.2:1502"
period_s = 0.5
"""
SECOND: tuple[Edit, ...] = (
    (SITE, 'meter = "poi"', 'meter = "poi"\nsecond_meter = "check"'),
    (SITE, "\n[[loop]]", f"{METER}\n[[loop]]"),
)


def with_voltage(config: Config) -> Composed:
    return compose(config.model_copy(update={"grid": config.grid.model_copy(update={"nominal_v": 7967.0})}))


class Meters:
    """Both meters, read ten times a second as long as they answer; stale after two seconds."""

    def __init__(self, composed: Composed) -> None:
        self.wall = InputWall(composed.limits)
        self.inputs = views.inputs(self.wall)
        found = Standby.of(composed, self.inputs)
        assert found is not None
        self.standby = found
        self.outputs = OutputWall(composed.limits)
        self.out = views.outputs(self.outputs)
        self.max_kw = composed.config.site.max_mw * 1e3
        self.now_s = 100.0

    def put(self, slot: int, kw: float, quality: int = codes.GOOD) -> None:
        self.inputs.value[slot] = kw * 1e3
        self.inputs.at_ns[slot] = round(self.now_s * S)
        self.inputs.quality[slot] = quality

    def run(self, seconds: float, first: float | None, second: float | None, quality: int = codes.GOOD) -> list[float]:
        """What the core would read at every look, None where that is no good reading of the last two seconds."""
        seen = []
        for _ in range(round(seconds / 0.1)):
            self.now_s += 0.1
            if first is not None:
                self.put(self.standby.first.slots["power_w"], first, quality)
            if second is not None:
                self.put(self.standby.second.slots["power_w"], second)
            self.standby.look(round(self.now_s * S))
            self.standby.heed(self.out, round(self.now_s * S))
            slot = self.standby.site["power_w"]
            old = round(self.now_s * S) - self.inputs.at_ns[slot] > 2 * S
            good = self.inputs.quality[slot] == codes.GOOD and not old
            seen.append(self.inputs.value[slot] / 1e3 if good else float("nan"))
        return seen

    def follow(self, seconds: float, powers: Iterable[tuple[float | None, float | None]]) -> str:
        """So many seconds of each; the meter that counts then."""
        for first, second in powers:
            self.run(seconds, first, second)
        return self.standby.counts.name

    def racks(self, kw: float, beside_kw: float = 0.0) -> None:
        """What the core knows by the racks alone: what they draw, and what the rest drew last."""
        self.out.started = 1
        self.out.model_w, self.out.disturbance_w = kw * 1e3, beside_kw * 1e3

    def doubt(self, reason: codes.Reason | None = None) -> None:
        """What the core finds of the meter that counts."""
        self.out.zone_reasons[0] = 0 if reason is None else 1 << reason
