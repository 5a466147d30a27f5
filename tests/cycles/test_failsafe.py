"""What may be believed: meter, racks and loops, tick by tick, at 20 Hz and compiled as in the daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rampd.ext import codes
from tests.core import Rack, World, world

NONE, NO_RAISE, DERATE, SAFE = codes.ACT_NONE, codes.ACT_NO_RAISE, codes.ACT_DERATE, codes.ACT_SAFE


def settled() -> World:
    """Twenty seconds of health."""
    made = world([Rack(), Rack()])
    run(made, 20.0)
    assert made.state.action[:2] == bytes([NONE, NONE]) or list(made.state.action[:2]) == [NONE, NONE]
    return made


def run(made: World, seconds: float, given: Callable[[World], object] = lambda _: None) -> int:
    """Fresh readings, changed by `given`, for so long; the action of the first rack afterwards."""
    for _ in range(round(seconds / 0.05)):
        made.now_s += 0.05
        made.refresh()
        given(made)
        made.tick(0.0)
    return int(made.state.action[0])


def margin(made: World, kelvin: float) -> None:
    made.limits.margin_k[0] = kelvin


def dew_point(made: World, celsius: float, **reading: Any) -> None:
    """That of loop 0 alone."""
    made.put(made.limits.dew_slot[0], celsius, **reading)


def no_dew_point(made: World) -> None:
    made.limits.dew_slot[0] = -1


CONDITIONS = {
    # name: what is so, action of rack 0 and 1 (both on loop 0)
    "warm":                     (lambda w: w.cool(0, supply_c=38.0), [NO_RAISE, NO_RAISE]),
    "not yet warm":             (lambda w: w.cool(0, supply_c=37.9), [NONE, NONE]),
    "hot":                      (lambda w: w.cool(0, supply_c=40.0), [DERATE, DERATE]),
    "too hot":                  (lambda w: w.cool(0, supply_c=45.0), [SAFE, SAFE]),
    "low flow":                 (lambda w: w.cool(0, flow_lpm=99.9), [DERATE, DERATE]),
    "least flow":               (lambda w: w.cool(0, flow_lpm=100.0), [NONE, NONE]),
    "leak":                     (lambda w: w.cool(0, leak=1.0), [SAFE, SAFE]),
    "no flow":                  (lambda w: w.cool(0, flow_lpm=9.9), [SAFE, SAFE]),
    "hardly any flow":          (lambda w: w.cool(0, flow_lpm=10.0), [DERATE, DERATE]),
    "CDU stale":                (lambda w: w.cool(0, age_s=10.01), [NO_RAISE, NO_RAISE]),
    "CDU just fresh":           (lambda w: w.cool(0, age_s=10.0), [NONE, NONE]),
    "leak seen, CDU stale":     (lambda w: w.cool(0, leak=1.0, age_s=60.0), [SAFE, SAFE]),
    "bad temperature":          (lambda w: w.cool(0, supply_c=99.0, quality=codes.SENTINEL), [NO_RAISE, NO_RAISE]),
    "near the dew point":       (lambda w: w.cool(0, dew_point_c=30.01), [NO_RAISE, NO_RAISE]),
    "the margin above it":      (lambda w: w.cool(0, dew_point_c=30.0), [NONE, NONE]),
    "a cold supply":            (lambda w: w.cool(0, supply_c=13.9), [NO_RAISE, NO_RAISE]),
    "no margin, at the dew point": (lambda w: (margin(w, 0.0), w.cool(0, dew_point_c=32.0)), [NONE, NONE]),
    "no margin, below it":      (lambda w: (margin(w, 0.0), w.cool(0, dew_point_c=32.1)), [NO_RAISE, NO_RAISE]),
    "dew point bad":            (lambda w: dew_point(w, 40.0, quality=codes.RANGE), [NONE, NONE]),
    "dew point old":            (lambda w: dew_point(w, 40.0, age_s=10.01), [NONE, NONE]),
    "dew point just fresh":     (lambda w: dew_point(w, 40.0, age_s=10.0), [NO_RAISE, NO_RAISE]),
    "no dew point":             (lambda w: (no_dew_point(w), w.cool(0, supply_c=5.0)), [NONE, NONE]),
    "rack stale":               (lambda w: w.rack(0, 100e3, age_s=5.01), [NO_RAISE, NONE]),
    "rack just fresh":          (lambda w: w.rack(0, 100e3, age_s=5.0), [NONE, NONE]),
    "rack refuses":             (lambda w: w.rack(0, 100e3, quality=codes.REFUSED), [NO_RAISE, NONE]),
    "meter stale":              (lambda w: w.meter(800e3, age_s=2.01), [NO_RAISE, NO_RAISE]),
    "meter just fresh":         (lambda w: w.meter(800e3, age_s=2.0), [NONE, NONE]),
    "meter out of range":       (lambda w: w.meter(800e3, quality=codes.RANGE), [NO_RAISE, NO_RAISE]),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_condition(given: Callable[[World], object], expected: list[int]) -> None:
    made = settled()
    run(made, 0.05, given)
    assert list(made.state.action[:2]) == expected


@pytest.mark.parametrize("supply_c", [38.0, 40.0])
def test_a_loop_is_cleared_after_ten_quiet_seconds(supply_c: float) -> None:
    made = settled()
    worst = run(made, 1.0, lambda w: w.cool(0, supply_c=supply_c))
    assert run(made, 9.9, lambda w: w.cool(0)) == worst
    assert run(made, 0.2, lambda w: w.cool(0)) == NONE


def test_flapping_starts_the_ten_seconds_anew() -> None:
    made = settled()
    for _ in range(3):
        run(made, 0.05, lambda w: w.cool(0, supply_c=38.0))
        assert run(made, 9.0, lambda w: w.cool(0)) == NO_RAISE
    assert run(made, 1.2, lambda w: w.cool(0)) == NONE


def test_worse_is_at_once_and_better_only_after_ten_seconds() -> None:
    made = settled()
    run(made, 0.05, lambda w: w.cool(0, supply_c=38.0))
    assert run(made, 0.05, lambda w: w.cool(0, supply_c=40.0)) == DERATE
    assert run(made, 9.9, lambda w: w.cool(0, supply_c=38.0)) == DERATE
    assert run(made, 0.2, lambda w: w.cool(0, supply_c=38.0)) == NO_RAISE
    assert run(made, 0.05, lambda w: w.cool(0, supply_c=45.0)) == SAFE


def test_what_can_no_longer_be_read_counts_as_it_was() -> None:
    made = settled()
    assert run(made, 0.05, lambda w: w.cool(0, supply_c=41.0)) == DERATE
    assert run(made, 60.0, lambda w: w.cool(0, supply_c=32.0, quality=codes.REFUSED)) == DERATE
    assert run(made, 9.9, lambda w: w.cool(0)) == DERATE
    assert run(made, 0.2, lambda w: w.cool(0)) == NONE


def test_a_dew_point_that_can_no_longer_be_read_counts_as_it_was() -> None:
    made = settled()
    assert run(made, 0.05, lambda w: w.cool(0, dew_point_c=35.0)) == NO_RAISE
    assert run(made, 60.0, lambda w: dew_point(w, 10.0, quality=codes.REFUSED)) == NO_RAISE
    assert run(made, 9.9, lambda w: w.cool(0)) == NO_RAISE
    assert run(made, 0.2, lambda w: w.cool(0)) == NONE


def test_guilty_until_fresh() -> None:
    made = world([Rack(), Rack(), Rack(readback=False)])
    for slot in range(made.limits.site.slots):
        made.inputs.quality[slot] = codes.NEVER
    assert not any(made.tick().active[:3])
    made.meter(800e3)
    made.put(made.limits.power_slot[0], 70e3)
    made.put(made.limits.power_slot[2], 60e3)
    out = made.tick()
    # Power alone is enough only where there is no read-back.
    assert list(out.active[:3]) == [0, 0, 1]
    assert out.setpoint_w[2] == 60e3
    made.rack(0, 70e3, 80e3)
    out = made.tick()
    assert list(out.active[:3]) == [1, 0, 1]
    assert out.setpoint_w[0] == 80e3
    assert list(out.stale[:3]) == [0, 1, 0]


def test_at_first_the_meter_is_good_at_once_later_after_a_second() -> None:
    made = world()
    assert made.tick().meter_good
    run(made, 3.0, lambda w: w.meter(800e3, age_s=3.0))
    assert not made.state.meter_good
    run(made, 0.95)
    assert not made.state.meter_good
    run(made, 0.1)
    assert made.state.meter_good


def test_a_second_without_a_break() -> None:
    made = settled()
    for _ in range(3):
        run(made, 0.05, lambda w: w.meter(800e3, age_s=3.0))
        run(made, 0.9)
        assert not made.state.meter_good


OVER_W, UNDER_W = 1101e3, 1099e3
IMPORT = {
    # what is read for ten seconds, and then for ten more -> whether the import limit of 1100 kW is a reason after each
    "below it":                 (lambda w: w.meter(UNDER_W), lambda w: w.meter(UNDER_W), (False, False)),
    "at it":                    (lambda w: w.meter(1100e3), lambda w: w.meter(1100e3), (False, False)),
    "above, nothing to lower":  (lambda w: w.meter(OVER_W), lambda w: w.meter(OVER_W), (True, True)),
    "above, and back":          (lambda w: w.meter(OVER_W), lambda w: w.meter(UNDER_W), (True, False)),
    "above, and unreadable":    (lambda w: w.meter(OVER_W), lambda w: w.meter(0.0, quality=codes.RANGE), (True, True)),
    "above, and silent":        (lambda w: w.meter(OVER_W), lambda w: w.meter(UNDER_W, age_s=60.0), (True, True)),
    "below, and unreadable":    (lambda w: w.meter(UNDER_W), lambda w: w.meter(OVER_W, quality=codes.RANGE),
                                 (False, False)),
    "above, and a stop":        (lambda w: w.meter(OVER_W), lambda w: (stop(w), w.meter(OVER_W)), (True, True)),
    "not two seconds ago":      (lambda w: w.meter(OVER_W), lambda w: w.meter(OVER_W if w.now_s < 1038.1 else UNDER_W),
                                 (True, True)),
}  # fmt: skip


def stop(made: World) -> None:
    made.inputs.command.verb = codes.ESTOP


@pytest.mark.parametrize(("first", "then", "expected"), IMPORT.values(), ids=IMPORT.keys())
def test_the_import_limit_is_judged_by_the_meter(
    first: Callable[[World], object], then: Callable[[World], object], expected: tuple[bool, bool]
) -> None:
    made = settled()
    found = []
    for given in (first, then):
        run(made, 10.0, given)
        found.append("import" in made.reasons())
    assert tuple(found) == expected


@pytest.mark.parametrize("generation_w", [0.0, 50e3])
def test_the_racks_alone_are_above_the_import_limit(generation_w: float) -> None:
    """Whatever the meter shows: two racks draw 200 kW where 160 kW may be purchased."""
    made = world([Rack(), Rack()], import_w=160e3, generation_w=generation_w, default_w=40e3, max_w=160e3)
    run(made, 10.0, lambda w: w.meter(0.0))
    assert ("import" in made.reasons()) is (generation_w == 0.0)
