"""Whatever way a request ends, what it reserved is settled and its connection is free."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import openai
import pytest

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.lab import Raw, Reply
from batchwrap.options import Limit, Throttle
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER
from tests.adapters.events import EVENTS
from tests.adapters.waiting import settled, until, waiting

JSON = {"content-type": "application/json"}
LONG = Reply("word " * 2_000)
ENDLESS = Reply("word " * 20_000)  # on a slow machine, too, it runs when it is cut
# One request fits, with what its answer may have; a second one only if the first gave back.
ONE = [Limit("tokens", 5_000, 1e6)]
ASK = {"tools": TOOLS, "max_tokens": 3_000}
ASKED = {"messages": [USER], **ASK}
# What a stream that was cut has used nobody knows, so it counts as reserved: room for some.
MANY = [Limit("tokens", 50_000, 1e6)]
AT_ONCE = Throttle(max_wait_s=0)


@pytest.mark.parametrize("stream", [False, True])
def test_success(caller: Caller, serve: Any, stream: bool) -> None:
    """After a success the real usage counts."""
    lab = serve(lambda request: MULTI_CALL, include_usage="always")
    client = batchwrap.wrap(caller.open(lab), limits=ONE, throttle=AT_ONCE)
    for _ in range(3):
        caller.ask(client, **ASK, stream=stream)
        assert settled(client)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_error_status(caller: Caller, serve: Any, stream: bool, status: int) -> None:
    """A request that was answered with an error cost nothing."""
    failed = Raw(status, JSON, (b"{}",))
    # After a server error the request is sent once more, as the agent wrote it.
    lab = serve(*[failed] * (2 if status == 500 else 1), MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab, max_retries=0), limits=ONE, throttle=AT_ONCE)
    with pytest.raises(openai.APIStatusError):
        caller.ask(client, **ASK, stream=stream)
    assert settled(client)
    caller.ask(client, **ASK)


def test_connection_error(caller: Caller, serve: Any) -> None:
    """A request that never reached the server cost nothing."""
    lab = serve(MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab, max_retries=0), limits=ONE, throttle=AT_ONCE)
    lab.stop()
    for _ in range(2):
        with pytest.raises(openai.APIConnectionError):
            caller.ask(client, **ASK)
        assert settled(client)


def test_timeout(caller: Caller, serve: Any) -> None:
    """A request that timed out before an answer began gives back what it had."""
    lab = serve(lambda request: MULTI_CALL, ttft_s=20)
    client = batchwrap.wrap(caller.open(lab, max_retries=0), limits=ONE, throttle=AT_ONCE)
    for _ in range(2):
        with pytest.raises(openai.APITimeoutError):
            caller.ask(client, **ASK, timeout=0.1)
        assert settled(client)


def test_stream_that_stalls(caller: Caller, serve: Any) -> None:
    """A timeout in mid-stream is the SDK's error, settles, and lets the connection go."""
    lab = serve(lambda request: LONG, tokens_per_s=10, chunk_tokens=20)
    client = batchwrap.wrap(caller.open(lab, max_retries=0), limits=MANY)
    with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout, httpx2.ReadTimeout)):
        caller.ask(client, **ASK, stream=True, timeout=0.2)
    assert settled(client)
    lab.wait_idle()
    assert lab.journal[0].cancelled


def test_stream_that_breaks_off(caller: Caller, serve: Any) -> None:
    """A connection that is lost in mid-stream is an error, is not retried, and settles."""
    cut = Raw(200, EVENTS, (b'data: {"choices": []}\n\n', b"data: {"), close="abrupt")
    lab = serve(cut)
    client = batchwrap.wrap(caller.open(lab), limits=MANY)
    lost = (openai.APIConnectionError, httpx.RemoteProtocolError, httpx2.RemoteProtocolError)
    with pytest.raises(lost):
        caller.ask(client, **ASK, stream=True)
    assert settled(client)
    assert len(lab.journal) == 1


@pytest.mark.parametrize("iterated", [False, True])
def test_stream_that_is_closed(caller: Caller, serve: Any, iterated: bool) -> None:
    """A stream that is closed early, or never looked at, ends at the provider, too."""
    lab = serve(lambda request: ENDLESS, tokens_per_s=2_000)
    client = batchwrap.wrap(caller.open(lab), limits=MANY)
    stream = caller.start(client, **ASK, stream=True)
    if iterated:
        next(caller.each(stream))
    assert not settled(client)
    caller.close(stream)
    caller.close(stream)
    assert settled(client)
    lab.wait_idle()
    assert lab.journal[0].cancelled
    assert batchwrap.stats(client).requests == 1


def test_stream_that_is_dropped(serve: Any) -> None:
    """A stream that is forgotten half way is settled when it is collected."""
    lab = serve(lambda request: ENDLESS, tokens_per_s=2_000)
    with openai.OpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        asked: Any = {"model": "m", "messages": [USER], "stream": True}
        stream: Any = client.chat.completions.create(**asked)
        next(stream)
        assert not settled(client)
        del stream
        gc.collect()
        assert settled(client)
        lab.wait_idle()
    assert lab.journal[0].cancelled


@pytest.mark.parametrize("busy", ["registry", "door", "worker", "pool", "budget", "counters"])
def test_dropped_at_a_bad_moment(serve: Any, busy: str) -> None:
    """The collector may drop a stream while its very thread holds a lock of ours."""
    lab = serve(lambda request: ENDLESS, tokens_per_s=2_000)
    with httpx.Client() as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        engine = engine_of(client)
        assert engine is not None
        limiter = engine.budget.limiter
        locks: dict[str, AbstractContextManager[object]] = {
            "registry": limiter._registry.lock,
            "door": limiter._door,
            "worker": limiter._worker._lock,
            "pool": engine.budget._pool._lock,
            "budget": engine.budget._lock,
            "counters": engine.counters._lock,
        }
        url, asked = f"{lab.base_url}/chat/completions", {**ASKED, "stream": True}
        # Straight from the transport: a client's response hangs in a cycle of its own.
        request = client.build_request("POST", url, json=asked)
        responses = [client._transport.handle_request(request)]

        def drop() -> None:
            with locks[busy]:
                responses.clear()

        thread = threading.Thread(target=drop, daemon=True)
        thread.start()
        thread.join(2)
        assert not thread.is_alive()
        assert settled(client)


def test_closed_from_another_thread(serve: Any) -> None:
    """A stream can be closed while another thread waits for its next chunk."""
    lab = serve(lambda request: LONG, tokens_per_s=10)
    with openai.OpenAI(base_url=lab.base_url, api_key="key", timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        asked: Any = {"model": "m", "messages": [USER], "stream": True}
        stream: Any = client.chat.completions.create(**asked)
        next(stream)
        started = threading.Event()
        ended: list[Any] = []

        def read() -> None:
            started.set()
            try:
                ended.append(len(list(stream)))
            except Exception as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        started.wait(5)
        stream.close()
        assert settled(client)
        reader.join(10)
    assert len(ended) == 1


class Blocked:
    """A model that says when it was asked, and thinks until it is let go."""

    def __init__(self) -> None:
        self.asked, self.release = threading.Event(), threading.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        """Wait at the first request; the others are answered at once."""
        if not self.asked.is_set():
            self.asked.set()
            self.release.wait(5)
        return MULTI_CALL


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_cancelled_before_the_answer(library: Any, serve: Any) -> None:
    """Cancelled while the provider thinks: nothing is reserved, and the connection is free."""
    model = Blocked()
    lab = serve(model)
    url = f"{lab.base_url}/chat/completions"
    one = library.Limits(max_connections=1)
    async with library.AsyncClient(limits=one, timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=ONE, throttle=AT_ONCE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.post, url, json=ASKED))
            await anyio.to_thread.run_sync(model.asked.wait, 5)
            tasks.cancel_scope.cancel()
        assert settled(client)
        model.release.set()
        assert (await client.post(url, json=ASKED)).status_code == 200
        await client.aclose()
    lab.wait_idle()
    assert [entry.cancelled for entry in lab.journal] == [True, False]
    assert batchwrap.stats(client).requests == 2


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_cancelled_in_the_queue(library: Any, serve: Any) -> None:
    """Cancelled while it waits for its turn: it is not sent, and the next one takes its place."""
    model = Blocked()
    lab = serve(model)
    url = f"{lab.base_url}/chat/completions"
    async with library.AsyncClient(timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=ONE, throttle=Throttle(max_wait_s=1e9))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.post, url, json=ASKED))
            await anyio.to_thread.run_sync(model.asked.wait, 5)
            async with anyio.create_task_group() as queued:
                queued.start_soon(partial(client.post, url, json=ASKED))
                await anyio.to_thread.run_sync(until, lambda: waiting(client))
                queued.cancel_scope.cancel()
            assert not waiting(client)
            model.release.set()
        assert settled(client)
        assert (await client.post(url, json=ASKED)).status_code == 200
        await client.aclose()
    assert len(lab.journal) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_cancelled_after_a_refusal(library: Any, serve: Any) -> None:
    """Cancelled while it waits for another attempt: out of the queue, and there is none."""
    lab = serve(Raw(429, {**JSON, "retry-after": "60"}, (b"{}",)))
    url = f"{lab.base_url}/chat/completions"
    async with library.AsyncClient(timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=ONE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.post, url, json=ASKED))
            await anyio.to_thread.run_sync(until, lambda: waiting(client))
            tasks.cancel_scope.cancel()
        assert settled(client)
        await client.aclose()
    assert len(lab.journal) == 1
    assert batchwrap.stats(client).refusals == 1


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # bare streams warn on trio if cut
async def test_cancelled_in_mid_stream(library: Any, serve: Any, anyio_backend: str) -> None:
    """Cancelled in mid-stream: the provider stops, and the only connection is free again."""
    lab = serve(lambda body: ENDLESS if body.get("stream") else Reply("ok"), tokens_per_s=2_000)
    url = f"{lab.base_url}/chat/completions"
    one = library.Limits(max_connections=1)
    async with library.AsyncClient(limits=one, timeout=5) as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        asked = {**ASKED, "stream": True}
        with anyio.CancelScope() as scope:
            async with client.stream("POST", url, json=asked) as response:
                async for _ in response.aiter_bytes():
                    scope.cancel()
        assert scope.cancelled_caught
        assert settled(client)
        await anyio.to_thread.run_sync(lab.wait_idle)
        assert lab.journal[0].cancelled
        assert (await client.post(url, json=ASKED)).status_code == 200
        await client.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_stream_of_the_sdk(serve: Any, anyio_backend: str) -> None:
    """The same through the SDK, with the timeout that agents put around a call."""
    lab = serve(lambda request: LONG, tokens_per_s=500)
    async with openai.AsyncOpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=MANY)
        asked: Any = {"model": "m", "messages": [USER], **ASK, "stream": True}

        async def read() -> None:
            async for _ in await client.chat.completions.create(**asked):
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), 0.3)
        gc.collect()
        assert settled(client)
        await anyio.to_thread.run_sync(lab.wait_idle)
    assert lab.journal[0].cancelled


@pytest.mark.thorough
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_crowd(serve: Any, anyio_backend: str) -> None:
    """Of many streams at once, cut at every point, no place stays taken."""
    lab = serve(lambda request: LONG)
    crowd, places = 60, 12
    async with openai.AsyncOpenAI(base_url=lab.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare, limits=[Limit("concurrency", places)])
        asked: Any = {"model": "m", "stream": True, **ASKED}

        async def one(number: int) -> None:
            with anyio.CancelScope() as scope:
                stream = await client.chat.completions.create(**asked)
                chunks = 0
                async for _ in stream:
                    chunks += 1
                    if chunks == number and number % 3 == 1:
                        scope.cancel()
                    if chunks == number and number % 3 == 2:
                        await stream.close()
                        break

        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for number in range(crowd):
                    tasks.start_soon(one, number)
            assert settled(client)
        stats = batchwrap.stats(client)
        # The SDK itself repeats a request whose connection a busy machine has lost.
        assert stats.requests >= 2 * crowd
        assert not stats.refusals
        await anyio.to_thread.run_sync(lab.wait_idle)  # no stream runs on at the provider


def test_a_stream_that_nobody_reads(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for its place learns which line holds it; dropped, it gives the place back."""
    monkeypatch.setattr("batchwrap.throttle.streams.IDLE_S", 0.0)
    lab = serve(lambda request: ENDLESS, tokens_per_s=2_000)
    with openai.OpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=[Limit("concurrency", 1)])
        asked: Any = {"model": "m", "messages": [USER], "stream": True}
        stream: Any = client.chat.completions.create(**asked)  # this line
        next(stream)
        others: list[Any] = []
        thread = threading.Thread(
            target=lambda: others.append(client.chat.completions.create(**asked))
        )
        thread.start()
        until(lambda: "asked for at" in caplog.text)
        line = next(
            number
            for number, text in enumerate(Path(__file__).read_text().splitlines(), 1)
            if text.endswith("# this line")
        )
        assert f"{__file__}:{line}" in caplog.text
        assert caplog.text.count("asked for at") == 1
        del stream
        gc.collect()
        thread.join(60)
        others[0].close()
        assert settled(client)


@pytest.mark.parametrize("leaves", ["break", "error", "timeout"])
def test_an_async_stream_that_is_left_and_dropped(
    serve: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, leaves: str
) -> None:
    """It gives its place back though it stands in a cycle of references, and nobody is warned."""
    monkeypatch.setattr("batchwrap.throttle.streams.DROPPED_S", 0.0)
    lab = serve(lambda request: LONG)

    async def leave(client: openai.AsyncOpenAI, asked: Any) -> None:
        stream: Any = await client.chat.completions.create(stream=True, **asked)
        with suppress(TimeoutError, ZeroDivisionError):
            async with asyncio.timeout(0.01 if leaves == "timeout" else None):
                async for _ in stream:
                    if leaves == "error":
                        raise ZeroDivisionError
                    if leaves == "break":
                        break
                    await asyncio.Event().wait()

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=lab.base_url, api_key="k") as bare:
            throttle = Throttle(limits=[Limit("concurrency", 1)], max_wait_s=60)
            client = batchwrap.wrap(bare, throttle=throttle)
            asked: Any = {"model": "m", **ASKED}
            await leave(client, asked)
            await client.chat.completions.create(**asked)

    gc.disable()  # as if nothing were allocated while all wait
    try:
        asyncio.run(main())
    finally:
        gc.enable()
    assert "has not been read" not in caplog.text


# The sockets of a loop that was closed with tasks in it complain when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_for_each_job(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What a closed loop held, and who waited in it, stop no later job of the process."""
    caplog.set_level(logging.CRITICAL, logger="asyncio")  # it tells of tasks that were destroyed
    lab = serve(lambda request: ENDLESS, tokens_per_s=2_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_jobs(lab)
        gc.collect()


def run_jobs(lab: Any) -> bool:
    """One job whose loop is closed in the middle, and two that come after it."""
    client = batchwrap.wrap(
        openai.AsyncOpenAI(base_url=lab.base_url, api_key="key"), limits=[Limit("concurrency", 1)]
    )
    asked: Any = {"model": "m", "messages": [USER], "stream": True}
    kept: list[Any] = []

    async def leave_both() -> None:
        kept.append(await client.chat.completions.create(**asked))
        await anext(kept[0])
        kept.append(asyncio.ensure_future(client.chat.completions.create(**asked)))
        await anyio.to_thread.run_sync(until, lambda: waiting(client))

    async def job() -> None:
        stream = await client.chat.completions.create(**asked)
        await anext(stream)
        await stream.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_both())
    loop.close()
    asyncio.run(job())
    kept.clear()
    gc.collect()
    asyncio.run(job())
    return settled(client)
