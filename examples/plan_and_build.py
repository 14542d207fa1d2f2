"""First a plan, then the work: in each mode the model is reminded of what saves most there.

    python examples/plan_and_build.py "Rename load to read in a.py and b.py."

While it plans it is asked to read all files that the task names in one call, and when building
begins, to group its edits. It works in the current folder and talks to whatever OPENAI_BASE_URL,
OPENAI_API_KEY and MODEL say.
"""

import sys

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap.tools import Workspace


def main(task: str) -> None:
    """Plan and build in one conversation, with the same tools, so that its prefix stays."""
    workspace = Workspace(".")
    messages = [user(f"{task} Do not change anything yet: look, and tell me your plan.")]
    with batchwrap.wrap(OpenAI()) as client:
        with batchwrap.mode("plan"):
            print(work(client, messages, workspace))
        messages.append(user("Good. Carry it out."))
        with batchwrap.mode("build"):
            print(work(client, messages, workspace))
        print(batchwrap.stats(client))


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Read README.md and mend its spelling.")
