"""Reads which lines of a file a call asks for, and writes the arguments for the next part.

Agents name a part by its first line and a number of lines, by its first and last line, or by a list
of the two; some count from 0. The next part follows from the previous one, so none of this has to
be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batchwrap.core.tools.find import role_of, words_of

# A part may overlap the previous one by this many lines, for context.
_OVERLAP = 10
_END = re.compile(r"\bend of (?:the )?file\b", re.IGNORECASE)
_TOTAL = re.compile(r"\b(?:of|total:?) (\d{1,9}) lines\b|\b(\d{1,9}) (?:total lines|lines total)\b")
# A tool's notice about the end stands in this many characters before the lines or after them.
_NOTICE = 300


@dataclass(frozen=True, slots=True)
class Window:
    """The lines of one read.

    Attributes:
        start: the first line, as the tool counts.
        end: the line after the last one; None if the tool's own limit decides.
    """

    start: int
    end: int | None

    @property
    def length(self) -> int | None:
        """The number of lines, at least 1; None if it is unknown."""
        return max(1, self.end - self.start) if self.end is not None else None

    def follows(self, other: Window) -> bool:
        """Whether this read continues where the other one ended."""
        if other.end is None or self.start <= max(0, other.start):
            return False
        # One line may be missing: a read without a start does not show whether lines count from 0.
        return -1 <= other.end - self.start <= _OVERLAP


def window_of(given: dict[str, Any]) -> Window:
    """The lines that a read with these arguments asks for."""
    start: int | None = None
    end = count = None
    for name, role in _roles(given):
        value = given[name]
        if role == "pair":
            start, last = (_number(part) for part in value)
            end = last + 1 if last is not None and last >= 0 else None
        elif role == "start":
            start = _number(value)
        elif role == "end":
            last = _number(value)
            end = last + 1 if last is not None and last >= 0 else None
        else:
            count = _number(value)
    start = start if start is not None else 0 if end is None else 1
    return Window(start, start + count if end is None and count else end)


def is_part(given: dict[str, Any]) -> bool:
    """Whether the arguments of a read name a part of the file."""
    return any(True for _ in _roles(given))


def move(given: dict[str, Any], start: int, lines: int) -> dict[str, Any]:
    """The arguments that name the part from `start` on, in the form of an earlier call.

    Args:
        given: the arguments of the earlier call.
        start: the first line.
        lines: the number of lines.

    Returns:
        Only the arguments that name the part. If the earlier call left the number of lines to the
        tool, so do these.
    """
    value = {"start": start, "end": start + lines - 1, "count": lines}
    moved: dict[str, Any] = {}
    for name, role in _roles(given):
        if role == "pair":
            moved[name] = [
                _like(old, new) for old, new in zip(given[name], (start, value["end"]), strict=True)
            ]
        else:
            moved[name] = _like(given[name], value[role])
    return moved


def ended(text: str, window: Window, asked: int | None) -> bool:
    """Whether the result of a part looks like the end of the file.

    Args:
        text: the result.
        window: the next part, which the model asks for now.
        asked: how many lines the result should have; None if that is unknown.
    """
    notice = text if len(text) < 2 * _NOTICE else f"{text[:_NOTICE]}\n{text[-_NOTICE:]}"
    totals = [int(one or other) for one, other in _TOTAL.findall(notice)]
    known = any(total < (window.end or window.start) for total in totals)
    return (
        known or _END.search(notice) is not None or (asked is not None and lines_in(text) < asked)
    )


def lines_in(text: str) -> int:
    """The number of lines of a result."""
    return text.count("\n") + (not text.endswith("\n"))


def _roles(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, role) of each argument that names the part. Roles: pair, start, end, count."""
    for name, value in given.items():
        if role_of(name) != "range":
            continue
        words = set(words_of(name))
        if isinstance(value, list):
            if len(value) == 2 and None not in map(_number, value):
                yield name, "pair"
        elif _number(value) is None:
            continue
        elif not words.isdisjoint({"offset", "start"}):
            yield name, "start"
        elif "end" in words:
            yield name, "end"
        elif not words.isdisjoint({"limit", "lines", "count"}):
            yield name, "count"


def _number(value: object) -> int | None:
    """An integer, which the model may also have written as a text; None for anything else."""
    if isinstance(value, str) and len(value) < 10 and value.removeprefix("-").isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < 1e9 and value == int(value) else None


def _like(old: object, new: int) -> object:
    return str(new) if isinstance(old, str) else new
