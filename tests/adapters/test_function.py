"""The decorator: any completion function gets what a wrapped client gets."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from inspect import isasyncgen, isgenerator
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.errors import LimitExceeded
from batchwrap.lab import Lab, RateLimit, Raw, Script
from batchwrap.options import Limit, Throttle
from tests.adapters.conversation import (
    END,
    MULTI_CALL,
    READS,
    TOOLS,
    USER,
    answered,
    calls_of,
    folded,
    gather,
)

REFUSED = Raw(429, {"retry-after": "0.05", "content-type": "application/json"}, (b"{}",))


def lab(*replies: Any, **options: Any) -> Lab:
    """A provider that plays the replies without delay."""
    return Lab(Script(*replies), tokens_per_s=math.inf, ttft_s=0, **options)


@pytest.fixture
def provider() -> Iterator[Lab]:
    """A provider that makes a multi-call and then ends."""
    with lab(MULTI_CALL, END) as running:
        yield running


def sdk(running: Lab) -> openai.OpenAI:
    """A bare client without retries of its own."""
    return openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0)


def test_plain(provider: Lab) -> None:
    """A function that calls an SDK: expanded, folded, the SDK's own types throughout."""
    with sdk(provider) as client:

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        first = complete(messages=[USER], tools=TOOLS)
        message = first.choices[0].message
        assert calls_of(message) == READS
        assert message.content == "Let me read."
        assert type(first).__name__ == "ChatCompletion"
        history = answered(message)
        complete(messages=history, tools=TOOLS)
        assert history[1] is message, "the agent's own history is never changed"
    assert folded(provider.journal[-1].json["messages"])
    stats = batchwrap.stats(complete)
    assert (stats.requests, stats.multi_calls, stats.items, stats.folds) == (2, 1, 2, 1)


def test_a_function_that_names_the_model(provider: Lab) -> None:
    """Reminders are counted without a model where the request names none."""
    events: list[batchwrap.Event] = []
    with sdk(provider) as client:

        @batchwrap.batched(on_event=events.append)
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        complete(messages=[{"role": "user", "content": "Read a.py and b.py."}], tools=TOOLS)
    stats = batchwrap.stats(complete)
    assert stats.directives[""]["prefetch"]["given"] == 1
    assert "\nprefetch: given " in str(stats)
    assert [event.data["model"] for event in events if event.name == "reminded"] == [""]


def test_streamed(provider: Lab) -> None:
    """A stream keeps its type and what hangs on it, and hands out the agent's calls."""
    with sdk(provider) as client:

        @batchwrap.batched()
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        stream = complete(messages=[USER], tools=TOOLS, stream=True)
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        message = gather(list(stream))
    assert message["calls"] == READS
    assert message["content"] == "Let me read."
    assert message["finish_reason"] == "tool_calls"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async(provider: Lab) -> None:
    """An async function is driven by the async twin, plain and streaming."""
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="k") as client:

        @batchwrap.batched
        async def complete(**kwargs: Any) -> Any:
            return await client.chat.completions.create(model="m", **kwargs)

        stream = await complete(messages=[USER], tools=TOOLS, stream=True)
        assert isinstance(stream, openai.AsyncStream)
        assert gather([chunk async for chunk in stream])["calls"] == READS
        done = await complete(messages=[USER], tools=TOOLS)
        assert done.choices[0].message.content == "Both read."


def test_plain_dicts() -> None:
    """A function that returns dicts returns dicts."""
    calls = [{"id": "c", "function": {"name": "multi_read", "arguments": '{"files": ["a", "b"]}'}}]
    choice = {"index": 0, "message": {"tool_calls": calls}, "finish_reason": "tool_calls"}

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        if not kwargs.get("stream"):
            return {"choices": [choice], "kept": 1}
        delta = {"tool_calls": [{**calls[0], "index": 0}]}
        return iter([{"choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]}])

    plain = complete(messages=[USER], tools=TOOLS)
    assert [call["function"]["name"] for call in plain["choices"][0]["message"]["tool_calls"]] == [
        "read_file",
        "read_file",
    ]
    assert plain["kept"] == 1
    chunks = list(complete(messages=[USER], tools=TOOLS, stream=True))
    assert sum(len(c["choices"][0]["delta"].get("tool_calls", ())) for c in chunks) == 2


@pytest.mark.anyio
async def test_generators() -> None:
    """Generators and async generators of chunks are streams; closing them closes the source."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
    closed: list[str] = []

    def chunks() -> Iterator[Any]:
        try:
            yield chunk
            yield chunk
        finally:
            closed.append("sync")

    async def async_chunks() -> AsyncIterator[Any]:
        try:
            yield chunk
            yield chunk
        finally:
            closed.append("async")

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        return chunks()

    @batchwrap.batched
    async def complete_async(**kwargs: Any) -> Any:
        return async_chunks()

    stream = complete(messages=[USER], stream=True)
    assert isgenerator(stream)
    assert next(stream) is chunk, "an untouched chunk is the same object"
    stream.close()
    streamed = await complete_async(messages=[USER], stream=True)
    assert isasyncgen(streamed)
    assert await anext(streamed) is chunk
    await streamed.aclose()
    assert closed == ["sync", "async"]


def test_retries() -> None:
    """A refusal is retried; the caller sees the answer only."""
    with lab(REFUSED, REFUSED, END) as running, sdk(running) as client:

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        assert complete(messages=[USER]).choices[0].message.content == "Both read."
        assert (running.refusals, batchwrap.stats(complete).retries) == (2, 2)


def test_gives_up_with_the_sdks_error() -> None:
    """What we give up on reaches the caller as the SDK's own error."""
    refused = Raw(429, {"retry-after": "999"}, (b"{}",))
    with lab(refused) as running, sdk(running) as client:

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        with pytest.raises(openai.RateLimitError):
            complete(messages=[USER])
        assert running.refusals == 1


def test_other_errors_pass() -> None:
    """An error that is no refusal is the caller's, at once, and holds nothing."""

    @batchwrap.batched(limits=[Limit("tokens", 2_000, 60)])
    def complete(**kwargs: Any) -> Any:
        raise KeyError("model")

    for _ in range(3):  # a reservation that leaked would not fit a second time
        with pytest.raises(KeyError):
            complete(messages=[USER])


def test_our_own_limits() -> None:
    """A request that can never fit raises our own error, before anything is sent."""
    sent: list[Any] = []

    @batchwrap.batched(limits=[Limit("tokens", 500, 60)])
    def complete(**kwargs: Any) -> Any:
        sent.append(kwargs)

    with pytest.raises(LimitExceeded, match="never admits more than 500"):
        complete(messages=[USER], max_tokens=501)
    assert sent == []


def test_throttled() -> None:
    """Requests are held back so that the provider never has to refuse one."""
    per_minute = RateLimit("requests", 60, 60)
    ours = Throttle(limits=[Limit("requests", 60, 60)])
    with lab(*[END] * 90, limits=[per_minute], time_scale=100) as running, sdk(running) as client:
        scaled = Throttle(limits=[Limit("requests", 60, 0.6)])

        @batchwrap.batched(throttle=scaled)
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        for _ in range(90):
            complete(messages=[USER])
        assert running.refusals <= 1, "clocks of two processes may differ by a hair"
    assert ours.max_wait_s == 120


def test_message_objects_stay_objects() -> None:
    """Messages that nothing changes reach the function as the objects of this very request.

    Or as equal ones of an earlier request, where what was sent then is sent again.
    """
    from openai.types.chat import ChatCompletionMessage

    seen: list[list[Any]] = []

    @batchwrap.batched(reminders=None)
    def complete(**kwargs: Any) -> Any:
        seen.append(kwargs["messages"])
        return {"choices": [{"message": {"role": "assistant", "content": "ok"}}]}

    def turn(number: int) -> list[Any]:
        function = {"name": "read_file", "arguments": f'{{"path": "{number}.py"}}'}
        calls: Any = [{"id": f"c{number}", "type": "function", "function": function}]
        said = ChatCompletionMessage(role="assistant", tool_calls=calls)
        return [said, {"role": "tool", "tool_call_id": f"c{number}", "content": "text"}]

    for length in range(1, 5):
        history = [USER, *(message for number in range(length) for message in turn(number))]
        complete(messages=history, tools=TOOLS)
        assert seen[-1] == history
        assert {type(message) for message in seen[-1]} == {dict, ChatCompletionMessage}


def test_positional_arguments() -> None:
    """Arguments by position are understood by their names."""
    seen: list[Any] = []

    @batchwrap.batched
    def complete(model: str, messages: list[Any], tools: Any = None) -> Any:
        seen.append((model, messages, tools))
        return {"choices": []}

    complete("m", [USER], TOOLS)
    model, messages, tools = seen[0]
    assert (model, messages, len(tools)) == ("m", [USER], 5)


def test_none_of_our_business() -> None:
    """Calls without messages go through as they are."""
    seen: list[Any] = []

    @batchwrap.batched
    def complete(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return 5

    assert complete("x", y=1) == 5
    assert complete(messages="text") == 5
    assert seen == [(("x",), {"y": 1}), ((), {"messages": "text"})]
    assert batchwrap.stats(complete).passed_through == 2


def test_metadata_stays() -> None:
    """The decorated function has the name, docstring and signature of the original."""

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        """Says hello."""

    assert (complete.__name__, complete.__doc__) == ("complete", "Says hello.")


def test_translated_once(provider: Lab) -> None:
    """A decorated function that uses a wrapped client translates once."""
    with sdk(provider) as bare:
        client = batchwrap.wrap(bare)

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        assert calls_of(complete(messages=[USER], tools=TOOLS).choices[0].message) == READS
        names = [tool["function"]["name"] for tool in provider.journal[0].json["tools"]]
        assert names == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
        assert batchwrap.stats(client).requests == 0
