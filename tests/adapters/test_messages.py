"""What only Anthropic's Messages API has, over HTTP: marks, errors, threads, server tools."""

from __future__ import annotations

from typing import Any

import pytest

import batchwrap
from batchwrap.lab import Call, Reply
from tests.adapters.api_agents import MessagesAgent
from tests.adapters.batching_models import edit, files, scripted

pytestmark = pytest.mark.parametrize("stream", [False, True])


def test_marks_of_the_cache_move(serve: Any, opened: Any, stream: bool) -> None:
    """A mark that moves on changes nothing: what waits is handed out, and a fold has it."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, MessagesAgent, stream=stream)
    mark = {"cache_control": {"type": "ephemeral"}}
    for _ in range(3):
        for message in agent.history:
            for block in message["content"] if isinstance(message["content"], list) else ():
                block.pop("cache_control", None)
        if isinstance(agent.history[-1]["content"], list):
            agent.history[-1]["content"][-1] |= mark
        agent.step()
    assert agent.ran == [("edit_file", one) for one in edits]
    assert len(lab.journal) == 2
    [result] = lab.journal[1].json["messages"][-1]["content"]
    assert result["cache_control"] == mark["cache_control"]


def test_errors_are_shown_as_errors(serve: Any, opened: Any, stream: bool) -> None:
    """An edit that is marked as failed holds back what stands behind it; the model is told."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, MessagesAgent, stream=stream)
    agent.result = {"content": "no such text", "is_error": True}
    agent.run()
    assert agent.ran == [("edit_file", edits[0])]
    [result] = lab.journal[1].json["messages"][-1]["content"]
    assert "[1/2] edit_file a.py\nError: no such text\n[2/2] not run" in result["content"]
    assert result["is_error"] is True


def test_what_is_kept_stays_as_it_is(serve: Any, opened: Any, stream: bool) -> None:
    """The provider keeps the view of a thread that it has: nothing is rewritten."""
    lab = serve(scripted(Reply(calls=(Call("read_file", {"path": "a.py"}),))))
    agent = opened(lab, MessagesAgent, stream=stream)
    agent.fields = {"thread": {"type": "create"}}
    agent.run()
    assert [request.json["tools"] for request in lab.journal] == [MessagesAgent.tools] * 2
    assert batchwrap.stats(agent.client).only_throttled == {"messages": 2}


def test_a_container_in_the_middle(serve: Any, opened: Any, stream: bool) -> None:
    """It keeps files, not the conversation: what waits is handed out, and folded as ever."""
    edits = [edit("a.py", "1"), edit("a.py", "2")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, MessagesAgent, stream=stream)
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
    agent = opened(lab, MessagesAgent, stream=stream)
    search = {"type": "web_search_20260101", "name": "web_search", "max_uses": 1}
    agent.fields = {"tools": [*MessagesAgent.tools, search], "metadata": {"user_id": "u"}}
    odd = {"type": "from_the_future", "value": [1]}
    agent.history[0] = {"role": "user", "content": [{"type": "text", "text": "Go."}, odd]}
    agent.run()
    first = lab.journal[0].json
    assert first["messages"] == [agent.history[0]]
    assert first["tools"][:4] == [*MessagesAgent.tools, search]
    assert first["metadata"] == {"user_id": "u"}
