"""Limits of a provider of your own, from a file: own_provider.toml, beside this one.

    python examples/own_provider.py "Read a.py and b.py and tell me what they do."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import sys
from pathlib import Path

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap.tools import Workspace

PLAN = f"{Path(__file__).with_name('own_provider.toml')}#team"


def main(task: str) -> None:
    """Work within the plan; a mistake in the file is told here, not in the middle of a job."""
    with batchwrap.wrap(OpenAI(), limits=PLAN) as client:
        print(work(client, [user(task)], Workspace(".")))
        print(batchwrap.stats(client))


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Read README.md and sum it up.")
