"""Endpoints that are not translated: throttled, retried and settled, and untouched to the byte."""

from __future__ import annotations

import logging
import re
from typing import Any

import openai
import orjson
import pytest
import tenacity

import batchwrap
from batchwrap.lab import Lab, RateLimit, Raw, Reply
from batchwrap.options import Limit, Throttle
from batchwrap.testing import ManualClock
from tests.adapters.callers import Caller, Web
from tests.adapters.events import EVENTS

# Spaces, an order and a number that a re-serialised body would not have.
ODD = b'"x": 1.10, "model" : "m", '
BODIES = {
    "responses": b"{ " + ODD + b'"input": "Say \\u00e9."}',
    "messages": b"{ " + ODD + b'"max_tokens": 9, "messages": [{"role":"user","content":"Hi"}]}',
    "completions": b"{ " + ODD + b'"prompt": "Say"}',
    "embeddings": b"{ " + ODD + b'"input": ["a", "b"]}',
}
TYPED = {"content-type": "application/json"}
REFUSED = Raw(429, {"retry-after": "0", **TYPED}, (b"{}",))
SAID = "one two three four"


def stream_of(body: bytes) -> bytes:
    """The same request, streamed."""
    return body.replace(b"{ ", b'{ "stream": true, ', 1)


def ask(web: Web, client: Any, lab: Lab, name: str, content: bytes) -> tuple[Any, bytes]:
    """The response to a request and its body as it is handed out."""
    return web.stream(client, lab, name, content=content, headers=TYPED)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_untouched(web: Web, serve: Any, name: str, stream: bool) -> None:
    """Request and answer keep every byte and header, and the usage is counted."""
    lab = serve(lambda request: Reply(SAID))
    content = stream_of(BODIES[name]) if stream and name != "embeddings" else BODIES[name]
    bare = web.open()
    client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e6, 60)])
    answers = [ask(web, one, lab, name, content) for one in (bare, client)]
    assert answers[0][0].status_code == answers[1][0].status_code == 200
    assert answers[0][0].headers.raw == answers[1][0].headers.raw
    first, second = (_without_ids(body) for _, body in answers)
    assert first == second
    asked, again = lab.journal
    assert again.body == asked.body == content
    assert again.headers == asked.headers
    stats = batchwrap.stats(client)
    assert stats.only_throttled == ({} if name == "messages" else {name: 1})
    assert stats.prompt_tokens == again.prompt_tokens > 0
    assert stats.completion_tokens == again.completion_tokens


def _without_ids(body: bytes) -> bytes:
    """The lab's answers differ in random ids only."""
    return re.sub(rb'"(cmpl-|resp_|msg_)\w+"', b'"-"', body)


@pytest.mark.parametrize("name", [name for name in BODIES if name != "embeddings"])
def test_retried(web: Web, serve: Any, name: str) -> None:
    """A refusal is waited out and the same bytes are sent again."""
    answer = Raw(200, TYPED, (b'{"ok": 1}',))
    said = [REFUSED, answer]
    lab = serve(lambda request: said.pop(0))
    client = batchwrap.wrap(web.open(), throttle=Throttle(clock=ManualClock()))
    response, body = ask(web, client, lab, name, BODIES[name])
    assert (response.status_code, body) == (200, b'{"ok": 1}')
    assert [entry.body for entry in lab.journal] == [BODIES[name]] * 2
    assert batchwrap.stats(client).refusals == 1


STREAM_REFUSALS = {
    "responses": b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"x"}',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}',
    "completions": b'data: {"error":{"message":"overloaded","code":503}}',
}


@pytest.mark.parametrize("name", STREAM_REFUSALS)
def test_refused_in_a_stream(web: Web, serve: Any, name: str) -> None:
    """A refusal as the first event of a stream is retried, and nothing of it is handed out."""
    healthy = b'data: {"n": 1}\n\n'
    said = [STREAM_REFUSALS[name] + b"\n\n", healthy]
    lab = serve(lambda request: Raw(200, EVENTS, (said.pop(0),)))
    quick = tenacity.Retrying(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(3))
    client = batchwrap.wrap(web.open(), throttle=Throttle(retry=quick))
    assert ask(web, client, lab, name, stream_of(BODIES[name]))[1] == healthy
    assert len(lab.journal) == 2


def test_given_up(caller: Caller, serve: Any) -> None:
    """A refusal that is given up reaches the caller as the SDK's own error, once."""
    lab = serve(lambda request: Raw(429, {"retry-after": "1000", **TYPED}, (b"{}",)))
    client = batchwrap.wrap(caller.open(lab))
    with pytest.raises(openai.RateLimitError):
        caller.run(client.responses.create, model="m", input="Hi")
    assert len(lab.journal) == 1


def test_limits_hold(caller: Caller, serve: Any) -> None:
    """All endpoints draw on one budget, and the provider refuses nothing."""
    clock = ManualClock()
    limit = RateLimit("tokens", 600, 60)
    lab = serve(lambda request: Reply("yes"), limits=[limit], clock=clock, default_output=100)
    # A little slower than the provider, whose clock starts when the first request arrives.
    throttle = Throttle(limits=[Limit("tokens", 600, 70)], clock=clock)
    client = batchwrap.wrap(caller.open(lab), throttle=throttle, batching=None, reminders=None)
    for _ in range(3):
        caller.run(client.responses.create, model="m", input="word " * 100, max_output_tokens=100)
        caller.run(client.completions.create, model="m", prompt="word " * 100, max_tokens=100)
        caller.run(client.embeddings.create, model="m", input="word " * 100)
    assert [entry.status for entry in lab.journal] == [200] * 9
    stats = batchwrap.stats(client)
    assert (stats.refusals, stats.round_trips) == (0, 9)
    assert stats.waited_s > 0


def test_warned_once(caller: Caller, serve: Any, caplog: Any) -> None:
    """That batching is inactive is said once for each endpoint that would gain from it."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(caller.open(lab))
    with caplog.at_level(logging.WARNING, "batchwrap"):
        for _ in range(2):
            caller.run(client.embeddings.create, model="m", input="a")
            caller.run(client.responses.create, model="m", input="a")
    [record] = caplog.records
    assert "inactive for requests to /responses" in record.getMessage()
    assert "previous_response_id" in record.getMessage()
    assert "only throttled: responses" in str(batchwrap.stats(client))


def test_not_warned(caller: Caller, serve: Any, caplog: Any) -> None:
    """Who switched batching and reminders off is not told that they are inactive."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(caller.open(lab), batching=None, reminders=None)
    with caplog.at_level(logging.WARNING, "batchwrap"):
        caller.run(client.responses.create, model="m", input="a")
    assert not caplog.records


def test_without_throttle(caller: Caller, serve: Any) -> None:
    """With throttling switched off these endpoints are none of our business."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(caller.open(lab), throttle=None)
    caller.run(client.embeddings.create, model="m", input="a")
    stats = batchwrap.stats(client)
    assert (stats.passed_through, stats.only_throttled) == (1, {})


def test_keys(threads: Web, serve: Any) -> None:
    """Any key of the pool may send a request, but where the provider keeps a conversation."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(
        threads.open(headers={"authorization": "Bearer own"}), throttle=Throttle(keys=["pooled"])
    )
    for name, content in BODIES.items():
        ask(threads, client, lab, name, content)
    sent = {entry.path: entry.headers["authorization"] for entry in lab.journal}
    assert sent["/v1/responses"] == "Bearer own"
    assert {sent[f"/v1/{name}"] for name in BODIES if name != "responses"} == {"Bearer pooled"}


_IMAGE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
_SAID = {"type": "message", "role": "assistant", "content": "Hello."}
_THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}


@pytest.mark.parametrize(
    ("name", "fields", "pooled"),
    [
        ("responses", {"store": False}, True),
        ("responses", {"store": False, "input": [_SAID, {"role": "user", "content": "Hi"}]}, True),
        ("responses", {"store": True}, False),
        ("responses", {"store": False, "include": ["reasoning.encrypted_content"]}, False),
        ("responses", {"store": False, "input": [_THOUGHT, _SAID]}, False),
        ("responses", {"store": False, "input": [{"type": "item_reference", "id": "rs"}]}, False),
        ("responses", {"store": False, "previous_response_id": "resp_1"}, False),
        ("responses", {"store": False, "conversation": "conv_1"}, False),
        ("responses", {"store": False, "background": True}, False),
        (
            "responses",
            {"store": False, "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]},
            False,
        ),
        ("messages", {"thread": {"type": "create"}}, False),
        ("messages", {"container": "c_1"}, False),
        ("messages", {"messages": [{"role": "user", "content": [_IMAGE]}]}, False),
        (
            "messages",
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            False,
        ),
    ],
)
def test_keys_follow_from_the_request(
    threads: Web, serve: Any, name: str, fields: dict[str, Any], pooled: bool
) -> None:
    """What only one account has, now or after the answer, stays with the agent's own key."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(
        threads.open(headers={"authorization": "Bearer own"}), throttle=Throttle(keys=["pooled"])
    )
    body = {**orjson.loads(BODIES[name]), **fields}
    ask(threads, client, lab, name, orjson.dumps(body))
    sent = lab.journal[0].headers["authorization"]
    assert sent == ("Bearer pooled" if pooled else "Bearer own")


def test_broken_off(caller: Caller, serve: Any) -> None:
    """A stream that breaks off fails as it does without us, and its beginning is no usage."""
    head = {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}}
    event = b"data: " + orjson.dumps(head) + b"\n\n"
    lab = serve(lambda request: Raw(200, EVENTS, (event,), close="abrupt"))
    bare = caller.open(lab)
    client = batchwrap.wrap(bare, limits=[Limit("tokens", 1e6, 60)])
    kinds = []
    for one in (bare, client):
        with pytest.raises(Exception) as caught:
            list(caller.each(caller.run(one.responses.create, model="m", input="a", stream=True)))
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
    stats = batchwrap.stats(client)
    assert (stats.round_trips, stats.prompt_tokens) == (1, 0)
