"""Edits of one file go out one after the other, and only the first costs a round trip."""

from __future__ import annotations

from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Lab
from batchwrap.tools import Workspace
from tests.adapters.agent import USER, checked, message_of, work
from tests.adapters.agent import provider as provider  # fixtures
from tests.adapters.agent import workspace as workspace


@pytest.mark.parametrize("stream", [False, True])
def test_wrapped(provider: Lab, workspace: Workspace, stream: bool) -> None:
    """On the wire: whole answers and streams."""
    with openai.OpenAI(base_url=provider.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare)
        history = work(client.chat.completions.create, workspace, stream=stream)
        stats = batchwrap.stats(client)
    checked(history, provider, workspace)
    assert (stats.requests, stats.round_trips, stats.local_answers) == (4, 2, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_decorated(provider: Lab, workspace: Workspace, stream: bool) -> None:
    """In a decorated function: objects of the SDK's own types."""
    types: list[type[Any]] = []
    with openai.OpenAI(base_url=provider.base_url, api_key="k") as client:
        decorated = batchwrap.batched(client.chat.completions.create)

        def complete(**kwargs: Any) -> Any:
            answer = decorated(**kwargs)
            types.append(type(answer).__mro__[-3 if stream else 0])
            return answer

        history = work(complete, workspace, stream=stream)
    checked(history, provider, workspace)
    assert len(set(types)) == 1
    assert batchwrap.stats(decorated).local_answers == 2


def test_marked(provider: Lab, workspace: Workspace) -> None:
    """A local answer says so in a header, has a fresh id and costs no tokens."""
    with openai.OpenAI(base_url=provider.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare)
        raw = client.chat.completions.with_raw_response
        seen = []

        def complete(**kwargs: Any) -> Any:
            answer = raw.create(**kwargs)
            parsed = answer.parse()
            seen.append((answer.headers.get("x-batchwrap-served"), parsed.id, parsed.usage))
            return parsed

        work(complete, workspace, stream=False)
    served, answer_ids, usages = zip(*seen, strict=True)
    assert served == (None, "local", "local", None)
    assert len(set(answer_ids)) == 4
    assert [usage.total_tokens > 0 for usage in usages] == [True, False, False, True]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_tasks(provider: Lab, workspace: Workspace) -> None:
    """The same for tasks, streamed: wrapped, and decorated around the wrapped client."""
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="k") as bare:
        client = batchwrap.wrap(bare)
        messages: list[dict[str, Any]] = [USER]
        while True:
            asked: Any = {"model": "m", "messages": messages, "tools": workspace.schemas()}
            stream = await client.chat.completions.create(**asked, stream=True)
            message = message_of([chunk async for chunk in stream], True)
            messages.append(message)
            if not message.get("tool_calls"):
                break
            for call in message["tool_calls"]:
                text = workspace.call(call["function"]["name"], call["function"]["arguments"])
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    checked(messages, provider, workspace)
