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
from batchwrap.lab import Call, Lab, Reply
from tests.adapters.batching_models import edit, files, scripted
from tests.strategies import EDIT_FILE, READ_FILE

# litellm warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
PATHS = [{"path": "a.py"}, {"path": "b.py"}]
EDITS = [edit("a.py", "1"), edit("a.py", "2")]
CALLS = (Call("multi_read", files(*PATHS)), Call("multi_edit", files(*EDITS)))
MEANT = [("read_file", one) for one in PATHS] + [("edit_file", one) for one in EDITS]
TASK: dict[str, Any] = {"role": "user", "content": "Mend a.py and b.py."}
RESPONSES_TOOLS = [{"type": "function", **one["function"]} for one in (READ_FILE, EDIT_FILE)]
MESSAGES_TOOLS = [
    {"name": one["function"]["name"], "input_schema": one["function"]["parameters"]}
    for one in (READ_FILE, EDIT_FILE)
]
# litellm's streams of messages import a part of its proxy, which wants more than litellm itself.
needs_proxy = pytest.mark.skipif(not find_spec("soundfile"), reason="litellm's proxy is not here")


def lab() -> Lab:
    """A model that makes two multi-calls at once, and then ends."""
    said = scripted(Reply("Working.", calls=CALLS))
    return Lab(said, tokens_per_s=math.inf, ttft_s=0)


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
    data = b"".join([one async for one in stream])
    blocks: list[Any] = []
    for event in filter(None, data.split(b"\n\n")):
        told = json.loads(event.split(b"data: ", 1)[1])
        match told["type"]:
            case "content_block_start":
                blocks.append({**told["content_block"], "said": ""})
            case "content_block_delta":
                delta = told["delta"]
                blocks[told["index"]]["said"] += delta.get("partial_json", delta.get("text"))
    for block in blocks:
        said = block.pop("said")
        block |= {"text": said} if block["type"] == "text" else {"input": json.loads(said)}
    return blocks


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
        folded = [i for i in running.journal[1].json["input"] if i.get("type") == "function_call"]
        assert [one["name"] for one in folded] == ["multi_read", "multi_edit"]
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
