"""What a dialect of tool-call markup is, and what its readers share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands there twice")
    return made


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_unique)
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True, repr=False)
class Leak:
    """A call as the markup tells it.

    Attributes:
        name: the tool; empty where the markup names none.
        given: its arguments: JSON of an object, or values by name. Values that are texts
            are still to be read by the tool's schema.
        call_id: the id that the model gave it; empty for none.
    """

    name: str
    given: str | dict[str, Any]
    call_id: str = ""


# Reads the calls that begin at a place; returns them and where they end, or None.
Reader = Callable[[str, int], "tuple[list[Leak], int] | None"]


@dataclass(frozen=True, slots=True)
class MarkupDialect:
    """One way of writing calls into text.

    Attributes:
        markers: how a block may begin, to the character.
        head: matches the beginning of a block, however little of it has come.
        closers: one of these stands near the end of each block; empty: it may end anywhere.
        read: reads whole calls.
        whole: it is a call only where it is all that the answer says.
        holds_json: whether the arguments are JSON, and not texts between tags.
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


def growing(*literals: str) -> str:
    """A pattern for every beginning of these texts, the empty one and the whole included."""
    starts = {literal[:end] for literal in literals for end in range(len(literal) + 1)}
    return "(?:" + "|".join(re.escape(start) for start in sorted(starts, reverse=True)) + ")"


def json_at(text: str, at: int) -> tuple[str, Any, int] | None:
    """The JSON value that begins at a place: its text, itself, and where it ends."""
    start = past_space(text, at)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return text[start:end], value, end


def past_space(text: str, at: int) -> int:
    """The place after white space."""
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def named_call(value: Any) -> Leak | None:
    """The call that an object with a name and arguments means."""
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
    """The value without the one line break at each end that belongs to the markup."""
    return value.removeprefix("\n").removesuffix("\n")
