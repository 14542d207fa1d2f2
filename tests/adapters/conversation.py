"""One conversation that all adapters are put through: a multi-call, its results, the end."""

from __future__ import annotations

import json
from typing import Any

from batchwrap.lab import Call, Reply
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [READ_FILE, EDIT_FILE]
USER = {"role": "user", "content": "Read the files."}
MULTI_CALL = Reply(
    "Let me read.",
    calls=(Call("multi_read", {"files": [{"path": "a.py"}, {"path": "b.py", "offset": 3}]}),),
)
END = Reply("Both read.")
READS = [("read_file", {"path": "a.py"}), ("read_file", {"path": "b.py", "offset": 3})]


def calls_of(message: Any) -> list[tuple[str, Any]]:
    """(name, arguments) of each call of an SDK's message."""
    return [
        (call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
    ]


def answered(message: Any) -> list[Any]:
    """The history after the agent ran the calls of an SDK's message, as agents write it."""
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"text of {call.function.arguments}"}
        for call in message.tool_calls
    ]
    return [USER, message, *results]


def gather(chunks: list[Any]) -> dict[str, Any]:
    """The message that streamed chunk objects of an SDK make together."""
    text, calls, finish = "", dict[int, list[str]](), None
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or ():
                call = calls.setdefault(part.index, ["", "", ""])
                call[0] += part.id or ""
                call[1] += part.function.name or ""
                call[2] += part.function.arguments or ""
    return {
        "content": text,
        "finish_reason": finish,
        "calls": [(name, json.loads(arguments)) for _, name, arguments in calls.values()],
        "ids": [call_id for call_id, _, _ in calls.values()],
    }


def folded(messages: list[dict[str, Any]]) -> bool:
    """Whether the provider saw its own multi-call with one result, and nothing of ours."""
    _, assistant, *results = messages
    [call] = assistant["tool_calls"]
    return (
        call["function"]["name"] == "multi_read"
        and json.loads(call["function"]["arguments"])["files"] == [path for _, path in READS]
        and [result["tool_call_id"] for result in results] == [call["id"]]
        and results[0]["content"].startswith("[1/2] read_file a.py\ntext of ")
    )
