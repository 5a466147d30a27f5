"""A stop is never lost: whoever publishes or reads when it comes, ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import uvloop

from rampd.daemon import demo
from rampd.daemon.mqtt import connect, publish
from tests.hall import Hall

ROUNDS = 400
WITHIN_S = 5.0


async def chatter(client: aiomqtt.Client) -> None:
    while True:
        await publish(client, "chatter", b"x")


async def ended(work: Callable[[], Coroutine[Any, Any, None]], seed: int) -> int:
    """How many of such tasks end when they are cancelled at any moment."""
    pause, found = random.Random(seed), 0
    for _ in range(ROUNDS):
        task = asyncio.create_task(work())
        await asyncio.sleep(pause.uniform(0.0, 0.003))
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=WITHIN_S)
        found += len(done)
        if not done:
            return found
    return found


def test_a_task_that_publishes_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    with Hall(tmp_path, racks=4) as hall:
        hall.start_broker()

        async def run() -> int:
            async with connect(hall.config.mqtt, name="stop") as (client, _):
                return await ended(lambda: chatter(client), 1)

        assert uvloop.run(run()) == ROUNDS


def test_the_demo_s_reader_ends_when_it_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "READ_S", 0.0)
    with Hall(tmp_path, racks=4) as hall:
        hall.start_sim()
        assert uvloop.run(ended(demo.Dispatch(hall.config).read_meter, 2)) == ROUNDS
