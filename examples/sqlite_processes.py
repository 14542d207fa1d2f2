"""One budget for several processes, in a SQLite file: together they stay below the plan's limits.

    python examples/sqlite_processes.py "Read a.py." "Read b.py."

An agent works on each task, in a process of its own, in the current folder. It talks to whatever
OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say. The file outlives them, so that what is used up of
a day stays used up. To see it live, in another terminal:

    batchwrap limits --store sqlite:///budget.db --watch cerebras/code-max
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from openai import OpenAI

import batchwrap
from batchwrap.tools import Workspace

THROTTLE = batchwrap.Throttle(limits="cerebras/code-max", store="sqlite:///budget.db")


def work(task: str) -> str:
    """Let the model work on a task until it answers without a tool call."""
    workspace = Workspace(".")
    with batchwrap.wrap(OpenAI(), throttle=THROTTLE) as client:
        messages = [{"role": "user", "content": task}]
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
    """Run an agent in each of up to eight processes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(8, len(tasks)), mp_context=fresh) as processes:
        for task, answer in zip(tasks, processes.map(work, tasks), strict=True):
            print(f"{task}\n{answer}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["Read README.md and sum it up."])
