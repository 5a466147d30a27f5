"""Nodes and loops bind: racks that give way for others below their node or on their loop, in closed loop.

Racks are given as (PDU, loop, tier), an S: with steps at 0, 50 and 109 kW.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from rampd.daemon import sitecheck
from rampd.daemon.closed import ClosedLoop
from rampd.daemon.config import Config
from rampd.daemon.equipment import Rack
from rampd.ext import codes, views

BENCH: Final = Path(__file__).resolve().parents[2] / "examples/bench-12/site.toml"
MOST_MW: Final = 1.7
# Of what a loop is designed for, all its chillers together.
MOST_HEAT: Final = 1.2
RACK: Final = {
    "kind": "gpu", "min_kw": 40.0, "max_kw": 132.0, "quantum_kw": 0.0, "up_kw_per_s": 330.0, "down_kw_per_s": 330.0,
    "dead_up_s": 0.2, "dead_down_s": 0.2, "fallback_kw": None,
}  # fmt: skip
STEPS: Final = {"min_kw": 0.0, "max_kw": 109.0, "levels_kw": (0.0, 50.0, 109.0)}


def hall(racks: str, pdus_kw: tuple[float, float], loops: int) -> Config:
    """The bench of twelve with these racks on this tree, whose PDUs carry so much."""
    config = sitecheck.load(BENCH)
    made = []
    for rack, text in zip(config.racks, racks.split(), strict=True):
        place = {"node": f"pdu-00{text[0]}", "loop": f"loop-{text[1]}", "tier": int(text[2])}
        made.append(Rack.model_validate(rack.model_dump() | RACK | place | (STEPS if "S" in text else {})))
    carries_kw = {"pdu-001": pdus_kw[0], "pdu-002": pdus_kw[1]}
    nodes = [
        node.model_copy(update={"rating_kw": carries_kw.get(node.id, 2400.0) / node.derating}) for node in config.nodes
    ]
    cooled = [
        config.loops[0].model_copy(update={"id": f"loop-{k}", "address": f"127.22.0.{1 + k}:1502", "min_flow_lpm": 5.0})
        for k in range(loops)
    ]
    site = config.site.model_copy(update={"max_mw": MOST_MW, "import_limit_mw": 1.9, "default_mw": MOST_MW})
    return config.model_copy(update={"site": site, "racks": tuple(made), "nodes": tuple(nodes), "loops": tuple(cooled)})


def test_what_makes_room_for_others_falls_no_faster_than_they_rise() -> None:
    """More flow on a loop: others give way for the racks on it, which rise slowly in the normal envelope."""
    loop = ClosedLoop(hall("103 101 212 212 213 102 111 213 201 111 112 103", (520.7, 571.1), 2))
    for cooling, pumps in zip(loop.fleet.loops, (0.2278, 0.1541), strict=True):
        cooling.pumps = pumps
    loop.run(12.0)
    loop.command(MOST_MW * 1e6, lease_s=900.0, envelope=codes.NORMAL)
    loop.run(75.0)
    stood_w, since = np.mean(loop.poi_w[-100:]), len(loop.poi_w)
    loop.fleet.loops[1].pumps *= 1.3
    loop.run(40.0)
    assert np.mean(loop.poi_w[-100:]) > stood_w
    assert np.convolve(loop.poi_w[since:], np.ones(10) / 10, "valid").min() > stood_w - 0.02 * MOST_MW * 1e6
    assert loop.vetoes() == 0


STEPPED: Final = {
    # racks, what the PDUs carry in kW, the share of the loops' pumps that work
    "two below the PDU that is left": ("222S 211S 113 102 113S 201 201S 102 113S 213 102S 103", (464.2, 420.5),
                                       (0.1935, 0.2584, 0.1965)),
    "three on the last loop":         ("122S 123S 223S 202S 102 221 111 122S 223 201 112S 113S", (490.1, 385.8),
                                       (0.2399, 0.196, 0.2207)),
}  # fmt: skip


@pytest.mark.parametrize("row", STEPPED.values(), ids=STEPPED.keys())
def test_what_is_still_to_fall_turns_nobody_back(row: tuple[str, tuple[float, float], tuple[float, ...]]) -> None:
    """Room for a step is made by one that moves freely: on its way there it is no reason to give the step up again."""
    racks, pdus_kw, pumps = row
    loop = ClosedLoop(hall(racks, pdus_kw, 3))
    for cooling, part in zip(loop.fleet.loops, pumps, strict=True):
        cooling.pumps = part
    loop.run(12.0)
    loop.command(MOST_MW * 1e6, lease_s=900.0)
    loop.run(40.0)
    given_w = [loop.setpoint_w]
    for _ in range(500):
        loop.run(loop.dt_s)
        given_w.append(loop.setpoint_w)
    assert sum(np.abs(after - before).sum() for before, after in pairwise(given_w)) < 0.02 * MOST_MW * 1e6
    assert loop.vetoes() == 0


def test_a_loop_that_others_make_room_for_rests_at_what_its_chillers_take() -> None:
    """Half of them fail: it is filled until its water is warm, derated, and rests where it would without exchanges."""
    loop = ClosedLoop(hall("121 211 211 212 122 111 102 111 221 221 111 111", (570.0, 529.0), 3))
    for cooling, part in zip(loop.fleet.loops, (0.243, 0.173, 1.0), strict=True):
        cooling.pumps = part
    loop.run(12.0)
    loop.command(MOST_MW * 1e6, lease_s=3000.0)
    loop.run(120.0)
    assert views.state(loop.memory).exchanged
    before_w = np.bincount(loop.fleet.loop_of, loop.fleet.power_w)
    warm = loop.fleet.loops[2]
    warm.chillers = 0.491
    removes_w = warm.chillers * MOST_HEAT * warm.spec.heat_w
    assert before_w[2] > 1.25 * removes_w
    supply_c = []
    for _ in range(500):
        loop.run(1.0)
        supply_c.append(warm.supply_c)
    after_w = np.bincount(loop.fleet.loop_of, loop.fleet.power_w)
    assert after_w[2] == pytest.approx(removes_w, rel=0.005)
    assert after_w[0] >= 0.99 * before_w[0]
    assert after_w[1] >= 0.99 * before_w[1]
    assert loop.config.loops[2].derate_c < max(supply_c) < supply_c[-1] + 0.1
    assert loop.vetoes() == 0
