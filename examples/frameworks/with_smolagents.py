"""smolagents' ToolCallingAgent with a wrapped client.

    python examples/frameworks/with_smolagents.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys

from file_tools import edit_file, read_file
from smolagents import OpenAIModel, ToolCallingAgent, tool

import batchwrap


def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with the model's answers at once or as streams."""
    model = OpenAIModel(os.environ["MODEL"])
    # smolagents tells the model as text what it ran, so nothing may wait for a result; with one
    # thread it runs the calls of a turn one after the other, and edits of one file do not race.
    model.client = batchwrap.wrap(model.client, batching=batchwrap.Batching(delivery="at_once"))
    tools = [tool(read_file), tool(edit_file)]
    agent = ToolCallingAgent(tools, model, stream_outputs=stream, max_tool_threads=1)
    print(agent.run(task))
    print(batchwrap.stats(model.client))


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
