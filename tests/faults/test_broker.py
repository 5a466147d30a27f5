"""The broker dies, hangs, is not there, or speaks only the old protocol: the racks stay under control."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import pytest

from rampd.daemon import halls
from tests.bus import Client
from tests.hall import Hall
from tests.strict import Strict
from tests.waits import until

QUICK = {"up_mw_per_min = 0.198\ndown_mw_per_min = 0.198": "up_mw_per_min = 30\ndown_mw_per_min = 30"}
Facts = dict[str, Any]
STORIES: dict[str, Callable[[Hall], Facts]] = {}


def story(play: Callable[[Hall], Facts]) -> Callable[[Hall], Facts]:
    """A hall of four racks of its own; all stories run side by side."""
    STORIES[play.__name__] = play
    return play


def connected(hall: Hall) -> float:
    return hall.metrics().value("rampd_mqtt_connected")


def ticks(hall: Hall) -> float:
    return hall.metrics().value("rampd_tick_seconds_count")


def obeys(hall: Hall, percent: float) -> Facts:
    """A command after the trouble, from a client that comes new, until the plant truly follows."""
    goal_w = percent / 100 * hall.config.site.max_mw * 1e6
    with hall.client() as client:
        command_id = client.command("setpoint", percent=percent, ramp_s=2)
        client.until_stage(command_id, "started", 10)
        until(lambda: hall.settled(goal_w, ratio=0.02), 30, f"the purchase stands at {percent} %")
        return {"stages": client.stages(command_id), "status": client.of("status")[-1].payload["state"]}


def under_control(hall: Hall, since: int) -> bool:
    """Whether limits were written and the purchase stood at the default meanwhile."""
    default_w = hall.config.site.default_mw * 1e6
    return all(abs(line["poi_w"] - default_w) < 0.03 * default_w for line in hall.truth()[since:])


@story
def killed(hall: Hall) -> Facts:
    hall.start()
    pid = hall.daemon.pid
    until(lambda: hall.settled(hall.config.site.default_mw * 1e6, ratio=0.02), 30, "the site stands at its default")
    began = len(hall.truth())
    before = ticks(hall)
    hall.broker.stop(SIGKILL)
    until(lambda: connected(hall) == 0, 5, "the loss is noticed")
    ready = hall.ready
    until(lambda: ticks(hall) > before + 40, 10, "control goes on")
    held = under_control(hall, began)
    hall.start_broker()
    back_s = time.monotonic()
    until(lambda: connected(hall) == 1, 15, "the daemon is back on the broker")
    took_s = time.monotonic() - back_s
    return obeys(hall, 80) | {"same": hall.daemon.pid == pid, "ready": ready, "held": held, "took_s": took_s}


@story
def stopped(hall: Hall) -> Facts:
    hall.start()
    pid = hall.daemon.pid
    until(lambda: hall.settled(hall.config.site.default_mw * 1e6, ratio=0.02), 30, "the site stands at its default")
    began = len(hall.truth())
    hall.broker.send(SIGSTOP)
    stopped_s = time.monotonic()
    until(lambda: connected(hall) == 0, 20, "a broker that hangs is noticed")
    noticed_s = time.monotonic() - stopped_s
    ready, held = hall.ready, under_control(hall, began)
    hall.broker.send(SIGCONT)
    until(lambda: connected(hall) == 1, 25, "the daemon is back on the broker")
    return obeys(hall, 80) | {
        "same": hall.daemon.pid == pid, "ready": ready, "held": held, "noticed_s": noticed_s, "words": hall.daemon.words
    }  # fmt: skip


@story
def absent(hall: Hall) -> Facts:
    hall.start_sim()
    hall.start_daemon()
    hall.until_ready()
    until(lambda: hall.settled(hall.config.site.default_mw * 1e6, ratio=0.02), 30, "the site stands at its default")
    programmed = hall.metrics().value("rampd_writes_total", stage="programmed")
    off = connected(hall)
    hall.start_broker()
    until(lambda: connected(hall) == 1, 15, "the daemon finds the broker")
    return obeys(hall, 80) | {"programmed": programmed, "off": off}


@story
def old(hall: Hall) -> Facts:
    found = importlib.util.find_spec("amqtt")
    assert found is not None, "the 3.1.1-only broker is not installed: pip install 'amqtt>=0.12,<0.13'"
    conf = hall.folder / "amqtt.yaml"
    conf.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: {hall.broker_host}:{hall.config.mqtt.port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n",
        encoding="utf-8",
    )
    hall.start_sim()
    hall.start_other_broker([sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(conf)])
    hall.start_daemon()
    hall.until_ready()
    until(lambda: connected(hall) == 1, 15, "the daemon is on the broker")
    with hall.client(version=4) as client:
        until(lambda: client.of("state"), 10, "a state message")
        command_id = client.command("setpoint", percent=80, ramp_s=2)
        client.until_stage(command_id, "started", 10)
        goal_w = 0.8 * hall.config.site.max_mw * 1e6
        until(lambda: hall.settled(goal_w, ratio=0.02), 30, "the purchase stands at 80 %")
        status = client.of("status")[-1].payload["state"]
        return {"status": status, "stages": client.stages(command_id), "words": hall.daemon.words}


@story
def strict(hall: Hall) -> Facts:
    """A broker that closes the connection over an acknowledgement to a topic that it does not grant."""
    port = hall.config.mqtt.port + 1
    hall.start_sim()
    hall.start_broker(port)
    with Strict((hall.broker_host, port - 1), (hall.broker_host, port), "not/granted") as wire:
        hall.start_daemon()
        hall.until_ready()
        until(lambda: connected(hall) == 1, 15, "the daemon is on the broker")
        with hall.client() as client:
            command_id = client.command("hold", reply_to="not/granted")
            until(lambda: client.state["command_id"] == command_id, 15, "the command is followed all the same")
            until(lambda: client.stages(command_id)[-1:] == ["reached"], 30, "it is answered on the site's own topic")
            answers, cuts = client.stages(command_id), wire.cuts
            dropped = hall.metrics().value("rampd_acks_dropped_total")
        found = obeys(hall, 80)
        return found | {
            "answers": answers, "cuts": cuts, "after": wire.cuts, "dropped": dropped, "words": hall.daemon.words
        }  # fmt: skip


@story
def in_flight(hall: Hall) -> Facts:
    """The broker dies with an acknowledgement to the sender's own topic on its way."""
    here, there = (hall.broker_host, hall.config.mqtt.port), (hall.broker_host, hall.config.mqtt.port + 1)
    hall.start_sim()
    hall.start_broker(there[1])
    # A gate: the daemon finds the new broker only once somebody listens there.
    with Strict(here, there, "never/named"):
        hall.start_daemon()
        hall.until_ready()
        until(lambda: connected(hall) == 1, 15, "the daemon is on the broker")
        with Client(*there, hall.root) as client:
            command_id = client.command("hold", reply_to="desk/answers")
            hall.broker.send(SIGSTOP)
            until(lambda: hall.metrics().value("rampd_acks_pending") > 0, 20, "an acknowledgement is on its way")
    hall.broker.stop(SIGKILL)
    answers = [message.payload["stage"] for message in client.of("desk/answers")]
    hall.start_broker(there[1])
    with Client(*there, hall.root) as client, Strict(here, there, "never/named"):
        client.until_stage(command_id, "reached", 30)
        answers += client.stages(command_id)
        dropped = hall.metrics().value("rampd_acks_dropped_total")
        return obeys(hall, 80) | {"answers": answers, "dropped": dropped, "words": hall.daemon.words}


def play(run: Callable[[Hall], Facts], folder: Path) -> Facts:
    with Hall(folder, racks=halls.SMALLEST, columns={"asic.up_kw_per_s": "109"}, edit=QUICK) as hall:
        return run(hall) | {"broken": hall.limits_broken(), "code": hall.daemon.code}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Facts]]]:
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {name: pool.submit(play, run, tmp_path_factory.mktemp(name)) for name, run in STORIES.items()}


@pytest.mark.parametrize("name", ["killed", "stopped", "absent", "old", "strict", "in_flight"])
def test_the_site_obeys_again_and_no_limit_was_broken(stories: dict[str, Future[Facts]], name: str) -> None:
    facts = stories[name].result()
    assert facts["code"] is None
    assert facts["broken"] == []
    assert facts["status"] == "online"
    assert facts["stages"][:3] == ["received", "accepted", "started"]


def test_control_goes_on_without_the_broker(stories: dict[str, Future[Facts]]) -> None:
    for name in ("killed", "stopped"):
        facts = stories[name].result()
        assert facts["same"], "the daemon was started anew"
        assert facts["ready"] == (200, "ok")
        assert facts["held"], "the purchase left the default"
    assert stories["killed"].result()["took_s"] < 10


def test_a_broker_that_hangs_is_noticed_and_said(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["stopped"].result()
    assert facts["noticed_s"] < 15
    assert facts["words"].count("trying on") >= 1


def test_a_site_without_a_broker_is_controlled(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["absent"].result()
    assert facts["off"] == 0
    assert facts["programmed"] >= 4, "every rack has its dead-man"


def test_an_answer_that_ends_a_session_ends_no_other(stories: dict[str, Future[Facts]]) -> None:
    facts = stories["strict"].result()
    assert facts["cuts"] == facts["after"] == 1
    assert "'not/granted': the site's own topic has it next" in facts["words"]


@pytest.mark.parametrize("name", ["strict", "in_flight"])
def test_an_answer_on_its_way_when_a_session_ends_is_told_on_the_sites_own_topic(
    stories: dict[str, Future[Facts]], name: str
) -> None:
    facts = stories[name].result()
    assert facts["dropped"] == 0
    assert list(dict.fromkeys(facts["answers"])) == ["received", "accepted", "started", "reached"]
    assert "the site's own topic has it next" in facts["words"]


def test_the_old_protocol_is_found_by_itself(stories: dict[str, Future[Facts]]) -> None:
    assert "connected, MQTT 3.1.1" in stories["old"].result()["words"]
