"""The decorator on a function that calls litellm: batching, reminders and throttling in one line.

    python examples/decorated_litellm.py "Read a.py and b.py and compare them."

It talks to whatever MODEL names, with the keys that litellm finds in the environment.
"""

import os
import sys
from typing import Any

import litellm

import batchwrap
from batchwrap.tools import Workspace


@batchwrap.batched(limits=[batchwrap.Limit("tokens", 1_000_000, 60)], remind_every=6)
def complete(**kwargs: Any) -> Any:
    """Whatever your agent calls today."""
    return litellm.completion(model=os.environ.get("MODEL", "cerebras/gpt-oss-120b"), **kwargs)


def main(task: str) -> str:
    """Let the model work on a task until it answers without a tool call."""
    workspace = Workspace(".")
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        message = complete(messages=messages, tools=workspace.schemas()).choices[0].message
        if not message.tool_calls:
            print(message.content)
            print(batchwrap.stats(complete))
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Read README.md and sum it up.")
