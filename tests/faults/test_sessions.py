"""What is left of a session with a broker that was killed: no error that asyncio finds when it is collected."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from signal import SIGKILL, SIGSTOP
from typing import Any

import aiomqtt
import pytest

from rampd.daemon.config import Mqtt
from rampd.daemon.demo import broker_command
from rampd.daemon.mqtt import connect
from tests.hall import Process
from tests.reader import free_port
from tests.waits import until

NEVER_S = 30.0


async def reads(client: aiomqtt.Client) -> None:
    await anext(client.messages)


async def publishes(client: aiomqtt.Client) -> None:
    await client.publish("a", "b", qos=1)


async def subscribes(client: aiomqtt.Client) -> None:
    await client.subscribe("a")


@pytest.mark.parametrize("work", [reads, publishes, subscribes])
@pytest.mark.parametrize("hangs", [False, True])
async def test_a_killed_broker_leaves_no_error_that_nobody_retrieved(tmp_path: Path, work: Any, hangs: bool) -> None:
    """Whatever the session does when the broker goes, killed at once or after it hung."""
    port = free_port()
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    with Process("broker", broker_command(tmp_path, port), tmp_path) as broker:
        await asyncio.to_thread(until, lambda: listens(port), 10, "the broker listens")
        with pytest.raises(aiomqtt.MqttError):
            await session(port, broker, work, hangs=hangs)
        gc.collect()
        await asyncio.sleep(0)
    assert "Future exception was never retrieved" not in complaints


async def session(port: int, broker: Process, work: Any, *, hangs: bool) -> None:
    async with connect(Mqtt(port=port), name="test") as (client, _), asyncio.timeout(NEVER_S):
        if hangs:
            broker.send(SIGSTOP)
            under_way = asyncio.create_task(work(client))
            await asyncio.sleep(0)
            broker.send(SIGKILL)
            await under_way
        broker.send(SIGKILL)
        while True:
            await work(client)


def listens(port: int) -> bool:
    """By the kernel's table of sockets."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


async def test_a_stop_while_the_broker_does_not_answer_leaves_no_error_either() -> None:
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    reached, stopped, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reached.set()
        await stopped.wait()
        writer.write_eof()
        # Until the other side has closed as well.
        while await reader.read(100):
            pass
        writer.close()
        gone.set()

    async def connects(port: int) -> None:
        async with connect(Mqtt(host="127.0.0.1", port=port), name="a"):
            pytest.fail("it never answers")

    async with await asyncio.start_server(never, "127.0.0.1", 0) as server:
        task = asyncio.create_task(connects(server.sockets[0].getsockname()[1]))
        await asyncio.wait_for(reached.wait(), NEVER_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stopped.set()
        await asyncio.wait_for(gone.wait(), NEVER_S)
    assert found == []
