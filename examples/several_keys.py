"""Several API keys as one budget: their limits add up, and a conversation stays with its key.

    OPENAI_API_KEY=key-one,key-two python examples/several_keys.py "Read a.py." "Read b.py."

An agent works on each task, all at the same time, in the current folder, and with one client. It
talks to whatever OPENAI_BASE_URL and MODEL say.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap import Limit
from batchwrap.tools import Workspace

# Those of one key; each key has them to itself.
LIMITS = [Limit("requests", 50, per_s=60), Limit("tokens", 1_000_000, per_s=60)]


def main(tasks: list[str]) -> None:
    """Run all agents."""
    keys = os.environ["OPENAI_API_KEY"].split(",")
    throttle = batchwrap.Throttle(limits=LIMITS, keys=keys)
    workspace = Workspace(".")
    with (
        batchwrap.wrap(OpenAI(api_key=keys[0]), throttle=throttle) as client,
        ThreadPoolExecutor(max_workers=8) as threads,
    ):
        answers = threads.map(lambda task: work(client, [user(task)], workspace), tasks)
        for task, answer in zip(tasks, answers, strict=True):
            print(f"{task}\n{answer}")
        print(batchwrap.stats(client))


if __name__ == "__main__":
    main(sys.argv[1:] or ["Read README.md and sum it up."])
