"""One job for agents of Responses and Messages: a batch of reads, and two edits of one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from batchwrap.lab import Call, Reply
from tests.adapters.batching_models import edit, files
from tests.strategies import EDIT_FILE, READ_FILE

TASK: dict[str, Any] = {"role": "user", "content": "Mend a.py and b.py."}
READS = [{"path": "a.py"}, {"path": "b.py"}]
EDITS = [edit("a.py", "1"), edit("a.py", "2")]
# What the model says; the second edit waits for the first, and comes without a round trip.
WORK = Reply(
    "Working.", calls=(Call("multi_read", files(*READS)), Call("multi_edit", files(*EDITS)))
)
MEANT = [("read_file", one) for one in READS] + [("edit_file", one) for one in EDITS]
_FUNCTIONS = [tool["function"] for tool in (READ_FILE, EDIT_FILE)]
RESPONSES_TOOLS = [{"type": "function", **one} for one in _FUNCTIONS]
MESSAGES_TOOLS = [{"name": one["name"], "input_schema": one["parameters"]} for one in _FUNCTIONS]


class Done(NamedTuple):
    """What an agent did: (name, arguments) of what it ran, how often it asked, the last answer."""

    ran: list[tuple[str, Any]]
    answers: int
    last: Any


def responses_job(ask: Callable[..., Any]) -> Done:
    """An agent's loop around the Responses API, with an SDK's objects as they are.

    Args:
        ask: gets the input and the tools; returns the response, streamed or not.
    """
    given: list[Any] = [TASK]
    ran: list[tuple[str, Any]] = []
    for answers in range(1, 100):
        answer = ask(input=given, tools=RESPONSES_TOOLS, store=False)
        made = [item for item in answer.output if item.type == "function_call"]
        if not made:
            return Done(ran, answers, answer)
        ran += [(one.name, json.loads(one.arguments)) for one in made]
        results = [
            {"type": "function_call_output", "call_id": one.call_id, "output": "done"}
            for one in made
        ]
        given = [*given, *answer.output, *results]
    raise AssertionError("it never ends")


def messages_job(ask: Callable[..., Any]) -> Done:
    """The same around the Messages API.

    Args:
        ask: gets the messages and the tools; returns the message, streamed or not.
    """
    messages: list[Any] = [TASK]
    ran: list[tuple[str, Any]] = []
    for answers in range(1, 100):
        answer = ask(messages=messages, tools=MESSAGES_TOOLS)
        made = [block for block in answer.content if block.type == "tool_use"]
        assert (answer.stop_reason == "tool_use") == bool(made)
        if not made:
            return Done(ran, answers, answer)
        ran += [(one.name, one.input) for one in made]
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": "done"} for one in made
        ]
        messages = [
            *messages,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": results},
        ]
    raise AssertionError("it never ends")


def folded_items(request: dict[str, Any]) -> list[str]:
    """The names of the calls in a request's input."""
    items = request["input"]
    return [item["name"] for item in items if item.get("type") == "function_call"]


def blocks_in(stream: str) -> list[dict[str, Any]]:
    """The blocks of a streamed message, whatever stands beside its data."""
    blocks: list[dict[str, Any]] = []
    for event in stream.split("\n\n"):
        if "data: {" not in event:
            continue
        told = json.loads(event.split("data: ", 1)[1])
        match told["type"]:
            case "content_block_start":
                blocks.append({**told["content_block"], "said": ""})
            case "content_block_delta":
                delta = told["delta"]
                blocks[told["index"]]["said"] += delta.get("partial_json", delta.get("text"))
    for block in blocks:
        said = block.pop("said")
        block |= {"text": said} if block["type"] == "text" else {"input": json.loads(said)}
    return blocks
