"""A multi-call that means nothing: the model is told, and the agent never hears of it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Call, Lab, Raw, Reply
from tests.adapters.callers import Caller
from tests.adapters.conversation import TOOLS, USER, gather

NONSENSE = Reply(calls=(Call("batch", {"calls": [{"x": 1}]}, id="call_nonsense"),))
EDIT = Reply(calls=(Call("multi_edit", {"files": [{"path": "a.py"}]}, id="call_edit"),))
READ = Reply(calls=(Call("read_file", {"path": "a.py"}),))
REFUSED = Raw(
    400,
    {"content-type": "application/json"},
    (b'{"error": {"message": "no", "type": "invalid_request_error"}}',),
)
both = pytest.mark.parametrize("stream", [False, True])


def ask(caller: Caller, client: Any, *, stream: bool, **more: Any) -> dict[str, Any]:
    """What the agent gets: text, names of the called tools, finish reason."""
    more = {"messages": [USER], "tools": TOOLS, **more}
    answer = caller.ask(client, stream=stream, **more)
    if stream:
        made = gather(answer)
        return {**made, "names": [name for name, _ in made["calls"]]}
    [choice] = answer.choices
    return {
        "content": choice.message.content or "",
        "finish_reason": choice.finish_reason,
        "names": [call.function.name for call in choice.message.tool_calls or ()],
    }


@both
@pytest.mark.parametrize(("said", "fault"), [(NONSENSE, "it names no tool"), (EDIT, "are missing")])
def test_the_model_is_told(
    caller: Caller, serve: Any, said: Reply, fault: str, *, stream: bool
) -> None:
    """The model is told what was wrong and what is right; the agent gets the next answer only."""
    lab: Lab = serve(said, READ)
    client = batchwrap.wrap(caller.open(lab))
    got = ask(caller, client, stream=stream)
    assert (got["names"], got["finish_reason"]) == (["read_file"], "tool_calls")
    assert not got["content"]
    first, second = (entry.json for entry in lab.journal)
    [answer, told] = second["messages"][len(first["messages"]) :]
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert answer["tool_calls"][0]["function"]["name"] == said.calls[0].name
    assert told["tool_call_id"] == answer["tool_calls"][0]["id"]
    assert fault in told["content"] and "A correct example: {" in told["content"]
    assert {**second, "messages": 0} == {**first, "messages": 0}
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.round_trips, stats.asked_again) == (1, 2, 1)
    assert stats.malformed == {"m": {"not_at_all": 1}}
    assert "malformed (m): understood not at all" in str(stats)


@both
def test_tokens_of_both(caller: Caller, serve: Any, *, stream: bool) -> None:
    """What both answers used is counted."""
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    counted = []
    for replies in ((NONSENSE, READ), (READ,)):
        client = batchwrap.wrap(caller.open(serve(*replies)))
        ask(caller, client, stream=stream, **usage)
        counted.append(batchwrap.stats(client).prompt_tokens)
    assert counted[0] > counted[1] > 0


@both
def test_once_a_turn(caller: Caller, serve: Any, *, stream: bool) -> None:
    """A second answer that means nothing goes to the agent under the name that it has."""
    lab: Lab = serve(NONSENSE, NONSENSE)
    client = batchwrap.wrap(caller.open(lab))
    assert ask(caller, client, stream=stream)["names"] == ["batch"]
    assert len(lab.journal) == 2
    assert batchwrap.stats(client).malformed == {"m": {"not_at_all": 2}}


def test_not_behind_a_text(caller: Caller, serve: Any) -> None:
    """What was handed out cannot be taken back: the agent's own error handling answers."""
    lab: Lab = serve(Reply("I try.", calls=NONSENSE.calls))
    got = ask(caller, batchwrap.wrap(caller.open(lab)), stream=True)
    assert (got["content"], got["names"]) == ("I try.", ["batch"])


def test_a_text_that_nobody_got(caller: Caller, serve: Any) -> None:
    """Of a whole answer nothing was handed out: the model sees its own text again."""
    lab: Lab = serve(Reply("I try.", calls=NONSENSE.calls), READ)
    got = ask(caller, batchwrap.wrap(caller.open(lab)), stream=False)
    assert (got["content"], got["names"]) == ("", ["read_file"])
    assert lab.journal[1].json["messages"][-2]["content"] == "I try."


def test_not_where_the_output_ended(caller: Caller, serve: Any) -> None:
    """A model that ran out of output tokens would only do so again."""
    cut = Call("multi_edit", '{"files": [{"path": "a.py", "old_str')
    lab: Lab = serve(Reply(calls=(cut,), finish_reason="length"))
    answer = caller.ask(batchwrap.wrap(caller.open(lab)), messages=[USER], tools=TOOLS)
    assert answer.choices[0].message.tool_calls[0].function.name == "edit_file"


@both
def test_refused(caller: Caller, serve: Any, *, stream: bool) -> None:
    """Where the provider refuses to be asked so, it is asked as before; nothing is switched off."""
    lab: Lab = serve(NONSENSE, REFUSED, READ, READ)
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert ask(caller, client, stream=stream)["names"] == ["read_file"]
    first, _, third = (entry.json for entry in lab.journal)
    assert third == first
    ask(caller, client, stream=stream)
    assert lab.journal[-1].json == first


@both
def test_put_back(caller: Caller, serve: Any, *, stream: bool) -> None:
    """The next request extends what the provider was asked, of which the agent saw a part."""
    lab: Lab = serve(NONSENSE, READ, Reply("Done."))
    client = batchwrap.wrap(caller.open(lab))
    ask(caller, client, stream=stream)
    function = {"name": "read_file", "arguments": '{"path": "a.py"}'}
    messages = [
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    ask(caller, client, stream=stream, messages=messages)
    assert len(lab.journal) == 3
    _, asked, last = (entry.json["messages"] for entry in lab.journal)
    assert "nonsense" in str(asked)
    assert last == [*asked, *messages[1:]]


@both
def test_a_decorated_function(serve: Any, *, stream: bool) -> None:
    """The same around a completion function."""
    lab: Lab = serve(NONSENSE, READ)
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as bare:

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return bare.chat.completions.create(**kwargs)

        answer = complete(model="m", messages=[USER], tools=TOOLS, stream=stream)
        if stream:
            called = [name for name, _ in gather(list(answer))["calls"]]
        else:
            called = [call.function.name for call in answer.choices[0].message.tool_calls]
        assert called == ["read_file"]
        assert batchwrap.stats(complete).asked_again == 1


def test_a_stream_that_breaks_off(caller: Caller, serve: Any) -> None:
    """An error before anything is handed out is raised where the stream is read."""
    opening = {"index": 0, "delta": {"role": "assistant", "content": ""}}
    lab: Lab = serve(raw_stream(opening))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    create = client.chat.completions.create
    stream = caller.run(create, model="m", messages=[USER], tools=TOOLS, stream=True)
    with pytest.raises(Exception, match=r"."):  # what it is depends on the SDK's library
        list(caller.each(stream))


def raw_stream(choice: dict[str, Any]) -> Raw:
    """A stream of one chunk, behind which the connection is closed."""
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    event = f"data: {json.dumps({**body, 'choices': [choice]})}\n\n".encode()
    return Raw(200, {"content-type": "text/event-stream"}, (event,), close="abrupt")
