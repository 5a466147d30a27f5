"""HTTP: /metrics in both formats, /healthz and /readyz."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as PLAIN
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS

from rampd.daemon.config import Http
from rampd.daemon.metrics import Exposition

log = logging.getLogger("rampd.web")


class WebError(Exception):
    """The port cannot be had; the message names it and the remedy."""


def application(exposition: Exposition, health: Callable[[], str], ready: Callable[[], str]) -> web.Application:
    """The routes. `health` and `ready` return "" when all is well, else what is not."""

    async def metrics(request: web.Request) -> web.Response:
        wants = "application/openmetrics-text" in request.headers.get("Accept", "")
        body = exposition.render(as_openmetrics=wants)
        return web.Response(body=body, headers={"Content-Type": OPENMETRICS if wants else PLAIN})

    def answer(check: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(_: web.Request) -> web.Response:
            problem = check()
            return web.Response(text=(problem or "ok") + "\n", status=503 if problem else 200)

        return handler

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", answer(health))
    app.router.add_get("/readyz", answer(ready))
    return app


async def serve(app: web.Application, http: Http) -> web.AppRunner:
    """Listens; the caller cleans the runner up. Raises WebError."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, http.host, http.port).start()
    except OSError as error:
        await runner.cleanup()
        raise WebError(
            f"http {http.host}:{http.port}: {error.strerror or error}; change [http] or free the port"
        ) from error
    log.info("http://%s:%d/metrics", *runner.addresses[0][:2])
    return runner
