"""The decorator around the real litellm; in the environment that has it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import litellm
import pytest

import batchwrap
from batchwrap.lab import Lab, Raw, Script
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

# litellm warns of itself (pydantic's TypedDicts, its own deprecations).
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def provider() -> Iterator[Lab]:
    """A provider that makes a multi-call and then ends."""
    with Lab(Script(MULTI_CALL, END), tokens_per_s=math.inf, ttft_s=0) as running:
        yield running


def asked(running: Lab, **fields: Any) -> dict[str, Any]:
    """The keyword arguments of a call to litellm."""
    target = {"model": "openai/m", "api_base": running.base_url, "api_key": "k", "max_retries": 0}
    return {**target, "messages": [USER], "tools": TOOLS, **fields}


@batchwrap.batched
def complete(**kwargs: Any) -> Any:
    """What a user writes."""
    return litellm.completion(**kwargs)


@batchwrap.batched
async def complete_async(**kwargs: Any) -> Any:
    """What a user writes."""
    return await litellm.acompletion(**kwargs)


def test_plain(provider: Lab) -> None:
    """litellm's objects keep their type and hidden fields; the provider sees its own calls."""
    first = complete(**asked(provider))
    assert isinstance(first, litellm.ModelResponse)
    assert first._hidden_params["custom_llm_provider"] == "openai"
    assert first._response_headers is not None
    message = first.choices[0].message
    assert calls_of(message) == READS
    complete(**asked(provider, messages=answered(message)))
    assert folded(provider.journal[-1].json["messages"])


def test_streamed(provider: Lab) -> None:
    """The stream is litellm's wrapper with all that hangs on it."""
    stream = complete(**asked(provider, stream=True))
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert stream._hidden_params["api_base"]
    message = gather(list(stream))
    assert message["calls"] == READS
    assert (message["content"], message["finish_reason"]) == ("Let me read.", "tool_calls")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async(provider: Lab) -> None:
    """`acompletion` gets the same, streaming and plain."""
    stream = await complete_async(**asked(provider, stream=True))
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert gather([chunk async for chunk in stream])["calls"] == READS
    done = await complete_async(**asked(provider))
    assert done.choices[0].message.content == "Both read."
    await litellm.close_litellm_async_clients()


def test_retries() -> None:
    """litellm's own error for 429 is understood, headers included, and retried by us."""
    refused = Raw(429, {"retry-after": "0.05", "content-type": "application/json"}, (b"{}",))
    with Lab(Script(refused, END), tokens_per_s=math.inf, ttft_s=0) as running:
        assert complete(**asked(running)).choices[0].message.content == "Both read."
        assert running.refusals == 1


def test_gives_up_with_litellms_error() -> None:
    """A refusal that asks for a day reaches the caller as litellm's own error."""
    refused = Raw(429, {"retry-after": "86399", "content-type": "application/json"}, (b"{}",))
    with (
        Lab(Script(refused), tokens_per_s=math.inf, ttft_s=0) as running,
        pytest.raises(litellm.RateLimitError),
    ):
        complete(**asked(running))
