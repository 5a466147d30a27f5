"""A restart while racks rest, a step acts or load comes back: desk, core, journal file and plant, on one clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rampd.daemon import restart, sitecheck
from rampd.daemon.config import Config
from rampd.daemon.journal import Journal
from rampd.daemon.unfinished import Unfinished
from rampd.ext import codes, views
from tests import sites
from tests.closed_loop import ClosedLoop
from tests.desk_loop import DeskLoop

AWAY_S = 4.0
MAX_W = 1.46e6
UP_W_PER_S = 2e3
SLACK_W = 0.02 * MAX_W
LOW_HZ, CLEAR_HZ = 59.6, 59.8
GRID = "\n[[under]]\nhz = 59.7\ntier = 2\n\n[restore]\nup_mw_per_min = 0.12\nstagger_s = 2\n"


class Loop(ClosedLoop):
    """On a grid whose frequency the test sets."""

    hz = 60.0

    def read(self) -> None:
        self.plant.frequency_hz = self.hz
        super().read()


class Site(DeskLoop):
    """What the daemon keeps beside the commands is kept here as well."""

    def __init__(self, config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plant_loop = Loop(config)
        super().__init__(self.plant_loop, monkeypatch)
        self.path = folder / "state" / "commands.json"
        self.begin()

    def begin(self) -> None:
        """As `run.Daemon` does it at its start."""
        self.open(Journal.open(self.path))
        # The image of a new process knows of no signal.
        command = self.loop.inputs.command
        command.regulation_ns = command.lost_ns = command.regulation_after = command.outlived = 0
        restart.resume(self.desk)
        self.unfinished = Unfinished(self.loop.composed, self.desk.journal)
        self.unfinished.restore(self.loop.inputs, self.time(), self.monotonic_ns())

    def before_desk(self, out: views.Outputs) -> None:
        self.unfinished.tick(out, self.time(), self.monotonic_ns())
        if self.desk.journal.pending:
            self.desk.journal.save()

    def crash(self) -> None:
        """Killed, with what was written until then, and started again while the plant goes on."""
        loop = self.plant_loop
        for _ in range(round(AWAY_S / loop.dt_s)):
            loop.tick += 1
            loop.now_s += loop.dt_s
            loop.plant.step(loop.now_s)
        loop.restart()
        self.begin()

    def run(self, seconds: float) -> Iterator[views.Outputs]:
        for _ in range(round(seconds * 10)):
            yield self.tick()

    def let(self, seconds: float) -> None:
        for _ in self.run(seconds):
            pass

    def off(self) -> set[str]:
        """Racks that are told to be off."""
        limit_w = self.plant_loop.plant.racks.limit_w
        return {rack.id for rack in self.loop.composed.racks if limit_w[self.loop.index[rack.id]] == 0.0}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Twelve racks; the six miners of the last tier are on or off, and stay off for five minutes."""
    path = sites.site(tmp_path)
    head, *lines = (tmp_path / "racks.csv").read_text(encoding="utf-8").replace("3.40625", "0").splitlines()
    times = [',"0 109",60,300' if line.startswith("asic") else ",,0,0" for line in lines]
    text = "\n".join([f"{head},levels_kw,min_on_s,min_off_s", *map("".join, zip(lines, times, strict=True)), ""])
    (tmp_path / "racks.csv").write_text(text, encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8") + GRID, encoding="utf-8")
    made = Site(sitecheck.load(path), tmp_path, monkeypatch)
    made.let(15.0)
    return made


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "spoiled"])
def test_miners_that_were_switched_off_rest_over_a_crash(site: Site, readable: bool) -> None:
    site.send("setpoint", percent=40, ramp_s=5, lease_s=900)
    site.let(60.0)
    off = site.off()
    assert len(off) >= 4
    if not readable:
        site.path.write_text("{", encoding="utf-8")
    site.crash()
    began_s = 0.0 if readable else 60.0 + AWAY_S
    site.let(5.0)
    site.send("setpoint", percent=100, ramp_s=5, lease_s=900, who="operator")
    for _ in site.run(began_s + 292.0 - 65.0 - AWAY_S):
        assert site.off() >= off
    site.let(80.0)
    assert not site.off() & off
    assert site.loop.vetoes() == 0


def shed(site: Site) -> None:
    """Under the command for all, an under-frequency step called the miners; the frequency is above it again."""
    site.send("setpoint", percent=80, ramp_s=5, lease_s=3600)
    site.let(180.0)
    site.send("setpoint", percent=100, ramp_s=5, lease_s=3600)
    site.let(25.0)
    site.plant_loop.hz = LOW_HZ
    site.let(3.0)
    site.plant_loop.hz = CLEAR_HZ
    site.let(3.0)
    assert views.outputs(site.loop.out).shedding


def test_a_step_and_the_way_back_from_it_outlast_crashes(site: Site) -> None:
    shed(site)
    low_w = site.loop.mean_w(1.0)
    site.crash()
    for out in site.run(9.0):
        assert out.shedding
    assert site.loop.mean_w(1.0) <= 1.03 * low_w
    assert (site.desk.live is not None, site.loop.inputs.command.resumed) == (True, 1)
    site.plant_loop.hz = 60.0
    began_s = site.loop.now_s
    for _ in range(4):
        for out in site.run(40.0):
            assert not out.returning or out.reference_w <= low_w + UP_W_PER_S * (site.loop.now_s - began_s) + SLACK_W
        assert out.returning
        site.crash()
    site.let(400.0)
    # To the mean of the minutes before, and no further whatever the command asks for, which is not a fresh one.
    out = views.outputs(site.loop.out)
    cap_w = out.return_cap_w
    assert 0.8 * MAX_W < cap_w < 0.87 * MAX_W
    assert out.reference_w == pytest.approx(cap_w)
    assert out.zone_reasons[0] & 1 << codes.R_RETURN
    site.crash()
    for out in site.run(30.0):
        assert not out.started or out.reference_w <= max(cap_w, 1.01 * site.loop.mean_w(1.0))
    site.send("setpoint", percent=100, ramp_s=5, lease_s=900)
    site.let(20.0)
    out = views.outputs(site.loop.out)
    assert (out.returning, out.reference_w) == (0, pytest.approx(MAX_W))
    site.crash()
    site.let(20.0)
    assert not views.outputs(site.loop.out).returning


@pytest.mark.parametrize("next_s", [3600.0, 60.0], ids=["the same interval", "the next one"])
def test_an_interval_that_goes_on_ends_no_return_and_the_next_one_does(site: Site, next_s: float) -> None:
    intervals = [
        {"start": site.stamp(-1), "end": site.stamp(30.0 + next_s), "percent": 95},
        {"start": site.stamp(30.0 + next_s), "end": site.stamp(7200), "percent": 95},
    ]
    site.send("schedule", intervals=intervals)
    site.let(15.0)
    site.plant_loop.hz = LOW_HZ
    site.let(1.0)
    site.plant_loop.hz = 60.0
    site.let(14.0)
    assert views.outputs(site.loop.out).returning
    site.crash()
    site.let(10.0)
    assert (site.desk.live is not None, site.loop.inputs.command.resumed) == (True, 1)
    site.let(60.0)
    assert views.outputs(site.loop.out).returning == (next_s > 100.0)
