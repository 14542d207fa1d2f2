"""The results of several calls in one tool message: each under a line that names it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Parts
from batchwrap.core.tools.find import path_in

_LINE = re.compile(r"^\[\d+(?:-\d+)?/\d+\] (\S+).*$", re.MULTILINE)

# Why an item has no result of its own.
NOT_RUN = "not run"
NOT_SEEN = "not run, as far as this conversation shows"
REST_NOT_SEEN = f"what was listed behind these, if anything, was {NOT_SEEN}"
CUT_OFF = "cut off: it was handed out, but is no longer in this conversation"
UNKNOWN = "cut off, or never handed out: it is not in this conversation"
# As many neighbours get a line each; more of them share one.
_MOST_LINES = 16


def item(place: int, count: int, call: Call, answers: Sequence[Entry]) -> Parts:
    """One call's line, and its result as texts and content parts.

    Args:
        place: its position among `count` calls, from 0.
        call: the agent's call.
        answers: the results that answer it; the first counts, and what differs from it.
    """
    line = f"[{place + 1}/{count}] {label(call)}"
    return [line, *(contents(answers) if answers else ["no result"])]


def missing(places: Sequence[int], count: int, reason: str) -> list[Parts]:
    """The lines of neighbouring calls, by position, that are not in the conversation."""
    if len(places) > _MOST_LINES:
        return [[f"[{places[0] + 1}-{places[-1] + 1}/{count}] {reason}"]]
    return [[f"[{place + 1}/{count}] {reason}"] for place in places]


def split(text: str) -> list[tuple[str, str]]:
    """(tool, result) of each call whose line stands in such a text, in order."""
    lines = list(_LINE.finditer(text))
    ends = [line.start() for line in lines[1:]] + [len(text)]
    between = zip(lines, ends, strict=False)  # without a line there is an end all the same
    return [(line[1], text[line.end() : end].strip("\n")) for line, end in between]


def contents(answers: Sequence[Entry]) -> Parts:
    """Texts and content parts of a call's results: the first one, then what differs from it."""
    found: list[object] = []
    for one in answers:
        if found != one.parts:
            found += one.parts
    return found


def label(call: Call) -> str:
    """Tool and path of a call, in one line."""
    try:
        path = path_in(orjson.loads(call.arguments))
    except orjson.JSONDecodeError:
        path = None
    return f"{call.name} {path}" if path and "\n" not in path else call.name
