"""A stop is never lost: whoever publishes when it comes, ends."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiomqtt
import uvloop

from rampd.daemon.mqtt import connect, publish
from tests.hall import Hall

ROUNDS = 400
WITHIN_S = 5.0


async def chatter(client: aiomqtt.Client) -> None:
    while True:
        await publish(client, "chatter", b"x")


async def ended(client: aiomqtt.Client, seed: int) -> int:
    """How many of the publishing tasks end when they are cancelled at any moment."""
    pause, found = random.Random(seed), 0
    for _ in range(ROUNDS):
        task = asyncio.create_task(chatter(client))
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
                return await ended(client, 1)

        assert uvloop.run(run()) == ROUNDS
