"""The decorator around the real litellm; in the environment that has it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import anyio
import litellm
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, Raw, Reply, Script
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

JSON = {"content-type": "application/json"}
REFUSED = Raw(429, {"retry-after": "0.01", **JSON}, (b"{}",))
EDITS = [{"path": "a.py", "old_string": str(n), "new_string": str(n + 1)} for n in range(2)]
EDIT_TWICE = Reply(calls=(Call("multi_edit", {"files": EDITS}),))

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


def test_headers_teach_the_limits() -> None:
    """With `limits="auto"` litellm's copy of the provider's headers holds requests back."""
    spent = {
        "x-ratelimit-limit-requests-minute": "2",
        "x-ratelimit-remaining-requests-minute": "0",
    }
    said = {"role": "assistant", "content": "hi"}
    body = {"id": "c", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
    answer = Raw(200, {**JSON, **spent}, (json.dumps(body).encode(),))
    careful = batchwrap.batched(throttle=batchwrap.Throttle(max_wait_s=0))(litellm.completion)
    with Lab(Script(answer, END), tokens_per_s=math.inf, ttft_s=0) as running:
        careful(**asked(running))
        with pytest.raises(batchwrap.LimitExceeded, match="max_wait_s=0"):
            careful(**asked(running))
        assert running.round_trips == 1


@pytest.mark.parametrize("stream", [False, True])
def test_local_answers(stream: bool) -> None:
    """A second wave is litellm's object, has cost nothing, and says that it is local."""
    with Lab(Script(EDIT_TWICE), tokens_per_s=math.inf, ttft_s=0) as running:
        first = complete(**asked(running, stream=stream))
        ids = gather(list(first))["ids"] if stream else []
        ids = ids or [call.id for call in first.choices[0].message.tool_calls]
        function = {"name": "edit_file", "arguments": json.dumps(EDITS[0])}
        call = {"id": ids[0], "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": ids[0], "content": "done"}
        history = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}, result]
        second = complete(**asked(running, messages=history, stream=stream))
        assert running.round_trips == 1
    assert isinstance(second, litellm.CustomStreamWrapper if stream else litellm.ModelResponse)
    assert second._hidden_params["additional_headers"] == {"x-batchwrap-served": "local"}
    assert second._hidden_params["response_cost"] == 0
    assert second._hidden_params["custom_llm_provider"] == "openai" or stream
    if stream:
        assert gather(list(second))["calls"] == [("edit_file", EDITS[1])]
        return
    assert second.usage.total_tokens == 0
    assert calls_of(second.choices[0].message) == [("edit_file", EDITS[1])]


@pytest.mark.parametrize("num_retries", [None, 1])
def test_retries_beneath_are_counted(num_retries: int | None) -> None:
    """litellm's own retries, and those of the SDK beneath it, use up ours."""
    with Lab(Script(*[REFUSED] * 30), tokens_per_s=math.inf, ttft_s=0) as running:
        told = asked(running, max_retries=None, num_retries=num_retries)
        with pytest.raises(litellm.RateLimitError):
            batchwrap.batched(litellm.completion)(**told)
        assert running.refusals == 6, "not six times as many as litellm alone sends"


def test_its_own_retries() -> None:
    """`num_retries` works as without batchwrap where ours are off."""
    ours_off = batchwrap.batched(throttle=None)(litellm.completion)
    with Lab(Script(REFUSED, REFUSED, MULTI_CALL), tokens_per_s=math.inf, ttft_s=0) as running:
        done = ours_off(**asked(running, num_retries=2))
        assert (calls_of(done.choices[0].message), running.refusals) == (READS, 2)


def test_refused_in_the_first_chunk() -> None:
    """An error in place of a stream's first chunk is retried although its status was 200."""
    event = b'data: {"error": {"message": "Too many requests", "code": 429}}\n\n'
    busy = Raw(200, {"content-type": "text/event-stream"}, (event,))
    with Lab(Script(busy, MULTI_CALL), tokens_per_s=math.inf, ttft_s=0) as running:
        assert gather(list(complete(**asked(running, stream=True))))["calls"] == READS


def test_fallbacks(provider: Lab) -> None:
    """`fallbacks` answer where the first model cannot; their calls are expanded and folded."""
    denied = Raw(401, JSON, (b'{"error": {"message": "no"}}',))
    other = {"model": "openai/n", "api_base": provider.base_url, "api_key": "k"}
    with Lab(Script(*[denied] * 9), tokens_per_s=math.inf, ttft_s=0) as broken:
        first = complete(**asked(broken, fallbacks=[other]))
        message = first.choices[0].message
        assert calls_of(message) == READS
        complete(**asked(broken, fallbacks=[other], messages=answered(message)))
        assert folded(provider.journal[-1].json["messages"])


class Heard(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc]
    """Callbacks: which tool each answer called first, of one test's calls."""

    def __init__(self) -> None:
        super().__init__()
        self.mine = {"heard": id(self)}  # litellm tells of calls of earlier loops, too
        self.names: list[str] = []
        self.all = threading.Event()

    def sync(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """For `success_callback`."""
        if kwargs["litellm_params"]["metadata"].get("heard") != id(self):
            return
        self.names.append(response_obj.choices[0].message.tool_calls[0].function.name)
        if len(self.names) == 2:
            self.all.set()

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """For `callbacks`."""
        self.sync(kwargs, response_obj, start_time, end_time)


def test_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks hear of each answer, plain and streamed, as the provider gave it."""
    heard = Heard()
    monkeypatch.setattr(litellm, "success_callback", [heard.sync])
    with Lab(Script(MULTI_CALL, MULTI_CALL), tokens_per_s=math.inf, ttft_s=0) as running:
        complete(**asked(running, metadata=heard.mine))
        list(complete(**asked(running, metadata=heard.mine, stream=True)))
        assert heard.all.wait(10)
    assert heard.names == ["multi_read", "multi_read"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a `CustomLogger` and `acompletion`."""
    heard = Heard()
    monkeypatch.setattr(litellm, "callbacks", [heard])
    with Lab(Script(MULTI_CALL, MULTI_CALL), tokens_per_s=math.inf, ttft_s=0) as running:
        await complete_async(**asked(running, metadata=heard.mine))
        async for _ in await complete_async(**asked(running, metadata=heard.mine, stream=True)):
            pass
        assert await anyio.to_thread.run_sync(heard.all.wait, 10)
    assert heard.names == ["multi_read", "multi_read"]
    await litellm.close_litellm_async_clients()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("function", [lambda **kw: litellm.acompletion(**kw), litellm.acompletion])
async def test_itself(provider: Lab, function: Callable[..., Any]) -> None:
    """`batched(litellm.acompletion)`, and a lambda that does not look async."""
    itself = batchwrap.batched(function)
    done = await itself(**asked(provider))
    assert calls_of(done.choices[0].message) == READS
    assert batchwrap.stats(itself).requests == 1
    await litellm.close_litellm_async_clients()


# At the end: litellm keeps a callback of its own for a cache.
@pytest.mark.skipif(not find_spec("soundfile"), reason="litellm's cache imports soundfile")
@pytest.mark.parametrize("stream", [False, True])
def test_caching(provider: Lab, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """`caching=True` answers from litellm's cache, expanded again, and counts as nothing spent."""
    monkeypatch.setattr(litellm, "cache", litellm.Cache())
    cached = batchwrap.batched(litellm.completion)
    for _ in range(2):
        answer = cached(**asked(provider, caching=True, stream=stream))
        if stream:
            assert gather(list(answer))["calls"] == READS
        else:
            assert calls_of(answer.choices[0].message) == READS
    assert provider.round_trips == 1
    if not stream:
        assert answer._hidden_params["cache_hit"] is True
        spent = batchwrap.stats(cached).prompt_tokens
        assert spent == provider.journal[0].prompt_tokens == answer.usage.prompt_tokens
        cached(**asked(provider, messages=answered(answer.choices[0].message)))
        assert folded(provider.journal[-1].json["messages"])
