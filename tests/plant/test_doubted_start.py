"""A restart while the site meter is doubted: it has to prove itself after it as before, and the hall is led meanwhile.

Core and plant on one clock; what the journal carries is handed over as the daemon does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon.config import Config
from rampd.daemon.doubted import Doubted
from rampd.daemon.journal import Journal
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop
from tests.plant.test_plausible import SMALL, example

FROZEN, FALSE = 1 << codes.R_METER_FROZEN, 1 << codes.R_METER_IMPLAUSIBLE


@pytest.fixture
def config() -> Config:
    return example("bench-12", **SMALL)


def restart(loop: ClosedLoop, path: Path) -> views.Outputs:
    """A process that dies and the next one, by the journal; the command goes on for the rest of its lease."""
    last = Journal.open(path)
    Doubted(loop.composed, last, None).tick(views.outputs(loop.out))
    last.save()
    command = loop.inputs.command
    standing = {name: getattr(command, name) for name in ("verb", "envelope", "expires_ns", "target_w", "ramp_s")}
    loop.restart()
    command.seq = 1
    for name, value in standing.items():
        setattr(command, name, value)
    Doubted(loop.composed, Journal.open(path), None).restore(loop.inputs)
    return loop.run(8.0)


def doubt(loop: ClosedLoop, how: str) -> int:
    """The hall stands at half of its power, and its meter is doubted."""
    loop.run(45.0)
    loop.command(0.9e6, ramp_s=5.0)
    loop.run(30.0)
    if how == "frozen":
        loop.meter_frozen = True
    else:
        loop.meter_gain = 0.5
    loop.command(0.6e6, ramp_s=5.0)
    out = loop.run(30.0)
    assert not out.meter_good
    return out.zone_reasons[0] & (FROZEN | FALSE)


@pytest.mark.parametrize("how", ["frozen", "half"])
def test_it_is_led_by_its_racks_and_nothing_rises(config: Config, tmp_path: Path, how: str) -> None:
    loop = ClosedLoop(config)
    reason = doubt(loop, how)
    assert reason == (FROZEN if how == "frozen" else FALSE)
    stood_w = loop.mean_w(5.0)
    for _ in range(2):
        begin_s = loop.now_s
        out = restart(loop, tmp_path / "commands.json")
        assert (out.started, out.meter_good) == (1, 0)
        assert out.zone_reasons[0] & (FROZEN | FALSE) == reason
        assert max(abs(w - stood_w) for w in loop.since(begin_s)) <= 0.02 * 0.95e6
    # Sent upwards it stays, downwards it goes by the racks and what the rest drew.
    loop.command(0.9e6, ramp_s=5.0)
    begin_s = loop.now_s
    loop.run(30.0)
    assert max(loop.since(begin_s)) <= stood_w + 0.02 * 0.95e6
    loop.command(0.4e6, ramp_s=5.0)
    loop.run(30.0)
    assert loop.mean_w(5.0) == pytest.approx(0.4e6, rel=0.05)
    # Put right, it is believed by the rules that are always so.
    loop.meter_frozen, loop.meter_gain = False, 1.0
    out = loop.run(11.5)
    assert out.meter_good
    loop.command(0.9e6, ramp_s=5.0)
    loop.run(60.0)
    assert loop.mean_w(5.0) == pytest.approx(0.9e6, rel=0.01)
    assert loop.vetoes() == 0


def test_one_that_is_right_after_it_is_believed_soon(config: Config, tmp_path: Path) -> None:
    loop = ClosedLoop(config)
    doubt(loop, "frozen")
    loop.meter_frozen = False
    assert not restart(loop, tmp_path / "commands.json").meter_good
    assert loop.run(5.0).meter_good
    loop.command(0.9e6, ramp_s=5.0)
    loop.run(40.0)
    assert loop.mean_w(5.0) == pytest.approx(0.9e6, rel=0.01)


def test_the_guard_remembers_for_itself(config: Config, tmp_path: Path) -> None:
    loop = ClosedLoop(config)
    doubt(loop, "frozen")
    restart(loop, tmp_path / "commands.json")
    assert views.watch(loop.memory).frozen
    loop.meter_frozen = False
    loop.run(10.5)
    assert not views.watch(loop.memory).frozen


def test_a_hall_whose_meter_is_read_only_later_starts_then(config: Config, tmp_path: Path) -> None:
    """A rack that does not answer keeps it waiting no longer than its readings count."""
    loop = ClosedLoop(config)
    doubt(loop, "half")
    meter, rack = loop.composed.meter.id, loop.composed.points[-1].id
    loop.silent |= {meter, rack}
    assert not restart(loop, tmp_path / "commands.json").started
    loop.silent -= {meter}
    assert loop.run(1.0).started


@pytest.mark.parametrize(
    "spoiled",
    [[], {"meters": ["poi"]}, {"meters": ["poi"], "reasons": ["none"], "rest_w": 1.0},
     {"meters": ["poi"], "reasons": [], "rest_w": float("nan")}, {"meters": ["poi"], "reasons": [], "rest_w": 1e9}],
)  # fmt: skip
def test_what_cannot_be_read_is_forgotten(
    config: Config, tmp_path: Path, spoiled: object, caplog: pytest.LogCaptureFixture
) -> None:
    loop = ClosedLoop(config)
    kept = Journal.open(tmp_path / "commands.json")
    kept.stand(doubted=spoiled)
    Doubted(loop.composed, kept, None).restore(loop.inputs)
    assert (loop.inputs.doubted, loop.inputs.rest_w) == (0, 0.0)
    assert "is not usable in the journal" in caplog.text
