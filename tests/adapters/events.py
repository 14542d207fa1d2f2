"""Event streams as bytes, as providers send them."""

from __future__ import annotations

from typing import Any

import orjson

from batchwrap.lab import Raw
from tests.core.harness import chunk

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
# Characters of one to four bytes, so that a cut at any byte also cuts characters.
TEXT = "Zoë ✓ 🎉"
PATHS = ["ä.py", "🎉/b.py"]


def event(data: dict[str, Any]) -> bytes:
    """One event with this payload."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def call_event(arguments: str, name: str | None = None, index: int = 0) -> bytes:
    """One event with a fragment of a tool call; with a name it opens the call."""
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name is not None:
        call |= {"id": f"call_{index}", "type": "function"}
        call["function"]["name"] = name
    return event(chunk({"tool_calls": [call]}))


def multi_read() -> bytes:
    """A stream with a text and a multi-call for `PATHS`."""
    arguments = orjson.dumps({"files": [{"path": path} for path in PATHS]}).decode()
    return b"".join(
        [
            event(chunk({"role": "assistant", "content": ""})),
            event(chunk({"content": TEXT})),
            call_event("", name="multi_read"),
            *(call_event(character) for character in arguments),
            event({**chunk({}, "tool_calls"), "usage": USAGE}),
            DONE,
        ]
    )


def raw(body: bytes, *, size: int | None = None, **headers: str) -> Raw:
    """A stream of exactly these bytes, in pieces of `size` bytes."""
    step = size or len(body)
    pieces = tuple(body[at : at + step] for at in range(0, len(body), step))
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw(200, {**EVENTS, **names}, pieces)
