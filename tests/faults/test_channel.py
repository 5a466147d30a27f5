"""The command channel falls silent while a command holds: flat, then the default, never above the present.

A real broker dies or hangs; what counts is the purchase that the plant truly draws.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import pytest

from rampd.daemon import halls
from tests.bus import Client
from tests.hall import Hall
from tests.waits import until

GRACE_S = 3.0
REGULATION_MW = 0.1
Facts = dict[str, Any]
STORIES: dict[str, tuple[float, Callable[[Hall], Facts]]] = {}


def story(hold_max_s: float) -> Callable[[Callable[[Hall], Facts]], Callable[[Hall], Facts]]:
    """A hall of four racks of its own that waits so long for its channel; all stories run side by side."""

    def add(play: Callable[[Hall], Facts]) -> Callable[[Hall], Facts]:
        STORIES[play.__name__] = hold_max_s, play
        return play

    return add


def lost_s(hall: Hall) -> float:
    return hall.metrics().value("rampd_channel_lost_seconds")


def dispatched(hall: Hall, client: Client, lease_s: float) -> str:
    """The site at 70 %, by a command whose life is told."""
    command_id = client.command("setpoint", percent=70, ramp_s=2, lease_s=lease_s)
    client.until_stage(command_id, "started", 10)
    until(lambda: hall.settled(level_w(hall), ratio=0.02), 30, "the purchase stands at 70 %")
    return command_id


def level_w(hall: Hall) -> float:
    return 0.7 * hall.config.site.max_mw * 1e6


def most_w(hall: Hall, since: int) -> float:
    return float(max(line["poi_w"] for line in hall.truth()[since:]))


def least_w(hall: Hall, since: int) -> float:
    return float(min(line["poi_w"] for line in hall.truth()[since:]))


@story(hold_max_s=120)
def comes_back(hall: Hall) -> Facts:
    """Longer away than the lease was to run, shorter than the hold."""
    hall.start()
    with hall.client() as client:
        command_id = dispatched(hall, client, lease_s=12)
        began = len(hall.truth())
        hall.broker.stop(SIGKILL)
        until(lambda: lost_s(hall) > 14, 40, "the channel is lost for longer than the lease")
        held = (least_w(hall, began), most_w(hall, began))
        hall.start_broker()
        client.connected(20)
        until(lambda: client.states() and client.state["channel"] == "up", 20, "the channel is up")
        until(lambda: client.state["command_id"] == command_id, 5, "the command goes on")
        ended = until(lambda: [ack for ack in client.acks(command_id) if ack["stage"] == "ended"], 20, "its lease ends")
    return {"held": held, "code": ended[-1]["code"], "words": hall.daemon.words}


@story(hold_max_s=8)
def stays_away(hall: Hall) -> Facts:
    """Hangs for longer than the hold; the site file allows a raise after a lease, but not after a loss."""
    hall.start()
    with hall.client() as client:
        command_id = dispatched(hall, client, lease_s=300)
        began = len(hall.truth())
        hall.broker.send(SIGSTOP)
        until(lambda: lost_s(hall) > 14, 40, "the channel is lost for longer than the hold")
        hall.broker.send(SIGCONT)
        client.connected(20)
        ended = until(
            lambda: [ack for ack in client.acks(command_id) if ack["stage"] == "ended"], 25, "its end is said"
        )
        until(lambda: client.state["channel"] == "fresh_command", 20, "the channel is heard again")
        state = client.next_state()
        held = (least_w(hall, began), most_w(hall, began))
        fresh = client.command("setpoint", percent=90, ramp_s=2)
        client.until_stage(fresh, "started", 10)
        until(lambda: hall.settled(0.9 * hall.config.site.max_mw * 1e6, ratio=0.02), 30, "it follows again")
        after = client.next_state()
    return {
        "held": held, "code": ended[-1]["code"], "mode": state["mode"], "after": after["channel"],
        "words": hall.daemon.words,
    }  # fmt: skip


def regulate(hall: Hall, power: str) -> list[str]:
    """The stages of a signal, as `rampd regulate` shows them."""
    command = [
        sys.executable,
        "-m",
        "rampd.daemon.cli",
        "regulate",
        "--config",
        str(hall.site),
        "--lease",
        "12s",
        power,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split()[1] for line in done.stdout.splitlines()]


@story(hold_max_s=120)
def regulated_down(hall: Hall) -> Facts:
    """The lease of a set point goes on, that of a signal beside it was over long ago: half of what is offered."""
    hall.start()
    with hall.client() as client:
        dispatched(hall, client, lease_s=300)
        stages = regulate(hall, "-50%")
        low_w = level_w(hall) - 0.5e6 * REGULATION_MW
        until(lambda: hall.settled(low_w, ratio=0.02), 10, "it is regulated down")
        began = len(hall.truth())
        hall.broker.stop(SIGKILL)
        until(lambda: lost_s(hall) > 25, 50, "the channel is lost for longer than the signal lives and goes back")
        hall.start_broker()
        client.connected(20)
        until(lambda: client.states() and client.state["channel"] == "fresh_command", 20, "it waits for a word")
        held = (least_w(hall, began), most_w(hall, began))
        regulate(hall, "0W")
        until(lambda: hall.settled(level_w(hall), ratio=0.02), 20, "a fresh signal is followed")
        until(lambda: client.state["channel"] == "up", 5, "nothing is waited for")
    return {"held": held, "low_w": low_w, "stages": stages, "words": hall.daemon.words}


def play(hold_max_s: float, run: Callable[[Hall], Facts], folder: Path) -> Facts:
    edit = {
        "up_mw_per_min = 0.198\ndown_mw_per_min = 0.198": "up_mw_per_min = 30\ndown_mw_per_min = 30",
        "deadman_s = 30": f"deadman_s = 30\nchannel_grace_s = {GRACE_S:g}\nhold_max_s = {hold_max_s:g}",
        "[normal]": f"[grid]\nregulation_mw = {REGULATION_MW}\n\n[normal]",
    }
    with Hall(folder, racks=halls.SMALLEST, columns={"asic.up_kw_per_s": "109"}, edit=edit) as hall:
        assert hall.config.lease.raise_after
        return run(hall) | {"level_w": level_w(hall), "broken": hall.limits_broken(), "exit": hall.daemon.code}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Facts]]]:
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {
            name: pool.submit(play, hold_max_s, run, tmp_path_factory.mktemp(name))
            for name, (hold_max_s, run) in STORIES.items()
        }


@pytest.mark.parametrize("name", ["comes_back", "stays_away"])
def test_the_purchase_stays_where_it_was(stories: dict[str, Future[Facts]], name: str) -> None:
    facts = stories[name].result()
    assert (facts["exit"], facts["broken"]) == (None, [])
    least, most = facts["held"]
    assert 0.94 * facts["level_w"] < least
    assert most < 1.06 * facts["level_w"]
    assert facts["words"].count("channel lost") == 1


def test_what_was_regulated_down_stays_down(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["regulated_down"].result()
    assert (facts["exit"], facts["broken"], facts["stages"]) == (None, [], ["received", "accepted"])
    least, most = facts["held"]
    assert 0.97 * facts["low_w"] < least
    # The whole way back to the set point is a sixth of that.
    assert most < 1.03 * facts["low_w"]
    assert "is held where it has brought the purchase" in facts["words"]


def test_the_lease_goes_on_where_it_stood(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["comes_back"].result()
    assert facts["code"] == "lease_ended"
    assert "goes on" in facts["words"]


def test_what_was_waited_for_too_long_needs_a_fresh_command(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["stays_away"].result()
    assert (facts["code"], facts["mode"], facts["after"]) == ("channel_lost", "default", "up")
    assert "a fresh one is needed" in facts["words"]
