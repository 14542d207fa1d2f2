"""The loop against a real server: plain and streamed, sync and async."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from batchwrap.demo import agent
from batchwrap.demo.project import Project, create, rename_calls
from batchwrap.tools import Workspace
from tests.demo.conftest import Provider

Run = Callable[..., agent.AgentResult]


def call(name: str, arguments: dict[str, Any] | str, number: int = 0) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": text}
    return {"id": f"call_{name}_{number}", "type": "function", "function": function}


def says(text: str | None = None, *calls: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return {**message, "tool_calls": list(calls)} if calls else message


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(params=["sync", "async"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["plain", "streamed"])
def run(request: pytest.FixtureRequest, how: str, provider: Provider, workspace: Workspace) -> Run:
    """The agent against the provider, in one of its four forms."""
    given: dict[str, Any] = {"model": "scripted", "workspace": workspace, "system": "Be brief."}
    given["stream"] = request.param
    at: dict[str, Any] = {"base_url": provider.url, "api_key": "none", "max_retries": 0}

    def run_sync(**options: Any) -> agent.AgentResult:
        with OpenAI(**at) as client:
            return agent.run(client, **{**given, **options})

    async def run_async(options: dict[str, Any]) -> agent.AgentResult:
        async with AsyncOpenAI(**at) as client:
            return await agent.arun(client, **{**given, **options})

    if how == "sync":
        return run_sync
    return lambda **options: asyncio.run(run_async(options))


def test_calls_of_a_turn_run_in_order(run: Run, provider: Provider, workspace: Workspace) -> None:
    """A file written by the first call is there for the second; results go back in that order."""
    provider.script = [
        says(
            "Let me see.",
            call("write_file", {"path": "a.txt", "content": "one\n"}),
            call("edit_file", {"path": "a.txt", "old_string": "one", "new_string": "two"}),
            call("read_file", {"path": "a.txt"}),
        ),
        says("It says two."),
    ]
    result = run(prompt="Go.")
    assert (result.text, result.turns, result.tool_calls) == ("It says two.", 2, 3)
    assert result.finished
    assert result.seconds > 0
    results = [message for message in result.messages if message["role"] == "tool"]
    assert [message["content"] for message in results] == [
        "Created a.txt (1 line)",
        "Replaced 1 occurrence in a.txt",
        "two\n",
    ]
    assert workspace.read_file("a.txt") == "two\n"


def test_the_whole_conversation_is_sent_again(run: Run, provider: Provider) -> None:
    """A request is the one before, the model's message with its own ids, and the results."""
    first = says("Reading.", call("read_file", {"path": "gone.txt"}))
    provider.script = [first, says("Done.")]
    result = run(prompt="Go.")
    before, after = (request["messages"] for request in provider.requests)
    assert before == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Go."},
    ]
    assert after[:2] == before
    assert after[2] == first
    assert after[3] == {
        "role": "tool",
        "tool_call_id": "call_read_file_0",
        "content": "Error: 'gone.txt': there is no such file",
    }
    assert result.messages == [*after, says("Done.")]


def test_an_answer_of_calls_only_has_no_content(run: Run, provider: Provider) -> None:
    """What the model did not send is left out of the history, not sent back as null."""
    provider.script = [says(None, call("read_file", {"path": "a"})), says("Done.")]
    run(prompt="Go.")
    assert set(provider.requests[1]["messages"][2]) == {"role", "tool_calls"}


def test_extra_tools_are_offered_and_run(
    run: Run, provider: Provider, workspace: Workspace
) -> None:
    """A tool of one's own stands behind those of the workspace and gets its arguments by name."""
    schema = {"type": "function", "function": {"name": "add", "parameters": {}}}
    extra = {"add": (schema, lambda a, b=0: str(a + b))}
    arguments: list[Any] = [{"a": 1, "b": 2}, {"c": 1}, "{", '{"a": 4}']
    calls = [call("add", argument, number) for number, argument in enumerate(arguments)]
    provider.script = [says(None, *calls), says("3")]
    result = run(prompt="Go.", extra_tools=extra)
    assert provider.requests[0]["tools"] == [*workspace.schemas(), schema]
    answers = [message["content"] for message in result.messages if message["role"] == "tool"]
    assert (answers[0], answers[3]) == ("3", "4")
    assert all(answer.startswith("Error: ") for answer in answers[1:3])


def test_max_turns_ends_a_model_that_does_not(run: Run, provider: Provider) -> None:
    """After so many answers the loop stops, and the result says that it was cut off."""
    provider.script = [says("On it.", call("read_file", {"path": "a"}))] * 4
    result = run(prompt="Go.", max_turns=3)
    assert (result.finished, result.turns, result.tool_calls) == (False, 3, 3)
    assert result.text == "On it."
    assert len(provider.requests) == 3


def test_turns_are_told(run: Run, provider: Provider) -> None:
    """The callback sees every turn with its number and message before the calls run."""
    provider.script = [says(None, call("read_file", {"path": "a"})), says("Done.")]
    told: list[tuple[int, Any]] = []
    run(prompt="Go.", on_turn=lambda turn, message: told.append((turn, message.get("content"))))
    assert told == [(1, None), (2, "Done.")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create(tmp_path)


def test_a_scripted_model_does_the_job(run: Run, provider: Provider, project: Project) -> None:
    """Read every file, edit, run the tests: the demo's project is renamed by the demo's agent."""
    sources = {path: (project.root / path).read_text(encoding="utf-8") for path in project.files}
    edits = rename_calls(sources, project.old_name, project.new_name)
    provider.script = [
        *(says(None, call("read_file", {"path": path})) for path in project.files),
        says(None, *(call(*edit, number) for number, edit in enumerate(edits))),
        says(None, call("run_tests", "")),
        says("Renamed."),
    ]
    result = run(prompt=project.prompt, extra_tools=project.tools())
    assert result.tool_calls == len(project.files) + len(edits) + 1
    read = [message["content"] for message in result.messages if message["role"] == "tool"]
    assert read[: len(sources)] == list(sources.values())
    assert read[-1].rstrip().endswith("OK")
    assert project.renamed()


def test_the_last_word_before_a_request(run: Run, provider: Provider) -> None:
    """Each request is shown before it is sent, and is not sent if that raises."""
    provider.script = [says(None, call("read_file", {"path": "a.py"})), says("Done.")]
    told: list[int] = []

    def on_request(request: dict[str, Any]) -> None:
        told.append(len(request["messages"]))
        if len(told) > 1:
            raise RuntimeError("no further")

    with pytest.raises(RuntimeError, match="no further"):
        run(prompt="Go.", on_request=on_request)
    assert told == [2, 4]
    assert len(provider.requests) == 1
