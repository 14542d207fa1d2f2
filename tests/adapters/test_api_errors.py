"""Errors of batchwrap's own in the form of each API, before an answer and in the middle of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

import batchwrap
from batchwrap.core.formats.api_errors import ApiError, anthropic_error, openai_error
from batchwrap.lab import Raw, Reply
from batchwrap.options import Limit, Repair, Throttle
from tests.adapters.callers import Web
from tests.adapters.events import EVENTS

ASKED: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "m", "input": "Hi", "store": False},
    "messages": {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
    },
}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


def refused(web: Web, serve: Any, name: str, limit: Limit, **fields: Any) -> tuple[Any, Any]:
    """A response to a request above a limit, and its body."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(web.open(), throttle=Throttle(limits=[limit], max_wait_s=0))
    for _ in range(2):
        response, content = web.stream(client, lab, name, json={**ASKED[name], **fields})
        if response.status_code != 200:
            return response, json.loads(content)
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_a_wait_that_is_too_long(threads: Web, serve: Any, name: str, stream: bool) -> None:
    """It is a 429 that is not retried, with our code where the SDK of that API looks for one."""
    limit = Limit("requests", 1, 1_000)
    response, body = refused(threads, serve, name, limit, stream=stream)
    assert response.status_code == 429
    assert response.headers["x-should-retry"] == "false"
    assert float(response.headers["retry-after"]) > 0
    error = body["error"]
    assert error["type"] == "rate_limit_error" and "max_wait_s" in error["message"]
    if name == "messages":
        assert (body["type"], body["request_id"]) == ("error", None)
        assert error["details"] == {"error_code": "batchwrap_limit_exceeded"}
    else:
        assert error["code"] == "batchwrap_limit_exceeded"


def test_too_large(threads: Web, serve: Any) -> None:
    """It has the type that Anthropic has for it, also where the request is not translated."""
    for fields in ({}, THINKS):
        response, body = refused(threads, serve, "messages", Limit("tokens", 5, 60), **fields)
        assert response.status_code == 413
        assert body["error"]["type"] == "request_too_large"
        assert body["error"]["details"]["error_code"] == "batchwrap_request_too_large"


def test_a_store_that_is_away(threads: Web, serve: Any) -> None:
    """It may come back by itself, which Anthropic has a status of its own for."""
    lab = serve(lambda request: Reply("yes"))
    limits = [Limit("requests", 1, 60)]
    away = Throttle(limits=limits, store="redis://127.0.0.1:1", store_down="fail")
    client = batchwrap.wrap(threads.open(), throttle=away)
    for name, status in (("messages", 529), ("responses", 503)):
        response, content = threads.stream(client, lab, name, json=ASKED[name])
        assert response.status_code == status
        assert b"batchwrap_store_unavailable" in content


@pytest.mark.parametrize(
    ("status", "passing", "anthropics", "openais"),
    [
        (400, False, (400, "invalid_request_error"), "invalid_request_error"),
        (401, False, (401, "authentication_error"), "invalid_request_error"),
        (429, False, (429, "rate_limit_error"), "rate_limit_error"),
        (502, False, (502, "api_error"), "server_error"),
        (503, False, (503, "api_error"), "server_error"),
        (503, True, (529, "overloaded_error"), "server_error"),
    ],
)
def test_statuses_and_types(
    status: int, passing: bool, anthropics: tuple[int, str], openais: str
) -> None:
    """Each API has words of its own; what passes by itself is an overload at Anthropic."""
    error = ApiError(status=status, message="no", code="c", is_passing=passing)
    got, body = anthropic_error(error)
    assert (got, body["error"]["type"]) == anthropics
    got, body = openai_error(error)
    assert (got, body["error"]["type"], body["error"]["code"]) == (status, openais, "c")


BEGUN = {
    "messages": [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hm"}},
    ],
    "responses": [
        {"type": "response.created", "response": {"id": "resp_1", "output": [], "model": "m"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "id": "msg_1", "content": []},
        },
    ],
}


def stream_of(events: list[Any]) -> Raw:
    """A stream of these events, that ends behind them."""
    lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
    return Raw(200, EVENTS, tuple(lines))


def handed_out(web: Web, serve: Any, name: str, events: list[Any], **options: Any) -> list[Any]:
    """The events that an agent gets of such a stream."""
    lab = serve(lambda request: stream_of(events))
    client = batchwrap.wrap(web.open(), **options)
    _, content = web.stream(client, lab, name, json={**ASKED[name], "stream": True})
    return [
        json.loads(event.split("data: ", 1)[1])
        for event in filter(None, content.decode().split("\n\n"))
    ]


@pytest.mark.parametrize("name", BEGUN)
def test_a_stream_that_breaks_off(web: Web, serve: Any, name: str) -> None:
    """It ends in an error of its API behind what came; nothing of it looks like a whole answer."""
    *came, last = handed_out(web, serve, name, BEGUN[name])
    assert came == BEGUN[name]
    if name == "messages":
        assert last["error"]["details"]["error_code"] == "batchwrap_incomplete_stream"
        assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    else:
        assert last["type"] == "response.failed" and last["sequence_number"] == len(came)
        assert last["response"]["id"] == "resp_1" and last["response"]["status"] == "failed"
        assert last["response"]["error"]["code"] == "batchwrap_incomplete_stream"


@pytest.mark.parametrize("name", BEGUN)
def test_a_stream_that_is_left_alone(threads: Web, serve: Any, name: str) -> None:
    """Without repair, behind the provider's own error, and where it never began, nothing is added.

    So it is with streams that are not translated.
    """
    begun = BEGUN[name]
    own = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    for events, options in (
        (begun, {"repair": None}),
        (begun, {"repair": Repair(stream=False)}),
        ([*begun, own], {}),
        ([{"type": "from_the_future"}], {}),
        (begun, {"batching": None, "reminders": None, "repair": None}),
    ):
        assert handed_out(threads, serve, name, events, **options) == events


def test_half_a_call_is_no_call(threads: Web, serve: Any) -> None:
    """A multi-call that breaks off hands out nothing that was not complete, and then the error."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "multi_edit", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": '{"files": [{"path": "a.py", "old_'}
    events = [
        BEGUN["messages"][0],
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": piece},
    ]
    fields = {name: {"type": "string"} for name in ("path", "old_string", "new_string")}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    tools = [{"name": "edit_file", "description": "Edit a file.", "input_schema": schema}]
    lab = serve(lambda request: stream_of(events))
    client = batchwrap.wrap(threads.open())
    body = {**ASKED["messages"], "tools": tools, "stream": True}
    _, content = threads.stream(client, lab, "messages", json=body)
    assert b"tool_use" not in content
    assert content.count(b"event: error") == 1
    stats = batchwrap.stats(client)
    assert (stats.defects, stats.internal_errors) == ({"incomplete_stream": 1}, 0)
