"""What is the load's own noise, and what is none: wandering about the reference, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rampd.daemon.purchase import Purchase
from rampd.ext import views
from rampd.ext.image import Configuration, OutputWall

S = 1_000_000_000
REFERENCE_W = 500e3
CONFIGURATION = Configuration(slots=1, racks=1, nodes=1, loops=1, groups=1, tiers=1, history=2)


def watched(power: Callable[[float], float], reference: Callable[[float], float], *, seconds: float = 60.0) -> Purchase:
    """What became of a power that a meter showed ten times a second, by its time in s."""
    found = Purchase(max_w=1e6)
    wall = OutputWall(CONFIGURATION)
    out = views.outputs(wall)
    out.started = out.meter_good = 1
    for k in range(round(10 * seconds)):
        out.power_w, out.reference_w = power(k / 10), reference(k / 10)
        found.note(out, S + k * S // 10)
    return found


@pytest.mark.parametrize(
    ("what", "power", "reference", "noise_w"),
    [
        ("a quiet load", lambda s: REFERENCE_W, lambda s: REFERENCE_W, (0.0, 0.0)),
        ("one that wanders", lambda s: 500e3 + 10e3 * math.sin(2 * s), lambda s: REFERENCE_W, (10e3, 20e3)),
        ("racks that wake", lambda s: 300e3 + 4e3 * s, lambda s: REFERENCE_W, (0.0, 1e3)),
        ("one that wanders below", lambda s: 400e3 + 10e3 * math.sin(2 * s), lambda s: REFERENCE_W, (0.0, 0.0)),
        ("one that is led", lambda s: 500e3 + 10e3 * math.sin(2 * s), lambda s: 500e3 + s, (0.0, 0.0)),
    ],
)
def test_noise(
    what: str, power: Callable[[float], float], reference: Callable[[float], float], noise_w: tuple[float, float]
) -> None:
    assert noise_w[0] <= watched(power, reference).noise_w <= noise_w[1], what


def test_noise_fades() -> None:
    def power(s: float) -> float:
        return 500e3 + (10e3 * math.sin(2 * s) if s < 60 else 0.0)

    early, late = (watched(power, lambda s: REFERENCE_W, seconds=s).noise_w for s in (60.0, 1260.0))
    assert late < 0.2 * early


def test_the_mean_is_that_of_the_last_second() -> None:
    found = watched(lambda s: 100e3 * s, lambda s: REFERENCE_W, seconds=5.0)
    assert found.mean_w == pytest.approx(100e3 * 4.45)
