"""openai-agents with a wrapped client.

    python examples/frameworks/with_openai_agents.py [--stream] [--serial] "Read a.py and b.py."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import os
import sys

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from file_tools import edit_file, read_file
from openai import AsyncOpenAI

import batchwrap


async def main(task: str, *, stream: bool, serial: bool) -> None:
    """Run an agent on a task, with its answers at once or as streams, perhaps call by call."""
    client = batchwrap.wrap(AsyncOpenAI())
    set_tracing_disabled(True)  # traces go to OpenAI, whatever the client's base URL
    agent = Agent(
        name="coder",
        model=OpenAIChatCompletionsModel(model=os.environ["MODEL"], openai_client=client),
        model_settings=ModelSettings(parallel_tool_calls=False if serial else None),
        tools=[function_tool(read_file), function_tool(edit_file)],
    )
    if stream:
        run = Runner.run_streamed(agent, task)
        async for _ in run.stream_events():
            pass
        print(run.final_output)
    else:
        print((await Runner.run(agent, task)).final_output)
    print(batchwrap.stats(client))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1], stream="--stream" in sys.argv, serial="--serial" in sys.argv))
