"""Three racks before the guard: what stands, what is asked, what goes out and what was counted.

Racks of 20 to 100 kW: a and b at one PDU and one loop, c at another of each. Budgets are full: 100 kW up (80 kW/s
dispatched) and 100 kW down within a second, 10 kW up without a lease. All powers in kW.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from rampd.ext import codes
from tests.core import Cooling, Node, Rack, World, world

Given = Callable[[World], object]
STAND = (80.0, 80.0, 40.0)
TICK_S = 0.1


def hall(pdu_kw: float = 1000.0, main_kw: float = 1000.0, **rack: bool) -> World:
    made = world(
        [Rack(node=1, **rack), Rack(node=1), Rack(node=2, loop=1)],
        [Node(main_kw * 1e3), Node(pdu_kw * 1e3, 0), Node(1e12, 0)],
        [Cooling(), Cooling(leak=False)],
        dispatched_up=80e3, dispatched_down=80e3, normal_up=8e3, normal_down=8e3, import_w=500e3, measured=True,
        under=[(59.7, 1), (59.5, 0)],
    )  # fmt: skip
    made.limits.site.jump_w = 0.0
    return made


def standing(made: World, *last_kw: float) -> World:
    """Racks that draw and show what they were given, a live dispatched command, and full budgets."""
    made.meter(300e3)
    for i, kw in enumerate(last_kw):
        made.rack(i, kw * 1e3, kw * 1e3)
    made.command(codes.TRACK, 300e3)
    made.guard(*(kw * 1e3 for kw in last_kw))
    made.now_s += 1.0
    made.refresh()
    made.guard(*(kw * 1e3 for kw in last_kw))
    assert made.vetoes() == {}
    assert made.watch.last_w[:3] == [kw * 1e3 for kw in last_kw]
    made.now_s += 1.0
    made.refresh()
    return made


@dataclass(frozen=True)
class Row:
    """One question. `given` is what else is so."""

    last: tuple[float, float, float]
    asked: tuple[float, float, float]
    out: tuple[float, float, float]
    vetoes: dict[str, int]
    given: tuple[Given, ...] = ()
    pdu_kw: float = 1000.0
    main_kw: float = 1000.0


def play(row: Row) -> None:
    """Asks the guard for a row, and holds it to what the row says."""
    made = standing(hall(), *row.last)
    made.limits.node_w[0], made.limits.node_w[1] = row.main_kw * 1e3, row.pdu_kw * 1e3
    for so in row.given:
        so(made)
    out = made.guard(*(kw * 1e3 for kw in row.asked))
    assert [w / 1e3 for w in out] == pytest.approx(row.out, abs=1e-9)
    assert made.vetoes() == row.vetoes
    assert sum(made.watch.vetoed[:3]) == sum(row.vetoes.values())
    assert made.watch.last_w[:3] == out


@dataclass(frozen=True)
class Phase:
    """So many ticks of these readings. `read` are the racks that are read, `bad` those whose reading is none.

    The breaker is `closed` where it is measured; powers in kW.
    """

    ticks: int
    meter: float
    racks: Sequence[float] = STAND
    read: Sequence[int] = (0, 1, 2)
    bad: Sequence[int] = ()
    meter_age_s: float = 0.0
    closed: float = 1.0


def go(made: World, phases: Sequence[Phase]) -> None:
    """The guard sees every tick, and is asked for what stands."""
    for phase in phases:
        for _ in range(phase.ticks):
            made.now_s += TICK_S
            made.meter(phase.meter * 1e3, age_s=phase.meter_age_s)
            for i in phase.read:
                quality = codes.RANGE if i in phase.bad else codes.GOOD
                made.rack(i, phase.racks[i] * 1e3, 40e3, quality=quality)
            made.cool(0)
            if made.limits.site.breaker_slot >= 0:
                made.grid(closed=phase.closed)
            made.guard(*made.watch.last_w[:3])
