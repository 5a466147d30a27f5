"""The judge of a dispatch against steps whose figures are known by construction."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rampd.daemon.judge import means, score

FROM, TO = 1000.0, 400.0
BEGUN = 100.0


def step(power: Callable[[float], float], until_s: float = 30.0, every_s: float = 0.05) -> list[tuple[float, float]]:
    """Samples from five seconds before the step on; `power` takes seconds since its beginning."""
    times = [BEGUN - 5 + k * every_s for k in range(round((until_s + 5) / every_s))]
    return [(at, FROM if at < BEGUN else power(at - BEGUN)) for at in times]


def ramp(seconds: float) -> Callable[[float], float]:
    return lambda t: FROM + (TO - FROM) * min(1.0, t / seconds)


@pytest.mark.parametrize(
    ("power", "t_s", "overshoot", "error"),
    [
        # The mean over a second trails a jump by 99 % of that second.
        pytest.param(lambda t: TO, 0.99, 0.0, 0.0, id="at once"),
        # The ramp's end, and the mean's tail: 1 % of the step is (1 - x)^2 / 2 / 4.
        pytest.param(ramp(4.0), 4.72, 0.0, 0.0, id="in four seconds"),
        pytest.param(lambda t: TO - (60 if 2 < t < 2.5 else 0), 3.38, 0.1, 0.0, id="over by a tenth of the step"),
        pytest.param(lambda t: TO + 3, 1.0, 0.0, 0.005, id="half a percent short"),
        pytest.param(lambda t: TO + 12, None, 0.0, 0.02, id="two percent short"),
        pytest.param(lambda t: TO if t < 15 else TO + 30, None, 0.0, 0.05, id="leaves again at the end"),
        pytest.param(lambda t: TO if t > 21 else FROM, None, 0.0, 0.0, id="there for less than ten seconds"),
        pytest.param(lambda t: FROM, None, 0.0, 1.0, id="not moved"),
        pytest.param(lambda t: FROM + 60, None, 0.0, 1.1, id="the wrong way"),
    ],
)
def test_score(power: Callable[[float], float], t_s: float | None, overshoot: float, error: float) -> None:
    found = score(step(power), BEGUN, FROM, TO)
    if t_s is None:
        assert found.t_s is None
    else:
        assert found.t_s == pytest.approx(t_s, abs=0.06)
    assert found.overshoot_ratio == pytest.approx(overshoot, abs=0.002)
    assert found.final_error_ratio == pytest.approx(error, abs=0.002)


def test_a_step_up_is_judged_alike() -> None:
    down = score(step(ramp(4.0)), BEGUN, FROM, TO)
    up = score([(at, FROM + TO - w) for at, w in step(ramp(4.0))], BEGUN, TO, FROM)
    assert up == down


def test_a_late_excursion_counts_from_its_end() -> None:
    found = score(step(lambda t: TO + (20 if 6 < t < 7 else 0)), BEGUN, FROM, TO)
    assert found.t_s is not None
    assert 7.0 < found.t_s < 8.0


@pytest.mark.parametrize(("samples", "to_w"), [([], TO), ([(0.0, 1.0)], TO), (step(ramp(1.0)), FROM)])
def test_nothing_to_judge(samples: list[tuple[float, float]], to_w: float) -> None:
    with pytest.raises(ValueError, match="a score needs"):
        score(samples, BEGUN, FROM, to_w)


def test_means_need_a_full_window() -> None:
    samples = [(k * 0.25, float(k)) for k in range(9)]
    assert means(samples) == [(1.0, 2.5), (1.25, 3.5), (1.5, 4.5), (1.75, 5.5), (2.0, 6.5)]
    assert means([]) == []
    assert not any(math.isnan(mean) for _, mean in means(samples))
