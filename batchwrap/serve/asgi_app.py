"""The ASGI application of `serve`: health, metrics, and all other requests to the upstream.

HostCheck or Access -> router -> Relay -> wrapped httpx2 client -> upstream
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

import batchwrap
from batchwrap.serve.access import Access
from batchwrap.serve.hosts import HostCheck
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.relay import Relay
from batchwrap.serve.settings import Settings

_log = logging.getLogger("batchwrap")
HEALTH, METRICS = "/healthz", "/metrics"
_CONNECT_WITHIN_S = 30.0


def create_app(settings: Settings, **options: Any) -> ASGIApp:
    """Make the endpoint as an ASGI application.

    Args:
        settings: the upstream, and who may use the endpoint. `port` is not used here.
        options: the options of `batchwrap.wrap`.

    Returns:
        The application; its lifespan closes the client.

    Raises:
        ConfigError: an option is wrong.
    """
    # The caller decides how long it waits for an answer, and how many requests it sends at once.
    client = httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=_CONNECT_WITHIN_S),
        limits=httpx2.Limits(max_connections=None),
    )
    client = batchwrap.wrap(client, **options)
    metrics = Metrics(partial(batchwrap.stats, client))
    relay = Relay(client, settings)

    async def relayed(scope: Scope, receive: Receive, send: Send) -> None:
        with metrics.in_progress.track_inprogress():
            await relay(scope, receive, send)

    async def show_health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": batchwrap.__version__})

    async def show_metrics(request: Request) -> Response:
        content, kind = metrics.render(request.headers.get("accept", ""))
        return Response(content, media_type=kind)

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_report)
        async with client:
            yield

    routes = [Route(HEALTH, show_health), Route(METRICS, show_metrics)]
    router = Router(routes, redirect_slashes=False, default=relayed, lifespan=lifespan)
    if settings.token is not None:
        return Access(router, settings.token, frozenset({HEALTH}))
    return HostCheck(router, [settings.host, *settings.allow_hosts])


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nothing has caught; running out of open files is logged in one line."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        _log.error("no new connection for a second: %s", error.strerror)
    # A second later asyncio listens again, which fails with this ValueError if the socket was
    # closed meanwhile. That needs no report.
    elif not (isinstance(error, ValueError) and "_start_serving" in str(context.get("message"))):
        loop.default_exception_handler(context)
