"""The purchase jumps above the import limit: down at once, whatever the ramps allow, and back as after an emergency.

What jumps is beside the racks, so the meter shows it and no set point explains it. The site may ramp 0.1 MW/s.
"""

from __future__ import annotations

import pytest

from rampd.daemon.closed import ClosedLoop, Reading
from rampd.daemon.config import Dispatched, Restore
from rampd.daemon.proving import hall, training
from rampd.ext import codes, views

SLOW = Dispatched(up_mw_per_s=0.1, down_mw_per_s=0.1)
RESTORE_MW_PER_MIN = 1.0
CLEAR_S = 10.0


class Site(ClosedLoop):
    """A hall of 4.9 MW at its most with something else behind its meter, `beside_w`; `envelopes` by tick."""

    def __init__(self, spare: float = 0.05) -> None:
        config = hall(1, (0.2, 1.0), racks_of=40)
        limit_mw = (1.0 + spare) * config.site.max_mw
        restore = Restore(up_mw_per_min=RESTORE_MW_PER_MIN, stagger_s=0.0)
        site = config.site.model_copy(update={"import_limit_mw": limit_mw})
        config = config.model_copy(update={"site": site, "dispatched": SLOW, "restore": restore})
        super().__init__(config, noise=0.0)
        self.full_w, self.limit_w = config.site.max_mw * 1e6, limit_mw * 1e6
        self.beside_w = 0.0
        self.meter = lambda power_w, now_ns: Reading(power_w + self.beside_w, now_ns)
        self.bought_w: list[float] = []
        self.envelopes: list[int] = []
        self.watch(30.0)

    def watch(self, seconds: float) -> views.Outputs:
        for _ in range(round(seconds / self.dt_s)):
            out = self.run(self.dt_s)
            self.bought_w.append(self.poi_w[-1] + self.beside_w)
            self.envelopes.append(out.envelope)
        return out

    def since(self, seconds: float) -> list[float]:
        return self.bought_w[-round(seconds / self.dt_s) :]

    def entries(self) -> int:
        """How often an emergency has begun."""
        was = self.envelopes[0]
        pairs = zip([was, *self.envelopes], self.envelopes, strict=False)
        return sum(now == codes.EMERGENCY != before for before, now in pairs)


def test_down_at_once_and_slowly_back() -> None:
    site = Site()
    site.beside_w = 0.15 * site.full_w
    out = site.watch(2.0)
    # Two readings, the slowest racks' second of dead time and their slopes; the ramp alone would take five seconds.
    assert out.envelope == codes.EMERGENCY
    assert site.bought_w[-1] <= site.limit_w
    out = site.watch(4.0)
    assert max(site.since(4.0)) <= site.limit_w
    # The other load goes away: nothing rises for ten seconds, then as slowly as after any emergency.
    site.beside_w = 0.0
    out = site.watch(2.0)
    low_w = site.bought_w[-1]
    assert low_w <= 0.9 * site.full_w
    site.watch(1.0)
    assert site.bought_w[-1] == pytest.approx(low_w, abs=0.002 * site.full_w)
    out = site.watch(CLEAR_S)
    assert (out.envelope, out.returning) == (codes.NORMAL, 1)
    begin_w = site.bought_w[-1]
    site.watch(30.0)
    rise_w = 1e6 * RESTORE_MW_PER_MIN * 30.0 / 60.0
    assert site.bought_w[-1] - begin_w == pytest.approx(rise_w, rel=0.1)
    assert site.vetoes() == 0


def test_a_fresh_command_ends_the_return_but_not_the_emergency() -> None:
    site = Site()
    site.beside_w = 0.15 * site.full_w
    site.watch(5.0)
    site.beside_w = 0.0
    site.watch(2.0)
    low_w = site.bought_w[-1]
    site.command(site.full_w)
    out = site.watch(3.0)
    assert (out.envelope, out.returning) == (codes.EMERGENCY, 1)
    assert site.bought_w[-1] == pytest.approx(low_w, abs=0.002 * site.full_w)
    site.watch(CLEAR_S)
    site.command(site.full_w)
    out = site.watch(15.0)
    assert (out.envelope, out.returning) == (codes.DISPATCHED, 0)
    assert site.bought_w[-1] == pytest.approx(site.full_w, rel=0.005)


def test_it_does_not_chatter() -> None:
    """One excess after the other within ten seconds is one emergency, and ends ten seconds after the last."""
    site = Site()
    for part in (0.15, 0.3, 0.45):
        site.beside_w = part * site.full_w
        site.watch(4.0)
        assert site.bought_w[-1] <= site.limit_w
    assert (site.entries(), site.envelopes[-1]) == (1, codes.EMERGENCY)
    site.watch(4.0)
    assert site.envelopes[-1] == codes.EMERGENCY
    site.watch(CLEAR_S)
    assert (site.entries(), site.envelopes[-1]) == (1, codes.NORMAL)


def test_at_the_limit_is_not_above_it() -> None:
    """Bound by the limit, beside a load that wanders by 0.2 %: its first peak is above, and is no emergency."""
    site = Site(spare=0.0)
    site.beside_w = 0.05 * site.full_w
    site.watch(15.0)
    before = site.entries()
    for k in range(120):
        site.beside_w = (0.05 + (0.002 if k % 2 else 0.0)) * site.full_w
        site.watch(0.5)
    assert max(site.since(60.0)) > site.limit_w
    assert max(site.since(50.0)) <= site.limit_w
    assert (site.entries(), site.envelopes[-1]) == (before, codes.NORMAL)


@pytest.mark.parametrize("swing", [0.005, 0.02, 0.04])
def test_peaks_of_a_load_stay_below_the_limit(swing: float) -> None:
    """What swings beside the racks is made room for by its peaks, and given back fifteen seconds after the last."""
    site = Site(spare=0.0)
    for k in range(180):
        site.beside_w = (0.05 + (swing if k % 4 == 0 else 0.0)) * site.full_w
        site.watch(0.5)
    assert max(site.since(60.0)) <= site.limit_w
    assert min(site.since(60.0)) >= site.limit_w - (swing + 0.004) * site.full_w
    site.watch(30.0)
    assert min(site.since(5.0)) >= site.limit_w - 0.002 * site.full_w


@pytest.mark.parametrize("wild", [0.05, 0.2, 5.0])
def test_a_wild_reading_at_the_limit_moves_little(wild: float) -> None:
    """One reading alone is no peak that racks make room for."""
    site = Site(spare=0.0)
    site.beside_w = 0.05 * site.full_w
    site.watch(60.0)
    stood_w = site.bought_w[-1]
    site.meter = lambda power_w, now_ns: Reading(power_w + (0.05 + wild) * site.full_w, now_ns)
    site.watch(2.0 * site.dt_s)
    site.meter = lambda power_w, now_ns: Reading(power_w + site.beside_w, now_ns)
    site.watch(20.0)
    assert min(site.since(20.0)) >= stood_w - 0.01 * site.full_w


def test_a_job_that_swings_at_the_limit_is_no_emergency() -> None:
    """A hall that may draw all it can, beside cooling, with a training job in a tenth of it: peaks are cut, no more."""
    config = hall(1, (0.2, 1.0), racks_of=40)
    site = config.site.model_copy(update={"import_limit_mw": config.site.max_mw})
    limit_w = config.site.max_mw * 1e6
    loop = ClosedLoop(config.model_copy(update={"site": site}), jobs=training(config, (0.5,), 1))
    beside_w = 0.05 * limit_w
    loop.meter = lambda power_w, now_ns: Reading(power_w + beside_w, now_ns)
    # What it stood above its limit at the start is one.
    loop.run(30.0)
    bought_w = []
    for _ in range(round(120.0 / loop.dt_s)):
        out = loop.run(loop.dt_s)
        bought_w.append(loop.poi_w[-1] + beside_w)
        assert out.envelope != codes.EMERGENCY
    assert max(bought_w) - min(bought_w) > 0.02 * limit_w
    assert max(bought_w) <= 1.0025 * limit_w


@pytest.mark.parametrize("dead_s", [(0.2, 1.0), (0.2, 2.0), (0.2, 4.0)])
def test_racks_that_rise_before_their_time_are_no_peak_of_the_load(dead_s: tuple[float, float]) -> None:
    """Up to the limit from far below, in five seconds; beside the racks nothing moves."""
    config = hall(1, dead_s, racks_of=40)
    limit_mw = 0.8 * config.site.max_mw
    site = config.site.model_copy(update={"import_limit_mw": limit_mw})
    loop = ClosedLoop(config.model_copy(update={"site": site}), noise=0.0)
    loop.run(15.0)
    loop.command(0.5e6 * limit_mw, ramp_s=5.0)
    loop.run(60.0)
    loop.command(1e6 * limit_mw, ramp_s=5.0)
    loop.run(9.0)
    assert loop.poi_w[-1] == pytest.approx(1e6 * limit_mw, rel=0.01)
