"""Several answers at once, distilled into one, which is then checked: on a single budget.

    python examples/distil_and_refine.py "Which functions of a.py and b.py can raise?"

N agents look into the task, each for itself and all at the same time (on a fast provider that
takes hardly longer than one); a request without tools distils what they found; a last agent
checks that against the files. They work in the current folder and talk to whatever
OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import asyncio
import os
import sys

from loop import MODEL, user, work_async
from openai import AsyncOpenAI

import batchwrap
from batchwrap import Limit
from batchwrap.tools import Workspace

N = int(os.environ.get("N", "4"))
LIMITS = [Limit("requests", 50, per_s=60), Limit("tokens", 1_000_000, per_s=60)]


async def solve(client: AsyncOpenAI, task: str) -> str:
    """Look N times, distil, refine."""
    workspace = Workspace(".")
    looking = f"{task} Do not change any file. Say what you found, and where."
    drafts = await asyncio.gather(
        *(work_async(client, [user(looking)], workspace) for _ in range(N))
    )
    # What is nearly done goes before the drafts of other tasks that wait for the same budget.
    with batchwrap.priority(1):
        distilled = await distil(client, task, drafts)
        checking = f"{task} Check this answer against the files, and correct it:\n\n{distilled}"
        return await work_async(client, [user(checking)], workspace)


async def distil(client: AsyncOpenAI, task: str, drafts: list[str]) -> str:
    """One answer out of many: what they share, and what is worth keeping of the rest."""
    found = "\n\n".join(f"Answer {number}:\n{draft}" for number, draft in enumerate(drafts, 1))
    prompt = f"{task}\n\n{found}\n\nMake one answer of these; say where they contradict each other."
    completion = await client.chat.completions.create(model=MODEL, messages=[user(prompt)])
    return completion.choices[0].message.content or ""


async def main(tasks: list[str]) -> None:
    """Solve all tasks, each with N agents of its own."""
    async with batchwrap.wrap(AsyncOpenAI(), limits=LIMITS) as client:
        for answer in await asyncio.gather(*(solve(client, task) for task in tasks)):
            print(answer)
        print(batchwrap.stats(client))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["What does README.md promise?"]))
