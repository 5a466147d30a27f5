"""Redfish maps: what ships is sound, and what is wrong in one is said with its place."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.sim.redfish import RedfishServer
from rampd.drivers.sim.spec import SimError
from tests.bmc import GPUS, MAPS, NAMES, member_of, shipped

CHASSIS = "/redfish/v1/Chassis/{id}/EnvironmentMetrics"
GPU = f"{GPUS}/{{id}}/EnvironmentMetrics"
SMOOTHING = f"{GPUS}/{{id}}/Oem/Nvidia/PowerSmoothing"


def text(name: str) -> dict[str, Any]:
    return tomllib.loads((MAPS / f"{name}.toml").read_text(encoding="utf-8"))


def test_what_ships() -> None:
    assert NAMES == ("redfish-chassis", "redfish-control", "redfish-control-percent", "redfish-hgx", "redfish-power")


@pytest.mark.parametrize("name", NAMES)
def test_a_map_that_ships(name: str) -> None:
    device_map = RedfishMap.model_validate(text(name))
    assert device_map.name == name
    assert "not checked on hardware" in device_map.verified
    low_w, high_w = device_map.point_w
    assert 0 < low_w < high_w
    service, about = device_map.redfish, device_map.capability
    assert service.points * high_w + service.overhead_w == pytest.approx(about.max_w)
    assert service.smoothing is None, "ramps in firmware are a choice of the site"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"pints": 3}, "redfish.pints: Extra inputs are not permitted"),
        ({"cap": {"resource": "toaster", "path": CHASSIS}}, "redfish.cap.resource: Input should be"),
        ({"cap": {"resource": "sensor", "path": CHASSIS}}, "a sensor carries no limit"),
        ({"cap": {"resource": "power"}}, "redfish.cap.path: Field required"),
        ({"cap": {"resource": "power", "path": "/redfish/v1/Chassis/{id}/{id}"}}, "cap.path: one {id} at most"),
        ({"cap": {"resource": "power", "path": "/redfish/v1/Chassis/x{id}/Power"}}, "redfish.cap.path: String should"),
        ({"cap": {"resource": "power", "path": "https://bmc/redfish/v1"}}, "redfish.cap.path: String should match"),
        ({"cap": {"resource": "power", "path": "/redfish/v1/a b"}}, "redfish.cap.path: String should match"),
        ({"cap": {"resource": "power", "path": "/redfish/v1/C/1/Power"}, "points": 2}, "without {id} is one point"),
        ({"points": 0}, "redfish.points: Input should be greater than or equal to 1"),
        ({"points": 65}, "redfish.points: Input should be less than or equal to 64"),
        ({"units": "%"}, "units: only a control can be in %"),
        ({"units": "kW"}, "redfish.units: Input should be 'W' or '%'"),
        ({"rating_w": 700.0}, 'rating_w: what 100 % is goes with units = "%"'),
        ({"in_flight": 0}, "redfish.in_flight"),
        ({"in_flight": 17}, "redfish.in_flight"),
        ({"auth": "none"}, "redfish.auth: Input should be 'session' or 'basic'"),
        ({"etag": "maybe"}, "redfish.etag: Input should be 'match' or 'ignore'"),
        ({"overhead_w": 4600.0}, "overhead_w 4600 leaves nothing to cap below capability.min_w 4600"),
        ({"overhead_w": float("nan")}, "redfish.overhead_w"),
        ({"ceilings": [{"resource": "power", "path": CHASSIS}]}, "a limit on all points together has no {id}"),
        ({"ceilings": [{"resource": "sensor", "path": "/redfish/v1/S"}]}, "a sensor carries no limit"),
        ({"smoothing": {"path": SMOOTHING}}, "asks for nothing: give a preset, a ramp"),
        ({"smoothing": {"path": SMOOTHING, "preset": 16}}, "redfish.smoothing.preset"),
        ({"smoothing": {"path": SMOOTHING, "ramp_up_w_per_s": 0.0}}, "redfish.smoothing.ramp_up_w_per_s"),
        ({"smoothing": {"path": SMOOTHING, "ramp_w": 5}}, "redfish.smoothing.ramp_w: Extra inputs"),
        (
            {"cap": {"resource": "power", "path": "/redfish/v1/C/1/Power"}, "points": 1,
             "power": {"resource": "sensor", "path": CHASSIS}},
            "{id} in another path needs {id} in cap.path",
        ),
    ],
)  # fmt: skip
def test_a_wrong_map(changed: dict[str, Any], problem: str) -> None:
    found = text("redfish-hgx")
    found["redfish"] |= changed
    with pytest.raises(ValidationError) as wrong:
        RedfishMap.model_validate(found)
    lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong.value.errors()]
    assert any(problem in line for line in lines), lines


@pytest.mark.parametrize("changed", [{"protocol": "modbus"}, {"redfish": None}, {"registers": {}}, {"capability": {}}])
def test_a_map_of_another_shape(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RedfishMap.model_validate(text("redfish-hgx") | changed)


def test_what_is_not_simulated_is_said() -> None:
    cap = {"resource": "environment-metrics", "path": "/redfish/v1/Facilities/{id}/EnvironmentMetrics"}
    device_map = shipped("redfish-chassis", cap=cap)
    with pytest.raises(SimError, match=r"map redfish-chassis: .*/Facilities/.* is not simulated: use Chassis"):
        RedfishServer(member_of(device_map), device_map, None)
