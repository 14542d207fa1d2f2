"""The results of several calls in one tool message: each under a line that names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.formats.sameness import plain_parts
from batchwrap.core.tools.find import path_in

_LINE = re.compile(r"^\[\d+(?:-\d+)?/\d+\] (\S+).*$", re.MULTILINE)
_MARK = "cache_control"

# Why an item has no result of its own.
NOT_RUN = "not run"
NOT_SEEN = "not run, as far as this conversation shows"
REST_NOT_SEEN = f"what was listed behind these, if anything, was {NOT_SEEN}"
CUT_OFF = "cut off: it was handed out, but is no longer in this conversation"
UNKNOWN = "cut off, or never handed out: it is not in this conversation"
# As many neighbours get a line each; more of them share one.
_MOST_LINES = 16


def item(place: int, count: int, call: chat.ToolCall, answers: list[chat.Message]) -> list[object]:
    """One call's line, and its result as texts and content parts.

    Args:
        place: its position among `count` calls, from 0.
        call: the agent's call.
        answers: the tool messages that answer it; the first counts, and what differs from it.
    """
    line = f"[{place + 1}/{count}] {label(call)}"
    return [line, *(contents(answers) if answers else ["no result"])]


def missing(places: Sequence[int], count: int, reason: str) -> list[list[object]]:
    """The lines of neighbouring calls, by position, that are not in the conversation."""
    if len(places) > _MOST_LINES:
        return [[f"[{places[0] + 1}-{places[-1] + 1}/{count}] {reason}"]]
    return [[f"[{place + 1}/{count}] {reason}"] for place in places]


def answer(
    call_id: str, parts: Sequence[Sequence[object]], given: Sequence[chat.Message]
) -> chat.Message:
    """One tool message with some parts, and with the cache mark that its sources have.

    Args:
        call_id: of the call that it answers.
        parts: texts and content parts.
        given: the agent's tool messages that they come from.
    """
    made: chat.Message = {"role": "tool", "tool_call_id": call_id, "content": join(parts)}
    for message in given:
        if _MARK in message:
            made[_MARK] = message[_MARK]
        content = message.get("content")
        marked = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
        if mark := next((part[_MARK] for part in marked[::-1] if _MARK in part), None):
            made["content"] = _marked(made["content"], mark)
    return made


def _marked(content: object, mark: object) -> list[object]:
    """The content as parts, the last of them with a cache mark."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return [*parts[:-1], {**parts[-1], _MARK: mark}]


def split(text: str) -> list[tuple[str, str]]:
    """(tool, result) of each call whose line stands in such a text, in order."""
    lines = list(_LINE.finditer(text))
    ends = [line.start() for line in lines[1:]] + [len(text)]
    between = zip(lines, ends, strict=False)  # without a line there is an end all the same
    return [(line[1], text[line.end() : end].strip("\n")) for line, end in between]


def contents(answers: Sequence[chat.Message]) -> list[object]:
    """Texts and content parts of a call's results: the first one, then what differs from it."""
    found: list[object] = []
    for message in answers:
        parts = plain_parts(message.get("content"))
        if found != parts:
            found += parts
    return found


def join(parts: Sequence[Sequence[object]]) -> object:
    """One text where all are texts; else a list of content parts, images among them.

    The texts are the same whether an agent tells them as text or as parts.
    """
    flat = (part for several in parts for part in several)
    made: list[object] = []
    for is_text, run in groupby(flat, lambda part: isinstance(part, str)):
        together = list(run)
        made += ["\n".join(map(str, together))] if is_text else together
    if len(made) == 1 and isinstance(made[0], str):
        return made[0]
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in made]


def label(call: chat.ToolCall) -> str:
    """Tool and path of a call, in one line."""
    name = chat.function_of(call).get("name")
    try:
        path = path_in(orjson.loads(chat.arguments_of(call)))
    except orjson.JSONDecodeError:
        path = None
    return f"{name} {path}" if path and "\n" not in path else str(name)
