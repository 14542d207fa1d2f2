"""One budget for several processes, or several machines: together they keep the plan's limits.

    python examples/several_processes.py "Read a.py." "Read b.py."
    STORE=redis://localhost python examples/several_processes.py "Read a.py." "Read b.py."

An agent works on each task, in a process of its own, in the current folder. It talks to whatever
OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say. The budget is in a SQLite file, for the processes
of one machine, or in Redis (`pip install "batchwrap[redis]"`), for any number of machines. It
outlives them, so that what is used up of a day stays used up. To see it live, elsewhere:

    batchwrap limits --store sqlite:///budget.db --watch cerebras/code-max
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap.tools import Workspace

THROTTLE = batchwrap.Throttle(
    limits="cerebras/code-max", store=os.environ.get("STORE", "sqlite:///budget.db")
)


def run(task: str) -> str:
    """One agent, in a process that shares nothing with the others but the store."""
    with batchwrap.wrap(OpenAI(), throttle=THROTTLE) as client:
        return work(client, [user(task)], Workspace("."))


def main(tasks: list[str]) -> None:
    """Run an agent in each of up to eight processes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(8, len(tasks)), mp_context=fresh) as processes:
        for task, answer in zip(tasks, processes.map(run, tasks), strict=True):
            print(f"{task}\n{answer}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["Read README.md and sum it up."])
