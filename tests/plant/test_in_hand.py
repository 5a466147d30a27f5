"""Racks that the operator raises by hand, all at once: below the import limit, within the ramp, and all get there."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rampd.daemon import halls, sitecheck
from rampd.daemon.journal import Journal
from rampd.ext import codes
from tests.closed_loop import ClosedLoop
from tests.desk_loop import DeskLoop

LED_MW, IMPORT_MW = 0.9, 1.05
LOW_W, HIGH_W = 40e3, 132e3


class Actuators:
    """Writes to the plant at once."""

    def __init__(self, loop: ClosedLoop) -> None:
        self.loop = loop

    def take(self, i: int, limit_w: float) -> None:
        self.loop.inputs.rack_state[i] = codes.MANUAL
        if not math.isnan(limit_w):
            rack = self.loop.composed.racks[i]
            self.loop.plant.set_limit(self.loop.index[rack.id], limit_w, self.loop.now_s)

    def give_back(self, i: int) -> None:
        self.loop.inputs.rack_state[i] = codes.AVAILABLE

    def writable(self, i: int) -> bool:
        return i < len(self.loop.composed.racks)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeskLoop:
    config = sitecheck.load(halls.write(halls.Hall("in-hand", 12), tmp_path))
    narrow = {"import_limit_mw": IMPORT_MW, "max_mw": 1.0, "default_mw": 1.0}
    loop = ClosedLoop(config.model_copy(update={"site": config.site.model_copy(update=narrow)}))
    made = DeskLoop(loop, monkeypatch)
    made.open(Journal(None))
    made.desk.hands.actuators = Actuators(loop)
    return made


class Noting(Actuators):
    """Notes when racks were raised."""

    def __init__(self, loop: ClosedLoop) -> None:
        super().__init__(loop)
        self.raised_s: list[float] = []

    def take(self, i: int, limit_w: float) -> None:
        super().take(i, limit_w)
        if limit_w == HIGH_W:
            self.raised_s.append(self.loop.now_s)


def run(site: DeskLoop, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        site.tick()


def test_all_racks_rise_one_after_the_other_below_the_import_limit(site: DeskLoop) -> None:
    gpus = [rack.id for rack in site.loop.composed.racks if rack.kind == "gpu"]
    drawn = site.loop.plant.racks.power_w

    def hand(power_w: float) -> None:
        for rack in gpus:
            site.send(f"rack/{rack}", use="setpoint", power_w=power_w, lease_s=900, who="operator:ann")

    run(site, 20)
    site.send("setpoint", power_w=LED_MW * 1e6, ramp_s=5)
    hand(LOW_W)
    run(site, 30)
    assert max(drawn[site.loop.index[rack]] for rack in gpus) < 1.1 * LOW_W
    room_w = (IMPORT_MW - LED_MW) * 1e6
    assert room_w < 2 * (HIGH_W - LOW_W), "not even two rises fit at once"
    site.loop.over_w["site"] = -math.inf
    hand(HIGH_W)
    run(site, 60)
    assert site.loop.over_w["site"] < 0.0
    assert min(drawn[site.loop.index[rack]] for rack in gpus) > 0.9 * HIGH_W
    assert site.loop.mean_w(10.0) == pytest.approx(LED_MW * 1e6, rel=0.01)


def test_rises_by_hand_are_no_faster_than_the_envelope(site: DeskLoop) -> None:
    """0.58 MW a minute of normal ramp are 9.7 kW/s; five racks go up by 92 kW each, and no other makes room."""
    loop = site.loop
    run(site, 20)
    gpus = [rack.id for rack in loop.composed.racks if rack.kind == "gpu"]
    for rack in loop.composed.racks:
        lowered = {"use": "setpoint", "power_w": LOW_W, "lease_s": 900}
        site.send(f"rack/{rack.id}", who="operator:ann", **(lowered if rack.id in gpus else {"use": "hands_off"}))
    run(site, 30)
    made = site.desk.hands.actuators = Noting(loop)
    begin_s, begin_w = loop.now_s, loop.mean_w(1.0)
    for rack in gpus:
        site.send(f"rack/{rack}", use="setpoint", power_w=HIGH_W, lease_s=900, who="operator:ann")
    run(site, 60)
    assert len(made.raised_s) == len(gpus)
    each_w = (1.0 + loop.limits.site.loss_ratio) * (HIGH_W - LOW_W)
    for k, at_s in enumerate(made.raised_s):
        assert at_s - begin_s >= k * each_w / loop.limits.site.normal_up - 0.2
    # One rack ahead of the ramp is as fine as it gets.
    for sample in loop.samples:
        if sample.at_s > begin_s:
            ramp_w = begin_w + loop.limits.site.normal_up * (sample.at_s - begin_s)
            assert sample.poi_w <= ramp_w + 1.1 * each_w
