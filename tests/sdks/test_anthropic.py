"""Anthropic's SDK: its messages are batched, throttled, retried and settled."""

from __future__ import annotations

import logging
from typing import Any

import anthropic
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, RateLimit, Raw, Reply
from batchwrap.options import Limit, Throttle
from tests.adapters.callers import Caller

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


def test_messages(caller: Caller, serve: Any, caplog: Any) -> None:
    """A message comes as without us, its usage is counted, and what is inactive is said once."""
    lab = serve(lambda request: Reply("one two three"))
    bare = open_client(caller, lab)
    client = batchwrap.wrap(bare, limits=LIMITS)
    with caplog.at_level(logging.WARNING, "batchwrap"):
        answers = [caller.run(one.messages.create, **ASK) for one in (bare, client, client)]
    assert answers[0] == answers[1]
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
    assert [event.to_dict() for event in seen[0]] == [event.to_dict() for event in seen[1]]
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


def test_others(caller: Caller, serve: Any) -> None:
    """Counting tokens and lists of models pass through."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(open_client(caller, lab))
    with pytest.raises(anthropic.NotFoundError):  # the lab does not count
        caller.run(client.messages.count_tokens, model="m", messages=ASK["messages"])
    assert batchwrap.stats(client).passed_through == 1


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


def helped(caller: Caller, client: Any, **asked: Any) -> Any:
    """The final message of the streaming helper."""

    def whole() -> Any:
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    async def whole_async() -> Any:
        async with client.messages.stream(**asked) as stream:
            return await stream.get_final_message()

    return caller.run(whole_async if caller.is_async else whole)


@pytest.mark.parametrize("streamed", [False, True])
def test_batches(caller: Caller, serve: Any, streamed: bool) -> None:
    """A multi-call becomes calls of the agent's tools, by both ways; the history is folded back."""
    said = [Reply("Reading.", calls=(BATCH,)), Reply("done")]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(open_client(caller, lab))
    messages: list[Any] = [{"role": "user", "content": "Read a.py and b.py."}]
    asked = {"model": "claude", "max_tokens": 50, "tools": [READ]}

    def ask() -> Any:
        given = {**asked, "messages": messages}
        return (
            helped(caller, client, **given)
            if streamed
            else caller.run(client.messages.create, **given)
        )

    answer = ask()
    assert answer.stop_reason == "tool_use"
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [(one.name, one.input) for one in calls] == [
        ("read_file", {"path": "a.py"}),
        ("read_file", {"path": "b.py"}),
    ]
    results = [{"type": "tool_result", "tool_use_id": one.id, "content": "x"} for one in calls]
    messages += [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results},
    ]
    assert ask().content[0].text == "done"
    _, turn, _ = lab.journal[1].json["messages"]
    assert [block.get("name") for block in turn["content"]] == [None, "multi_read"]


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
