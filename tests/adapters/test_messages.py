"""Anthropic's Messages API over HTTP: the agent gets its own calls, the provider sees batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import batchwrap
from batchwrap.lab import Call, Raw, Reply
from batchwrap.options import Batching
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
from tests.adapters.messages_agent import TASK, TOOLS

pytestmark = pytest.mark.parametrize("stream", [False, True])


def test_reads_in_one_round_trip(serve: Any, opened: Any, stream: bool) -> None:
    """Three reads in one multi-call: the agent runs three, the model sees one and its result."""
    paths = [{"path": f"{name}.py"} for name in "abc"]
    lab = serve(scripted(Reply("Reading.", calls=(Call("multi_read", files(*paths)),))))
    agent = opened(lab, stream=stream)
    agent.run()
    assert agent.ran == [("read_file", path) for path in paths]
    first, second = (request.json for request in lab.journal)
    assert [tool["name"] for tool in first["tools"]][3:] == ["multi_read", "multi_edit", "batch"]
    assert first["messages"] == [TASK] and first["system"] == "Be brief."
    assert second["tools"] == first["tools"]
    said, results = second["messages"][1:]
    assert [block["type"] for block in said["content"]] == ["text", "tool_use"]
    assert said["content"][1]["input"] == files(*paths)
    [result] = results["content"]
    assert result["tool_use_id"] == said["content"][1]["id"]
    assert [line for line in result["content"].split("\n") if line.startswith("[")] == [
        f"[{n}/3] read_file {path['path']}" for n, path in enumerate(paths, start=1)
    ]
    assert batchwrap.stats(agent.client).multi_calls == 1


def test_waves_need_no_round_trip(serve: Any, opened: Any, stream: bool) -> None:
    """Edits of one file are handed out one after the other, the second without the provider."""
    edits = [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, stream=stream)
    agent.run()
    assert agent.ran == [("edit_file", one) for one in (edits[0], edits[2], edits[1])]
    assert len(lab.journal) == 2
    said, results = lab.journal[1].json["messages"][1:]
    assert said["content"][0]["input"] == files(*edits)
    assert len(results["content"]) == 1
    assert batchwrap.stats(agent.client).local_answers == 1


def test_reminders_stand_inside_of_the_last_result(serve: Any, opened: Any, stream: bool) -> None:
    """Never behind it: the model would end its turn. Later requests have it at the same place."""
    reads = [Reply(calls=(Call("read_file", {"path": f"{name}.py"}),)) for name in "abc"]
    lab = serve(scripted(*reads))
    agent = opened(lab, stream=stream, batching=Batching(coalesce="never"))
    agent.run()
    third, fourth = (request.json["messages"] for request in lab.journal[2:])
    [block] = third[-1]["content"]
    assert block["type"] == "tool_result" and "[Reminder: " in block["content"]
    assert fourth[: len(third)] == third


def test_marks_of_the_cache_move(serve: Any, opened: Any, stream: bool) -> None:
    """A mark that moves on changes nothing: what waits is handed out, and a fold has it."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, stream=stream)
    mark = {"cache_control": {"type": "ephemeral"}}
    for _ in range(3):
        for message in agent.messages:
            for block in message["content"] if isinstance(message["content"], list) else ():
                block.pop("cache_control", None)
        if isinstance(agent.messages[-1]["content"], list):
            agent.messages[-1]["content"][-1] |= mark
        agent.step()
    assert agent.ran == [("edit_file", one) for one in edits]
    assert len(lab.journal) == 2
    [result] = lab.journal[1].json["messages"][-1]["content"]
    assert result["cache_control"] == mark["cache_control"]


def test_errors_are_shown_as_errors(serve: Any, opened: Any, stream: bool) -> None:
    """An edit that is marked as failed holds back what stands behind it; the model is told."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, stream=stream)
    agent.result = lambda call: {"content": "no such text", "is_error": True}
    agent.run()
    assert agent.ran == [("edit_file", edits[0])]
    [result] = lab.journal[1].json["messages"][-1]["content"]
    assert "[1/2] edit_file a.py\nError: no such text\n[2/2] not run" in result["content"]
    assert result["is_error"] is True


def test_one_call_at_a_time(serve: Any, opened: Any, stream: bool) -> None:
    """`disable_parallel_tool_use`: the calls of a batch come one by one."""
    paths = [{"path": f"{name}.py"} for name in "abc"]
    lab = serve(scripted(Reply(calls=(Call("multi_read", files(*paths)),))))
    agent = opened(lab, stream=stream)
    agent.fields = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    sizes = []
    while (said := agent.step())["stop_reason"] == "tool_use":
        sizes.append(sum(block["type"] == "tool_use" for block in said["content"]))
    assert sizes == [1, 1, 1]
    assert len(lab.journal) == 2


def test_what_is_kept_stays_as_it_is(serve: Any, opened: Any, stream: bool) -> None:
    """The provider keeps the view of a thread that it has: nothing is rewritten."""
    lab = serve(scripted(Reply(calls=(Call("read_file", {"path": "a.py"}),))))
    agent = opened(lab, stream=stream)
    agent.fields = {"thread": {"type": "create"}}
    agent.run()
    assert [request.json["tools"] for request in lab.journal] == [TOOLS, TOOLS]
    assert batchwrap.stats(agent.client).only_throttled == {"messages": 2}


def test_a_container_in_the_middle(serve: Any, opened: Any, stream: bool) -> None:
    """It keeps files, not the conversation: what waits is handed out, and folded as ever."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, stream=stream)
    agent.step()
    agent.fields = {"container": "container_1"}
    agent.run()
    assert agent.ran == [("edit_file", one) for one in edits]
    first, second = (request.json for request in lab.journal)
    assert second["tools"] == first["tools"] and second["container"] == "container_1"
    assert second["messages"][1]["content"][0]["input"] == files(*edits)


def test_what_is_not_understood_passes(serve: Any, opened: Any, stream: bool) -> None:
    """Server tools, unknown blocks and fields go through in their places."""
    lab = serve(scripted(Reply("Looking.", calls=(Call("grep", {"pattern": "x"}),))))
    agent = opened(lab, stream=stream)
    search = {"type": "web_search_20260101", "name": "web_search", "max_uses": 1}
    agent.fields = {"tools": [*TOOLS, search], "metadata": {"user_id": "u"}}
    odd = {"type": "from_the_future", "value": [1]}
    agent.messages[0] = {"role": "user", "content": [{"type": "text", "text": "Go."}, odd]}
    agent.run()
    first = lab.journal[0].json
    assert first["messages"] == [agent.messages[0]]
    assert first["tools"][:4] == [*TOOLS, search]
    assert first["metadata"] == {"user_id": "u"}


def test_a_refused_rewrite(serve: Any, opened: Any, stream: bool) -> None:
    """What the provider does not understand goes out once more as the agent wrote it."""

    def model(body: Any) -> Reply | Raw:
        if len(body["tools"]) == len(TOOLS):
            return Reply("fine")
        return Raw(400, {"content-type": "application/json"}, (b'{"type": "error"}',))

    lab = serve(model)
    agent = opened(lab, stream=stream)
    agent.run()
    assert [len(request.json["tools"]) for request in lab.journal] == [6, 3]
    assert batchwrap.stats(agent.client).failed_open == 1


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(serve: Any, opened: Any, stream: bool, name: str) -> None:
    """Whatever is asked for, each call runs, and the provider takes every request."""
    options, local_answers = OPTIONS[name]
    lab = serve(scripted(*long_job()))
    agent = opened(lab, stream=stream, **options)
    agent.run()
    wanted = meant(long_job())
    assert [call for call in wanted if call not in agent.ran] == []
    assert edits_of(agent.ran, "a.py") == edits_of(wanted, "a.py")
    assert [request.status for request in lab.journal] == [200] * (len(long_job()) + 1)
    stats = batchwrap.stats(agent.client)
    assert (stats.local_answers, stats.failed_open, stats.internal_errors) == (local_answers, 0, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=conversations)
def test_whatever_a_model_does(serve: Any, opened: Any, stream: bool, replies: list[Reply]) -> None:
    """Each call runs once, those of one file in order; the provider takes every request.

    The lab refuses a request whose results are not first, or not all there.
    """
    lab = serve(scripted(*replies))
    agent = opened(lab, stream=stream)
    agent.run()
    wanted = meant(replies)
    key = json.dumps
    assert sorted(map(key, agent.ran)) == sorted(map(key, wanted))
    for path in PATHS:
        assert edits_of(agent.ran, path) == edits_of(wanted, path)
    assert len(lab.journal) == len(replies) + 1
    said = [m for m in lab.journal[-1].json["messages"] if m["role"] == "assistant"]
    assert [
        [(block["name"], block["input"]) for block in one["content"] if block["type"] == "tool_use"]
        for one in said
    ] == [[(call.name, call.arguments) for call in reply.calls] for reply in replies]
