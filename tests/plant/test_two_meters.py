"""Two site meters that freeze one after the other, in closed loop: the site sees again once one has proven itself.

The racks go down meanwhile, by their model, and nothing rises.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.daemon.standby import Standby
from rampd.ext import codes, views
from tests.closed_loop import NS, ClosedLoop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class TwoMeters(ClosedLoop):
    """`frozen` are the meters that show the same for ever; the second is half a per cent of the site's most apart."""

    def __init__(self) -> None:
        config = sitecheck.load(EXAMPLES / "bench-12" / "site.toml")
        (poi,) = [meter for meter in config.meters if meter.id == config.site.meter]
        site = config.site.model_copy(update={"second_meter": "check"})
        check = poi.model_copy(update={"id": "check"})
        super().__init__(config.model_copy(update={"site": site, "meters": (*config.meters, check)}))
        self.full_w = site.max_mw * 1e6
        found = Standby.of(self.composed, self.inputs)
        assert found is not None
        self.standby = found
        self.frozen: set[str] = set()
        self.slots = {name: self.composed.by_id[name].slots["power_w"] for name in (poi.id, "check")}

    def read(self) -> None:
        before = {name: self.inputs.value[slot] for name, slot in self.slots.items()}
        super().read()
        if self.tick % 4 == 0:
            self.put(self.composed.by_id["check"], "power_w", self.plant.meter_w + 0.005 * self.full_w)
            self.put(self.composed.by_id["check"], "frequency_hz", self.plant.frequency_hz)
        for name in self.frozen:
            self.inputs.value[self.slots[name]] = before[name]
        self.standby.look(round(self.now_s * NS))

    def act(self) -> None:
        super().act()
        if self.tick % 2 == 0:
            self.standby.heed(views.outputs(self.out), round(self.now_s * NS))

    def at(self, part: float, seconds: float) -> views.Outputs:
        """After so long at a set point."""
        self.command(part * self.full_w, ramp_s=5.0)
        return self.run(seconds)


@pytest.fixture
def blind() -> TwoMeters:
    """The first has frozen and the second counts; then that has frozen as well, at 75 %."""
    loop = TwoMeters()
    loop.run(45.0)
    loop.frozen = {"poi"}
    loop.at(0.75, 30.0)
    assert loop.standby.counts.name == "check"
    loop.frozen = {"poi", "check"}
    out = loop.at(0.55, 20.0)
    assert (loop.standby.counts.name, loop.standby.second.doubted, out.meter_good) == ("check", True, 0)
    return loop


def test_the_first_comes_back_on_the_way_down(blind: TwoMeters) -> None:
    blind.frozen = {"check"}
    began_s = blind.now_s
    assert blind.at(0.9, 40.0).meter_good == 0
    assert max(blind.since(began_s)) <= 0.56 * blind.full_w
    blind.at(0.42, 40.0)
    out = blind.run(20.0)
    assert (blind.standby.counts.name, out.meter_good) == ("poi", 1)
    assert out.zone_reasons[0] == 0
    blind.at(0.9, 30.0)
    assert blind.mean_w(5.0) == pytest.approx(0.9 * blind.full_w, rel=0.01)
    assert blind.standby.counts.name == "poi"
    assert (blind.vetoes(), max(blind.over_w.values()) <= 0.0) == (0, True)


def test_the_first_comes_back_at_rest(blind: TwoMeters) -> None:
    """Nothing rises, so no move may come for as long as the default is not below."""
    blind.frozen = {"check"}
    assert blind.run(280.0).meter_good == 0
    out = blind.run(40.0)
    assert (blind.standby.counts.name, out.meter_good) == ("poi", 1)


def test_one_that_is_still_frozen_is_never_believed(blind: TwoMeters) -> None:
    began_s = blind.now_s
    for _ in range(4):
        out = blind.at(0.55, 120.0)
        assert out.zone_reasons[0] & 1 << codes.R_METER_FROZEN
        blind.at(0.4, 120.0)
        assert blind.standby.counts.name == "check"
    assert max(blind.since(began_s)) <= 0.56 * blind.full_w
