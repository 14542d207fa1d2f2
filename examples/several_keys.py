"""Several API keys as one budget: their limits add up, and a conversation stays with its key.

    OPENAI_API_KEY=key-one,key-two python examples/several_keys.py "Read a.py." "Read b.py."

An agent works on each task, all at the same time, in the current folder, and with one client. It
talks to whatever OPENAI_BASE_URL and MODEL say.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI

import batchwrap
from batchwrap import Limit
from batchwrap.tools import Workspace


def work(client: OpenAI, task: str) -> str:
    """Let the model work on a task until it answers without a tool call."""
    workspace = Workspace(".")
    messages = [
        {"role": "system", "content": "You work on files in the current folder."},
        {"role": "user", "content": task},
    ]
    while True:
        completion = client.chat.completions.create(
            model=os.environ.get("MODEL", "gpt-oss-120b"),
            messages=messages,
            tools=workspace.schemas(),
        )
        message = completion.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = workspace.call(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def main(tasks: list[str]) -> None:
    """Run all agents. The limits are those of one key; each key has them to itself."""
    keys = os.environ["OPENAI_API_KEY"].split(",")
    limits = [Limit("requests", 50), Limit("tokens", 1_000_000)]
    throttle = batchwrap.Throttle(limits=limits, keys=keys)
    with (
        batchwrap.wrap(OpenAI(api_key=keys[0]), throttle=throttle) as client,
        ThreadPoolExecutor(max_workers=8) as threads,
    ):
        for task, answer in zip(
            tasks, threads.map(lambda it: work(client, it), tasks), strict=True
        ):
            print(f"{task}\n{answer}")
        print(batchwrap.stats(client))


if __name__ == "__main__":
    main(sys.argv[1:] or ["Read README.md and sum it up."])
