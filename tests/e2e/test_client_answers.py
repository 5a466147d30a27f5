"""Clients of a site on whose topics somebody else speaks: one clear line and an exit code, whatever it says."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rampd.daemon import messages, onsite
from rampd.daemon.cli import UNAVAILABLE
from rampd.daemon.client import STATE, Unavailable
from rampd.daemon.metrics import RACK_STATES
from tests.bus import Client
from tests.hall import RAMPD, Hall
from tests.waits import until


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """A site and its broker; rampd does not run."""
    with Hall(tmp_path_factory.mktemp("answers")) as hall:
        hall.start_broker()
        yield hall


def told(hall: Hall, words: str, answer: Callable[[Client], None]) -> str:
    """What a command says that fails as where nobody answers."""
    command = [*RAMPD, *words.format(site=f"--config {hall.site}", path=hall.site).split()]
    with hall.client() as client, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        answer(client)
        _, said = run.communicate(timeout=30)
    assert run.returncode == UNAVAILABLE, said
    return said


@pytest.mark.parametrize(("words", "asked", "answer"), [
    ("set 40% {site}", "cmd/setpoint", "ack"), ("reset --json {site}", "cmd/reset", "ack"),
    ("why {site}", "ask/why", "answer"),
])  # fmt: skip
def test_an_answer_that_is_none(hall: Hall, words: str, asked: str, answer: str) -> None:
    def speak(client: Client) -> None:
        until(lambda: client.of(asked), 20, f"rampd {words} asks")
        client.publish(f"{answer}/{client.of(asked)[0].payload['id']}", b"hello")

    said = told(hall, words, speak)
    assert said.startswith(f"{hall.root}/{answer}/")
    assert said.count("\n") == 1
    assert ": no answer of this rampd: b'hello'; " in said


@pytest.mark.parametrize("words", ["status {site}", "qualify --site {path} --yes"])
def test_a_state_that_is_none(hall: Hall, words: str) -> None:
    with hall.client() as client:
        client.publish("state", b"hello", retain=True)
        client.publish("status", b'{"state": "online"}', retain=True)
    said = told(hall, words, lambda _: None)
    assert said.startswith(f"{hall.root}/state: no answer of this rampd: b'hello'; ")
    assert said.count("\n") == 1


def calm(hall: Hall, **changes: Any) -> str:
    """The state of a site that may be stepped."""
    stands_w = hall.config.site.default_mw * 1e6
    said: dict[str, Any] = {name: "x" if kind is str else 0.0 for name, kind in STATE.items()} | {
        "mode": "default", "envelope": "normal", "command_id": None, "power_w": stands_w, "reference_w": stands_w,
        "regulation_w": 0.0, "response_w": 0.0, "compliant": True, "failsafe": [],
        "racks": dict.fromkeys(RACK_STATES, 0),
    }  # fmt: skip
    return json.dumps(said | changes)


def stepped(hall: Hall, monkeypatch: pytest.MonkeyPatch, taken: Callable[[Client, str], None]) -> tuple[str, list[Any]]:
    """What ends `rampd qualify --site` where `taken` happens after its first step, and what it sent.

    That is a topic, the end of its id, and whether it is about the first step.
    """
    for name, seconds in (("BEFORE_S", 0.1), ("RAMP_S", 0.5), ("HOLD_S", 2.0)):
        monkeypatch.setattr(onsite, name, seconds)
    with hall.client() as client, ThreadPoolExecutor(1) as other:
        client.publish("state", calm(hall), retain=True)
        client.publish("status", b'{"state": "online"}', retain=True)
        running = other.submit(asyncio.run, onsite.run(hall.config, percent=5.0, confirm=lambda _: True))
        while not (running.done() or client.of("cmd/setpoint")):
            client.publish("tele/site", json.dumps({"values": {"power_w": {"v": 1e6}}}))
        name = client.of("cmd/setpoint")[0].payload["id"]
        client.publish(f"ack/{name}", json.dumps(messages.ack(name, "accepted", power_w=None)))
        taken(client, name)
        with pytest.raises((onsite.Refused, Unavailable)) as error:
            running.result(60)
        client.publish("done", b"{}")
        until(lambda: client.of("done"), 10, "all was heard that was sent before")
        sent = [(one.topic, one.payload) for one in client.messages if one.topic.startswith("cmd/")]
    return str(error.value), [(topic, one["id"].split("-")[-1], one.get("command_id") == name) for topic, one in sent]


def test_a_step_that_is_not_heard_to_its_end_is_released_by_its_id(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the state said last: the site may be somebody else's by now."""
    why, sent = stepped(hall, monkeypatch, lambda client, _: client.publish("state", b"hello"))
    assert "no answer of this rampd" in why
    assert sent == [("cmd/setpoint", "down", False), ("cmd/release", "end", True)]


def test_a_site_that_somebody_takes_meanwhile_is_left_to_them(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(client: Client, name: str) -> None:
        client.publish("state", calm(hall, command_id="theirs"))
        client.publish(f"ack/{name}", json.dumps(messages.ack(name, "ended", code="replaced", power_w=None)))

    why, sent = stepped(hall, monkeypatch, take)
    assert "has ended the step: replaced" in why
    assert sent == [("cmd/setpoint", "down", False)]
