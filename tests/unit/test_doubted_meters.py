"""A site meter that the core does not believe: it counts no more, until it has proven itself; s and kW."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from rampd.ext import codes
from tests.sites import load, site
from tests.twins import SECOND, Meters, with_voltage

FROZEN, FALSE = codes.R_METER_FROZEN, codes.R_METER_IMPLAUSIBLE


@pytest.fixture
def meters(tmp_path: Path) -> Meters:
    return Meters(with_voltage(load(site(tmp_path, *SECOND))))


@pytest.mark.parametrize("reason", [FROZEN, FALSE])
def test_one_that_the_core_does_not_believe_counts_no_more(
    meters: Meters, reason: codes.Reason, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rampd.standby")
    meters.run(5.0, 700, 650)
    meters.doubt(reason)
    assert meters.run(0.3, 700, 650)[1:] == [650.0] * 2
    assert caplog.messages == ["site meter poi is not believed: check stands for it"]
    assert meters.standby.why == "doubted"
    # The reason clears, and the first is read all the time: it is not tried again.
    meters.run(11.0, 700, 650)
    meters.doubt()
    assert meters.follow(30.0, [(700, 650), (700, 640)] * 10) == "check"
    # The second goes: as without a meter, whatever the first shows.
    assert all(math.isnan(kw) for kw in meters.run(5.0, 700, None)[20:])
    assert caplog.messages[1:] == []


def test_one_that_was_doubted_counts_again_once_it_has_gone_along_with_the_other(
    meters: Meters, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rampd.standby")
    high, low = 0.9 * meters.max_kw, 0.84 * meters.max_kw
    meters.run(5.0, high, high)
    meters.doubt(FROZEN)
    meters.run(1.0, high, high)
    meters.doubt()
    # Standing still beside a load that stands still proves nothing, nor does one move without the time.
    assert meters.follow(120.0, [(high, high)]) == "check"
    assert meters.follow(5.0, [(high, low), (low, low), (low, high), (high, high)]) == "check"
    # A second late each way, and a tenth less than 2 % off.
    off = 0.018 * meters.max_kw
    moves: list[tuple[float | None, float | None]] = [
        (high + off, low), *[(low + off, low)] * 7, (high + off, low), *[(high + off, high)] * 7,
    ]  # fmt: skip
    assert meters.follow(1.0, moves * 3) == "check"
    assert meters.follow(1.0, moves) == "poi"
    assert caplog.messages[1:] == [
        "meter poi has gone along with check again: it is believed", "site meter poi is read again",
    ]  # fmt: skip


def test_a_load_that_moves_less_than_they_may_differ_proves_nothing(meters: Meters) -> None:
    high, low = 0.9 * meters.max_kw, 0.86 * meters.max_kw
    meters.run(5.0, high, high)
    meters.doubt(FROZEN)
    meters.run(1.0, high, high)
    meters.doubt()
    assert meters.follow(10.0, [(high, high), (low, low)] * 10) == "check"
    # Nor does one that stands in the middle of a larger move.
    assert meters.follow(10.0, [(high, high), (high, 0.84 * meters.max_kw)] * 10) == "check"


def test_where_both_are_doubted_they_do_not_take_turns(meters: Meters) -> None:
    meters.run(5.0, 700, 650)
    meters.doubt(FALSE)
    meters.run(1.0, 700, 650)
    assert meters.standby.counts.name == "check"
    changes = []
    for _ in range(60):
        meters.run(1.0, 700, 650)
        changes.append(meters.standby.counts.name)
    assert set(changes) == {"check"}
    assert meters.standby.second.doubted
    # The core believes the second again; the first has still to prove itself.
    meters.doubt()
    meters.run(60.0, 700, 650)
    assert (meters.standby.first.doubted, meters.standby.second.doubted) == (True, False)


def both_doubted(meters: Meters, first: float, second: float) -> None:
    """The first is found frozen, then the second as well: it counts, and goes on so."""
    meters.run(5.0, first, second)
    meters.doubt(FROZEN)
    meters.run(20.0, first, second)
    assert meters.standby.counts.name == "check"
    assert (meters.standby.first.doubted, meters.standby.second.doubted) == (True, True)


def moves(meters: Meters, low: float, high: float, off: float = 0.0, first: float | None = None) -> str:
    """Twenty seconds of the racks low, twenty high, the first meter along with them or standing."""
    for kw in (low, high):
        for _ in range(20):
            meters.racks(0.9 * kw, 0.1 * kw)
            meters.run(1.0, kw + off if first is None else first, meters.max_kw)
    return meters.standby.counts.name


def test_where_both_are_doubted_the_first_comes_back_along_with_the_racks(
    meters: Meters, caplog: pytest.LogCaptureFixture
) -> None:
    """The second stays frozen; what the rest draws is four tenths of a tenth of the site off what it was."""
    caplog.set_level(logging.INFO, "rampd.standby")
    low, high = 0.5 * meters.max_kw, 0.8 * meters.max_kw
    both_doubted(meters, meters.max_kw, meters.max_kw)
    off = 0.035 * meters.max_kw
    # One move is no minute, and a meter that stands while the racks move, or is further off, proves nothing.
    assert moves(meters, low, high, off) == "check"
    assert moves(meters, high, low, first=low - off) == "check"
    assert [moves(meters, high, low, -0.045 * meters.max_kw) for _ in range(4)] == ["check"] * 4
    assert [moves(meters, low, high, off) for _ in range(2)] == ["check", "poi"]
    assert caplog.messages[1:] == [
        "meter poi has gone along with the racks again: it is believed", "site meter poi is read again",
    ]  # fmt: skip
    # What the core held against the second ends; that one has still to prove itself.
    meters.doubt()
    assert moves(meters, low, high) == "poi"
    assert (meters.standby.first.doubted, meters.standby.second.doubted) == (False, True)


def test_one_wild_reading_is_no_move(meters: Meters) -> None:
    """Not even where the racks go down and come back just then."""
    low, high = 0.5 * meters.max_kw, 0.8 * meters.max_kw
    both_doubted(meters, meters.max_kw, meters.max_kw)
    for _ in range(5):
        assert moves(meters, high, high, first=high) == "check"
        meters.racks(low)
        meters.run(1.0, high, meters.max_kw)
        meters.run(0.1, low, meters.max_kw)
        assert moves(meters, high, high, first=high) == "check"


def test_one_that_is_wrong_again_proves_itself_anew(meters: Meters) -> None:
    low, high = 0.5 * meters.max_kw, 0.8 * meters.max_kw
    both_doubted(meters, meters.max_kw, meters.max_kw)
    assert [moves(meters, low, high) for _ in range(3)][-1] == "poi"
    meters.run(20.0, high, meters.max_kw)
    assert meters.standby.first.doubted
    assert meters.standby.counts.name == "poi"
    # Now it is the second that may.
    for _ in range(3):
        for kw in (low, high):
            meters.racks(0.9 * kw, 0.1 * kw)
            meters.run(20.0, low, kw)
    assert meters.standby.counts.name == "check"


def test_with_the_trusted_one_unread_a_doubted_one_proves_itself_beside_the_racks(meters: Meters) -> None:
    high = 0.8 * meters.max_kw
    meters.run(5.0, high, high)
    meters.doubt(FROZEN)
    meters.run(1.0, high, high)
    meters.doubt()
    for kw in (high, 0.5 * meters.max_kw, high, 0.5 * meters.max_kw):
        meters.racks(kw)
        assert meters.follow(20.0, [(high, None)]) == "check"
    for kw in (high, 0.5 * meters.max_kw, high, 0.5 * meters.max_kw):
        meters.racks(kw)
        meters.run(20.0, kw, None)
    assert meters.standby.counts.name == "poi"


REST = {
    # first meter, less than the site's most, beside a load of that; how it moves; is it believed within six minutes
    "alive, beside the other":      (0.80, 0.80, 0.1, True),
    "alive, nearly":                (0.80, 0.819, 0.1, True),
    "it stands still":              (0.80, 0.80, 0.0, False),
    "alive, elsewhere":             (0.80, 0.825, 0.1, False),
    "hardly a load":                (0.24, 0.24, 0.1, False),
}  # fmt: skip


@pytest.mark.parametrize(("first", "load", "digit", "believed"), REST.values(), ids=REST.keys())
def test_at_rest_a_doubted_one_has_to_stand_beside_the_other_for_long(
    meters: Meters, first: float, load: float, digit: float, believed: bool
) -> None:
    """Beside a trusted one, and beside the racks where that is doubted as well."""
    first_kw, load_kw = first * meters.max_kw, load * meters.max_kw
    meters.run(5.0, first_kw, load_kw)
    meters.doubt(FROZEN)
    meters.run(1.0, first_kw, load_kw)
    meters.doubt()
    for tenth in range(29):
        assert meters.follow(10.0, [(first_kw + digit * (tenth % 2), load_kw)]) == "check"
    seen = [meters.follow(10.0, [(first_kw + digit * (tenth % 2), load_kw)]) for tenth in range(7)]
    assert seen[-1] == ("poi" if believed else "check")


def test_at_rest_it_stands_beside_the_racks_where_the_other_is_doubted(meters: Meters) -> None:
    high = 0.8 * meters.max_kw
    both_doubted(meters, high, high)
    meters.racks(0.7 * meters.max_kw, 0.1 * meters.max_kw)
    assert [meters.follow(10.0, [(high + k % 2, high)]) for k in range(29)] == ["check"] * 29
    assert [meters.follow(10.0, [(high + k % 2, high)]) for k in range(5)][-1] == "poi"


def test_a_wild_reading_in_the_rest_begins_it_anew(meters: Meters) -> None:
    high = 0.8 * meters.max_kw
    both_doubted(meters, high, high)
    meters.racks(high)
    for _ in range(3):
        assert [meters.follow(10.0, [(high + k % 2, high)]) for k in range(20)] == ["check"] * 20
        meters.run(0.1, 0.5 * high, high)


def test_a_second_that_is_doubted_while_it_stands_in_gives_way_to_the_first(meters: Meters) -> None:
    meters.run(5.0, 700, 650)
    meters.run(5.0, None, 650)
    meters.run(5.0, 700, 650)
    meters.run(9.0, None, 650)
    meters.doubt(FROZEN)
    meters.run(0.5, 700, 650)
    assert meters.standby.counts.name == "poi"
    meters.doubt()
    # It does not stand in again before it has proven itself.
    assert all(math.isnan(kw) for kw in meters.run(30.0, None, 650)[20:])
