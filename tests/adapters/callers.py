"""Sync and async clients behind one face, so that a test is written once for all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import openai
from anyio.from_thread import BlockingPortal

from batchwrap.lab import Lab
from tests.adapters.conversation import USER
from tests.adapters.servers import Keyed


class Caller:
    """Makes SDK clients, calls them, and closes them when the test ends.

    Args:
        closing: closes what is put on it.
        portal: the event loop that async clients run in; None for sync clients.
    """

    def __init__(self, closing: ExitStack, portal: BlockingPortal | None) -> None:
        self._closing = closing
        self._portal = portal
        self.is_async = portal is not None
        self.client_type: Any = openai.AsyncOpenAI if portal else openai.OpenAI
        self.azure_type: Any = openai.AsyncAzureOpenAI if portal else openai.AzureOpenAI

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function; the result of an async one is awaited."""
        if self._portal is None:
            return function(*args, **kwargs)
        return self._portal.call(functools.partial(function, *args, **kwargs))

    def each(self, stream: Any) -> Iterator[Any]:
        """The items of a stream, one by one."""
        if self._portal is None:
            yield from stream
            return
        iterator = aiter(stream)
        while found := self._portal.call(_next, iterator):
            yield found[0]

    def close(self, resource: Any) -> None:
        """Close a client, a stream or a response."""
        awaited = self.is_async and hasattr(resource, "aclose")
        self.run(resource.aclose if awaited else resource.close)

    def closes(self, client: Any) -> Any:
        """The client, which is closed when the test ends."""
        self._closing.callback(self.close, client)
        return client

    def open(self, lab: Lab | Keyed, **options: Any) -> Any:
        """A bare SDK client for the lab."""
        options = {"base_url": lab.base_url, "api_key": "key", **options}
        return self.closes(self.client_type(**options))

    def open_azure(self, lab: Lab, **options: Any) -> Any:
        """A bare Azure client for the lab."""
        options = {"azure_endpoint": lab.url, "api_key": "key", "api_version": "2026-01", **options}
        return self.closes(self.azure_type(**options))

    def ask(self, client: Any, **body: Any) -> Any:
        """The completion for a request, or the list of its chunks where it streams."""
        answer = self.start(client, **body)
        return list(self.each(answer)) if body.get("stream") else answer

    def start(self, client: Any, **body: Any) -> Any:
        """The completion for a request, or its stream, not yet read."""
        body = {"model": "m", "messages": [USER], **body}
        return self.run(client.chat.completions.create, **body)


class Web:
    """Makes clients of one HTTP library, and posts with them."""

    def __init__(self, library: ModuleType, caller: Caller) -> None:
        self.library = library
        self.caller = caller

    def open(self, **options: Any) -> Any:
        """A bare client."""
        kind = self.library.AsyncClient if self.caller.is_async else self.library.Client
        return self.caller.closes(kind(**options))

    def post(self, client: Any, lab: Lab, **options: Any) -> Any:
        """The response to a chat request, read to its end."""
        return self.caller.run(client.post, f"{lab.base_url}/chat/completions", **options)

    def stream(
        self, client: Any, lab: Lab, where: str = "chat/completions", **options: Any
    ) -> tuple[Any, bytes]:
        """The response to a request and its body as it is handed out, not decoded."""
        url = f"{lab.base_url}/{where}"
        read = _read_async if self.caller.is_async else _read
        pair: tuple[Any, bytes] = self.caller.run(read, client.stream("POST", url, **options))
        return pair


async def _next(iterator: Any) -> tuple[Any, ...]:
    try:
        return (await anext(iterator),)
    except StopAsyncIteration:
        return ()


def _read(opening: Any) -> tuple[Any, bytes]:
    with opening as response:
        return response, b"".join(response.iter_raw())


async def _read_async(opening: Any) -> tuple[Any, bytes]:
    async with opening as response:
        return response, b"".join([data async for data in response.aiter_raw()])
