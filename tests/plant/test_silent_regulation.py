"""Regulation whose channel falls silent, or whose process dies: desk, core, journal and plant, on one clock.

What the purchase was regulated down by is given back by a fresh signal or command, and not by silence.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from rampd.ext import codes, views
from tests import sites
from tests.plant.test_unfinished import MAX_W, SLACK_W, UP_W_PER_S, Site

SET = 0.7
BY_W = 0.2e6
HOLD_S = 40.0
RESTORE = "\n[restore]\nup_mw_per_min = 0.12\nstagger_s = 2\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """At 70 % by a remote command; 0.2 MW of regulation are offered."""
    path = sites.site(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + RESTORE, encoding="utf-8")
    config = sitecheck.load(path)
    config = config.model_copy(
        update={
            "grid": config.grid.model_copy(update={"regulation_mw": BY_W / 1e6}),
            "control": config.control.model_copy(update={"hold_max_s": HOLD_S}),
        }
    )
    made = Site(config, tmp_path, monkeypatch)
    made.let(15.0)
    made.send("setpoint", percent=100 * SET, ramp_s=5, lease_s=3600)
    made.let(30.0)
    return made


def regulated(site: Site, part: float) -> float:
    """A stream of signals of so much, followed; the purchase then."""
    for _ in range(4):
        site.send("regulation", part=part)
        site.let(4.0)
    assert site.loop.mean_w(1.0) == pytest.approx(SET * MAX_W + part * BY_W, abs=SLACK_W)
    return site.loop.mean_w(1.0)


@pytest.mark.parametrize("part", [-1.0, 1.0], ids=["down", "up"])
def test_a_lost_channel_holds_the_purchase_flat(site: Site, part: float) -> None:
    stood_w = regulated(site, part)
    began_s = site.loop.now_s
    site.silent = True
    site.let(0.9 * HOLD_S)
    assert site.desk.channel_state == "lost"
    out = views.outputs(site.loop.out)
    assert out.zone_reasons[0] & 1 << codes.R_CHANNEL
    assert max(abs(w - stood_w) for w in site.loop.since(began_s)) <= SLACK_W
    # Heard again it waits for a word: a fresh signal is followed from where the purchase stands.
    site.silent = False
    site.let(0.2 * HOLD_S)
    assert site.desk.channel_state == "fresh_command"
    if part < 0:
        assert site.loop.mean_w(1.0) == pytest.approx(stood_w, abs=SLACK_W)
    regulated(site, 0.5)
    assert site.desk.channel_state == "up"
    assert site.loop.vetoes() == 0


@pytest.mark.parametrize("default", [1.0, 0.6, 0.4], ids=["above", "between", "below"])
def test_after_the_longest_hold_it_goes_to_the_default_and_never_up(site: Site, default: float) -> None:
    site.loop.limits.site.default_w = default * MAX_W
    stood_w = regulated(site, -1.0)
    site.silent = True
    began_s = site.loop.now_s
    site.let(HOLD_S + 60.0)
    assert max(site.loop.since(began_s)) <= stood_w + SLACK_W
    assert site.loop.mean_w(1.0) == pytest.approx(min(stood_w, default * MAX_W), abs=SLACK_W)
    site.silent = False
    site.let(30.0)
    assert site.loop.mean_w(1.0) == pytest.approx(min(stood_w, default * MAX_W), abs=SLACK_W)
    # A fresh command begins where the purchase stands.
    began_s = site.loop.now_s
    site.send("setpoint", percent=80, ramp_s=5, lease_s=900)
    site.let(20.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.8 * MAX_W, abs=SLACK_W)
    assert views.outputs(site.loop.out).regulation_w == 0.0
    assert min(site.loop.since(began_s)) >= min(stood_w, default * MAX_W) - SLACK_W
    assert site.loop.vetoes() == 0


def test_up_goes_back_after_the_longest_hold(site: Site) -> None:
    regulated(site, 1.0)
    site.silent = True
    site.let(HOLD_S + 30.0)
    assert views.outputs(site.loop.out).regulation_w == 0.0


def test_a_signal_that_lapses_while_the_channel_lives_goes_back(site: Site) -> None:
    regulated(site, -1.0)
    site.let(30.0)
    assert site.loop.mean_w(1.0) == pytest.approx(SET * MAX_W, abs=SLACK_W)
    assert site.desk.channel_state == "up"


def test_one_that_goes_back_already_stays_where_the_channel_is_lost(site: Site) -> None:
    """The normal ramp takes a minute for all of it."""
    site.loop.limits.site.normal_up = BY_W / 60.0
    regulated(site, -1.0)
    site.let(20.0)
    site.silent = True
    # Nothing is lost within the grace.
    site.let(6.0)
    stood_w = site.loop.mean_w(1.0)
    began_s = site.loop.now_s
    site.let(20.0)
    assert max(site.loop.since(began_s)) <= stood_w + 0.2 * SLACK_W
    assert stood_w < SET * MAX_W - 0.5 * BY_W


def interval(site: Site) -> None:
    """A schedule holds, and its next interval begins in the silence."""
    start = [site.stamp(seconds) for seconds in (-1.0, 20.0, 7200.0)]
    site.send("release")
    site.send("schedule", intervals=[{"start": a, "end": b, "percent": 100 * SET} for a, b in pairwise(start)])
    site.let(10.0)


def released(site: Site) -> None:
    """Nothing but the default, at which the site stands."""
    site.loop.limits.site.default_w = SET * MAX_W
    site.send("release")
    site.let(10.0)


@pytest.mark.parametrize("base", [interval, released])
def test_below_whatever_holds_it_stays(site: Site, base: Callable[[Site], None]) -> None:
    base(site)
    stood_w = regulated(site, -1.0)
    site.silent = True
    began_s = site.loop.now_s
    site.let(HOLD_S + 30.0)
    assert max(site.loop.since(began_s)) <= stood_w + SLACK_W


@pytest.mark.parametrize("part", [-1.0, 1.0], ids=["down", "up"])
@pytest.mark.parametrize("base", [None, interval, released])
def test_a_restart_in_the_silence_holds_it_where_it_is(
    site: Site, base: Callable[[Site], None] | None, part: float
) -> None:
    """Whatever holds below it; the wait for the channel has no new beginning."""
    if base is not None:
        base(site)
    stood_w = regulated(site, part)
    site.silent = True
    site.let(0.4 * HOLD_S)
    for _ in range(2):
        site.crash()
        began_s = site.loop.now_s
        site.let(0.15 * HOLD_S)
        assert max(abs(w - stood_w) for w in site.loop.since(began_s)) <= SLACK_W
    began_s = site.loop.now_s
    site.let(HOLD_S + 40.0)
    assert max(site.loop.since(began_s)) <= stood_w + SLACK_W
    # What it had raised has gone back.
    if part > 0:
        assert site.loop.mean_w(1.0) == pytest.approx(SET * MAX_W, abs=SLACK_W)
    site.crash()
    began_s = site.loop.now_s
    site.let(20.0)
    assert max(site.loop.since(began_s)) <= min(stood_w, SET * MAX_W) + SLACK_W
    # A fresh command moves it.
    site.silent = False
    site.send("setpoint", percent=80, ramp_s=5, lease_s=900)
    site.let(20.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.8 * MAX_W, abs=SLACK_W)
    assert site.desk.journal.rest.get("held") is None
    assert site.loop.vetoes() == 0


def test_a_signal_moves_what_a_restart_has_held(site: Site) -> None:
    stood_w = regulated(site, -1.0)
    site.silent = True
    site.let(20.0)
    site.crash()
    site.silent = False
    site.let(10.0)
    assert site.loop.mean_w(1.0) == pytest.approx(stood_w, abs=SLACK_W)
    regulated(site, 0.5)


@pytest.mark.parametrize("raises", [True, False])
def test_a_restart_after_the_longest_hold_raises_nothing(site: Site, raises: bool) -> None:
    """Where a lease that ends is a reason to raise as well."""
    site.loop.limits.site.raise_after = raises
    site.silent = True
    site.let(HOLD_S + 20.0)
    stood_w = site.loop.mean_w(1.0)
    for _ in range(2):
        site.crash()
        began_s = site.loop.now_s
        site.let(20.0)
        site.silent = not site.silent
        site.let(20.0)
        assert max(site.loop.since(began_s)) <= stood_w + SLACK_W
        assert site.desk.channel_state == ("lost" if site.silent else "fresh_command")
    site.silent = False
    site.send("setpoint", percent=90, ramp_s=5, lease_s=900)
    site.let(20.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.9 * MAX_W, abs=SLACK_W)


@pytest.mark.parametrize(
    "spoiled", [{"power_w": 1e9}, {"power_w": float("nan"), "lost_at": 0.0}, {"power_w": 1e9, "lost_at": None}, [], "x"]
)
def test_what_cannot_be_read_of_it_goes_back_slowly(
    site: Site, spoiled: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert site.desk.regulation.restore(spoiled, 0.0, 1) == 0.0
    assert "is not usable in the journal" in caplog.text


def test_a_restart_while_regulated_down_comes_back_as_slowly_as_after_an_emergency(site: Site) -> None:
    stood_w = regulated(site, -1.0)
    for _ in range(2):
        site.crash()
        began_s = site.loop.now_s
        for _ in range(3):
            site.let(10.0)
            most_w = stood_w + UP_W_PER_S * (site.loop.now_s - began_s) + SLACK_W
            assert max(site.loop.since(began_s)) <= most_w
        stood_w = site.loop.mean_w(1.0)
    site.let(60.0)
    assert site.loop.mean_w(1.0) == pytest.approx(SET * MAX_W, abs=SLACK_W)
    # Signals are followed meanwhile, and a fresh command at its own rate.
    regulated(site, -0.5)
    site.send("setpoint", percent=85, ramp_s=5, lease_s=900)
    site.let(10.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.85 * MAX_W - 0.5 * BY_W, abs=SLACK_W)
    site.let(20.0)
    site.crash()
    site.let(1.0)
    assert not views.outputs(site.loop.out).regulated
