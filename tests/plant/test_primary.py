"""Primary response as the outside sees it: beside the reference, as far as there is room, no failure of a command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rampd.daemon import simulate, sitecheck, why
from rampd.daemon.answers import Reply
from rampd.daemon.closed import START_S, ClosedLoop
from rampd.daemon.config import Config, Grid
from rampd.daemon.journal import Journal
from rampd.daemon.proving import hall
from rampd.daemon.show import Show
from rampd.daemon.why import Moment, Names, wall_now
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop as Site
from tests.desk_loop import DeskLoop

BENCH = Path(__file__).resolve().parents[2] / "examples/bench-12/site.toml"
GRID = Grid(droop_percent=5.0, deadband_hz=0.017)
# 0.1 Hz off, less the deadband, of the span that is left of 3 Hz.
OWED = (0.1 - 0.017) / (3.0 - 0.017)


def at(part: float, hz: float, verb: int = codes.TRACK) -> tuple[ClosedLoop, views.Outputs]:
    """A hall at a part of its most, which then is at a frequency for half a minute."""
    loop = ClosedLoop(hall(1, (0.2, 1.0), GRID, racks_of=40), noise=0.0)
    loop.run(15.0)
    loop.command(part * loop.config.site.max_mw * 1e6, ramp_s=5.0, verb=verb)
    loop.run(45.0)
    since_s = loop.now_s
    loop.hz = lambda now_s: hz if now_s > since_s else 60.0
    return loop, loop.run(30.0)


@pytest.mark.parametrize(("hz", "sign"), [(59.9, -1.0), (60.1, 1.0), (60.01, 0.0)])
def test_the_purchase_is_beside_the_reference_by_what_is_said(hz: float, sign: float) -> None:
    loop, out = at(0.7, hz)
    full_w = loop.config.site.max_mw * 1e6
    assert out.response_w == pytest.approx(sign * OWED * full_w, abs=1.0)
    assert out.reference_w == pytest.approx(0.7 * full_w)
    assert loop.poi_w[-1] == pytest.approx(out.reference_w + out.response_w, abs=0.003 * full_w)


def test_what_the_racks_have_no_room_for_is_not_said() -> None:
    loop, out = at(1.0, 60.3)
    full_w = loop.config.site.max_mw * 1e6
    assert out.response_w == out.most_w - out.reference_w < 0.03 * full_w
    assert loop.poi_w[-1] == pytest.approx(out.reference_w + out.response_w, abs=0.003 * full_w)
    loop, out = at(0.33, 59.7)
    assert 0.0 > out.response_w == out.least_w - out.reference_w > -0.04 * full_w
    assert loop.poi_w[-1] == pytest.approx(out.reference_w + out.response_w, abs=0.003 * full_w)
    _, out = at(0.0, 59.9, codes.ESTOP)
    assert out.response_w == 0.0


def test_a_hold_stays_where_the_response_has_brought_the_purchase() -> None:
    loop, out = at(0.7, 59.7)
    stood_w = loop.poi_w[-1]
    loop.command(0.0, verb=codes.HOLD)
    out = loop.run(30.0)
    assert out.reference_w == pytest.approx(0.7 * loop.config.site.max_mw * 1e6, rel=0.003)
    assert loop.poi_w[-1] == pytest.approx(stood_w, abs=0.003 * loop.config.site.max_mw * 1e6)


def test_the_purchase_stays_at_what_generation_behind_the_meter_needs() -> None:
    """59.7 Hz asks for a tenth of the most: from 70 %, with a least of 66 %, less than half of that may be given."""
    config = hall(1, (0.2, 1.0), GRID, racks_of=40)
    full_w = config.site.max_mw * 1e6
    least_w = 0.66 * full_w
    site = config.site.model_copy(update={"min_mw": least_w / 1e6})
    loop = ClosedLoop(config.model_copy(update={"site": site}), noise=0.0)
    loop.run(15.0)
    loop.command(0.7 * full_w, ramp_s=5.0)
    loop.run(45.0)
    since_s = loop.now_s
    loop.hz = lambda now_s: 59.7 if since_s < now_s <= since_s + 60.0 else 60.0
    out = loop.run(60.0)
    assert out.response_w == pytest.approx(least_w - 0.7 * full_w)
    assert out.site_why == codes.SITE_MINIMUM
    # The feedback may swing a little below it on the way there, and stands on it.
    assert min(loop.poi_w[-1200:]) >= least_w - 0.003 * full_w
    assert sum(loop.poi_w[-400:]) / 400 == pytest.approx(least_w, abs=0.001 * full_w)
    # A set point that falls meanwhile takes no more away.
    loop.command(0.67 * full_w, ramp_s=5.0)
    loop.hz = lambda _: 59.7
    out = loop.run(45.0)
    assert out.response_w == pytest.approx(least_w - 0.67 * full_w)
    assert min(loop.poi_w[-900:]) >= least_w - 0.003 * full_w
    loop.hz = lambda _: 60.0
    out = loop.run(45.0)
    assert (out.response_w, out.site_why) == (0.0, codes.SITE_REFERENCE)
    assert sum(loop.poi_w[-400:]) / 400 == pytest.approx(0.67 * full_w, abs=0.003 * full_w)


@pytest.mark.parametrize(("hz", "words"), [(59.9, "MW, primary response -0."), (60.1, "MW, primary response +0.")])
def test_why_says_it(hz: float, words: str) -> None:
    loop, out = at(0.7, hz)
    names = Names([], [], [])
    found = Moment(names, loop.limits, loop.inputs, out, lambda now_ns: wall_now(now_ns - round(START_S * 1e9))).site()
    assert words in found["words"]
    assert found["response_w"] == out.response_w
    assert why.beside(0.0, 0.0) == why.beside(400.0, -400.0) == ""
    assert why.beside(-1.2e6, 3e6) == ", regulation -1.200 MW, primary response +3.000 MW"


class Desk(DeskLoop):
    """The bench on a grid that is off nominal, under a desk that tells the outside."""

    def __init__(self, config: Config, hz: float, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(Site(config, plant_spec=replace(simulate.spec(config).plant, nominal_hz=hz)), monkeypatch)
        self.stages: list[str] = []
        self.open(Journal(None))
        self.show = Show(self.loop.composed, self.loop.inputs, self.desk)

    def heard(self, reply: Reply) -> None:
        self.stages.append(reply.payload["stage"])

    def run(self, seconds: float) -> views.Outputs:
        for _ in range(round(seconds * 10)):
            out = self.tick()
        return out


def test_a_command_is_reached_beside_a_response_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = sitecheck.load(BENCH).model_copy(update={"grid": GRID})
    desk = Desk(config, 59.8, monkeypatch)
    full_w = config.site.max_mw * 1e6
    desk.run(30.0)
    desk.send("setpoint", percent=60, ramp_s=5, lease_s=900)
    desk.run(60.0)
    assert desk.stages[-1] == "reached", desk.stages
    state = desk.show.state(desk.run(0.1))
    assert state["reference_w"] == pytest.approx(0.6 * full_w)
    assert state["response_w"] < -0.04 * full_w
    assert state["power_w"] < 0.57 * full_w
    assert state["compliant"]
