"""Two site meters over a restart, by the journal: which of them counts, and what the core is told of it; s and kW."""

from __future__ import annotations

from pathlib import Path

import pytest

from rampd.daemon.doubted import Doubted
from rampd.daemon.journal import Journal
from rampd.ext import codes
from tests.sites import load, site
from tests.twins import SECOND, Meters, with_voltage

FROZEN, FALSE = codes.R_METER_FROZEN, codes.R_METER_IMPLAUSIBLE


class Process(Meters):
    """A daemon on a journal, whose core has taken the hall over unless it is a later one."""

    def __init__(self, folder: Path, journal: Journal, *, started: int = 1) -> None:
        super().__init__(with_voltage(load(site(folder, *SECOND))))
        self.journal = journal
        self.doubted = Doubted(with_voltage(load(site(folder, *SECOND))), journal, self.standby)
        self.doubted.restore(self.inputs)
        self.out.started = started

    def note(self) -> object:
        self.doubted.tick(self.out)
        return self.journal.rest.get("doubted")


@pytest.fixture
def first(tmp_path: Path) -> Process:
    made = Process(tmp_path, Journal.open(tmp_path / "state" / "commands.json"))
    made.run(5.0, 700, 650)
    made.racks(600, 90)
    return made


def again(before: Process, folder: Path) -> Process:
    before.journal.save()
    return Process(folder, Journal.open(folder / "state" / "commands.json"), started=0)


def test_nothing_doubted_is_nothing_to_note(first: Process, tmp_path: Path) -> None:
    assert first.note() is None
    later = again(first, tmp_path)
    assert (later.standby.counts.name, later.inputs.doubted) == ("poi", 0)


def test_one_that_was_doubted_does_not_count_after_it(first: Process, tmp_path: Path) -> None:
    first.doubt(FALSE)
    first.run(0.2, 700, 650)
    first.doubt()
    first.run(1.0, 700, 650)
    assert first.note() == {"meters": ["poi"], "reasons": [], "rest_w": 90e3}
    later = again(first, tmp_path)
    assert later.run(1.0, 700, 650) == [650.0] * 10
    # The hall is taken over by one that is believed.
    assert later.inputs.doubted == 0
    # Until then what was found stays.
    assert later.note() == first.note()
    # The first comes back by what always proves it: here, five minutes beside the other.
    later.out.started = 1
    high = 0.9 * later.max_kw
    later.follow(150.0, [(high, high), (high + 1, high + 1)])
    for _ in range(15):
        later.follow(10.0, [(high, high), (high + 1, high + 1)])
    later.run(11.0, high, high)
    assert later.standby.counts.name == "poi"
    assert later.note() is None


def test_a_doubted_one_takes_the_hall_over_where_the_other_is_not_read(first: Process, tmp_path: Path) -> None:
    first.doubt(FROZEN)
    first.run(0.2, 700, 650)
    first.note()
    later = again(first, tmp_path)
    assert later.follow(9.0, [(700, None)]) == "check"
    assert later.inputs.doubted == 0
    assert later.follow(2.0, [(700, None)]) == "poi"
    assert (later.inputs.doubted, later.inputs.rest_w) == (1 << FROZEN, 90e3)
    # Read at last, the other counts.
    later.out.started = 1
    later.doubt(FROZEN)
    assert later.follow(1.0, [(700, 650)]) == "check"


def test_both_doubted_stay_so(first: Process, tmp_path: Path) -> None:
    first.doubt(FROZEN)
    first.run(0.2, 700, 650)
    first.doubt()
    first.run(16.0, 700, 650)
    first.doubt(FALSE)
    first.run(0.2, 700, 650)
    assert first.note() == {"meters": ["poi", "check"], "reasons": ["meter_implausible"], "rest_w": 90e3}
    later = again(first, tmp_path)
    # The first counts again: what the second was doubted for is no reason to believe it for moving alone.
    assert later.inputs.doubted == 1 << FROZEN | 1 << FALSE
    later.doubt(FALSE)
    later.run(1.0, 700, 650)
    assert later.standby.counts.doubted and later.standby.other.doubted
    assert later.standby.counts.name == "poi"


def test_what_the_rest_drew_is_noted_anew_where_it_has_moved(first: Process) -> None:
    first.doubt(FALSE)
    first.run(0.2, 700, 650)
    first.note()
    first.racks(600, 91)
    assert first.journal.rest["doubted"]["rest_w"] == 90e3
    first.note()
    assert first.journal.rest["doubted"]["rest_w"] == 90e3
    first.racks(600, 120)
    first.note()
    assert first.journal.rest["doubted"]["rest_w"] == 120e3
