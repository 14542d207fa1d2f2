"""A coding agent in a few lines; wrapping its client is the only thing it knows of batchwrap.

    python examples/coding_agent.py "Read a.py and b.py and tell me what they do."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys

from openai import OpenAI

import batchwrap
from batchwrap.tools import Workspace


def main(task: str) -> str:
    """Let the model work on a task until it answers without a tool call."""
    workspace = Workspace(".")
    with batchwrap.wrap(OpenAI()) as client:
        messages = [{"role": "user", "content": task}]
        while True:
            completion = client.chat.completions.create(
                model=os.environ.get("MODEL", "gpt-oss-120b"),
                messages=messages,
                tools=workspace.schemas(),
            )
            message = completion.choices[0].message
            if not message.tool_calls:
                print(message.content)
                print(batchwrap.stats(client))
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                result = workspace.call(call.function.name, call.function.arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Read README.md and sum it up.")
