"""What batchwrap adds to a request, in tokens: the multi-tools' schemas, and each reminder.

For an agent with the tools of `batchwrap.tools.Workspace`. Run it with `make benchmark-offer`.
"""

from __future__ import annotations

import tempfile

import orjson

from batchwrap.core.reminders import directives
from batchwrap.core.views.find import find
from batchwrap.core.views.multi import multi_tools
from batchwrap.core.views.offer import offer
from batchwrap.options import Batching
from batchwrap.throttle.encodings import load
from batchwrap.tools import Workspace


def main() -> None:
    """Prints one line for each text that is added."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Workspace(folder).schemas()
    batching = Batching()
    multis = multi_tools(find(tools, batching), set(), mixed=True)
    offered = offer({"tools": tools}, multis, batching, instead=False, most=batching.max_items)[
        "tools"
    ][len(tools) :]
    added = {
        "the offer, in every request": orjson.dumps(offered).decode(),
        "a reminder after N turns": directives.general(multis),
        "a reminder on a lapse": directives.lapse(multis[0], ["src/app.py", "src/util.py"]),
    }
    for name, text in added.items():
        print(f"{name:<30} {len(load('o200k_base').encode_ordinary(text)):>4} tokens")


if __name__ == "__main__":
    main()
