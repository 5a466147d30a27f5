"""A node's fullest phase before the guard, while one of the three is not read: what it takes may rise, and not fall.

Two racks of 20 to 100 kW, which draw 60 kW each, at a measured PDU of 200 kW; a phase of it may draw 300 A, at 1.5 A
for each kW as much as the PDU. A tick is half a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from rampd.ext import codes
from tests.core import NS, Node, Rack, World, world

MAIN, PDU = 0, 1
STEP_S = 0.5


def hall(rating_a: float = 300.0, *, others: bool = False) -> World:
    made = world(
        [Rack(node=PDU), Rack(node=PDU)],
        [Node(1e6, measured=True), Node(200e3, MAIN, measured=True, phase_a=rating_a), Node(1e6, MAIN, measured=True)]
        if others
        else [Node(1e6), Node(200e3, MAIN, measured=True, phase_a=rating_a)],
        dispatched_up=1e6, dispatched_down=1e6, import_w=2e6, max_w=2e6,
    )  # fmt: skip
    made.limits.rating_w[PDU] = 250e3
    made.limits.span_ns[PDU] = 2 * NS
    made.guard(60e3, 60e3)
    return made


@dataclass(frozen=True)
class Phase:
    """For so long the PDU shows `kw` and its phases `amps`, None: that one is not read; the racks draw so much each."""

    seconds: float
    kw: float
    amps: tuple[float | None, ...]
    rack_kw: float = 60.0


P = Phase


def go(
    made: World, phases: Iterable[Phase], quality: int = codes.SENTINEL, unread_a: float = 0.0, age_s: float = 0.0
) -> None:
    for phase in phases:
        for _ in range(round(phase.seconds / STEP_S)):
            made.now_s += STEP_S
            made.meter(500e3)
            made.cool(0)
            for i in range(2):
                made.rack(i, phase.rack_kw * 1e3)
            made.feed(PDU, phase.kw * 1e3)
            for k, value in enumerate(phase.amps):
                slot = made.limits.amps_slot[3 * PDU + k]
                if value is None:
                    made.put(slot, unread_a, quality=quality, age_s=age_s)
                else:
                    made.put(slot, value)
            made.guard(*made.watch.last_w[:2])


A200, A240 = (200.0, 100.0, 100.0), (240.0, 100.0, 100.0)
B200, C200 = (99.0, 200.0, 99.0), (99.0, 99.0, 200.0)
GONE = (None, 100.0, 100.0)
EVEN = (100.0, 100.0, 100.0)
TWO = (None, 240.0, 100.0)
UNREAD = {
    # name: phases -> kW that the fullest phase takes of the limit
    "the fullest":                      ((P(9.0, 120.0, A200), P(60.0, 120.0, GONE)), 20.0),
    "of three, in any place":           ((P(9.0, 120.0, B200), P(60.0, 120.0, (99.0, None, 99.0))), 20.0),
    "the last":                         ((P(9.0, 120.0, C200), P(60.0, 120.0, (99.0, 99.0, None))), 20.0),
    "two of them":                      ((P(9.0, 120.0, A200), P(60.0, 120.0, (None, None, 100.0))), 20.0),
    "two, and the third rises":          ((P(9.0, 120.0, A200), P(9.0, 120.0, (None, None, 240.0))), 50.0),
    "another than the fullest":         ((P(9.0, 120.0, A200), P(60.0, 120.0, (100.0, None, 100.0))), 20.0),
    "all of them":                      ((P(9.0, 120.0, A200), P(60.0, 190.0, (None, None, None))), 20.0),
    "all, after one reading":           ((P(0.5, 120.0, A200), P(60.0, 120.0, (None, None, None))), 0.0),
    "the others show nothing":          ((P(9.0, 120.0, (200.0, 0.0, 0.0)), P(9.0, 220.0, (None, 0.0, 0.0))),
                                         220.0 / 9.0),
    "another becomes the fullest":      ((P(9.0, 120.0, A200), P(9.0, 120.0, TWO)), 50.0),
    "not by one reading":               ((P(9.0, 120.0, A200), P(0.5, 120.0, TWO)), 20.0),
    "that falls again":                 ((P(9.0, 120.0, A200), P(9.0, 120.0, TWO), P(9.0, 120.0, GONE)), 50.0),
    "it was to fall just now":          ((P(9.0, 120.0, A240), P(0.5, 120.0, A200), P(9.0, 120.0, GONE)), 50.0),
    "read again, it falls":             ((P(9.0, 120.0, A200), P(9.0, 120.0, GONE), P(3.0, 120.0, EVEN)), 0.0),
    "by two readings":                  ((P(9.0, 120.0, A200), P(9.0, 120.0, GONE), P(1.5, 120.0, EVEN)), 20.0),
    "with its part of the power above its limit": ((P(9.0, 120.0, A200), P(9.0, 195.0, GONE)), 65.0 / 3.0),
    "one was wild just before":         ((P(9.0, 120.0, EVEN), P(0.5, 120.0, (900.0, 100.0, 100.0)),
                                          P(9.0, 120.0, GONE)), 0.0),
    "never read, as the fullest that is": ((P(9.0, 120.0, (None, 200.0, 100.0)),), 20.0),
    "and as little as it":              ((P(9.0, 120.0, (None, 100.0, 100.0)),), 0.0),
    "of too little power nothing is kept": ((P(9.0, 12.0, (29.0, 5.0, 5.0), 5.0), P(9.0, 120.0, GONE)), 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "kw"), UNREAD.values(), ids=UNREAD.keys())
def test_a_phase_that_is_not_read(phases: tuple[Phase, ...], kw: float) -> None:
    made = hall()
    go(made, phases)
    assert made.watch.phase_w[PDU] / 1e3 == pytest.approx(kw, abs=1e-6)


CAUSES = {
    "never": (codes.NEVER, 0.0, 0.0),
    "out of range": (codes.RANGE, 9e9, 0.0),
    "refused": (codes.REFUSED, 0.0, 0.0),
    "no number": (codes.GOOD, float("nan"), 0.0),
    "stale": (codes.GOOD, 0.0, 5.1),
}


@pytest.mark.parametrize(("quality", "unread_a", "age_s"), CAUSES.values(), ids=CAUSES.keys())
def test_whatever_the_cause(quality: int, unread_a: float, age_s: float) -> None:
    made = hall()
    go(made, [P(9.0, 120.0, A200)])
    go(made, [P(60.0, 120.0, GONE)], quality, unread_a, age_s)
    assert made.watch.phase_w[PDU] == pytest.approx(20e3)


def test_a_meter_of_two_phases_has_no_third_to_miss() -> None:
    made = hall()
    made.limits.amps_slot[3 * PDU + 2] = -1
    go(made, [P(9.0, 120.0, (200.0, 100.0))])
    assert made.watch.phase_w[PDU] == pytest.approx(20e3)
    go(made, [P(9.0, 120.0, (100.0, 100.0))])
    assert made.watch.phase_w[PDU] == 0.0


@pytest.mark.parametrize(("kw", "amps_per_kw"), [(20.0, 0.0), (20.001, 3.0)])
def test_of_a_tenth_of_the_limit_its_part_is_kept(kw: float, amps_per_kw: float) -> None:
    made = hall()
    go(made, [P(3.0, kw, (3.0 * kw, -2.0 * kw, 0.0), 10.0)])
    kept = [0.0, 0.0, 0.0, amps_per_kw, amps_per_kw * 2.0 / 3.0, 0.0] * 2
    assert [1e3 * one for one in made.watch.amps_per_w[:12]] == pytest.approx(kept)


def test_the_phases_of_other_nodes_are_not_missed() -> None:
    made = hall(others=True)
    go(made, [P(9.0, 120.0, A200), P(9.0, 120.0, EVEN)])
    assert made.watch.phase_w[PDU] == 0.0


def test_the_first_slot_of_the_image_may_be_a_phase() -> None:
    made = hall()
    made.limits.amps_slot[3 * PDU] = 0
    made.watch.phase_w[PDU] = made.watch.lean_w[PDU] = 20e3
    go(made, [P(9.0, 120.0, GONE)])
    assert made.watch.phase_w[PDU] == pytest.approx(20e3)


def test_of_small_currents_none_is_read() -> None:
    made = hall(3.0)
    go(made, [P(9.0, 40.0, (None, None, None), 10.0)])
    assert made.watch.phase_w[PDU] == 0.0
