"""What batchwrap adds to a request, in tokens: the multi-tools, the script tool, each reminder.

For an agent with the tools of `batchwrap.tools.Workspace` and a search, and what the offer costs
real agents, whose lists of tools are in `data/tool_lists.jsonl`. Run it with
`make benchmark-offer`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.core.formats.responses.format import RESPONSES_FORMAT
from batchwrap.core.reminders.directives import names_of, prepare, written
from batchwrap.core.reminders.turns import Single
from batchwrap.core.tools.offer import Form
from batchwrap.core.tools.tool_set import tool_set_of
from batchwrap.directives import DEFAULT_DIRECTIVES
from batchwrap.encodings import load
from batchwrap.options import Batching, Scripts
from batchwrap.tools import Workspace
from benchmarks import toolbox

FORMATS: Mapping[str, Format] = {
    "chat": CHAT_FORMAT,
    "messages": MESSAGES_FORMAT,
    "responses": RESPONSES_FORMAT,
}
LISTS = Path(__file__).parent / "data" / "tool_lists.jsonl"


def main() -> None:
    """Prints one line for each text that is added, and one for each agent."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Workspace(folder).schemas()
    for name, text in added(tools).items():
        print(f"{name:<30} {tokens(text):>4} tokens")
    print(f"\n{'agent':<38} {'API':<10} {'its tools':>9} {'offer':>6} {'script':>6}  offered")
    for line in LISTS.read_text("utf-8").splitlines():
        row = orjson.loads(line)
        api, declared = FORMATS[row["api"]], row.get("declared", {})
        made = offer(row["tools"], api, Batching(tools=declared))
        names = ", ".join(made) or "nothing"
        script = tokens_of(script_offer(row["tools"], api, declared))
        costs = f"{row['tokens']:>9,} {tokens_of(made):>6} {script:>6}"
        print(f"{row['agent']:<38} {row['api']:<10} {costs}  {names}")


def offer(tools: list[Any], api: Format, batching: Batching) -> dict[str, Any]:
    """The definitions of what is offered beside some tools, by name."""
    made = tool_set_of(api.tools(tools), batching)
    form = Form(instead=False, most=batching.max_items, stops=batching.on_failure == "stop")
    names = [multi.name for multi in made.multis]
    names += [made.script.name] if made.script is not None else []
    return dict(zip(names, made.definitions(form, api), strict=True))


def script_offer(tools: list[Any], api: Format, declared: Mapping[str, Any]) -> dict[str, Any]:
    """The definition of the tool that runs scripts, by its name."""
    made = offer(tools, api, Batching(tools=declared, scripts=Scripts()))
    multis = offer(tools, api, Batching(tools=declared))
    return {name: definition for name, definition in made.items() if name not in multis}


def added(tools: list[Any]) -> dict[str, str]:
    """Each text that is added for an agent that speaks chat completions, by what it is."""
    made = offer(tools, CHAT_FORMAT, Batching())
    todo = {"type": "function", "function": {"name": "todo_write"}}
    multis = tool_set_of(CHAT_FORMAT.tools(tools), Batching()).multis
    paths = ("src/app.py", "src/util.py")
    lapse = [Single(multis[0], path, {"path": path}, 0) for path in paths]
    searching = [*tools, next(one for one in toolbox.TOOLS if one["function"]["name"] == "grep")]
    script = script_offer(searching, CHAT_FORMAT, {})
    texts = {
        "the offer, in every request": _text(made),
        "scripts, with a search tool": _text(script),
    }
    for ready in prepare(DEFAULT_DIRECTIVES, names_of(CHAT_FORMAT.tools([*tools, todo]), multis)):
        texts[f"the reminder {ready.directive.id!r}"] = written(ready, lapse)
    return texts


def tokens_of(offered: Mapping[str, Any]) -> int:
    """Tokens of some definitions; 0 where nothing is offered."""
    return tokens(_text(offered)) if offered else 0


def _text(offered: Mapping[str, Any]) -> str:
    return orjson.dumps(list(offered.values())).decode()


def tokens(text: str) -> int:
    """Tokens of a text."""
    return len(load("o200k_base").encode_ordinary(text))


if __name__ == "__main__":
    main()
