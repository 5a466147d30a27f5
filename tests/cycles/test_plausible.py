"""A meter that shows less than the racks do: what is believed, compiled as interpreted.

Four racks of 20 to 100 kW and a meter, all read every 50 ms. Implausible is more than 100 kW less than the racks' own
readings add up to, for two seconds; eleven seconds without it clear it. All powers in kW.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rampd.ext import codes, views
from rampd.ext.image import Memory
from tests.core import Rack, World, world
from tests.cycles.test_freeze import Phase, play

P = Phase
WELL = P(5.0, 430.0)  # the racks draw 400, 20 go elsewhere, and ten are noise
SHORT = P(4.0, 200.0)
NEARLY_S = 10.9
HALF = (50.0, 50.0, 50.0, 50.0)


def fall(seconds: float, meter_early_s: float) -> tuple[Phase, ...]:
    """The racks fall from 400 to 200 kW, and the meter shows it so much earlier than they are read."""
    ticks = round(seconds / 0.05)
    early = round(meter_early_s / 0.05)
    way = [200.0 * min(max(k / ticks, 0.0), 1.0) for k in range(-early, ticks + 2 * early)]
    # To a last bit that noise moves: it is not frozen.
    return tuple(
        P(0.05, 400.0 - way[k + early] + 1e-6 * (k % 7), (100.0 - 0.25 * way[k],) * 4) for k in range(len(way) - early)
    )


SCRIPTS = {
    # name: phases; is the meter implausible, is it good, at the end
    "as it should be":            ((WELL, P(60.0, 430.0)), 0, 1),
    "just not enough":            ((WELL, P(60.0, 300.0)), 0, 1),
    "enough, not for long":       ((WELL, P(2.05, 299.9)), 0, 1),
    "enough, for two seconds":    ((WELL, P(2.15, 299.9)), 1, 0),
    "nothing":                    ((WELL, P(2.15, 0.0)), 1, 0),
    "the wrong sign":             ((WELL, P(2.15, -430.0)), 1, 0),
    "from the start":             ((P(2.2, 200.0),), 1, 0),
    "it comes and goes":          ((WELL, P(1.9, 200.0), P(0.05, 300.0), P(1.9, 200.0)), 0, 1),
    "a ramp, racks read late":    ((WELL, *fall(6.0, 3.5)), 0, 1),
    "one rack is not read":       ((WELL, P(4.9, 200.0, read=(0, 1, 2))), 0, 1),
    "one rack is lost":           ((WELL, P(6.0, 190.0, read=(0, 1, 2))), 1, 0),
    "one says what it likes":     ((WELL, P(20.0, 330.0, (900.0, 100.0, 100.0, 100.0))), 0, 1),
    "less than nothing":          ((WELL, P(20.0, 199.9, (-900.0, 100.0, 100.0, 100.0))), 1, 0),
    "lost meanwhile":             ((WELL, P(1.9, 200.0), P(2.5, 200.0, meter_read=False), P(1.9, 200.0)), 0, 1),
    "it stays so":                ((WELL, P(60.0, 200.0)), 1, 0),
    "it is right, not for long":  ((WELL, SHORT, P(NEARLY_S, 350.0)), 1, 0),
    "it is right":                ((WELL, SHORT, P(11.1, 350.0)), 0, 1),
    "not near enough":            ((WELL, SHORT, P(30.0, 349.9)), 1, 0),
    "it is wrong again":          ((WELL, SHORT, P(6.0, 430.0), P(0.05, 200.0), P(NEARLY_S, 430.0)), 1, 0),
    "a lost one is not right":    ((WELL, SHORT, P(20.0, 430.0, meter_read=False), P(NEARLY_S, 430.0)), 1, 0),
    "the hall falls to it":       ((WELL, SHORT, P(11.1, 199.0, HALF)), 0, 1),
    "it does not reach it":       ((WELL, SHORT, P(30.0, 140.0, HALF)), 1, 0),
}  # fmt: skip


def hall(**site: float) -> World:
    return world([Rack() for _ in range(4)], **({"freeze_w": 100e3, "generation_w": 0.0, "import_w": 600e3} | site))


@pytest.mark.parametrize(("phases", "implausible", "good"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(phases: Sequence[Phase], implausible: int, good: int) -> None:
    made = hall()
    out = play(made, phases, Memory(made.configuration))
    assert ("meter_implausible" in made.reasons(), out.meter_good) == (implausible, good)
    # The guard comes to the same by itself, and believes a meter again a second earlier.
    assert made.watch.implausible == (implausible and phases[-1].seconds != NEARLY_S)


@pytest.mark.parametrize(("meter_kw", "implausible"), [(250.0, False), (249.9, True)])
def test_what_is_generated_behind_the_meter_it_does_not_show(meter_kw: float, implausible: bool) -> None:
    made = hall(generation_w=50e3)
    play(made, [WELL, P(20.0, meter_kw)])
    assert ("meter_implausible" in made.reasons()) == implausible


def test_it_teaches_nothing_from_its_first_reading_on() -> None:
    made = hall()
    play(made, [WELL])
    learned_w = made.state.disturbance_w
    play(made, [P(20.0, 200.0)])
    assert made.reasons() == ["meter_implausible"]
    assert made.state.disturbance_w == learned_w


def test_in_a_fault_nothing_can_be_told() -> None:
    made = world(
        [Rack() for _ in range(4)], freeze_w=100e3, generation_w=0.0, import_w=600e3, measured=True
    )  # fmt: skip
    for seconds, meter_kw, closed in ((5.0, 430.0, 1.0), (20.0, 10.0, 0.0), (5.0, 430.0, 1.0)):
        for _ in range(round(seconds / 0.05)):
            made.now_s += 0.05
            made.meter(meter_kw * 1e3)
            for i in range(4):
                made.rack(i, 100e3)
            made.grid(closed=closed)
            made.cool(0)
            made.tick(0.0)
        assert made.reasons() == ([] if closed and made.now_s < 1010.0 else ["fault"])


def test_a_meter_that_was_wrong_from_the_start_moves_nothing() -> None:
    """The site starts with a reference that is wrong as well: it is put right, and the racks stand meanwhile."""
    made = hall(default_w=400e3, normal_up=0.0)
    stood: list[list[float]] = []
    for _ in range(100):
        out: views.Outputs = play(made, [P(0.05, 200.0)])
        stood.append(made.state.applied_w[:4])
    assert made.reasons() == ["meter_implausible"]
    assert stood[-1] == [100e3] * 4 == stood[0]
    assert (out.reference_w, out.disturbance_w) == pytest.approx((400e3, 0.0))


@pytest.mark.parametrize(("generation_w", "racks_w"), [(0.0, 300e3), (60e3, 360e3)])
def test_the_racks_alone_stay_within_the_import_limit(generation_w: float, racks_w: float) -> None:
    """Whatever the meter makes of the rest: here it shows 90 less than they draw, which is too little to be doubted."""
    made = hall(import_w=300e3, generation_w=generation_w, max_w=300e3, default_w=300e3)
    racks = HALF
    made.command(codes.TRACK, 300e3)
    for tick in range(1200):
        play(made, [P(0.05, sum(racks) - 90.0 - generation_w / 1e3, racks)])
        racks = tuple(w / 1e3 for w in made.state.applied_w[:4])
        # They were found at 400, and what is too little is not written.
        assert tick < 100 or sum(racks) * 1e3 <= 1.001 * racks_w
    # They were found above it, which was an emergency.
    assert made.reasons() == ["return", "import"]
    assert sum(racks) * 1e3 == pytest.approx(racks_w, rel=0.01)


def test_a_default_below_the_racks_least_is_held_while_there_is_generation() -> None:
    """They need 80; 60 are generated, then nothing is: the purchase is more then, and no rack goes below its least."""
    made = hall(generation_w=60e3, default_w=40e3)
    racks = HALF
    for generated_kw, racks_kw in ((60.0, 100.0), (0.0, 80.0), (60.0, 100.0)):
        for _ in range(1200):
            play(made, [P(0.05, sum(racks) - generated_kw, racks)])
            racks = tuple(w / 1e3 for w in made.state.applied_w[:4])
            assert min(racks) >= 20.0
        assert sum(racks) == pytest.approx(racks_kw, rel=0.01), generated_kw
