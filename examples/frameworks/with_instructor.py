"""instructor with a wrapped client: an agent's loop, then a typed answer.

    python examples/frameworks/with_instructor.py [--stream] "Read a.py and b.py, compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import os
import sys
from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel

import batchwrap
from batchwrap.tools import Workspace


class Report(BaseModel):
    """What was done."""

    summary: str
    files: list[str]


def main(task: str, *, stream: bool) -> None:
    """Work on a task until there is a report, which comes at once or in parts."""
    wrapped = batchwrap.wrap(OpenAI())
    client = instructor.from_openai(wrapped)
    model, workspace = os.environ["MODEL"], Workspace(".")
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        completion = client.create(
            response_model=None, model=model, messages=messages, tools=workspace.schemas()
        )
        message = completion.choices[0].message
        messages.append(message.model_dump(exclude_unset=True))
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    if stream:
        for part in client.create_partial(response_model=Report, model=model, messages=messages):
            report = part
    else:
        report = client.create(response_model=Report, model=model, messages=messages)
    print(report)
    print(batchwrap.stats(wrapped))


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
