"""What batchwrap adds to a request, in tokens: the multi-tools' schemas, and each reminder.

For an agent with the tools of `batchwrap.tools.Workspace`. Run it with `make benchmark-offer`.
"""

from __future__ import annotations

import tempfile

import orjson

from batchwrap.core.formats.chat.tools import definition, read_tools
from batchwrap.core.reminders.directives import names_of, prepare, written
from batchwrap.core.reminders.turns import Single
from batchwrap.core.tools.find import find
from batchwrap.core.tools.multi import multi_tools
from batchwrap.core.tools.offer import Form, definitions
from batchwrap.directives import DEFAULT_DIRECTIVES
from batchwrap.encodings import load
from batchwrap.options import Batching
from batchwrap.tools import Workspace


def main() -> None:
    """Prints one line for each text that is added."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Workspace(folder).schemas()
    batching = Batching()
    multis = multi_tools(find(read_tools(tools), batching), set(), mixed=True)
    form = Form(instead=False, most=batching.max_items, stops=batching.on_failure == "stop")
    offered = [definition(one) for one in definitions(multis, form)]
    todo = {"type": "function", "function": {"name": "todo_write"}}
    paths = ("src/app.py", "src/util.py")
    lapse = [Single(multis[0], path, {"path": path}, 0) for path in paths]
    added = {"the offer, in every request": orjson.dumps(offered).decode()}
    for ready in prepare(DEFAULT_DIRECTIVES, names_of(read_tools([*tools, todo]), multis)):
        added[f"the reminder {ready.directive.id!r}"] = written(ready, lapse)
    for name, text in added.items():
        print(f"{name:<30} {len(load('o200k_base').encode_ordinary(text)):>4} tokens")


if __name__ == "__main__":
    main()
