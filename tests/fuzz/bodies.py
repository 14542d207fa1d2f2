"""Conversations of an agent, and what becomes of them when everybody is rude."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.adapters.events import DONE
from tests.core.harness import call, chunk, completion
from tests.strategies import EDIT_FILE, GREP, READ_FILE, READ_FILES, WRITE_FILE

TEXTS = ("", "Let me look.", 'a "quoted" {line}\n', "Zoë ✓ 🎉", "<think>x</think>y", "<tool_call>")
FILES = ("a.py", "src/b.py", "./a.py", "c d.py", "ü.py", "", "..")
LONG = "long " * 20_000


def deep(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# Built anew each time, so that no two places share one.
ODD: tuple[Callable[[], Any], ...] = (
    *(lambda value=value: value for value in (None, True, False, 0, -1, 1.5, 2**53 + 1)),
    *(lambda value=value: value for value in (2**64 + 1, -(2**70) - 1, 1e308, -0.0)),
    lambda: float("nan"),
    lambda: float("-inf"),
    *(lambda value=value: value for value in ("", " ", "\ud800", "é" * 50, "null", '{"path":')),
    lambda: LONG,
    list,
    dict,
    lambda: [[]],
    lambda: [None],
    lambda: {"": None},
    lambda: {"a": {"b": [1]}},
    lambda: deep(260),
    lambda: deep(500),
)
KEYS = ("id", "index", "role", "name", "arguments", "content", "tool_calls", "x", "type", "")


def mutated(value: Any, rng: Random, times: int) -> Any:
    """A copy of some JSON with so many changes at any place."""
    value = json.loads(json.dumps(value))
    for _ in range(times):
        places = _places(value)
        parent, key = rng.choice(places)
        if parent is None:
            continue
        _change(parent, key, rng)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in some JSON, as what it stands in and where."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list) and len(found) < 2_000:
            keys = list(one) if isinstance(one, dict) else range(len(one))
            found += [(one, key) for key in keys]
            waiting += [one[key] for key in keys]
    return found or [(None, None)]


def _change(parent: Any, key: Any, rng: Random) -> None:
    match rng.randrange(8):
        case 0:
            del parent[key]
        case 1:
            parent[key] = [parent[key]]
        case 2 if isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), json.loads(json.dumps(parent[key])))
        case 3 if isinstance(parent, list):
            rng.shuffle(parent)
        case 2 | 3:
            parent[rng.choice(KEYS)] = parent.pop(key)
        case 4 if isinstance(parent, dict):
            parent[rng.choice(KEYS)] = rng.choice(ODD)()
        case 5 if isinstance(parent[key], str):
            parent[key] = parent[key][: rng.randrange(len(parent[key]) + 1)]
        case _:
            parent[key] = rng.choice(ODD)()


def single(rng: Random) -> tuple[str, dict[str, Any]]:
    """A call of one of the agent's tools."""
    path, text = rng.choice(FILES), rng.choice(TEXTS)
    made: list[tuple[str, dict[str, Any]]] = [
        ("read_file", {"path": path}),
        ("read_file", {"path": path, "offset": rng.randrange(9)}),
        ("edit_file", {"path": path, "old_string": text, "new_string": rng.choice(TEXTS)}),
        ("write_file", {"path": path, "content": text}),
        ("grep", {"pattern": text}),
        ("run", {"command": text}),
    ]
    return rng.choice(made)


def calls(rng: Random) -> list[dict[str, Any]]:
    """What a model calls: multi-tools and single ones."""
    made = []
    for number in range(rng.randrange(4)):
        call_id = rng.choice(["call_0", f"call_{number}", f"call_{rng.randrange(10**20):020}"])
        name, arguments = single(rng)
        form = rng.choice(["single", "multi", "batch"])
        if form == "multi" and name in ("read_file", "edit_file", "write_file"):
            more = [given for other, given in (single(rng) for _ in range(4)) if other == name]
            name, arguments = f"multi_{name.partition('_')[0]}", {"files": [arguments, *more]}
        elif form == "batch":
            items = [single(rng) for _ in range(rng.randrange(1, 5))]
            items = [item for item in items if item[0] != "run"] or [("read_file", {"path": "a"})]
            listed = [{"tool": tool, "arguments": given} for tool, given in items]
            name, arguments = "batch", {"calls": listed}
        made.append(call(call_id, name, arguments))
    return made


def message(rng: Random) -> dict[str, Any]:
    """What a model says."""
    listed = calls(rng)
    said: dict[str, Any] = {"role": "assistant", "content": rng.choice([None, *TEXTS])}
    return {**said, "tool_calls": listed} if listed else said


def whole(said: dict[str, Any]) -> dict[str, Any]:
    """The same as a plain answer."""
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    finish = "tool_calls" if said.get("tool_calls") else "stop"
    return {**completion(said, finish), "created": 1, "model": "m", "usage": usage}


def streamed(said: dict[str, Any], rng: Random) -> list[dict[str, Any]]:
    """The same as chunks."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    text = said["content"] or ""
    step = rng.choice([1, 7, 1_000])
    chunks += [chunk({"content": text[at : at + step]}) for at in range(0, len(text), step)]
    for index, one in enumerate(said.get("tool_calls") or ()):
        given = one["function"]["arguments"]
        function = {"name": one["function"]["name"], "arguments": ""}
        chunks.append(chunk({"tool_calls": [{**one, "index": index, "function": function}]}))
        chunks += [
            chunk(
                {"tool_calls": [{"index": index, "function": {"arguments": given[at : at + step]}}]}
            )
            for at in range(0, len(given), step)
        ]
    finish = "tool_calls" if said.get("tool_calls") else "stop"
    return [*chunks, chunk({}, finish)]


def events(chunks: list[Any], rng: Random) -> list[bytes]:
    """Chunks as events, in pieces of any size."""
    data = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    data += DONE if rng.random() < 0.95 else b""
    step = rng.choice([5, 100, len(data) or 1]) if len(data) < 20_000 else len(data)
    return [data[at : at + step] for at in range(0, len(data), step)] or [b""]


def request(rng: Random, messages: list[Any]) -> dict[str, Any]:
    """A request of the agent."""
    tools = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP, *([READ_FILES] if rng.random() < 0.2 else [])]
    body: dict[str, Any] = {"model": rng.choice(["m", "qwen3-coder"]), "messages": messages}
    more = {"temperature": 0.5, "seed": 2**62, "parallel_tool_calls": False, "max_tokens": 100}
    body |= {name: value for name, value in more.items() if rng.random() < 0.15}
    return {**body, "tools": tools} if rng.random() < 0.95 else body


def results(said: dict[str, Any], rng: Random) -> list[dict[str, Any]]:
    """What the agent's history gets after it ran the calls of a message."""
    texts = ("text of {}", "Error: no {}", '{{"error": "{}"}}', "[Reminder: {}]")
    return [
        {"role": "tool", "tool_call_id": one["id"], "content": rng.choice(texts).format(place)}
        for place, one in enumerate(said.get("tool_calls") or ())
    ]
