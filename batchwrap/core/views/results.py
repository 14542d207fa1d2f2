"""The results of several calls in one tool message: each under a line that names it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from batchwrap.core import chat
from batchwrap.core.views.find import path_in

_LINE = re.compile(r"^\[\d+/\d+\] (\S+).*$", re.MULTILINE)


def item(place: int, count: int, call: chat.ToolCall, answers: list[chat.Message]) -> list[object]:
    """One call's line, and its result as texts and content parts.

    Args:
        place: its position among `count` calls, from 0.
        call: the agent's call.
        answers: the tool messages that answer it; the first counts, and what differs from it.
    """
    line = f"[{place + 1}/{count}] {label(call)}"
    return [line, *(contents(answers) if answers else ["no result"])]


def not_run(place: int, count: int, why: str | None = None) -> list[object]:
    """The line of a call that never reached the agent, and why, where that is known."""
    return [f"[{place + 1}/{count}] not run" + (f": {why}" if why else "")]


def split(text: str) -> list[tuple[str, str]]:
    """(tool, result) of each call whose line stands in such a text, in order."""
    lines = list(_LINE.finditer(text))
    ends = [line.start() for line in lines[1:]] + [len(text)]
    between = zip(lines, ends, strict=False)  # without a line there is an end all the same
    return [(line[1], text[line.end() : end].strip("\n")) for line, end in between]


def contents(answers: Sequence[chat.Message]) -> list[object]:
    """Texts and content parts of a call's results: the first one, then what differs from it."""
    found: list[object] = []
    for answer in answers:
        content = answer.get("content")
        parts = content if isinstance(content, list) else [content or ""]
        if found != parts:
            found += parts
    return found


def join(parts: Sequence[Sequence[object]]) -> object:
    """One text where all are texts; else a list of content parts, images among them."""
    flat = [part for several in parts for part in several]
    texts = [part for part in flat if isinstance(part, str)]
    if len(texts) == len(flat):
        return "\n".join(texts)
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in flat]


def label(call: chat.ToolCall) -> str:
    """Tool and path of a call, in one line."""
    name = chat.function_of(call).get("name")
    try:
        path = path_in(orjson.loads(chat.arguments_of(call)))
    except orjson.JSONDecodeError:
        path = None
    return f"{name} {path}" if path and "\n" not in path else str(name)
