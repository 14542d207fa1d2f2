"""Conversations, and the reads that are added in them."""

import json
from typing import Any

from batchwrap.core.formats.chat.calls import read_call
from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead import next_reads
from batchwrap.core.tools.find import SingleTool, find
from batchwrap.core.tools.multi import AHEAD
from batchwrap.options import Batching, ReadAhead
from tests.core.harness import call, entries, specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE

TOOLS = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP]
SINGLES = {single.name: single for single in find(specs(*TOOLS), Batching())}


def user(text: Any) -> list[dict[str, Any]]:
    """A user message."""
    return [{"role": "user", "content": text}]


def turn(
    name: str, arguments: Any, result: Any = "ok", *, ahead: tuple[Any, ...] = (), text: str = ""
) -> list[dict[str, Any]]:
    """A turn of the model with one call, reads that were added to it, and their results."""
    origin = f"call_{name}_{len(str(arguments))}"
    calls = [call(origin, name, arguments)]
    for place, more in enumerate(ahead):
        derived = ids.DerivedId("abcd", place, 0, AHEAD, origin)
        calls.append(call(ids.encode(derived), name, more))
    answers = [{"role": "tool", "tool_call_id": made["id"], "content": result} for made in calls]
    return [{"role": "assistant", "content": text, "tool_calls": calls}, *answers]


def read(path: str, result: Any = "ok", **more: Any) -> list[dict[str, Any]]:
    """A turn in which the model reads a file."""
    ahead = more.pop("ahead", ())
    return turn("read_file", {"path": path, **more}, result, ahead=ahead)


def added(
    messages: list[dict[str, Any]],
    arguments: Any,
    *,
    singles: dict[str, SingleTool] = SINGLES,
    name: str = "read_file",
    room: int | None = None,
    **options: Any,
) -> list[Any]:
    """The arguments of the reads that are added to a read."""
    given = {"path": arguments} if isinstance(arguments, str) else arguments
    options.setdefault("max_reads", 20)
    made = read_call(call("c", name, given))
    reads = next_reads(entries(messages), made, singles, ReadAhead(**options), room=room)
    assert all(tool is singles[name] for tool, _ in reads)
    return [json.loads(text) for _, text in reads]


def paths(messages: list[dict[str, Any]], arguments: Any, **options: Any) -> list[str]:
    """The paths of the reads that are added to a read."""
    return [one["path"] for one in added(messages, arguments, **options)]


def lines(count: int) -> str:
    """A file, or a part of one."""
    return "\n".join(f"line {number}" for number in range(count))
