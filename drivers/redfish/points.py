"""Power points: the three kinds of Redfish resource that carry a power limit, as one.

EnvironmentMetrics has PowerLimitWatts with a SetPoint; a Control has a SetPoint in W or in % of a rating; the older
Power has PowerControl[0].PowerLimit.LimitInWatts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rampd.drivers.members import DeviceError
from rampd.drivers.redfish.map import Resource
from rampd.drivers.redfish.payload import Absent, Body, brief, number, table, watts, word

_WHOLE_UNITS: Final = 1.0
"""NVIDIA's BMCs refuse a set point with a fraction, and none of the sources has one."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one resource says, in W; None is what it does not tell.

    `limit_w` is infinite where nothing is limited. `hindrance` says why its limit cannot be set, None when it can.
    """

    power_w: float | None
    limit_w: float | None
    min_w: float | None = None
    max_w: float | None = None
    step_w: float = _WHOLE_UNITS
    hindrance: str | None = None
    entries: int = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """The units of a Control's set point: `unit_w` is one of them in W."""

    units: str = "W"
    unit_w: float = 1.0


WATTS: Final = Scale()


def environment_metrics(body: Body, what: str, scale: Scale) -> Look:
    """`PowerLimitWatts` and `PowerWatts` of an EnvironmentMetrics. Raises Absent without a limit."""
    limit = table(body, "PowerLimitWatts", what)
    if "SetPoint" not in limit:
        raise Absent(f"{what}: PowerLimitWatts has no SetPoint")
    power_w = _reading(body, "PowerWatts", what)
    return _control(limit, what, scale, power_w if power_w is not None else watts(limit, "Reading", what))


def control(body: Body, what: str, scale: Scale) -> Look:
    """A Control whose set point is a power. Raises DeviceError when its units are not those of the map."""
    kind = word(body, "ControlType", what)
    if kind not in (None, "Power"):
        raise DeviceError(f"{what} controls {brief(kind)}, not Power: name another control in the map")
    units = word(body, "SetPointUnits", what)
    if units is not None and units != scale.units:
        raise DeviceError(f"{what} is set in {brief(units)}, the map says {scale.units}: use a map with its units")
    if "SetPoint" not in body:
        raise Absent(f"{what} has no SetPoint")
    return _control(body, what, scale, _reading(body, "Sensor", what) if scale is WATTS else None)


def power(body: Body, what: str, scale: Scale) -> Look:
    """The first `PowerControl` of a Power resource. A null limit is no limit, as its schema says."""
    entry, entries = _first_control(body, what)
    limit = table(entry, "PowerLimit", what)
    if "LimitInWatts" not in limit:
        raise Absent(f"{what}: PowerLimit has no LimitInWatts")
    limit_w = float("inf") if limit["LimitInWatts"] is None else _positive(watts(limit, "LimitInWatts", what))
    hindrance = None
    if word(limit, "LimitException", what) == "HardPowerOff":
        hindrance = f"{what} would switch the node off at its limit: set LimitException to LogEventOnly or NoAction"
    return Look(
        watts(entry, "PowerConsumedWatts", what), limit_w, None, _positive(watts(entry, "PowerCapacityWatts", what)),
        hindrance=hindrance, entries=entries,
    )  # fmt: skip


def _control(body: Body, what: str, scale: Scale, power_w: float | None) -> Look:
    """What a Control and its excerpt in EnvironmentMetrics have in common."""

    def scaled(name: str) -> float | None:
        found = number(body, name, what)
        value = None if found is None else found * scale.unit_w
        return value if value is not None and 0.0 <= value <= 1e6 else None

    low_w, high_w = scaled("AllowableMin"), _positive(scaled("AllowableMax"))
    if low_w is not None and high_w is not None and low_w > high_w:
        raise DeviceError(f"{what}: AllowableMin {low_w:g} W exceeds AllowableMax {high_w:g} W")
    limit_w, hindrance = _positive(scaled("SetPoint")), None
    if word(body, "ControlMode", what) == "Disabled":
        limit_w = float("inf")
        hindrance = f"{what}: ControlMode is Disabled, its limit does nothing: set it to Automatic or Manual"
    step_w = max(_WHOLE_UNITS * scale.unit_w, scaled("Increment") or 0.0)
    return Look(power_w, limit_w, low_w, high_w, step_w, hindrance)


def _reading(body: Body, name: str, what: str) -> float | None:
    """The reading of a sensor excerpt; None when there is no such sensor."""
    return None if body.get(name) is None else watts(table(body, name, what), "Reading", f"{what}: {name}")


def _positive(value: float | None) -> float | None:
    """None for 0: no node runs at a limit of nothing, a BMC says so of what it does not know."""
    return value if value else None


def _first_control(body: Body, what: str) -> tuple[Body, int]:
    found = body.get("PowerControl")
    if not isinstance(found, list) or not found:
        raise Absent(f"{what} has no PowerControl")
    if not isinstance(found[0], dict):
        raise DeviceError(f"{what}: PowerControl[0] is {brief(found[0])}, not an object")
    return found[0], min(len(found), 64)


def measured(resource: Resource, body: Body, what: str) -> float | None:
    """The power in a resource that is read for nothing else."""
    match resource:
        case "environment-metrics":
            return _reading(body, "PowerWatts", what)
        case "control":
            return _reading(body, "Sensor", what)
        case "power":
            return watts(_first_control(body, what)[0], "PowerConsumedWatts", what)
        case "sensor":
            units = word(body, "ReadingUnits", what)
            if units not in (None, "W"):
                raise DeviceError(f"{what} reads {brief(units)}, not W: name another sensor in the map")
            return watts(body, "Reading", what)


LOOKS: Final[dict[Resource, Callable[[Body, str, Scale], Look]]] = {
    "environment-metrics": environment_metrics,
    "control": control,
    "power": power,
}


def order(resource: Resource, limit_w: float, scale: Scale, entries: int) -> Body:
    """The PATCH that sets a limit; a whole number of units goes out as an integer."""
    units = round(limit_w / scale.unit_w, 3)
    value = int(units) if units == int(units) else units
    match resource:
        case "control":
            return {"SetPoint": value}
        case "power":
            # A service may drop the members of an array that a PATCH leaves out; an empty object keeps one.
            return {"PowerControl": [{"PowerLimit": {"LimitInWatts": value}}, *({} for _ in range(entries - 1))]}
        case _:
            return {"PowerLimitWatts": {"SetPoint": value}}
