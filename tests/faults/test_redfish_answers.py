"""What a BMC may answer wrongly: each wrong answer becomes one clear error, and nothing is set by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from rampd.drivers.members import DeviceError, Reading
from rampd.drivers.redfish.client import LONGEST
from tests.bmc import GPUS, LOGIN, Answer, Scripted, board, refusal, says, scripted, shipped

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


DEEP = '{"a":' * 10_000 + "1" + "}" * 10_000

OPENING: list[tuple[str, str, str, Answer, str]] = [
    # what, method, path, answer, error
    ("no Redfish", "GET", "/redfish/v1/", says(404, b"<html>"), "GET /redfish/v1/: 404: this BMC has no such resource"),
    ("a web page", "GET", "/redfish/v1/", raw("<html>hello"), "the answer is no JSON: <html>hello"),
    ("moved", "GET", "/redfish/v1/", says(301, Location="https://evil.example/redfish/v1/"),
     "301, redirects to https://evil.example/redfish/v1/: give that as the address"),
    ("root a list", "GET", "/redfish/v1/", raw("[]"), r"the answer is \[\], not an object"),
    ("links elsewhere", "GET", "/redfish/v1/", says(200, {"Links": {"Sessions": {"@odata.id": "//evil/Sessions"}}}),
     "//evil/Sessions is no path of this Redfish service"),
    ("links a number", "GET", "/redfish/v1/", says(200, {"Links": {"Sessions": 5}}), "Sessions is 5, not an object"),
    ("no token", "POST", SESSIONS, says(201, {}), "no usable X-Auth-Token"),
    ("login forbidden", "POST", SESSIONS, says(403, refusal("Locked out.")), "403: Locked out.: the BMC's user lacks"),
    ("login busy", "POST", SESSIONS, says(503), "503: the BMC is busy or has no session left"),
    ("login broken", "POST", SESSIONS, says(500, b"oops"), "POST .*Sessions: 500$"),
    ("login dropped", "POST", SESSIONS, lambda *_: None, "no usable answer"),
    ("secret echoed", "POST", SESSIONS, says(201, f"{{{LOGIN.secret}".encode()), r"is no JSON: \{\*\*\*"),
    ("secret quoted", "POST", SESSIONS, says(400, refusal(f"{LOGIN.secret} is bad")), r"400: \*\*\* is bad"),
    ("collection gone", "GET", CHASSIS, says(404), "GET /redfish/v1/Chassis: 404"),
    ("collection empty body", "GET", CHASSIS, says(200, b""), "the answer is 200 without a resource"),
    ("collection 204", "GET", CHASSIS, says(204), "the answer is 204 without a resource"),
    ("no members", "GET", CHASSIS, says(200, {"Members": []}), r"0 power limits at .*, the map says 1 \(none\)"),
    ("members a word", "GET", CHASSIS, says(200, {"Members": "all"}), "Members is all, not a list"),
    ("member null", "GET", CHASSIS, says(200, {"Members": [None]}), "Members: null is no path"),
    ("member elsewhere", "GET", CHASSIS, says(200, {"Members": [{"@odata.id": "http://evil/x"}]}), "is no path of"),
    ("member climbs", "GET", CHASSIS, says(200, {"Members": [{"@odata.id": "/redfish/v1/../x"}]}), "is no path of"),
    ("never ends", "GET", CHASSIS, says(200, {"Members": [], "Members@odata.nextLink": CHASSIS}), "narrow them"),
    ("too many", "GET", CHASSIS, says(200, {"Members": [{"@odata.id": f"{CHASSIS}/{i}"} for i in range(65)]}),
     "more than 64 names match ids"),
    ("two limits", "GET", f"{CHASSIS}/Psu1/EnvironmentMetrics", metrics(), r"2 power limits .* \(Psu1, Self\)"),
    ("limit gone", "GET", METRICS, says(404), "0 power limits at"),
    ("no limit", "GET", METRICS, says(200, {"PowerWatts": {"Reading": 5}}), "has no PowerLimitWatts"),
    ("limit null", "GET", METRICS, says(200, {"PowerLimitWatts": None}), "has no PowerLimitWatts"),
    ("limit a number", "GET", METRICS, says(200, {"PowerLimitWatts": 7}), "PowerLimitWatts is 7, not an object"),
    ("no set point", "GET", METRICS, says(200, {"PowerLimitWatts": {"AllowableMax": 9}}), "has no SetPoint"),
    ("set point a word", "GET", METRICS, metrics(SetPoint="8000"), "SetPoint is 8000, not a number"),
    ("set point true", "GET", METRICS, metrics(SetPoint=True), "SetPoint is True, not a number"),
    ("range a list", "GET", METRICS, metrics(AllowableMin=[3000]), r"AllowableMin is \[3000\], not a number"),
    ("range upside down", "GET", METRICS, metrics(AllowableMin=11_000), "AllowableMin 11000 W exceeds AllowableMax"),
    ("range against map", "GET", METRICS, metrics(AllowableMax=2000, AllowableMin=None), "3000 to 2000 W, is empty"),
    ("mode a number", "GET", METRICS, metrics(ControlMode=3), "ControlMode is 3, not a string"),
    ("NaN", "GET", METRICS, raw('{"PowerLimitWatts": {"SetPoint": NaN}}'), "the answer is no JSON"),
    ("infinite", "GET", METRICS, raw('{"PowerLimitWatts": {"SetPoint": -Infinity}}'), "the answer is no JSON"),
    ("cut off", "GET", METRICS, raw('{"PowerLimitWatts": {"SetPoint": 80'), "the answer is no JSON"),
    ("bad text", "GET", METRICS, says(200, b'{"PowerLimitWatts": "\xff\xfe"}'), "the answer is no JSON"),
    ("too deep", "GET", METRICS, raw(DEEP), "the answer is no JSON"),
    ("endless digits", "GET", METRICS, raw('{"PowerLimitWatts": {"SetPoint": ' + "9" * 5000 + "}}"), "is no JSON"),
    ("too long", "GET", METRICS, says(200, {"a": "x" * (LONGEST + 1)}), f"the answer is longer than {LONGEST} bytes"),
    ("packed", "GET", METRICS, says(200, {}, Content_Encoding="gzip"), "the answer is gzip encoded"),
    ("forbidden", "GET", METRICS, says(403, refusal("No.", "Get rights.")), "403: No. Get rights.: .* needs Configure"),
    ("broken", "GET", METRICS, says(500, refusal("Internal.")), "500: Internal.$"),
    ("dropped", "GET", METRICS, lambda *_: None, "no usable answer"),
    ("teapot", "GET", METRICS, says(418, {"error": "no"}), "GET .*: 418$"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "answer", "error"), [r[1:] for r in OPENING], ids=[r[0] for r in OPENING])
async def test_opening(method: str, path: str, answer: Answer, error: str) -> None:
    async with scripted(GOOD) as bmc:
        bmc.answers[method, path] = answer
        ours = bmc.client(shipped("redfish-chassis"))
        with pytest.raises(DeviceError, match=error) as failed:
            await ours.open()
        assert LOGIN.secret not in str(failed.value)
        assert len(str(failed.value)) < 800
        assert "\n" not in str(failed.value)
        with pytest.raises(DeviceError, match="not open"):
            await ours.set_limit(8000.0)
        # The BMC is good again: nothing is left of it but a refused login's pause.
        bmc.answers.clear()
        if not (path == SESSIONS and failed.value.refused):
            assert (await ours.open()).max_w == 10_000
            assert await ours.read() == Reading(7100.5, 8000.0)
        await ours.close()
        assert bmc.written() == []


READING: list[tuple[str, str, Answer, Reading | str]] = [
    # what, path, answer, what is read or the error
    ("as it should be", METRICS, metrics(), Reading(7100.5, 8000.0)),
    ("no power", METRICS, says(200, {"PowerLimitWatts": {"SetPoint": 8000}}), Reading(None, 8000.0)),
    ("power in the limit", METRICS, says(200, {"PowerLimitWatts": LIMIT}), Reading(7000.5, 8000.0)),
    ("power null", METRICS, says(200, {"PowerWatts": {"Reading": None}, "PowerLimitWatts": {"SetPoint": 8000}}),
     Reading(None, 8000.0)),
    ("power negative", METRICS, says(200, {"PowerWatts": {"Reading": -1}, "PowerLimitWatts": {"SetPoint": 8000}}),
     Reading(None, 8000.0)),
    ("power a sentinel", METRICS,
     says(200, {"PowerWatts": {"Reading": 4294967295.0}, "PowerLimitWatts": {"SetPoint": 4294967295}}),
     Reading(None, None)),
    ("power huge", METRICS, raw('{"PowerWatts":{"Reading":1e308},"PowerLimitWatts":{"SetPoint":1' + "0" * 400 + "}}"),
     Reading(None, None)),
    ("power beyond float", METRICS, raw('{"PowerWatts":{"Reading":1e999},"PowerLimitWatts":{"SetPoint":8000}}'),
     Reading(None, 8000.0)),
    ("limit null", METRICS, metrics(SetPoint=None), Reading(7100.5, None)),
    ("limit zero", METRICS, metrics(SetPoint=0), Reading(7100.5, None)),
    ("limit negative", METRICS, metrics(SetPoint=-5), Reading(7100.5, None)),
    ("limit clamped", METRICS, metrics(SetPoint=9000), Reading(7100.5, 9000.0)),
    ("limit above all", METRICS, metrics(SetPoint=20_000), Reading(7100.5, 10_000.0)),
    ("limit disabled", METRICS, metrics(ControlMode="Disabled"), Reading(7100.5, 10_000.0)),
    ("power a word", METRICS, says(200, {"PowerWatts": {"Reading": "7"}, "PowerLimitWatts": LIMIT}),
     "PowerWatts: Reading is 7, not a number"),
    ("power a list", METRICS, says(200, {"PowerWatts": [7], "PowerLimitWatts": LIMIT}), r"PowerWatts is \[7\], not an"),
    ("limit gone", METRICS, says(200, {"PowerWatts": {"Reading": 7}}), "has no PowerLimitWatts"),
    ("resource gone", METRICS, says(404), "404: this BMC has no such resource"),
    ("no JSON", METRICS, raw("busy"), "the answer is no JSON: busy"),
    ("never authorised", METRICS, says(401), "401: the BMC does not know this user"),
    ("control", CONTROL, node(CONTROL), Reading(7100.5, 8000.0)),
    ("control without sensor", CONTROL, node(CONTROL, Sensor=None), Reading(None, 8000.0)),
    ("control in other units", CONTROL, node(CONTROL, SetPointUnits="%"), "is set in %, the map says W: use a map"),
    ("control of something else", CONTROL, node(CONTROL, ControlType="Temperature"), "controls Temperature, not Power"),
    ("control units a number", CONTROL, node(CONTROL, SetPointUnits=4), "SetPointUnits is 4, not a string"),
    ("power control", POWER, node(POWER), Reading(7100.5, 8000.0)),
    ("power control unlimited", POWER, entry(PowerLimit={"LimitInWatts": None}), Reading(7100.5, 10_200.0)),
    ("power control zero", POWER, entry(PowerLimit={"LimitInWatts": 0}), Reading(7100.5, None)),
    ("power control empty", POWER, says(200, {"PowerControl": []}), "has no PowerControl"),
    ("power control a word", POWER, says(200, {"PowerControl": ["x"]}), r"PowerControl\[0\] is x, not an object"),
    ("power control without limit", POWER, entry(PowerLimit={}), "PowerLimit has no LimitInWatts"),
    ("consumed a word", POWER, entry(PowerConsumedWatts="lots"), "PowerConsumedWatts is lots, not a number"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "answer", "expected"), [r[1:] for r in READING], ids=[r[0] for r in READING])
async def test_reading(path: str, answer: Answer, expected: Reading | str) -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped(MAP_OF[path]))
        await ours.open()
        bmc.answers["GET", path] = answer
        if isinstance(expected, Reading):
            assert await ours.read() == expected
        else:
            with pytest.raises(DeviceError, match=expected):
                await ours.read()
            bmc.answers.clear()
            assert await ours.read() == Reading(7100.5, 8000.0)
        await ours.close()
        assert bmc.written() == []


WRITING: list[tuple[str, Answer, str | None, bool]] = [
    # what, answer, the error, whether the BMC said no
    ("204", says(204), None, False),
    ("200 with the resource", says(200, GOOD[METRICS]), None, False),
    ("200 with success", says(200, {"@Message.ExtendedInfo": [{"MessageId": "Ok", "Severity": "OK"}]}), None, False),
    ("202", says(202, {"Id": "task"}), None, False),
    ("200 in part",
     says(200, {"SetPoint@Message.ExtendedInfo": [{"Message": "Left as it was.", "MessageSeverity": "Warning"}]}),
     "not done in full: Left as it was.", True),
    ("out of range", says(400, refusal("5000 is not in range.", "Correct it.")), "not in range. Correct", True),
    ("only an id", says(400, {"error": {"@Message.ExtendedInfo": [{"MessageId": "Base.1.0.X"}]}}), "Base.1.0.X", True),
    ("only a message", says(400, {"error": {"code": "x", "message": "No way."}}), "400: No way.: the BMC", True),
    ("words", says(400, {"error": {"@Message.ExtendedInfo": ["Strange."]}}), "400: Strange.", True),
    ("no words", says(400, b""), "400: the BMC does not take that value or property", True),
    ("odd error", says(400, {"error": {"@Message.ExtendedInfo": 5, "message": ["x"]}}), "400: the BMC does not", True),
    ("forbidden", says(403), "403: the BMC's user lacks a privilege", True),
    ("read-only", says(405), "405: this resource cannot be written", True),
    ("broken", says(500), "500$", False),
    ("busy", says(503), "503: the BMC is busy", False),
    ("moved", says(308, Location="/elsewhere"), "308, redirects to /elsewhere", True),
    ("dropped", lambda *_: None, "no usable answer", False),
    ("no JSON", says(200, b"<ok>"), "the answer is no JSON: <ok>", False),
    ("many lines", says(400, refusal("a\r\nb\x1b[2J")), r"400: a  b \[2J", True),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "error", "refused"), [r[1:] for r in WRITING], ids=[r[0] for r in WRITING])
async def test_writing(answer: Answer, error: str | None, refused: bool) -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped("redfish-chassis"))
        await ours.open()
        bmc.answers["PATCH", METRICS] = answer
        if error is None:
            await ours.set_limit(5000.0)
        else:
            with pytest.raises(DeviceError, match=error) as failed:
                await ours.set_limit(5000.0)
            assert failed.value.refused is refused
        assert bmc.written() == [(METRICS, {"PowerLimitWatts": {"SetPoint": 5000}})], (
            "written once, never again blindly"
        )
        await ours.close()


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("redfish-chassis", METRICS, {"PowerLimitWatts": {"SetPoint": 5000}}),
        ("redfish-control", CONTROL, {"SetPoint": 5000}),
        ("redfish-power", POWER, {"PowerControl": [{"PowerLimit": {"LimitInWatts": 5000}}, {}]}),
    ],
)
async def test_what_is_written(name: str, path: str, expected: Any) -> None:
    async with scripted(GOOD) as bmc:
        ours = bmc.client(shipped(name))
        await ours.open()
        await ours.set_limit(5000.4)
        assert bmc.written() == [(path, expected)]
        assert "If-Match" not in next(headers for method, _, _, headers in bmc.asked if method == "PATCH")
        await ours.close()


async def test_percent_goes_by_the_rating() -> None:
    shown = {"SetPointUnits": "%", "SetPoint": 80, "AllowableMin": 30, "AllowableMax": 100, "Increment": 5}
    async with scripted({**GOOD, CONTROL: shown}) as bmc:
        ours = bmc.client(shipped("redfish-control-percent", rating_w=2000.0))
        ability = await ours.open()
        assert (ability.min_w, ability.max_w, ability.step_w) == (600.0, 2000.0, 100.0)
        assert await ours.read() == Reading(7100.5, 1600.0)
        await ours.set_limit(1299.0)
        assert bmc.written() == [(CONTROL, {"SetPoint": 60})], "down to the control's own step"
        bmc.resources[CONTROL] = shown | {"SetPointUnits": "W"}
        with pytest.raises(DeviceError, match="is set in W, the map says %"):
            await ours.read()
        await ours.close()


@pytest.mark.parametrize(
    ("name", "path", "shown", "ability", "written"),
    [
        ("redfish-chassis", METRICS, {"PowerLimitWatts": {"AllowableMin": 3000.4, "AllowableMax": 10153.8}},
         (3001.0, 10153.0), {"PowerLimitWatts": {"SetPoint": 10153}}),
        ("redfish-control", CONTROL, {"AllowableMin": 3000.4, "AllowableMax": 10153.8, "Increment": 1000},
         (3001.0, 10001.0), {"SetPoint": 10001}),
        ("redfish-control-percent", CONTROL, {"AllowableMin": 30.2, "AllowableMax": 99.5, "SetPointUnits": "%"},
         (31 * 102.0, 99 * 102.0), {"SetPoint": 99}),
    ],
)  # fmt: skip
async def test_a_range_between_whole_units_is_taken_inwards(
    name: str, path: str, shown: dict[str, Any], ability: tuple[float, float], written: Any
) -> None:
    limit = shown.get("PowerLimitWatts", shown) | {"SetPoint": 40}
    async with scripted({**GOOD, path: {"PowerLimitWatts": limit} if path == METRICS else limit}) as bmc:
        ours = bmc.client(shipped(name))
        found = await ours.open()
        assert (found.min_w, found.max_w) == pytest.approx(ability)
        await ours.set_limit(found.max_w)
        assert bmc.written() == [(path, written)]
        await ours.close()


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
