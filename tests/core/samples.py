"""Requests and conversations with which many tests of the core begin."""

from __future__ import annotations

import json
from typing import Any

from tests.core.harness import answer, call
from tests.strategies import EDIT_FILE, GREP, MULTIS, READ_FILE

TOOLS = [READ_FILE, EDIT_FILE, GREP]
READ_REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Read the files."}],
    "tools": TOOLS,
}
EDIT_USER = {"role": "user", "content": "Mend a.py."}
EDIT_REQUEST: dict[str, Any] = {"model": "m", "messages": [EDIT_USER], "tools": TOOLS}


def edit(path: str, new: str) -> dict[str, Any]:
    """Arguments of an edit."""
    return {"path": path, "old_string": "x", "new_string": new}


def has_multi(message: dict[str, Any]) -> bool:
    """Whether any of the model's calls is a multi-call."""
    return any(made["function"]["name"] in MULTIS for made in message["tool_calls"])


def touches(one: tuple[str, Any], other: tuple[str, Any]) -> bool:
    """Whether two calls surely conflict, by the plainest reading."""
    if "edit_file" not in (one[0], other[0]):
        return False
    if "grep" in (one[0], other[0]):
        return True
    return bool(one[1]["path"].removeprefix("./") == other[1]["path"].removeprefix("./"))


def key(made: tuple[str, Any]) -> str:
    """A call as a text that can be compared and counted."""
    return json.dumps(made, sort_keys=True)


def singles(count: int) -> list[dict[str, Any]]:
    """A conversation of single reads, its task first."""
    task = {"role": "user", "content": " ".join(f"f{k}.py" for k in range(99))}
    made = [call(f"c{k}", "read_file", {"path": f"f{k}.py"}) for k in range(count)]
    return [task, *(m for one in made for m in answer({"tool_calls": [one]}))]
