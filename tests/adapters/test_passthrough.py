"""What batchwrap does not change goes through to the byte, both ways."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

import batchwrap
from batchwrap.core.moves import ids
from batchwrap.lab import Lab, Raw, Reply
from batchwrap.options import Limit
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import TOOLS, USER
from tests.adapters.events import DONE, EVENTS, call_event, event
from tests.core.harness import chunk
from tests.strategies import READ_FILE

# Spaces, an order and a number that a re-serialised body would not have.
BODY = b'{ "x": 1.10,\n"messages" : [{"role":"user","content":"\\u00e9 \xc3\xa9"}], "model":"m" }'
ANSWER = b'{ "choices": [ {"message":{"content":"\\u00e9"}} ],\n"n": 1.10}'
JSON = {"content-type": "application/json", "x-request-id": "req_1", "X-Odd": "a;b"}
TYPED = {"content-type": "application/json"}


def both(web: Web, lab: Lab, bare: Any, **options: Any) -> None:
    """Post with the bare client and wrapped; request and response must be the same."""
    client = batchwrap.wrap(bare, **options.pop("wrapped", {}))
    answers = [web.stream(one, lab, **options) for one in (bare, client)]
    (first, first_body), (second, second_body) = answers
    assert second.status_code == first.status_code
    assert second.headers.raw == first.headers.raw
    assert second_body == first_body
    asked, again = lab.journal
    assert again.body == asked.body
    assert again.headers == asked.headers
    assert (again.method, again.path, again.query) == (asked.method, asked.path, asked.query)


def test_plain(web: Web, serve: Any) -> None:
    """A request without tools and its answer keep every byte and header."""
    answer = Raw(200, JSON, (ANSWER,))
    lab = serve(answer, answer)
    both(web, lab, web.open(), content=BODY, headers=TYPED, params={"api-version": "x y"})
    assert lab.journal[0].body == BODY


def test_compressed(web: Web, serve: Any) -> None:
    """A compressed answer that nothing changes stays compressed, with its headers."""
    packed = gzip.compress(ANSWER)
    headers = {**JSON, "content-encoding": "gzip", "content-length": str(len(packed))}
    answer = Raw(200, headers, (packed[:9], packed[9:]))
    both(web, serve(answer, answer), web.open(), content=BODY, headers=TYPED)


def test_errors(web: Web, serve: Any) -> None:
    """An error of the provider reaches the client as it came."""
    statuses = (401, 404, 409, 500)
    said = b'{"error" : {"message":"no"} }'
    # After a server error the request is sent once more, as the client wrote it.
    lab = serve(*(Raw(status, JSON, (said,)) for status in (*statuses, 500)))
    client = batchwrap.wrap(web.open())
    for status in statuses:
        response = web.post(client, lab, json={"messages": [USER], "tools": TOOLS})
        assert (response.status_code, response.content) == (status, said)
        assert "x-should-retry" not in response.headers


# What servers send beside plain chunks. `TOOL` stands for a healthy single call.
TOOL = call_event('{"path":"a"}', name="read_file")
ODD_STREAMS = {
    "comments": b": ping\n\n" + TOOL + b": keep-alive\n" + TOOL + DONE,
    "crlf": (TOOL + DONE).replace(b"\n", b"\r\n"),
    "cr": (TOOL + DONE).replace(b"\n", b"\r"),
    "no blank line at the end": TOOL + DONE.rstrip(),
    "no end marker": TOOL,
    "not JSON": b"data: <html>\n\n" + TOOL + b"data: {\n\n" + DONE,
    "not an object": b"data: [1]\n\ndata: null\n\n" + TOOL + DONE,
    "fields": b"event: delta\nid: 7\nretry: 10\n" + TOOL + b"event: end\n\n" + DONE,
    "data on two lines": b'data: {"choices":\ndata: []}\n\n' + DONE,
    "no space": TOOL.replace(b"data: ", b"data:") + DONE.replace(b" ", b""),
    "byte order mark": b"\xef\xbb\xbf" + TOOL + DONE,
    "blank lines": b"\n\n\n" + TOOL + b"\n\n" + DONE + b"\n",
    "after the end marker": TOOL + DONE + b": bye\n\n" + TOOL,
    "an error": b'event: error\ndata: {"error": {"message": "no such model"}}\n\n',
    "not UTF-8": b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n' + DONE,
    "half a surrogate": b'data: {"choices": [{"delta": {"content": "\\ud83c"}}]}\n\n' + DONE,
    "spaces": b'data: { "choices" : [ ] , "n" : 1.10 }\n\n' + DONE,
    "nothing": b"",
}


@pytest.mark.parametrize("size", [1, 10_000])
def test_streams(web: Web, serve: Any, size: int) -> None:
    """A stream keeps its bytes, whatever is in it, where nothing is to be repaired."""
    lab = serve(
        *(
            Raw(200, {**JSON, **EVENTS}, tuple(body[at : at + size] for at in range(0, end, size)))
            for body in ODD_STREAMS.values()
            for end in [len(body)]
        )
    )
    client = batchwrap.wrap(web.open(), repair=None)
    for name, body in ODD_STREAMS.items():
        asked = {"messages": [USER], "tools": TOOLS, "stream": True}
        response, handed_out = web.stream(client, lab, json=asked)
        assert handed_out == body, name
        assert response.headers["x-odd"] == "a;b"


def test_stream_without_tools(web: Web, serve: Any) -> None:
    """A streamed request without tools and its answer keep every byte and header."""
    answer = Raw(200, EVENTS, (event(chunk({"content": "é"}, "stop")), DONE))
    asked = BODY.replace(b"{ ", b'{"stream" :true, ')
    both(web, serve(answer, answer), web.open(), content=asked, headers=TYPED)


def test_compressed_stream_without_tools(web: Web, serve: Any) -> None:
    """A compressed stream is handed out decoded and says so; the content is the same."""
    body = event(chunk({"content": "é"}, "stop")) + DONE
    packed = Raw(200, {**EVENTS, "content-encoding": "gzip"}, (gzip.compress(body),))
    lab = serve(packed)
    response, handed_out = web.stream(
        batchwrap.wrap(web.open()), lab, json={"messages": [USER], "stream": True}
    )
    assert handed_out == body
    assert "content-encoding" not in response.headers


DERIVED = ids.encode(ids.DerivedId("nonc", 0, 1, "r", "call_1"))
ODD_REQUESTS: dict[str, Any] = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"messages": "\xff"}',
    "a list": b"[1]",
    "no messages": {"tools": TOOLS},
    "messages are a number": {"messages": 2, "tools": TOOLS},
    "messages are an object": {"messages": USER, "tools": TOOLS},
    "messages are texts": {"messages": ["hi"], "tools": TOOLS},
    "tools are an object": {"messages": [USER], "tools": READ_FILE},
    "tools are texts": {"messages": [USER], "tools": ["read_file"]},
    "required is a number": {
        "messages": [USER],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "read_file",
                    "parameters": {"properties": {"path": {"type": "string"}}, "required": 5},
                },
            }
        ],
    },
    "ids are lists": {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [{"id": [1], "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": [1], "content": "x"},
        ],
    },
    "an id is a list beside one of ours": {
        "messages": [
            USER,
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": [1], "function": {"name": "read_file", "arguments": "{}"}},
                    {"id": DERIVED, "function": {"name": "read_file", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": DERIVED, "content": "x"},
        ],
    },
    "the maximum is a text": {"messages": [USER], "max_tokens": "many", "n": "two"},
}


@pytest.mark.parametrize("name", ODD_REQUESTS)
def test_odd_requests(threads: Web, serve: Any, name: str) -> None:
    """A request that batchwrap does not understand is the provider's to answer."""
    body = ODD_REQUESTS[name]
    asked = body if isinstance(body, bytes) else orjson.dumps(body)
    lab = serve(Reply("yes"), Reply("yes"))
    client = batchwrap.wrap(threads.open(), limits=[Limit("tokens", 1e6, 60)])
    response = threads.post(client, lab, content=asked, headers=TYPED)
    bare = threads.post(threads.open(), lab, content=asked, headers=TYPED)
    assert lab.journal[0].body == asked
    assert response.status_code == bare.status_code


CALL = {"id": "c", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
ODD_ANSWERS: dict[str, Any] = {
    "choices are a number": {"choices": 1},
    "choices are texts": {"choices": ["x", None]},
    "the index is an object": {
        "choices": [{"index": {}, "delta": {"content": "x"}, "finish_reason": "stop"}]
    },
    "the delta is a list": {"choices": [{"index": 0, "delta": [1], "message": "x"}]},
    "calls are an object": {"choices": [{"index": 0, "delta": {"tool_calls": CALL}}]},
    "a call's index is a list": {
        "choices": [
            {
                "index": 0,
                "delta": {"tool_calls": [{**CALL, "index": [1]}]},
                "finish_reason": "tool_calls",
            }
        ]
    },
    "usage is a text": {"choices": [], "usage": "much"},
    "usage is negative": {"choices": [], "usage": {"prompt_tokens": -1, "completion_tokens": -1}},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_odd_answers(threads: Web, serve: Any, name: str, stream: bool) -> None:
    """An answer of a shape that nobody knows is handed on as it came."""
    body = ODD_ANSWERS[name]
    said = event(body) + DONE if stream else orjson.dumps(body).replace(b"delta", b"message")
    lab = serve(Raw(200, EVENTS if stream else JSON, (said,)))
    client = batchwrap.wrap(threads.open(), limits=[Limit("tokens", 1e6, 60)])
    asked = {"messages": [USER], "tools": TOOLS, "stream": stream}
    assert threads.stream(client, lab, json=asked)[1] == said


def test_everything_off(web: Web, serve: Any) -> None:
    """With all parts switched off even a request with tools and its answer stay as they are."""
    answer = Raw(200, JSON, (ANSWER,))
    off = dict.fromkeys(("batching", "reminders", "throttle", "repair"))
    asked = BODY.replace(b"{ ", b'{"tools" :' + orjson.dumps(TOOLS) + b", ")
    both(web, serve(answer, answer), web.open(), content=asked, headers=TYPED, wrapped=off)


def test_signed(web: Web, serve: Any, caplog: Any) -> None:
    """A signature covers the body, so a signed request is not touched, and a warning says so."""
    answer = Raw(200, JSON, (ANSWER,))
    asked = orjson.dumps({"messages": [USER], "tools": TOOLS})
    signature = {"authorization": "AWS4-HMAC-SHA256 Credential=K/20261121/us/bedrock, Signature=0"}
    lab = serve(answer, answer)
    both(web, lab, web.open(), content=asked, headers={**TYPED, **signature})
    assert lab.journal[1].body == asked
    assert ["SigV4" in record.getMessage() for record in caplog.records] == [True]


def test_compressed_upload(web: Web, serve: Any) -> None:
    """A compressed request is not touched."""
    asked = gzip.compress(orjson.dumps({"messages": [USER], "tools": TOOLS}), mtime=0)
    answer = Raw(200, JSON, (ANSWER,))
    headers = {**TYPED, "content-encoding": "gzip"}
    both(web, serve(answer, answer), web.open(), content=asked, headers=headers)


def test_streamed_upload(web: Web, serve: Any) -> None:
    """A body that can be read only once is not read here."""
    asked = orjson.dumps({"messages": [USER], "tools": TOOLS})
    lab = serve(Raw(200, JSON, (ANSWER,)))

    def pieces() -> Any:
        yield asked[:10]
        yield asked[10:]

    async def async_pieces() -> Any:
        for piece in pieces():
            yield piece

    content = async_pieces() if web.caller.is_async else pieces()
    client = batchwrap.wrap(web.open())
    assert web.post(client, lab, content=content, headers=TYPED).content == ANSWER
    assert lab.journal[0].body == asked


def test_other_endpoints(caller: Caller, serve: Any) -> None:
    """Models and embeddings are not touched, only counted."""
    lab = serve(Reply("yes"))
    bare = caller.open(lab)
    client = batchwrap.wrap(bare)
    for one in (bare, client):
        assert [model.id for model in caller.run(one.models.list).data] == ["lab-model"]
        caller.run(one.embeddings.create, model="m", input=["a", "b"])
    lists, embeds, lists_again, embeds_again = lab.journal
    assert (lists_again.body, embeds_again.body) == (lists.body, embeds.body)
    assert lists_again.headers == lists.headers
    assert embeds_again.headers == embeds.headers
    stats = batchwrap.stats(client)
    assert (stats.passed_through, stats.requests) == (1, 1)
    assert stats.only_throttled == {"embeddings": 1}


def test_multipart(web: Web, serve: Any) -> None:
    """An upload of files arrives as the client wrote it."""
    lab = serve(Reply("yes"))
    client = batchwrap.wrap(web.open())
    files = {"file": ("a.jsonl", b'{"messages": []}\n' * 3, "application/jsonl")}
    response = web.caller.run(client.post, f"{lab.base_url}/echo", files=files)
    assert response.content == lab.journal[0].body
    assert response.content.count(b'{"messages": []}\n') == 3
