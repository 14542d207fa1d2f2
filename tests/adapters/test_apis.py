"""Messages and Responses over HTTP: the agent gets its own calls, the provider sees batches."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import batchwrap
from batchwrap.lab import Call, Raw, Reply
from batchwrap.lab.api_forms import as_chat
from batchwrap.options import Batching
from tests.adapters.api_agents import ApiAgent, MessagesAgent, ResponsesAgent
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

pytestmark = [
    pytest.mark.parametrize("stream", [False, True]),
    pytest.mark.parametrize(
        "api", [MessagesAgent, ResponsesAgent], ids=lambda api: api.path.removeprefix("/v1/")
    ),
]
Api = type[ApiAgent]
READS = [{"path": f"{name}.py"} for name in "abc"]
MULTI_READ = Reply("Reading.", calls=(Call("multi_read", files(*READS)),))


def asked(lab: Any) -> list[list[Any]]:
    """The messages of each request that the provider got, in chat's form."""
    return [as_chat(request.json)["messages"] for request in lab.journal]


def made(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """(name, arguments) of the calls of a message."""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    return [(one["name"], json.loads(one["arguments"])) for one in functions]


def test_reads_in_one_round_trip(serve: Any, opened: Any, api: Api, stream: bool) -> None:
    """Three reads in one multi-call: the agent runs three, the model sees one and its result."""
    lab = serve(scripted(MULTI_READ))
    agent = opened(lab, api, stream=stream)
    agent.history = [{"role": "user", "content": "Mend the files."}]
    written = deepcopy({**agent.body, "stream": stream, **agent.fields})
    agent.run()
    assert agent.ran == [("read_file", path) for path in READS]
    first, second = ({**request.json} for request in lab.journal)
    tools = first.pop("tools")
    assert second["tools"] == tools and tools[:3] == api.tools
    assert [tool["name"] for tool in tools[3:]] == ["multi_read", "multi_edit", "batch"]
    assert first == written
    said, result = asked(lab)[1][2:]
    assert said["content"] == "Reading." and made(said) == [("multi_read", files(*READS))]
    assert result["tool_call_id"] == said["tool_calls"][0]["id"]
    assert [line for line in result["content"].split("\n") if line.startswith("[")] == [
        f"[{n}/3] read_file {path['path']}" for n, path in enumerate(READS, start=1)
    ]
    assert batchwrap.stats(agent.client).multi_calls == 1


def test_waves_need_no_round_trip(serve: Any, opened: Any, api: Api, stream: bool) -> None:
    """Edits of one file are handed out one after the other, the second without the provider."""
    edits = [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]
    lab = serve(scripted(Reply(calls=(Call("multi_edit", files(*edits)),))))
    agent = opened(lab, api, stream=stream)
    agent.run()
    assert agent.ran == [("edit_file", one) for one in (edits[0], edits[2], edits[1])]
    _, [*_, said, result] = asked(lab)
    assert made(said) == [("multi_edit", files(*edits))]
    assert (said["role"], result["role"]) == ("assistant", "tool")
    assert batchwrap.stats(agent.client).local_answers == 1


def test_one_call_at_a_time(serve: Any, opened: Any, api: Api, stream: bool) -> None:
    """An agent that asks for no parallel calls gets those of a batch one by one."""
    lab = serve(scripted(MULTI_READ))
    agent = opened(lab, api, stream=stream)
    agent.fields |= api.one_at_a_time
    sizes = []
    while calls := agent.step():
        sizes.append(len(calls))
    assert sizes == [1, 1, 1]
    assert len(lab.journal) == 2


def test_reminders_stand_inside_of_the_last_result(
    serve: Any, opened: Any, api: Api, stream: bool
) -> None:
    """A text behind it would end the model's turn. Later requests have it at the same place."""
    reads = [Reply(calls=(Call("read_file", path),)) for path in READS]
    lab = serve(scripted(*reads))
    agent = opened(lab, api, stream=stream, batching=Batching(coalesce="never"))
    agent.run()
    third, fourth = asked(lab)[2:]
    assert third[-1]["role"] == "tool" and "[Reminder: " in third[-1]["content"]
    assert fourth[: len(third)] == third


def test_a_refused_rewrite(serve: Any, opened: Any, api: Api, stream: bool) -> None:
    """What the provider does not understand goes out once more as the agent wrote it."""

    def model(body: Any) -> Reply | Raw:
        if len(body["tools"]) == len(api.tools):
            return Reply("fine")
        return Raw(400, {"content-type": "application/json"}, (b'{"error": {"message": "no"}}',))

    lab = serve(model)
    agent = opened(lab, api, stream=stream)
    agent.run()
    assert [len(request.json["tools"]) for request in lab.journal] == [6, 3]
    assert batchwrap.stats(agent.client).failed_open == 1


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(serve: Any, opened: Any, api: Api, stream: bool, name: str) -> None:
    """Whatever is asked for, each call runs, and the provider takes every request."""
    options, local_answers = OPTIONS[name]
    lab = serve(scripted(*long_job()))
    agent = opened(lab, api, stream=stream, **options)
    agent.run()
    wanted = meant(long_job())
    assert [call for call in wanted if call not in agent.ran] == []
    assert edits_of(agent.ran, "a.py") == edits_of(wanted, "a.py")
    assert [request.status for request in lab.journal] == [200] * (len(long_job()) + 1)
    stats = batchwrap.stats(agent.client)
    assert (stats.local_answers, stats.failed_open, stats.internal_errors) == (local_answers, 0, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(replies=conversations)
def test_whatever_a_model_does(
    serve: Any, opened: Any, api: Api, stream: bool, replies: list[Reply]
) -> None:
    """Each call runs once, those of one file in order; the provider takes every request.

    The lab refuses a request that breaks its API's rules, such as a call without its result.
    """
    lab = serve(scripted(*replies))
    agent = opened(lab, api, stream=stream)
    agent.run()
    wanted = meant(replies)
    assert sorted(map(json.dumps, agent.ran)) == sorted(map(json.dumps, wanted))
    for path in PATHS:
        assert edits_of(agent.ran, path) == edits_of(wanted, path)
    assert [request.status for request in lab.journal] == [200] * (len(replies) + 1)
    said = [message for message in asked(lab)[-1] if message["role"] == "assistant"]
    assert [made(message) for message in said] == [
        [(call.name, call.arguments) for call in reply.calls] for reply in replies
    ]
