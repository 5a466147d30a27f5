"""A simulated miner on a socket of its own, over a plant that moves in real time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from rampd.drivers.members import Login, MemberMap
from rampd.drivers.miners.maps import MINER_MAPS
from rampd.drivers.sim.members import Member, Server
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.spec import LoopSpec, NodeSpec, PlantSpec, RackSpec

MAPS: Final = Path(__file__).resolve().parents[1] / "drivers" / "maps"
LOGIN: Final = Login("root", "correct horse")
MAX_W: Final = 3400.0
TICK_S: Final = 0.01


def map_of(name: str, **changes: Any) -> Any:
    """A map as it ships, with some of its keys changed."""
    raw = tomllib.loads((MAPS / f"{name}.toml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        raw[key] = raw.get(key, {}) | value if isinstance(value, dict) else value
    return MINER_MAPS[raw["protocol"]].model_validate(raw)


def plant(miners: int = 1) -> Plant:
    """One rack of miners, fast enough for a test: asleep within 0.2 s, awake within a second."""
    rack = RackSpec(
        "r1", "asic", "n", "l", MAX_W / 10 * miners, MAX_W * miners, MAX_W * 4 * miners, MAX_W * 20 * miners,
        0.1, 0.05, MAX_W * miners, jitter=0.0, miners=1000,
    )  # fmt: skip
    return Plant(PlantSpec((rack,), (NodeSpec("n", "", 1e6),), (LoopSpec("l", 25.0, 1e5),), 1e6), 1)


@dataclass
class Rig:
    """A miner that is served: its member of the plant and where it listens."""

    member: Member
    server: Any
    host: str
    port: int
    connections: int = 0


async def until(done: Callable[[], bool], within_s: float = 5.0) -> None:
    """Waits for a condition."""
    deadline_s = monotonic() + within_s
    while not done():
        assert monotonic() < deadline_s, f"not within {within_s:g} s"
        await asyncio.sleep(TICK_S)


@asynccontextmanager
async def served(
    make: Callable[..., Server],
    device_map: MemberMap,
    login: Login | None = LOGIN,
    *,
    fixed: bool = False,
    host: str = "",
    **more: Any,
) -> AsyncIterator[Rig]:
    """Serves one miner; with `fixed` on the port of its firmware, at a loopback address that is free."""
    hall = plant()
    hall.start(monotonic())
    member = Member(hall, 0, 0, 1, device_map.capability)
    server = make(member, device_map, login, **more)
    rig = Rig(member, server, "127.0.0.1", 0)

    def connect() -> asyncio.Protocol:
        rig.connections += 1
        return server.connect()

    async def move() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            hall.step(monotonic())

    await server.start()
    listener = await _listen(connect, host, device_map.port if fixed else 0)
    rig.host, rig.port = listener.sockets[0].getsockname()[:2]
    mover = asyncio.create_task(move())
    try:
        yield rig
    finally:
        mover.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await mover
        listener.close()
        await server.stop()
        await listener.wait_closed()


async def _listen(connect: Callable[[], asyncio.Protocol], wanted: str, port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    for _ in range(50):
        host = ".".join(["127", *(str(random.randint(60, 250)) for _ in range(3))]) if port else "127.0.0.1"
        host = wanted or host
        with contextlib.suppress(OSError):
            return await loop.create_server(connect, host, port)
    raise AssertionError(f"no loopback address has port {port} free")


class _Answering(asyncio.Protocol):
    """A connection that gives the next answer to whatever comes."""

    def __init__(self, answers: tuple[bytes | None, ...], hold: bool, requests: list[bytes]) -> None:
        self._answers = answers
        self._hold = hold
        self._requests = requests
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._requests.append(data)
        answer = self._answers[min(len(self._requests), len(self._answers)) - 1]
        if answer is None:
            self.transport.abort()
            return
        self.transport.write(answer)
        if not self._hold:
            self.transport.close()


@asynccontextmanager
async def answering(*answers: bytes | None, hold: bool = False) -> AsyncIterator[tuple[str, int, list[bytes]]]:
    """A miner that gives these answers in turn and then the last again; None hangs up. Keeps the requests."""
    requests: list[bytes] = []
    connections: list[_Answering] = []

    def connect() -> _Answering:
        connections.append(_Answering(answers, hold, requests))
        return connections[-1]

    listener = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    try:
        yield host, port, requests
    finally:
        listener.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.abort()
        await listener.wait_closed()
        await asyncio.sleep(0)
