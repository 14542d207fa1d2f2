"""Relays one request to the upstream and its answer back, until either side disconnects."""

from __future__ import annotations

import logging
import re
import traceback

import anyio
import httpx2
from starlette.types import Receive, Scope, Send

from batchwrap.adapters.keys import with_key, without_key
from batchwrap.serve.caller import Caller, ClientGone, TooLarge, TooSlow
from batchwrap.serve.protocol import MALFORMED, TOO_SLOW
from batchwrap.serve.proxy_headers import Headers, end_to_end, for_upstream, readable_answer
from batchwrap.serve.settings import Settings

_log = logging.getLogger("batchwrap")
UNREACHABLE, BAD_TARGET = "batchwrap_upstream_unreachable", "batchwrap_bad_target"
BAD_ANSWER, INTERNAL = "batchwrap_upstream_malformed", "batchwrap_internal_error"
BODY_TOO_LARGE, NO_WEBSOCKETS = "batchwrap_body_too_large", "batchwrap_no_websockets"
_VERSION, _OF_ANTHROPIC = b"/v1", b"/messages"
_ENDS_IN_VERSION = re.compile(rb"/v\d[^/]*$")
_CLOSE = [(b"connection", b"close")]
_USE_HTTP = [(b"connection", b"upgrade"), (b"upgrade", b"HTTP/1.1")]
_STATUSES = range(200, 600)


def target_path(base: bytes, path: bytes) -> bytes:
    """The path of a request at an upstream with this base path.

    OpenAI's base URLs end with the version (`/v1`), Anthropic's end before it, and people use
    either for both. So `/v1` at the beginning of a path is ignored, and added where it is missing.
    """
    bare = path
    while bare.startswith(_VERSION + b"/") or bare == _VERSION:
        bare = bare.removeprefix(_VERSION)
    if bare.startswith(_OF_ANTHROPIC) and bare[len(_OF_ANTHROPIC) :][:1] in (b"", b"/"):
        return base + bare if _ENDS_IN_VERSION.search(base) else base + _VERSION + bare
    return base + bare if base or bare == path else _VERSION + bare


class Relay:
    """An ASGI application that sends every request to the upstream with a wrapped client.

    The client decides what it translates. A caller that disconnects ends the request to the
    upstream; one that reads slowly slows the upstream down.
    """

    def __init__(self, client: httpx2.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._upstream = httpx2.URL(settings.upstream)
        self._base_path = self._upstream.raw_path.rstrip(b"/")
        known = client.headers.get("accept-encoding", "").encode().split(b",")
        self._encodings = frozenset(name.strip() for name in known)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = Caller(scope, receive, send)
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await caller.gone()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await self._serve(caller)
            tasks.cancel_scope.cancel()

    async def _serve(self, caller: Caller) -> None:
        if caller.wants_websocket:
            message = "There are no WebSockets here; use HTTP."
            await caller.fail(426, message, NO_WEBSOCKETS, _USE_HTTP)
        elif caller.is_smuggled:
            message = "The request has content-length and transfer-encoding."
            await caller.fail(400, message, MALFORMED, _CLOSE)
        else:
            await self._relay(caller)

    async def _relay(self, caller: Caller) -> None:
        try:
            response = await self._client.send(await self._request(caller), stream=True)
            await self._hand_out(response, caller)
        except ClientGone:
            pass
        except TooLarge:
            message = f"The request has more than {self._settings.max_body_bytes:,} bytes."
            await caller.fail(413, message, BODY_TOO_LARGE)
        except TooSlow:
            await caller.fail(408, "The body of the request stopped.", TOO_SLOW, _CLOSE)
        except httpx2.InvalidURL as error:
            await caller.fail(400, f"This is no path that can be sent on: {error}", BAD_TARGET)
        except httpx2.RequestError as error:
            await self._failed(caller, error)
        except Exception as error:  # outermost handler: the client gets an answer in any case
            await self._broken(caller, error)

    async def _request(self, caller: Caller) -> httpx2.Request:
        """The caller's request, as it goes to the upstream."""
        target = self._target(caller)
        headers = self._keyed(for_upstream(caller.headers.raw))
        # A request that may be translated is read whole, and its answer must be readable.
        if caller.is_json:
            headers = readable_answer(headers, self._encodings)
        is_upload = caller.has_body and not caller.is_json
        return httpx2.Request(
            caller.method,
            self._upstream.copy_with(raw_path=target),
            headers=headers,
            content=caller.body() if is_upload else await self._whole(caller),
            extensions={"target": target},  # the exact bytes: a URL would encode some of them anew
        )

    def _target(self, caller: Caller) -> bytes:
        """Path and query at the upstream, whose base path replaces ours.

        Raises:
            httpx2.InvalidURL: the path is absolute, as for a forward proxy.
        """
        path = caller.path
        if not path.startswith(b"/"):
            raise httpx2.InvalidURL("it does not begin with /")
        path = target_path(self._base_path, path)
        return path + b"?" + caller.query if caller.query else path

    def _keyed(self, headers: Headers) -> Headers:
        """The headers with the upstream's key in place of our token, if there is a token."""
        if self._settings.token is None:
            return headers
        key = self._settings.api_key
        return without_key(headers) if key is None else with_key(headers, key)

    async def _failed(self, caller: Caller, error: httpx2.RequestError) -> None:
        """Report an error of the upstream; in the middle of an answer, by breaking it off."""
        upstream = self._settings.upstream
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if caller.answered:
            _log.warning("the answer of %s broke off: %s", upstream, reason)
        else:
            await caller.fail(502, f"{upstream} cannot be reached ({reason})", UNREACHABLE)

    async def _broken(self, caller: Caller, error: Exception) -> None:
        """Report an error of ours to the client, and its place to the log."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno}"
        _log.error("a request failed with %s at %s", type(error).__name__, where)
        if not caller.answered:
            await caller.fail(500, f"batchwrap failed ({type(error).__name__})", INTERNAL)

    async def _whole(self, caller: Caller) -> bytes:
        return await caller.whole_body(self._settings.max_body_bytes)

    async def _hand_out(self, response: httpx2.Response, caller: Caller) -> None:
        try:
            if response.status_code not in _STATUSES:
                message = (
                    f"{self._settings.upstream} answered with the status {response.status_code}"
                )
                await caller.fail(502, message, BAD_ANSWER)
                return
            await caller.start(response.status_code, end_to_end(response.headers.raw))
            async for data in response.aiter_raw():
                await caller.piece(data)
            await caller.end()
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
