"""What users hang on their clients works on a wrapped one as on the bare one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import httpx2
import openai
import pytest

import batchwrap
from tests.adapters.callers import Caller
from tests.adapters.conversation import USER
from tests.transparency.seen import seen
from tests.transparency.server import Recorder, recorder

LIBRARY: Any = httpx2 if openai.__version__ >= "3" else httpx
CHAT: dict[str, Any] = {"model": "m", "messages": [USER]}
CALLS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.create(**CHAT),
    "embeddings": lambda client: client.embeddings.create(model="m", input="a"),
    "models": lambda client: client.models.retrieve("m"),
}


@pytest.fixture
def server() -> Iterator[Recorder]:
    """Records what it is sent."""
    with recorder() as running:
        yield running


def opened(caller: Caller, server: Recorder, **options: Any) -> Any:
    """A bare client, closed when the test ends."""
    return caller.closes(caller.client_type(base_url=server.url, api_key="key", **options))


class Sending(LIBRARY.Client):  # type: ignore[misc]
    """A user's own http client that looks at all that is sent."""

    log: list[Any]

    def send(self, request: Any, **options: Any) -> Any:
        """Note it, and send it."""
        response = super().send(request, **options)
        self.log.append((request.method, str(request.url), response.status_code))
        return response


class AsyncSending(LIBRARY.AsyncClient):  # type: ignore[misc]
    """The same for tasks."""

    log: list[Any]

    async def send(self, request: Any, **options: Any) -> Any:
        """Note it, and send it."""
        response = await super().send(request, **options)
        self.log.append((request.method, str(request.url), response.status_code))
        return response


@pytest.mark.parametrize("name", CALLS)
def test_hooks(caller: Caller, server: Recorder, name: str) -> None:
    """Hooks and an overridden `send` see every request and response, and may change headers."""
    log: list[Any] = []

    def on_request(request: Any) -> None:
        request.headers["x-hook"] = "1"
        log.append(("asked", request.method, str(request.url), request.content))

    def on_response(response: Any) -> None:
        log.append(("told", response.status_code, response.headers.raw, response.request.url))

    async def on_request_async(request: Any) -> None:
        on_request(request)

    async def on_response_async(response: Any) -> None:
        on_response(response)

    asynchronous = {"request": [on_request_async], "response": [on_response_async]}
    hooks = (
        asynchronous if caller.is_async else {"request": [on_request], "response": [on_response]}
    )
    http_client = (AsyncSending if caller.is_async else Sending)(event_hooks=hooks)
    http_client.log = log
    bare = opened(caller, server, http_client=http_client)
    logs, sent = [], []
    for client in (bare, batchwrap.wrap(bare)):
        caller.run(CALLS[name], client)
        logs.append(log.copy())
        log.clear()
        sent.append(server.take())
    assert logs[0] == logs[1]
    assert sent[0] == sent[1]
    assert dict(sent[0][0].headers)["x-hook"] == b"1"
    assert len(logs[0]) == 3


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_cancelling(server: Recorder, name: str, wrapped: bool) -> None:
    """Cancelling a task hangs up at once."""

    async def main() -> None:
        client = openai.AsyncOpenAI(base_url=f"{server.url}/hang", api_key="key")
        async with batchwrap.wrap(client) if wrapped else client as open_client:
            with anyio.move_on_after(10):
                async with anyio.create_task_group() as group:
                    group.start_soon(CALLS[name], open_client)
                    while not server.asked:  # noqa: ASYNC110  it happens in another thread
                        await anyio.sleep(0.001)
                    group.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(server.gone.wait, 5)

    anyio.run(main)
    assert len(server.asked) == 1


@pytest.mark.parametrize("name", CALLS)
def test_closed(caller: Caller, server: Recorder, name: str) -> None:
    """A closed client refuses requests in the same words."""
    errors = []
    for wrapped in (False, True):
        bare = opened(caller, server, max_retries=0)
        client = batchwrap.wrap(bare) if wrapped else bare
        assert not client.is_closed()
        caller.close(client)
        assert client.is_closed()
        with pytest.raises((openai.APIConnectionError, RuntimeError)) as caught:
            caller.run(CALLS[name], client)
        errors.append(caught.value)
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0]) == str(errors[1])
    assert repr(errors[0].__cause__) == repr(errors[1].__cause__)
    assert not server.asked


def test_stream_closed_early(caller: Caller, server: Recorder) -> None:
    """A stream that is left early lets go of its connection, and the client goes on."""
    bare = opened(caller, server)
    for client in (bare, batchwrap.wrap(bare)):
        stream = caller.run(client.responses.create, model="m", input="Hi", stream=True)
        assert next(caller.each(stream)).type == "response.created"
        caller.run(stream.close)
        assert stream.response.is_closed
        assert seen(caller.run(CALLS["chat"], client))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_duplicates(caller: Caller, server: Recorder, duplicate: Callable[[Any], Any]) -> None:
    """What can be copied or pickled can be so, and what cannot fails."""
    outcomes: list[Any] = []
    bare = opened(caller, server)
    for client in (bare, batchwrap.wrap(bare)):
        try:
            outcomes.append(type(duplicate(client)))
        except Exception:
            outcomes.append("failed")
    assert outcomes[0] == outcomes[1]


def test_looks(caller: Caller, server: Recorder) -> None:
    """A wrapped client looks like the bare one."""
    bare = opened(caller, server, organization="o", project="p", timeout=7)
    wrapped = batchwrap.wrap(bare)
    assert repr(wrapped).partition(" at ")[0] == repr(bare).partition(" at ")[0]
    assert str(wrapped.base_url) == str(bare.base_url)
    assert dir(wrapped) == dir(bare)
    for name in ("api_key", "organization", "project", "timeout", "max_retries", "auth_headers"):
        assert getattr(wrapped, name) == getattr(bare, name)
    assert wrapped.default_headers == bare.default_headers
    assert wrapped._client.timeout == bare._client.timeout
    assert wrapped._client.headers == bare._client.headers
    assert repr(wrapped._client).partition(" at ")[0] == repr(bare._client).partition(" at ")[0]


@pytest.mark.parametrize("name", CALLS)
def test_connections(caller: Caller, server: Recorder, name: str) -> None:
    """A connection serves one request after the other."""
    client = batchwrap.wrap(opened(caller, server))
    for _ in range(3):
        caller.run(CALLS[name], client)
    assert len({asked.peer for asked in server.asked}) == 1
