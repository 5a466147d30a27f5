"""Which of two meters counts, look by look, and what of it the core reads: times in s, powers in kW."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from pathlib import Path

import pytest

from rampd.daemon.config import Config
from rampd.daemon.site import Composed, compose, twin
from rampd.daemon.standby import Standby
from rampd.ext import codes, views
from rampd.ext.image import InputWall, OutputWall
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
    return with_voltage(load(site(tmp_path, *SECOND)))


def with_voltage(config: Config) -> Composed:
    return compose(config.model_copy(update={"grid": config.grid.model_copy(update={"nominal_v": 7967.0})}))


class Meters:
    """Both meters, read ten times a second as long as they answer; stale after two seconds."""

    def __init__(self, composed: Composed) -> None:
        self.wall = InputWall(composed.limits)
        self.inputs = views.inputs(self.wall)
        found = Standby.of(composed, self.inputs)
        assert found is not None
        self.standby = found
        self.outputs = OutputWall(composed.limits)
        self.out = views.outputs(self.outputs)
        self.max_kw = composed.config.site.max_mw * 1e3
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
                self.put(self.standby.first.slots["power_w"], first, quality)
            if second is not None:
                self.put(self.standby.second.slots["power_w"], second)
            self.standby.look(round(self.now_s * S))
            self.standby.heed(self.out, round(self.now_s * S))
            slot = self.standby.site["power_w"]
            old = round(self.now_s * S) - self.inputs.at_ns[slot] > 2 * S
            good = self.inputs.quality[slot] == codes.GOOD and not old
            seen.append(self.inputs.value[slot] / 1e3 if good else float("nan"))
        return seen

    def follow(self, seconds: float, powers: Iterable[tuple[float | None, float | None]]) -> str:
        """So many seconds of each; the meter that counts then."""
        for first, second in powers:
            self.run(seconds, first, second)
        return self.standby.counts.name

    def racks(self, kw: float, beside_kw: float = 0.0) -> None:
        """What the core knows by the racks alone: what they draw, and what the rest drew last."""
        self.out.started = 1
        self.out.model_w, self.out.disturbance_w = kw * 1e3, beside_kw * 1e3

    def doubt(self, reason: codes.Reason | None = None) -> None:
        """What the core finds of the meter that counts."""
        self.out.zone_reasons[0] = 0 if reason is None else 1 << reason


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


FROZEN, FALSE = codes.R_METER_FROZEN, codes.R_METER_IMPLAUSIBLE


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
