"""Redfish against any answer: nothing but DeviceError escapes, and no reading is a number that cannot be."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from rampd.drivers.members import DeviceError, Reading, Trust
from rampd.drivers.redfish.client import LONGEST
from rampd.drivers.redfish.map import Resource
from rampd.drivers.redfish.member import RedfishMember
from rampd.drivers.redfish.payload import HIGHEST_W, local, parse, told, warned
from rampd.drivers.redfish.points import LOOKS, WATTS, Scale, measured, order
from tests.bmc import LOGIN, address, shipped

TIMES = 20_000 if os.environ.get("RAMPD_LONG") else 400
KINDS: list[Resource] = ["environment-metrics", "control", "power"]
NAMES = [
    "PowerLimitWatts", "PowerWatts", "SetPoint", "Reading", "AllowableMin", "AllowableMax", "ControlMode", "Increment",
    "SetPointUnits", "ControlType", "Sensor", "PowerControl", "PowerLimit", "LimitInWatts", "PowerConsumedWatts",
    "LimitException", "PowerCapacityWatts", "ReadingUnits", "error", "message", "@Message.ExtendedInfo",
    "SetPoint@Message.ExtendedInfo", "Message", "MessageId", "Severity", "Resolution", "Members", "@odata.id",
]  # fmt: skip
WORDS = ["W", "%", "Disabled", "Manual", "Power", "HardPowerOff", "OK", "Warning", "/redfish/v1/Chassis/1", "\x00", ""]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from([700, 0, -1, 4294967295, 2**70, 1e308]),
    st.sampled_from(WORDS), st.text(max_size=8),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=16,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)


def sane(value: float | None) -> bool:
    return value is None or 0.0 <= value <= HIGHEST_W


@settings(max_examples=TIMES, deadline=None)
@given(bodies, st.sampled_from(KINDS), st.sampled_from([WATTS, Scale("%", 7.0)]))
def test_any_resource(body: dict[str, Any], kind: Resource, scale: Scale) -> None:
    try:
        look = LOOKS[kind](body, "it", scale)
    except DeviceError as error:
        assert len(str(error)) < 700
    else:
        assert sane(look.power_w)
        assert sane(look.min_w)
        assert sane(look.max_w)
        assert look.limit_w == math.inf or (sane(look.limit_w) and look.limit_w != 0.0)
        assert 1.0 <= look.step_w <= HIGHEST_W
        assert 1 <= look.entries <= 64
        json.dumps(order(kind, 700.0, scale, look.entries), allow_nan=False)
    try:
        assert sane(measured(kind, body, "it"))
        assert sane(measured("sensor", body, "it"))
    except DeviceError:
        pass
    assert isinstance(warned(body), bool)
    assert told(body).isprintable()


@settings(max_examples=TIMES, deadline=None)
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()) | st.text().map(str.encode))
def test_any_body(data: bytes) -> None:
    try:
        found = parse(data, "it")
    except DeviceError as error:
        assert str(error).isprintable()
    else:
        assert isinstance(found, dict)


@settings(max_examples=TIMES, deadline=None)
@given(values | st.text(alphabet="/redfishv1.~:@%-?#\\ \n", max_size=30).map(lambda rest: f"/redfish/v1{rest}"))
def test_any_path(value: Any) -> None:
    try:
        found = local(value, "it")
    except DeviceError:
        return
    assert found.startswith("/redfish/v1")
    assert not set(found) & set("?#\\ \n")
    assert ".." not in found.split("/")


class Noise(asyncio.Protocol):
    """A BMC whose answers are right two times in three, and otherwise wrong in some byte, field or length."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        words = data.split(b" ", 2)
        if len(words) == 3 and words[0] in (b"GET", b"PATCH", b"POST", b"DELETE"):
            self.transport.write(self.answer(words[0].decode(), words[1].decode()))
            if self.source.randrange(12) == 0:
                self.transport.close()

    def answer(self, method: str, path: str) -> bytes:
        source = self.source
        wrong = source.randrange(3) == 0
        status = {"GET": 200, "PATCH": 204, "POST": 201, "DELETE": 204}[method]
        found: Any = {"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]}
        if path.endswith("EnvironmentMetrics"):
            found = {"PowerWatts": {"Reading": 6000.5}, "PowerLimitWatts": {"SetPoint": 8000}}
        change = source.randrange(8) if wrong else -1
        if change == 0:
            status = source.choice([200, 204, 301, 400, 401, 412, 428, 500, 99, 999, 1, -4])
        elif change == 1:
            value = source.choice([None, "x", 1e308, -1, [], {}, True])
            found |= {source.choice(["PowerLimitWatts", "PowerWatts", "Members", "@odata.etag"]): value}
        body = json.dumps(found).encode() if status != 204 else b""
        length = len(body)
        if change == 2:
            length = source.choice([len(body) + 5, 0, -1, 10**30, LONGEST * 4])
        head = f'HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nX-Auth-Token: t\r\nETag: "1"\r\n\r\n'
        raw = head.encode() + body
        at = source.randrange(len(raw))
        match change:
            case 3:
                return source.randbytes(source.randrange(1, 200))
            case 4 | 5:
                return raw[:at] + source.randbytes(1) + raw[at + 1 :]
            case 6:
                return raw[:at]
            case 7:
                chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                return chunked + source.choice([b"5\r\n{}", b"zz\r\n", b"0\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"])
        return raw


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes_on_the_wire(seed: int, loop: asyncio.AbstractEventLoop) -> None:
    source = random.Random(seed)
    device_map = shipped("redfish-chassis").model_copy(update={"timeout_s": 0.05})

    async def run(url: str) -> tuple[int, int]:
        good = bad = 0
        for _ in range(TIMES // 10):
            ours = RedfishMember(url, device_map, source.choice([None, LOGIN]), Trust())
            for call in (ours.open, ours.read, lambda ours=ours: ours.set_limit(5000.0), ours.read):
                try:
                    async with asyncio.timeout(0.5):
                        found = await call()
                except TimeoutError:
                    bad += 1
                except DeviceError as error:
                    bad += 1
                    assert str(error).isprintable()
                else:
                    good += 1
                    if isinstance(found, Reading):
                        assert sane(found.power_w)
                        assert found.limit_w is None or 0.0 < found.limit_w <= 10_200.0
            await ours.close()
        return good, bad

    async def serve() -> tuple[int, int]:
        server = await loop.create_server(lambda: Noise(source), address(), 0)
        try:
            host, port = server.sockets[0].getsockname()
            return await run(f"http://{host}:{port}")
        finally:
            server.close()

    good, bad = loop.run_until_complete(serve())
    assert good > 10
    assert bad > 10
