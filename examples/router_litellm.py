"""The decorator around a litellm Router: its retries, cooldowns and fallbacks go on beneath.

    python examples/router_litellm.py "Read a.py and b.py and compare them."

It talks to whatever MODEL names, with the keys that litellm finds in the environment.
"""

import asyncio
import os
import sys
from typing import Any

from litellm import Router

import batchwrap
from batchwrap.tools import Workspace

MODEL = os.environ.get("MODEL", "cerebras/gpt-oss-120b")

router = Router([{"model_name": "coder", "litellm_params": {"model": MODEL}}])
complete = batchwrap.batched(remind_every=6)(router.acompletion)


async def main(task: str) -> str:
    """Let the model work on a task until it answers without a tool call."""
    workspace = Workspace(".")
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        done: Any = await complete(model="coder", messages=messages, tools=workspace.schemas())
        message = done.choices[0].message
        if not message.tool_calls:
            print(message.content)
            print(batchwrap.stats(complete))
            return message.content or ""
        messages.append(message)
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Read README.md and sum it up."))
