"""The emergency of an exceeded import limit, reading by reading. A limit of 1.1 MW on a site of 1 MW."""

from __future__ import annotations

import pytest

from tests.core import World, world
from tests.cycles.test_grid import observed

EXCESS = {
    # kW of each reading, ten a second, against a limit of 1100 kW and 2.5 kW that tracking leaves -> in an emergency
    "at the limit":            ([1102.5] * 3, [0, 0, 0]),
    "two readings":            ([1110.0, 1111.0, 1100.0], [0, 1, 1]),
    "one may be wild":         ([1900.0, 1100.0, 1900.0, 1100.0], [0, 0, 0, 0]),
    "the same one read again": ([1110.0] * 10, [0] * 10),
    "a second later it holds": ([1110.0] * 12, [0] * 10 + [1, 1]),
    "ten seconds below":       ([1110.0, 1111.0] + [1102.5] * 100, [0] + [1] * 100 + [0]),
    "above again meanwhile":   ([1110.0, 1111.0] + [1100.0] * 50 + [1110.0, 1111.0] + [1100.0] * 99, [0] + [1] * 152),
}  # fmt: skip


def exceeded(made: World, shown_kw: list[float]) -> list[int]:
    """Whether it is an emergency after each of these readings."""
    made.state.started = 1
    seen = []
    for kw in shown_kw:
        made.meter(1e3 * kw)
        observed(made, 0.1)
        seen.append(made.state.exceeded)
    return seen


@pytest.mark.parametrize("row", EXCESS.values(), ids=EXCESS.keys())
def test_an_emergency_by_the_import_limit(row: tuple[list[float], list[int]]) -> None:
    shown, expected = row
    assert exceeded(world(import_w=1100e3, max_w=1000e3), shown) == expected


NOISY = {
    # the load's own noise in kW, readings ten a second as above -> at which of them an emergency begins, -1: at none
    "within its noise":           (20.0, [1115.0, 1116.0] * 49, -1),
    "for ten seconds on end":     (20.0, [1115.0, 1116.0] * 60, 100),
    "with one at the limit":      (20.0, [1115.0] * 99 + [1102.5] + [1115.0] * 99, -1),
    "beyond its noise":           (20.0, [1115.0, 1122.6, 1122.7], 2),
    "one wild in it":             (20.0, [1115.0, 1900.0, 1116.0, 1117.0, 1900.0, 1116.0], -1),
    "beyond five in the hundred": (900.0, [1152.0, 1153.0, 1154.0], 2),
}  # fmt: skip


@pytest.mark.parametrize("row", NOISY.values(), ids=NOISY.keys())
def test_what_the_load_does_by_itself_is_an_emergency_once_it_lasts(row: tuple[float, list[float], int]) -> None:
    noise_kw, shown, expected = row
    made = world(import_w=1100e3, max_w=1000e3)
    made.state.noise_w = 1e3 * noise_kw
    seen = exceeded(made, shown)
    assert (seen.index(1) if 1 in seen else -1) == expected


def test_without_a_meter_it_stays_as_it_was_and_the_racks_alone_begin_one() -> None:
    made = world(import_w=1100e3, max_w=1000e3, generation_w=100e3)
    made.state.started = 1
    made.state.racks_w = 1202.5e3
    assert not observed(made, meter_good=0).state.exceeded
    made.state.racks_w = 1203e3
    assert observed(made, meter_good=0).state.exceeded
    made.state.racks_w = 0.0
    for _ in range(60):
        assert observed(made, 1.0, meter_good=0).state.exceeded
    for _ in range(10):
        assert observed(made, 0.99).state.exceeded
    assert not observed(made, 0.2).state.exceeded


def test_an_excess_ends_in_a_return_and_so_does_a_restart_meanwhile() -> None:
    made = world(import_w=1100e3, max_w=1000e3)
    state = made.state
    state.started, state.reference_w, state.model_w, state.disturbance_w = 1, 1000e3, 700e3, 100e3
    for kw in (1110.0, 1111.0):
        made.meter(1e3 * kw)
        observed(made, 0.1)
    begun_ns = state.return_ns
    assert (state.exceeded, state.returning, begun_ns) == (1, 1, made.now_ns)
    made.meter(900e3)
    state.reference_w = 950e3
    observed(made, 10.1)
    assert (state.exceeded, state.returning, state.return_ns) == (0, 1, made.now_ns)
    assert state.reference_w == 800e3
