"""What goes on between rampd and a BMC: versions of a resource, sessions, several GPUs to a board, slow answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from rampd.drivers.members import DeviceError, Reading
from tests.bmc import (
    GOOD,
    GPUS,
    METRICS,
    NODE,
    SESSIONS,
    Scripted,
    board,
    metrics,
    says,
    scripted,
    shipped,
)

# ETags.


def tagged(bmc: Scripted, tag: str) -> None:
    bmc.answers["GET", METRICS] = lambda *_: web.json_response(GOOD[METRICS], headers={"ETag": tag})


async def test_an_etag_is_matched_and_read_again_once() -> None:
    async with scripted(GOOD) as bmc:
        tagged(bmc, '"1"')
        ours = bmc.client(shipped("redfish-chassis"))
        await ours.open()
        seen: list[str | None] = []

        def once(request: web.BaseRequest, _: bytes) -> web.Response:
            seen.append(request.headers.get("If-Match"))
            tagged(bmc, '"2"')
            return web.Response(status=204 if len(seen) > 1 else 412)

        bmc.answers["PATCH", METRICS] = once
        await ours.set_limit(5000.0)
        assert seen == ['"1"', '"2"']
        await ours.set_limit(5100.0)
        assert seen == ['"1"', '"2"', None], "a version that our own write made old is not asked for"
        bmc.answers["PATCH", METRICS] = says(412)
        with pytest.raises(DeviceError, match=r"PATCH .*: 412") as failed:
            await ours.set_limit(5200.0)
        assert failed.value.refused
        assert len(bmc.written()) == 5, "twice, not for ever"
        await ours.close()


@pytest.mark.parametrize("status", [412, 428])
async def test_a_bmc_that_insists_on_etags_gets_one(status: int) -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped("redfish-chassis", etag="ignore"))
        await ours.open()
        tagged(bmc, 'W/"x"')
        bmc.answers["PATCH", METRICS] = lambda request, _: web.Response(
            status=204 if request.headers.get("If-Match") == 'W/"x"' else status
        )
        await ours.set_limit(5000.0)
        assert len(bmc.written()) == 2
        await ours.close()


async def test_a_limit_found_disabled_on_reading_again_is_not_written() -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped("redfish-chassis"))
        await ours.open()
        bmc.answers["PATCH", METRICS] = says(412)
        bmc.answers["GET", METRICS] = metrics(ControlMode="Disabled")
        with pytest.raises(DeviceError, match="ControlMode is Disabled"):
            await ours.set_limit(5000.0)
        assert len(bmc.written()) == 1
        await ours.close()


# Sessions.


async def test_a_forgotten_session_is_renewed_once_for_all_who_find_out() -> None:
    gpus = {f"{GPUS}/GPU_{i}/EnvironmentMetrics": {"PowerLimitWatts": {"SetPoint": 700}} for i in range(8)}
    members = {"Members": [{"@odata.id": path.removesuffix("/EnvironmentMetrics")} for path in gpus]}
    async with scripted({GPUS: members, **gpus}) as bmc:
        tokens: list[str] = []

        def enter(*_: Any) -> web.Response:
            tokens.append(f"t{len(tokens)}")
            return web.json_response({}, status=201, headers={"X-Auth-Token": tokens[-1], "Location": f"{SESSIONS}/1"})

        def guarded(request: web.BaseRequest, _: bytes) -> web.Response:
            known = request.headers.get("X-Auth-Token") == tokens[-1] and tokens[-1] != "t0"
            return web.json_response(bmc.resources[request.path]) if known else web.Response(status=401)

        bmc.answers["POST", SESSIONS] = enter
        ours = bmc.client(shipped("redfish-hgx", in_flight=8))
        await ours.open()
        for path in gpus:
            bmc.answers["GET", path] = guarded
        assert (await ours.read()).limit_w == 8600.0
        assert tokens == ["t0", "t1"]
        assert bmc.times("DELETE", f"{SESSIONS}/1") == 1, "the old one may still count"
        await ours.close()
        assert bmc.times("DELETE", f"{SESSIONS}/1") == 2


@pytest.mark.parametrize(
    ("place", "deleted"),
    [
        (f"{SESSIONS}/9", f"{SESSIONS}/9"),
        (f"https://10.9.8.7{SESSIONS}/9", f"{SESSIONS}/9"),
        ("http://evil.example/etc/passwd", None),
        (NODE, None),
        ("", None),
        ("http://[::1", None),
    ],
)
async def test_where_a_session_is_ended(place: str, deleted: str | None) -> None:
    async with scripted(GOOD) as bmc:
        bmc.answers["POST", SESSIONS] = says(201, {}, X_Auth_Token="t", Location=place)
        ours = bmc.client(shipped("redfish-chassis"))
        await ours.open()
        await ours.close()
        assert [path for method, path, _, _ in bmc.asked if method == "DELETE"] == ([deleted] if deleted else [])


async def test_a_session_that_could_not_be_ended_is_taken_up_again() -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped("redfish-chassis"))
        await ours.open()
        bmc.answers["DELETE", f"{SESSIONS}/7"] = lambda *_: None
        await ours.close()
        del bmc.answers["DELETE", f"{SESSIONS}/7"]
        await ours.open()
        assert bmc.times("POST", SESSIONS) == 1
        await ours.close()
        assert bmc.asked[-1][:2] == ("DELETE", f"{SESSIONS}/7")


# Several points.


async def test_a_missing_gpu_is_an_error_not_an_uncapped_gpu() -> None:
    async with scripted(board([700] * 7)) as bmc:
        ours = bmc.client(shipped("redfish-hgx"))
        with pytest.raises(DeviceError, match=r"7 power limits .*'GPU_\*', the map says 8 \(GPU_1, GPU_2, .*GPU_7\)"):
            await ours.open()
        await ours.close()


async def test_one_gpu_that_fails_does_not_keep_the_others_from_their_limits() -> None:
    async with scripted(board([700] * 8)) as bmc:
        ours = bmc.client(shipped("redfish-hgx"))
        await ours.open()
        bmc.answers["PATCH", f"{GPUS}/GPU_3/EnvironmentMetrics"] = says(500)
        with pytest.raises(DeviceError, match=r"1 of 8 failed: PATCH .*GPU_3.*: 500"):
            await ours.set_limit(5000.0)
        assert len(bmc.written()) == 8
        await ours.close()


async def test_power_and_limit_of_a_board() -> None:
    async with scripted(board([700, 650, 600, 550, 500, 450, 400, 350])) as bmc:
        ours = bmc.client(shipped("redfish-hgx"))
        await ours.open()
        assert await ours.read() == Reading(8 * 500.0 + 3000.0, 4200.0 + 3000.0)
        bmc.resources[f"{GPUS}/GPU_8/EnvironmentMetrics"]["PowerLimitWatts"]["SetPoint"] = None
        bmc.resources[f"{GPUS}/GPU_8/EnvironmentMetrics"]["PowerWatts"]["Reading"] = None
        assert await ours.read() == Reading(None, None), "what one does not tell, the sum does not tell"
        await ours.close()


async def test_the_lowest_of_several_limits_counts() -> None:
    module = "/redfish/v1/Chassis/HGX_Chassis_0/EnvironmentMetrics"
    absent = "/redfish/v1/Chassis/HGX_ProcessorModule_0/EnvironmentMetrics"
    ceilings = [{"resource": "environment-metrics", "path": path} for path in (module, absent)]
    device_map = shipped("redfish-hgx", ceilings=ceilings)
    async with scripted(board([700] * 8) | {module: {"PowerLimitWatts": {"SetPoint": 4000}}}) as bmc:
        ours = bmc.client(device_map)
        await ours.open()
        assert (await ours.read()).limit_w == 4000.0 + 3000.0
        bmc.resources[module]["PowerLimitWatts"]["SetPoint"] = 9000
        assert (await ours.read()).limit_w == 5600.0 + 3000.0
        await ours.close()


@pytest.mark.parametrize(
    ("resource", "shown", "power_w"),
    [
        ("sensor", {"Reading": 6543.0, "ReadingUnits": "W"}, 6543.0),
        ("sensor", {"Reading": 6543.0, "ReadingUnits": "Cel"}, None),
        ("power", {"PowerControl": [{"PowerConsumedWatts": 6543.0}]}, 6543.0),
        ("control", {"Sensor": {"Reading": 6543.0}}, 6543.0),
        ("environment-metrics", {"PowerWatts": {"Reading": 6543.0}}, 6543.0),
    ],
)
async def test_the_power_of_a_node_from_another_resource(resource: str, shown: Any, power_w: float | None) -> None:
    place = {"resource": resource, "path": "/redfish/v1/Chassis/Chassis_0/Node"}
    async with scripted(board([700] * 8) | {place["path"]: shown}) as bmc:
        ours = bmc.client(shipped("redfish-hgx", power=place))
        await ours.open()
        if power_w is None:
            with pytest.raises(DeviceError, match="reads Cel, not W: name another sensor"):
                await ours.read()
        else:
            assert await ours.read() == Reading(power_w, 8600.0), "the overhead is in the node's own reading"
        await ours.close()


async def test_gpus_count_in_the_order_of_their_numbers() -> None:
    async with scripted(board([700] * 12)) as bmc:
        ours = bmc.client(shipped("redfish-hgx", points=12))
        await ours.open()
        await ours.set_limit(3000.0 + 12 * 300 + 2)
        raised = [path for path, body in bmc.written() if body["PowerLimitWatts"]["SetPoint"] == 301]
        assert [path.split("/")[-2] for path in raised] == ["GPU_1", "GPU_2"]
        await ours.close()


class Trickle(asyncio.Protocol):
    """Answers a byte at a time, and never comes to an end in time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        self.drip()

    def drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"{")
            asyncio.get_running_loop().call_later(0.03, self.drip)


async def test_a_trickling_bmc_is_cut_off() -> None:
    device_map = shipped("redfish-chassis").model_copy(update={"timeout_s": 0.3})
    server = await asyncio.get_running_loop().create_server(Trickle, "127.0.0.1", 0)
    ours = Scripted(host="127.0.0.1", port=server.sockets[0].getsockname()[1]).client(device_map)
    with pytest.raises(DeviceError, match=r"no answer within 0.3 s"):
        await ours.open()
    await ours.close()
    server.close()
