"""Bodies that were reported: each goes through with its values, and nothing is raised."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

import batchwrap
from batchwrap import Batching
from batchwrap.lab.validate import check
from tests.adapters.conversation import TOOLS, USER
from tests.core.harness import call, chunk, completion
from tests.fuzz.bodies import deep
from tests.fuzz.provider import Client

READS = call("call_1", "multi_read", {"files": [{"path": "a"}, {"path": "b"}]})
EDIT = {"path": "a", "old_string": "x", "new_string": "y"}
HUGE = 2**70 + 1
END = completion({"role": "assistant", "content": "Done."}, "stop")


def said(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An answer with calls."""
    return {**completion({"role": "assistant", "content": None, "tool_calls": [*calls]}), **more}


def ask(client: Client, answer: Any, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What reached the provider, and what the agent got."""
    content = json.dumps({"model": "m", "messages": [USER], "tools": TOOLS, **body}).encode()
    [sent], response = client.post(content, [json.dumps(answer).encode()])
    assert response.status_code == 200
    return json.loads(sent), json.loads(response.content)


def calls_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of an answer."""
    listed: list[dict[str, Any]] = answer["choices"][0]["message"]["tool_calls"]
    return listed


def history(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversation after the agent ran them."""
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": f"result {place}"}
        for place, one in enumerate(calls_of(answer))
    ]
    return [USER, answer["choices"][0]["message"], *results]


@pytest.mark.parametrize("depth", [200, 253, 254, 255, 400, 800])
def test_nesting_in_a_request(depth: int) -> None:
    """However deep: it goes out as it was."""
    client = Client()
    sent, got = ask(client, said(READS), metadata=deep(depth))
    assert sent["metadata"] == deep(depth)
    assert len(calls_of(got)) == 2
    assert client.stats.internal_errors == 0


@pytest.mark.parametrize("depth", [200, 253, 254, 255, 400, 800])
def test_nesting_in_an_answer(depth: int) -> None:
    """However deep: the agent gets it beside its calls."""
    client = Client()
    _, got = ask(client, said(READS, more=deep(depth)))
    assert got["more"] == deep(depth)
    assert len(calls_of(got)) == 2
    assert client.stats.internal_errors == 0


def test_deep_nesting() -> None:
    """A request that orjson reads and does not write is changed like any other."""
    client = Client()
    text = json.dumps({"model": "m", "messages": [USER], "tools": TOOLS})
    content = text.replace('"m"', f'"m", "x": {"[" * 1_000}{"]" * 1_000}', 1).encode()
    sent, response = client.post(content, [json.dumps(said(READS)).encode()])
    assert b"[" * 1_000 + b"]" * 1_000 in sent[0]
    assert b"multi_read" in sent[0]
    assert len(calls_of(response.json())) == 2


def test_integers_beyond_64_bits() -> None:
    """They keep their value, out and back."""
    client = Client()
    sent, got = ask(client, said(READS, more=-HUGE), metadata={"id": HUGE})
    assert sent["metadata"] == {"id": HUGE}
    assert len(sent["tools"]) > len(TOOLS)
    assert got["more"] == -HUGE
    assert len(calls_of(got)) == 2


@pytest.mark.parametrize("size", [0, 10_000])
def test_integers_beyond_64_bits_in_a_stream(size: int) -> None:
    """They keep their value in a chunk that is rewritten, be it short or long."""
    client = Client()
    delta = {"role": "assistant", "tool_calls": [{**READS, "index": 0}]}
    made = {**chunk(delta), "more": -HUGE, "text": "x" * size}
    events = [f"data: {json.dumps(one)}\n\n".encode() for one in (made, chunk({}, "tool_calls"))]
    body = {"model": "m", "messages": [USER], "tools": TOOLS, "stream": True}
    _, response = client.post(json.dumps(body).encode(), [*events, b"data: [DONE]\n\n"])
    lines = [line[6:] for line in response.text.split("\n\n") if line.startswith("data: {")]
    rewritten = [one for one in map(json.loads, lines) if "more" in one]
    assert {one["more"] for one in rewritten} == {-HUGE}
    assert rewritten[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "read_file"


def test_nan_beside_an_integer_beyond_64_bits() -> None:
    """A request with NaN, which is no JSON, goes out untouched; in an answer it stays NaN."""
    client = Client()
    content = json.dumps({"messages": [USER], "tools": TOOLS, "x": [math.nan, HUGE]}).encode()
    sent, _ = client.post(content, [json.dumps(said(READS)).encode()])
    assert sent == [content]
    _, got = ask(client, said(READS, more=[math.nan, math.inf, HUGE]))
    assert math.isnan(got["more"][0])
    assert got["more"][1:] == [math.inf, HUGE]
    assert len(calls_of(got)) == 2


@pytest.mark.parametrize("call_id", ["call_\ud800", None, "", ["x"], 7, "\U0001f389", "x" * 500])
def test_ids_of_all_kinds(call_id: Any) -> None:
    """A multi-call is taken apart and folded whatever its id is, and also without one."""
    client = Client()
    multi = {**READS, "id": call_id} if call_id is not None else {**READS}
    if call_id is None:
        del multi["id"]
    _, got = ask(client, said(multi))
    assert [one["function"]["name"] for one in calls_of(got)] == ["read_file", "read_file"]
    assert all(len(one["id"]) <= 40 for one in calls_of(got))
    sent, _ = ask(client, END, messages=history(got))
    [folded] = sent["messages"][1]["tool_calls"]
    assert folded["function"]["name"] == "multi_read"
    assert sent["messages"][2]["tool_call_id"] == folded["id"]
    assert "result 0" in sent["messages"][2]["content"]
    assert client.stats.internal_errors == 0


def test_a_call_without_an_id_in_the_history() -> None:
    """It is passed on, and what stands beside it is folded or left as it is."""
    client = Client(repair=None)
    _, got = ask(client, said(READS))
    messages = history(got)
    stray = call("x", "read_file", {"path": "q"})
    del stray["id"]
    messages[1] = {**messages[1], "tool_calls": [*calls_of(got), stray]}
    sent, _ = ask(client, END, messages=messages)
    told = json.dumps(sent["messages"])
    assert stray in sent["messages"][1]["tool_calls"]
    assert "result 0" in told
    assert "result 1" in told
    assert client.stats.internal_errors == 0


@pytest.mark.parametrize("preset", [None, "fast", "careful"])
@pytest.mark.parametrize("messages", ["none", None, [], {}, "text", [None], [[]]])
def test_a_body_without_messages(preset: str | None, messages: Any) -> None:
    """It is the provider's to refuse."""
    client = Client(preset=preset)
    body = {"model": "m", "tools": TOOLS} | ({} if messages == "none" else {"messages": messages})
    content = json.dumps(body).encode()
    answer = json.dumps(said(call("c", "read_file", {"path": "a"}))).encode()
    sent, response = client.post(content, [answer])
    assert (sent, response.content) == ([content], answer)
    assert client.stats.internal_errors == 0


def divides(_: str) -> bool:
    """A user's function with a mistake."""
    return bool(1 / 0)


def hook(event: batchwrap.Event) -> None:
    """Another one."""
    raise KeyError(event.name)


@pytest.mark.parametrize(
    "options",
    [
        {"batching": Batching(failed=divides)},
        {"batching": Batching(failed=divides, coalesce="always")},
        {"on_event": hook},
        {"batching": Batching(failed=divides), "on_event": hook},
    ],
)
@pytest.mark.parametrize("through", ["the wire", "the decorator"])
def test_functions_of_the_users(through: str, options: dict[str, Any]) -> None:
    """Their mistakes are counted, and cost nothing: earlier batches are folded all the same."""
    edits = call("call_2", "multi_edit", {"files": [EDIT, {**EDIT, "path": "b"}]})
    asks: Callable[..., Any]
    if through == "the wire":
        client = Client(**options)

        def asks(answer: Any, **body: Any) -> Any:
            return ask(client, answer, **body)
    else:

        @batchwrap.batched(**options)
        def complete(**kwargs: Any) -> Any:
            seen.append(kwargs)
            return answers.pop()

        def asks(answer: Any, **body: Any) -> Any:
            answers.append(answer)
            got = complete(**{"model": "m", "messages": [USER], "tools": TOOLS, **body})
            return seen[-1], got

    answers, seen = list[Any](), list[Any]()
    _, got = asks(said(edits))
    assert len(calls_of(got)) == 2
    longer = [*history(got), {"role": "assistant", "content": "Now."}, USER]
    for messages in (history(got), longer):
        sent, got_end = asks(END, messages=messages)
        assert got_end["choices"][0]["message"]["content"] == "Done."
        assert check(sent) is None
        assert sent["messages"][1]["tool_calls"] == [edits]
    stats = client.stats if through == "the wire" else batchwrap.stats(complete)
    assert stats.internal_errors
