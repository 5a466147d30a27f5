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
_SESSIONS: Final = f"{ROOT}/SessionService/Sessions"
_LARGEST: Final = 64 * 1024


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
        try:
            raw = await request.read() if request.body_exists else b""
            response = self._answer(request, path, raw)
        except Refused as refusal:
            response = web.json_response(refusal.body, status=refusal.status)
            if refusal.status == 401:
                response.headers["WWW-Authenticate"] = 'Basic realm="BMC"'
        except web.HTTPRequestEntityTooLarge:
            response = web.json_response(Refused(413, "PayloadTooLarge", "The body is too large.").body, status=413)
        response.headers["OData-Version"] = "4.0"
        self.asked[request.method, response.status] = self.asked.get((request.method, response.status), 0) + 1
        return response

    def _answer(self, request: web.BaseRequest, path: str, raw: bytes) -> web.Response:
        method = request.method
        if path == "/redfish":
            return web.json_response({"v1": f"{ROOT}/"})
        if path == ROOT and method == "GET":
            return web.json_response(_root())
        if path in (_SESSIONS, f"{_SESSIONS}/Members") and method == "POST":
            return self._enter(_body(raw))
        self._authorise(request)
        if path == f"{ROOT}/SessionService" and method == "GET":
            sessions = {"@odata.id": _SESSIONS}
            about: Body = {"@odata.id": path, "Id": "SessionService", "SessionTimeout": int(IDLE_S)}
            return web.json_response(about | {"Sessions": sessions})
        if path.startswith(_SESSIONS):
            return self._session(method, path)
        resource = self.tree.resources.get(path)
        if resource is None:
            raise Refused(404, "ResourceMissingAtURI", f"The resource at the URI {path} was not found.")
        match method:
            case "GET" if resource.post is None:
                return self._get(path, resource)
            case "PATCH" if resource.patch is not None:
                return self._patch(request, path, resource, raw)
            case "POST" if resource.post is not None:
                resource.post(_body(raw))
                return web.Response(status=204)
        raise Refused(405, "OperationNotAllowed", f"The HTTP method {method} is not allowed on this resource.")

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
        headers = {"X-Auth-Token": made.token, "Location": f"{_SESSIONS}/{made.id}"}
        return web.json_response(_shown(made), status=201, headers=headers)

    def _session(self, method: str, path: str) -> web.Response:
        if path == _SESSIONS and method == "GET":
            found = [{"@odata.id": f"{_SESSIONS}/{one.id}"} for one in self.sessions.values()]
            about: Body = {"@odata.id": path, "Name": "Sessions", "Members@odata.count": len(found)}
            return web.json_response(about | {"Members": found})
        for token, one in self.sessions.items():
            if path == f"{_SESSIONS}/{one.id}":
                if method == "DELETE":
                    del self.sessions[token]
                    return web.Response(status=204)
                if method == "GET":
                    return web.json_response(_shown(one))
        raise Refused(404, "ResourceMissingAtURI", f"There is no session at {path} for {method}.")

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


def _root() -> Body:
    return {
        "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
        "@odata.id": f"{ROOT}/",
        "Id": "RootService",
        "Name": "rampd simulated BMC",
        "RedfishVersion": "1.18.0",
        "Chassis": {"@odata.id": f"{ROOT}/Chassis"},
        "Systems": {"@odata.id": f"{ROOT}/Systems"},
        "SessionService": {"@odata.id": f"{ROOT}/SessionService"},
        "Links": {"Sessions": {"@odata.id": _SESSIONS}},
    }


def _shown(session: Session) -> Body:
    return {"@odata.id": f"{_SESSIONS}/{session.id}", "Id": session.id, "UserName": session.user, "Password": None}


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
