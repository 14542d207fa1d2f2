"""pydantic-ai with a wrapped client.

    python examples/frameworks/with_pydantic_ai.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterable

from file_tools import edit_file, read_file
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import batchwrap


async def ignore(_: object, events: AsyncIterable[object]) -> None:
    """Show nothing of a stream; with a handler, the model's answers are streamed."""
    async for _ in events:
        pass


async def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with its answer at once or as a stream."""
    client = batchwrap.wrap(AsyncOpenAI())
    model = OpenAIChatModel(os.environ["MODEL"], provider=OpenAIProvider(openai_client=client))
    agent = Agent(model, tools=[read_file, edit_file])
    # Not `run_stream`, which takes the first text for the answer, even if calls follow it.
    run = await agent.run(task, event_stream_handler=ignore if stream else None)
    print(run.output)
    print(batchwrap.stats(client))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1], stream="--stream" in sys.argv))
