"""A restart while the hall stands, is idle, or is on its way: the new process knows nothing but readings."""

from __future__ import annotations

import pytest

from rampd.daemon.config import Config
from tests.closed_loop import ClosedLoop, hall
from tests.plant.test_closed_loop import DOWN_S, HALLS, UP_S, example, full_w, leg, nothing_broken


@pytest.fixture(scope="module", params=HALLS)
def config(request: pytest.FixtureRequest) -> Config:
    """The example halls, where nothing rises by itself."""
    found = example(request.param)
    return found.model_copy(update={"lease": found.lease.model_copy(update={"raise_after": False})})


def restart(loop: ClosedLoop) -> None:
    """A new process, which is given the standing command again, as the daemon does from its trail."""
    command = loop.inputs.command
    standing = {name: getattr(command, name) for name in ("verb", "envelope", "expires_ns", "target_w", "ramp_s")}
    loop.restart()
    command.seq = 1
    for name, value in standing.items():
        setattr(command, name, value)


@pytest.mark.parametrize("part", (0.4, 0.7, 1.0))
def test_a_restart_moves_nothing(config: Config, part: float) -> None:
    """In mid-curtailment: the new process finds the hall as it is and leaves it so."""
    loop = ClosedLoop(config)
    loop.run(15.0)
    loop.command(part * full_w(loop), ramp_s=5.0)
    loop.run(30.0)
    before_w = loop.mean_w(5.0)
    loop.restart()
    begin_s = loop.now_s
    loop.run(10.0)
    assert max(abs(poi_w - before_w) for poi_w in loop.since(begin_s)) <= 0.01 * full_w(loop)
    loop.run(60.0)
    assert loop.mean_w(10.0) == pytest.approx(before_w, abs=0.01 * full_w(loop))
    # The next command finds the loop as good as before.
    if part > 0.4:
        leg(loop, 0.4 * full_w(loop), DOWN_S)
    nothing_broken(loop)


def test_idle_racks_are_not_taken_for_racks_on_their_way(config: Config) -> None:
    loop = ClosedLoop(config, hall(config, utilisation=0.45))
    loop.run(40.0)
    before_w = loop.mean_w(5.0)
    loop.command(before_w, ramp_s=5.0)
    loop.run(20.0)
    restart(loop)
    begin_s = loop.now_s
    loop.run(20.0)
    assert max(abs(poi_w - before_w) for poi_w in loop.since(begin_s)) <= 0.02 * full_w(loop)
    nothing_broken(loop)


@pytest.mark.parametrize("after_s", (1.0, 3.0, 8.0))
def test_a_restart_on_the_way_up_costs_no_time(config: Config, after_s: float) -> None:
    loop = ClosedLoop(config)
    loop.run(15.0)
    loop.command(0.45 * full_w(loop), ramp_s=5.0)
    loop.run(40.0)
    target_w = 0.95 * full_w(loop)
    begin_s = loop.now_s
    loop.command(target_w, ramp_s=5.0)
    loop.run(after_s)
    restart(loop)
    loop.run(60.0)
    settled_s = loop.settled_s(begin_s, target_w, 0.01 * full_w(loop))
    assert settled_s is not None
    assert settled_s <= UP_S
    assert max(loop.since(begin_s)) <= target_w + 0.02 * full_w(loop)
    nothing_broken(loop)
