"""The decorator around litellm's other APIs: Responses and Anthropic's messages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio
import litellm
import pytest

import batchwrap
from batchwrap.lab import Lab
from tests.adapters.batching_models import scripted
from tests.adapters.file_job import (
    MEANT,
    MESSAGES_TOOLS,
    RESPONSES_TOOLS,
    TASK,
    WORK,
    blocks_in,
    folded_items,
)

# litellm warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
# litellm's streams of messages import a part of its proxy, which wants more than litellm itself.
needs_proxy = pytest.mark.skipif(not find_spec("soundfile"), reason="litellm's proxy is not here")


def lab() -> Lab:
    """A model that makes two multi-calls at once, and then ends."""
    return Lab(scripted(WORK), tokens_per_s=math.inf, ttft_s=0)


async def responses(complete: Callable[..., Any], running: Lab, *, stream: bool) -> list[Any]:
    """The calls that an agent runs which speaks Responses, until the model makes no more."""
    given, ran = [TASK], list[Any]()
    target = {"model": "openai/gpt-4o", "api_base": running.base_url, "api_key": "k"}
    while True:
        answer = await complete(
            **target, input=given, tools=RESPONSES_TOOLS, store=False, stream=stream
        )
        if stream:
            events = [one async for one in _each(answer)]
            assert not any(isinstance(one, dict) for one in events)
            answer = events[-1].response
        assert isinstance(answer, litellm.ResponsesAPIResponse)
        output = [one if isinstance(one, dict) else one.model_dump() for one in answer.output]
        made = [one for one in output if one["type"] == "function_call"]
        if not made:
            return ran
        ran += [(one["name"], json.loads(one["arguments"])) for one in made]
        results = [
            {"type": "function_call_output", "call_id": one["call_id"], "output": "done"}
            for one in made
        ]
        given = [*given, *answer.output, *results]


async def messages(complete: Callable[..., Any], running: Lab, *, stream: bool) -> list[Any]:
    """The same for one that speaks Messages."""
    said, ran = [TASK], list[Any]()
    target = {"model": "anthropic/claude-3-5-haiku-latest", "api_base": running.url}
    while True:
        answer = await complete(
            **target, api_key="k", messages=said, tools=MESSAGES_TOOLS, max_tokens=50, stream=stream
        )
        content = await _content(answer) if stream else answer["content"]
        made = [one for one in content if one["type"] == "tool_use"]
        if not made:
            return ran
        ran += [(one["name"], one["input"]) for one in made]
        results = [
            {"type": "tool_result", "tool_use_id": one["id"], "content": "done"} for one in made
        ]
        said = [
            *said,
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]


async def _each(stream: Any) -> Any:
    if hasattr(stream, "__aiter__"):
        async for one in stream:
            yield one
    else:
        for one in stream:
            yield one


async def _content(stream: Any) -> list[Any]:
    """The blocks of a stream of bytes."""
    return blocks_in(b"".join([one async for one in stream]).decode())


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(**given: Any) -> Any:
        return await anyio.to_thread.run_sync(partial(function, **given))

    return call


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("way", ["sync", "async", "wrapper"])
async def test_responses(way: str, stream: bool) -> None:
    """`litellm.responses` and `aresponses`: batches, waves and folds, with litellm's objects."""
    with lab() as running:
        itself: Any = batchwrap.batched(litellm.responses)
        complete = _awaited(itself)
        if way == "async":
            itself = complete = batchwrap.batched(litellm.aresponses)
        if way == "wrapper":
            itself = complete = batchwrap.batched(lambda **given: litellm.aresponses(**given))
        assert await responses(complete, running, stream=stream) == MEANT
        assert len(running.journal) == 2
        assert folded_items(running.journal[1].json) == ["multi_read", "multi_edit"]
        assert batchwrap.stats(itself).local_answers == 2
    await litellm.close_litellm_async_clients()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("stream", [False, pytest.param(True, marks=needs_proxy)])
@pytest.mark.parametrize("way", ["acreate", "anthropic_messages", "wrapper"])
async def test_messages(way: str, stream: bool) -> None:
    """`litellm.anthropic.messages.acreate`, `anthropic_messages`: dicts and streams of bytes."""
    functions: dict[str, Any] = {
        "acreate": litellm.anthropic.messages.acreate,
        "anthropic_messages": litellm.anthropic_messages,
        "wrapper": lambda **given: litellm.anthropic.messages.acreate(**given),
    }
    with lab() as running:
        complete = batchwrap.batched(functions[way])
        assert await messages(complete, running, stream=stream) == MEANT
        assert len(running.journal) == 2
        said = running.journal[1].json["messages"][1]["content"]
        assert [one.get("name") for one in said] == [None, "multi_read", "multi_edit"]
        assert batchwrap.stats(complete).local_answers == 2
    await litellm.close_litellm_async_clients()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_installed() -> None:
    """`install` reaches all of them, and each request is translated once."""
    batchwrap.install()
    try:
        with lab() as running:
            assert await responses(litellm.aresponses, running, stream=False) == MEANT
        with lab() as running:
            acreate = litellm.anthropic.messages.acreate
            assert await messages(acreate, running, stream=False) == MEANT
            assert len(running.journal) == 2
    finally:
        batchwrap.uninstall()
    await litellm.close_litellm_async_clients()
