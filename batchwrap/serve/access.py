"""The check of the token: with one, `serve` answers only requests that send it as their API key.

With a provider's key behind it, an endpoint without a token would let every program and web page
that can reach it spend on that key.
"""

from __future__ import annotations

from secrets import compare_digest

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwrap.adapters.keys import key_of
from batchwrap.serve.caller import Caller

WRONG_TOKEN = "batchwrap_wrong_token"  # noqa: S105  # a code of an error


class Access:
    """Lets requests with the token through to an application; others get a 401.

    Args:
        app: the application.
        token: the text that clients must send as their API key; None if none is required.
        open_paths: paths that need no token.
    """

    def __init__(self, app: ASGIApp, token: str | None, open_paths: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        message = "The API key is not the token that batchwrap serve was started with."
        await Caller(scope, receive, send).fail(401, message, WRONG_TOKEN)

    def _may_pass(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in self._open_paths:
            return True
        return compare_digest(key_of(Headers(scope=scope)).encode(), self._token.encode())
