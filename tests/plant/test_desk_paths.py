"""The desk on the compiled core and a plant: whatever comes in whatever order, nothing rises without a reason.

A command, a mode, or an interval that begins is a reason. The end of a lease, a lost channel and a restart are none:
from there on the reference stays below where it was. RAMPD_LONG=1 tries ten times as many paths.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from rampd.daemon import commands, halls, restart, sitecheck
from rampd.daemon.answers import Reply
from rampd.daemon.arbitrate import Mode, Source
from rampd.daemon.config import Config
from rampd.daemon.journal import Journal
from rampd.ext import codes, views
from tests.closed_loop import ClosedLoop
from tests.desk_loop import DeskLoop

PATHS = 60 if os.environ.get("RAMPD_LONG") == "1" else 6
STEPS = 40
SLACK_W = 1.0
FREE_W = 1e12


class Site(DeskLoop):
    """A hall under a desk. Without a reason the reference stays below `ceiling_w`.

    None: where the core finds the site after a restart. `fixed`: intervals that begin are no reason either.
    """

    def __init__(self, config: Config, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(ClosedLoop(config, seed), monkeypatch)
        self.path = folder / "commands.json"
        self.fixed = False
        self.ceiling_w: float | None = FREE_W
        self.interval = self.away = -1
        self.ends: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        self.open(Journal.open(self.path))
        restart.resume(self.desk)

    def heard(self, reply: Reply) -> None:
        stage, code = reply.payload["stage"], reply.payload["code"]
        if stage == "accepted" and "begins in" not in reply.payload["message"]:
            self.ceiling_w, self.fixed, self.away = FREE_W, False, -1
        elif stage == "ended":
            self.ends[code] = self.ends.get(code, 0) + 1
            if code in ("lease_ended", "channel_lost"):
                self.ceiling_w = views.outputs(self.loop.out).reference_w
                self.fixed = self.fixed or code == "channel_lost"

    def restart(self, away_s: float) -> None:
        """Killed, and started again while the plant goes on."""
        self.desk.journal.save()
        for _ in range(round(away_s / self.loop.dt_s)):
            self.loop.now_s += self.loop.dt_s
            self.loop.plant.step(self.loop.now_s)
        self.loop.tick = round((self.loop.now_s - 1000.0) / self.loop.dt_s)
        self.loop.restart()
        self.begin()
        plan, live = self.desk.agenda.plan, self.desk.live
        now = -1 if plan is None else plan.at(self.time())
        self.away = -1 if now is None or now == self.interval else now
        self.ceiling_w = FREE_W if live is not None and live.verb == codes.TRACK else None
        if self.away < 0:
            self.interval = -1

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            before = self.desk.live
            out = self.tick()
            self.follow(before, out)
            if out.started and self.ceiling_w is not None:
                assert out.reference_w <= self.ceiling_w + SLACK_W
            self.lawful()

    def before_desk(self, out: views.Outputs) -> None:
        if out.started and self.ceiling_w is None:
            self.ceiling_w = out.reference_w

    def follow(self, before: commands.Live | None, out: views.Outputs) -> None:
        """Intervals that begin are reasons; one that ends is none."""
        live = self.desk.live
        if live is not None and live.source is Source.SCHEDULE and live.interval != self.interval:
            if live.interval != self.away and not self.fixed:
                self.ceiling_w = FREE_W
            self.interval, self.away = live.interval, -1
        elif live is None and before is not None and before.source is Source.SCHEDULE:
            self.ceiling_w = min(self.ceiling_w or FREE_W, out.reference_w)

    def lawful(self) -> None:
        """Who is followed is one whom the mode lets through, and a stop stands."""
        assert self.desk.holder in commands.FOLLOWED[self.desk.mode]
        if self.desk.stopped_by is not None:
            assert self.loop.inputs.command.verb == codes.ESTOP


def step(site: Site, dice: random.Random) -> None:
    """One thing that may happen, and some seconds."""
    who = dice.choice(["iso", "iso", "operator"])
    match dice.choice(
        ["setpoint"] * 5 + ["schedule", "schedule", "hold", "release", "mode", "silence", "restart", "stop"]
    ):
        case "setpoint":
            fields = {"percent": dice.uniform(25, 100), "lease_s": dice.choice([3, 8, 20, 60]), "who": who}
            if dice.random() < 0.3:
                fields["interval"] = {"start": site.stamp(dice.uniform(1, 10))}
            site.send("setpoint", ramp_s=dice.uniform(1, 10), shape=dice.choice(["linear", "s-curve"]), **fields)
        case "schedule":
            edges = sorted(dice.uniform(-5, 60) for _ in range(4))
            slots = [(edges[0], edges[1]), (edges[1], edges[2]), (edges[2] + 3, edges[3] + 6)]
            site.interval = -2
            intervals = [
                {"start": site.stamp(a), "end": site.stamp(b), "percent": dice.uniform(25, 100)} for a, b in slots
            ]
            site.send("schedule", intervals=[one | {"envelope": "dispatched"} for one in intervals])
        case "mode":
            site.send("mode", mode=dice.choice(["hand", "auto", "remote", "remote"]), lease_s=10, who="operator")
        case "silence":
            site.silent = not site.silent
        case "restart":
            site.restart(dice.choice([1.0, 15.0]))
        case "stop":
            site.send("estop", who=who)
            site.run(2)
            site.send("reset", who="operator")
        case verb:
            site.send(verb, who=who)
    site.run(dice.uniform(1, 12))


@pytest.mark.parametrize("seed", range(PATHS))
def test_nothing_rises_without_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    edits = (
        ("raise_after = true", "raise_after = false"),
        ("deadman_s = 30", "deadman_s = 30\nhold_max_s = 8\nblind_max_s = 8"),
    )
    path = halls.write(halls.Hall("paths", halls.SMALLEST), tmp_path)
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    site = Site(sitecheck.load(path), tmp_path, seed, monkeypatch)
    site.run(5)
    dice = random.Random(seed)
    for _ in range(STEPS):
        step(site, dice)
    assert sum(site.ends.values()) > 5
    assert site.loop.over_w["site"] <= 1e-3


def test_a_journal_that_is_spoilt_raises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at half power, and started again with a file that nobody can read: the site stays where it is."""
    config = sitecheck.load(halls.write(halls.Hall("paths", halls.SMALLEST), tmp_path))
    site = Site(config, tmp_path, 1, monkeypatch)
    site.run(5)
    site.send("setpoint", percent=50, ramp_s=5)
    site.run(20)
    before_w = site.loop.mean_w(1.0)
    site.desk.journal.save()
    site.path.write_text("{", encoding="utf-8")
    site.loop.restart()
    site.begin()
    site.ceiling_w = None
    site.run(60)
    assert site.desk.mode is Mode.HAND
    assert site.loop.mean_w(5.0) == pytest.approx(before_w, rel=0.02)
