"""A PDU with a rack that takes no cap: the guard trips it, the others carry on, and it comes back after a reset."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon import ladder, sitecheck
from rampd.daemon.config import Config
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Clumsy(ClosedLoop):
    """Racks of `stuck` obey nothing but off, as a card that ignores its cap and still can be switched off."""

    stuck: tuple[int, ...] = ()

    def act(self) -> None:
        out = views.outputs(self.out)
        for i in self.stuck:
            if out.setpoint_w[i] == 0.0 != self.written[i]:
                self.plant.set_limit(self.index[self.composed.racks[i].id], 0.0, self.now_s)
            self.written[i] = out.setpoint_w[i]
        super().act()

    def heal(self) -> None:
        for i in self.stuck:
            self.inputs.rack_state[i] = codes.AVAILABLE
            self.written[i] = -1.0
        self.stuck = ()


@pytest.fixture(scope="module", params=("bench-12", "hall-48mw"))
def config(request: pytest.FixtureRequest) -> Config:
    return sitecheck.load(EXAMPLES / request.param / "site.toml")


def tripped(loop: ClosedLoop, out: views.Outputs) -> list[str]:
    return [one.scope for one in ladder.active(loop.composed, out) if one.line.reason == codes.R_OVERLOAD]


def test_a_rack_that_only_obeys_off_is_switched_off_until_a_reset(config: Config) -> None:
    loop = Clumsy(config)
    loop.run(15.0)
    loop.command(0.8 * config.site.max_mw * 1e6, ramp_s=5.0, lease_s=3600.0)
    loop.run(60.0)
    v = next(v for v, node in enumerate(loop.composed.nodes) if loop.limits.node_end[v] == v + 1)
    node, own = loop.composed.nodes[v].id, range(loop.limits.rack_first[v], loop.limits.rack_first[v + 1])
    stuck = loop.index[loop.composed.racks[own[0]].id]

    def drawn_w() -> float:
        return sum(loop.plant.racks.power_w[loop.index[loop.composed.racks[i].id]] for i in own)

    loop.stuck = (own[0],)
    loop.inputs.rack_state[own[0]] = codes.UNRESPONSIVE
    loop.run(5.0)
    # What that one draws alone is more than a PDU may that was derated.
    loop.limits.node_w[v] = 0.5 * loop.plant.racks.power_w[stuck]
    begin_s, stood_w = loop.now_s, loop.mean_w(10.0)
    graded_s = (loop.limits.site.breach_ns + loop.limits.trip_ns[v]) * 1e-9
    while not tripped(loop, out := loop.run(loop.dt_s)) and loop.now_s < begin_s + 2.0 * graded_s:
        assert drawn_w() > loop.limits.node_w[v]
    assert tripped(loop, out) == [node]
    assert loop.now_s - begin_s == pytest.approx(graded_s, abs=2.0)
    out = loop.run(30.0)
    assert all(out.setpoint_w[i] == 0.0 for i in own)
    assert drawn_w() == 0.0
    assert {codes.Why(out.why[i]) for i in own} <= {codes.Why.WHY_TRIP, codes.Why.WHY_UNRESPONSIVE}
    # Its own racks only, and the guard withholds nothing any more.
    assert all(out.setpoint_w[i] > 0.0 for i in range(len(loop.composed.racks)) if i not in own)
    vetoes = loop.vetoes()
    loop.heal()
    out = loop.run(30.0)
    assert loop.vetoes() == vetoes
    assert {codes.Why(out.why[i]) for i in own} == {codes.Why.WHY_TRIP}
    assert out.meter_good
    assert loop.mean_w(5.0) == pytest.approx(min(stood_w, out.most_w), rel=0.02)
    # The limit that was wrong is put right, and an operator resets.
    loop.limits.node_w[v] = 1e12
    loop.inputs.command.resets += 1
    off_w = loop.mean_w(5.0)
    begin_s = loop.now_s
    out = loop.run(60.0)
    assert tripped(loop, out) == []
    # What the others could not carry comes back as after an emergency; where they carry all, nothing is to come back.
    short = off_w < 0.95 * stood_w
    assert bool(views.state(loop.memory).returning) == short
    least_w = max(rack.min_kw for rack in loop.composed.racks) * 1e3
    for k, power_w in enumerate(loop.since(begin_s)):
        assert power_w <= off_w + loop.limits.site.return_up * k * loop.dt_s + 0.01 * stood_w + least_w
    assert loop.mean_w(5.0) == pytest.approx(stood_w, rel=0.01)
    assert loop.vetoes() == vetoes
