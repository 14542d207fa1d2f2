"""Writes the page of the multi-tools from a real request: `make docs-multi-tools`."""

import json
from pathlib import Path
from typing import Any

from openai import OpenAI

import batchwrap
from batchwrap import Batching, Scripts
from batchwrap.testing import Call, Lab, Reply, Script

PAGE = Path(__file__).with_name("multi-tools.md")
INTRO = """\
# The multi-tools that a model sees

For those who script a model, read a provider's log or write a test: this is what a model gets,
and what it may answer. batchwrap builds these tools from the agent's own, so their items have the
agent's parameters. The page is made from a real request of an agent with four tools.

To see those of your own agent, let it talk to a [simulated provider](testing.md):
`[tool["function"]["name"] for tool in lab.journal[0].json["tools"]]`, or pin them in a snapshot
with `batchwrap.testing`.

## The agent's tools
"""
RESULT = """\
## What a call and its result look like

The model makes one call, `multi_read {"files": [{"path": "a.py"}, {"path": "b.py"}]}`. The agent
gets two calls of `read_file` and answers both. In the next request, the model sees its own call
again, with one result:

"""
ABSENT = """
A multi-tool exists only if the agent has a tool of its kind, and is called something else if the
agent has a tool of that name (`multi_read_file`, `batch_calls`). In the [Responses
API](limits.md#other-endpoints) and in Messages the same schemas stand where the API has them
(`parameters` beside `name`, `input_schema`). How calls in other forms are understood:
[batching](batching.md).
"""


def _tool(name: str, description: str, *required: str, **optional: str) -> dict[str, Any]:
    types = dict.fromkeys(required, "string") | optional
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in types.items()},
        "required": list(required),
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [
    _tool("read_file", "Reads a text file.", "path", offset="integer", limit="integer"),
    _tool("edit_file", "Replaces a text in a file.", "path", "old_string", "new_string"),
    _tool("write_file", "Writes a file.", "path", "content"),
    _tool("grep", "Searches the files for a pattern.", "pattern", path="string"),
]


def page() -> str:
    """The page as it should be."""
    offered, result = _seen()
    own = [name for name in offered if any(tool["function"]["name"] == name for tool in TOOLS)]
    shown = "\n".join(_section(offered[name]) for name in offered if name not in own)
    names = ", ".join(f"`{name}`" for name in own)
    agents = "\n".join(json.dumps(tool["function"]["parameters"]["properties"]) for tool in TOOLS)
    listed = f"{names}; they stay in the request as they are:\n\n```json\n{agents}\n```\n"
    return f"{INTRO}\n{listed}\n{shown}\n{RESULT}```text\n{result}\n```\n{ABSENT}"


def _seen() -> tuple[dict[str, dict[str, Any]], str]:
    """The tools in a request at the provider, by name, and the result of a multi-call."""
    reads = Call("multi_read", {"files": [{"path": "a.py"}, {"path": "b.py"}]})
    batching = Batching(scripts=Scripts())
    with (
        Lab(Script(Reply(calls=(reads,)), Reply("Done."))) as lab,
        OpenAI(base_url=lab.base_url, api_key="any") as bare,
    ):
        client = batchwrap.wrap(bare, batching=batching, reminders=None)
        messages: list[Any] = [{"role": "user", "content": "Compare two files."}]
        said = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        message = said.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        for number, call in enumerate(message.tool_calls or (), 1):
            text = f"SIZE = {number}\n"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        functions = [tool["function"] for tool in lab.journal[0].json["tools"]]
        result = lab.journal[-1].json["messages"][-1]["content"]
    return {function["name"]: function for function in functions}, str(result).rstrip()


def _section(function: dict[str, Any]) -> str:
    parameters = json.dumps(function["parameters"], indent=2)
    description = function["description"].strip()
    return f"## `{function['name']}`\n\n```text\n{description}\n```\n\n```json\n{parameters}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
