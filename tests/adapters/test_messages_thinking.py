"""Messages with thinking, which is signed for all that was sent before it.

The lab checks the signatures as Anthropic's server does, so a provider view that changes anywhere
before something that the model thought is refused.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batchwrap
from batchwrap.lab import Call, Raw, Reply
from batchwrap.options import Batching
from tests.adapters.api_agents import TASK, MessagesAgent
from tests.adapters.batching_models import (
    OPTIONS,
    PATHS,
    conversations,
    edit,
    edits_of,
    files,
    long_job,
    meant,
    scripted,
)

ADAPTIVE = {"thinking": {"type": "adaptive"}}
READS = files(*({"path": path} for path in PATHS))
BOUND = json.dumps(
    {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "The block is bound to a different conversation.",
        },
    }
).encode()
JSON = {"content-type": "application/json"}

pytestmark = pytest.mark.parametrize("stream", [False, True])


def thinking(*replies: Reply) -> Any:
    """A model that thinks before each of these."""
    thought = [
        Reply(one.text, calls=one.calls, reasoning=f"Thought {number}.")
        for number, one in enumerate(replies)
    ]
    return scripted(*thought)


def thinker(opened: Any, lab: Any, *, stream: bool, **options: Any) -> MessagesAgent:
    """An agent that asks for thinking."""
    agent: MessagesAgent = opened(lab, MessagesAgent, stream=stream, **options)
    agent.fields = dict(ADAPTIVE)
    return agent


def sent(lab: Any) -> list[Any]:
    """The messages of each request that the provider took."""
    return [request.json["messages"] for request in lab.journal if request.status == 200]


def calls_in(messages: list[Any]) -> list[Any]:
    """The calls in them: id, name, input."""
    return [
        (block["id"], block["name"], block["input"])
        for message in messages
        for block in (message["content"] if isinstance(message["content"], list) else ())
        if block["type"] == "tool_use"
    ]


@pytest.mark.parametrize("forgets", [False, True])
def test_reads_in_one_round_trip(serve: Any, opened: Any, stream: bool, forgets: bool) -> None:
    """A multi-call is taken apart and folded, also by a process that remembers nothing."""
    lab = serve(thinking(Reply(calls=(Call("multi_read", READS, id="toolu_" + "x" * 24),))))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    if forgets:
        agent.forget()
    agent.run()
    assert agent.ran == [("read_file", {"path": path}) for path in PATHS]
    [first, second] = [request.json for request in lab.journal]
    assert first["tools"] == second["tools"] and len(first["tools"]) > len(MessagesAgent.tools)
    assert second["messages"][1]["content"][0]["thinking"] == "Thought 0."
    assert calls_in(second["messages"]) == [("toolu_" + "x" * 24, "multi_read", READS)]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_single_call_shows_the_offer(
    serve: Any, opened: Any, stream: bool, forgets: bool
) -> None:
    """Its id says that multi-tools were offered; the provider sees its own, and the result."""
    call = Call("grep", {"pattern": "x"}, id="toolu_" + "y" * 24)
    lab = serve(thinking(Reply(calls=(call,)), Reply(calls=(Call("multi_read", READS),))))
    agent = thinker(opened, lab, stream=stream)
    agent.result = {"content": "no such pattern", "is_error": True}
    agent.step()
    assert agent.history[1]["content"][-1]["id"].startswith("bw")
    for _ in range(2):
        if forgets:
            agent.forget()
        agent.step()
    assert calls_in(lab.journal[1].json["messages"]) == [(call.id, "grep", {"pattern": "x"})]
    [result] = lab.journal[1].json["messages"][-1]["content"]
    told = {"type": "tool_result", "tool_use_id": call.id}
    assert result == {**told, "content": "no such pattern", "is_error": True}
    assert len(agent.ran) == 4
    assert {request.status for request in lab.journal} == {200}


def test_nothing_is_offered_where_it_was_not(serve: Any, opened: Any, stream: bool) -> None:
    """A conversation that began without us stays as it is, to the byte."""
    lab = serve(thinking(*long_job()[:2]))
    agent = thinker(opened, lab, stream=stream, batching=None, reminders=None)
    agent.step()
    agent.options = {}
    agent.forget()
    agent.step()
    agent.step()
    assert [request.json["tools"] for request in lab.journal] == [MessagesAgent.tools] * 3
    assert sent(lab)[-1] == agent.history[:-1]
    assert all(not call_id.startswith("bw") for call_id, *_ in calls_in(agent.history))


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("forgets", [False, True])
def test_a_beginning_without_calls(
    serve: Any, opened: Any, stream: bool, is_ours: bool, forgets: bool
) -> None:
    """Words alone do not show what was offered: a memory tells, or the provider itself."""
    lab = serve(thinking(Reply("Hello."), Reply(calls=(Call("read_file", {"path": "a.py"}),))))
    options = {} if is_ours else {"batching": None, "reminders": None}
    agent = thinker(opened, lab, stream=stream, **options)
    agent.step()
    agent.history.append({"role": "user", "content": "Read a.py."})
    agent.options = {}
    if forgets or not is_ours:
        agent.forget()
    agent.run()
    tools = [len(request.json["tools"]) for request in lab.journal if request.status == 200]
    assert tools == [6 if is_ours else 3] * 3
    refused = [request.status for request in lab.journal if request.status != 200]
    assert refused == ([400] if is_ours and forgets else [])


def test_waves_need_no_round_trip(serve: Any, opened: Any, stream: bool) -> None:
    """A local answer holds no thinking, and never reaches the provider as a turn of its own."""
    edits = [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]
    lab = serve(thinking(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    agent.step()
    assert len(agent.history) == 5 and len(lab.journal) == 1
    agent.forget()
    agent.run()
    assert agent.ran == [("edit_file", one) for one in (edits[0], edits[2], edits[1])]
    assert [given for *_, given in calls_in(sent(lab)[-1])] == [files(*edits)]


def test_a_note_between_waves(serve: Any, opened: Any, stream: bool) -> None:
    """Behind a note of the agent's own nothing is answered locally: two of them may not meet."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(thinking(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    agent.history.append({"role": "system", "content": "The task list is empty."})
    agent.step()
    [result] = sent(lab)[-1][-2]["content"]
    assert "[2/2] not run" in result["content"]
    assert batchwrap.stats(agent.client).local_answers == 0


def test_a_multi_call_that_means_nothing(serve: Any, opened: Any, stream: bool) -> None:
    """It goes to the agent as it is, since nothing but the history may tell of it later."""
    nothing = Call("multi_read", {"files": [{"nothing": 1}]})
    lab = serve(thinking(Reply(calls=(Call("read_file", {"path": "a.py"}), nothing))))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    agent.step()
    agent.forget()
    agent.run()
    assert [name for name, _ in agent.ran] == ["read_file", "read_file"]
    assert [(name, given) for _, name, given in calls_in(sent(lab)[-1])] == [
        ("read_file", {"path": "a.py"}),
        ("multi_read", nothing.arguments),
    ]


@pytest.mark.parametrize("controls", [{}, {"prefix_mismatch_behavior": "error"}, None])
def test_a_view_that_was_changed(
    serve: Any, opened: Any, stream: bool, controls: dict[str, str] | None
) -> None:
    """With other options in another process: thinking is dropped only where the client takes it."""
    lab = serve(thinking(Reply(calls=(Call("multi_read", READS),))))
    agent = thinker(opened, lab, stream=stream)
    if controls is not None:
        agent.fields = {"thinking": {"type": "adaptive", "block_binding": controls}}
    agent.step()
    agent.options = {"batching": Batching(max_items=3)}
    agent.forget()
    if controls == {}:
        agent.run()
        binding = lab.journal[-1].json["thinking"]["block_binding"]
        assert binding == {"prefix_mismatch_behavior": "drop_block"}
        assert [len(request.json["tools"]) for request in lab.journal] == [6, 6, 6]
    else:
        with pytest.raises(AssertionError, match="bound to a different conversation"):
            agent.step()
        assert [request.status for request in lab.journal] == [200, 400]


def test_a_new_conversation_that_is_refused(serve: Any, opened: Any, stream: bool) -> None:
    """It goes out as the agent wrote it, and is offered nothing from then on."""

    def model(body: Any) -> Reply | Raw:
        if len(body["tools"]) > len(MessagesAgent.tools):
            return Raw(400, JSON, (b'{"type": "error"}',))
        return Reply(calls=(Call("read_file", {"path": "a.py"}),), reasoning="Hm.")

    lab = serve(model)
    agent = thinker(opened, lab, stream=stream)
    for _ in range(3):
        agent.step()
    assert [len(request.json["tools"]) for request in lab.journal] == [6, 3, 3, 3]


def test_a_running_conversation_that_is_refused(serve: Any, opened: Any, stream: bool) -> None:
    """The agent gets the error: its own view would be another beginning."""
    replies = iter([Reply(calls=(Call("multi_read", READS),), reasoning="Hm.")])
    lab = serve(lambda _: next(replies, Raw(400, JSON, (BOUND,))))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    with pytest.raises(AssertionError, match="bound to a different conversation"):
        agent.step()
    assert [request.status for request in lab.journal] == [200, 400]
    assert batchwrap.stats(agent.client).failed_open == 0


def test_thinking_that_nobody_asked_for(serve: Any, opened: Any, stream: bool) -> None:
    """Newer models think by default: what they think is signed all the same."""
    lab = serve(thinking(*long_job()))
    agent = opened(lab, MessagesAgent, stream=stream)
    while agent.step():
        agent.forget()
    assert {request.status for request in lab.journal} == {200}


def test_arguments_that_the_agent_changes(serve: Any, opened: Any, stream: bool) -> None:
    """Claude Code adds a field to what it runs: the fold holds it from the first request on."""
    edits = [edit("a.py", "1"), edit("b.py", "2")]
    job = [Reply(calls=(Call("multi_edit", files(*edits)),)), *long_job()]
    lab = serve(thinking(*job))
    agent = thinker(opened, lab, stream=stream)
    while agent.step():
        for block in agent.history[-2]["content"]:
            if block.get("name") == "edit_file":
                block["input"] = {"replace_all": False, **block["input"]}
        if len(agent.history) % 4 == 1:
            agent.forget()
    assert {request.status for request in lab.journal} == {200}
    [(_, _, first), *_] = calls_in(sent(lab)[-1])
    assert first == files(*({"replace_all": False, **one} for one in edits))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(serve: Any, opened: Any, stream: bool, name: str) -> None:
    """Whatever is asked for, the provider takes every request, from any process."""
    options, _ = OPTIONS[name]
    lab = serve(thinking(*long_job()))
    agent = thinker(opened, lab, stream=stream, **options)
    number = 0
    while agent.step():
        number += 1
        if number % 3 == 0:
            agent.forget()
    assert {request.status for request in lab.journal} == {200}
    views = sent(lab)
    assert all(_begins(later, earlier) for earlier, later in pairwise(views))


def _begins(later: list[Any], earlier: list[Any]) -> bool:
    """Whether a conversation goes on from an earlier one, to the byte."""
    return json.dumps(later[: len(earlier)]) == json.dumps(earlier)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=conversations)
def test_whatever_a_model_does(serve: Any, opened: Any, stream: bool, replies: list[Reply]) -> None:
    """Each call runs once, those of one file in order; the provider takes every request.

    What waited stands behind what did not: nothing but the history says where it stood.
    """
    lab = serve(thinking(*replies))
    agent = thinker(opened, lab, stream=stream)
    agent.run()
    wanted = meant(replies)
    assert sorted(map(json.dumps, agent.ran)) == sorted(map(json.dumps, wanted))
    for path in PATHS:
        assert edits_of(agent.ran, path) == edits_of(wanted, path)
    assert [request.status for request in lab.journal] == [200] * (len(replies) + 1)
    said = [(name, given) for _, name, given in calls_in(sent(lab)[-1])]
    made = [(call.name, call.arguments) for reply in replies for call in reply.calls]
    assert sorted(map(json.dumps, said)) == sorted(map(json.dumps, made))


def test_back_from_a_fork(serve: Any, opened: Any, stream: bool) -> None:
    """A fork in which an edit had not run yet does not change the conversation in which it has."""
    first = {"tool": "read_file", "arguments": {"path": "a.py"}}
    both = [first, {"tool": "edit_file", "arguments": edit("a.py", "1")}]
    read = Reply(calls=(Call("read_file", {"path": "a.py"}),))
    lab = serve(thinking(Reply(calls=(Call("batch", {"calls": both}),)), read, read, read))
    agent = thinker(opened, lab, stream=stream)
    agent.step()
    forked = [*agent.history]
    agent.step()
    agent.forget()
    agent.step()
    whole, agent.history = agent.history, forked
    agent.step()
    agent.step()
    agent.history = whole
    agent.step()
    assert _refused(lab) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=conversations, data=st.data())
def test_whatever_happens_between(
    serve: Any, opened: Any, stream: bool, replies: list[Reply], data: st.DataObject
) -> None:
    """Lost memory, forks, retries, streams and whole answers: the provider takes every request."""
    lab = serve(thinking(*replies, *replies))
    agent = thinker(opened, lab, stream=stream)
    saved = [[TASK]]
    for _ in range(12):
        event = data.draw(st.sampled_from(["", "", "forget", "fork", "retry", "form", "person"]))
        if event == "forget":
            agent.forget()
        elif event == "fork":
            agent.history = [*data.draw(st.sampled_from(saved))]
        elif event == "retry":
            agent.ask()
        elif event == "form":
            agent.stream = not agent.stream
        elif event == "person" and len(agent.history) > 1:
            agent.history.append({"role": "user", "content": "Go on."})
        if not agent.step():
            agent.history.append({"role": "user", "content": "And now?"})
        saved.append([*agent.history])
    assert _refused(lab) == []


def _refused(lab: Any) -> list[Any]:
    """The requests that were refused and for which no other view was taken."""
    pairs = pairwise([*lab.journal, None])
    return [one.json for one, after in pairs if one.status != 200 and not _is_taken(after)]


def _is_taken(request: Any) -> bool:
    return request is not None and request.status == 200
