"""What trips a node: racks that go on drawing more than its limit after the guard sent them to their least.

Three racks of 20 to 100 kW: a and b at a PDU, c at another, both below the main. A node above its limit for two seconds
goes to its least; a PDU trips five seconds after that, the main ten. The guard is asked for what stands, every 0.5 s.
All powers in kW, all times in s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from rampd.ext import codes
from tests.core import Cooling, Node, Rack, World, world

MAIN, PDU, OTHER = range(3)
STEP_S = 0.5
HIGH = (80.0, 80.0, 40.0)


def hall(pdu_kw: float = 150.0, main_kw: float = 1000.0, other_kw: float = 1000.0) -> World:
    made = world(
        [Rack(node=PDU), Rack(node=PDU), Rack(node=OTHER)],
        [Node(trip_s=10.0), Node(parent=0), Node(parent=0)], [Cooling()],
        dispatched_up=1e6, dispatched_down=1e6,
    )  # fmt: skip
    made.meter(300e3)
    for i, kw in enumerate(HIGH):
        made.rack(i, kw * 1e3, kw * 1e3)
    made.command(codes.TRACK, 300e3)
    made.guard(*(kw * 1e3 for kw in HIGH))
    for v, kw in enumerate((main_kw, pdu_kw, other_kw)):
        made.limits.node_w[v] = kw * 1e3
    return made


@dataclass(frozen=True)
class Phase:
    """For so long the racks draw this. `read`: whose readings are new; the others keep what they showed."""

    seconds: float
    draws: tuple[float, float, float] = HIGH
    read: tuple[int, ...] = (0, 1, 2)
    reset: bool = False


P = Phase


def go(made: World, phases: Iterable[Phase]) -> None:
    for phase in phases:
        made.inputs.command.resets += phase.reset
        for _ in range(round(phase.seconds / STEP_S)):
            made.now_s += STEP_S
            made.meter(300e3)
            made.cool(0)
            for i in phase.read:
                made.rack(i, phase.draws[i] * 1e3, 40e3)
            made.guard(*made.watch.last_w[:3])


def stands(made: World) -> tuple[list[float], list[int]]:
    """Set points in kW, and which nodes are tripped."""
    return [w / 1e3 for w in made.watch.last_w[:3]], made.watch.tripped[:3]


OBEYED = (20.0, 20.0, 40.0)
JUST = (70.0, 80.0, 40.0)
LEAST, OFF = [20.0, 20.0, 40.0], [0.0, 0.0, 40.0]
# 2.5 s from the first reading on: the safe level; 5 s later: the trip.
SCRIPTS = {
    # name: phases -> set points, tripped nodes
    "above its limit, not for long":   ((P(2.0),), [80.0, 80.0, 40.0], [0, 0, 0]),
    "sent to its least":               ((P(2.5),), LEAST, [0, 0, 0]),
    "racks that obey":                 ((P(2.5), P(60.0, OBEYED)), LEAST, [0, 0, 0]),
    "they do not, not for long":       ((P(7.0),), LEAST, [0, 0, 0]),
    "they do not":                     ((P(7.5),), OFF, [0, 1, 0]),
    "one that does not is enough":     ((P(7.5, (100.0, 51.0, 40.0)),), OFF, [0, 1, 0]),
    "at the limit they may stay":      ((P(2.5), P(60.0, JUST)), LEAST, [0, 0, 0]),
    "they are slow, and obey":         ((P(7.0), P(60.0, OBEYED)), LEAST, [0, 0, 0]),
    "once below it, it begins anew":   ((P(7.0), P(0.5, JUST), P(7.0)), LEAST, [0, 0, 0]),
    "and ends anew":                   ((P(7.0), P(0.5, JUST), P(7.5)), OFF, [0, 1, 0]),
    "it stays off":                    ((P(7.5), P(60.0, (0.0, 0.0, 40.0))), OFF, [0, 1, 0]),
    "until a reset":                   ((P(7.5), P(5.0, OBEYED), P(0.5, OBEYED, reset=True)), OFF, [0, 0, 0]),
    "at the limit a reset will do":    ((P(7.5), P(0.5, JUST, reset=True)), OFF, [0, 0, 0]),
    "a reset while it draws as much":  ((P(7.5), P(0.5, reset=True), P(5.0, OBEYED)), OFF, [0, 1, 0]),
    "a reset before is none after":    ((P(5.0, reset=True), P(2.5), P(5.0, OBEYED)), OFF, [0, 1, 0]),
    "and anew after a reset":          ((P(7.5), P(0.5, OBEYED, reset=True), P(7.0)), [0.0, 0.0, 40.0], [0, 0, 0]),
    "which takes as long as before":   ((P(7.5), P(0.5, OBEYED, reset=True), P(8.0)), [0.0, 0.0, 40.0], [0, 1, 0]),
    # Both could draw 100: that sends the one that is read to its least, and no further.
    "silence trips nothing":           ((P(2.0, OBEYED), P(90.0, OBEYED, read=(2,))), LEAST, [0, 0, 0]),
    "nor does one that is silent":     ((P(2.0, OBEYED), P(90.0, OBEYED, read=(0, 2))), LEAST, [0, 0, 0]),
    "silent ones count as they were":  ((P(2.5), P(5.0, read=(2,))), OFF, [0, 1, 0]),
    "until they are read":             ((P(7.5), P(9.0, read=(2,), reset=True), P(1.0, OBEYED)), OFF, [0, 1, 0]),
    "more than its most is not":       ((P(60.0, (900.0, 50.0, 40.0)),), LEAST, [0, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "setpoints", "tripped"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(phases: tuple[Phase, ...], setpoints: list[float], tripped: list[int]) -> None:
    made = hall()
    go(made, phases)
    assert stands(made) == (setpoints, tripped)


def beside(seconds: float, b_kw: float) -> Phase:
    return P(seconds, (40.0, b_kw, 40.0), read=(1, 2))


BESIDE_A_SILENT_ONE = {
    "what b draws is too much":  ((beside(6.5, 80.0),), 1),
    "it is not":                 ((beside(60.0, 70.0),), 0),
    "it was, not for long":      ((beside(6.0, 80.0), beside(0.5, 70.0), beside(5.0, 80.0)), 0),
    "and again for long enough": ((beside(6.0, 80.0), beside(0.5, 70.0), beside(5.5, 80.0)), 1),
}  # fmt: skip


@pytest.mark.parametrize(("phases", "tripped"), BESIDE_A_SILENT_ONE.values(), ids=BESIDE_A_SILENT_ONE.keys())
def test_beside_a_silent_rack(phases: tuple[Phase, ...], tripped: int) -> None:
    """It drew 40 and could draw 100, so the PDU of 110 kW stays above its limit whatever b draws."""
    made = hall(pdu_kw=110.0)
    go(made, [P(1.0, (40.0, 80.0, 40.0)), *phases])
    assert stands(made)[1] == [0, tripped, 0]


@pytest.mark.parametrize(("drawn_kw", "tripped"), [(90.0, 0), (90.001, 1)])
def test_one_that_shows_less_than_nothing_hides_no_other(drawn_kw: float, tripped: int) -> None:
    made = hall(pdu_kw=90.0)
    go(made, [P(20.0, (-900.0, drawn_kw, 40.0))])
    assert stands(made)[1] == [0, tripped, 0]


@pytest.mark.parametrize(
    ("other_kw", "main_kw", "seconds", "setpoints", "tripped"),
    [
        (1000.0, 190.0, 12.0, [0.0, 0.0, 20.0], [0, 1, 0]),  # the PDU first, the main waits for what that does
        (1000.0, 190.0, 12.5, [0.0, 0.0, 0.0], [1, 1, 0]),
        (30.0, 1000.0, 7.5, [0.0, 0.0, 0.0], [0, 1, 1]),  # each by itself
        (40.0, 1000.0, 7.5, [0.0, 0.0, 40.0], [0, 1, 0]),
    ],
)
def test_the_nodes_below_trip_first(
    other_kw: float, main_kw: float, seconds: float, setpoints: list[float], tripped: list[int]
) -> None:
    made = hall(main_kw=main_kw, other_kw=other_kw)
    go(made, [P(seconds)])
    assert stands(made) == (setpoints, tripped)


def test_what_the_nodes_below_give_up_saves_the_main() -> None:
    made = hall(main_kw=190.0)
    go(made, [P(7.5), P(60.0, (0.0, 0.0, 40.0))])
    assert stands(made) == ([0.0, 0.0, 20.0], [0, 1, 0])


def test_off_means_off_whatever_is_asked_and_each_is_counted_once_a_tick() -> None:
    made = hall()
    go(made, [P(7.5)])
    assert made.vetoes() == {"SAFE": 2, "TRIP": 2}
    assert made.watch.vetoed[:3] == [1, 1, 0]
    go(made, [P(10.0, OBEYED)])
    assert made.vetoes() == {"SAFE": 2, "TRIP": 2}
    assert made.guard(20e3, 0.0, 41e3) == [0.0, 0.0, 41e3]
    assert made.vetoes() == {"SAFE": 2, "TRIP": 3}
    made.inputs.command.resets += 1
    assert made.guard(20e3, 0.0, 41e3) == [20e3, 0.0, 41e3]


@pytest.mark.parametrize(("read", "drawn_kw", "tripped"), [((0, 1), 40.0, 0), ((0, 1, 2), 60.0, 0), ((2,), 60.001, 1)])
def test_a_node_counts_and_switches_off_its_own_racks(read: tuple[int, ...], drawn_kw: float, tripped: int) -> None:
    """Unread, c could draw 100 of 60 kW; what a and b draw is nothing to its PDU."""
    made = hall(pdu_kw=1000.0, other_kw=60.0)
    go(made, [P(5.0, (80.0, 80.0, drawn_kw)), P(20.0, (80.0, 80.0, drawn_kw), read=read)])
    assert stands(made)[1] == [0, 0, tripped]
    assert stands(made)[0][:2] == [80.0, 80.0]


def test_not_a_watt_comes_back_before_the_reset() -> None:
    made = hall()
    go(made, [P(7.5), P(1.0, OBEYED)])
    made.limits.min_w[0] = 0.0
    assert made.guard(0.5, 0.0, 40e3) == [0.0, 0.0, 40e3]


Given = Callable[[World], object]


def held(zone: int, reason: int) -> Given:
    def put(made: World) -> None:
        made.inputs.latched[zone] = 1 << reason

    return put


# Zones: the site, a feeder, a loop, then the nodes.
@pytest.mark.parametrize(
    ("zone", "reason", "tripped"),
    [
        (3 + PDU, codes.R_OVERLOAD, [0, 1, 0]),
        (3 + MAIN, codes.R_OVERLOAD, [1, 0, 0]),
        (2, codes.R_OVERLOAD, [0, 0, 0]),
        (3 + PDU, codes.R_LEAK, [0, 0, 0]),
    ],
)
def test_a_restart_ends_no_trip(zone: int, reason: int, tripped: list[int]) -> None:
    made = world([Rack(node=PDU), Rack(node=PDU), Rack(node=OTHER)], [Node(), Node(parent=0), Node(parent=0)])
    made.inputs.command.resets = 7
    held(zone, reason)(made)
    for _ in range(5):
        made.guard(100e3, 100e3, 100e3)
        made.now_s += STEP_S
        made.refresh()
    assert stands(made)[1] == tripped
    held(zone, codes.R_OVERLOAD)(made)
    made.inputs.command.resets += 1
    made.guard(100e3, 100e3, 100e3)
    assert stands(made)[1] == [0, 0, 0]
