"""Words of your own among the reminders, and how often they are said.

    python examples/own_directive.py "Add a docstring to each function of a.py and b.py."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
"""

import sys

from loop import user, work
from openai import OpenAI

import batchwrap
from batchwrap import DEFAULT_DIRECTIVES, Directive, Reminders
from batchwrap.tools import Workspace

# {multi_read} and {edit} are replaced by what these tools are called in the request; a directive
# whose tools are not there is not said.
IMPORTS = Directive(
    "imports",
    "when a file imports others that you will need, read all of them in one {multi_read} call.",
    unless=r"(?i)one file at a time",  # a system prompt that says so goes before it
)
STYLE = Directive(
    "style",
    "what you add with {edit} is written as the code around it is.",
    when="build",
    judged=False,  # not about batches, so it is not switched off where none follow
)


def main(task: str) -> None:
    """Work with them: directives that are due at the same time take turns."""
    reminders = Reminders(every=2, directives=(IMPORTS, STYLE, *DEFAULT_DIRECTIVES))
    with batchwrap.wrap(OpenAI(), reminders=reminders) as client:
        print(work(client, [user(task)], Workspace(".")))
        print(batchwrap.stats(client))


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Read README.md and sum it up.")
