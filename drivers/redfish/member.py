"""One BMC as a member of a rack: its power points as one limit, and what its node draws."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, TypeVar

from rampd.drivers.members import Ability, DeviceError, Login, Reading, Trust
from rampd.drivers.redfish import smoothing
from rampd.drivers.redfish.client import Answer, Client, Outdated, base, tls
from rampd.drivers.redfish.map import Place, RedfishMap
from rampd.drivers.redfish.payload import Absent, Body, brief, link, members
from rampd.drivers.redfish.points import LOOKS, WATTS, Look, Scale, measured, order
from rampd.drivers.spread import Seat, spread

MOST_CANDIDATES: Final = 64
MOST_PAGES: Final = 8
_SLACK: Final = 1e-6
T = TypeVar("T")


@dataclass(slots=True)
class Point:
    """One resource with a power limit; powers in W."""

    id: str
    path: str
    min_w: float
    max_w: float
    look: Look
    etag: str | None

    @property
    def limit_w(self) -> float | None:
        """The limit that is enforced, at most what the point can draw; None when it does not tell."""
        return None if self.look.limit_w is None else min(self.look.limit_w, self.max_w)

    @property
    def ability(self) -> Ability:
        """Its range and grid."""
        return Ability(self.min_w, self.max_w, self.look.step_w)


class RedfishMember:
    """A node's BMC. Making one may read certificate files: make it outside the event loop. Raises DeviceError."""

    def __init__(self, address: str, device_map: RedfishMap, login: Login | None, trust: Trust) -> None:
        self._map = device_map
        self._service = service = device_map.redfish
        url = base(address, device_map.port)
        self.id = f"{url.host}:{url.port}"
        self._client = Client(
            url, login, tls(trust) if url.scheme == "https" else None, service.auth, device_map.timeout_s,
            service.in_flight,
        )  # fmt: skip
        self._cap = service.cap
        self._scale = WATTS if service.rating_w is None else Scale("%", service.rating_w / 100.0)
        self._points: tuple[Point, ...] = ()
        self._metered: tuple[tuple[Place, str], ...] = ()
        self._ceilings: tuple[Place, ...] = ()

    async def open(self) -> Ability:
        """Logs in, finds the power points and what they can be set to, prepares power smoothing."""
        self._points = ()
        points = await self._discover()
        service = self._service
        if service.power is not None and service.power != self._cap:
            ids = [point.id for point in points] if "{id}" in service.power.path else [""]
            self._metered = tuple((service.power, service.power.path.replace("{id}", one)) for one in ids)
        self._ceilings = await self._find_ceilings()
        if service.smoothing is not None:
            wanted = service.smoothing
            paths = [wanted.path.replace("{id}", point.id) for point in points]
            await _all([partial(smoothing.prepare, self._client, path, wanted) for path in paths])
        self._points = points
        return Ability(
            min_w=sum(point.min_w for point in points) + service.overhead_w,
            max_w=sum(point.max_w for point in points) + service.overhead_w,
            step_w=max(point.look.step_w for point in points),
        )

    async def read(self) -> Reading:
        """What the node draws, and the sum of the limits that its points enforce."""
        points = self._opened()
        client, overhead_w = self._client, self._service.overhead_w
        paths = [point.path for point in points]
        paths += [path for _, path in self._metered] + [place.path for place in self._ceilings]
        answers = await _all([partial(client.get, path) for path in paths])
        for point, answer in zip(points, answers, strict=False):
            point.look, point.etag = self._look(answer.body, point.path), answer.etag
        powers: list[float | None] = [point.look.power_w for point in points]
        if self._metered:
            found = zip(self._metered, answers[len(points) :], strict=False)
            powers = [measured(place.resource, answer.body, path) for (place, path), answer in found]
        power_w = _sum(powers)
        if power_w is not None and self._service.power is None:
            power_w += overhead_w
        limit_w = _sum([point.limit_w for point in points])
        for place, answer in zip(self._ceilings, answers[len(answers) - len(self._ceilings) :], strict=True):
            ceiling_w = LOOKS[place.resource](answer.body, place.path, WATTS).limit_w
            limit_w = None if limit_w is None or ceiling_w is None else min(limit_w, ceiling_w)
        return Reading(power_w, None if limit_w is None else limit_w + overhead_w)

    async def set_limit(self, limit_w: float) -> None:
        """Splits a limit of the node over its points and sets each; returns when the BMC accepted all."""
        points = self._opened()
        least_w = sum(point.min_w for point in points) + self._service.overhead_w
        most_w = sum(point.max_w for point in points) + self._service.overhead_w
        if not least_w - 0.5 <= limit_w <= most_w + 0.5:
            raise DeviceError(f"{limit_w:g} W is not within {least_w:g} to {most_w:g} W", refused=True)
        for point in points:
            if point.look.hindrance is not None:
                raise DeviceError(point.look.hindrance, refused=True)
        seats = [Seat(point.ability, point.max_w if point.limit_w is None else point.limit_w) for point in points]
        parts = spread(limit_w - self._service.overhead_w, seats)
        await _all([partial(self._order, point, part_w) for point, part_w in zip(points, parts, strict=True)])

    async def close(self) -> None:
        """Ends the session on the BMC."""
        self._points = ()
        await self._client.close()

    def _opened(self) -> tuple[Point, ...]:
        if not self._points:
            raise DeviceError("not open")
        return self._points

    def _look(self, body: Body, what: str) -> Look:
        return LOOKS[self._cap.resource](body, what, self._scale)

    async def _order(self, point: Point, limit_w: float) -> None:
        """Sets one point. A write that finds the resource changed reads it again and is repeated once."""
        etag = point.etag if self._service.etag == "match" else None
        payload = order(self._cap.resource, limit_w, self._scale, point.look.entries)
        try:
            await self._client.patch(point.path, payload, etag)
        except Outdated:
            answer = await self._client.get(point.path)
            point.look, point.etag = self._look(answer.body, point.path), answer.etag
            if point.look.hindrance is not None:
                raise DeviceError(point.look.hindrance, refused=True) from None
            payload = order(self._cap.resource, limit_w, self._scale, point.look.entries)
            await self._client.patch(point.path, payload, point.etag)
        # What was written has another version.
        point.etag = None

    # Discovery.

    async def _discover(self) -> tuple[Point, ...]:
        """The power points of this BMC, in the order of their names. Raises DeviceError unless all are there."""
        path, wanted = self._cap.path, self._service.points
        ids = await self._ids(path) if "{id}" in path else [""]
        answers = await _all([partial(self._candidate, path.replace("{id}", one)) for one in ids], Absent)
        points = []
        for one, answer in zip(ids, answers, strict=True):
            if not isinstance(answer, Absent):
                points.append(self._point(one, path.replace("{id}", one), answer))
        if len(points) != wanted:
            absent = "; ".join(str(answer) for answer in answers if isinstance(answer, Absent))
            names = ", ".join(point.id for point in points) or absent or "none"
            raise DeviceError(
                f"{len(points)} power limits at {path} with ids {self._service.ids!r}, the map says {wanted}"
                f" ({brief(names)}): correct ids and points in the map"
            )
        return tuple(points)

    async def _candidate(self, path: str) -> Answer:
        """A resource that has a limit. Raises Absent when it has not."""
        answer = await self._client.get(path)
        self._look(answer.body, path)
        return answer

    def _point(self, name: str, path: str, answer: Answer) -> Point:
        look = self._look(answer.body, path)
        low_w, high_w = self._map.point_w
        # A Power resource does not tell the range of its limit, and its capacity is that of the supplies.
        min_w = low_w if look.min_w is None else look.min_w
        max_w = high_w if look.max_w is None else look.max_w
        if self._cap.resource == "power":
            max_w = min(max_w, high_w)
        if min_w > max_w:
            raise DeviceError(f"{path}: its range, {min_w:g} to {max_w:g} W, is empty: correct the map's capability")
        # Inwards to whole units and steps: what lies between them could not be written.
        min_w = math.ceil(min_w / self._scale.unit_w - _SLACK) * self._scale.unit_w
        max_w = min_w + max(0, math.floor((max_w - min_w) / look.step_w + _SLACK)) * look.step_w
        return Point(name, path, min_w, max_w, look, answer.etag)

    async def _ids(self, path: str) -> list[str]:
        """The names in the collection before `{id}` that the map asks for."""
        page: str | None = path.partition("/{id}")[0]
        found: list[str] = []
        for _ in range(MOST_PAGES):
            if page is None:
                break
            body = (await self._client.get(page)).body
            found += [one.rstrip("/").rsplit("/", 1)[-1] for one in members(body, page)]
            following = body.get("Members@odata.nextLink")
            page = None if following is None else link({"next": {"@odata.id": following}}, "next", page)
        wanted = [one for one in found if fnmatchcase(one, self._service.ids)]
        if page is not None or len(wanted) > MOST_CANDIDATES:
            raise DeviceError(f"{path}: more than {MOST_CANDIDATES} names match ids {self._service.ids!r}: narrow them")
        return sorted(set(wanted), key=_natural)

    async def _find_ceilings(self) -> tuple[Place, ...]:
        """Those further limits of the map that this BMC has."""

        async def look(place: Place) -> Place:
            LOOKS[place.resource]((await self._client.get(place.path)).body, place.path, WATTS)
            return place

        found = await _all([partial(look, place) for place in self._service.ceilings], Absent)
        return tuple(place for place in found if isinstance(place, Place))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts GPU_10 after GPU_9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _sum(values: Sequence[float | None]) -> float | None:
    """A sum; None when one of the values is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


async def _all(calls: Sequence[Callable[[], Awaitable[T]]], *passed: type[DeviceError]) -> list[Any]:
    """Runs calls side by side, each to its end, and returns their results in order.

    Errors in `passed` stand in the place of results. Raises DeviceError, saying how many failed and why the first did.
    """

    async def attempt(call: Callable[[], Awaitable[T]]) -> T | DeviceError:
        try:
            return await call()
        except DeviceError as error:
            return error

    results = [await attempt(calls[0])] if len(calls) == 1 else await asyncio.gather(*map(attempt, calls))
    failed = [one for one in results if isinstance(one, DeviceError) and not isinstance(one, passed)]
    if failed:
        text = f"{len(failed)} of {len(calls)} failed: {failed[0]}" if len(calls) > 1 else str(failed[0])
        raise DeviceError(text, refused=all(error.refused for error in failed))
    return results
