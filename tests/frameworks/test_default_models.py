"""Frameworks with the models that they take by default: Responses, and Anthropic's messages."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.models.openai import OpenAIResponsesModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

import batchwrap
from batchwrap.lab import Lab
from tests.frameworks.job import AFTER, FILES, ROUND_TRIPS, TASK, Tools


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


async def openai_agents(lab: Lab) -> tuple[Any, str]:
    """The Responses API, plain."""
    client = batchwrap.wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    result = await Runner.run(_agent(client), TASK)
    return client, str(result.final_output)


async def openai_agents_streamed(lab: Lab) -> tuple[Any, str]:
    """The Responses API, streamed."""
    client = batchwrap.wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    result = Runner.run_streamed(_agent(client), TASK)
    async for _ in result.stream_events():
        pass
    return client, str(result.final_output)


def _agent(client: AsyncOpenAI) -> Any:
    return Agent(
        name="coder",
        model=OpenAIResponsesModel(model="lab-model", openai_client=client),
        model_settings=ModelSettings(store=False),
        tools=[function_tool(read_file), function_tool(edit_file)],
    )


async def pydantic_responses(lab: Lab) -> tuple[Any, str]:
    """The Responses API of pydantic-ai."""
    client = batchwrap.wrap(AsyncOpenAI(base_url=lab.base_url, api_key="k"))
    model = PydanticResponses("gpt-5.5", provider=OpenAIProvider(openai_client=client))
    settings = OpenAIResponsesModelSettings(openai_store=False)
    agent = PydanticAgent(model, tools=[read_file, edit_file], model_settings=settings)
    return client, (await agent.run(TASK)).output


async def pydantic_anthropic(lab: Lab) -> tuple[Any, str]:
    """Anthropic's messages, which pydantic-ai always streams."""
    client = batchwrap.wrap(AsyncAnthropic(base_url=lab.url, api_key="k"))
    model = AnthropicModel("claude", provider=AnthropicProvider(anthropic_client=client))
    return client, (await PydanticAgent(model, tools=[read_file, edit_file]).run(TASK)).output


@pytest.mark.parametrize(
    "play", [openai_agents, openai_agents_streamed, pydantic_responses, pydantic_anthropic]
)
def test_the_job(
    play: Callable[[Lab], Awaitable[tuple[Any, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The framework runs its single tools; the model sees its multi-calls; nothing is lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    for name, text in FILES.items():
        Path(name).write_text(text)
    with Lab(Tools().model(), tokens_per_s=math.inf, ttft_s=0) as lab:

        async def run() -> tuple[str, Any]:
            client, said = await play(lab)
            stats = batchwrap.stats(client)
            await client.close()
            return said, stats

        said, stats = asyncio.run(run())
    assert said == "Done."
    assert {name: Path(name).read_text() for name in FILES} == AFTER
    assert [entry.status for entry in lab.journal] == [200] * ROUND_TRIPS
    assert (stats.multi_calls, stats.items, stats.local_answers) == (3, 8, 1)
    assert stats.only_throttled == {}
