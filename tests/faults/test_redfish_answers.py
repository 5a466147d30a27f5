"""What a BMC may answer wrongly: each wrong answer becomes one clear error, and nothing is set by it."""

from __future__ import annotations

from typing import Any

import pytest

from rampd.drivers.members import DeviceError, Reading
from rampd.drivers.redfish.client import LONGEST
from tests.bmc import (
    CHASSIS,
    CONTROL,
    GOOD,
    LIMIT,
    LOGIN,
    MAP_OF,
    METRICS,
    POWER,
    SESSIONS,
    Answer,
    entry,
    metrics,
    node,
    raw,
    refusal,
    says,
    scripted,
    shipped,
)

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
