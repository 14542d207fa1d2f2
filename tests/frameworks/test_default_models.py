"""Frameworks with the models that they take by default: Responses, and Anthropic's messages."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool
from anthropic import AsyncAnthropic, beta_async_tool
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

import batchwrap
from batchwrap.lab import Call, FileReader, Habit, Lab
from tests.frameworks.job import FILES, Tools

Wrap = Callable[[Any], Any]
TASK = "Rename NAME in a.py to TITLE, and set SIZE to 2 in a.py and b.py. Look at c.py, too."
EDITS = [
    Call("edit_file", Tools().editing(*edit))
    for edit in (
        ("a.py", "NAME", "TITLE"),
        ("a.py", "SIZE = 1", "SIZE = 2"),
        ("b.py", "SIZE = 1", "SIZE = 2"),
    )
]
DONE = {
    "a.py": "TITLE = 'a.py'\nSIZE = 2\n",
    "b.py": "NAME = 'b.py'\nSIZE = 2\n",
    "c.py": FILES["c.py"],
}


def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def edit_file(path: str, old_string: str, new_string: str) -> str:
    """Replace a text in a file."""
    text = Path(path).read_text()
    if old_string not in text:
        return "Error: no such text"
    Path(path).write_text(text.replace(old_string, new_string))
    return "edited"


async def openai_agents(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The Responses API, which it takes by default."""
    client = wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    result = await Runner.run(_agent(client), TASK)
    return str(result.final_output), client


async def openai_agents_streamed(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The same, streamed."""
    client = wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    result = Runner.run_streamed(_agent(client), TASK)
    async for _ in result.stream_events():
        pass
    return str(result.final_output), client


async def openai_agents_unstored(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The same, where the provider is told to keep nothing."""
    client = wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    result = await Runner.run(_agent(client, store=False), TASK)
    return str(result.final_output), client


def _agent(client: AsyncOpenAI, **settings: Any) -> Any:
    return Agent(
        name="coder",
        model=OpenAIResponsesModel(model="gpt-5.5", openai_client=client),
        model_settings=ModelSettings(**settings),
        tools=[function_tool(read_file), function_tool(edit_file)],
    )


async def pydantic_responses(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The Responses API, which `"openai:…"` stands for."""
    client = wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    model = PydanticResponses("gpt-5.5", provider=OpenAIProvider(openai_client=client))
    return (await PydanticAgent(model, tools=[read_file, edit_file]).run(TASK)).output, client


async def pydantic_responses_unstored(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The same, where the provider is told to keep nothing."""
    client = wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    model = PydanticResponses("gpt-5.5", provider=OpenAIProvider(openai_client=client))
    settings = OpenAIResponsesModelSettings(openai_store=False)
    agent = PydanticAgent(model, tools=[read_file, edit_file], model_settings=settings)
    return (await agent.run(TASK)).output, client


async def pydantic_anthropic(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """Anthropic's messages, which pydantic-ai always streams."""
    client = wrap(AsyncAnthropic(base_url=lab.url, api_key="k"))
    model = AnthropicModel("claude", provider=AnthropicProvider(anthropic_client=client))
    return (await PydanticAgent(model, tools=[read_file, edit_file]).run(TASK)).output, client


async def langchain_responses(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """`ChatOpenAI` with the Responses API, where the provider is told to keep nothing."""
    http = wrap(httpx2.AsyncClient(timeout=60))
    model = ChatOpenAI(
        model="gpt-5.5",
        base_url=lab.base_url,
        api_key=SecretStr("k"),
        use_responses_api=True,
        store=False,
        http_async_client=http,
    )
    return await _langchain(model), http


async def langchain_anthropic(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """`ChatAnthropic`, which makes its client itself: `install` wraps it."""
    if wrap is batchwrap.wrap:
        batchwrap.install()
    try:
        model = ChatAnthropic(model_name="claude", base_url=lab.url, api_key=SecretStr("k"))
        return await _langchain(model), model._async_client
    finally:
        batchwrap.uninstall()


async def _langchain(model: Any) -> str:
    agent = create_agent(model, [read_file, edit_file])
    said = await agent.ainvoke({"messages": [{"role": "user", "content": TASK}]})
    return str(said["messages"][-1].text)


async def tool_runner(lab: Lab, wrap: Wrap) -> tuple[str, Any]:
    """The tool runner of Anthropic's SDK."""
    client = wrap(AsyncAnthropic(base_url=lab.url, api_key="k"))

    async def read(path: str) -> str:
        return read_file(path)

    async def edit(path: str, old_string: str, new_string: str) -> str:
        return edit_file(path, old_string, new_string)

    runner = client.beta.messages.tool_runner(
        model="claude",
        max_tokens=500,
        tools=[beta_async_tool(read, name="read_file"), beta_async_tool(edit, name="edit_file")],
        messages=[{"role": "user", "content": TASK}],
    )
    return (await runner.until_done()).content[0].text, client


# Round trips for three reads, three edits, two of them in one file, and the last word. A first
# request to the Responses API does not tell whether its answer will be continued by its id; so
# where the provider may keep it, the first file is read alone.
@pytest.mark.parametrize(
    ("play", "round_trips"),
    [
        (openai_agents, 4),
        (openai_agents_streamed, 4),
        (openai_agents_unstored, 3),
        (pydantic_responses, 4),
        (pydantic_responses_unstored, 3),
        (pydantic_anthropic, 3),
        (langchain_responses, 3),
        (langchain_anthropic, 3),
        (tool_runner, 3),
    ],
)
def test_the_job(
    play: Callable[[Lab, Wrap], Awaitable[tuple[str, Any]]],
    round_trips: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The framework runs its single tools; the model batches; bare, each call is a round trip."""
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    bare, _ = work(play, lambda client: client, tmp_path / "bare", monkeypatch)
    served, stats = work(play, batchwrap.wrap, tmp_path / "wrapped", monkeypatch)
    assert (bare, served) == (7, round_trips)
    assert stats.multi_calls == 2 and stats.local_answers == 1
    assert stats.only_throttled == ({} if round_trips == 3 else {"responses": 1})


def work(
    play: Callable[[Lab, Wrap], Awaitable[tuple[str, Any]]],
    wrap: Wrap,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[int, Any]:
    """Let an agent do the job in a folder: the round trips, and what batchwrap counted."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, text in FILES.items():
        Path(name).write_text(text)
    model = FileReader(lambda files, request: EDITS, habit=Habit(unasked=True))
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:

        async def run() -> tuple[str, Any]:
            said, client = await play(lab, wrap)
            stats = batchwrap.stats(client) if wrap is batchwrap.wrap else None
            await (client.aclose if hasattr(client, "aclose") else client.close)()
            return said, stats

        said, stats = asyncio.run(run())
        assert {entry.status for entry in lab.journal if entry.is_turn} == {200}
        assert said == "Done."
        assert {name: Path(name).read_text() for name in FILES} == DONE
        return lab.round_trips, stats
