"""Streams: when their pieces come, how often they can be read, and what they cost."""

from __future__ import annotations

import gc
import warnings
from contextlib import aclosing
from typing import Any

import anyio
import httpx2
import pytest
import trio

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.lab import Call, Lab, Reply
from batchwrap.options import Limit
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, gather
from tests.adapters.events import DONE, call_event, multi_read, raw

ASKED = {"messages": [USER], "tools": TOOLS, "stream": True}
WORDS = "word " * 400
MANY = [Limit("tokens", 1e6, 1e6)]


def test_text_comes_at_once(caller: Caller, serve: Any) -> None:
    """Text is handed out while the model is still writing."""
    lab = serve(lambda request: Reply(WORDS), tokens_per_s=400)
    chunks = caller.each(caller.start(batchwrap.wrap(caller.open(lab)), **ASKED))
    first = [next(chunks), next(chunks)]
    assert first[-1].choices[0].delta.content
    assert lab.journal == []
    assert gather([*first, *chunks])["content"] == WORDS


def test_items_come_one_by_one(caller: Caller, serve: Any) -> None:
    """The first read is handed out while the model is still writing the multi-call."""
    paths = [f"{number}_{'long' * 40}.py" for number in range(8)]
    call = Call("multi_read", {"files": [{"path": path} for path in paths]})
    lab = serve(lambda request: Reply(calls=(call,)), tokens_per_s=4_000)
    chunks = caller.each(caller.start(batchwrap.wrap(caller.open(lab)), **ASKED))
    first: list[Any] = []
    while not first or not first[-1].choices[0].delta.tool_calls:
        first.append(next(chunks))
    assert lab.journal == []
    calls = gather([*first, *chunks])["calls"]
    assert calls == [("read_file", {"path": path}) for path in paths]


@pytest.mark.parametrize("ending", ["with the last event", "on its own"])
def test_connections_of_the_sdk(caller: Caller, serve: Any, ending: str) -> None:
    """Streams that are read to their end cost a wrapped client no more connections than a bare."""
    said = MULTI_CALL if ending == "with the last event" else raw(multi_read(), size=500)
    opened = []
    for wrapped in (False, True):
        lab = serve(lambda request: said)
        client = caller.open(lab)
        client = batchwrap.wrap(client) if wrapped else client
        for _ in range(6):
            assert caller.ask(client, **ASKED)
        opened.append(lab.connections)
    bare, ours = opened
    assert ours <= bare


def test_connections_of_the_http_client(web: Web, serve: Any) -> None:
    """Read to the end of the body, all streams go over one connection."""
    lab = serve(lambda request: raw(multi_read(), size=500))
    client = batchwrap.wrap(web.open())
    for _ in range(6):
        web.stream(client, lab, json=ASKED)
    assert lab.connections == 1


def test_reading_goes_on(caller: Caller, serve: Any) -> None:
    """A stream of the SDK that was left off goes on where it was."""
    client = batchwrap.wrap(caller.open(serve(MULTI_CALL)))
    stream = caller.start(client, **ASKED)
    chunks = [next(caller.each(stream)) for _ in range(3)]
    assert gather([*chunks, *caller.each(stream)])["calls"] == READS


def test_body_goes_on(web: Web, serve: Any) -> None:
    """A second reader of the body goes on where the first one is: so openai 3 drains it."""
    lab = serve(raw(multi_read(), size=100))
    client = batchwrap.wrap(web.open())
    request = client.build_request("POST", f"{lab.base_url}/chat/completions", json=ASKED)
    response = web.caller.run(client.send, request, stream=True)
    read = _read_twice_async if web.caller.is_async else _read_twice
    first, rest = web.caller.run(read, response.stream)
    web.caller.close(response)
    assert first.startswith(b"data: ")
    assert (first + rest).count(b'"name":"read_file"') == 2
    assert rest.endswith(DONE)


def _read_twice(body: Any) -> tuple[bytes, bytes]:
    pieces = iter(body)
    return next(pieces), b"".join(body)


async def _read_twice_async(body: Any) -> tuple[bytes, bytes]:
    async with aclosing(aiter(body)) as pieces:
        return await anext(pieces), b"".join([data async for data in body])


def test_calls_that_come_to_light_at_the_end(web: Web, serve: Any) -> None:
    """What is known only when the end marker comes is handed out before it."""
    bare_list = call_event('[{"path": "a"}, {"path": "b"}]', name="multi_read")
    lab = serve(raw(bare_list + DONE), raw(bare_list))
    client = batchwrap.wrap(web.open())
    _, body = web.stream(client, lab, json=ASKED)
    assert body.count(b'"name":"read_file"') == 2
    assert body.endswith(b"}\n\n" + DONE)
    _, body = web.stream(client, lab, json=ASKED)
    assert b"read_file" not in body
    assert b'"code":"batchwrap_incomplete_stream"' in body


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # bare streams warn on trio if cut
async def test_closed_by_another_task(serve: Any, anyio_backend: str) -> None:
    """A stream can be closed while another task waits for its next piece."""
    lab = serve(lambda request: Reply(WORDS), tokens_per_s=10)
    async with httpx2.AsyncClient(timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        request = client.build_request("POST", f"{lab.base_url}/chat/completions", json=ASKED)
        response = await client.send(request, stream=True)
        pieces = response.aiter_bytes()
        await anext(pieces)

        async def read() -> None:
            with pytest.raises(httpx2.ReadError):
                await anext(pieces)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await response.aclose()
        engine = engine_of(client)
        assert engine is not None
        assert engine.budget.is_idle
        await client.aclose()


def test_generators_that_are_left_on_trio(serve: Any) -> None:
    """trio warns of generators that are dropped half way: of none more than with a bare client."""
    lab = serve(lambda request: Reply(WORDS), tokens_per_s=20_000)
    assert _warnings(lab, wrapped=True) <= _warnings(lab, wrapped=False)


def _warnings(lab: Lab, *, wrapped: bool) -> set[str]:
    async def leave_half_way() -> None:
        async with httpx2.AsyncClient() as bare:
            client = batchwrap.wrap(bare) if wrapped else bare
            url = f"{lab.base_url}/chat/completions"
            async with (
                client.stream("POST", url, json=ASKED) as response,
                aclosing(response.aiter_bytes()) as pieces,
            ):
                await anext(pieces)
            gc.collect()
            await client.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trio.run(leave_half_way)
    told = {str(warning.message) for warning in caught}
    # What other tests have left, such as litellm's sockets, may be collected here, too.
    return {message for message in told if message.startswith("Async generator")}
