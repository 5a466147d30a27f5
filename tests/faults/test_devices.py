"""Devices fail one after another under a running daemon: it goes on, says what it does not know, holds every limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL
from statistics import mean

import pytest

from rampd.daemon import deadman
from rampd.drivers import maps
from tests.bus import Client
from tests.hall import Hall
from tests.waits import ever, until

# The hall's time at which faults begin: by then daemon and client are up, also on a busy machine.
AT = 20.0
BACK_S = 5.0
NORMAL = "up_mw_per_min = {0}\ndown_mw_per_min = {0}"
STORIES: dict[str, tuple[Callable[[Path], Hall], Callable[[Hall, Client], None]]] = {}


def story(make: Callable[[Path], Hall]) -> Callable[[Callable[[Hall, Client], None]], Callable[[Hall, Client], None]]:
    """A run with a hall of its own; all of them run side by side, each is a test."""

    def note(play: Callable[[Hall, Client], None]) -> Callable[[Hall, Client], None]:
        STORIES[play.__name__] = (make, play)
        return play

    return note


def play(make: Callable[[Path], Hall], run: Callable[[Hall, Client], None], folder: Path) -> None:
    with make(folder) as hall:
        hall.start()
        with hall.client() as client:
            until(lambda: client.of("state"), 10, "the first state message")
            run(hall, client)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {
            name: pool.submit(play, make, run, tmp_path_factory.mktemp(name)) for name, (make, run) in STORIES.items()
        }


@pytest.mark.parametrize(
    "name",
    [
        "a_rack_a_pdu_and_a_cooling_unit_are_down", "three_racks_are_silent_during_a_dispatch",
        "racks_do_not_keep_what_was_written", "the_site_meter_is_gone_and_then_without_a_value",
        "rampd_dies_and_the_dead_men_act",
    ],
)  # fmt: skip
def test_when(stories: dict[str, Future[None]], name: str) -> None:
    assert set(stories) == set(STORIES)
    stories[name].result()


def quick(racks: int) -> dict[str, str]:
    """A normal ramp that does not keep a test waiting."""
    return {NORMAL.format({12: "0.584", 4: "0.198"}[racks]): NORMAL.format("30")}


def quality(client: Client, topic: str, name: str) -> tuple[bool, str] | None:
    """Whether the newest message with a value has it, and the quality it says."""
    for message in reversed(client.of(topic)):
        if name in message.payload["values"]:
            found = message.payload["values"][name]
            return found["v"] is not None, found["q"]
    return None


def racks_are(client: Client, **counts: int) -> bool:
    return all(client.state["racks"][state] == count for state, count in counts.items())


def same_process(hall: Hall, pid: int) -> None:
    assert (hall.daemon.pid, hall.daemon.code) == (pid, None), hall.daemon.words[-1000:]


# Feeding rack, tree and cooling.


@story(
    lambda folder: Hall(
        folder, edit=quick(12) | {"meter_stale_s = 2.0": "meter_stale_s = 2.0\nloop_stale_s = 4.0"},
        columns={"asic.up_kw_per_s": "109"},
        # The PDUs carry less than their racks: there is a limit to hold.
        node_columns={"pdu.derating": "0.7"},
        faults=f"""
[[fault]]
device = ["pdu-001", "asic-012", "gpu-loop-1"]
kind = "down"
at_s = {AT}
for_s = 9.0
""",
    )
)  # fmt: skip
def a_rack_a_pdu_and_a_cooling_unit_are_down(hall: Hall, client: Client) -> None:
    pid = hall.daemon.pid
    until(lambda: racks_are(client, available=12) and not client.state["failsafe"], AT - 1, "all is well")
    assert hall.metric("rampd_loop_supply_celsius", loop="gpu-loop-1") is not None
    hall.until_time(AT)
    for device in ("pdu-001", "asic-012", "gpu-loop-1"):
        until(lambda device=device: hall.metric("rampd_device_up", device=device) == 0, 4, f"{device} is not up")
    until(lambda: racks_are(client, available=11), 8, "one rack is not counted on")
    until(lambda: hall.metric("rampd_rack_power_watts", rack="asic-012") is None, 4, "its power is not shown")
    shown = hall.metrics()
    assert [s.labels["state"] for s in shown.having("rampd_rack_state", rack="asic-012") if s.value] != ["available"]
    assert shown.get("rampd_rack_power_watts", rack="asic-011") is not None
    assert shown.get("rampd_loop_supply_celsius", loop="gpu-loop-1") is None
    assert shown.value("rampd_failsafe_active", scope="gpu-loop-1", reason="cdu_stale") > 0
    found = {(one["scope"], one["reason"]): one["action"] for one in client.next_state()["failsafe"]}
    assert found["gpu-loop-1", "cdu_stale"] == "no_raise"
    assert ("racks", "stale") in found
    for topic in ("tele/rack/asic-012", "tele/pdu/pdu-001"):
        until(lambda topic=topic: quality(client, topic, "power_w") == (False, "stale"), 4, f"{topic} says stale")
    assert hall.ready == (200, "ok")
    until(lambda: hall.since_s > AT + 9, 10, "the end of the faults")
    for device in ("pdu-001", "asic-012", "gpu-loop-1"):
        until(lambda device=device: hall.metric("rampd_device_up", device=device) == 1, BACK_S, f"{device} is back")
    until(lambda: racks_are(client, available=12), BACK_S, "all racks are back")
    until(lambda: quality(client, "tele/rack/asic-012", "power_w") == (True, "good"), BACK_S, "its power is back")
    until(lambda: not client.state["failsafe"], 20, "the failsafe conditions have cleared")
    same_process(hall, pid)
    assert hall.limits_broken(since_s=10) == []


# Racks that cannot be moved.


@story(
    lambda folder: Hall(
        folder, edit=quick(12), columns={"asic.up_kw_per_s": "109"},
        faults=f"""
[[fault]]
device = ["asic-010", "asic-011", "asic-012"]
kind = "silent"
at_s = {AT}
for_s = 20.0
""",
    )
)  # fmt: skip
def three_racks_are_silent_during_a_dispatch(hall: Hall, client: Client) -> None:
    pid = hall.daemon.pid
    until(lambda: racks_are(client, available=12) and not client.state["failsafe"], AT - 1, "all is well")
    hall.until_time(AT + 0.3)
    goal_w = 0.6 * hall.config.site.max_mw * 1e6
    begun_s = time.monotonic()
    command_id = client.command("setpoint", percent=60, ramp_s=5)
    until(lambda: hall.settled(goal_w, ratio=0.03), 14, "the other racks deliver the dispatch")
    assert time.monotonic() - begun_s < 14
    assert hall.since_s < AT + 20, "they delivered it without the silent ones"
    until(lambda: client.state["racks"]["available"] == 9, 8, "three racks are not counted on")
    assert hall.ready == (200, "ok")
    assert "rejected" not in client.stages(command_id)
    until(lambda: hall.since_s > AT + 20, 21, "the end of the faults")
    until(lambda: racks_are(client, available=12), BACK_S, "all racks are back")
    until(lambda: hall.settled(goal_w, ratio=0.03), 15, "the purchase stands where it was asked for")
    same_process(hall, pid)
    assert hall.limits_broken() == []


@story(
    lambda folder: Hall(
        folder, edit=quick(12), columns={"asic.up_kw_per_s": "109"},
        faults=f"""
[[fault]]
device = "asic-006"
kind = "writes_ignored"
at_s = {AT}
for_s = 15.0

[[fault]]
device = "asic-007"
kind = "writes_reverted"
revert_s = 1.0
at_s = {AT}
for_s = 15.0

[[fault]]
device = "gpu-001"
kind = "second_writer"
value_w = 60000.0
revert_s = 2.3
at_s = {AT}
for_s = 15.0

[[fault]]
device = "gpu-002"
kind = "reboot"
at_s = {AT + 6}
for_s = 2.0
""",
    )
)  # fmt: skip
def racks_do_not_keep_what_was_written(hall: Hall, client: Client) -> None:
    pid = hall.daemon.pid
    until(lambda: racks_are(client, available=12) and not client.state["failsafe"], AT - 1, "all is well")
    programmed = hall.metrics().value("rampd_writes_total", stage="programmed")
    assert programmed == 12
    hall.until_time(AT + 0.3)
    goal_w = 0.6 * hall.config.site.max_mw * 1e6
    client.command("setpoint", percent=60, ramp_s=5)
    until(
        lambda: hall.metric("rampd_rack_state", rack="asic-006", state="unresponsive") == 1,
        8,
        "the deaf rack is found out",
    )
    until(lambda: hall.metrics().value("rampd_writes_total", stage="foreign") >= 2, 14, "foreign limits are taken back")
    assert hall.metrics().value("rampd_writes_total", stage="ignored") >= 1
    until(lambda: "gpu-001: limit reads" in hall.daemon.words, 5, "the second writer is named")
    # It pulls at the purchase every other second; the mean is what was asked for.
    until(
        lambda: abs(mean(line["poi_w"] for line in hall.truth()[-50:]) - goal_w) < 0.05 * goal_w, 12, "it is delivered"
    )
    assert hall.since_s < AT + 16, "it was delivered in spite of the faults"
    until(
        lambda: hall.metrics().value("rampd_writes_total", stage="programmed") > programmed,
        12,
        "the dead-man is set anew",
    )
    until(lambda: hall.since_s > AT + 15, 16, "the end of the faults")
    until(lambda: racks_are(client, available=12), BACK_S, "all racks are back")
    until(lambda: hall.settled(goal_w, ratio=0.03), 15, "the purchase stands where it was asked for")
    since_s = time.monotonic() - 11

    def shown(rack: str, name: str) -> float | None:
        values = [m.payload["values"].get(name) for m in client.of(f"tele/rack/{rack}", since_s)]
        found = [value["v"] for value in values if value is not None and value["q"] == "good"]
        return found[-1] if found else None

    racks = [(rack, maps.load(rack.map, hall.config.map_folder)) for rack in hall.config.racks]
    after_s = deadman.times_s(hall.config, racks)
    for rack, fallback_w in (("gpu-002", 66e3), ("asic-006", 0.0)):
        until(lambda rack=rack: shown(rack, "deadman_s") == after_s[rack], 12, f"{rack} has its dead-man")
        until(lambda rack=rack, w=fallback_w: shown(rack, "fallback_w") == w, 12, f"{rack} has its fallback")
    same_process(hall, pid)
    assert hall.limits_broken() == []


# The eye of the control.


@story(
    lambda folder: Hall(
        folder, racks=4, edit=quick(4), columns={"asic.up_kw_per_s": "109"},
        faults=f"""
[[fault]]
device = "poi"
kind = "down"
at_s = {AT}
for_s = 6.0

[[fault]]
device = "poi"
kind = "sentinel"
at_s = {AT + 18}
for_s = 5.0
""",
    )
)  # fmt: skip
def the_site_meter_is_gone_and_then_without_a_value(hall: Hall, client: Client) -> None:
    pid = hall.daemon.pid
    until(lambda: not client.state["failsafe"], AT - 6, "all is well")
    standing_w = 0.7 * hall.config.site.max_mw * 1e6
    client.command("setpoint", percent=70, ramp_s=2)
    until(lambda: hall.settled(standing_w, ratio=0.03, for_s=1), AT - hall.since_s - 0.5, "the purchase stands at 70 %")
    hall.until_time(AT)
    began = len(hall.truth())
    until(lambda: hall.ready[0] == 503, 4, "it is not ready")
    assert hall.ready == (503, "the site meter is stale")
    shown = hall.metrics()
    assert shown.get("rampd_site_power_watts") is None
    assert shown.get("rampd_frequency_hertz") is None
    assert shown.value("rampd_device_up", device="poi") == 0
    assert shown.value("rampd_failsafe_active", scope="site", reason="meter_lost") > 0
    state = client.next_state()
    assert state["power_w"] is None
    assert state["frequency_hz"] is None
    assert not state["compliant"]
    assert [(one["scope"], one["reason"], one["action"]) for one in state["failsafe"]] == [
        ("site", "meter_lost", "no_raise")
    ]
    # Blind, it does not raise, whatever is asked.
    client.command("setpoint", percent=90, ramp_s=1)
    assert not ever(lambda: hall.truth()[-1]["poi_w"] > 1.03 * standing_w, AT + 5.8 - hall.since_s)
    assert min(line["poi_w"] for line in hall.truth()[began:]) > 0.95 * standing_w, "it did not drop the load either"
    assert quality(client, "tele/meter/poi", "power_w") == (False, "stale")
    assert quality(client, "tele/site", "power_w") == (False, "stale")
    until(lambda: hall.since_s > AT + 6, 7, "the end of the fault")
    until(lambda: hall.ready[0] == 200, BACK_S, "it is ready again")
    until(lambda: hall.settled(0.9 * hall.config.site.max_mw * 1e6, ratio=0.03), 11, "then it goes where it was asked")
    hall.until_time(AT + 18)
    until(lambda: quality(client, "tele/meter/poi", "power_w") == (False, "sentinel"), 4, "the sentinel is no value")
    assert hall.ready[0] == 503
    assert hall.metric("rampd_site_power_watts") is None
    assert hall.metric("rampd_device_up", device="poi") == 1, "it does answer"
    until(lambda: hall.since_s > AT + 23, 7, "the end of the fault")
    until(lambda: hall.ready[0] == 200, BACK_S, "it is ready again")
    assert hall.metric("rampd_site_power_watts") is not None
    same_process(hall, pid)
    assert hall.limits_broken() == []


# Silence means safe.


@story(
    lambda folder: Hall(
        folder, racks=4, edit=quick(4) | {"deadman_s = 30": "deadman_s = 4"}, columns={"asic.up_kw_per_s": "109"}
    )
)
def rampd_dies_and_the_dead_men_act(hall: Hall, client: Client) -> None:
    until(lambda: not client.state["failsafe"], 20, "all is well")
    goal_w = 0.4 * hall.config.site.max_mw * 1e6
    client.command("setpoint", percent=40, ramp_s=2)
    until(lambda: hall.settled(goal_w, ratio=0.03), 25, "the purchase stands at 40 %")
    # Held, and refreshed, for longer than a dead-man takes.
    fallen = {"min": 0.0, "max": 66e3}
    assert not ever(lambda: hall.truth()[-1]["limits"] == fallen, 6)
    hall.daemon.stop(SIGKILL)
    died_s = time.monotonic()
    until(lambda: hall.truth()[-1]["limits"] == fallen, 8, "every rack is at its fallback")
    assert 2.0 < time.monotonic() - died_s < 6.0, "the dead-man time, less what had passed since the last write"
    hall.start_daemon()
    hall.until_ready()
    until(lambda: hall.settled(hall.config.site.default_mw * 1e6, ratio=0.03), 40, "the site is back at its default")
    assert hall.limits_broken() == []
