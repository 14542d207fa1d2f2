"""The paths of the page: the page, its data, and nothing else below `/batchwrap`."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwrap.serve.caller import Caller
from batchwrap.serve.live_page.document import GUARDED, document
from batchwrap.serve.live_page.login import LOGIN, PAGE
from batchwrap.serve.live_page.snapshot import Snapshots
from batchwrap.serve.proxy_headers import Headers as Pairs
from batchwrap.serve.settings import Settings

DATA = f"{PAGE}/data"
NO_SUCH_PAGE = "batchwrap_no_such_page"
_LONGEST_NUMBER = 18
_READS = ("GET", "HEAD")
_ROUTES = {PAGE: _READS, DATA: _READS, LOGIN: ("POST",)}


def with_page(app: ASGIApp, page: ASGIApp, settings: Settings) -> ASGIApp:
    """An application that has the page as well, which checks for itself who may see it.

    An upstream whose base URL has a path has nothing at `/`, so a browser is sent to the page.
    Agents reach it below `/v1`. One without a path is reached by its own paths, which may lie below
    the page's; there, only the requests that the page answers are its own.
    """

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        is_below = path == PAGE or path.startswith(f"{PAGE}/")
        if is_below and (settings.base_path or scope["method"] in _ROUTES.get(path, ())):
            await page(scope, receive, send)
        elif path == "/" and settings.base_path and _is_browser(scope):
            await _send(Caller(scope, receive, send), 303, [(b"location", PAGE.encode())], b"")
        else:
            await app(scope, receive, send)

    return either


def _is_browser(scope: Scope) -> bool:
    return scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")


class LivePage:
    """The page as an ASGI application.

    Args:
        snapshots: makes the data.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._document = document("page.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = Caller(scope, receive, send)
        path, is_read = scope["path"], caller.method in _READS
        if path == PAGE and is_read:
            await _send(caller, 200, self._document.headers, self._document.content)
        elif path == DATA and is_read:
            headers = [(b"content-type", b"application/json"), *GUARDED]
            content = await self._snapshots.since(_number_in(caller.query))
            await _send(caller, 200, headers, content)
        else:
            message = f"There is nothing at {path}; the page is at {PAGE}."
            await caller.fail(404, message, NO_SUCH_PAGE, GUARDED)


async def _send(caller: Caller, status: int, headers: Pairs, content: bytes) -> None:
    await caller.start(status, [*headers, (b"content-length", b"%d" % len(content))])
    await caller.piece(b"" if caller.method == "HEAD" else content)
    await caller.end()


def _number_in(query: bytes) -> int:
    """The number in `since=NUMBER`; 0 if there is none."""
    number = query.removeprefix(b"since=")
    return int(number) if number.isdigit() and len(number) <= _LONGEST_NUMBER else 0
