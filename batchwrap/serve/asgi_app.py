"""The ASGI application of `serve`: health, metrics, page, and all other requests to the upstream.

HostCheck or Access -> router -> Relay -> wrapped httpx2 client -> upstream
HostCheck or Login  -> LivePage
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.options import Event, EventHook
from batchwrap.serve.access import Access
from batchwrap.serve.hosts import HostCheck
from batchwrap.serve.live_page import PAGE_STATE, LivePage, Login, Recents, Snapshots, with_page
from batchwrap.serve.merged_metrics import METRICS, merge
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.peers import Peers
from batchwrap.serve.relay import Relay
from batchwrap.serve.sampler import Sampler
from batchwrap.serve.settings import Settings
from batchwrap.serve.traffic import Traffic

_log = logging.getLogger("batchwrap")
HEALTH, METRICS_PATH = "/healthz", "/metrics"
_CONNECT_WITHIN_S = 30.0


def create_app(settings: Settings, *, peers: Peers | None = None, **options: Any) -> ASGIApp:
    """Make the endpoint as an ASGI application.

    Args:
        settings: the upstream, and who may use the endpoint. `port` is not used here.
        peers: the other processes that serve the same port; None if there are none.
        options: the options of `batchwrap.wrap`.

    Returns:
        The application; its lifespan closes the client.

    Raises:
        ConfigError: an option is wrong.
    """
    traffic, recents = Traffic(), Recents(peers.alias if peers else None)
    client = _client(options, traffic.take, recents.take)
    engine = engine_of(client)
    assert engine is not None
    sampler, stats = Sampler(engine), engine.counters.stats
    metrics = Metrics(stats, traffic, lambda: sampler.standings)
    snapshots = Snapshots(settings, stats, sampler, recents, peers=peers)
    relay = Relay(client, settings)

    async def relayed(scope: Scope, receive: Receive, send: Send) -> None:
        with metrics.in_progress.track_inprogress():
            await relay(scope, receive, send)

    async def show_health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": batchwrap.__version__})

    async def show_metrics(request: Request) -> Response:
        content, kind = metrics.render("" if peers else request.headers.get("accept", ""))
        if peers is not None:
            content = await anyio.to_thread.run_sync(_with_others, content, peers)
        return Response(content, media_type=kind)

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_report)
        async with client, anyio.create_task_group() as tasks:
            tasks.start_soon(sampler.run)
            if peers is not None:
                renders = {METRICS: lambda: metrics.render("")[0], PAGE_STATE: snapshots.published}
                tasks.start_soon(peers.run, renders)
            yield
            tasks.cancel_scope.cancel()

    routes = [Route(HEALTH, show_health), Route(METRICS_PATH, show_metrics)]
    router = Router(routes, redirect_slashes=False, default=relayed, lifespan=lifespan)
    page = LivePage(snapshots)
    if settings.token is None:
        app = with_page(router, page, settings)
        return HostCheck(app, [settings.host, *settings.allow_hosts])
    guarded = Access(router, settings.token, frozenset({HEALTH}))
    return with_page(guarded, Login(page, settings.token), settings)


def _with_others(metrics: bytes, peers: Peers) -> bytes:
    """The metrics of all processes. It reads files, so it runs in a worker thread."""
    return merge([metrics, *peers.others(METRICS)])


def _client(options: dict[str, Any], *hooks: EventHook) -> httpx2.AsyncClient:
    """The wrapped client, whose events go to these hooks, and then to the user's own."""
    own: EventHook | None = options.pop("on_event", None)

    def report(event: Event) -> None:
        for hook in (*hooks, own):
            if hook is not None:
                hook(event)

    # The caller decides how long it waits for an answer, and how many requests it sends at once.
    client = httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=_CONNECT_WITHIN_S),
        limits=httpx2.Limits(max_connections=None),
    )
    return batchwrap.wrap(client, on_event=report, **options)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nothing has caught; running out of open files is logged in one line."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        _log.error("no new connection for a second: %s", error.strerror)
    # A second later asyncio listens again, which fails with this ValueError if the socket was
    # closed meanwhile. That needs no report.
    elif not (isinstance(error, ValueError) and "_start_serving" in str(context.get("message"))):
        loop.default_exception_handler(context)
