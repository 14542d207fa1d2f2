"""LlamaIndex's FunctionAgent with a wrapped client.

    python examples/frameworks/with_llama_index.py [--stream] "Read a.py and b.py, compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import os
import sys

from file_tools import edit_file, read_file
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from openai import AsyncOpenAI

import batchwrap


async def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with the model's answers at once or as streams."""
    client = batchwrap.wrap(AsyncOpenAI())
    llm = OpenAILike(
        model=os.environ["MODEL"],
        async_openai_client=client,
        is_chat_model=True,
        is_function_calling_model=True,
    )
    agent = FunctionAgent(tools=[read_file, edit_file], llm=llm, streaming=stream)
    print(await agent.run(task))
    print(batchwrap.stats(client))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1], stream="--stream" in sys.argv))
