"""A stop that comes while the session with the broker fails: the way to the broker ends, and does not begin again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest

from rampd.daemon import mqtt
from rampd.daemon.mqtt import Bus
from rampd.daemon.show import Show
from rampd.daemon.site import Composed
from tests.office import Office


@asynccontextmanager
async def connect(*_: object, **__: object) -> AsyncIterator[tuple[None, bool]]:
    yield None, True


def test_it_ends(office: Office, composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = 0

    async def fails_when_stopped() -> None:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            if sessions == 1:
                raise aiomqtt.MqttError("the broker stops as well") from None
            raise

    async def serve(*_: object) -> None:
        nonlocal sessions
        sessions += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_when_stopped())

    monkeypatch.setattr(mqtt, "connect", connect)
    monkeypatch.setattr(Bus, "_serve", serve)
    bus = Bus(composed.config.mqtt, "desk", Show(composed, office.inputs, office.desk), lambda: office.out, {})

    async def run() -> bool:
        task = asyncio.create_task(bus.run())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task], timeout=2.0)
        return task.cancelled()

    assert asyncio.run(run())
    assert sessions == 1
