"""The exposition's own arithmetic: histograms from bins, labels from names."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rampd.daemon.metrics import RACK_STATES, Family, label
from rampd.daemon.sitemetrics import LATE_BINS, histogram
from rampd.ext import codes

NASTY = ['plain', 'quo"te', "back\\slash", "new\nline", "\\n", 'all\\"\n', "ünïcode", ""]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_any_name_survives_as_a_label(name: str) -> None:
    def read(values: object, shown: bytearray) -> None:
        shown[0] = 1

    text = Family("rampd_x", "Help.", [f'rack="{label(name)}"'], read).render().decode()
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"rack": name}


def test_a_row_that_is_not_shown_has_no_series_and_values_are_exact() -> None:
    numbers = [0.1, 1e-300, 123456789.123456789, -0.0, 5e9]

    def read(values: list[float], shown: bytearray) -> None:
        for i, number in enumerate(numbers):
            values[i] = number
            shown[i] = i != 2

    family = Family("rampd_x", "Help.", [f'i="{i}"' for i in range(len(numbers))], read)  # type: ignore[arg-type]
    (found,) = text_string_to_metric_families(family.render().decode())
    assert found.documentation == "Help."
    assert {s.labels["i"]: s.value for s in found.samples} == {
        str(i): number for i, number in enumerate(numbers) if i != 2
    }


@pytest.mark.parametrize("k", [0, LATE_BINS.start, 10, LATE_BINS.stop - 1, LATE_BINS.stop, 31])
def test_a_count_is_in_every_bucket_from_its_own_on(k: int) -> None:
    bins = [0] * 32
    bins[k] = 3
    buckets = {s.labels["le"]: s.value for s in histogram("h", "H.", bins, 0.5).samples if s.name == "h_bucket"}
    assert buckets["+Inf"] == 3
    assert list(buckets.values()) == sorted(buckets.values())
    for bound, count in buckets.items():
        if bound != "+Inf":
            # Bin k counts what took up to 2**k microseconds.
            assert count == (3 if float(bound) >= (1 << k) / 1e6 else 0)


def test_sum_and_count() -> None:
    bins = [1] * 32
    found = {s.name: s.value for s in histogram("h", "H.", bins, 12.5).samples if s.name != "h_bucket"}
    assert found == {"h_count": 32.0, "h_sum": 12.5}


def test_every_state_of_a_rack_has_its_word() -> None:
    words = {state.name.lower() for state in codes.RackState}
    assert words <= set(RACK_STATES)
    assert set(RACK_STATES) - words == {"stale"}
