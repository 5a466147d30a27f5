"""Which of two meters counts, look by look, and what of it the core reads: times in s, powers in kW."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from rampd.daemon.site import Composed, compose, twin
from rampd.daemon.standby import Standby
from rampd.ext import codes, views
from rampd.ext.image import InputWall
from tests.sites import SITE, Edit, load, problems, site
from tests.twins import METER, SECOND, Meters, S, with_voltage


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    return with_voltage(load(site(tmp_path, *SECOND)))


@pytest.fixture
def meters(composed: Composed) -> Meters:
    return Meters(composed)


def test_the_core_reads_slots_that_are_no_meters_own(composed: Composed) -> None:
    first = sum(len(point.slots) for point in composed.points)
    limits = views.limits(composed.limits)
    assert (limits.site.power_slot, limits.site.frequency_slot, limits.site.breaker_slot) == (first, first + 1, -1)
    assert [limits.voltage_slot[k] for k in range(3)] == [first + 2, first + 3, first + 4]
    assert limits.site.slots == first + 5


def test_what_only_the_first_tells_is_read_from_it(tmp_path: Path) -> None:
    """A check meter of power alone."""
    folder = tmp_path / "maps"
    folder.mkdir()
    text = 'name = "plain"\ntitle = "Plain"\nkind = "meter"\nsource = ["nobody"]\nverified = "by nobody"\n'
    text += '[values]\npower_w = { at = 1, type = "f32", range = [0, 1e7] }\n'
    (folder / "plain.toml").write_text(text, encoding="utf-8")
    edits = (
        (SITE, 'meter = "poi"', 'meter = "poi"\nsecond_meter = "check"\nmap_folder = "maps"'),
        (SITE, "\n[[loop]]", METER.replace("schneider-3000", "plain") + "\n[[loop]]"),
    )
    composed = with_voltage(load(site(tmp_path, *edits)))
    limits = views.limits(composed.limits)
    assert limits.site.power_slot == limits.site.slots - 1
    assert limits.site.frequency_slot == composed.meter.slots["frequency_hz"]
    assert limits.voltage_slot[0] == composed.meter.slots["voltage_l1_v"]


TWINS = {
    # what the one tells, what the other has -> what of that stands for it
    "the same":                 ("frequency_hz", ("power_w", "frequency_hz"), "frequency_hz"),
    "nothing":                  ("frequency_hz", ("power_w", "voltage_v"), None),
    "one voltage for a phase":  ("voltage_l2_v", ("voltage_v",), "voltage_v"),
    "a phase for one voltage":  ("voltage_v", ("voltage_l1_v", "voltage_l2_v"), "voltage_l1_v"),
    "its own phase":            ("voltage_l2_v", ("voltage_l1_v", "voltage_l2_v"), "voltage_l2_v"),
    "a breaker":                ("breaker_state", ("voltage_v",), None),
}  # fmt: skip


@pytest.mark.parametrize(("name", "has", "found"), TWINS.values(), ids=TWINS.keys())
def test_what_a_meter_has_for_what_another_tells(name: str, has: tuple[str, ...], found: str | None) -> None:
    assert twin(name, dict.fromkeys(has, 0)) == found


def test_what_a_meter_tells_of_the_grid_is_had_from_whoever_is_read(meters: Meters) -> None:
    standby = meters.standby
    slots = [meter.slots["frequency_hz"] for meter in (standby.first, standby.second)]

    def hz(first: float | None, second: float | None, seconds: float = 3.0) -> tuple[float, int]:
        """What the core sees at last in mHz, and how many ms old."""
        for _ in range(round(seconds / 0.1)):
            for slot, value in zip(slots, (first, second), strict=True):
                if value is not None:
                    inputs = meters.inputs
                    inputs.value[slot], inputs.at_ns[slot] = value, round(meters.now_s * S)
                    inputs.quality[slot] = codes.GOOD
            meters.run(0.1, 700, 710)
        site = standby.site["frequency_hz"]
        return meters.inputs.value[site], round((meters.now_s * S - meters.inputs.at_ns[site]) / 1e6)

    assert hz(60.0, 59.9) == (60.0, 100)
    # Its power is read on, its frequency is not.
    assert hz(None, 59.9) == (59.9, 100)
    assert standby.counts is standby.first
    assert hz(60.0, 59.9, 0.1) == (60.0, 100)
    assert hz(None, None) == (60.0, 3100)
    meters.run(3.0, None, 710)
    assert hz(60.0, 59.9, 0.1) == (59.9, 100)


def test_that_they_differ_for_long_is_told_and_moves_nothing(meters: Meters) -> None:
    part = meters.max_kw / 100
    meters.run(59.0, 700, 700 - 3.1 * part)
    assert not meters.standby.twins.differ
    meters.run(2.0, 700, 700 - 3.1 * part)
    assert (meters.standby.twins.differ, meters.standby.counts.name) == (True, "poi")
    assert meters.standby.twins.apart_w == pytest.approx(3.1e3 * part)
    # Nobody looks while one is not read.
    meters.run(70.0, None, 700)
    assert meters.standby.twins.differ
    assert math.isnan(meters.standby.twins.apart_w)
    meters.run(59.0, 700, 700 + 2.9 * part)
    assert meters.standby.twins.differ
    meters.run(5.0, 700, 700 + 2.9 * part)
    assert not meters.standby.twins.differ
    # Apart for less than a minute at a time.
    meters.follow(20.0, [(700, 700 - 5.0 * part), (700, 700 - 5.0 * part), (700, 700)] * 5)
    assert not meters.standby.twins.differ


def test_the_first_counts_as_long_as_it_is_read(meters: Meters) -> None:
    assert meters.run(5.0, 700, 710) == [700.0] * 50


@pytest.mark.parametrize("quality", [codes.RANGE, codes.SENTINEL, codes.REFUSED])
def test_one_whose_answers_are_none_counts_no_more_at_once(meters: Meters, quality: int) -> None:
    meters.run(5.0, 700, 710)
    assert meters.run(5.0, 0, 710, quality) == [710.0] * 50


def test_the_second_counts_before_a_reading_is_missed(meters: Meters, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rampd.standby")
    meters.run(5.0, 700, 710)
    # After three quarters of the two seconds; no look finds nothing.
    assert meters.run(5.0, None, 710) == [700.0] * 15 + [710.0] * 35
    assert caplog.messages == ["site meter poi cannot be read: check stands for it"]
    # The first counts again once it was read for ten seconds on end.
    assert meters.run(9.0, 700, 710) == [710.0] * 90
    meters.run(2.0, None, 710)
    assert meters.run(11.0, 700, 710) == [710.0] * 100 + [700.0] * 10
    assert caplog.messages[1:] == ["site meter poi is read again"]


def test_the_first_counts_at_once_when_the_second_is_lost(meters: Meters) -> None:
    meters.run(5.0, 700, 710)
    meters.run(5.0, None, 710)
    assert meters.run(3.0, 700, None) == [710.0] * 15 + [700.0] * 15


def test_with_neither_the_core_has_no_meter(meters: Meters) -> None:
    """After the two seconds that it believes the last reading."""
    meters.run(5.0, 700, 710)
    seen = meters.run(5.0, None, None)
    assert seen[:20] == [700.0] * 20
    assert all(math.isnan(kw) for kw in seen[20:])


def test_before_the_first_was_ever_read_the_second_counts(meters: Meters) -> None:
    assert meters.run(3.0, None, 710) == [710.0] * 30


def test_a_site_without_a_second_meter_has_no_standby(tmp_path: Path) -> None:
    alone = compose(load(site(tmp_path)))
    assert Standby.of(alone, views.inputs(InputWall(alone.limits))) is None


@pytest.mark.parametrize(
    ("edits", "message", "remedy"),
    [
        (SECOND[:1], "site.second_meter: there is no meter 'check'", ""),
        (((SITE, 'meter = "poi"', 'meter = "poi"\nsecond_meter = "poi"'),), "it is the site meter itself", "another"),
        (
            (SECOND[0], (*SECOND[1][:2], SECOND[1][2].replace("0.5", "1.5"))),
            "check is read every 1.5 s but stale after 2 s", "at most half",
        ),
    ],
)  # fmt: skip
def test_it_is_another_meter_read_as_often_as_the_first(
    tmp_path: Path, edits: tuple[Edit, ...], message: str, remedy: str
) -> None:
    (problem,) = problems(site(tmp_path, *edits))
    assert message in problem.message
    assert remedy in problem.remedy
