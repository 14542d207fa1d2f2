"""What a decorated function hands out, and what it calls the function with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageToolCall
from openai.types.chat.chat_completion_chunk import ChatCompletionChunk, ChoiceDeltaToolCall

import batchwrap
from batchwrap.errors import LimitExceeded
from batchwrap.lab import Call, Lab, Raw, Reply
from batchwrap.options import Repair, Throttle
from tests.adapters.conversation import END, MULTI_CALL, READS, TOOLS, USER, calls_of, gather

Serve = Callable[..., Lab]
EVENTS = {"content-type": "text/event-stream"}
EDITS = [{"path": "a.py", "old_string": str(n), "new_string": str(n + 1)} for n in range(2)]
EDIT_TWICE = Reply(calls=(Call("multi_edit", {"files": EDITS}),))


def sdk(running: Lab) -> openai.OpenAI:
    """A bare client without retries of its own."""
    return openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0)


def called(running: Lab, **options: Any) -> Any:
    """A decorated function around a bare client."""
    client = sdk(running)

    @batchwrap.batched(**options)
    def complete(**kwargs: Any) -> Any:
        return client.chat.completions.create(model="m", **kwargs)

    return complete


def events(*chunks: dict[str, Any]) -> Raw:
    """A stream of these chunks."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    lines = [f"data: {json.dumps({**head, **chunk})}\n\n".encode() for chunk in chunks]
    return Raw(200, EVENTS, (*lines, b"data: [DONE]\n\n"))


@pytest.mark.parametrize("stream", [False, True])
def test_local_answers_are_the_sdks_objects(serve: Serve, stream: bool) -> None:
    """A second wave has the types, the model and an id of its own, and reports nothing spent."""
    running = serve(EDIT_TWICE, END)
    complete = called(running)
    asked: dict[str, Any] = {"tools": TOOLS, "stream": stream}
    first = complete(messages=[USER], **asked)
    message = gather(list(first)) if stream else None
    ids = message["ids"] if message else [c.id for c in first.choices[0].message.tool_calls]
    assert len(ids) == 1, "two edits of one file never go out together"
    call = {"id": ids[0], "type": "function"}
    call["function"] = {"name": "edit_file", "arguments": json.dumps(EDITS[0])}
    history = [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": ids[0], "content": "done"},
    ]
    second = complete(messages=history, **asked)
    assert running.round_trips == 1
    if not stream:
        assert isinstance(second, ChatCompletion)
        assert (second.model, second.id != first.id) == ("m", True)
        assert second.usage is not None and second.usage.total_tokens == 0
        assert calls_of(second.choices[0].message) == [("edit_file", EDITS[1])]
        return
    assert isinstance(second, openai.Stream)
    chunks = list(second)
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    assert gather(chunks)["calls"] == [("edit_file", EDITS[1])]


def test_several_choices(serve: Serve) -> None:
    """Each choice of a stream keeps its own calls, whichever chunk came last."""
    arguments = json.dumps({"files": [{"path": "a.py"}, {"path": "b.py", "offset": 3}]})
    call = {"index": 0, "id": "c", "type": "function"}
    call["function"] = {"name": "multi_read", "arguments": arguments}
    both = [
        {"choices": [{"index": n, "delta": {"role": "assistant", "tool_calls": [call]}}]}
        for n in range(2)
    ]
    ends: list[Any] = [
        {"choices": [{"index": n, "delta": {}, "finish_reason": "tool_calls"}]} for n in (0, 1)
    ]
    complete = called(serve(events(*both, *ends)))
    chunks = list(complete(messages=[USER], tools=TOOLS, stream=True, n=2))
    for number in range(2):
        own = [
            call
            for chunk in chunks
            for choice in chunk.choices
            if choice.index == number
            for call in choice.delta.tool_calls or ()
        ]
        assert all(isinstance(call, ChoiceDeltaToolCall) for call in own)
        assert [call.function.name for call in own if call.function.name] == ["read_file"] * 2


def test_calls_found_in_text_are_the_sdks_objects(serve: Serve) -> None:
    """A call that the provider leaked as text becomes one of the SDK's, and leaves the text."""
    leaked = 'Now.\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call>'
    with sdk(serve(Reply(leaked))) as client:

        @batchwrap.batched(repair=Repair(leaked_calls="gated"))
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        message = complete(messages=[USER], tools=TOOLS).choices[0].message
    assert calls_of(message) == [("read_file", {"path": "a.py"})]
    assert isinstance(message.tool_calls[0], ChatCompletionMessageToolCall)
    assert "<tool_call>" not in (message.content or "")


def test_a_whole_answer_to_a_stream() -> None:
    """A function that ignores `stream` and returns a dict is handed out as a stream."""
    message = {"role": "assistant", "content": "hi"}

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        return {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    chunks = list(complete(messages=[USER], stream=True))
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert text == "hi"


def test_only_what_the_function_takes(serve: Serve) -> None:
    """A function of fixed parameters is never given another, whatever is asked of the provider."""
    running = serve(MULTI_CALL)
    with sdk(running) as client:

        @batchwrap.batched(limits="cerebras/code-max")  # there usage is asked for in streams
        def complete(messages: list[Any], tools: list[Any], stream: bool = False) -> Any:
            return client.chat.completions.create(
                model="m", messages=messages, tools=tools, stream=stream
            )

        assert gather(list(complete([USER], TOOLS, stream=True)))["calls"] == READS
    assert "stream_options" not in running.journal[-1].json


def test_objects_among_the_arguments() -> None:
    """What is no JSON, a client or a callback, reaches the function as it is."""
    client, seen = object(), list[Any]()

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        seen.append(kwargs)
        return {"choices": []}

    complete(messages=[USER], tools=TOOLS, client=client, hooks=(print,))
    assert (seen[0]["client"], seen[0]["hooks"]) == (client, (print,))
    assert len(seen[0]["tools"]) > len(TOOLS)


def test_a_function_may_change_its_arguments() -> None:
    """What a function does to the tools that it is called with shows in no later call."""
    seen: list[Any] = []

    @batchwrap.batched
    def complete(**kwargs: Any) -> dict[str, Any]:
        seen.append(json.dumps(kwargs["tools"]))
        for tool in kwargs["tools"]:
            if tool not in TOOLS:
                tool["function"].clear()
        return {"choices": []}

    for _ in range(2):
        complete(model="m", messages=[USER], tools=TOOLS)
    assert seen[0] == seen[1] and "multi_read" in seen[0]


def test_headers_of_streams_teach_the_limits(serve: Serve) -> None:
    """With `limits="auto"` what a stream's headers say of the account holds requests back."""
    done = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    spent = {
        "x-ratelimit-limit-requests-minute": "2",
        "x-ratelimit-remaining-requests-minute": "0",
    }
    running = serve(Raw(200, {**EVENTS, **spent}, events(done).chunks), END)
    complete = called(running, throttle=Throttle(max_wait_s=0))
    list(complete(messages=[USER], stream=True))
    with pytest.raises(LimitExceeded, match="max_wait_s=0"):
        complete(messages=[USER], stream=True)
    assert running.round_trips == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": [{"role": "user", 5: 1}]},
        {"messages": [USER], "tools": [{5: 1}]},
        {"messages": [None, 5, object()]},
        {"messages": [USER], "model": 2**70},
        {"messages": [USER], "tools": TOOLS, "logit_bias": {5: 1}},
        {"messages": [USER], "response_format": int, "stream": "yes"},
    ],
)
@pytest.mark.parametrize(
    "answer", [None, 5, "text", [], {}, {"choices": 5}, {"choices": [{"message": 5}]}, object()]
)
def test_odd_shapes(odd: dict[str, Any], answer: Any) -> None:
    """What is not understood goes through: the function is called once, its answer comes out."""
    seen: list[Any] = []

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        seen.append(kwargs)
        return answer

    out = complete(**odd)
    assert len(seen) == 1 and seen[0].keys() == odd.keys()
    assert out is answer or odd.get("stream")
