"""BMCs to test against: the simulated one behind a real socket, and one whose every answer the test writes."""

from __future__ import annotations

import asyncio
import itertools
import json
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any, Final

from aiohttp import web

from rampd.drivers.members import Login, Trust
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.redfish.member import RedfishMember
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.plant import Plant
from rampd.drivers.sim.redfish import RedfishServer
from rampd.drivers.sim.spec import LoopSpec, NodeSpec, PlantSpec, RackSpec

LOGIN: Final = Login("rampd", "S3cret!")
MAPS: Final = Path(__file__).resolve().parents[1] / "drivers" / "maps"
NAMES: Final = tuple(sorted(path.stem for path in MAPS.glob("redfish-*.toml")))
GPUS: Final = "/redfish/v1/Systems/HGX_Baseboard_0/Processors"
_hosts = (f"127.41.{n // 250}.{n % 250 + 1}" for n in itertools.count())


def address() -> str:
    """A loopback address that no other test has."""
    return next(_hosts)


def shipped(name: str, **changed: Any) -> RedfishMap:
    """A map that ships, with changes to its [redfish] table."""
    found = tomllib.loads((MAPS / f"{name}.toml").read_text(encoding="utf-8"))
    found["redfish"] |= changed
    return RedfishMap.model_validate(found | {"timeout_s": 1.0})


def plant(max_w: float, *, utilisation: float = 1.02) -> Plant:
    """A hall of one GPU rack that follows at once."""
    rack = RackSpec(
        id="r1", kind="gpu", node="n", loop="l", min_w=0.1 * max_w, max_w=max_w, up_w_per_s=1e6, down_w_per_s=1e6,
        dead_up_s=0.01, dead_down_s=0.01, fallback_w=0.5 * max_w, noise=0.0, jitter=0.0, utilisation=utilisation,
    )  # fmt: skip
    spec = PlantSpec((rack,), (NodeSpec("n", "", 1e9),), (LoopSpec("l", 25.0, 1e9),), 1e9)
    return Plant(spec, seed=1)


def member_of(device_map: RedfishMap, utilisation: float = 1.02) -> Member:
    """The only member of a rack of one node."""
    about = device_map.capability
    return Member(plant(about.max_w, utilisation=utilisation), 0, 0, 1, about)


@dataclass
class Bmc:
    """A simulated BMC that listens."""

    member: Member
    server: RedfishServer
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, device_map: RedfishMap, login: Login | None = LOGIN, **trust: Any) -> RedfishMember:
        """Our side of it."""
        return RedfishMember(self.url, device_map, login, Trust(**trust))


@asynccontextmanager
async def simulated(device_map: RedfishMap, login: Login | None = LOGIN) -> AsyncIterator[Bmc]:
    """The BMC of a node, as `rampd sim` has it."""
    member = member_of(device_map)
    server = RedfishServer(member, device_map, login)
    await server.start()
    host = address()
    listener = await asyncio.get_running_loop().create_server(server.connect, host, 0)
    try:
        yield Bmc(member, server, host, listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await server.stop()


Answer = Callable[[web.BaseRequest, bytes], web.Response | None]


@dataclass
class Scripted:
    """A BMC that answers by tables: `resources` for GET; `answers` by (method, path) win, None drops the connection.

    `asked` holds (method, path, body, headers) of each request; `before` is awaited first.
    """

    resources: dict[str, Any] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)
    host: str = ""
    port: int = 0
    scheme: str = "http"
    before: Callable[[], Awaitable[None]] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def client(self, device_map: RedfishMap, login: Login | None = LOGIN, **trust: Any) -> RedfishMember:
        return RedfishMember(self.url, device_map, login, Trust(**trust))

    def written(self) -> list[tuple[str, Any]]:
        """The PATCHes, as (path, body)."""
        return [(path, body) for method, path, body, _ in self.asked if method == "PATCH"]

    def times(self, method: str, path: str) -> int:
        return sum(one[:2] == (method, path) for one in self.asked)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        if self.before is not None:
            await self.before()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = raw
        self.asked.append((request.method, request.path, body, dict(request.headers)))
        answer = self.answers.get((request.method, request.path))
        if answer is not None:
            made = answer(request, raw)
            if made is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return made
        if request.method == "POST" and request.path.endswith("/Sessions"):
            headers = {"X-Auth-Token": "t0ken", "Location": f"{request.path}/7"}
            return web.json_response({}, status=201, headers=headers)
        if request.method == "GET" and request.path in self.resources:
            return web.json_response(self.resources[request.path])
        return web.json_response({}, status=404) if request.method == "GET" else web.Response(status=204)


@asynccontextmanager
async def scripted(
    resources: dict[str, Any], tls: SSLContext | None = None, host: str | None = None
) -> AsyncIterator[Scripted]:
    """A BMC whose answers are the test's."""
    bmc = Scripted({"/redfish/v1/": {"RedfishVersion": "1.18.0"}, **resources}, host=host or address())
    server = web.Server(bmc.handle, access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, bmc.host, 0, ssl=tls)
    bmc.port = listener.sockets[0].getsockname()[1]
    bmc.scheme = "http" if tls is None else "https"
    try:
        yield bmc
    finally:
        listener.close()
        await server.shutdown(0.2)


def says(status: int, body: Any = None, **headers: str) -> Answer:
    """An answer with a JSON body, or with bytes as they are."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return lambda *_: web.Response(status=status, body=body, headers=named)
    if body is None:
        return lambda *_: web.Response(status=status, headers=named)
    return lambda *_: web.json_response(body, status=status, headers=named)


def refusal(message: str, resolution: str = "None.") -> dict[str, Any]:
    """The error body of DSP0266."""
    info = {"MessageId": "Base.1.18.X", "Message": message, "Severity": "Warning", "Resolution": resolution}
    return {"error": {"code": "Base.1.18.GeneralError", "message": "see", "@Message.ExtendedInfo": [info]}}


def board(limits: list[int | None]) -> dict[str, Any]:
    """A base board with GPU_1, GPU_2, ... at these set points."""
    paths = [f"{GPUS}/GPU_{i + 1}" for i in range(len(limits))]
    return {
        GPUS: {"Members": [{"@odata.id": path} for path in (f"{GPUS}/CPU_0", *paths)]},
        **{
            f"{path}/EnvironmentMetrics": {
                "PowerWatts": {"Reading": 500.0},
                "PowerLimitWatts": {"SetPoint": limit, "AllowableMin": 200, "AllowableMax": 700},
            }
            for path, limit in zip(paths, limits, strict=True)
        },
    }


# A chassis with one limit, in the three shapes that it can have.

CHASSIS = "/redfish/v1/Chassis"
NODE = f"{CHASSIS}/Self"
METRICS = f"{NODE}/EnvironmentMetrics"
CONTROL = f"{NODE}/Controls/PowerLimit"
POWER = f"{NODE}/Power"
SESSIONS = "/redfish/v1/SessionService/Sessions"
LIMIT = {"SetPoint": 8000, "AllowableMin": 3000, "AllowableMax": 10000, "ControlMode": "Automatic", "Reading": 7000.5}
GOOD: dict[str, Any] = {
    CHASSIS: {"Members": [{"@odata.id": NODE}, {"@odata.id": f"{CHASSIS}/Psu1"}]},
    METRICS: {"PowerWatts": {"Reading": 7100.5}, "PowerLimitWatts": LIMIT},
    CONTROL: {"ControlType": "Power", "SetPointUnits": "W", "Sensor": {"Reading": 7100.5}, **LIMIT},
    POWER: {"PowerControl": [{"PowerConsumedWatts": 7100.5, "PowerLimit": {"LimitInWatts": 8000}}, {"Name": "b"}]},
}
MAP_OF = {METRICS: "redfish-chassis", CONTROL: "redfish-control", POWER: "redfish-power"}


def metrics(**changed: Any) -> Answer:
    """EnvironmentMetrics with another limit."""
    return says(200, {"PowerWatts": {"Reading": 7100.5}, "PowerLimitWatts": LIMIT | changed})


def raw(text: str) -> Answer:
    return says(200, text.encode())


def node(place: str, **changed: Any) -> Answer:
    return says(200, GOOD[place] | changed)


def entry(**changed: Any) -> Answer:
    return says(200, {"PowerControl": [GOOD[POWER]["PowerControl"][0] | changed]})
