"""AutoGen's AssistantAgent with a wrapped http client.

    python examples/frameworks/with_autogen.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import os
import sys

import httpx2
from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient
from file_tools import edit_file, read_file

import batchwrap


async def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with the model's answers at once or as streams."""
    http_client = batchwrap.wrap(httpx2.AsyncClient(timeout=600))
    model = OpenAIChatCompletionClient(
        model=os.environ["MODEL"],
        http_client=http_client,
        model_info={
            "family": ModelFamily.UNKNOWN,
            "function_calling": True,
            "json_output": True,
            "structured_output": True,
            "vision": False,
        },
    )
    agent = AssistantAgent(
        "coder",
        model,
        tools=[read_file, edit_file],
        max_tool_iterations=50,
        model_client_stream=stream,
    )
    print((await agent.run(task=task)).messages[-1])
    print(batchwrap.stats(http_client))
    await model.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1], stream="--stream" in sys.argv))
