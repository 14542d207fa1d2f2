"""A client that is closed while its requests wait releases them, with the SDK's own error."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import openai
import pytest
import tenacity

import batchwrap
from batchwrap.lab import Raw, Reply
from batchwrap.options import Limit, Throttle
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import USER
from tests.adapters.waiting import settled, until, waiting

ONE = [Limit("concurrency", 1, 3_600)]
JSON = {"content-type": "application/json"}


def refusals() -> tuple[Throttle, threading.Event]:
    """Options to wait long after a refusal, and what tells that one has come."""
    refused = threading.Event()

    def wait_s(_: tenacity.RetryCallState) -> float:
        refused.set()
        return 100

    return Throttle(retry=tenacity.Retrying(wait=wait_s)), refused


class Asking(threading.Thread):
    """A request in a thread of its own, and the error that it ended with."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Ask."""
        try:
            self._ask()
        except Exception as error:
            self.error = error

    def ended(self) -> BaseException | None:
        """The error, once it has ended."""
        self.join(10)
        assert not self.is_alive()
        return self.error


def test_in_the_queue(caller: Caller, serve: Any) -> None:
    """Who waits for the limits when the client is closed gets the SDK's connection error."""
    lab = serve(lambda request: Reply("word " * 50), tokens_per_s=5)
    bare = caller.open(lab, max_retries=0)
    client = batchwrap.wrap(bare, limits=ONE)
    stream = caller.start(client, stream=True)
    asking = Asking(lambda: caller.ask(client))
    until(lambda: waiting(client) == 1)
    caller.close(client)
    error = asking.ended()
    assert isinstance(error, openai.APIConnectionError)
    assert "closed while the request waited" in repr((error, error.__cause__))
    caller.close(stream)
    until(lambda: settled(client))
    lab.wait_idle()
    assert len(lab.journal) == 1, "it was never sent"


def test_after_a_refusal(caller: Caller, serve: Any) -> None:
    """Who waits to try again when the client is closed gets the same, before his 100 s are over."""
    lab = serve(lambda request: Raw(429, JSON, (b"{}",)))
    throttle, refused = refusals()
    client = batchwrap.wrap(caller.open(lab), throttle=throttle)
    asking = Asking(lambda: caller.ask(client))
    assert refused.wait(10)
    caller.close(client)
    assert isinstance(asking.ended(), openai.APIConnectionError)
    assert settled(client)


def test_http_clients(web: Web, serve: Any) -> None:
    """A plain HTTP client raises its own connection error."""
    lab = serve(lambda request: Raw(429, JSON, (b"{}",)))
    throttle, refused = refusals()
    client = batchwrap.wrap(web.open(), throttle=throttle)
    asking = Asking(lambda: web.post(client, lab, json={"messages": [USER]}))
    assert refused.wait(10)
    web.caller.close(client)
    assert isinstance(asking.ended(), web.library.ConnectError)


def test_others_go_on(caller: Caller, serve: Any) -> None:
    """Closing the original, or another copy, releases nobody who waits through this one."""
    lab = serve(lambda request: Reply("word " * 50), tokens_per_s=200)
    bare = caller.open(lab)
    client = batchwrap.wrap(bare, limits=ONE)
    stream = caller.start(client, stream=True)
    asking = Asking(lambda: caller.ask(client))
    until(lambda: waiting(client) == 1)
    caller.close(batchwrap.wrap(bare))
    caller.close(stream)
    assert asking.ended() is None


@pytest.mark.anyio
async def test_leaving_a_block(serve: Any) -> None:
    """Leaving the client's block releases its tasks, too."""
    lab = serve(lambda request: Raw(429, JSON, (b"{}",)))
    released = []
    throttle, refused = refusals()

    async def ask(client: Any) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.post(f"{lab.base_url}/chat/completions", json={"messages": [USER]})
        released.append(True)

    opened = batchwrap.wrap(httpx.AsyncClient(), throttle=throttle)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group, opened as http:
            group.start_soon(ask, http)
            while not refused.is_set():  # noqa: ASYNC110  it happens in another thread
                await anyio.sleep(0.001)
    assert released == [True]
