"""Fail open: a mistake of ours at any place, and of the user's functions, costs no answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import settings

from batchwrap import Batching
from batchwrap.lab.validate import check
from tests.adapters.conversation import TOOLS, USER
from tests.adapters.events import DONE, event
from tests.core.harness import call, chunk, completion, gather
from tests.fuzz.mistakes import MistakeAt
from tests.fuzz.provider import Client

# Places between those that are tried: every one takes minutes.
STEP = 11 if settings().max_examples > 1_000 else 61
SYSTEM = {"role": "system", "content": "You are an agent."}
FILES = [{"path": "a"}, {"path": "b"}, {"path": "c"}]
EDIT = {"path": "e", "old_string": "x", "new_string": "y"}
CALLS = [
    call("c0", "read_file", {"path": "z"}),
    call("c1", "multi_read", {"files": FILES}),
    call("c2", "edit_file", EDIT),
]
TEXT = "Let me <think> about it"
RAW = [("read_file", {"path": "z"}), ("multi_read", {"files": FILES}), ("edit_file", EDIT)]
WHOLE = [RAW[0], *(("read_file", item) for item in FILES), RAW[2]]
USAGE = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


def answer(*, stream: bool, ids: str | None = "c{}") -> list[bytes]:
    """Text and three calls, one of them a multi-call; `ids` is the form of their ids."""
    calls = [{**one} for one in CALLS]
    for place, one in enumerate(calls):
        one["id"] = ids.format(place) if ids is not None else None
    if not stream:
        said = {"role": "assistant", "content": TEXT, "tool_calls": calls}
        return [json.dumps({**completion(said), "usage": USAGE}).encode()]
    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": TEXT[at : at + 8]}) for at in range(0, len(TEXT), 8)]
    for index, one in enumerate(calls):
        text = one["function"]["arguments"]
        function = {"name": one["function"]["name"], "arguments": ""}
        chunks.append(chunk({"tool_calls": [{**one, "index": index, "function": function}]}))
        chunks += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + 9]}}]})
            for at in range(0, len(text), 9)
        ]
    chunks += [chunk({}, "tool_calls"), {**chunk({}), "choices": [], "usage": USAGE}]
    return [*map(event, chunks), DONE]


END = [json.dumps(completion({"role": "assistant", "content": "Done."}, "stop")).encode()]


def message_of(response: httpx.Response, *, stream: bool) -> dict[str, Any]:
    """The message that the agent gets, complete."""
    assert response.status_code == 200
    if not stream:
        [choice] = response.json()["choices"]
        return {**choice["message"], "finish_reason": choice["finish_reason"]}
    lines = [line for line in response.text.split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    return gather([json.loads(line.removeprefix("data: ")) for line in lines])


def asked(messages: Sequence[Any], *, stream: bool = False) -> bytes:
    """A request."""
    body = {"model": "m", "messages": messages, "tools": TOOLS}
    return json.dumps({**body, "stream": True} if stream else body).encode()


def answered(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversation after the agent ran what it got."""
    del message["finish_reason"]
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": f"result {place}"}
        for place, one in enumerate(message["tool_calls"])
    ]
    return [SYSTEM, USER, {**message, "role": "assistant"}, *results]


def check_message(message: dict[str, Any]) -> None:
    """What the agent got is the provider's answer, or its calls as single ones, some perhaps."""
    assert (message["content"], message["finish_reason"]) == (TEXT, "tool_calls")
    calls = message["tool_calls"]
    ids = [one["id"] for one in calls if one["id"]]
    assert len(set(ids)) == len(ids)
    got = [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls]
    rest = iter(WHOLE)
    assert got == RAW or (got[:1] == RAW[:1] and all(one in rest for one in got)), got


def check_sent(sent: list[bytes], messages: list[Any]) -> None:
    """What reached the provider is a valid conversation in which nothing is lost."""
    [content] = sent
    body = json.loads(content)
    assert check(body) is None
    told = json.dumps(body["messages"])
    assert TEXT in told
    assert all(f"result {place}" in told for place in range(len(messages) - 3))


@pytest.mark.parametrize(
    ("stream", "preset", "ids"),
    [
        (False, None, "c{}"),
        (False, "fast", "c{}"),
        (True, None, "c{}"),
        (True, "fast", "call_{}_which_is_longer_than_OpenAI_has"),
        (True, "careful", None),
    ],
)
def test_a_mistake_in_an_answer(
    stream: bool, preset: str | None, ids: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """At whatever place it is: the agent gets an answer that it can run, and can go on."""
    for place in count(1, STEP):
        client = Client(preset=preset)
        with MistakeAt(place) as mistake:
            _, response = client.post(
                asked([SYSTEM, USER], stream=stream), answer(stream=stream, ids=ids)
            )
        message = message_of(response, stream=stream)
        check_message(message)
        if mistake.function is None:
            assert place > 500
            break
        assert client.stats.internal_errors == 1, mistake.function
        messages = answered(message)
        sent: list[bytes] = []
        if ids is not None:
            sent, response = client.post(asked(messages), END)
        if sent:  # else what was lost before is handed out
            check_sent(sent, messages)
            assert response.json()["choices"][0]["message"]["content"] == "Done."
        client.close()
    assert "secret" not in caplog.text
    assert "Mistake" in caplog.text


@pytest.mark.parametrize(
    "options", [{}, {"preset": "fast"}, {"batching": Batching(coalesce="always")}]
)
def test_a_mistake_in_a_request(options: dict[str, Any]) -> None:
    """At whatever place it is: what reaches the provider is valid, and says everything."""
    for place in count(1, STEP):
        client = Client(**options)
        _, response = client.post(asked([SYSTEM, USER]), answer(stream=False))
        messages = answered(message_of(response, stream=False))
        with MistakeAt(place) as mistake:
            sent, response = client.post(asked(messages), END)
        check_sent(sent, messages)
        assert response.json()["choices"][0]["message"]["content"] == "Done."
        if mistake.function is None:
            assert place > 500
            break
        assert client.stats.internal_errors == 1, mistake.function
        client.close()
