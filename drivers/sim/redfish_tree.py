"""The Redfish resources of a simulated BMC: what each path shows, and what a PATCH or an action does."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.spec import SimError

Body = dict[str, Any]

ROOT: Final = "/redfish/v1"
UNSET: Final = 4294967295.0
"""What the firmware shows for an override that was never set."""
PRESETS: Final = 5
_NODE: Final = re.compile(rf"{ROOT}/Chassis/([^/]+)/(EnvironmentMetrics|Controls/PowerLimit|Power)\Z")
_PROCESSOR: Final = re.compile(rf"{ROOT}/Systems/([^/]+)/Processors/(\{{id\}})/EnvironmentMetrics\Z")
_RATES: Final = {
    "RampUpWattsPerSecond": 20.0,
    "RampDownWattsPerSecond": 20.0,
    "RampDownHysteresisSeconds": 10.0,
    "TMPFloorPercent": 90.0,
}


class Refused(Exception):
    """A request that the BMC does not do: a status and a message of the Base registry."""

    def __init__(self, status: int, key: str, message: str, resolution: str = "None.") -> None:
        super().__init__(message)
        self.status = status
        self.body: Body = {
            "error": {
                "code": f"Base.1.18.{key}",
                "message": message,
                "@Message.ExtendedInfo": [
                    {
                        "MessageId": f"Base.1.18.{key}",
                        "Message": message,
                        "MessageSeverity": "Warning",
                        "Resolution": resolution,
                    }
                ],
            }
        }


@dataclass(slots=True)
class Firmware:
    """The power smoothing of one GPU."""

    enabled: bool = False
    preset: int = 0
    admin: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_RATES, UNSET))
    applied: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """One path: what a GET shows, what a PATCH and a POST do; None where the method is not allowed."""

    show: Callable[[], Body]
    patch: Callable[[Body], None] | None = None
    post: Callable[[Body], None] | None = None


class Tree:
    """The node of one member: a chassis whose limit is one, or a base board with the GPUs that its map names.

    `mode` is the ControlMode of all limits. Raises SimError when the map's paths are not of a kind that is simulated.
    """

    def __init__(self, member: Member, device_map: RedfishMap) -> None:
        service = device_map.redfish
        self.member = member
        self.mode = "Automatic"
        self.exception = "NoAction"
        self.resources: dict[str, Resource] = {}
        self._map = device_map
        node, processor = _NODE.match(service.cap.path), _PROCESSOR.match(service.cap.path)
        self._overhead_w = service.overhead_w
        count = service.points
        self.names = [service.ids.replace("*", str(i + 1)) for i in range(count)] if count > 1 else [_one(service.ids)]
        self._high_w = (member.max_w - self._overhead_w) / count
        self._low_w = min((member.capability.min_w - self._overhead_w) / count, self._high_w)
        if self._high_w <= 0:
            raise SimError(f"map {device_map.name}: overhead_w leaves nothing of {member.max_w:g} W: lower it")
        self._asked_w = [self._high_w] * count
        self.firmware = [Firmware() for _ in range(count)]
        self._add(f"{ROOT}/Chassis", lambda: collection("Chassis", self._chassis()))
        self._add(f"{ROOT}/Systems", lambda: collection("ComputerSystem", [] if processor is None else [processor[1]]))
        if processor is not None:
            self._add_board(processor[1])
        elif node is not None:
            if "{id}" not in node[1]:
                self.names = [node[1]]
            for i, name in enumerate(self.names):
                self._add_chassis(name, i)
        else:
            raise SimError(f"map {device_map.name}: {service.cap.path} is not simulated: use Chassis or Processors")

    def power_on(self) -> None:
        """What a restart leaves."""
        self.mode = "Automatic"
        self.firmware = [Firmware() for _ in self.firmware]
        self.member.power_on()

    # Limits.

    def limits(self) -> list[float]:
        """The limit of each point: as it was set here, or alike when somebody else moved the node's limit."""
        total_w = self.member.limit_w - self._overhead_w
        if abs(sum(self._asked_w) - total_w) > 0.5:
            self._asked_w = [total_w / len(self._asked_w)] * len(self._asked_w)
        return self._asked_w

    def _set(self, point: int, limit_w: float, name: str, unit_w: float = 1.0) -> None:
        if not self._low_w - 1e-6 <= limit_w <= self._high_w + 1e-6:
            low, high = self._low_w / unit_w, self._high_w / unit_w
            message = f"The value {limit_w / unit_w:g} for the property {name} is not within {low:g} to {high:g}."
            raise Refused(400, "PropertyValueOutOfRange", message, "Correct the value and resubmit the request.")
        asked_w = list(self.limits())
        asked_w[point] = limit_w
        self._asked_w = asked_w
        self.member.write(sum(asked_w) + self._overhead_w)

    # Resources.

    def _add(
        self, path: str, show: Callable[[], Body], patch: Callable[[Body], None] | None = None,
        post: Callable[[Body], None] | None = None,
    ) -> None:  # fmt: skip
        self.resources[path] = Resource(lambda: {"@odata.id": path, **show()}, patch, post)

    def _chassis(self) -> list[str]:
        return [path.rsplit("/", 1)[-1] for path in self.resources if re.fullmatch(rf"{ROOT}/Chassis/[^/]+", path)]

    def _add_chassis(self, name: str, point: int) -> None:
        """A node that is capped as a whole, in all three ways that Redfish has."""
        path = f"{ROOT}/Chassis/{name}"
        rating_w = self._map.redfish.rating_w
        units, unit_w = ("W", 1.0) if rating_w is None else ("%", rating_w / 100.0)
        self._add(path, lambda: chassis(path, "EnvironmentMetrics", "Controls", "Power"))
        self._add(f"{path}/Controls", lambda: collection("Control", ["PowerLimit"]))

        def metrics() -> Body:
            return {"PowerWatts": {"Reading": self._power_w()}, "PowerLimitWatts": self._excerpt(point)}

        def control() -> Body:
            shown: Body = {"Id": "PowerLimit", "Name": "Power limit", "ControlType": "Power", "SetPointUnits": units}
            shown |= self._excerpt(point, unit_w)
            reading = shown.pop("Reading")
            return shown | {"Sensor": {"Reading": reading}, "Status": {"State": "Enabled", "Health": "OK"}}

        def power() -> Body:
            entry: Body = {"MemberId": "0", "Name": "Node", "PowerConsumedWatts": self._power_w()}
            entry["PowerCapacityWatts"] = whole(self._high_w)
            entry["PowerLimit"] = {"LimitInWatts": self._limit(point), "LimitException": self.exception}
            return {"PowerControl": [entry, {"MemberId": "1", "Name": "Fans", "PowerConsumedWatts": 400}]}

        self._add(f"{path}/EnvironmentMetrics", metrics, lambda body: self._patch_excerpt(point, body))
        self._add(f"{path}/Controls/PowerLimit", control, lambda body: self._patch_control(point, body, unit_w))
        self._add(f"{path}/Power", power, lambda body: self._patch_power(point, body))

    def _add_board(self, system: str) -> None:
        """A base board whose GPUs have a limit each."""
        node = f"{ROOT}/Chassis/Chassis_0"
        self._add(node, lambda: chassis(node, "EnvironmentMetrics"))
        self._add(f"{node}/EnvironmentMetrics", lambda: {"PowerWatts": {"Reading": self._node_w()}})
        path = f"{ROOT}/Systems/{system}"
        self._add(path, lambda: {"Id": system, "Processors": {"@odata.id": f"{path}/Processors"}})
        self._add(f"{path}/Processors", lambda: collection("Processor", ["CPU_0", *self.names]))
        self._add(f"{path}/Processors/CPU_0", lambda: {"Id": "CPU_0", "ProcessorType": "CPU"})
        for i, name in enumerate(self.names):
            self._add_gpu(f"{path}/Processors/{name}", name, i)

    def _add_gpu(self, path: str, name: str, point: int) -> None:
        def metrics() -> Body:
            power = {"PowerWatts": {"Reading": self._power_w()}, "EnergykWh": []}
            return power | {"PowerLimitWatts": self._excerpt(point)}

        self._add(
            path,
            lambda: {
                "Id": name,
                "ProcessorType": "GPU",
                "EnvironmentMetrics": {"@odata.id": f"{path}/EnvironmentMetrics"},
            },
        )
        self._add(f"{path}/EnvironmentMetrics", metrics, lambda body: self._patch_excerpt(point, body, integers=True))
        self._add_smoothing(f"{path}/Oem/Nvidia/PowerSmoothing", point)

    # What is shown and written, in the units of the property.

    def _node_w(self) -> float | None:
        return None if self.member.absent else round(self.member.power_w, 3)

    def _power_w(self) -> float | None:
        """What one point draws: its share of what the node draws beside its overhead."""
        share_w = max(0.0, self.member.power_w - self._overhead_w) / len(self.names)
        return None if self.member.absent else round(share_w, 3)

    def _limit(self, point: int, unit_w: float = 1.0) -> float | None:
        return None if self.member.absent else whole(self.limits()[point] / unit_w)

    def _excerpt(self, point: int, unit_w: float = 1.0) -> Body:
        return {
            "Reading": self._power_w(),
            "SetPoint": self._limit(point, unit_w),
            "AllowableMin": whole(self._low_w / unit_w),
            "AllowableMax": whole(self._high_w / unit_w),
            "ControlMode": self.mode,
        }

    def _patch_excerpt(self, point: int, body: Body, *, integers: bool = False) -> None:
        known(body, "PowerLimitWatts")
        self._patch_control(point, as_table(body["PowerLimitWatts"], "PowerLimitWatts"), 1.0, integers=integers)

    def _patch_control(self, point: int, body: Body, unit_w: float, *, integers: bool = False) -> None:
        known(body, "SetPoint", "ControlMode")
        if "ControlMode" in body:
            if body["ControlMode"] not in ("Automatic", "Manual", "Disabled"):
                raise Refused(400, "PropertyValueNotInList", f"{body['ControlMode']!r} is no ControlMode.")
            self.mode = body["ControlMode"]
        if "SetPoint" in body:
            value = as_number(body["SetPoint"], "SetPoint", integers=integers)
            self._set(point, value * unit_w, "SetPoint", unit_w)

    def _patch_power(self, point: int, body: Body) -> None:
        known(body, "PowerControl")
        entries = body["PowerControl"]
        if not isinstance(entries, list) or not entries or any(not isinstance(one, dict) for one in entries):
            raise Refused(400, "PropertyValueTypeError", "PowerControl has to be an array of objects.")
        if len(entries) != 2 or any(entries[1:]):
            raise Refused(400, "PropertyNotWritable", "Only the first PowerControl has a limit; leave others empty.")
        known(entries[0], "PowerLimit")
        limit = as_table(entries[0]["PowerLimit"], "PowerLimit")
        known(limit, "LimitInWatts")
        value = limit["LimitInWatts"]
        self._set(point, self._high_w if value is None else as_number(value, "LimitInWatts"), "LimitInWatts")

    # Power smoothing.

    def _add_smoothing(self, path: str, point: int) -> None:
        def effective() -> Body:
            return _RATES | self.firmware[point].applied

        def show() -> Body:
            ours = self.firmware[point]
            return {
                "@odata.type": "#NvidiaPowerSmoothing.v1_4_0.NvidiaPowerSmoothing",
                "Id": "PowerSmoothing",
                "PowerSmoothingSupported": True,
                "Enabled": ours.enabled,
                **effective(),
                "AppliedPresetProfile": {"@odata.id": f"{path}/PresetProfiles/{ours.preset}"},
                "AdminOverrideProfile": {"@odata.id": f"{path}/AdminOverrideProfile"},
                "PresetProfiles": {"@odata.id": f"{path}/PresetProfiles"},
                "Actions": {
                    f"#NvidiaPowerSmoothing.{name}": {"target": f"{path}/Actions/NvidiaPowerSmoothing.{name}"}
                    for name in ("ActivatePresetProfile", "ApplyAdminOverrides")
                },
            }

        def enable(body: Body) -> None:
            known(body, "Enabled")
            if not isinstance(body["Enabled"], bool):
                raise Refused(400, "PropertyValueTypeError", "Enabled has to be true or false.")
            self.firmware[point].enabled = body["Enabled"]

        def override(body: Body) -> None:
            known(body, *_RATES)
            self.firmware[point].admin |= {name: as_number(value, name) for name, value in body.items()}

        def activate(body: Body) -> None:
            known(body, "ProfileId")
            number = as_number(body["ProfileId"], "ProfileId", integers=True)
            if not 0 <= number < PRESETS:
                raise Refused(400, "ActionParameterValueNotInList", f"{number:g} is no profile.")
            self.firmware[point].preset, self.firmware[point].applied = int(number), {}

        def apply(body: Body) -> None:
            admin = self.firmware[point].admin
            self.firmware[point].applied = {name: value for name, value in admin.items() if value != UNSET}

        self._add(path, show, enable)
        self._add(f"{path}/AdminOverrideProfile", lambda: dict(self.firmware[point].admin), override)
        numbers = [str(i) for i in range(PRESETS)]
        self._add(f"{path}/PresetProfiles", lambda: collection("NvidiaPowerSmoothingPresetProfile", numbers))
        for number in numbers:
            self._add(f"{path}/PresetProfiles/{number}", lambda: dict(_RATES))
        self._add(f"{path}/Actions/NvidiaPowerSmoothing.ActivatePresetProfile", dict, post=activate)
        self._add(f"{path}/Actions/NvidiaPowerSmoothing.ApplyAdminOverrides", dict, post=apply)


def _one(ids: str) -> str:
    return ids.replace("*", "Chassis_0" if ids == "*" else "1")


def chassis(path: str, *parts: str) -> Body:
    """A chassis and where its parts are."""
    return {
        "Id": path.rsplit("/", 1)[-1],
        "ChassisType": "RackMount",
        **{part: {"@odata.id": f"{path}/{part}"} for part in parts},
    }


def collection(kind: str, names: list[str]) -> Body:
    """A collection; the path that it is shown at is that of its members."""
    return {
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} collection",
        "Members@odata.count": len(names),
        "Members": names,
    }


def whole(value: float) -> float:
    """A number as a BMC sends it: without a fraction where there is none."""
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def known(body: Body, *names: str) -> None:
    """Refuses properties that cannot be written, and a request that writes nothing."""
    for name in body:
        if name not in names:
            raise Refused(400, "PropertyUnknown", f"The property {name} is not in the list of writable properties.")
    if not body:
        raise Refused(400, "NoOperation", "The request body contained nothing to act on.")


def as_table(value: object, name: str) -> Body:
    """An object in a request."""
    if not isinstance(value, dict):
        raise Refused(400, "PropertyValueTypeError", f"The property {name} has to be an object.")
    return value


def as_number(value: object, name: str, *, integers: bool = False) -> float:
    """A number in a request."""
    right = isinstance(value, int) if integers else isinstance(value, int | float)
    if isinstance(value, bool) or not right or not isinstance(value, int | float) or not math.isfinite(value):
        kind = "an integer" if integers else "a number"
        raise Refused(400, "PropertyValueTypeError", f"The value {value!r} for the property {name} is not {kind}.")
    return float(value)
