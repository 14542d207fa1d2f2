"""The tool runner of Anthropic's SDK with a wrapped client.

    python examples/frameworks/with_anthropic.py [--stream] "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY and MODEL
say.
"""

import os
import sys

from anthropic import Anthropic, beta_tool
from file_tools import edit_file, read_file

import batchwrap


def main(task: str, *, stream: bool) -> None:
    """Run an agent on a task, with its answers at once or as streams."""
    client = batchwrap.wrap(Anthropic())
    runner = client.beta.messages.tool_runner(
        model=os.environ["MODEL"],
        max_tokens=4_000,
        tools=[beta_tool(read_file), beta_tool(edit_file)],
        messages=[{"role": "user", "content": task}],
        stream=stream,
    )
    for answer in runner:
        message = answer.get_final_message() if stream else answer
        print(*(block.text for block in message.content if block.type == "text"))
    print(batchwrap.stats(client))


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
