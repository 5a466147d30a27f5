"""A schedule after its site's channel was lost for too long: it goes down, and nothing that ends is a reason to rise.

Desk, core, journal and plant, on one clock.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from rampd.daemon import sitecheck
from tests import sites
from tests.plant.test_unfinished import CLEAR_HZ, GRID, LOW_HZ, MAX_W, SLACK_W, Site

HOLD_S = 30.0
SET = 0.6


@pytest.fixture(params=[True, False], ids=["raise after", "no raise after"])
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Site:
    """At 60 % by a remote command, whose channel is silent from now on."""
    path = sites.site(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + GRID, encoding="utf-8")
    config = sitecheck.load(path)
    config = config.model_copy(
        update={
            "control": config.control.model_copy(update={"hold_max_s": HOLD_S}),
            "lease": config.lease.model_copy(update={"raise_after": request.param}),
        }
    )
    made = Site(config, tmp_path, monkeypatch)
    made.let(15.0)
    made.send("setpoint", percent=100 * SET, ramp_s=5, lease_s=3600)
    return made


def plan(site: Site, *parts: float | None, after_s: float = HOLD_S + 30.0, each_s: float = 40.0) -> None:
    """Intervals of so many percent, one after the other, None: nothing is planned; then the channel falls silent."""
    stamps = pairwise(site.stamp(after_s + each_s * k) for k in range(len(parts) + 1))
    intervals = [
        {"start": start, "end": end, "percent": 100 * part}
        for (start, end), part in zip(stamps, parts, strict=True)
        if part is not None
    ]
    site.send("schedule", intervals=intervals)
    site.let(15.0)
    site.silent = True


PLANS = {
    # default, parts of the intervals; the parts that the purchase stands at in each and after the last
    "ends below the default": (1.0, [0.5], [0.5, 0.5]),
    "asks for more":          (1.0, [0.9], [0.6, 0.6]),
    "after a gap":            (1.0, [0.5, None, 0.55], [0.5, 0.5, 0.5, 0.5]),
    "falls to the default":   (0.5, [0.6], [0.5, 0.5]),
    "twice":                  (1.0, [0.55, 0.5, 0.9], [0.55, 0.5, 0.5, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("restarts", [False, True], ids=["", "with restarts"])
@pytest.mark.parametrize("row", PLANS.values(), ids=PLANS.keys())
def test_the_end_of_an_interval_raises_nothing_in_silence(
    site: Site, row: tuple[float, list[float | None], list[float]], restarts: bool
) -> None:
    default, parts, stands = row
    site.loop.limits.site.default_w = default * MAX_W
    plan(site, *parts)
    site.let(HOLD_S + 15.0 + 5.0)
    lid = SET
    for part in stands:
        began_s = site.loop.now_s
        site.let(30.0 if not restarts else 16.0)
        if restarts:
            site.crash()
            site.let(10.0)
        assert site.loop.mean_w(1.0) == pytest.approx(part * MAX_W, abs=SLACK_W)
        assert max(site.loop.since(began_s)) <= lid * MAX_W + SLACK_W
        lid = part
        site.let(10.0)
    # Heard again it waits for a fresh command.
    site.silent = False
    site.let(10.0)
    assert site.desk.channel_state == "fresh_command"
    assert site.loop.mean_w(1.0) == pytest.approx(lid * MAX_W, abs=SLACK_W)
    site.send("setpoint", percent=80, ramp_s=5, lease_s=900)
    site.let(20.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.8 * MAX_W, abs=SLACK_W)
    assert site.loop.vetoes() == 0


def test_what_ends_after_a_fresh_command_raises_where_the_site_allows_it(site: Site) -> None:
    """The lid is lifted with everything that it has held."""
    plan(site, 0.5, 0.5, each_s=60.0)
    site.let(HOLD_S + 40.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.5 * MAX_W, abs=SLACK_W)
    site.silent = False
    start = [site.stamp(seconds) for seconds in (-1.0, 20.0)]
    site.send("schedule", intervals=[{"start": start[0], "end": start[1], "percent": 55}])
    site.let(15.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.55 * MAX_W, abs=SLACK_W)
    site.let(80.0)
    raises = site.desk.composed.config.lease.raise_after
    assert site.loop.mean_w(1.0) == pytest.approx((1.0 if raises else 0.55) * MAX_W, abs=2 * SLACK_W)


@pytest.mark.parametrize("restarts", [False, True], ids=["", "with a restart"])
def test_what_ends_after_the_operator_has_lifted_the_lid_raises_where_the_site_allows_it(
    site: Site, restarts: bool
) -> None:
    """The interval that is followed goes on meanwhile, as low as it was."""
    plan(site, 0.5, each_s=80.0)
    site.let(HOLD_S + 40.0)
    if restarts:
        site.crash()
    site.silent = False
    site.let(5.0)
    site.send("mode", mode="auto", who="operator")
    site.let(15.0)
    assert site.desk.channel_state == "up"
    assert site.loop.mean_w(1.0) == pytest.approx(0.5 * MAX_W, abs=SLACK_W)
    site.let(110.0)
    raises = site.desk.composed.config.lease.raise_after
    assert site.loop.mean_w(1.0) == pytest.approx((1.0 if raises else 0.5) * MAX_W, abs=2 * SLACK_W)


@pytest.mark.parametrize("each_s", [40.0, 70.0], ids=["begins while shed", "begins on the way back"])
def test_what_was_shed_comes_back_below_an_interval_that_began_meanwhile(site: Site, each_s: float) -> None:
    """As it does below one that lasts: the lid is where the site was led to, not where the shed has brought it."""
    site.loop.limits.site.default_w = MAX_W
    plan(site, 0.55, 0.55, 0.55, each_s=each_s)
    site.let(HOLD_S + 15.0 + 20.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.55 * MAX_W, abs=SLACK_W)
    site.plant_loop.hz = LOW_HZ
    site.let(25.0)
    assert site.loop.mean_w(1.0) < 0.5 * MAX_W
    site.plant_loop.hz = CLEAR_HZ + 0.2
    site.let(100.0)
    assert site.loop.mean_w(1.0) == pytest.approx(0.55 * MAX_W, abs=SLACK_W)
    assert max(site.loop.since(site.loop.now_s - 100.0)) <= 0.55 * MAX_W + SLACK_W
