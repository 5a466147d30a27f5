"""The guard, rule by rule: what stood, what was asked, what was so, what goes out, what was counted. Powers in kW."""

from __future__ import annotations

import pytest

from rampd.ext import codes
from tests import interpreted
from tests.core import Rack, World, world
from tests.guarding import Given, Row, hall, play, standing

NAN, INF = float("nan"), float("inf")


def no_lease(w: World) -> None:
    w.inputs.command.verb = codes.STAND


def lapsed(w: World) -> None:
    w.inputs.command.expires_ns = w.now_ns


def normal(w: World) -> None:
    w.inputs.command.envelope = codes.NORMAL


def regulated(w: World) -> None:
    w.inputs.command.regulation_ns = w.now_ns + 1


def silent(w: World) -> None:
    w.inputs.command.regulation_ns = w.now_ns


def estop(w: World) -> None:
    w.inputs.command.verb = codes.ESTOP


def state_of_b(rack_state: int) -> Given:
    return lambda w: w.inputs.rack_state.__setitem__(1, rack_state)


def shown(**grid: float) -> Given:
    return lambda w: w.grid(**grid)


def one_phase(volts: float) -> Given:
    return lambda w: w.put(w.limits.voltage_slot[2], volts)


LOW = (40.0, 40.0, 40.0)
HIGH = (100.0, 100.0, 100.0)
ROWS = {
    # 1. A level the rack has.
    "nothing asked":                  Row(LOW, LOW, LOW, {}),
    "off is a level":                 Row(LOW, (0.0, 40.0, 40.0), (0.0, 40.0, 40.0), {}),
    "the least is a level":           Row(LOW, (20.0, 40.0, 40.0), (20.0, 40.0, 40.0), {}),
    "the most is a level":            Row(LOW, (100.0, 40.0, 40.0), (100.0, 40.0, 40.0), {}),
    "below the least":                Row(LOW, (19.999, 40.0, 40.0), LOW, {"LEVEL": 1}),
    "above the most":                 Row(LOW, (100.001, 40.0, 40.0), LOW, {"LEVEL": 1}),
    "negative":                       Row(LOW, (-0.001, 40.0, 40.0), LOW, {"LEVEL": 1}),
    "not a number":                   Row(LOW, (NAN, 40.0, 50.0), (40.0, 40.0, 50.0), {"LEVEL": 1}),
    "endless":                        Row(LOW, (INF, -INF, 40.0), LOW, {"LEVEL": 2}),
    # 4. No raise on what is not known; falls are free of that.
    "raise":                          Row(LOW, (50.0, 60.0, 70.0), (50.0, 60.0, 70.0), {}),
    "meter just fresh":               Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (lambda w: w.meter(300e3, age_s=2.0),)),
    "meter stale":                    Row(LOW, (50.0, 40.0, 30.0), (40.0, 40.0, 30.0), {"STALE": 1},
                                          (lambda w: w.meter(300e3, age_s=2.01),)),
    "meter out of range":             Row(LOW, (50.0, 40.0, 40.0), LOW, {"STALE": 1},
                                          (lambda w: w.meter(300e3, quality=codes.RANGE),)),
    "rack just fresh":                Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (lambda w: w.rack(0, 40e3, age_s=5.0),)),
    "rack stale":                     Row(LOW, (50.0, 50.0, 40.0), (40.0, 50.0, 40.0), {"STALE": 1},
                                          (lambda w: w.rack(0, 40e3, age_s=5.01),)),
    "rack stale may fall":            Row(LOW, (30.0, 40.0, 40.0), (30.0, 40.0, 40.0), {},
                                          (lambda w: w.rack(0, 40e3, age_s=60.0),)),
    "rack refused":                   Row(LOW, (50.0, 40.0, 40.0), LOW, {"STALE": 1},
                                          (lambda w: w.rack(0, 40e3, quality=codes.REFUSED),)),
    # 4. No raise where the grid is not there.
    "voltage just not low":           Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (shown(volts=7200.0),)),
    "voltage low":                    Row(LOW, (50.0, 40.0, 30.0), (40.0, 40.0, 30.0), {"GRID": 1},
                                          (shown(volts=7199.9),)),
    "one phase low":                  Row(LOW, (50.0, 40.0, 40.0), LOW, {"GRID": 1}, (one_phase(7000.0),)),
    "voltage just not high":          Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (shown(volts=8800.0),)),
    "voltage high":                   Row(LOW, (50.0, 50.0, 40.0), LOW, {"GRID": 2}, (shown(volts=8800.1),)),
    "a bad voltage shows nothing":    Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (shown(volts=0.0, quality=codes.RANGE),)),
    "an old voltage shows nothing":   Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (shown(volts=0.0, age_s=2.01),)),
    "frequency of no live bus":       Row(LOW, (50.0, 40.0, 40.0), LOW, {"GRID": 1}, (shown(hz=53.9),)),
    "frequency far too high":         Row(LOW, (50.0, 40.0, 40.0), LOW, {"GRID": 1}, (shown(hz=66.1),)),
    "low frequency is no fault":      Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (shown(hz=54.0),)),
    "high frequency is no fault":     Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (shown(hz=66.0),)),
    "an old frequency shows nothing": Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (shown(hz=40.0, age_s=2.01),)),
    "breaker open":                   Row(LOW, (50.0, 40.0, 40.0), LOW, {"GRID": 1}, (shown(closed=0.0),)),
    "a bad breaker shows nothing":    Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {},
                                          (shown(closed=0.0, quality=codes.SENTINEL),)),
    # 3. The sum, up: 100 kW with a dispatched lease, 10 kW without.
    "rise within the budget":         Row(LOW, (80.0, 80.0, 60.0), (80.0, 80.0, 60.0), {}),
    "rise beyond it":                 Row(LOW, (80.0, 80.0, 61.0), LOW, {"RISE": 3}),
    "what falls makes room":          Row(LOW, (80.0, 30.0, 100.0), (80.0, 30.0, 100.0), {}),
    "raises go, falls stay":          Row(LOW, (100.0, 39.0, 100.0), (40.0, 39.0, 40.0), {"RISE": 2}),
    "no lease, normal rate":          Row(LOW, (50.0, 40.0, 40.0), (50.0, 40.0, 40.0), {}, (no_lease,)),
    "no lease, faster":               Row(LOW, (50.1, 40.0, 40.0), LOW, {"RISE": 1}, (no_lease,)),
    "lease ended":                    Row(LOW, (50.1, 40.0, 40.0), LOW, {"RISE": 1}, (lapsed,)),
    "a regulation signal":            Row(LOW, (80.0, 80.0, 60.0), (80.0, 80.0, 60.0), {}, (normal, regulated)),
    "without any lease":              Row(LOW, (80.0, 80.0, 60.0), (80.0, 80.0, 60.0), {}, (no_lease, regulated)),
    "that has ended":                 Row(LOW, (50.1, 40.0, 40.0), LOW, {"RISE": 1}, (normal, silent)),
    "normal envelope":                Row(LOW, (50.1, 40.0, 40.0), LOW, {"RISE": 1}, (normal,)),
    # 3. The sum, down: 100 kW, more only for a reason.
    "fall within the budget":         Row(HIGH, (50.0, 50.0, 100.0), (50.0, 50.0, 100.0), {}),
    "fall beyond it":                 Row(HIGH, (60.0, 60.0, 60.0), (100.0, 60.0, 60.0), {"FALL": 1}),
    "fall far beyond it":             Row(HIGH, (0.0, 0.0, 90.0), (100.0, 100.0, 90.0), {"FALL": 2}),
    "two must wait":                  Row(HIGH, (30.0, 30.0, 30.0), (100.0, 100.0, 30.0), {"FALL": 2}),
    "just the budget is left":        Row(HIGH, (50.0, 50.0, 50.0), (100.0, 50.0, 50.0), {"FALL": 1}),
    "stop":                           Row(HIGH, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), {}, (estop,)),
    "above the import limit":         Row(HIGH, (20.0, 20.0, 20.0), (20.0, 20.0, 20.0), {},
                                          (lambda w: w.meter(500.1e3),)),
    "at the import limit":            Row(HIGH, (20.0, 20.0, 99.0), (100.0, 20.0, 99.0), {"FALL": 1},
                                          (lambda w: w.meter(500e3),)),
    "a bad meter is no reason":       Row(HIGH, (20.0, 20.0, 99.0), (100.0, 20.0, 99.0), {"FALL": 1},
                                          (lambda w: w.meter(900e3, quality=codes.RANGE),)),
    "below the first under step":     Row(HIGH, (20.0, 20.0, 20.0), (20.0, 20.0, 20.0), {}, (shown(hz=59.7),)),
    "above every under step":         Row(HIGH, (20.0, 20.0, 99.0), (100.0, 20.0, 99.0), {"FALL": 1},
                                          (shown(hz=59.701),)),
    "an old frequency is no reason":  Row(HIGH, (20.0, 20.0, 99.0), (100.0, 20.0, 99.0), {"FALL": 1},
                                          (shown(hz=59.0, age_s=2.01),)),
    "no under steps":                 Row(HIGH, (20.0, 20.0, 99.0), (100.0, 20.0, 99.0), {"FALL": 1},
                                          (shown(hz=59.0), lambda w: setattr(w.limits.site, "under_steps", 0))),
    "one under step":                 Row(HIGH, (20.0, 20.0, 20.0), (20.0, 20.0, 20.0), {},
                                          (shown(hz=59.0), lambda w: setattr(w.limits.site, "under_steps", 1))),
    "with the breaker open":          Row(HIGH, (20.0, 20.0, 20.0), (20.0, 20.0, 20.0), {}, (shown(closed=0.0),)),
    # 2. Sums at the nodes: the larger of last, new and measured; the most where that is not known.
    "PDU just full":                  Row(LOW, (60.0, 40.0, 40.0), (60.0, 40.0, 40.0), {}, pdu_kw=100.0),
    "PDU too full":                   Row(LOW, (60.1, 40.0, 50.0), (40.0, 40.0, 50.0), {"NODE": 1}, pdu_kw=100.0),
    "all raises below go":            Row(LOW, (55.0, 50.0, 50.0), (40.0, 40.0, 50.0), {"NODE": 2}, pdu_kw=100.0),
    "main too full":                  Row(LOW, (60.0, 40.0, 45.0), LOW, {"NODE": 2}, main_kw=130.0),
    "room is not given twice":        Row(LOW, (70.0, 20.0, 40.0), (40.0, 20.0, 40.0), {"NODE": 1}, pdu_kw=100.0),
    "measured above the set point":   Row(LOW, (45.0, 40.0, 40.0), LOW, {"NODE": 1},
                                          (lambda w: w.rack(1, 60e3),), pdu_kw=100.0),
    "measured beyond its most":       Row(LOW, (60.0, 40.0, 40.0), (60.0, 40.0, 40.0), {},
                                          (lambda w: w.rack(2, 900e3),), main_kw=200.0),
    "a stale neighbour at its most":  Row(LOW, (41.0, 40.0, 40.0), LOW, {"NODE": 1},
                                          (lambda w: w.rack(1, 40e3, age_s=6.0),), pdu_kw=140.0),
    "a stale neighbour with room":    Row(LOW, (41.0, 40.0, 40.0), (41.0, 40.0, 40.0), {},
                                          (lambda w: w.rack(1, 40e3, age_s=6.0),), pdu_kw=141.0),
    "a neighbour as old as may be":   Row(LOW, (41.0, 40.0, 40.0), (41.0, 40.0, 40.0), {},
                                          (lambda w: w.rack(1, 40e3, age_s=5.0),), pdu_kw=140.0),
    "a neighbour in manual":          Row(LOW, (41.0, 40.0, 40.0), LOW, {"NODE": 1}, (state_of_b(codes.MANUAL),),
                                          pdu_kw=140.0),
    "a neighbour that is deaf":       Row(LOW, (41.0, 40.0, 40.0), LOW, {"NODE": 1}, (state_of_b(codes.UNRESPONSIVE),),
                                          pdu_kw=140.0),
    "full to the last bit":           Row(LOW, (40.0, 40.0, 40.5), (40.0, 40.0, 40.5), {},
                                          (lambda w: w.limits.node_w.__setitem__(2, 50e3),
                                           lambda w: w.rack(2, 50e3 * (1.0 + 1e-9)))),
    "a full PDU may fall":            Row(LOW, (30.0, 40.0, 40.0), (30.0, 40.0, 40.0), {}, pdu_kw=50.0),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_row(row: Row) -> None:
    play(row)


def rests(made: World) -> None:
    """The first rack rested at a restart."""
    made.inputs.free_ns[0] = 1


def unread(made: World) -> None:
    """It rested, and has no read-back."""
    rests(made)
    made.limits.limit_slot[0] = -1


FIRST_SIGHT = {
    # what the rack shows: power, read-back -> known, last let pass
    "both fresh":               (lambda w: w.rack(0, 50e3, 60e3), 1, 60e3),
    "draws more than it may":   (lambda w: w.rack(0, 70e3, 60e3), 1, 70e3),
    "never above its most":     (lambda w: w.rack(0, 70e3, 900e3), 1, 100e3),
    "power stale":              (lambda w: w.rack(0, 50e3, 60e3, age_s=6.0), 0, 0.0),
    "power never read":         (lambda w: w.rack(0, 50e3, 60e3, quality=codes.NEVER), 0, 0.0),
    "read-back stale":          (lambda w: w.inputs.at_ns.__setitem__(w.limits.limit_slot[0], 0), 0, 0.0),
    "off":                      (lambda w: w.rack(0, 0.0, 0.0), 1, 0.0),
    "draws a little":           (lambda w: w.rack(0, 0.5, 0.0), 1, 20e3),
    "has not fallen yet":       (lambda w: rests(w) or w.rack(0, 60e3, 0.0), 1, 0.0),
    "rests, no read-back":      (lambda w: unread(w) or w.rack(0, 50e3), 1, 50e3),
    "read-back in slot 0":      (lambda w: w.limits.limit_slot.__setitem__(0, 0) or w.rack(0, 50e3), 1, 100e3),
    "no read-back":             (lambda w: w.limits.limit_slot.__setitem__(0, -1) or w.rack(0, 50e3), 1, 50e3),
}  # fmt: skip


@pytest.mark.parametrize(("given", "known", "last_w"), FIRST_SIGHT.values(), ids=FIRST_SIGHT.keys())
def test_first_sight_of_a_rack(given: Given, known: int, last_w: float) -> None:
    made = hall()
    given(made)
    out = made.guard(0.0, 100e3, 100e3)
    assert (made.watch.known[0], out[0]) == (known, 0.0)
    made.now_s += 0.05
    made.refresh()
    made.guard(0.0, 100e3, 100e3)
    assert made.vetoes() == {}
    again = hall()
    given(again)
    assert again.guard(NAN, 100e3, 100e3)[0] == last_w
    assert again.vetoes() == ({"LEVEL": 1} if known else {})


def test_an_unknown_rack_gets_nothing_and_counts_at_its_most() -> None:
    made = hall(pdu_kw=150.0)
    made.rack(0, 40e3, 40e3, quality=codes.NEVER)
    made.rack(1, 40e3, 40e3)
    made.command(codes.TRACK, 300e3)
    made.guard(40e3, 40e3, 100e3)
    made.now_s += 1.0
    assert made.guard(40e3, 51e3, 100e3) == [0.0, 40e3, 100e3]
    assert made.vetoes() == {"NODE": 1}
    made.now_s += 1.0
    assert made.guard(40e3, 50e3, 100e3) == [0.0, 50e3, 100e3]


def test_a_rack_that_is_read_after_the_others_is_met_then() -> None:
    made = hall()
    made.rack(0, 50e3, 60e3, quality=codes.NEVER)
    made.guard(60e3, 100e3, 100e3)
    assert made.watch.known[:3] == [0, 1, 1]
    made.now_s += 0.05
    made.refresh()
    made.rack(0, 50e3, 60e3)
    assert made.guard(60e3, 100e3, 100e3) == [60e3, 100e3, 100e3]
    assert made.watch.known[:3] == [1, 1, 1]


LISTED = {
    # asked, in kW, of a rack that has 0, 40 and 100 kW and stands at 40 -> out, vetoes
    "off":                (0.0, 0.0, {}),
    "where it stands":    (40.0, 40.0, {}),
    "its highest level":  (100.0, 100.0, {}),
    "between levels":     (70.0, 40.0, {"LEVEL": 1}),
    "its least, unlisted": (20.0, 40.0, {"LEVEL": 1}),
    "next to a level":    (100.0 - 1e-9, 40.0, {"LEVEL": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "out", "vetoes"), LISTED.values(), ids=LISTED.keys())
def test_a_list_of_levels(asked: float, out: float, vetoes: dict[str, int]) -> None:
    made = world([Rack(levels_w=(0.0, 40e3, 100e3)), Rack()], dispatched_up=80e3, dispatched_down=80e3)
    made.rack(0, 40e3, 40e3)
    made.command(codes.TRACK, 300e3)
    made.guard(40e3, 100e3)
    made.now_s += 1.0
    made.refresh()
    assert made.guard(asked * 1e3, 100e3)[0] == out * 1e3
    assert made.vetoes() == vetoes


def test_every_rack_has_its_own_list() -> None:
    made = world([Rack(levels_w=(0.0, 40e3, 100e3)), Rack(levels_w=(0.0, 30e3, 90e3)), Rack()],
                 dispatched_up=80e3, dispatched_down=80e3)  # fmt: skip
    made.rack(0, 40e3, 40e3)
    made.rack(1, 30e3, 30e3)
    made.command(codes.TRACK, 300e3)
    made.guard(40e3, 30e3, 100e3)
    made.now_s += 1.0
    made.refresh()
    assert made.guard(30e3, 40e3, 100e3) == [40e3, 30e3, 100e3]
    assert made.vetoes() == {"LEVEL": 2}


def test_at_first_sight_no_budget_is_there_to_raise_with() -> None:
    made = hall()
    for i in range(3):
        made.rack(i, 40e3, 40e3)
    made.command(codes.TRACK, 300e3)
    assert made.guard(50e3, 40e3, 40e3) == [40e3] * 3
    assert made.vetoes() == {"RISE": 1}


def test_a_pause_saves_up_no_more_than_a_second() -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    made.limits.site.normal_up = 4e3
    no_lease(made)
    # Ten are there, 1.25 of a tenth of the dispatched rate; after two seconds five are, 1.25 of the normal one.
    assert made.guard(50e3, 40e3, 40e3) == [50e3, 40e3, 40e3]
    made.now_s += 2.0
    made.refresh()
    assert made.guard(50e3, 45.1e3, 40e3) == [50e3, 40e3, 40e3]
    assert made.guard(50e3, 45e3, 40e3) == [50e3, 45e3, 40e3]


def test_what_a_rack_takes_but_at_once_is_saved_up_for() -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    made.limits.site.jump_w = 40e3
    no_lease(made)
    # Fifty kW at most are there, ten grow in a second.
    assert made.guard(90.1e3, 40e3, 40e3)[0] == 40e3
    assert made.guard(90e3, 40e3, 40e3)[0] == 90e3
    for seconds in range(1, 6):
        made.now_s += 1.0
        made.refresh()
        assert made.guard(90e3, 90e3, 40e3)[1] == (90e3 if seconds == 5 else 40e3)
    for _ in range(9):
        made.now_s += 1.0
        made.refresh()
        made.guard(90e3, 90e3, 40e3)
    assert made.guard(90e3, 90e3, 90.1e3)[2] == 40e3
    assert made.guard(90e3, 90e3, 90e3)[2] == 90e3


def test_a_fall_that_a_rack_takes_but_at_once_is_saved_up_for() -> None:
    made = standing(hall(), 100.0, 100.0, 100.0)
    made.limits.site.dispatched_down, made.limits.site.jump_w = 8e3, 40e3
    assert made.guard(39e3, 100e3, 100e3)[0] == 100e3
    for _ in range(9):
        made.now_s += 1.0
        made.refresh()
        made.guard(100e3, 100e3, 100e3)
    assert made.guard(49.9e3, 100e3, 100e3)[0] == 100e3
    assert made.guard(50e3, 100e3, 100e3)[0] == 50e3


def test_the_smallest_raise_is_counted() -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    made.limits.site.normal_up, made.limits.site.dispatched_up = 0.0, 8.0
    no_lease(made)
    assert made.guard(40e3 + 0.8, 40e3, 40e3)[0] == 40e3 + 0.8
    assert made.guard(40e3 + 1.6, 40e3, 40e3)[0] == 40e3 + 0.8


def test_falls_spend_their_budget_once_and_it_grows_at_the_dispatched_rate() -> None:
    made = standing(hall(), 100.0, 100.0, 100.0)
    # 100 kW at once, less one rack that must wait; nothing is left.
    assert made.guard(50e3, 50e3, 50e3) == [100e3, 50e3, 50e3]
    assert made.guard(99e3, 50e3, 50e3) == [100e3, 50e3, 50e3]
    made.now_s += 0.1
    made.refresh()
    assert made.guard(89.9e3, 50e3, 50e3) == [100e3, 50e3, 50e3]
    assert made.guard(90e3, 50e3, 50e3) == [90e3, 50e3, 50e3]
    assert made.vetoes() == {"FALL": 3}


@pytest.mark.parametrize(("asked", "out"), [(34.0, 34.0), (33.9, 100.0)])
def test_what_falls_while_raises_are_withdrawn_is_counted(asked: float, out: float) -> None:
    made = standing(hall(), 50.0, 100.0, 100.0)
    no_lease(made)
    assert made.guard(100e3, 61e3, 100e3) == [50e3, 61e3, 100e3]
    # 39 of 100 kW are spent, 5 came back.
    made.now_s += 0.05
    made.refresh()
    assert made.guard(50e3, 61e3, asked * 1e3)[2] == out * 1e3


def test_once_raises_are_withdrawn_a_node_is_no_longer_above_its_limit() -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    made.limits.node_w[1] = 100e3
    for _ in range(6):
        assert made.guard(70e3, 40e3, 40e3) == [40e3] * 3
        made.now_s += 0.5
        made.refresh()
    assert made.vetoes() == {"NODE": 6}


def test_a_set_point_that_is_no_level_may_stand() -> None:
    made = world([Rack(levels_w=(0.0, 40e3, 100e3))])
    made.rack(0, 70e3, 70e3)
    assert made.guard(70e3) == [70e3]
    assert made.vetoes() == {}


def test_the_budget_of_a_second_is_spent_once() -> None:
    made = standing(hall(), 20.0, 20.0, 20.0)
    passed = []
    for tick in range(1, 9):
        made.now_s += 0.1
        made.refresh()
        passed.append(sum(made.guard(*[20e3 + 10e3 * tick] * 3)) / 1e3)
    # 100 kW at once, then 10 kW a tick: 30 kW a tick fit until the budget is gone, and again once it has grown enough.
    assert passed == pytest.approx([90.0, 120.0, 150.0, 180.0, 180.0, 180.0, 180.0, 180.0])
    assert made.vetoes() == {"RISE": 12}


def test_after_two_seconds_above_its_limit_a_node_goes_to_its_least() -> None:
    made = standing(hall(), 80.0, 80.0, 80.0)
    made.limits.node_w[1] = 150e3
    seen = []
    for _ in range(6):
        seen.append([w / 1e3 for w in made.guard(80e3, 80e3, 80e3)])
        made.now_s += 0.5
        made.refresh()
    assert seen == [[80.0, 80.0, 80.0]] * 4 + [[20.0, 20.0, 80.0]] * 2
    assert made.vetoes() == {"SAFE": 2, "RISE": 2}


def test_what_stands_beside_a_node_above_its_limit_moves_as_it_is_asked() -> None:
    made = standing(hall(), 40.0, 40.0, 80.0)
    made.limits.node_w[2] = 50e3
    seen = []
    for _ in range(5):
        seen.append([w / 1e3 for w in made.guard(50e3, 40e3, 80e3)])
        made.now_s += 0.5
        made.refresh()
    assert seen == [[50.0, 40.0, 80.0]] * 4 + [[50.0, 40.0, 20.0]]
    assert made.vetoes() == {"SAFE": 1}


def test_the_two_seconds_begin_anew_once_the_node_was_below_its_limit() -> None:
    made = standing(hall(), 80.0, 80.0, 80.0)
    for limit_kw in (150, 150, 150, 170, 150, 150, 150, 150):
        made.limits.node_w[1] = limit_kw * 1e3
        assert made.guard(80e3, 80e3, 80e3) == [80e3] * 3
        made.now_s += 0.5
        made.refresh()
    assert made.vetoes() == {}


def test_racks_off_or_unknown_are_left_alone_when_a_node_goes_to_its_least() -> None:
    made = hall(pdu_kw=110.0)
    made.rack(0, 0.0, 0.0)
    made.rack(1, 0.0, 0.0, quality=codes.NEVER)
    made.rack(2, 100e3, 100e3)
    made.limits.node_w[2] = 50e3
    made.inputs.rack_state[0] = codes.MANUAL
    for _ in range(5):
        out = made.guard(0.0, 0.0, 100e3)
        made.now_s += 0.6
        made.refresh()
    assert out == [0.0, 0.0, 20e3]
    assert made.vetoes() == {"SAFE": 1}


def test_the_guard_knows_neither_step_nor_model() -> None:
    made = standing(hall(), 40.0, 40.0, 40.0)
    before = made.bytes()
    interpreted.guard.check(made.inputs, made.limits, made.watch, made.state.asked_w, made.state.applied_w, made.now_ns)
    changed = {name for name, raw in made.bytes().items() if raw != before[name] and name.startswith("State.")}
    assert changed <= {"State.applied_w"}
