"""Power that is dealt out anew among the racks of a full hall does not move the purchase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rampd.daemon import sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.ext import codes, views
from tests.sites import NODES, site

FEEDER_W = 640e3
RACKS = range(6)


def full_feeder(folder: Path) -> ClosedLoop:
    """The bench of twelve, its first feeder too small for five GPU racks and a miners' rack together."""
    path = site(folder, (NODES, "feeder,main,1039,0.8", "feeder,main,800,0.8"))
    return ClosedLoop(sitecheck.load(path), 1)


def test_a_hall_that_is_taken_over_stays_where_it_is(tmp_path: Path) -> None:
    loop = full_feeder(tmp_path)
    loop.run(60.0)
    # It rises into what it was allowed, and no rack falls further than another has risen.
    poi_w = np.array(loop.poi_w)[round(5 / loop.dt_s) :]
    assert (np.maximum.accumulate(poi_w) - poi_w).max() < 0.02 * poi_w.max()
    assert loop.vetoes() == 0


@pytest.mark.parametrize(("gone", "room_w"), [(0, 128e3), (5, 0.0)])
def test_a_rack_that_answers_no_more_costs_its_feeder_what_it_might_draw(
    tmp_path: Path, gone: int, room_w: float
) -> None:
    """The guard counts it at its rating: the others make room for that, and for nothing more."""
    loop = full_feeder(tmp_path)
    loop.run(60.0)
    before_w, rated_w = loop.fleet.poi_w, loop.fleet.max_w[gone]
    loop.fleet.dead[gone] = True
    loop.state[gone] = codes.UNRESPONSIVE
    loop.run(30.0)
    lowest_w = min(loop.poi_w[-round(30 / loop.dt_s) :])
    assert lowest_w > before_w - 1.05 * (rated_w - room_w) - 0.01 * before_w
    out = views.outputs(loop.out)
    assert sum(out.setpoint_w[i] for i in RACKS if i != gone) + rated_w <= FEEDER_W * (1 + 1e-9)
    assert loop.vetoes() == 0
    # Back under control, the others get back what they gave, and nobody else pays for it.
    loop.fleet.dead[gone] = False
    loop.state[gone] = codes.AVAILABLE
    loop.run(60.0)
    assert min(loop.poi_w[-round(60 / loop.dt_s) :]) > lowest_w - 0.01 * before_w
    assert loop.fleet.poi_w > 0.97 * before_w
    assert loop.vetoes() == 0


@pytest.mark.parametrize("envelope", [codes.NORMAL, codes.DISPATCHED])
def test_racks_that_come_back_take_over_without_a_step(tmp_path: Path, envelope: int) -> None:
    """Half the racks hold still at what they have while the others are moved, and then take part again."""
    loop = full_feeder(tmp_path)
    loop.run(30.0)
    most_w = loop.config.site.max_mw * 1e6
    loop.command(0.7 * most_w, ramp_s=5.0)
    loop.run(30.0)
    for gone in (1, 2, 7, 8, 9):
        loop.fleet.dead[gone] = True
        loop.state[gone] = codes.UNRESPONSIVE
    loop.command(0.55 * most_w, ramp_s=5.0, envelope=codes.DISPATCHED)
    loop.run(40.0)
    loop.command(0.55 * most_w, envelope=envelope)
    loop.fleet.dead[:] = False
    loop.state[:] = codes.AVAILABLE
    loop.run(40.0)
    poi_w = np.array(loop.poi_w[-round(40 / loop.dt_s) :])
    assert np.abs(poi_w / (0.55 * most_w) - 1).max() < 0.02
    assert loop.vetoes() == 0


@pytest.mark.parametrize("over", [1.001, 1.01])
def test_racks_a_little_above_their_set_points_do_not_cost_a_full_node_all(tmp_path: Path, over: float) -> None:
    """What a rack draws beyond its set point others make room for."""
    loop = full_feeder(tmp_path)
    loop.run(60.0)
    before_w = loop.fleet.poi_w
    loop.over = np.where(np.isin(np.arange(loop.count), [0, 1, 2]), over, 1.0)
    loop.run(40.0)
    assert min(loop.poi_w[-round(40 / loop.dt_s) :]) > 0.97 * before_w


def test_a_rack_that_is_not_read_costs_a_full_node_no_more_than_its_rating(tmp_path: Path) -> None:
    loop = full_feeder(tmp_path)
    loop.run(60.0)
    before_w, lost_w = loop.fleet.poi_w, loop.limits.max_w[3]
    loop.silent[3] = True
    loop.run(60.0)
    assert min(loop.poi_w[-round(60 / loop.dt_s) :]) > before_w - 1.05 * lost_w
    counts = views.outputs(loop.out).vetoes
    assert counts[codes.VETO_SAFE] == 0
    # And the site does not go up meanwhile.
    assert max(loop.poi_w[-round(60 / loop.dt_s) :]) < 1.01 * before_w
