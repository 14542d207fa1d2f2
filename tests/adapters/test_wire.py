"""The two views over HTTP: what the agent gets, and what the provider sees."""

from __future__ import annotations

import json
import logging
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

import batchwrap
from batchwrap.lab import Call, Raw, Reply
from batchwrap.options import Batching, Event, EventName, ReadAhead, Reminders, Scripts
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import (
    END,
    MULTI_CALL,
    READS,
    TOOLS,
    USER,
    answered,
    calls_of,
    folded,
    gather,
)
from tests.adapters.events import PATHS, TEXT, call_event, event, multi_read, raw
from tests.core.harness import chunk, completion
from tests.strategies import READ_FILES

REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))


def names_of(tools: list[dict[str, Any]]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


def history(message: dict[str, Any]) -> list[Any]:
    """The history after the agent ran the calls of a message that was gathered."""
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for call_id, (name, arguments) in zip(message["ids"], message["calls"], strict=True)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"text of {call['function']}"}
        for call in calls
    ]
    said = {"role": "assistant", "content": message["content"], "tool_calls": calls}
    return [USER, said, *results]


def test_plain(caller: Caller, serve: Any) -> None:
    """The agent gets single calls, the provider its own multi-call with one result."""
    lab = serve(MULTI_CALL, END)
    client = batchwrap.wrap(caller.open(lab))
    first = caller.ask(client, tools=TOOLS).choices[0]
    assert calls_of(first.message) == READS
    assert (first.message.content, first.finish_reason) == ("Let me read.", "tool_calls")
    asked = answered(first.message)
    last = caller.ask(client, tools=TOOLS, messages=asked)
    assert last.choices[0].message.content == "Both read."
    assert asked[1] is first.message, "the agent's own history is never changed"
    assert [entry.status for entry in lab.journal] == [200, 200]
    assert names_of(lab.journal[0].json["tools"]) == [
        "read_file",
        "edit_file",
        "multi_read",
        "multi_edit",
        "batch",
    ]
    assert folded(lab.journal[1].json["messages"])
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.round_trips, stats.offers) == (2, 2, 2)
    assert (stats.multi_calls, stats.items, stats.folds, stats.round_trips_saved) == (1, 2, 1, 1)
    assert stats.prompt_tokens == sum(entry.prompt_tokens for entry in lab.journal)


def test_streamed(caller: Caller, serve: Any) -> None:
    """The same in streams, with the usage chunk that the agent asked for."""
    lab = serve(MULTI_CALL, END)
    client = batchwrap.wrap(caller.open(lab))
    options = {"stream": True, "stream_options": {"include_usage": True}, "tools": TOOLS}
    chunks = caller.ask(client, **options)
    message = gather(chunks)
    assert message["calls"] == READS
    assert (message["content"], message["finish_reason"]) == ("Let me read.", "tool_calls")
    assert len(set(message["ids"])) == 2
    assert chunks[-1].usage.prompt_tokens == lab.journal[0].prompt_tokens
    last = gather(caller.ask(client, **options, messages=history(message)))
    assert (last["content"], last["finish_reason"]) == ("Both read.", "stop")
    assert [entry.status for entry in lab.journal] == [200, 200]
    assert folded(lab.journal[1].json["messages"])
    assert batchwrap.stats(client).completion_tokens == sum(
        entry.completion_tokens for entry in lab.journal
    )


def test_the_models_own_bytes_come_back(caller: Caller, serve: Any) -> None:
    """The provider gets the arguments of its multi-call back to the byte."""
    written = '{ "files":\t[{"path" : "\\u00e4.py"},\n{"path":"b.py","offset" :3} ] }'
    lab = serve(Reply(calls=(Call("multi_read", written, id="call_x"),)), END)
    client = batchwrap.wrap(caller.open(lab))
    message = caller.ask(client, tools=TOOLS).choices[0].message
    assert calls_of(message) == [("read_file", {"path": "ä.py"}), READS[1]]
    caller.ask(client, tools=TOOLS, messages=answered(message))
    [call] = lab.journal[1].json["messages"][1]["tool_calls"]
    assert call == {
        "id": "call_x",
        "type": "function",
        "function": {"name": "multi_read", "arguments": written},
    }


def test_another_client_folds(caller: Caller, serve: Any) -> None:
    """A conversation that moves to another client, or process, still folds: ids carry it."""
    lab = serve(MULTI_CALL, END)
    first, second = (batchwrap.wrap(caller.open(lab)) for _ in range(2))
    message = caller.ask(first, tools=TOOLS).choices[0].message
    caller.ask(second, tools=TOOLS, messages=answered(message))
    assert folded(lab.journal[1].json["messages"])


def test_several_choices(caller: Caller, serve: Any) -> None:
    """Each choice of an answer is translated by itself, streamed or not."""
    lab = serve(MULTI_CALL, MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab))
    plain = caller.ask(client, tools=TOOLS, n=2)
    assert [calls_of(choice.message) for choice in plain.choices] == [READS, READS]
    chunks = caller.ask(client, tools=TOOLS, n=2, stream=True)
    for index in (0, 1):
        own = [piece for piece in chunks if piece.choices[0].index == index]
        assert gather(own)["calls"] == READS


@pytest.mark.parametrize("size", [1, 7])
def test_cut_at_any_byte(web: Web, serve: Any, size: int) -> None:
    """Events and characters that arrive in pieces are put together."""
    lab = serve(raw(multi_read(), size=size))
    asked = {"messages": [USER], "tools": TOOLS, "stream": True}
    _, body = web.stream(batchwrap.wrap(web.open()), lab, json=asked)
    assert body.endswith(b"\n\ndata: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in body.split(b"\n\n")[:-2]]
    deltas = [choice["delta"] for piece in chunks for choice in piece["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == TEXT
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 1]
    assert [json.loads(call["function"]["arguments"])["path"] for call in calls] == PATHS
    assert [call["function"]["name"] for call in calls] == ["read_file"] * 2
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["prompt_tokens"] == 7


def test_fields_that_nobody_knows(web: Web, serve: Any) -> None:
    """Unknown fields survive beside a change, in the request and in the answer."""
    call = {"id": "c", "type": "function", "x": 1}
    call["function"] = {"name": "multi_read", "arguments": '{"files":[{"path":"a"}]}'}
    said = {**completion({"role": "assistant", "content": None, "tool_calls": [call]}), "y": [2]}
    body = json.dumps(said).encode()
    lab = serve(Raw(200, {"content-type": "application/json", "x-z": "3"}, (body,)))
    asked = {"messages": [{**USER, "cache": {"a": 1}}], "tools": TOOLS, "top": {"é": None}}
    response = web.post(batchwrap.wrap(web.open()), lab, json=asked)
    answer, seen = response.json(), lab.journal[0].json
    assert (answer["y"], response.headers["x-z"]) == ([2], "3")
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "read_file"
    assert (seen["top"], seen["messages"]) == ({"é": None}, asked["messages"])
    assert int(response.headers["content-length"]) == len(response.content)
    assert "transfer-encoding" not in response.headers


def test_stream_under_another_type(web: Web, serve: Any) -> None:
    """A stream without its content type is a stream all the same, if one was asked for."""
    asked = {"messages": [USER], "tools": TOOLS, "stream": True}
    types: list[dict[str, str]] = [{}, {"content-type": "text/plain"}, {"content-type": ""}]
    lab = serve(*(Raw(200, headers, (multi_read(),)) for headers in types))
    client = batchwrap.wrap(web.open())
    for _ in types:
        assert b"multi_read" not in web.stream(client, lab, json=asked)[1]


def test_plain_answer_to_a_streamed_request(web: Web, serve: Any) -> None:
    """A provider that does not stream is understood, too."""
    call = {"id": "c", "type": "function"}
    function = {"name": "multi_read", "arguments": '{"files":[{"path":"a"}]}'}
    said = completion({"role": "assistant", "tool_calls": [{**call, "function": function}]})
    lab = serve(Raw(200, {"content-type": "application/json"}, (json.dumps(said).encode(),)))
    asked = {"messages": [USER], "tools": TOOLS, "stream": True}
    response = web.post(batchwrap.wrap(web.open()), lab, json=asked)
    assert b"read_file" in response.content
    assert b"multi_read" not in response.content


@pytest.mark.parametrize("stream", [False, True])
def test_reminders(caller: Caller, serve: Any, stream: bool) -> None:
    """Reminders stand in the provider's view only, and stay where they were put."""
    lab = serve(*(Reply(f"Answer {number}.") for number in range(4)))
    client = batchwrap.wrap(caller.open(lab), remind_every=1)
    messages = [USER]
    for number in range(4):
        answer = caller.ask(client, tools=TOOLS, messages=messages, stream=stream)
        text = gather(answer)["content"] if stream else answer.choices[0].message.content
        assert text == f"Answer {number}."
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go on."}]
    seen = [entry.json["messages"] for entry in lab.journal]
    for earlier, later in pairwise(seen):
        assert later[: len(earlier)] == earlier
    reminded = [message["content"] for message in seen[-1] if "Reminder" in message["content"]]
    assert len(reminded) == 3
    assert all(text.startswith("Go on.\n\n[Reminder: ") for text in reminded)
    assert not any("Reminder" in message["content"] for message in messages)
    assert batchwrap.stats(client).reminders == 0 + 1 + 2 + 3


def test_no_reminders(caller: Caller, serve: Any) -> None:
    """Switched off, nothing is added to any message."""
    lab = serve(END)
    client = batchwrap.wrap(caller.open(lab), reminders=None)
    messages = [USER, {"role": "assistant", "content": "x"}] * 9 + [USER]
    caller.ask(client, tools=TOOLS, messages=messages)
    assert lab.journal[0].json["messages"] == messages


def conversation(caller: Caller, serve: Any, events: list[Event]) -> None:
    """Everything that events tell of, with secrets in it.

    A refusal, a repair, a multi-call, a read with others added, parallel reads for the
    agent's own multi-tool, a reminder and what followed, one that was held back, a request
    sent again plain, a call that is cut off, a function of the user's that fails, a batch
    that means nothing, a script.
    """
    broken = call_event('{"files": [{"path": "secret.py"}]}', name="multi_read")
    broken = broken.replace(b'"index":0,"function"', b'"function"').replace(b'"id":"call_0",', b"")
    ending = event(chunk({}, "stop")) + b"data: [DONE]\n\n"
    one, other = (Call("read_file", {"path": f"{name}.py"}) for name in ("secret", "other"))
    reads = Reply(calls=(one,)), Reply(calls=(one, other))
    said = [Reply("secret")] * 3
    cut = call_event('{"path": "secret', name="read_file") + event(chunk({}, "length"))
    misread = Reply(calls=(Call("batch", {"secret": 1}),))
    replies = raw(broken + ending), *reads, *said, Raw(400), Reply("secret"), raw(cut), END
    script = Reply(calls=(Call("run_script", {"code": "await read_file(path='secret.py')"}),))
    lab = serve(REFUSED, *replies, misread, END, script, END)
    client = batchwrap.wrap(
        caller.open(lab, api_key="sk-secret"),
        batching=Batching(read_ahead=ReadAhead(), failed=fails, scripts=Scripts()),
        reminders=Reminders(every=1),
        on_event=events.append,
    )
    user = {"role": "user", "content": "secret.py or another.py"}
    message = gather(caller.ask(client, tools=TOOLS, messages=[user], stream=True))
    assert message["calls"] == [("read_file", {"path": "secret.py"})]
    tools = [*TOOLS, READ_FILES]
    added = caller.ask(client, tools=tools, messages=[user]).choices[0].message
    assert [given["path"] for _, given in calls_of(added)] == ["secret.py", "another.py"]
    native = caller.ask(client, tools=tools, messages=[user]).choices[0].message
    assert calls_of(native) == [("read_files", {"paths": ["secret.py", "other.py"]})]
    system = {"role": "system", "content": "secret: one tool at a time"}
    messages = [user, *history(message)[1:], {"role": "assistant", "content": "secret"}, user]
    longer = [*messages, *history(message)[1:]]
    for asked in (messages, longer, [system, user], [*longer, *history(message)[1:]]):
        caller.ask(client, tools=TOOLS, messages=asked)
    assert caller.ask(client, messages=[user], stream=True)
    arguments = {"path": "secret.py", "old_string": "secret", "new_string": ""}
    edit = {**message, "ids": ["c"], "calls": [("edit_file", arguments)]}
    denied = {"role": "tool", "tool_call_id": "c", "content": "divide"}
    edited = [*history(edit)[:2], denied, {"role": "assistant", "content": "secret"}, user]
    caller.ask(client, model="other", tools=TOOLS, messages=edited)
    caller.ask(client, model="third", tools=TOOLS, messages=[user])
    ran = caller.ask(client, model="fourth", tools=TOOLS, messages=[user]).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": it.id, "content": "secret"} for it in ran.tool_calls
    ]
    caller.ask(client, model="fourth", tools=TOOLS, messages=[user, ran, *results])


def fails(text: str) -> bool:
    """A user's function with a mistake that tells of contents."""
    if text == "divide":
        raise KeyError("secret")
    return False


def test_events_have_no_secrets(
    caller: Caller, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Events and the log are numbers and names: no text, path, argument or key is in them."""
    caplog.set_level(logging.DEBUG, logger="batchwrap")
    events: list[Event] = []
    conversation(caller, serve, events)
    assert events
    said = [record.getMessage() for record in caplog.records if record.name == "batchwrap"]
    [warning] = [line for line in said if line.startswith("batching and reminders are inactive")]
    assert len(said) - 1 == len(events)
    assert warning
    assert "secret" not in repr((events, said))
    for happened in events:
        json.dumps(dict(happened.data))


def test_events_by_name(caller: Caller, serve: Any) -> None:
    """Each event that the documentation lists comes when it happens, with fields listed there."""
    events: list[Event] = []
    conversation(caller, serve, events)
    listed = documented_events()
    assert {happened.name for happened in events} == set(listed) == set(get_args(EventName))
    for happened in events:
        assert set(happened.data) <= listed[happened.name], happened
        assert happened.at_unix_s > 1e9
    ends = [place for place, happened in enumerate(events) if happened.name == "ended"]
    assert ends[-1] == len(events) - 1


def documented_events() -> dict[str, set[str]]:
    """The fields of each event, as the table of the documentation has them."""
    page = (Path(__file__).parents[2] / "docs/observability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| .+ \| (?:debug|info|warning) \|$", page, re.M)
    return {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}
