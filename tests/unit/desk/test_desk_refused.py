"""What changes nothing, and the emergency stop."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.daemon import ids
from rampd.daemon.journal import Journal
from rampd.daemon.site import Composed
from rampd.ext import codes
from tests.office import Clock, Office


@pytest.mark.parametrize(
    ("verb", "fields", "code"),
    [
        ("setpoint", {"percent": 50, "retained": True}, "retained"),
        (
            "setpoint",
            {"percent": 50, "expires_at": lambda c: c.stamp(-1), "issued_at": lambda c: c.stamp(-9)},
            "expired",
        ),
        ("setpoint", {"percent": 50, "issued_at": lambda c: c.stamp(31), "expires_at": lambda c: c.stamp(60)}, "clock"),
        ("setpoint", {"power_w": 497e3}, "limit"),
        ("setpoint", {"by_w": 200e3}, "limit"),
        ("setpoint", {"by_w": -497e3}, "limit"),
        ("setpoint", {"power_w": 90e3}, "unreachable"),
        ("setpoint", {"percent": 50, "lease_s": 14401}, "lease"),
        ("setpoint", {"percent": 50, "interval": lambda c: {"end": c.stamp(-1)}}, "expired"),
        ("setpoint", {}, "malformed"),
        ("reset", {}, "nothing"),
        ("dance", {}, "unsupported"),
    ],
)
def test_refused(office: Office, verb: str, fields: dict[str, Any], code: str) -> None:
    live = office.send("setpoint", percent=80)
    office.tick()
    before = (office.slot()[:3], bytes(office.inputs.command))
    given = {key: value(office.clock) if callable(value) else value for key, value in fields.items()}
    command = office.send(verb, **given)
    office.tick()
    assert office.last(command) == ("rejected", code)
    assert (office.slot()[:3], bytes(office.inputs.command)) == before
    assert office.stages(live)[-1] in ("started", "reached")
    assert office.desk.live is not None
    assert office.desk.live.id == live


def test_a_clock_that_is_a_little_ahead_is_forgiven(office: Office) -> None:
    command = office.send("setpoint", percent=50, issued_at=office.clock.stamp(29))
    assert office.last(command) == ("accepted", "ok")


def test_an_id_is_followed_once(office: Office) -> None:
    office.send("setpoint", percent=50, id="one")
    office.send("setpoint", percent=60, id="one")
    assert office.last("one") == ("rejected", "repeated")
    assert office.slot()[2] == 248e3
    # Also one that was refused: its sender may not try until it fits.
    office.send("setpoint", power_w=9e9, id="two")
    office.send("setpoint", percent=60, id="two")
    assert office.last("two") == ("rejected", "repeated")


def test_no_id_is_forgotten_for_another_and_a_stop_needs_no_room(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "MOST", 2)
    taken = [office.send("setpoint", percent=percent) for percent in (80, 70)]
    assert office.last(office.send("setpoint", percent=60)) == ("rejected", "busy")
    for name in taken:
        assert office.last(office.send("setpoint", percent=50, id=name)) == ("rejected", "repeated")
    stops = [office.send("estop") for _ in range(3)]
    assert all("accepted" in office.stages(name) for name in stops)
    assert office.slot()[1] == codes.ESTOP
    for name in taken:
        assert office.last(office.send("setpoint", percent=50, id=name)) == ("rejected", "repeated")
    office.clock.wall_s += 31
    assert office.last(office.send("reset", who="operator")) == ("accepted", "ok")


def test_nothing_is_followed_before_the_meter_was_read(composed: Composed, clock: Clock) -> None:
    office = Office(composed, clock, Journal(None))
    assert office.last(office.send("setpoint", percent=50)) == ("rejected", "not_ready")
    assert office.slot()[0] == 0
    assert office.last(office.send("estop")) == ("accepted", "ok"), "to stop needs no meter"


@pytest.mark.parametrize(("power_w", "target_w"), [(9e9, 496e3), (-5.0, 0.0), (90e3, 90e3)])
def test_best_effort_goes_as_far_as_it_goes(office: Office, power_w: float, target_w: float) -> None:
    command = office.send("setpoint", power_w=power_w, best_effort=True)
    assert office.last(command) == ("accepted", "ok")
    assert office.slot()[2] == target_w


# The emergency stop.


def test_the_stop_holds_until_reset(office: Office) -> None:
    stop = office.send("estop")
    assert office.slot()[1] == codes.ESTOP
    for verb in ("setpoint", "hold", "release"):
        command = office.send(verb, **({"percent": 90} if verb == "setpoint" else {}))
        assert office.last(command) == ("rejected", "estop")
        assert office.slot()[1] == codes.ESTOP
    office.run(2, power_w=95e3)
    assert office.last(stop) == ("reached", "ok")
    reset = office.send("reset")
    assert office.last(reset) == ("accepted", "ok")
    assert office.slot()[1] == codes.STAND
    assert office.last(office.send("setpoint", percent=90)) == ("accepted", "ok")


def test_what_waited_does_not_end_the_stop(office: Office) -> None:
    waiting = office.send("setpoint", percent=90, interval={"start": office.clock.stamp(3)})
    office.send("estop")
    office.run(6, power_w=95e3)
    assert office.slot()[1] == codes.ESTOP
    assert office.last(waiting) == ("failed", "estop")


def test_a_stop_during_a_stop_stays_one(office: Office) -> None:
    office.send("estop")
    again = office.send("estop")
    assert office.last(again) == ("accepted", "ok")
    assert office.last(office.send("setpoint", percent=90)) == ("rejected", "estop")


@pytest.mark.parametrize("w_per_s", [1e-300, 1e-9, 0.0, -5.0])
def test_a_ramp_that_never_ends_is_none(office: Office, w_per_s: float) -> None:
    assert office.last(office.send("setpoint", percent=50, ramp_w_per_s=w_per_s)) == ("rejected", "malformed")
    assert office.slot()[0] == 0


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"lease_s": 1e9}, "lease_s"),
        ({"interval": {"end": "2001-01-01T00:00:00Z"}}, "interval"),
        ({"interval": {"start": "2099-01-01T00:00:00Z"}}, "interval"),
        ({"percent": 0}, "percent"),
        ({"power_w": "none", "best_effort": "on", "command_id": "x"}, "command_id"),
        ({"issued_at": lambda c: c.stamp(-90), "expires_at": lambda c: c.stamp(-60)}, "expired 60.0 s ago"),
        ({"issued_at": lambda c: c.stamp(900), "expires_at": lambda c: c.stamp(930)}, ""),
        ({"expires_at": lambda c: c.stamp(1e9)}, ""),
        ({"issued_at": None, "expires_at": None}, "issued_at"),
        ({"issued_at": 1, "expires_at": 2}, "issued_at"),
        ({"who": 7}, "who"),
        ({"reply_to": "a/#"}, "reply_to"),
        ({"topic": "a/#"}, "answer"),
        ({"topic": "rampd/v1/desk/state"}, "answer"),
        ({"reply_to": "rampd/v1/desk/state"}, "answer"),
    ],
)
@pytest.mark.parametrize("control", ["remote", "auto", "hand"])
def test_a_stop_is_taken_whatever_stands_beside_it(
    office: Office, control: str, beside: dict[str, Any], words: str
) -> None:
    office.send("mode", mode=control, who="operator")
    given = {key: value(office.clock) if callable(value) else value for key, value in beside.items()}
    stop = office.send("estop", **given)
    assert office.last(stop) == ("accepted", "ok")
    assert office.slot()[1] == codes.ESTOP
    said = office.said[-1]
    assert words in said.payload["message"]
    assert bool(words) == bool(said.payload["message"])
    assert said.topic is None


@pytest.mark.parametrize("wrong", [None, 7, "a/b", "", "x" * 65])
def test_a_stop_without_a_legible_id_gets_one(office: Office, wrong: object) -> None:
    office.send("estop", id=wrong)
    assert office.slot()[1] == codes.ESTOP
    assert {r.payload["id"].partition("-")[0] for r in office.said} == {"stop"}
    assert [r.payload["stage"] for r in office.said] == ["received", "accepted"]
    assert "id: " in office.said[-1].payload["message"]


def test_an_id_that_was_used_stops_all_the_same(office: Office) -> None:
    """A button that knows one id only: it stops, and what comes twice while it holds changes nothing."""
    office.send("setpoint", percent=50, id="button")
    assert office.last(office.send("estop", id="button")) == ("accepted", "ok")
    seq = office.slot()[0]
    assert office.last(office.send("estop", id="button")) == ("rejected", "repeated")
    assert (office.slot()[0], office.slot()[1]) == (seq, codes.ESTOP)
    assert office.last(office.send("reset")) == ("accepted", "ok")
    assert office.last(office.send("estop", id="button")) == ("accepted", "ok")
    assert office.slot()[1] == codes.ESTOP


def test_a_stop_that_the_broker_kept_is_not_followed(office: Office) -> None:
    """It would stop the site after every restart, without anybody's doing."""
    assert office.last(office.send("estop", retained=True)) == ("rejected", "retained")
    assert office.slot()[0] == 0
