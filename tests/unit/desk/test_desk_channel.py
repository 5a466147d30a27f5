"""A lost channel: what came over it is held flat and its lease stands; then the default, until a fresh command."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.daemon.site import Composed
from rampd.ext import codes
from tests.office import Clock, Office, S, kept

GRACE_S = 5.0


def lost_s(office: Office) -> float:
    """For how long the core has been told to wait, 0: not at all."""
    lost_ns = office.inputs.command.lost_ns
    return (office.clock.monotonic_ns() - lost_ns) / S if lost_ns else 0.0


def silence(office: Office, seconds: float) -> None:
    office.silent = True
    office.run(seconds)
    office.silent = False


def test_silence_within_the_grace_is_no_loss(office: Office) -> None:
    office.send("setpoint", percent=50, lease_s=60)
    for _ in range(2):
        silence(office, GRACE_S - 0.2)
        assert (lost_s(office), office.desk.channel_state) == (0.0, "up")
        office.tick()
    assert office.slot()[3] == pytest.approx(60 - 2 * (GRACE_S - 0.1), abs=0.01)


@pytest.mark.parametrize("verb", ["setpoint", "hold"])
def test_a_lost_channel_suspends_the_lease_from_the_last_word_on(office: Office, verb: str) -> None:
    command = office.send(verb, percent=50 if verb == "setpoint" else None, lease_s=20)
    silence(office, 100)
    assert lost_s(office) == pytest.approx(100, abs=0.2)
    assert office.slot()[3] == pytest.approx(20, abs=0.2), "all of its lease is left"
    assert office.stages(command)[-1] != "ended"
    assert office.desk.channel_state == "lost"
    office.tick()
    silence(office, 15)
    # Another silence begins with the word that ended the first.
    assert office.slot()[3] == pytest.approx(20, abs=0.2)
    office.run(5)
    assert office.slot()[3] == pytest.approx(15, abs=0.5)
    assert (lost_s(office), office.desk.channel_state) == (0.0, "up")


def test_a_lease_that_ended_within_the_grace_has_ended(office: Office) -> None:
    command = office.send("setpoint", percent=50, lease_s=2)
    office.run(2)
    office.out.lapsed = 1
    silence(office, 10)
    assert office.last(command) == ("ended", "lease_ended")
    assert lost_s(office) == 0.0


def test_after_the_longest_hold_a_word_is_not_enough(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    command = office.send("setpoint", percent=50, lease_s=60)
    silence(office, office.desk.channel.hold_max_ns / S + 1)
    office.tick()
    assert lost_s(office) > 300, "the core is about to end it: nothing is taken back"
    office.out.lapsed = 1
    office.tick()
    assert office.last(command) == ("ended", "channel_lost")
    assert office.desk.channel_state == "fresh_command"
    assert office.inputs.command.expires_ns <= office.clock.monotonic_ns(), "nor may the guard call it leased"
    assert "a fresh one is needed" in caplog.text
    office.out.lapsed = 0
    fresh = office.send("setpoint", percent=80)
    assert office.last(fresh) == ("accepted", "ok")
    assert (lost_s(office), office.desk.channel_state) == (0.0, "up")


def test_a_stop_does_not_wait_for_a_channel(office: Office) -> None:
    office.send("estop")
    silence(office, 400)
    assert lost_s(office) == 0.0
    assert office.slot()[1] == codes.ESTOP


def test_each_loss_is_said_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    command = office.send("setpoint", percent=50, lease_s=60)
    with caplog.at_level("INFO"):
        for _ in range(3):
            silence(office, 20)
            office.tick()
    assert caplog.text.count("channel lost") == 3
    assert caplog.text.count(f"channel back; {command} goes on") == 3
    assert f"{command} is held flat" in caplog.text


# Over a restart.


@pytest.mark.parametrize(("down_s", "left_s"), [(1.0, 40.0), (100.0, 40.0)])
def test_a_restart_does_not_begin_the_hold_anew(
    office: Office, composed: Composed, clock: Clock, down_s: float, left_s: float
) -> None:
    office.send("setpoint", percent=50, lease_s=40)
    silence(office, 50)
    again = kept(office)
    clock.now_s, clock.wall_s = clock.now_s + down_s, clock.wall_s + down_s
    restarted = again(composed, clock, silent=True)
    assert restarted.desk.channel_state == "lost"
    assert lost_s(restarted) == pytest.approx(50 + down_s, abs=0.5)
    assert restarted.slot()[3] == pytest.approx(left_s, abs=0.5)
    restarted.run(2)
    assert lost_s(restarted) == 0.0
    assert restarted.slot()[3] == pytest.approx(left_s - 2, abs=0.5)
    # And the journal knows it by now.
    third = kept(restarted)(composed, clock)
    assert third.slot()[3] == pytest.approx(left_s - 2, abs=0.5)


def test_a_restart_without_the_channel_waits_for_it(office: Office, composed: Composed, clock: Clock) -> None:
    office.send("setpoint", percent=50, lease_s=60)
    office.tick()
    restarted = kept(office)(composed, clock)
    silence(restarted, 30)
    assert lost_s(restarted) == pytest.approx(30, abs=0.3)
    assert restarted.slot()[3] == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize("lost_at", ["x", None, [1]])
def test_a_loss_in_the_journal_that_makes_no_sense(
    office: Office, composed: Composed, clock: Clock, lost_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    office.send("setpoint", percent=50, lease_s=60)
    assert office.desk.journal.live is not None
    office.desk.journal.live["lost_at"] = lost_at
    restarted = kept(office)(composed, clock)
    assert restarted.slot()[0] == 0
    assert "not usable" in caplog.text
