"""Anthropic's SDK: its messages are throttled, retried and settled, and otherwise untouched."""

from __future__ import annotations

import logging
from typing import Any

import anthropic
import pytest

import batchwrap
from batchwrap.lab import Lab, RateLimit, Raw, Reply
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
    assert len(caplog.records) == 1
    stats = batchwrap.stats(client)
    assert stats.only_throttled == {"messages": 2}
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
        assert batchwrap.stats(client).only_throttled == {"messages": 1}
    finally:
        batchwrap.uninstall()
