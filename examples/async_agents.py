"""Many agents at once on one budget: none runs into a 429, and nobody is starved.

    python examples/async_agents.py "Read a.py." "Read b.py." "Read c.py."

An agent works on each task, all in one event loop, in the current folder. They talk to whatever
OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import sys

from loop import user, work_async
from openai import AsyncOpenAI

import batchwrap
from batchwrap import Limit
from batchwrap.tools import Workspace

# All of them hold for all agents together; 50 agents are fine with 8 requests at a time.
LIMITS = [
    Limit("requests", 50, per_s=60),
    Limit("tokens", 1_000_000, per_s=60),
    Limit("concurrency", 8),
]


async def main(tasks: list[str]) -> None:
    """Run all agents with one client, which is what makes the budget one."""
    workspace = Workspace(".")
    async with batchwrap.wrap(AsyncOpenAI(), limits=LIMITS) as client:
        agents = (work_async(client, [user(task)], workspace) for task in tasks)
        for task, answer in zip(tasks, await asyncio.gather(*agents), strict=True):
            print(f"{task}\n{answer}")
        print(batchwrap.stats(client))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["Read README.md and sum it up."]))
