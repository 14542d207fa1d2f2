"""One program of the model in place of many round trips: search, read what was found, edit it.

    python examples/scripts.py "Replace TODO by DONE in all files."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
The agent is the one of coding_agent.py: scripts are an option of the wrapped client.
"""

import sys

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap import Batching, Scripts
from batchwrap.tools import Workspace


def main(task: str) -> str:
    """Let the model work on a task, and show what scripts have saved."""
    batching = Batching(scripts=Scripts(max_calls=100))
    with batchwrap.wrap(OpenAI(), batching=batching) as client:
        answer = work(client, [user(task)], Workspace("."))
        told = batchwrap.stats(client)
        print(f"{told.scripts} script(s) made {told.script_calls} calls")
        print(f"{told.script_round_trips} round trips saved, {told.round_trips} made")
    return answer


if __name__ == "__main__":
    print(main(" ".join(sys.argv[1:]) or "Read README.md and sum it up."))
