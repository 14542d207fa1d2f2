"""aider, which edits by text and has no tools, with litellm's completion function decorated.

    python examples/frameworks/with_aider.py [--stream] "Read a.py and b.py and compare them."

It works on the Python files in the current folder and talks to whatever OPENAI_BASE_URL,
OPENAI_API_KEY and MODEL say.
"""

import os
import sys
from pathlib import Path

import litellm
from aider.coders import Coder
from aider.io import InputOutput
from aider.models import Model

import batchwrap


def main(task: str, *, stream: bool) -> None:
    """Have aider do a task, with the model's answer at once or as a stream."""
    # Without tools there is nothing to batch; requests are held back, retried and repaired.
    limits = [batchwrap.Limit("requests", 50), batchwrap.Limit("tokens", 1_000_000)]
    litellm.completion = batchwrap.batched(limits=limits, batching=None)(litellm.completion)
    coder = Coder.create(
        main_model=Model(f"openai/{os.environ['MODEL']}"),
        edit_format="diff",
        io=InputOutput(yes=True, pretty=False),
        fnames=sorted(Path.cwd().glob("*.py")),
        use_git=False,
        stream=stream,
    )
    coder.run(task)
    print(batchwrap.stats(litellm.completion))


if __name__ == "__main__":
    main(sys.argv[-1], stream="--stream" in sys.argv)
