"""Requests that are only counted: the provider counts what would be sent; all else stays."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import batchwrap
from batchwrap.lab import Raw, Reply
from tests.adapters.callers import Caller, Web
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [{"type": "function", **one["function"]} for one in (READ_FILE, EDIT_FILE)]
SAID = {"type": "message", "role": "assistant", "content": "Which ones?"}
GIVEN = [{"role": "user", "content": "Read."}, SAID, {"role": "user", "content": "All of them."}]
ASKED: dict[str, Any] = {"model": "gpt", "tools": TOOLS, "input": GIVEN}
JSON = {"content-type": "application/json"}


def test_input_tokens(caller: Caller, serve: Any) -> None:
    """`responses.input_tokens.count` is asked about the provider view; no request is counted."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(caller.open(lab))
    counted = caller.run(client.responses.input_tokens.count, **ASKED)
    stats = batchwrap.stats(client)
    assert (stats.passed_through, stats.requests, stats.offers) == (1, 0, 0)
    caller.run(client.responses.create, **ASKED)
    first, second = lab.journal
    assert first.json == {**ASKED, "tools": second.json["tools"]}
    assert len(first.json["tools"]) > len(TOOLS)
    assert counted.input_tokens == second.prompt_tokens


def test_nothing_is_decided_by_it(threads: Web, serve: Any) -> None:
    """A conversation that was counted first goes out as one that was not: reminders, too."""
    sent = []
    for counts in (True, False):
        lab = serve(lambda request: Reply("yes"))
        client = batchwrap.wrap(threads.open(), remind_every=1)
        for _ in range(2):
            if counts:
                threads.stream(client, lab, "responses/input_tokens", json=ASKED)
            threads.stream(client, lab, "responses", json=ASKED)
        sent.append([one.json for one in lab.journal if one.path == "/v1/responses"])
        stats = batchwrap.stats(client).as_dict()
        sent[-1].append({name: stats[name] for name in ("offers", "reminders", "directives")})
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "Read a.py."},  # the next one may continue it by its id
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
    ],
)
def test_what_goes_out_as_it_is(threads: Web, serve: Any, fields: dict[str, Any]) -> None:
    """What would not be rewritten is counted as the agent wrote it, to the byte."""
    lab = serve(lambda request: Reply("yes"))
    content = b" " + orjson.dumps({**ASKED, **fields})
    client = batchwrap.wrap(threads.open())
    threads.stream(client, lab, "responses/input_tokens", content=content, headers=JSON)
    assert lab.journal[0].body == content


def test_where_batching_is_off(threads: Web, serve: Any) -> None:
    """So is everything without batching and reminders."""
    lab = serve(lambda request: Reply("yes"))
    content = b" " + orjson.dumps(ASKED)
    client = batchwrap.wrap(threads.open(), batching=None, reminders=None)
    threads.stream(client, lab, "responses/input_tokens", content=content, headers=JSON)
    assert lab.journal[0].body == content


def test_a_view_that_cannot_be_counted(caller: Caller, serve: Any) -> None:
    """Where the provider does not take it, the agent's own request is counted."""
    lab = serve(lambda request: Raw(200, JSON, (b"{}",)))
    client = batchwrap.wrap(caller.open(lab))
    odd = [{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "gone"}]
    asked = {**ASKED, "input": [*GIVEN, *odd]}
    path = "/responses/input_tokens"
    with pytest.raises(Exception, match=r"400|No tool call"):
        caller.run(client.post, path, body=asked, cast_to=object)
    assert [len(one.json["tools"]) for one in lab.journal] == [5, 2]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/responses/resp_1"),
        ("get", "/responses/resp_1/input_items"),
        ("post", "/responses/resp_1/cancel"),
        ("post", "/responses/compact"),
        ("delete", "/responses/resp_1"),
    ],
)
def test_others_pass(caller: Caller, serve: Any, method: str, path: str) -> None:
    """What reads, compacts or deletes a response passes untouched."""
    lab = serve(lambda request: Reply("yes"))
    client = batchwrap.wrap(caller.open(lab))
    body: dict[str, Any] = {} if method == "get" else {"body": ASKED}
    with pytest.raises(Exception, match=r"404|Unknown"):  # the lab keeps no responses
        caller.run(getattr(client, method), path, cast_to=object, **body)
    assert lab.journal[0].path == f"/v1{path}"
    assert lab.journal[0].json == (None if method == "get" else ASKED)
    assert batchwrap.stats(client).passed_through == 1
