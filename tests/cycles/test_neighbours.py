"""What draws at a measured node beside its racks, as the step takes it: shares, moves and what may be relied on.

Two racks of 20 to 100 kW at a PDU of 150 kW, which is measured, below a main of 1 MW that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from rampd.ext import codes, views
from tests.core import Node, Rack, World, world

MAIN, PDU = 0, 1
LIMIT_W = 150e3


def hall(*, phase_a: float = 0.0, measured: bool = False) -> World:
    made = world(
        [Rack(node=PDU), Rack(node=PDU)], [Node(1e6), Node(LIMIT_W, MAIN, measured=True, phase_a=phase_a)],
        max_w=1e6, import_w=1e6, default_w=1e6, dispatched_up=100e3, normal_up=100e3, measured=measured,
    )  # fmt: skip
    for i in range(2):
        made.rack(i, 40e3, 40e3)
    made.meter(500e3)
    return made


@dataclass(frozen=True)
class Phase:
    """For so long others draw `kw` there; the meter shows that and the racks, or `shows`, None: it is not read."""

    seconds: float
    kw: float
    shows: float | None = -1.0
    amps: float = 0.0


P = Phase


def go(made: World, phases: Iterable[Phase]) -> views.Outputs:
    """Racks draw what they are given; the site's other load is 420 kW and what others draw at the PDU."""
    out = views.outputs(made.out)
    for phase in phases:
        for _ in range(round(phase.seconds / 0.1)):
            drawn_w = [made.state.applied_w[i] if made.state.known[i] else 40e3 for i in range(2)]
            for i, power_w in enumerate(drawn_w):
                made.rack(i, power_w, power_w)
            racks_w = sum(drawn_w)
            made.meter(420e3 + racks_w + 1e3 * phase.kw)
            made.cool(0)
            shown_w = racks_w + 1e3 * phase.kw if phase.shows == -1.0 else phase.shows
            if shown_w is not None and round(made.now_s * 10) % 10 == 0:
                made.feed(PDU, shown_w, phase.amps * shown_w / 1e3, 0.0, 0.0)
            out = made.tick(0.1)
    return out


@pytest.mark.parametrize(("kw", "sum_kw"), [(0.0, 150.0), (30.0, 120.0), (80.0, 70.0), (105.0, 45.0)])
def test_the_racks_share_what_is_left(kw: float, sum_kw: float) -> None:
    made = hall()
    go(made, [P(10.0, kw)])
    made.command(codes.TRACK, 1e6, ramp_s=2.0)
    out = go(made, [P(20.0, kw)])
    assert sum(out.setpoint_w[:2]) == pytest.approx(sum_kw * 1e3, rel=2e-3)
    assert sum(out.setpoint_w[:2]) <= sum_kw * 1e3 * (1 + 1e-9)
    assert made.vetoes() == {}
    assert {codes.Why(out.why[i]) for i in range(2)} == {codes.Why.WHY_NODE}
    assert out.taken_w[:2] == pytest.approx([kw * 1e3, kw * 1e3], abs=1e-6)


def test_where_others_leave_less_than_the_least_of_its_racks_one_goes_off() -> None:
    made = hall()
    made.command(codes.TRACK, 1e6, ramp_s=2.0)
    out = go(made, [P(10.0, 0.0), P(20.0, 120.0)])
    assert sorted(out.setpoint_w[:2]) == pytest.approx([0.0, 30e3], abs=100.0)


@pytest.mark.parametrize("kw", (0.0, 10.0, 20.0))
def test_no_more_than_is_left_is_promised(kw: float) -> None:
    made = hall()
    go(made, [P(10.0, kw)])
    made.command(codes.TRACK, 540e3 + kw * 1e3, ramp_s=2.0)
    out = go(made, [P(20.0, kw)])
    room_w = LIMIT_W - kw * 1e3
    drawn_w = sum(out.setpoint_w[:2])
    assert 40e3 <= drawn_w <= room_w
    # What others draw there is a part of what the meter shows beside the racks.
    assert out.most_w == pytest.approx(420e3 + kw * 1e3 + room_w, rel=5e-3)
    assert 0.0 < out.firm_up_600_w <= room_w - drawn_w


def test_what_comes_is_believed_at_once_and_what_goes_in_ten_seconds() -> None:
    made = hall()
    go(made, [P(10.0, 30.0), P(16.0, 60.0)])
    assert made.state.other_w[PDU] == pytest.approx(60e3, abs=2e3)
    go(made, [P(5.0, 30.0)])
    assert 40e3 < made.state.other_w[PDU] < 60e3
    go(made, [P(60.0, 30.0)])
    assert made.state.other_w[PDU] == pytest.approx(30e3, abs=500.0)


@pytest.mark.parametrize("shows", (None, -5e3, 1e3, 400e3))
def test_what_is_not_read_or_cannot_be_changes_nothing(shows: float | None) -> None:
    made = hall()
    go(made, [P(10.0, 30.0)])
    made.command(codes.TRACK, 1e6, ramp_s=2.0)
    out = go(made, [P(30.0, 30.0, shows)])
    assert out.taken_w[PDU] == pytest.approx(30e3, abs=1.0)
    assert sum(out.setpoint_w[:2]) == pytest.approx(120e3, rel=2e-3)


@pytest.mark.parametrize(
    ("phase_a", "amps", "kw"),
    [(300.0, 2.0, 0.0), (300.0, 2.5, 30.0), (300.0, 4.0, 75.0), (300.0, 60.0, 120.0), (0.0, 60.0, 0.0)],
)
def test_the_fullest_phase_takes_its_part(phase_a: float, amps: float, kw: float) -> None:
    """So many A of the first phase for each kW of the node: racks that do not load all alike fall too far at first."""
    made = hall(phase_a=phase_a)
    made.command(codes.TRACK, 1e6, ramp_s=2.0)
    out = go(made, [P(120.0, 0.0, amps=amps)])
    assert out.taken_w[PDU] == pytest.approx(kw * 1e3, abs=1.0)
    # It is no load: the main does not draw it.
    assert out.taken_w[MAIN] == pytest.approx(0.0, abs=1.0)
    if kw < 110.0:
        assert sum(out.setpoint_w[:2]) == pytest.approx(LIMIT_W - kw * 1e3, rel=2e-3)


@dataclass(frozen=True)
class Phases:
    """For so long a phase draws so many A for each kW of the node, None: it is not read."""

    seconds: float
    amps: tuple[float | None, ...]


F = Phases
EVEN, GONE = (2.0, 2.0, 2.0), (None, 2.0, 2.0)
# A phase may draw 300 A, two for each kW of the limit.
UNREAD = {
    # name: phases -> kW that the fullest phase takes of the limit
    "the fullest": ((F(30.0, (2.5, 2.0, 2.0)), F(60.0, GONE)), 30.0),
    "another than the fullest": ((F(30.0, (2.5, 2.0, 2.0)), F(60.0, (2.0, None, 2.0))), 30.0),
    "two": ((F(30.0, (2.5, 2.0, 2.0)), F(60.0, (None, 2.0, None))), 30.0),
    "all": ((F(30.0, (2.5, 2.0, 2.0)), F(60.0, (None, None, None))), 30.0),
    "all, after one reading": ((F(10.0, EVEN), F(1.0, (2.5, 2.0, 2.0)), F(60.0, (None, None, None))), 0.0),
    "one was wild just before": ((F(10.0, EVEN), F(1.0, (9.0, 2.0, 2.0)), F(60.0, GONE)), 0.0),
    "another becomes the fullest": ((F(30.0, (2.5, 2.0, 2.0)), F(10.0, (None, 3.0, 2.0))), 50.0),
    "that falls again": ((F(30.0, (2.5, 2.0, 2.0)), F(10.0, (None, 3.0, 2.0)), F(60.0, GONE)), 50.0),
    "read again, it falls": ((F(30.0, (2.5, 2.0, 2.0)), F(10.0, GONE), F(120.0, EVEN)), 0.0),
    "never read": ((F(30.0, (None, 2.5, 2.0)),), 30.0),
    "never read, the others alike": ((F(30.0, GONE),), 0.0),
}


@pytest.mark.parametrize(("phases", "kw"), UNREAD.values(), ids=UNREAD.keys())
def test_while_a_phase_is_not_read_its_part_does_not_fall(phases: Iterable[Phases], kw: float) -> None:
    made = hall(phase_a=300.0)
    made.command(codes.TRACK, 500e3, ramp_s=2.0)
    for phase in phases:
        for _ in range(round(phase.seconds)):
            go(made, [P(0.9, 0.0, None)])
            drawn_w = sum(made.state.applied_w[i] if made.state.known[i] else 40e3 for i in range(2))
            made.feed(PDU, drawn_w, *(0.0 if one is None else one * drawn_w / 1e3 for one in phase.amps))
            for k, one in enumerate(phase.amps):
                if one is None:
                    made.put(made.limits.amps_slot[3 * PDU + k], 0.0, quality=codes.SENTINEL)
            go(made, [P(0.1, 0.0, None)])
    assert made.state.phase_w[PDU] == pytest.approx(kw * 1e3, abs=100.0)
    assert made.watch.phase_w[PDU] <= made.state.phase_w[PDU] + 1e-6
    assert made.vetoes() == {}


def test_what_a_fault_switches_off_comes_back() -> None:
    made = hall(measured=True)
    for second in range(60):
        made.grid(volts=4000.0 if 20 <= second < 30 else 8000.0)
        go(made, [P(1.0, 0.0 if 20 <= second < 32 else 30.0)])
        if second > 10:
            assert made.state.other_w[PDU] == pytest.approx(30e3, abs=500.0)


def above(phases: Iterable[Phase]) -> tuple[World, list[float]]:
    """What the racks get in sum after each phase, while the site is to rise by 50 kW/s."""
    made = hall()
    made.command(codes.TRACK, 460e3, ramp_s=1.0)
    go(made, [P(10.0, 0.0)])
    found = []
    for phase in phases:
        made.command(codes.TRACK, views.outputs(made.out).power_w + 50e3 * phase.seconds, ramp_s=phase.seconds)
        found.append(sum(go(made, [phase]).setpoint_w[:2]))
    return made, found


def test_above_its_limit_nothing_rises_before_what_others_draw_is_known() -> None:
    made, found = above((P(1.0, 112.0), P(1.0, 113.0), P(1.0, 114.0)))
    assert found == [40e3, 40e3, 40e3]
    assert {codes.Why(views.outputs(made.out).why[i]) for i in range(2)} == {codes.Why.WHY_NODE}
    assert made.vetoes() == {}


def test_one_reading_above_it_holds_nobody() -> None:
    _, found = above((P(0.5, 0.0), P(0.5, 0.0, 160e3), P(0.5, 0.0, 160e3), P(0.5, 0.0)))
    assert found[0] + 10e3 < found[1] < found[2] - 10e3 < found[3] - 10e3


def test_below_it_they_rise_again() -> None:
    _, found = above((P(1.0, 112.0), P(1.0, 113.0), P(2.0, 0.0), *(P(1.0, 0.0),) * 60))
    assert found[1] == 40e3
    assert found[-1] == pytest.approx(LIMIT_W, rel=2e-2)


def test_a_rack_that_is_off_stays_off_above_its_limit() -> None:
    """As if what others draw were not known yet."""
    made = hall()
    made.command(codes.TRACK, 480e3, ramp_s=1.0)
    out = go(made, [P(10.0, 0.0), P(20.0, 115.0)])
    off = [out.setpoint_w[i] for i in range(2)].index(0.0)
    for k, target_w in enumerate((480e3, 480e3, 480e3, 800e3, 800e3)):
        made.command(codes.TRACK, target_w, ramp_s=1.0)
        for name in ("learnt_w", "low_other_w", "high_other_w"):
            getattr(made.state, name)[PDU] = getattr(made.watch, name)[PDU] = 0.0
        out = go(made, [P(1.0, 140.0 + k)])
        assert (out.setpoint_w[off], made.state.other_w[PDU]) == (0.0, 0.0)
    assert made.vetoes() == {}


def reasons(made: World) -> list[str]:
    return made.reasons(made.limits.site.zones - made.limits.site.nodes + PDU)


def moved(made: World, kw: float, shows: Callable[[float], float], racks_kw: Iterable[float]) -> None:
    """The racks stand for nine seconds each time, others draw `kw`, and the meter shows what it makes of both."""
    for one in racks_kw:
        made.command(codes.TRACK, 420e3 + 1e3 * (kw + one), ramp_s=1.0)
        for _ in range(9):
            drawn_w = sum(made.state.applied_w[i] for i in range(2)) + 1e3 * kw
            go(made, [P(1.0, kw, shows(drawn_w))])


@dataclass(frozen=True)
class Wrong:
    """What the meter shows of what is drawn, what it is said to be, and what the racks go between."""

    shows: Callable[[float], float]
    name: str
    low_kw: float = 45.0
    high_kw: float = 130.0


WRONG = {
    "it stands still": Wrong(lambda drawn_w: 107e3, "node_meter_frozen"),
    "kilowatts": Wrong(lambda drawn_w: 1e-3 * drawn_w, "node_meter_implausible"),
    "the double": Wrong(lambda drawn_w: 2.0 * drawn_w, "node_meter_implausible", high_kw=60.0),
    "a half": Wrong(lambda drawn_w: 0.5 * drawn_w, "node_meter_implausible"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_meter_that_is_wrong_is_named_until_it_is_right(wrong: Wrong) -> None:
    made = hall()
    made.limits.pretend_w[PDU] = 40e3
    ways = (wrong.high_kw, wrong.low_kw)
    moved(made, 10.0, float, ways)
    assert made.state.learnt_w[PDU] == pytest.approx(10e3, abs=1e3)
    moved(made, 10.0, wrong.shows, ways * 3)
    assert reasons(made) == [wrong.name]
    known_w = made.state.learnt_w[PDU]
    for way in ways * 2:
        # It takes nothing back any more, and stays named.
        moved(made, 10.0, wrong.shows, (way,))
        assert made.state.learnt_w[PDU] >= known_w
        assert reasons(made) == [wrong.name]
    moved(made, 10.0, float, ways * 6)
    assert reasons(made) == []
    assert made.state.learnt_w[PDU] == pytest.approx(10e3, abs=1e3)
    assert made.vetoes() == {}
