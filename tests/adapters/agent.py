"""An agent that works on files, and a model that makes one mixed batch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchwrap.lab import Call, Lab, Reply, Script
from batchwrap.tools import Workspace
from tests.adapters.conversation import gather

USER = {"role": "user", "content": "Mend a.py and b.py."}
ITEMS = [
    ("read_file", {"path": "a.py"}),
    ("edit_file", {"path": "a.py", "old_string": "1", "new_string": "2"}),
    ("edit_file", {"path": "a.py", "old_string": "2", "new_string": "3"}),
    ("write_file", {"path": "b.py", "content": "new"}),
]
CALLS = [{"tool": name, "arguments": arguments} for name, arguments in ITEMS]
BATCH = Reply(calls=(Call("batch", {"calls": CALLS}),))
END = Reply("Mended.")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A folder with one file."""
    (tmp_path / "a.py").write_text("x = 1\n")
    return Workspace(tmp_path)


@pytest.fixture
def provider() -> Iterator[Lab]:
    """A provider whose model makes one mixed batch and ends."""
    with Lab(Script(BATCH, END), tokens_per_s=math.inf, ttft_s=0) as running:
        yield running


def message_of(answer: Any, stream: bool) -> dict[str, Any]:
    """The assistant message of a plain or streamed answer."""
    if not stream:
        message: dict[str, Any] = answer.choices[0].message.model_dump(exclude_none=True)
        return message
    gathered = gather(list(answer))
    calls = [
        {"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}}
        for i, (n, a) in zip(gathered["ids"], gathered["calls"], strict=True)
    ]
    made = {"role": "assistant", "content": gathered["content"]}
    return {**made, "tool_calls": calls} if calls else made


def work(complete: Any, workspace: Workspace, *, stream: bool) -> list[dict[str, Any]]:
    """An agent's loop; returns its history."""
    messages: list[dict[str, Any]] = [USER]
    while True:
        answer = complete(model="m", messages=messages, tools=workspace.schemas(), stream=stream)
        message = message_of(answer, stream)
        messages.append(message)
        if not message.get("tool_calls"):
            return messages
        for call in message["tool_calls"]:
            text = workspace.call(call["function"]["name"], call["function"]["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})


def checked(history: list[dict[str, Any]], provider: Lab, workspace: Workspace) -> None:
    """The files are right, and the provider was asked twice and saw its own batch."""
    assert workspace.read_file("a.py") == "x = 3\n"
    assert workspace.read_file("b.py") == "new"
    waves = [len(m.get("tool_calls", ())) for m in history if m["role"] == "assistant"]
    assert waves == [2, 1, 1, 0], "read and write; first edit; second edit; the end"
    assert provider.round_trips == 2
    _, assistant, result = provider.journal[-1].json["messages"]
    assert [call["function"]["name"] for call in assistant["tool_calls"]] == ["batch"]
    assert result["content"].split("\n")[-1] == "Created b.py (1 line)"
    assert "Error" not in result["content"]
