"""Which of two meters counts, look by look, and what of it the core reads: times in s, powers in kW."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from rampd.daemon.site import Composed, compose
from rampd.daemon.standby import Standby
from rampd.ext import codes, views
from rampd.ext.image import InputWall
from tests.sites import SITE, Edit, load, problems, site

S = 1_000_000_000
METER = """
[[meter]]
id = "check"
map = "schneider-3000"
address = "127.20.0.2:1502"
period_s = 0.5
"""
SECOND: tuple[Edit, ...] = (
    (SITE, 'meter = "poi"', 'meter = "poi"\nsecond_meter = "check"'),
    (SITE, "\n[[loop]]", f"{METER}\n[[loop]]"),
)


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    return compose(load(site(tmp_path, *SECOND)))


class Meters:
    """Both meters, read ten times a second as long as they answer; stale after two seconds."""

    def __init__(self, composed: Composed) -> None:
        self.wall = InputWall(composed.limits)
        self.inputs = views.inputs(self.wall)
        found = Standby.of(composed, self.inputs)
        assert found is not None
        self.standby = found
        self.now_s = 100.0

    def put(self, slot: int, kw: float, quality: int = codes.GOOD) -> None:
        self.inputs.value[slot] = kw * 1e3
        self.inputs.at_ns[slot] = round(self.now_s * S)
        self.inputs.quality[slot] = quality

    def run(self, seconds: float, first: float | None, second: float | None, quality: int = codes.GOOD) -> list[float]:
        """What the core would read at every look, None where that is no good reading of the last two seconds."""
        seen = []
        for _ in range(round(seconds / 0.1)):
            self.now_s += 0.1
            if first is not None:
                self.put(self.standby.first, first, quality)
            if second is not None:
                self.put(self.standby.second, second)
            self.standby.look(round(self.now_s * S))
            slot = self.standby.site
            old = round(self.now_s * S) - self.inputs.at_ns[slot] > 2 * S
            good = self.inputs.quality[slot] == codes.GOOD and not old
            seen.append(self.inputs.value[slot] / 1e3 if good else float("nan"))
        return seen


@pytest.fixture
def meters(composed: Composed) -> Meters:
    return Meters(composed)


def test_the_core_reads_a_slot_that_is_no_meter_of_its_own(composed: Composed) -> None:
    slots = [slot for point in composed.points for slot in point.slots.values()]
    limits = views.limits(composed.limits).site
    assert (limits.power_slot, limits.slots) == (len(slots), len(slots) + 1)
    assert limits.frequency_slot == composed.meter.slots["frequency_hz"]


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
