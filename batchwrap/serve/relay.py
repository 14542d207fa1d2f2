"""One request to the upstream and its answer back, piece by piece, until either side is gone."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import anyio
import httpx2
from starlette.types import Receive, Scope, Send

from batchwrap.adapters.keys import with_key, without_key
from batchwrap.serve.caller import Caller, ClientGone
from batchwrap.serve.headers import Headers, end_to_end, for_upstream, readable_answer
from batchwrap.serve.settings import Settings

_log = logging.getLogger("batchwrap")
UNREACHABLE, BAD_TARGET = "batchwrap_upstream_unreachable", "batchwrap_bad_target"


class Relay:
    """An ASGI application that sends every request on by a wrapped client.

    What the client translates and what it lets pass is its own business. A caller that hangs
    up ends the request to the upstream; one that reads slowly slows the upstream down.
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
        try:
            response = await self._client.send(await self._request(caller), stream=True)
            await _hand_out(response, caller)
        except ClientGone:
            pass
        except httpx2.InvalidURL as error:
            await caller.fail(400, f"This is no path that can be sent on: {error}", BAD_TARGET)
        except httpx2.RequestError as error:
            await self._failed(caller, error)

    async def _request(self, caller: Caller) -> httpx2.Request:
        """The caller's request, as the upstream is to get it."""
        target = self._target(caller)
        headers = self._keyed(for_upstream(caller.headers.raw))
        if caller.is_json:  # what may be translated has to be whole, and its answer readable
            headers = readable_answer(headers, self._encodings)
        is_upload = caller.has_body and not caller.is_json
        return httpx2.Request(
            caller.method,
            self._upstream.copy_with(raw_path=target),
            headers=headers,
            content=caller.body() if is_upload else await _whole(caller.body()),
            extensions={"target": target},  # to the byte: a URL writes some characters anew
        )

    def _target(self, caller: Caller) -> bytes:
        """Path and query at the upstream, whose path stands in the place of our base path."""
        path, ours = caller.path, self._settings.base_path.encode()
        if not path.startswith(b"/"):  # a forward proxy would be asked so
            raise httpx2.InvalidURL("it does not begin with /")
        if path == ours or path.startswith(ours + b"/"):
            path = path.removeprefix(ours)
        path = self._base_path + path
        return path + b"?" + caller.query if caller.query else path

    def _keyed(self, headers: Headers) -> Headers:
        """With the upstream's key where the caller had to send our token."""
        if self._settings.token is None:
            return headers
        key = self._settings.api_key
        return without_key(headers) if key is None else with_key(headers, key)

    async def _failed(self, caller: Caller, error: httpx2.RequestError) -> None:
        """Tell the caller; in the middle of an answer, only a broken connection tells it."""
        upstream = self._settings.upstream
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if caller.answered:
            _log.warning("the answer of %s broke off: %s", upstream, reason)
        else:
            await caller.fail(502, f"{upstream} cannot be reached ({reason})", UNREACHABLE)


async def _whole(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([data async for data in body])


async def _hand_out(response: httpx2.Response, caller: Caller) -> None:
    try:
        await caller.start(response.status_code, end_to_end(response.headers.raw))
        async for data in response.aiter_raw():
            await caller.piece(data)
        await caller.end()
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()
