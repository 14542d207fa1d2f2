"""Anthropic's SDK: its messages are batched, throttled, retried and settled."""

from __future__ import annotations

import json
import logging
import re
from contextlib import ExitStack
from typing import Any

import anthropic
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, RateLimit, Raw, Reply
from batchwrap.options import Limit, Throttle
from tests.adapters.batching_models import scripted
from tests.adapters.callers import Caller
from tests.adapters.file_job import MEANT, WORK, messages_job
from tests.sdks.streamed import helped

ASK: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "Hi " * 20}],
}
JSON = {"content-type": "application/json"}
LIMITS = [Limit("tokens", 1e6, 60)]


def open_client(caller: Caller, lab: Lab, **options: Any) -> Any:
    """A bare client."""
    kind = anthropic.AsyncAnthropic if caller.is_async else anthropic.Anthropic
    return caller.closes(kind(base_url=lab.url, api_key="key", **options))


def without_ids(told: Any) -> str:
    """What an answer says, but for its random id."""
    return re.sub(r"\bmsg_\w+", "-", repr(told))


def test_messages(caller: Caller, serve: Any, caplog: Any) -> None:
    """A message comes as without us, its usage is counted, and what is inactive is said once."""
    lab = serve(lambda request: Reply("one two three"))
    bare = open_client(caller, lab)
    client = batchwrap.wrap(bare, limits=LIMITS)
    with caplog.at_level(logging.WARNING, "batchwrap"):
        answers = [caller.run(one.messages.create, **ASK) for one in (bare, client, client)]
    assert without_ids(answers[0].to_dict()) == without_ids(answers[1].to_dict())
    assert answers[1].content[0].text == "one two three"
    assert lab.journal[0].body == lab.journal[1].body
    assert lab.journal[0].headers == lab.journal[1].headers
    assert not caplog.records
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.only_throttled) == (2, {})
    assert stats.prompt_tokens == 2 * lab.journal[1].prompt_tokens
    assert stats.completion_tokens == 2 * lab.journal[1].completion_tokens


def test_streams(caller: Caller, serve: Any) -> None:
    """Events come as without us, by both ways of streaming, and the last usage counts."""
    lab = serve(lambda request: Reply("one two three"))
    bare = open_client(caller, lab)
    client = batchwrap.wrap(bare, limits=LIMITS)
    seen = [
        list(caller.each(caller.run(one.messages.create, **ASK, stream=True)))
        for one in (bare, client)
    ]
    bare_events, events = ([event.to_dict() for event in some] for some in seen)
    assert without_ids(bare_events) == without_ids(events)
    assert batchwrap.stats(client).completion_tokens == lab.journal[1].completion_tokens

    def read(one: Any) -> str:
        with one.messages.stream(**ASK) as stream:
            return str(stream.get_final_text())

    async def read_async(one: Any) -> str:
        async with one.messages.stream(**ASK) as stream:
            return str(await stream.get_final_text())

    assert caller.run(read_async if caller.is_async else read, client) == "one two three"


def test_refused(caller: Caller, serve: Any) -> None:
    """Refusals and overload are retried; what is given up is the SDK's own error."""
    overloaded = b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}'
    said: list[Any] = [
        Raw(429, {"retry-after": "0", **JSON}, (b"{}",)),
        Raw(529, {"retry-after": "0", **JSON}, (overloaded,)),
        Reply("yes"),
        Raw(429, {"retry-after": "1000", **JSON}, (b"{}",)),
    ]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(open_client(caller, lab))
    assert caller.run(client.messages.create, **ASK).content[0].text == "yes"
    with pytest.raises(anthropic.RateLimitError):
        caller.run(client.messages.create, **ASK)
    assert len(lab.journal) == 4
    assert batchwrap.stats(client).retries == 2


def test_limited(caller: Caller, serve: Any) -> None:
    """Requests wait for the limits, and one that would wait too long is the SDK's own error."""
    lab = serve(lambda request: Reply("yes"), limits=[RateLimit("requests", 2, 60)], time_scale=60)
    client = batchwrap.wrap(open_client(caller, lab), limits=[Limit("requests", 2, 1)])
    for _ in range(4):
        caller.run(client.messages.create, **ASK)
    assert [entry.status for entry in lab.journal] == [200] * 4
    hasty = Throttle(limits=[Limit("requests", 1, 1_000)], max_wait_s=0)
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(open_client(caller, lab), throttle=hasty)
    caller.run(client.messages.create, **ASK)
    with pytest.raises(anthropic.RateLimitError, match="above max_wait_s"):
        caller.run(client.messages.create, **ASK)


def raised(caller: Caller, client: Any, stream: bool, **fields: Any) -> anthropic.APIStatusError:
    """What the SDK raises for a request."""

    def ask() -> Any:
        answer = caller.run(client.messages.create, **{**ASK, **fields}, stream=stream)
        return list(caller.each(answer)) if stream else answer

    with pytest.raises(anthropic.APIStatusError) as caught:
        ask()
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_ours(caller: Caller, serve: Any, stream: bool) -> None:
    """They are the SDK's own classes, with our code as `error_code`, and are not tried again."""
    lab = serve(lambda request: Reply("yes"))
    bare = open_client(caller, lab)
    slow = Throttle(limits=[Limit("requests", 1, 1_000)], max_wait_s=0)
    small = Throttle(limits=[Limit("tokens", 5, 60)])
    client = batchwrap.wrap(bare, throttle=slow)
    caller.run(client.messages.create, **ASK)
    for throttle, kind, status, code in (
        (slow, anthropic.RateLimitError, 429, "batchwrap_limit_exceeded"),
        (small, anthropic.RequestTooLargeError, 413, "batchwrap_request_too_large"),
    ):
        one = client if throttle is slow else batchwrap.wrap(bare, throttle=throttle)
        error = raised(caller, one, stream)
        assert isinstance(error, kind)
        assert (error.status_code, error.error_code) == (status, code)
    assert len(lab.journal) == 1


def test_a_stream_that_breaks_off(caller: Caller, serve: Any) -> None:
    """Half a message is an error of the SDK's, by both ways of streaming."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m"}
    event = {"type": "message_start", "message": {**start, "usage": {"input_tokens": 1}}}
    half = f"event: message_start\ndata: {json.dumps(event)}\n\n".encode()
    lab = serve(lambda request: Raw(200, {"content-type": "text/event-stream"}, (half,)))
    client = batchwrap.wrap(open_client(caller, lab))
    assert raised(caller, client, stream=True).error_code == "batchwrap_incomplete_stream"
    with pytest.raises(anthropic.APIStatusError) as caught:
        helped(caller, client, **ASK)
    assert caught.value.error_code == "batchwrap_incomplete_stream"


def test_others(caller: Caller, serve: Any) -> None:
    """Lists of models pass through."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(open_client(caller, lab))
    assert caller.run(client.get, "/v1/models", cast_to=object)["data"]
    assert batchwrap.stats(client).passed_through == 1


def test_counting(caller: Caller, serve: Any) -> None:
    """`count_tokens` counts what would be sent, multi-tools and folded history included."""
    said = [Reply("Reading.", calls=(BATCH,)), Reply("done")]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(open_client(caller, lab))
    messages: list[Any] = [{"role": "user", "content": "Read a.py and b.py."}]
    asked = {"model": "claude", "tools": [READ]}
    answer = caller.run(client.messages.create, messages=messages, max_tokens=50, **asked)
    results = [
        {"type": "tool_result", "tool_use_id": one.id, "content": "x"}
        for one in answer.content
        if one.type == "tool_use"
    ]
    messages += [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results},
    ]
    before = batchwrap.stats(client)
    counted = caller.run(client.messages.count_tokens, messages=messages, **asked)
    after = batchwrap.stats(client)
    assert (after.passed_through, after.requests) == (1, before.requests)
    assert (after.folds, after.offers) == (before.folds, before.offers)
    caller.run(client.messages.create, messages=messages, max_tokens=50, **asked)
    first, second = lab.journal[1:]
    assert first.path == "/v1/messages/count_tokens"
    assert first.json["messages"] == second.json["messages"]
    assert first.json["tools"] == second.json["tools"]
    assert counted.input_tokens == second.prompt_tokens


def test_installed(caller: Caller, serve: Any) -> None:
    """`install` wraps its clients, too."""
    lab = serve(lambda request: Reply("yes"))
    batchwrap.install()
    try:
        client = open_client(caller, lab)
        caller.run(client.messages.create, **ASK)
        assert batchwrap.stats(client).requests == 1
    finally:
        batchwrap.uninstall()


READ = {
    "name": "read_file",
    "description": "Read a file.",
    "input_schema": {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    },
}
BATCH = Call("multi_read", {"files": [{"path": "a.py"}, {"path": "b.py"}]})


@pytest.mark.parametrize("streamed", [False, True])
def test_batches(caller: Caller, serve: Any, streamed: bool) -> None:
    """Calls become the agent's, what waits costs no round trip, and the history is folded back."""
    lab = serve(scripted(WORK))
    client = batchwrap.wrap(open_client(caller, lab))

    def ask(**asked: Any) -> Any:
        asked = {"model": "claude", "max_tokens": 50, **asked}
        if streamed:
            return helped(caller, client, **asked)
        return caller.run(client.messages.create, **asked)

    done = messages_job(ask)
    assert (done.ran, done.answers, len(lab.journal)) == (MEANT, 4, 2)
    assert done.last.content[0].text == "done"
    _, turn, _ = lab.journal[1].json["messages"]
    assert [block.get("name") for block in turn["content"]] == [None, "multi_read", "multi_edit"]


def test_middleware(caller: Caller, serve: Any) -> None:
    """A client with middleware keeps it, and is wrapped all the same."""
    seen: list[Any] = []

    def notes(request: Any, call_next: Any) -> Any:
        seen.append(request)
        return call_next(request)

    async def notes_async(request: Any, call_next: Any) -> Any:
        seen.append(request)
        return await call_next(request)

    lab = serve(lambda request: Reply("yes"))
    bare = open_client(caller, lab, middleware=[notes_async if caller.is_async else notes])
    client = batchwrap.wrap(bare)
    caller.run(client.messages.create, **ASK)
    assert (len(seen), batchwrap.stats(client).requests) == (1, 1)


def test_the_tool_runner(serve: Any) -> None:
    """It is told that there are no threads, and goes on without: then its calls are batched."""
    said = [Reply(calls=(BATCH,)), Reply("done")]
    lab = serve(lambda request: said.pop(0))
    ran: list[str] = []
    with anthropic.Anthropic(base_url=lab.url, api_key="key") as bare:
        client = batchwrap.wrap(bare)

        @anthropic.beta_tool
        def read_file(path: str) -> str:
            """Read a file.

            Args:
                path: the file.
            """
            ran.append(path)
            return f"text of {path}"

        asked: Any = {"role": "user", "content": "Read a.py."}
        runner = client.beta.messages.tool_runner(
            model="claude", max_tokens=50, tools=[read_file], messages=[asked]
        )
        assert runner.until_done().content[0].text == "done"
        stats = batchwrap.stats(client)
        assert (stats.multi_calls, stats.items, stats.only_throttled) == (1, 2, {})
    assert ran == ["a.py", "b.py"]
    assert not any("thread" in request.json for request in lab.journal)


@pytest.mark.parametrize("stream", [False, True])
def test_thinking(serve: Any, closing: ExitStack, stream: bool) -> None:
    """A conversation with thinking is batched, by another client for each request, too.

    The lab refuses thinking that comes back behind anything that was changed.
    """
    reads = {"files": [{"path": "a.py"}, {"path": "b.py"}]}
    job = [
        Reply("Looking.", reasoning="First.", calls=(Call("multi_read", reads),)),
        Reply(reasoning="Then.", calls=(Call("read_file", {"path": "c.py"}),)),
        Reply("done", reasoning="That is all."),
    ]
    lab = serve(lambda _: job.pop(0))
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    tool = {"name": "read_file", "description": "Reads a file.", "input_schema": schema}
    ask = {**ASK, "tools": [tool], "thinking": {"type": "adaptive"}, "messages": [*ASK["messages"]]}
    read = []
    while job:
        bare = anthropic.Anthropic(base_url=lab.url, api_key="key")
        client = batchwrap.wrap(closing.enter_context(bare), limits=LIMITS)
        if stream:
            with client.messages.stream(**ask) as events:
                said = events.get_final_message()
        else:
            said = client.messages.create(**ask)
        assert said.content[0].type == "thinking"
        calls = [block for block in said.content if block.type == "tool_use"]
        read += [call.input["path"] for call in calls]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "text"} for call in calls
        ]
        ask["messages"] += [
            {"role": "assistant", "content": said.content},
            {"role": "user", "content": results},
        ]
    assert read == ["a.py", "b.py", "c.py"]
    assert [request.status for request in lab.journal] == [200] * 3
    [_, call] = [b for b in lab.journal[-1].json["messages"][1]["content"] if b["type"] != "text"]
    assert (call["name"], call["input"]) == ("multi_read", reads)
