"""Writes the results of several calls as one result.

Each follows a line that names its call, and a missing one is a line with the reason:

    [1/2] read_file a.py
    text of a.py
    [2/2] not run
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Parts
from batchwrap.core.tools.find import path_in

_ADDED = "[read ahead] "
_ADDED_LINE = re.compile(rf"^{re.escape(_ADDED)}(.+)$", re.MULTILINE)
_LINE = re.compile(r"^\[\d+(?:-\d+)?/\d+\] (\S+).*$", re.MULTILINE)

# The reasons why an item has no result, as the model reads them.
NOT_RUN = "not run"
NOT_SEEN = "not run, as far as this conversation shows"
REST_NOT_SEEN = f"any items after these were {NOT_SEEN}"
CUT_OFF = "cut off: it was handed out, but is no longer in this conversation"
UNKNOWN = "cut off, or never handed out: it is not in this conversation"
# Up to this number, consecutive missing items get a line each; more share one line. So a forged
# number of items in an id costs nothing.
_MOST_LINES = 16


def item(place: int, count: int, call: Call, answers: Sequence[Entry]) -> Parts:
    """The line of one call and its result, as texts and other parts.

    Args:
        place: the call's position, from 0.
        count: the number of calls.
        call: the agent's call.
        answers: its results: the first one counts, and later ones that differ are added.
    """
    line = f"[{place + 1}/{count}] {label(call)}"
    return [line, *(contents(answers) if answers else ["no result"])]


def missing(places: Sequence[int], count: int, reason: str) -> list[Parts]:
    """The lines of consecutive calls, by position, that are not in the conversation."""
    if len(places) > _MOST_LINES:
        return [[f"[{places[0] + 1}-{places[-1] + 1}/{count}] {reason}"]]
    return [[f"[{place + 1}/{count}] {reason}"] for place in places]


def split(text: str) -> list[tuple[str, str]]:
    """(tool, result) of each call in a text of this form, in order."""
    lines = list(_LINE.finditer(text))
    ends = [line.start() for line in lines[1:]] + [len(text)]
    between = zip(lines, ends, strict=False)  # `ends` has an element even if `lines` has none
    return [(line[1], text[line.end() : end].strip("\n")) for line, end in between]


def contents(answers: Sequence[Entry]) -> Parts:
    """The texts and other parts of a call's results: the first, and later ones that differ."""
    found: list[object] = []
    for one in answers:
        if found != one.parts:
            found += one.parts
    return found


def added(call: Call, found: Parts) -> Parts:
    """The line and the result of a read that read-ahead has added."""
    return [f"{_ADDED}{label(call)}", *found]


def added_in(entry: Entry) -> list[str]:
    """The labels of the added reads in a result."""
    return [name for text in entry.texts() if _ADDED in text for name in _ADDED_LINE.findall(text)]


def label(call: Call) -> str:
    """The tool and the path of a call, in one line."""
    try:
        path = path_in(orjson.loads(call.arguments))
    except orjson.JSONDecodeError:
        path = None
    return f"{call.name} {path}" if path and "\n" not in path else call.name
