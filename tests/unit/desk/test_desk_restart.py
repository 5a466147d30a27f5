"""What the desk takes up again after a restart."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import pytest

from rampd.daemon import restart
from rampd.daemon.arbitrate import Mode
from rampd.daemon.journal import Journal
from rampd.daemon.mqtt import Bus
from rampd.daemon.show import Show
from rampd.daemon.site import Composed
from rampd.ext import codes
from tests.office import Clock, Office, kept

SOUND: dict[str, Any] = {
    "id": "a", "verb": 1, "target_w": 248e3, "envelope": 1, "shape": 0, "rate_w_per_s": 0.0, "ramp_until": 0.0,
    "until": 2e9, "topic": None, "source": 2, "who": "", "stopped_by": None,
}  # fmt: skip


def test_a_lease_goes_on_for_its_rest(office: Office, composed: Composed, clock: Clock) -> None:
    live = office.send("setpoint", percent=50, lease_s=100, reply_to="over/there")
    office.tick()
    again = kept(office)
    clock.now_s, clock.wall_s = 5.0, clock.wall_s + 40
    restarted = again(composed, clock)
    assert restarted.slot() == (1, codes.TRACK, 248e3, pytest.approx(60, abs=0.5))
    assert restarted.desk.live is not None
    assert restarted.desk.live.id == live
    restarted.send("setpoint", percent=90, id=live)
    assert restarted.last(live) == ("rejected", "repeated")
    third = kept(restarted)(composed, clock)
    third.send("setpoint", percent=90, id=live)
    assert "its last stage was started" in third.said[-1].payload["message"], "what was refused of it is no stage"
    restarted.run(5, power_w=248e3)
    assert ("over/there", "reached") in {(r.topic, r.payload["stage"]) for r in restarted.said}


def test_a_lease_that_ended_meanwhile_is_over(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("setpoint", percent=50, lease_s=10)
    again = kept(office)
    clock.wall_s += 11
    restarted = again(composed, clock)
    assert restarted.slot()[0] == 0
    assert restarted.desk.journal.live is None


@pytest.mark.parametrize(
    ("down_s", "fields", "ramp_s", "rate"),
    [
        (40, {"ramp_s": 100}, 60, 0),
        (40, {"ramp_s": 20}, 0, 0),
        (40, {"ramp_w_per_s": 500}, 0, 500),
        (40, {}, 0, 0),
    ],
)
def test_a_ramp_goes_on_at_its_pace(
    office: Office,
    composed: Composed,
    clock: Clock,
    down_s: float,
    fields: dict[str, float],
    ramp_s: float,
    rate: float,
) -> None:
    office.send("setpoint", percent=50, shape="s-curve", **fields)
    again = kept(office)
    clock.wall_s += down_s
    command = again(composed, clock).inputs.command
    assert (command.ramp_s, command.rate_w_per_s, command.shape) == (ramp_s, rate, codes.S_CURVE)


def test_a_clock_set_back_gives_no_longer_lease_than_the_site_allows(
    office: Office, composed: Composed, clock: Clock
) -> None:
    office.send("setpoint", percent=50, lease_s=10)
    again = kept(office)
    clock.wall_s -= 1e6
    assert again(composed, clock).slot()[3] <= 14400


def test_a_stop_outlasts_everything(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("estop")
    again = kept(office)
    clock.wall_s += 1e5
    restarted = again(composed, clock)
    assert restarted.slot()[1] == codes.ESTOP
    assert restarted.last(restarted.send("setpoint", percent=90)) == ("rejected", "estop")
    assert restarted.last(restarted.send("reset")) == ("accepted", "ok")


@pytest.mark.parametrize(
    "live",
    [
        {}, {"id": "a"}, *(SOUND | wrong for wrong in (
            {"target_w": "x"}, {"target_w": math.nan}, {"target_w": math.inf}, {"verb": None}, {"verb": 7}, {"verb": 0},
            {"envelope": 2}, {"shape": 9}, {"rate_w_per_s": -1.0}, {"ramp_until": None}, {"until": "later"},
            {"source": "x"}, {"source": 9}, {"lost_at": -1e300}, {"lost_at": math.inf}, {"lost_at": math.nan},
        )),
    ],
)  # fmt: skip
def test_a_live_command_that_makes_no_sense_is_dropped(
    composed: Composed, clock: Clock, live: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sound = Journal(None)
    sound.live = SOUND
    followed = Office(composed, clock, sound)
    restart.resume(followed.desk)
    assert followed.slot()[:3] == (1, codes.TRACK, 248e3)
    found = Journal(None)
    found.live = live
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    assert office.slot()[0] == 0
    assert "not usable" in caplog.text
    assert not math.isnan(office.out.power_w)


NONE: Final = ["Infinity", "-Infinity", "NaN", "1e999", f"1{400 * '0'}"]


@pytest.mark.parametrize("number", NONE)
@pytest.mark.parametrize(
    ("live", "rest"),
    [
        ({"until": "X"}, {}), ({"lost_at": "X"}, {}), ({"target_w": "X"}, {}), ({"stopped_by": "X"}, {}),
        ({}, {"lid": [1, "X"]}), ({}, {"lid": ["X", -1]}), ({}, {"schedule": {}, "interval": "X"}),
        ({}, {"waiting": [{"start_s": "X", "verb": "hold", "topic": None, "command": {}}]}),
        ({}, {"racks": {"gpu-001": {"id": "a", "limit_w": "X", "until": "X", "topic": None, "who": ""}}}),
    ],
    ids=str,
)  # fmt: skip
def test_a_journal_with_a_number_that_is_none_stops_no_start(
    composed: Composed, clock: Clock, tmp_path: Path, live: dict[str, Any], rest: dict[str, Any], number: str
) -> None:
    path = tmp_path / "commands.json"
    text = json.dumps({"live": SOUND | live, "rest": rest})
    path.write_text(text.replace('"X"', number), encoding="utf-8")
    office = Office(composed, clock, Journal.open(path))
    restart.resume(office.desk)
    office.tick()
    assert not math.isnan(office.out.power_w)
    assert office.slot()[1] in (codes.STAND, codes.TRACK)
    assert office.slot()[2] in (0.0, 248e3)


def test_a_stop_outlasts_numbers_that_are_none(composed: Composed, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "commands.json"
    path.write_text('{"live": {"verb": 3, "until": NaN, "stopped_by": 1e999}, "rest": {"lid": [1, Infinity]}}')
    office = Office(composed, clock, Journal.open(path))
    restart.resume(office.desk)
    assert office.slot()[1] == codes.ESTOP


@pytest.mark.parametrize("by", [None, "x", 17])
def test_a_stop_that_does_not_say_whose_it_was_stays_one(composed: Composed, clock: Clock, by: Any) -> None:
    found = Journal(None)
    found.live = SOUND | {"verb": 3, "stopped_by": by, "until": 0.0}
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    assert office.slot()[1] == codes.ESTOP
    assert office.last(office.send("reset")) == ("rejected", "authority")
    assert office.last(office.send("reset", who="operator")) == ("accepted", "ok")


@pytest.mark.parametrize("lost", ["shape", "source", "target_w", "topic", "who", "until"])
def test_a_stop_holds_whatever_else_of_it_is_legible(composed: Composed, clock: Clock, lost: str) -> None:
    found = Journal(None)
    found.live = {key: value for key, value in (SOUND | {"verb": 3}).items() if key != lost}
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    assert office.slot()[1] == codes.ESTOP
    assert office.last(office.send("setpoint", percent=50)) == ("rejected", "estop")


def test_what_was_missed_is_said_once(office: Office, composed: Composed, clock: Clock) -> None:
    missed = office.send("setpoint", percent=50, interval={"start": clock.stamp(10)})
    waits = office.send("setpoint", percent=60, interval={"start": clock.stamp(500)})
    again = kept(office)
    clock.wall_s += 20
    second = again(composed, clock)
    assert second.last(missed) == ("failed", "missed")
    assert second.slot()[0] == 0
    third = kept(second)(composed, clock)
    assert third.stages(missed) == []
    assert [one.command.id for one in third.desk.waiting.items] == [waits]
    assert third.last(third.send("setpoint", percent=50, id=missed)) == ("rejected", "repeated")


def test_what_an_id_is_remembered_for_outlasts_a_restart(office: Office, composed: Composed, clock: Clock) -> None:
    """Until its command has expired; a stop is never refused for its id, so that it stands in nobody's way."""
    live = office.send("setpoint", percent=50)
    stop = office.send("estop")
    expected = [clock.wall_s + 30, clock.wall_s]
    again = kept(office)(composed, clock)
    for one in (office, again):
        seen = [one.desk.journal.ids.find(name, clock.wall_s) for name in (live, stop)]
        assert [known.expires_s for known in seen if known is not None] == pytest.approx(expected, abs=1e-3)
    assert again.last(again.send("setpoint", percent=50, id=live)) == ("rejected", "repeated")


def test_answers_are_told_apart_after_a_restart_as_before(office: Office, composed: Composed, clock: Clock) -> None:
    """By the correlation data that their sender gave them; the journal does not keep what is far too long."""
    place = {"topic": "over/there", "correlation": b"\x00\xff-1"}
    live = office.send("setpoint", percent=50, lease_s=30, **place)
    waits = office.send("hold", lease_s=10, interval={"start": clock.stamp(40)}, **place)
    missed = office.send("hold", lease_s=10, interval={"start": clock.stamp(15)}, **place)
    long = office.send("hold", lease_s=5, interval={"start": clock.stamp(80)}, **place | {"correlation": b"7" * 65535})
    again = kept(office)
    clock.wall_s += 20
    second = again(composed, clock)
    third = kept(second)(composed, clock)
    third.run(100)
    answers = {(r.payload["id"], r.topic, r.correlation) for r in (*second.said, *third.said)}
    assert answers == {
        (live, *place.values()), (waits, *place.values()), (missed, *place.values()), (long, "over/there", None),
    }  # fmt: skip


@pytest.mark.parametrize("correlation", [7, "x", "0", ["00"], None, "00" * 100_000])
def test_correlation_data_that_somebody_wrote_into_the_file_does_no_harm(
    composed: Composed, clock: Clock, correlation: Any
) -> None:
    found = Journal(None)
    found.live = SOUND | {"topic": "over/there", "correlation": correlation}
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    office.run(2, power_w=248e3)
    assert office.stages("a") == ["started", "reached"]
    assert {len(r.correlation or b"") for r in office.said} <= {0, 1024}


POISON = [
    "a/#", "+", "$SYS/a", "", "a\x01", "a\x7f", "a\x9f", "\ud800", "a\ufdd0", "a\uffff", "\U0010fffe", "x" * 70000,
    "rampd/v1/desk/state", "rampd/v1/desk/status", "rampd/v1/desk/cmd/setpoint", 7, ["a"], True,
]  # fmt: skip


@pytest.mark.parametrize("poison", POISON)
def test_a_topic_that_somebody_wrote_into_the_file_does_no_harm(
    office: Office, composed: Composed, clock: Clock, poison: Any
) -> None:
    """Also one that an older version took. What holds goes on and is answered on the site's own topics."""
    slots = [{"start": clock.stamp(80), "end": clock.stamp(90), "percent": 70}]
    ids = {
        office.send("setpoint", percent=50, lease_s=20, reply_to="over/there"),
        office.send("hold", lease_s=10, interval={"start": clock.stamp(40)}, reply_to="over/there"),
        office.send("schedule", intervals=slots, reply_to="over/there"),
        office.send("rack/gpu-001", use="setpoint", power_w=50e3, lease_s=15, who="operator", reply_to="over/there"),
    }
    office.desk.journal.save()
    path = office.desk.journal.path
    assert path is not None
    text = path.read_text(encoding="utf-8")
    assert text.count('"topic": "over/there"') == len(ids)
    path.write_text(text.replace('"over/there"', json.dumps(poison)), encoding="utf-8")
    again = Office(composed, clock, Journal.open(path))
    restart.resume(again.desk)
    again.run(100)
    assert {r.payload["id"] for r in again.said if r.payload["stage"] in ("reached", "ended")} == ids
    assert {r.topic for r in again.said} == {None}


@pytest.mark.parametrize("poison", [topic for topic in POISON if isinstance(topic, str)])
def test_nor_does_one_beside_a_stop(composed: Composed, clock: Clock, poison: str) -> None:
    found = Journal(None)
    found.live = SOUND | {"verb": 3, "topic": poison}
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    office.run(2, power_w=95e3)
    assert office.slot()[1] == codes.ESTOP
    assert office.stages("a") == ["started", "reached"]
    assert {r.topic for r in office.said} == {None}


def test_an_id_that_is_no_level_of_a_topic_is_answered_as_invalid(composed: Composed, clock: Clock) -> None:
    found = Journal(None)
    found.live = SOUND | {"id": "a/#"}
    office = Office(composed, clock, found)
    restart.resume(office.desk)
    office.run(2, power_w=248e3)
    bus = Bus(composed.config.mqtt, "desk", Show(composed, office.inputs, office.desk), lambda: office.out, {})
    assert office.stages("a/#") == ["started", "reached"]
    assert {bus._place(reply) for reply in office.said} == {"rampd/v1/desk/ack/invalid"}


# A journal that nobody can read: what held is not known, so nothing rises.


def broken(office: Office) -> Journal:
    """The journal of the next process, whose file is spoilt; the trail is not."""
    office.desk.journal.save()
    path = office.desk.journal.path
    assert path is not None
    path.write_text('{"live": ', encoding="utf-8")
    return Journal.open(path)


def test_an_unreadable_journal_starts_in_hand_and_holds(
    office: Office, composed: Composed, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    office.send("setpoint", percent=50)
    again = Office(composed, clock, broken(office))
    restart.resume(again.desk)
    assert again.desk.mode is Mode.HAND
    assert again.slot()[1] == codes.HOLD
    assert "in hand and held where the site stands" in caplog.text
    assert again.desk.answers.events.first() is not None
    again.tick()
    assert again.last(again.send("setpoint", percent=90, who="iso")) == ("rejected", "mode")
    assert again.last(again.send("setpoint", percent=90, who="operator")) == ("accepted", "ok")
    assert Office(composed, clock, broken(again)).desk.journal.unreadable


def test_the_trail_knows_of_a_stop(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("estop", who="iso")
    again = Office(composed, clock, broken(office))
    restart.resume(again.desk)
    assert again.slot()[1] == codes.ESTOP
    assert again.last(again.send("setpoint", percent=90, who="operator")) == ("rejected", "estop")
    assert again.last(again.send("reset", who="iso")) == ("rejected", "authority"), "whose it was is not known"
    again.send("reset", who="operator")
    third = Office(composed, clock, broken(again))
    restart.resume(third.desk)
    assert third.slot()[1] == codes.HOLD, "it was reset"


def test_the_trail_knows_of_racks_that_nobody_may_touch(office: Office, composed: Composed, clock: Clock) -> None:
    first, second = (rack.id for rack in composed.racks[:2])
    for rack in (first, second):
        office.send(f"rack/{rack}", use="hands_off", who="operator")
        office.tick()
    office.send(f"rack/{second}", use="auto", who="operator")
    again = Office(composed, clock, broken(office))
    restart.resume(again.desk)
    assert [use.rack for use in again.desk.hands.uses.values()] == [first]


def test_a_site_without_a_journal_starts_as_usual(composed: Composed, clock: Clock, tmp_path: Path) -> None:
    fresh = Office(composed, clock, Journal.open(tmp_path / "none" / "commands.json"))
    restart.resume(fresh.desk)
    assert (fresh.desk.mode, fresh.slot()[0]) == (Mode.REMOTE, 0)
