"""The guard and the sum of the racks' own readings: what no meter can show less than, and no import limit be below.

Three racks of 20 to 100 kW, everything read every 100 ms. Implausible is a meter that shows more than 50 kW less than
the racks, from the first to the last of the readings of two seconds. All powers in kW.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rampd.ext import codes
from tests.core import Cooling, Rack, World, world
from tests.guarding import Phase, go

P = Phase
WELL = P(5, 220.0)  # the racks draw 200
SHORT = P(30, 149.0)
READ_LATE = 30
SLOPE = [2.0 * min(max(k, 0), 70) for k in range(-READ_LATE, 71 + 2 * READ_LATE)]


def ramp(way: Sequence[float], meter_early: int) -> tuple[Phase, ...]:
    """The racks fall by what `way` says, and the meter shows it so many ticks before they are read, or after."""
    phases = []
    for k in range(READ_LATE, len(way) - READ_LATE):
        at, early = way[k], way[k + meter_early]
        phases.append(P(1, 200.0 - early, (80.0 - 0.4 * at, 80.0 - 0.4 * at, 40.0 - 0.2 * at)))
    return tuple(phases)


SCRIPTS = {
    # name: phases -> whether the meter is implausible
    "as it should be":               ((P(50, 220.0),), 0),
    "just not enough":               ((WELL, P(50, 150.0)), 0),
    "enough, not for long":          ((WELL, P(21, 149.999)), 0),
    "enough, for two seconds":       ((WELL, P(22, 149.999)), 1),
    "nothing at all":                ((WELL, P(22, 0.0)), 1),
    "the wrong sign":                ((WELL, P(22, -220.0)), 1),
    "from the start, not for long":  ((P(22, 0.0),), 0),
    "from the start":                ((P(23, 0.0),), 1),
    "negative from the start":       ((P(21, -220.0),), 0),
    "and for long":                  ((P(22, -220.0),), 1),
    "it comes and goes":             ((WELL, P(15, 149.0), P(1, 150.0), P(15, 149.0)), 0),
    "the meter falls before racks":  (ramp(SLOPE, READ_LATE), 0),
    "the racks rise before it":      (ramp(SLOPE[::-1], -READ_LATE), 0),
    "racks that are read no more":   ((WELL, P(80, 149.0, read=())), 0),
    "one is not read":               ((WELL, P(49, 100.0, read=(0, 1))), 0),
    "until it counts no more":       ((WELL, P(60, 100.0, read=(0, 1))), 1),
    "a reading that is none":        ((WELL, P(50, 100.0, bad=(0,))), 0),
    "more than its rating":          ((WELL, P(50, 170.0, (900.0, 80.0, 40.0))), 0),
    "its rating":                    ((WELL, P(50, 169.999, (900.0, 80.0, 40.0))), 1),
    "less than nothing":             ((WELL, P(50, 70.0, (-900.0, 80.0, 40.0))), 0),
    "is nothing":                    ((WELL, P(50, 69.999, (-900.0, 80.0, 40.0))), 1),
    "an old reading of it":          ((WELL, P(35, 149.0, meter_age_s=1.5)), 0),
    "and older ones":                ((WELL, P(36, 149.0, meter_age_s=1.5)), 1),
    "no meter, no doubt":            ((WELL, P(50, 149.0, meter_age_s=2.1)), 0),
    "lost meanwhile":                ((WELL, P(15, 149.0), P(5, 149.0, meter_age_s=2.1), P(15, 149.0)), 0),
    "the breaker is open":           ((WELL, P(50, 0.0, closed=0.0), P(20, 0.0)), 0),
    "and closed":                    ((WELL, P(50, 0.0, closed=0.0), P(22, 0.0)), 1),
    "it stays so":                   ((WELL, P(200, 149.0)), 1),
    "not near enough":               ((WELL, SHORT, P(200, 174.999)), 1),
    "it is right, not for long":     ((WELL, SHORT, P(99, 175.0)), 1),
    "it is right for ten seconds":   ((WELL, SHORT, P(100, 175.0)), 0),
    "it is right and wrong again":   ((WELL, SHORT, P(60, 220.0), P(1, 149.0), P(60, 220.0)), 1),
    "a lost one is not right":       ((WELL, SHORT, P(150, 220.0, meter_age_s=2.1), P(99, 220.0)), 1),
    "once it was not lost":          ((WELL, SHORT, P(150, 220.0, meter_age_s=2.1), P(100, 220.0)), 0),
    "nor is one in a fault":         ((WELL, SHORT, P(150, 220.0, closed=0.0), P(99, 220.0)), 1),
}  # fmt: skip


def hall(import_kw: float = 500.0, generation_kw: float = 0.0) -> World:
    made = world(
        [Rack() for _ in range(3)], loops=[Cooling()], freeze_w=50e3, generation_w=generation_kw * 1e3,
        import_w=import_kw * 1e3, dispatched_up=80e3, dispatched_down=80e3, measured=True,
    )  # fmt: skip
    made.command(codes.TRACK, 300e3)
    return made


@pytest.mark.parametrize(("phases", "implausible"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(phases: Sequence[Phase], implausible: int) -> None:
    made = hall()
    go(made, phases)
    assert made.watch.implausible == implausible


@pytest.mark.parametrize(("meter_kw", "implausible"), [(120.0, 0), (119.999, 1)])
def test_what_is_generated_behind_the_meter_it_does_not_show(meter_kw: float, implausible: int) -> None:
    made = hall(generation_kw=30.0)
    go(made, [WELL, P(50, meter_kw)])
    assert made.watch.implausible == implausible
    go(made, [SHORT, P(101, 145.0)])
    assert not made.watch.implausible
    go(made, [P(30, 100.0), P(101, 144.999)])
    assert made.watch.implausible


def test_while_it_is_implausible_nothing_rises_and_everything_may_fall() -> None:
    made = hall()
    go(made, [WELL, P(40, 149.0)])
    forget(made)
    stood_w = made.watch.last_w[:3]
    assert made.guard(stood_w[0] - 1e3, stood_w[1], stood_w[2] + 1e3) == [stood_w[0] - 1e3, *stood_w[1:]]
    assert made.vetoes() == {"STALE": 1}
    go(made, [P(101, 220.0)])
    assert made.guard(*stood_w[:2], stood_w[2] + 1e3) == [*stood_w[:2], stood_w[2] + 1e3]


def forget(made: World) -> None:
    """The vetoes so far do not count."""
    for k in range(codes.VETOES):
        made.watch.vetoes[k] = 0


def full(made: World, last_kw: float = 100.0) -> World:
    """The racks draw 300 kW and the meter shows 290, which is too little to be doubted."""
    go(made, [P(15, 290.0, (100.0, 100.0, 100.0))])
    for i in range(3):
        made.watch.last_w[i] = last_kw * 1e3
    forget(made)
    made.meter(200e3)
    return made


@pytest.mark.parametrize(
    ("import_kw", "generation_kw", "over"),
    [(300.0, 0.0, False), (299.999, 0.0, True), (250.0, 50.0, False), (250.0, 49.999, True)],
)
def test_above_the_import_limit_the_racks_fall_freely_and_do_not_rise(
    import_kw: float, generation_kw: float, over: bool
) -> None:
    made = full(hall(import_kw, generation_kw))
    assert made.guard(0.0, 0.0, 100e3) == ([0.0, 0.0, 100e3] if over else [100e3, 0.0, 100e3])
    assert made.vetoes() == ({} if over else {"FALL": 1})
    made = full(hall(import_kw, generation_kw), 60.0)
    assert made.guard(61e3, 60e3, 60e3) == ([60e3] * 3 if over else [61e3, 60e3, 60e3])
    assert made.vetoes() == ({"RISE": 1} if over else {})
    # Not by a watt. What one gives another may have.
    assert made.guard(60e3, 60e3, 60e3) == [60e3] * 3
    assert made.guard(60e3, 60e3, 60.001e3) == ([60e3] * 3 if over else [60e3, 60e3, 60.001e3])
    assert made.vetoes() == ({"RISE": 2} if over else {})
    assert made.guard(50e3, 70e3, 60e3) == [50e3, 70e3, 60e3]
    assert made.vetoes() == ({"RISE": 2} if over else {})


@pytest.mark.parametrize(
    ("shown_w", "counts_w"), [(-5e3, 0.0), (0.0, 0.0), (0.5, 0.5), (40e3, 40e3), (100e3, 100e3), (100.1e3, 100e3)]
)
def test_a_rack_counts_with_what_it_shows_between_nothing_and_its_most(shown_w: float, counts_w: float) -> None:
    made = full(hall())
    made.rack(0, shown_w)
    made.guard(*made.watch.last_w[:3])
    assert made.watch.racks_w == 200e3 + counts_w


def test_a_rack_that_is_not_read_is_not_above_the_import_limit() -> None:
    made = full(hall(299.0))
    made.rack(2, 100e3, age_s=5.1)
    assert made.guard(0.0, 0.0, 100e3) == [100e3, 0.0, 100e3]
    assert made.vetoes() == {"FALL": 1}
