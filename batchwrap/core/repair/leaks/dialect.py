"""Defines a dialect of tool-call markup, and what the readers of dialects share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key occurs twice")
    return made


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_unique)
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True, repr=False)
class Leak:
    """A call that was read from markup.

    Attributes:
        name: of the tool; empty if the markup has none.
        given: its arguments: the JSON of an object, or values by name. String values are
            converted later, by the tool's schema.
        call_id: the model's id for it, or empty.
    """

    name: str
    given: str | dict[str, Any]
    call_id: str = ""


# Reads the calls that begin at a position; returns them and where they end, or None.
Reader = Callable[[str, int], "tuple[list[Leak], int] | None"]


@dataclass(frozen=True, slots=True)
class MarkupDialect:
    """One way of writing calls into text.

    Attributes:
        markers: the exact texts that a block can begin with.
        head: matches the beginning of a block of any length.
        closers: one of these is near the end of each block; empty if a block can end anywhere.
        read: reads complete calls.
        whole: the markup is a call only if it is the whole answer.
        holds_json: whether the arguments are JSON, not texts between tags.
    """

    markers: tuple[str, ...]
    head: re.Pattern[str]
    closers: tuple[str, ...]
    read: Reader
    whole: bool = False
    holds_json: bool = True


# Special tokens have full-width bars (U+FF5C) and blocks (U+2581). Some hosts write ASCII, others
# a double bar, and newer checkpoints of DeepSeek two bars at each end.
BARS = ("｜", "｜｜", "|", "||", "‖")
BAR = "(?:[｜|]{1,2}|‖)"


def prefixes_of(*literals: str) -> str:
    """A pattern that matches every prefix of these texts, from the empty one to the whole text."""
    starts = {literal[:end] for literal in literals for end in range(len(literal) + 1)}
    return "(?:" + "|".join(re.escape(start) for start in sorted(starts, reverse=True)) + ")"


def json_at(text: str, at: int) -> tuple[str, Any, int] | None:
    """The JSON value that begins at a position: its text, the value, and where it ends."""
    start = skip_space(text, at)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return text[start:end], value, end


def skip_space(text: str, at: int) -> int:
    """The position after white space."""
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def named_call(value: Any) -> Leak | None:
    """The call that an object with a name and arguments represents."""
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    if isinstance(inner, dict):
        outer = {key: value[key] for key in value if key not in ("function", "type")}
        unsure = not outer.keys() <= {"id", "arguments", "parameters"} - (inner.keys() - {"id"})
        return None if unsure else named_call({**inner, **outer})
    if isinstance(inner, str) and "name" not in value:
        value = {"name": inner, **{key: value[key] for key in value if key != "function"}}
    if not set(value) <= {"name", "arguments", "parameters", "type", "id"}:
        return None
    name, given = value.get("name"), value.get("arguments", value.get("parameters"))
    if not isinstance(name, str) or {"arguments", "parameters"} <= set(value):
        return None
    if isinstance(given, dict):
        return Leak(name, json.dumps(given, ensure_ascii=False), str(value.get("id") or ""))
    return Leak(name, given, str(value.get("id") or "")) if isinstance(given, str) else None


def one_newline_less(value: str) -> str:
    """The value without one line break at each end: these belong to the markup."""
    return value.removeprefix("\n").removesuffix("\n")
