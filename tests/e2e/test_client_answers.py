"""Clients of a site on whose topics somebody else speaks: one clear line and an exit code, whatever it says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from rampd.daemon.cli import UNAVAILABLE
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
