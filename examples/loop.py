"""The agent that most of these examples share, with an async twin: a model, file tools, a loop.

Nothing in here knows of batchwrap but the tools, which any others may replace.
"""

import os
from typing import Any

from openai import AsyncOpenAI, OpenAI

from batchwrap.tools import Workspace

MODEL = os.environ.get("MODEL", "gpt-oss-120b")


def work(client: OpenAI, messages: list[Any], workspace: Workspace) -> str:
    """Let the model work until it answers without a tool call; the messages grow with it."""
    while True:
        completion = client.chat.completions.create(
            model=MODEL, messages=messages, tools=workspace.schemas()
        )
        message = completion.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def work_async(client: AsyncOpenAI, messages: list[Any], workspace: Workspace) -> str:
    """The same without blocking."""
    while True:
        completion = await client.chat.completions.create(
            model=MODEL, messages=messages, tools=workspace.schemas()
        )
        message = completion.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def user(text: str) -> dict[str, str]:
    """What a person says."""
    return {"role": "user", "content": text}
