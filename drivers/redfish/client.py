"""One BMC over HTTP: one session, bounded answers, and one error for whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from rampd.drivers.members import DeviceError, Login, Trust
from rampd.drivers.redfish.payload import Absent, Body, brief, link, local, parse, told, warned

ROOT: Final = "/redfish/v1/"
LONGEST: Final = 64 * 1024
"""Bytes of an answer; parsing the worst of that length takes 4 ms, and nothing else runs meanwhile."""
LOGIN_S: Final = 10.0
"""A BMC may take seconds to check a password; who asked may have given up by then, the session is kept for the next."""
BARRED_S: Final = 30.0
"""After a refused login: BMCs lock accounts out when a wrong password comes again and again."""

Verb = Literal["GET", "PATCH", "POST", "DELETE"]
Tls = ssl.SSLContext | aiohttp.Fingerprint
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]+\Z")
_MOST_URLS: Final = 256
_FAILURES: Final = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError)
_REMEDIES: Final = {
    400: "the BMC does not take that value or property",
    401: "the BMC does not know this user and secret",
    403: "the BMC's user lacks a privilege: it needs ConfigureComponents to set limits, Login to read",
    404: "this BMC has no such resource: use a map that fits it",
    405: "this resource cannot be written: use a map that fits it",
    503: "the BMC is busy or has no session left: end stale sessions on it",
}


class Outdated(DeviceError):
    """A write was not done because the resource changed since it was read, or its ETag was not given."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a BMC answered; `body` is empty when there was none."""

    status: int
    body: Body
    headers: Mapping[str, str]

    @property
    def etag(self) -> str | None:
        """The resource's version, None where the BMC keeps none."""
        found = self.headers.get("ETag") or self.body.get("@odata.etag")
        return found if isinstance(found, str) and found.isprintable() and found.isascii() else None


@cache
def tls(trust: Trust) -> Tls:
    """How certificates are checked, made once for all BMCs: it reads files. Raises DeviceError naming the file."""
    if trust.pin is not None:
        try:
            return aiohttp.Fingerprint(bytes.fromhex(trust.pin.replace(":", "")))
        except ValueError as error:
            raise DeviceError(f"pin {brief(trust.pin)} is no SHA-256 of a certificate: 64 hex digits") from error
    try:
        return ssl.create_default_context(cafile=trust.ca_file)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"ca_file {trust.ca_file} cannot be used: {error}: give a file of PEM certificates"
        ) from error


def base(address: str, port: int) -> URL:
    """The URL of a BMC; https, and plain http only where the address says so. Raises DeviceError."""
    try:
        url = URL(address if "://" in address else f"https://{address}")
        odd = url.user or url.query or url.path not in ("", "/") or not _HOST.match(url.host or "")
        if odd or url.scheme not in ("http", "https"):
            raise ValueError("not a host")
        return url.origin().with_port(url.explicit_port or port)
    except ValueError as error:
        raise DeviceError(f"{brief(address)} is no address of a BMC: give HOST, HOST:PORT or https://HOST") from error


class Client:
    """Requests to one BMC; all raise DeviceError. Logs in when first asked, and again when its session was forgotten.

    `timeout_s` holds for each request, `in_flight` bounds those under way. `close` ends the session on the BMC; the
    client can be used again after it.
    """

    def __init__(
        self, url: URL, login: Login | None, trust: Tls | None, auth: Literal["session", "basic"], timeout_s: float,
        in_flight: int,
    ) -> None:  # fmt: skip
        self._url = url
        self._login = login
        self._tls: Tls | bool = True if trust is None else trust
        self._basic = None
        if login is not None and auth == "basic":
            if ":" in login.user:
                raise DeviceError(f"user {brief(login.user)}: basic authentication has no colon in a user's name")
            self._basic = {"Authorization": aiohttp.encode_basic_auth(login.user, login.secret, "utf-8")}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._in_flight = in_flight
        self._gate = asyncio.Semaphore(in_flight)
        self._urls: dict[str, URL] = {}
        self._http: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._stale = False
        self._session_path: str | None = None
        self._entering: asyncio.Task[None] | None = None
        self._barred_s = float("-inf")

    async def get(self, path: str) -> Answer:
        """Reads a resource. Raises Absent when there is none."""
        answer = await self._call("GET", path)
        if answer.status != HTTPStatus.OK or not answer.body:
            raise DeviceError(f"GET {path}: the answer is {answer.status} without a resource")
        return answer

    async def patch(self, path: str, payload: Body, etag: str | None = None) -> None:
        """Changes a resource, with its ETag only if it is still that version: raises Outdated."""
        answer = await self._call("PATCH", path, payload, etag)
        if warned(answer.body):
            raise DeviceError(f"PATCH {path}: not done in full: {self._said(answer.body)}", refused=True)

    async def post(self, path: str, payload: Body) -> None:
        """Runs an action."""
        answer = await self._call("POST", path, payload)
        if warned(answer.body):
            raise DeviceError(f"POST {path}: not done in full: {self._said(answer.body)}", refused=True)

    async def close(self) -> None:
        """Ends the session and all connections. Never raises, ends within a second."""
        try:
            async with asyncio.timeout(0.8):
                if self._entering is not None:
                    await asyncio.wait((self._entering,))
                await self._leave()
        except (TimeoutError, DeviceError):
            pass  # A session that could not be ended is kept: the next opening takes it up again.
        finally:
            if self._entering is not None:
                self._entering.cancel()
            http, self._http = self._http, None
            if http is not None:
                await http.close()

    # One request.

    async def _call(self, verb: Verb, path: str, payload: Body | None = None, etag: str | None = None) -> Answer:
        """A request by the session; when the BMC does not know it any more, a new session and the request once more."""
        headers = await self._authority()
        answer = await self._exchange(verb, path, payload, headers, etag)
        if answer.status == HTTPStatus.UNAUTHORIZED and "X-Auth-Token" in headers:
            self._stale = self._stale or headers["X-Auth-Token"] == self._token
            answer = await self._exchange(verb, path, payload, await self._authority(), etag)
        elif answer.status == HTTPStatus.UNAUTHORIZED:
            self._bar()
        self._check(verb, path, answer)
        return answer

    async def _exchange(
        self, verb: Verb, path: str, payload: Body | None, headers: dict[str, str], etag: str | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Answer:  # fmt: skip
        """One request and its answer, whatever the status."""
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            url = self._urls[path] = self._url.join(URL(path, encoded=True))
        data = None
        if payload is not None:
            data = json.dumps(payload, allow_nan=False)
            headers = headers | {"Content-Type": "application/json"}
        if etag is not None:
            headers = headers | {"If-Match": etag}
        what = f"{verb} {path}"
        try:
            async with (
                self._gate,
                self._open().request(
                    verb, url, data=data, headers=headers, timeout=timeout or self._timeout, allow_redirects=False,
                    ssl=self._tls,
                ) as response,
            ):  # fmt: skip
                raw = await _body(response, what)
                known, status = response.headers, response.status
        except _FAILURES as error:
            within_s = (timeout or self._timeout).total
            raise DeviceError(f"{what}: {_failure(error, within_s)}") from error
        try:
            return Answer(status, parse(raw, what) if raw.strip() else {}, known)
        except DeviceError as error:
            if status < HTTPStatus.MULTIPLE_CHOICES:
                raise DeviceError(self._masked(str(error))) from None
            return Answer(status, {}, known)

    def _check(self, verb: Verb, path: str, answer: Answer) -> None:
        """Raises DeviceError for a status that is not good, with what the BMC said and a remedy."""
        status = answer.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            to = brief(answer.headers.get("Location", "nowhere"))
            raise DeviceError(f"{verb} {path}: {status}, redirects to {to}: give that as the address", refused=True)
        words = [f"{verb} {path}: {status}", self._said(answer.body), _REMEDIES.get(status, "")]
        text = ": ".join(word for word in words if word)
        if status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED):
            raise Outdated(text, refused=True)
        kind = Absent if status == HTTPStatus.NOT_FOUND else DeviceError
        raise kind(text, refused=HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR)

    def _said(self, body: Body) -> str:
        return self._masked(told(body))

    def _masked(self, text: str) -> str:
        """A BMC's own words, without the secret that it may quote."""
        return text.replace(self._login.secret, "***") if self._login is not None and self._login.secret else text

    def _open(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._in_flight),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "OData-Version": "4.0"},
                skip_auto_headers=("User-Agent",),
                auto_decompress=False,
            )
        return self._http

    # The session.

    async def _authority(self) -> dict[str, str]:
        """The headers that say who asks; logs in when there is no session."""
        if self._login is None:
            return {}
        left_s = self._barred_s - asyncio.get_running_loop().time()
        if left_s > 0:
            text = f"the login was refused; tried again in {left_s:.0f} s, lest the account is locked: check the login"
            raise DeviceError(text, refused=True)
        if self._basic is not None:
            return self._basic
        if self._token is None or self._stale:
            if self._entering is None or self._entering.done():
                self._entering = asyncio.create_task(self._enter(self._login))
                self._entering.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Shielded: cut off between the BMC's and our end of it, a login would leave a session that nobody ends.
            await asyncio.shield(self._entering)
        return {"X-Auth-Token": self._token} if self._token is not None else {}

    async def _enter(self, login: Login) -> None:
        """Creates a session, after ending one that the BMC does not take any more: it may still count."""
        if self._stale:
            with contextlib.suppress(DeviceError):
                await self._leave()
            self._token, self._stale = None, False
        path = await self._sessions()
        payload = {"UserName": login.user, "Password": login.secret}
        answer = await self._exchange("POST", path, payload, {}, timeout=aiohttp.ClientTimeout(total=LOGIN_S))
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            self._bar()
        self._check("POST", path, answer)
        token = answer.headers.get("X-Auth-Token", "")
        if not token or not token.isprintable() or not token.isascii():
            raise DeviceError(f'POST {path}: no usable X-Auth-Token in the answer: set auth = "basic" in the map')
        self._token = token
        try:
            named = urlsplit(answer.headers.get("Location", "")).path or answer.body.get("@odata.id")
            place = local(named, f"POST {path}: Location")
        except (DeviceError, ValueError):
            place = ""
        # What is deleted at the end must be a session, whatever the BMC says.
        self._session_path = place if place.startswith(f"{path.rstrip('/')}/") else None

    def _bar(self) -> None:
        """Asks no more for a while."""
        self._barred_s = asyncio.get_running_loop().time() + BARRED_S

    async def _sessions(self) -> str:
        """Where sessions are created: the service root is open to all and says it."""
        answer = await self._exchange("GET", ROOT, None, {})
        self._check("GET", ROOT, answer)
        links = answer.body.get("Links")
        try:
            return link(links if isinstance(links, dict) else {}, "Sessions", "the service root's Links")
        except Absent:
            return f"{ROOT}SessionService/Sessions"

    async def _leave(self) -> None:
        """Deletes the session; once the BMC answered, it is gone."""
        if self._token is not None and self._session_path is not None:
            await self._exchange("DELETE", self._session_path, None, {"X-Auth-Token": self._token})
            self._token = self._session_path = None


async def _body(response: aiohttp.ClientResponse, what: str) -> bytes:
    """The bytes of an answer, none too many."""
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise DeviceError(f"{what}: the answer is {brief(coding)} encoded, which was not asked for")
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LONGEST:
            response.close()
            raise DeviceError(f"{what}: the answer is longer than {LONGEST} bytes")
    return b"".join(parts)


def _failure(error: Exception, within_s: float | None) -> str:
    """Why no usable answer came, and the remedy."""
    match error:
        case aiohttp.ServerFingerprintMismatch():
            return f"its certificate is not the pinned one but {error.got.hex()}: compare it at the BMC, then pin it"
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return f"its certificate is not trusted: {brief(str(reason))}: give its ca_file or pin it"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS: {brief(str(error.os_error.strerror))}: for a BMC without TLS the address is http://HOST"
        case aiohttp.ClientConnectorError():
            return f"no connection: {brief(str(error.os_error.strerror or error.os_error))}: check address and port"
        case TimeoutError():
            return f"no answer within {within_s:g} s"
    return f"no usable answer: {brief(str(error) or type(error).__name__)}"
