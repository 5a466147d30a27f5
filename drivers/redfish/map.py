"""The map of a Redfish rack type: the resources that carry cap and power of a node, and how its BMC is spoken to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from rampd.drivers.maphead import Strict
from rampd.drivers.members import MemberMap

Resource = Literal["environment-metrics", "control", "power", "sensor"]
Path = Annotated[str, Field(pattern=r"^/redfish/v1(/([A-Za-z0-9_.~-]+|\{id\}))+$", max_length=200)]
Watts = Annotated[float, Field(gt=0, le=1e6)]


class Place(Strict):
    """One resource and its kind: EnvironmentMetrics, Control, the older Power, or a Sensor in W."""

    resource: Resource
    path: Path


class Smoothing(Strict):
    """Ramp limits in the firmware of a GPU (NVIDIA PowerSmoothing), set when the BMC is opened.

    `path` is the resource of one power point, `preset` the profile that is activated; what else is given overrides it.
    """

    path: Path
    preset: Annotated[int, Field(ge=0, le=15)] | None = None
    ramp_up_w_per_s: Watts | None = None
    ramp_down_w_per_s: Watts | None = None
    hysteresis_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    floor_percent: Annotated[float, Field(ge=0, le=100)] | None = None

    @model_validator(mode="after")
    def _wanted(self) -> Smoothing:
        if all(getattr(self, name) is None for name in type(self).model_fields if name != "path"):
            raise ValueError("[redfish.smoothing] asks for nothing: give a preset, a ramp, a hysteresis or a floor")
        return self


class Service(Strict):
    """The `[redfish]` table.

    `cap` is where a power limit is set: one resource, or, with `{id}` in its path, every member of the collection
    before it whose name matches `ids`. A BMC must have exactly `points` of them, else load would go uncapped.
    `units` are those of a Control's set point; `rating_w` is what 100 % of one point is.

    `power` is where the power of the node is read, summed over the points when it holds `{id}`; without it, it is the
    power of the points and `overhead_w`. `overhead_w` is what the node draws beside its points: it is added to their
    limits. `ceilings` are further limits on the points together: the lowest holds. One that a BMC has not is left out.

    `in_flight` bounds the requests to one BMC. `etag = "ignore"` is for BMCs whose ETags change with every reading.
    """

    cap: Place
    ids: Annotated[str, Field(min_length=1, max_length=60)] = "*"
    points: Annotated[int, Field(ge=1, le=64)] = 1
    units: Literal["W", "%"] = "W"
    rating_w: Watts | None = None
    power: Place | None = None
    overhead_w: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    ceilings: Annotated[tuple[Place, ...], Field(max_length=4)] = ()
    in_flight: Annotated[int, Field(ge=1, le=16)] = 2
    auth: Literal["session", "basic"] = "session"
    etag: Literal["match", "ignore"] = "match"
    smoothing: Smoothing | None = None

    @model_validator(mode="after")
    def _sound(self) -> Service:
        problems = []
        many = "{id}" in self.cap.path
        if self.cap.path.count("{id}") > 1:
            problems.append("cap.path: one {id} at most")
        if not many and self.points != 1:
            problems.append("points: a cap.path without {id} is one point")
        if self.cap.resource == "sensor" or any(place.resource == "sensor" for place in self.ceilings):
            problems.append("a sensor carries no limit: use it for power only")
        if self.cap.resource != "control" and self.units != "W":
            problems.append("units: only a control can be in %")
        if (self.units == "%") != (self.rating_w is not None):
            problems.append('rating_w: what 100 % is goes with units = "%", and only with it')
        if not many and any("{id}" in path for path in self._other_paths()):
            problems.append("{id} in another path needs {id} in cap.path")
        if any("{id}" in place.path for place in self.ceilings):
            problems.append("ceilings: a limit on all points together has no {id}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _other_paths(self) -> list[str]:
        places = [place.path for place in (self.power, self.smoothing) if place is not None]
        return places + [place.path for place in self.ceilings]


class RedfishMap(MemberMap):
    """A rack whose members are BMCs that speak Redfish (DSP0266)."""

    has_tls: ClassVar[bool] = True

    protocol: Literal["redfish"]
    redfish: Service

    @model_validator(mode="after")
    def _fits(self) -> RedfishMap:
        if self.redfish.overhead_w >= self.capability.min_w:
            raise ValueError(
                f"redfish.overhead_w {self.redfish.overhead_w:g} leaves nothing to cap below capability.min_w"
                f" {self.capability.min_w:g}"
            )
        return self

    def watching(self) -> Self:
        """Without power smoothing, which is set when a BMC is opened."""
        return self.model_copy(update={"redfish": self.redfish.model_copy(update={"smoothing": None})})

    @property
    def point_w(self) -> tuple[float, float]:
        """The range of one point by the maker's word, for BMCs that do not tell it."""
        about, service = self.capability, self.redfish
        return (
            (about.min_w - service.overhead_w) / service.points,
            (about.max_w - service.overhead_w) / service.points,
        )
