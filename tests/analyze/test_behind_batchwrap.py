"""Sessions that were recorded behind batchwrap count what reached the provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import batchwrap
from batchwrap.analyze import Report, analyze
from batchwrap.analyze.log_messages import assistant, call

TEXT = {"type": "string"}
EDIT = {
    "type": "object",
    "properties": {"path": TEXT, "old_string": TEXT, "new_string": TEXT},
    "required": ["path", "old_string", "new_string"],
}
TOOLS = [{"type": "function", "function": {"name": "edit_file", "parameters": EDIT}}]


def edit(path: str, old: str, new: str) -> dict[str, str]:
    """The arguments of an edit."""
    return {"path": path, "old_string": old, "new_string": new}


def worked(*answers: dict[str, Any]) -> tuple[list[Any], int]:
    """What an agent has in its history after a model gave these answers, and its requests."""
    turns = iter(answers)

    @batchwrap.batched
    def complete(**request: Any) -> Any:
        usage = {"prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_010}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": next(turns)}
        return {"choices": [choice], "usage": usage}

    messages: list[Any] = [{"role": "user", "content": "Count on."}]
    requests = 0
    while len(messages) == 1 or messages[-1]["role"] == "tool":
        message = complete(model="m", messages=messages, tools=TOOLS)["choices"][0]["message"]
        messages.append(message)
        requests += 1
        ids = [made["id"] for made in message.get("tool_calls") or ()]
        messages += [{"role": "tool", "tool_call_id": it, "content": "Edited."} for it in ids]
    return messages, requests


def counted(messages: list[Any], folder: Path) -> Report:
    """What the history is counted as."""
    (folder / "log.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    return analyze([str(folder / "log.jsonl")])


def test_waves(tmp_path: Path) -> None:
    """Calls that were handed out without a round trip belong to the answer that they came from."""
    edits = [edit("a.py", str(n), str(n + 1)) for n in range(3)]
    multi = assistant("", [call("call_1", "multi_edit", {"files": edits})])
    messages, requests = worked(multi, assistant("Done.", []))
    assert requests == 4  # the three edits of one file come one by one
    report = counted(messages, tmp_path)
    assert report.totals.requests == 2
    assert report.as_dict()["tools"]["edit_file"]["calls"] == 3
    assert report.totals.saving("by itself", "upper").round_trips == 0


def test_the_model_that_repeats_itself(tmp_path: Path) -> None:
    """Two answers of the model are two round trips, even if they make the same calls."""
    singles = [
        assistant("", [call("call_1", "edit_file", edit("a.py", "1", "2"))]) for _ in range(2)
    ]
    messages, requests = worked(*singles, assistant("Done.", []))
    assert requests == counted(messages, tmp_path).totals.requests == 3
