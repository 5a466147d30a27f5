"""A BMC that speaks Redfish, for one member of a simulated rack: sessions, ETags, refusals with their messages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from rampd.drivers.members import Login
from rampd.drivers.redfish.map import RedfishMap
from rampd.drivers.sim.members import Member
from rampd.drivers.sim.redfish_tree import ROOT, Body, Refused, Resource, Tree, known

MOST_SESSIONS: Final = 8
IDLE_S: Final = 1800.0
SERVICE: Final = f"{ROOT}/SessionService"
SESSIONS: Final = f"{SERVICE}/Sessions"
METADATA: Final = f"{ROOT}/$metadata"
_ALWAYS: Final = {
    "OData-Version": "4.0",
    "Cache-Control": "no-cache",
    "Link": f"<{METADATA}>; rel=describedby",
}
_OPEN: Final[dict[str, Body]] = {
    "/redfish": {"v1": f"{ROOT}/"},
    ROOT: {
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
        "@odata.id": f"{ROOT}/",
        "Id": "RootService",
        "Name": "rampd simulated BMC",
        "RedfishVersion": "1.18.0",
        "Chassis": {"@odata.id": f"{ROOT}/Chassis"},
        "Systems": {"@odata.id": f"{ROOT}/Systems"},
        "SessionService": {"@odata.id": SERVICE},
        "Links": {"Sessions": {"@odata.id": SESSIONS}},
    },
    f"{ROOT}/odata": {
        "@odata.context": METADATA,
        "value": [
            {"name": name, "kind": "Singleton", "url": f"{ROOT}/{path}"}
            for name, path in (
                ("Service", ""),
                ("Chassis", "Chassis"),
                ("Systems", "Systems"),
                ("SessionService", "SessionService"),
                ("Sessions", "SessionService/Sessions"),
            )
        ],
    },
}
"""What everybody may read without a session."""
_SERVICE: Final[Body] = {
    "@odata.type": "#SessionService.v1_1_9.SessionService",
    "@odata.id": SERVICE,
    "Id": "SessionService",
    "Name": "Session service",
    "SessionTimeout": int(IDLE_S),
    "Sessions": {"@odata.id": SESSIONS},
}
_METADATA_XML: Final = """<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0"><edmx:DataServices>
<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">
<EntityContainer Name="Service" Extends="ServiceRoot.v1_15_0.ServiceContainer"/></Schema>
</edmx:DataServices></edmx:Edmx>
"""


@dataclass(slots=True)
class Session:
    """One login; `used_s` is when it was last used, CLOCK_MONOTONIC."""

    id: str
    token: str
    user: str
    used_s: float


class RedfishServer:
    """The Redfish service of one BMC. With `login` None it asks for none.

    `sessions` are those open now; a session that nobody used for half an hour ends. `asked` counts requests by
    (method, status).
    """

    def __init__(self, member: Member, device_map: RedfishMap, login: Login | None) -> None:
        self.tree = Tree(member, device_map)
        self.sessions: dict[str, Session] = {}
        self.asked: dict[tuple[str, int], int] = {}
        self._login = login
        self._numbers = itertools.count(1)
        self._server: web.Server | None = None

    async def start(self) -> None:
        """Makes the HTTP server whose connections `connect` gives."""
        self._server = web.Server(self._handle, access_log=None)

    def connect(self) -> asyncio.Protocol:
        """The protocol object of a connection that was accepted."""
        if self._server is None:
            raise RuntimeError("start() comes first")
        return self._server()

    def power_on(self) -> None:
        """What a restart leaves: no sessions, no limit, firmware settings as delivered."""
        self.sessions.clear()
        self.tree.power_on()

    async def stop(self) -> None:
        """Closes all connections."""
        if self._server is not None:
            await self._server.shutdown(0.2)
            self._server = None

    # Requests.

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if request.method == "POST" and path == f"{SESSIONS}/Members":
            path = SESSIONS
        try:
            raw = await request.read() if request.body_exists else b""
            response = self._answer(request, path, raw)
        except Refused as refusal:
            response = web.json_response(refusal.body, status=refusal.status)
            if refusal.status == 401:
                response.headers["WWW-Authenticate"] = 'Basic realm="BMC"'
        except web.HTTPRequestEntityTooLarge:
            response = web.json_response(Refused(413, "PayloadTooLarge", "The body is too large.").body, status=413)
        if allowed := self._allowed(path):
            response.headers["Allow"] = ", ".join(allowed)
        response.headers.update(_ALWAYS)
        self.asked[request.method, response.status] = self.asked.get((request.method, response.status), 0) + 1
        return response

    def _answer(self, request: web.BaseRequest, path: str, raw: bytes) -> web.Response:
        method = "GET" if request.method == "HEAD" else request.method
        if path not in _OPEN and (path, method) not in ((METADATA, "GET"), (SESSIONS, "POST")):
            self._authorise(request)
        allowed = self._allowed(path)
        if not allowed:
            raise Refused(404, "ResourceMissingAtURI", f"The resource at the URI {path} was not found.")
        if method not in allowed:
            raise Refused(405, "OperationNotAllowed", f"The HTTP method {method} is not allowed on this resource.")
        if request.headers.get("OData-Version", "4.0") != "4.0":
            raise Refused(412, "HeaderInvalid", "The OData-Version is not supported.", "Use version 4.0.")
        if path in _OPEN:
            return web.json_response(_OPEN[path])
        if path == METADATA:
            return web.Response(text=_METADATA_XML, content_type="application/xml")
        if path == SERVICE:
            return web.json_response(_SERVICE)
        if path.startswith(SESSIONS):
            return self._enter(_body(raw)) if method == "POST" else self._session(method, path)
        resource = self.tree.resources[path]
        if method == "GET":
            return self._get(path, resource)
        if method == "PATCH":
            return self._patch(request, path, resource, raw)
        assert resource.post is not None
        resource.post(_body(raw))
        return web.Response(status=204)

    def _allowed(self, path: str) -> tuple[str, ...]:
        """The methods of a path; none where there is nothing."""
        if path in _OPEN or path in (METADATA, SERVICE):
            return ("GET", "HEAD")
        if path == SESSIONS:
            return ("GET", "HEAD", "POST")
        if path.startswith(f"{SESSIONS}/"):
            known_here = any(path == f"{SESSIONS}/{one.id}" for one in self.sessions.values())
            return ("GET", "HEAD", "DELETE") if known_here else ()
        resource = self.tree.resources.get(path)
        if resource is None:
            return ()
        if resource.post is not None:
            return ("POST",)
        return ("GET", "HEAD", "PATCH") if resource.patch is not None else ("GET", "HEAD")

    def _get(self, path: str, resource: Resource) -> web.Response:
        body = resource.show()
        if "Members" in body:
            body["Members"] = [{"@odata.id": f"{path}/{name}"} for name in body["Members"]]
        etag = self._etag(path, resource)
        return web.json_response(body | {"@odata.etag": etag}, headers={"ETag": etag})

    def _patch(self, request: web.BaseRequest, path: str, resource: Resource, raw: bytes) -> web.Response:
        wanted = request.headers.get("If-Match", "*")
        if wanted != "*" and wanted != self._etag(path, resource):
            message = "The ETag supplied did not match the ETag of the current resource."
            raise Refused(412, "PreconditionFailed", message, "Get the current resource and try again.")
        assert resource.patch is not None
        resource.patch(_body(raw))
        return web.Response(status=204, headers={"ETag": self._etag(path, resource)})

    @staticmethod
    def _etag(path: str, resource: Resource) -> str:
        """Of what can be written alone: readings do not make a new version."""
        text = json.dumps(_settings(resource.show()), sort_keys=True)
        return f'W/"{hashlib.sha256((path + text).encode()).hexdigest()[:16]}"'

    # Sessions.

    def _enter(self, body: Body) -> web.Response:
        known(body, "UserName", "Password")
        if self._login is not None and not self._right(str(body.get("UserName")), str(body.get("Password"))):
            raise Refused(401, "ResourceAtUriUnauthorized", "The user name or password is wrong.")
        self._expire()
        if len(self.sessions) >= MOST_SESSIONS:
            message = "The session establishment failed because the number of simultaneous sessions is exceeded."
            raise Refused(503, "SessionLimitExceeded", message, "Reduce the number of other sessions.")
        made = Session(str(next(self._numbers)), secrets.token_hex(16), str(body.get("UserName")), time.monotonic())
        self.sessions[made.token] = made
        headers = {"X-Auth-Token": made.token, "Location": f"{SESSIONS}/{made.id}"}
        return web.json_response(_shown(made), status=201, headers=headers)

    def _session(self, method: str, path: str) -> web.Response:
        if path == SESSIONS:
            found = [{"@odata.id": f"{SESSIONS}/{one.id}"} for one in self.sessions.values()]
            about: Body = {
                "@odata.type": "#SessionCollection.SessionCollection", "@odata.id": path, "Name": "Sessions",
                "Members@odata.count": len(found), "Members": found,
            }  # fmt: skip
            return web.json_response(about)
        token, one = next((t, one) for t, one in self.sessions.items() if path == f"{SESSIONS}/{one.id}")
        if method == "GET":
            return web.json_response(_shown(one))
        del self.sessions[token]
        return web.Response(status=204)

    def _authorise(self, request: web.BaseRequest) -> None:
        if self._login is None:
            return
        self._expire()
        session = self.sessions.get(request.headers.get("X-Auth-Token", ""))
        if session is not None:
            session.used_s = time.monotonic()
            return
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            try:
                user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except ValueError:
                user = secret = ""
            if self._right(user, secret):
                return
        raise Refused(401, "NoValidSession", "There is no valid session established with the implementation.")

    def _right(self, user: str, secret: str) -> bool:
        assert self._login is not None
        given, right = f"{user}\0{secret}".encode(), f"{self._login.user}\0{self._login.secret}".encode()
        return hmac.compare_digest(given, right)

    def _expire(self) -> None:
        oldest_s = time.monotonic() - IDLE_S
        for token in [token for token, one in self.sessions.items() if one.used_s < oldest_s]:
            del self.sessions[token]


def _shown(session: Session) -> Body:
    return {
        "@odata.type": "#Session.v1_7_0.Session",
        "@odata.id": f"{SESSIONS}/{session.id}",
        "Id": session.id,
        "Name": "Session",
        "UserName": session.user,
        "Password": None,
    }


def _settings(value: Any) -> Any:
    """A resource without its readings."""
    if isinstance(value, dict):
        return {k: _settings(v) for k, v in value.items() if k not in ("Reading", "PowerConsumedWatts")}
    return [_settings(one) for one in value] if isinstance(value, list) else value


def _body(raw: bytes) -> Body:
    """The object that a client sent."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "MalformedJSON", "The request body contained malformed JSON, or no object.")
    return found
