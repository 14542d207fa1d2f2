"""litellm's calls of the Responses and Messages APIs, through the endpoint."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import litellm
import pytest

from batchwrap.lab import Call, FileReader, Habit, Lab
from batchwrap.serve import Server

# litellm warns of itself (pydantic's TypedDicts, its own deprecations).
pytestmark = pytest.mark.filterwarnings("default")

PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
EDIT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("path", "old_string", "new_string")},
    "required": ["path", "old_string", "new_string"],
}
SCHEMAS = {"read_file": PATH, "edit_file": EDIT}
TASK = {"role": "user", "content": "Mend a.py and b.py, and look at c.py."}
CHANGES = [
    {"path": path, "old_string": str(n), "new_string": str(n + 1)}
    for path, n in (("a.py", 0), ("a.py", 1), ("b.py", 0))
]
Ran = list[tuple[str, Any]]


def by_responses(lab_url: str) -> Ran:
    """A loop over `litellm.responses`; the calls that it ran."""
    tools = [
        {"type": "function", "name": name, "description": name, "parameters": schema}
        for name, schema in SCHEMAS.items()
    ]
    items: list[Any] = [TASK]
    ran: Ran = []
    while True:
        asked = {"model": "openai/gpt-5.5", "input": items, "tools": tools, "store": False}
        said = litellm.responses(**asked, api_base=f"{lab_url}/v1", api_key="k")
        calls = [item for item in said.output if item.type == "function_call"]
        if not calls:
            return ran
        ran += [(call.name, json.loads(call.arguments)) for call in calls]
        items += [item.model_dump() for item in said.output]
        items += [
            {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
            for call in calls
        ]


def by_messages(lab_url: str) -> Ran:
    """A loop over `litellm.anthropic.messages`; the calls that it ran."""
    tools = [
        {"name": name, "description": name, "input_schema": schema}
        for name, schema in SCHEMAS.items()
    ]
    messages: list[Any] = [TASK]
    ran: Ran = []
    while True:
        asked = {"model": "anthropic/claude", "max_tokens": 500, "messages": messages}
        asking = litellm.anthropic.messages.acreate(
            **asked, tools=tools, api_base=lab_url, api_key="k"
        )
        said: Any = asyncio.run(asking)
        calls = [block for block in said["content"] if block["type"] == "tool_use"]
        if not calls:
            return ran
        ran += [(call["name"], call["input"]) for call in calls]
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls
        ]
        messages += [
            {"role": "assistant", "content": said["content"]},
            {"role": "user", "content": results},
        ]


@pytest.mark.parametrize("play", [by_responses, by_messages])
def test_the_job(play: Callable[[str], Ran], in_front: Callable[..., Server]) -> None:
    """Three reads and three edits, two of one file, are three round trips in place of seven."""
    edits = [Call("edit_file", change) for change in CHANGES]
    model = FileReader(lambda files, request: edits, habit=Habit(unasked=True))
    ran: list[Ran] = []
    counted: list[int] = []
    for served in (False, True):
        with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
            ran.append(play(in_front(lab.base_url).url if served else lab.url))
            counted.append(lab.round_trips)
    assert counted == [7, 3]
    assert ran[0] == [("read_file", {"path": f"{name}.py"}) for name in "abc"] + [
        ("edit_file", change) for change in CHANGES
    ]
    assert sorted(map(repr, ran[1])) == sorted(map(repr, ran[0]))
