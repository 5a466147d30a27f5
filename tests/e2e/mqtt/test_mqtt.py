"""The site on a real broker: what it says, what drives it, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import IO

import pytest

from tests.bus import Client, Message, after, envelope
from tests.hall import RAMPD, Hall, tool
from tests.mqtt import refusal, said, stand
from tests.waits import ever, until

STATE_KEYS = {
    "seq", "at", "mode", "envelope", "command_id", "requested_w", "reference_w", "power_w", "frequency_hz", "min_w",
    "max_w", "firm_down_5s_w", "firm_up_5s_w", "firm_down_60s_w", "firm_up_60s_w", "firm_down_600s_w", "firm_up_600s_w",
    "in_flight", "compliant", "best_effort", "failsafe", "binding", "racks",
    "channel", "control", "source", "meter_refresh_hz", "swing_5s_w", "oscillation_w", "feedback_slowed",
    "slope_15s_w_per_s",
    "regulation_id", "regulation_w", "response_w",
}  # fmt: skip
QUALITIES = {"good", "stale", "never", "sentinel", "range", "refused"}


# What it says.


def test_status_is_retained(hall: Hall, bus: Client) -> None:
    assert bus.of("status")[0].payload["state"] == "online"
    with hall.client() as late:
        until(lambda: late.of("status"), 5, "the retained status")
        status = late.of("status")[0]
    assert status.retain
    assert set(status.payload) == {"state", "session", "version", "since"}
    assert status.payload["state"] == "online"


def test_state_comes_once_a_second_and_is_retained(hall: Hall, standing: Client) -> None:
    since_s = time.monotonic()
    until(lambda: len(standing.states(since_s)) >= 5, 8, "five state messages")
    states = standing.of("state", since_s)
    gaps = [b.at - a.at for a, b in pairwise(states)]
    assert 0.5 < sum(gaps) / len(gaps) < 1.5
    numbers = [message.payload["seq"] for message in states]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for message in states:
        state = message.payload
        assert set(state) == STATE_KEYS
        assert state["racks"].keys() >= {"available", "stale", "unresponsive", "locked"}
        assert sum(state["racks"].values()) == state["racks"]["available"] == 12
        assert 59.5 < state["frequency_hz"] < 60.5
        assert state["min_w"] < state["power_w"] < 1.02 * state["max_w"]
    with hall.client() as late:
        until(lambda: late.of("state"), 5, "the retained state")
        assert late.of("state")[0].retain


def test_a_transition_is_said_at_once(standing: Client) -> None:
    sent_s = time.monotonic()
    command_id = standing.command("hold")
    found = until(
        lambda: [m for m in standing.of("state", sent_s) if m.payload["command_id"] == command_id], 5, "its state"
    )
    assert found[0].at - sent_s < 0.8


def test_meta_says_what_every_thing_is_and_is_retained(hall: Hall, bus: Client) -> None:
    config = hall.config
    wanted = {f"meta/rack/{rack.id}" for rack in config.racks} | {f"meta/loop/{loop.id}" for loop in config.loops}
    wanted |= {f"meta/pdu/{node.id}" for node in config.nodes if node.map} | {"meta/meter/poi", "meta/site/hall"}
    with hall.client() as late:
        until(lambda: {m.topic for m in late.messages} >= wanted, 5, "all meta topics")
        found = {m.topic: m for m in late.messages if m.topic.startswith("meta/")}
    assert set(found) == wanted
    assert all(message.retain for message in found.values())
    rack = found["meta/rack/gpu-001"].payload
    assert rack["map"] == "rack-power"
    assert rack["units"]["power_w"] == "W"
    assert (rack["min_w"], rack["max_w"], rack["fallback_w"]) == (40e3, 132e3, 66e3)
    # One rack after the other, miners first.
    assert found["meta/rack/asic-006"].payload["dead_man_s"] == 30 < rack["dead_man_s"]
    site = found["meta/site/hall"].payload
    assert (site["max_w"], site["racks"]) == (config.site.max_mw * 1e6, 12)


def test_meta_names_the_device_once_it_said_what_it_is(hall: Hall, bus: Client) -> None:
    topic = f"meta/loop/{hall.config.loops[0].id}"
    with hall.client() as late:
        found = until(lambda: [m for m in late.of(topic) if "device" in m.payload], 20, "the loop's nameplate")
    assert found[0].payload["device"] == {"model": "orv3-rpu", "serial": "sim", "firmware": "rampd"}
    assert len(bus.of(topic)) <= 2, "once without, and once with its nameplate"
    told = Counter(message.topic for message in bus.messages if message.topic.startswith("meta/"))
    assert told["meta/site/hall"] == told["meta/rack/gpu-001"] == 1, "what has not changed is not told again"


def test_questions_hold_up_no_command(standing: Client) -> None:
    for k in range(300):
        standing.publish("ask/why", json.dumps({"id": f"q{k}"}))
    command = standing.command("hold")
    standing.until_stage(command, "reached", 5)
    until(lambda: standing.of("answer/q0"), 5, "the first question is answered")


# What drives it.


def listen(hall: Hall, version: str, topic: str, count: int, form: str) -> subprocess.Popen[str]:
    """mosquitto_sub, once its subscription stands: a retained message is what it hears first."""
    say(hall, version, "listening", "yes", "-r")
    command = [tool("mosquitto_sub", "mosquitto-clients"), "-h", hall.broker_host, "-V", version, "-q", "1"]
    command += [
        "-t",
        f"{hall.root}/{topic}",
        "-t",
        f"{hall.root}/listening",
        "-C",
        str(count + 1),
        "-W",
        "60",
        "-F",
        form,
    ]
    heard = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert heard.stdout is not None
    assert heard.stdout.readline().rstrip().endswith("yes")
    return heard


def say(hall: Hall, version: str, topic: str, text: str, *options: str) -> None:
    command = [tool("mosquitto_pub", "mosquitto-clients"), "-h", hall.broker_host, "-V", version, "-q", "1"]
    command += ["-t", f"{hall.root}/{topic}", "-m", text, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["5", "311"])
def test_mosquittos_own_clients_drive_it(hall: Hall, standing: Client, version: str) -> None:
    wanted = {"5": 60, "311": 65}[version]
    command = envelope(percent=wanted, ramp_s=2)
    topic = f"ack/{command['id']}"
    options: list[str] = []
    if version == "5":
        topic = "ack/here"
        options = ["-D", "publish", "response-topic", f"{hall.root}/{topic}", "-D", "publish", "correlation-data", "c0"]
    heard = listen(hall, version, topic, 5, "%r %p" if version == "311" else "%r %D %p")
    try:
        say(hall, version, "cmd/setpoint", json.dumps(command), *options)
        acks = topic if version == "5" else f"ack/{command['id']}"
        until(lambda: any(m.payload["stage"] == "reached" for m in standing.of(acks)), 50, "the command is reached")
        say(hall, version, "cmd/release", json.dumps(envelope()))
        out, err = heard.communicate(timeout=60)
    finally:
        heard.kill()
        heard.communicate()
    assert heard.returncode == 0, err
    lines = out.splitlines()
    prefix = "0 c0 " if version == "5" else "0 "
    assert all(line.startswith(prefix) for line in lines), lines
    found = [json.loads(line.removeprefix(prefix)) for line in lines]
    assert [ack["stage"] for ack in found] == ["received", "accepted", "started", "reached", "ended"]
    assert all(set(ack) == {"id", "at", "stage", "code", "message", "power_w"} for ack in found)
    assert {ack["id"] for ack in found} == {command["id"]}
    goal_w = wanted / 100 * hall.config.site.max_mw * 1e6
    assert abs(found[3]["power_w"] - goal_w) < 0.01 * goal_w
    assert standing.of(f"ack/{command['id']}") == [] or version == "311"


def test_reply_to_gets_the_acknowledgements(dispatched: Client) -> None:
    command_id = dispatched.command("hold", reply_to=f"{dispatched.root}/ack/over/there")
    found = until(lambda: dispatched.of("ack/over/there"), 5, "an acknowledgement on reply_to")
    assert found[0].payload["id"] == command_id
    assert dispatched.acks(command_id) == []


@pytest.mark.parametrize("topic", ["answers/#", "+/answers", "$SYS/answers"])
def test_an_impossible_response_topic_does_no_harm(hall: Hall, standing: Client, topic: str) -> None:
    pid = hall.daemon.pid
    standing.publish("cmd/hold", json.dumps(envelope()), response=topic)
    command_id = standing.command("hold")
    until(lambda: standing.acks(command_id) or hall.daemon.code is not None, 10, "the next command is answered")
    try:
        assert (hall.daemon.pid, hall.daemon.code) == (pid, None), hall.daemon.words[-600:]
    finally:
        if hall.daemon.code is not None:
            (hall.folder / "state" / "commands.json").unlink(missing_ok=True)
            hall.start_daemon()
            hall.until_ready()


def rampd(hall: Hall, *arguments: str, stdout: IO[str] | int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [*RAMPD, arguments[0], "--config", str(hall.site), *arguments[1:]]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=90, check=False)


def test_the_command_line_follows_a_command_to_its_end(hall: Hall, standing: Client) -> None:
    done = rampd(hall, "set", "62%", "--in", "2s", "--json")
    assert done.returncode == 0, done.stderr
    life = json.loads(done.stdout)
    assert [one["stage"] for one in life["stages"]] == ["received", "accepted", "started", "reached"]
    assert life == life["stages"][-1] | {"stages": life["stages"]}
    done = rampd(hall, "set", "200%", "--json")
    assert done.returncode == 1
    assert [one["stage"] for one in json.loads(done.stdout)["stages"]] == ["rejected"]
    done = rampd(hall, "status", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["status"]["state"] == "online"
    assert shown["state"]["requested_w"] == pytest.approx(0.62 * hall.config.site.max_mw * 1e6)
    done = rampd(hall, "set", "200%")
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["rejected"]
    for arguments in (["status"], ["status", "--json"], ["set", "200%"], ["set", "200%", "--json"]):
        with Path("/dev/full").open("w") as full:
            done = rampd(hall, *arguments, stdout=full)
        assert (done.returncode, done.stderr) == (1, "standard output: No space left on device\n"), arguments
    done = rampd(hall, "release")
    assert done.returncode == 0, done.stdout + done.stderr
    stand(hall, standing)


# What ends it.


def test_the_end_of_a_lease_returns_to_the_default(hall: Hall, standing: Client) -> None:
    command_id = standing.command("setpoint", percent=80, ramp_s=2, lease_s=4)
    ended = standing.until_stage(command_id, "ended", 15)
    assert ended["code"] == "lease_ended"
    stand(hall, standing)
    assert standing.state["command_id"] is None


def test_an_interval_begins_later_and_ends_its_lease(hall: Hall, standing: Client) -> None:
    begun_s = time.monotonic()
    command_id = standing.command("setpoint", percent=80, interval={"start": after(3), "end": after(7)})
    accepted = standing.until_stage(command_id, "accepted", 3)
    assert "begins in" in accepted["message"]
    standing.until_stage(command_id, "started", 10)
    assert time.monotonic() - begun_s > 2.5
    assert standing.until_stage(command_id, "ended", 15)["code"] == "lease_ended"
    assert 6 < time.monotonic() - begun_s < 12
    stand(hall, standing)


def test_release_returns_to_the_default(hall: Hall, dispatched: Client) -> None:
    live = dispatched.state["command_id"]
    dispatched.command("release")
    assert dispatched.until_stage(live, "ended", 5)["code"] == "replaced"
    stand(hall, dispatched)


def test_hold_stays_where_the_site_is(hall: Hall, dispatched: Client) -> None:
    before_w = dispatched.state["reference_w"]
    command_id = dispatched.command("hold")
    dispatched.until_stage(command_id, "reached", 5)
    state = dispatched.next_state()
    assert state["mode"] == "hold"
    assert abs(state["reference_w"] - before_w) < 0.02 * before_w
    held_w = state["reference_w"]
    assert not ever(lambda: dispatched.state["reference_w"] != held_w, 2)


def test_after_an_emergency_stop_nothing_rises_until_reset(hall: Hall, standing: Client) -> None:
    waiting = standing.command("setpoint", percent=90, interval={"start": after(3)})
    standing.until_stage(waiting, "accepted", 3)
    since_s = time.monotonic()
    stop = standing.command("estop")
    standing.until_stage(stop, "reached", 15)
    assert time.monotonic() - since_s < 8
    floor_w = standing.state["power_w"]
    assert floor_w < 0.25 * hall.config.site.max_mw * 1e6
    for verb in ("setpoint", "release", "hold"):
        refused = standing.command(verb, **({"percent": 90} if verb == "setpoint" else {}))
        assert refusal(standing, refused)["code"] == "estop", verb
    # Also what was accepted before the stop does not end it when its time comes.
    passed = ever(lambda: standing.state["power_w"] > 1.3 * floor_w, max(0.0, since_s + 5.5 - time.monotonic()))
    assert not passed, standing.acks(waiting)
    assert standing.next_state()["mode"] == "estop"
    assert standing.stages(waiting)[-1] in ("rejected", "failed", "ended")
    reset = standing.command("reset")
    standing.until_stage(reset, "accepted", 5)
    # By itself it comes back to where it was, slowly; a fresh command ends that.
    fresh = standing.command("setpoint", percent=100, ramp_s=3)
    standing.until_stage(fresh, "started", 5)
    standing.command("release")
    stand(hall, standing)


def test_the_mirror_shows_what_the_site_does(hall: Hall, dispatched: Client) -> None:
    """A building management system reads the site with software of its own, and cannot write."""
    mirror = [tool("mbpoll", "mbpoll"), "-m", "tcp", "-0", "-1", "-q", "-p", "1502", "-a", "1"]
    shown = subprocess.run(
        [*mirror, "-t", "4:int", "-B", "-r", "8", "-c", "1", hall.http_host],
        capture_output=True, text=True, check=True, timeout=20,
    ).stdout  # fmt: skip
    power_w = float(shown.rpartition(":")[2])
    assert power_w == pytest.approx(dispatched.next_state()["power_w"], rel=0.05), "a moment later"
    written = subprocess.run(
        [*mirror, "-r", "14", hall.http_host, "1"], check=False, capture_output=True, text=True, timeout=20
    )
    assert written.returncode != 0
    assert "Illegal function" in written.stderr


def test_as_far_as_it_goes_is_not_refused(hall: Hall, dispatched: Client) -> None:
    command_id = dispatched.command("setpoint", percent=5, best_effort=True, ramp_s=1)
    dispatched.until_stage(command_id, "started", 5)
    state = dispatched.next_state()
    assert state["best_effort"]
    dispatched.command("release")
    stand(hall, dispatched)


def test_telemetry_has_all_values_every_ten_seconds_and_changed_ones_between(hall: Hall, standing: Client) -> None:
    config = hall.config
    names = {
        **{f"tele/rack/{rack.id}": {"power_w", "limit_w"} for rack in config.racks},
        **{f"tele/pdu/{node.id}": {"power_w"} for node in config.nodes if node.map},
        **{f"tele/loop/{loop.id}": {"supply_c", "return_c", "flow_lpm"} for loop in config.loops},
        "tele/meter/poi": {"power_w", "frequency_hz"},
        "tele/site": {"power_w", "reference_w"},
    }
    since_s = standing.of("status")[-1].at + 5

    def whole(topic: str) -> list[Message]:
        return [m for m in standing.of(topic, since_s) if m.payload["values"].keys() >= names[topic]]

    for topic in names:
        until(lambda topic=topic: len(whole(topic)) >= 2, 25, f"all values on {topic}, twice")
    assert {m.topic for m in standing.messages if m.topic.startswith("tele/")} == set(names)
    for topic in names:
        for message in standing.of(topic):
            assert not message.retain
            assert set(message.payload) == {"at", "values"}
            for name, value in message.payload["values"].items():
                assert set(value) == {"v", "q"}, (topic, name)
                assert value["q"] in QUALITIES
                assert (value["v"] is None) == (value["q"] != "good")
    # Between the whole messages only what changed is said, and the dead-man of a rack at rest does not.
    for rack in config.racks:
        said_s = [m.at for m in standing.of(f"tele/rack/{rack.id}", since_s) if "fallback_w" in m.payload["values"]]
        assert all(8 < b - a < 13 for a, b in pairwise(said_s)), (rack.id, said_s)


# Over a restart.


def test_a_restart_keeps_ids_and_lease_and_moves_no_power(hall: Hall, dispatched: Client) -> None:
    live = dispatched.state["command_id"]
    goal_w = dispatched.state["requested_w"]
    until(lambda: live in (hall.folder / "state" / "commands.json").read_text(), 5, "the journal has the command")
    until(lambda: hall.settled(goal_w), 30, "the power stands at 80 %")
    began = len(hall.truth())
    for number, words in ((SIGTERM, ["stopping", "offline"]), (SIGKILL, ["offline"])):
        session = dispatched.of("status")[-1].payload["session"]
        stopped_s = time.monotonic()
        code = hall.daemon.stop(number)
        assert code == (0 if number == SIGTERM else -SIGKILL)
        until(lambda at=stopped_s: said(dispatched, "status", at, "state") == "offline", 10, "the status says offline")
        assert [m.payload["state"] for m in dispatched.of("status", stopped_s)] == words
        started_s = time.monotonic()
        hall.start_daemon()
        hall.until_ready()
        until(lambda at=started_s: dispatched.of("status", at), 10, "online again")
        status = dispatched.of("status", started_s)[-1].payload
        assert status["state"] == "online"
        assert status["session"] != session
        until(lambda at=started_s: dispatched.states(at), 10, "a state message")
        state = dispatched.next_state()
        assert (state["command_id"], state["requested_w"], state["mode"]) == (live, goal_w, "dispatched")
        before = len(dispatched.acks(live))
        dispatched.command("setpoint", percent=60, id=live)
        until(
            lambda n=before: "repeated" in {ack["code"] for ack in dispatched.acks(live)[n:]}, 5,
            "the repeated id is refused",
        )  # fmt: skip
        assert dispatched.next_state()["requested_w"] == goal_w
    lines = hall.truth()[began:]
    assert len(lines) > 20
    # The racks may be dealt out anew, and ASIC racks fall faster than they rise.
    assert [line for line in lines if abs(line["poi_w"] - goal_w) > 0.08 * goal_w] == [], "the power moved"


def test_a_restart_does_not_end_an_emergency_stop(hall: Hall, standing: Client) -> None:
    stop = standing.command("estop")
    standing.until_stage(stop, "reached", 15)
    until(lambda: stop in (hall.folder / "state" / "commands.json").read_text(), 5, "the journal has the stop")
    floor_w = hall.truth()[-1]["poi_w"]
    began = len(hall.truth())
    hall.daemon.stop(SIGKILL)
    started_s = time.monotonic()
    hall.start_daemon()
    hall.until_ready()
    until(lambda: standing.states(started_s), 10, "a state message")
    assert standing.next_state()["mode"] == "estop"
    refused = standing.command("setpoint", percent=90)
    assert refusal(standing, refused)["code"] == "estop"
    assert not ever(lambda: hall.truth()[-1]["poi_w"] > 1.2 * floor_w, 2)
    assert max(line["poi_w"] for line in hall.truth()[began:]) < 1.2 * floor_w
    standing.until_stage(standing.command("reset"), "accepted", 5)
    # The way back leads no higher than what was purchased before, since the last restart; a fresh command ends it.
    standing.until_stage(standing.command("setpoint", percent=100), "reached", 40)
    standing.command("release")
    stand(hall, standing)


def test_no_limit_was_broken(hall: Hall) -> None:
    assert hall.limits_broken() == []
