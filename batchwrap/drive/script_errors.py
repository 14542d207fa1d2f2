"""What a model is told when its program fails: what happened, where, and what to write instead."""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches

_MOST_CHARS = 2_000  # of a message; a failed tool may have said anything
_MOST_LINE_CHARS = 160
# What the interpreter, and the prelude, call what a model knows by another name.
_NAMES = (
    ("The monty syntax parser does not yet support", "the interpreter lacks"),
    ("'_Asyncio' object", "module 'asyncio'"),
)
_UNDEFINED = re.compile(r"NameError: name '(\w+)' is not defined")
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '")
_NO_ATTRIBUTE = re.compile(r"AttributeError: (?:type object )?'(\w+)'.* has no attribute '(\w+)'")

_MODULES = (
    "asyncio, base64, binascii, bisect, collections, copy, csv, dataclasses, datetime, decimal, "
    "functools, hashlib, itertools, json, math, random, re, time, tomllib, typing, unicodedata"
)

# What the interpreter lacks, as of pydantic-monty 1.4, and what to write in its place.
_HINTS: tuple[tuple[str, str], ...] = (
    ("class inheritance", "raise and catch ToolError, ValueError and the like"),
    ("yield expressions", "build a list and return it"),
    ("the 'del' statement", "use pop(), or leave it out"),
    ("async context managers", "use asyncio.gather"),
    ("async comprehensions", "use asyncio.gather"),
    ("async for loops", "use asyncio.gather"),
    ("exception groups", "use a plain except"),
    ("method decorators", "use plain methods, or functions"),
    ("type aliases", "leave it out"),
    ("gather() does not yet support keyword", "catch ToolError in an async function of your own"),
    ("_Asyncio' object has no attribute", "use asyncio.gather: await asyncio.gather(f(), g())"),
    ("module 'asyncio' has no attribute", "use asyncio.gather: await asyncio.gather(f(), g())"),
    ("cannot suspend in this synchronous context", "use a comprehension: [f(x) for x in xs]"),
    ("object can't be awaited", "it is a value already, take the await away"),
    ("an awaitable is required", "gather takes calls, not their results"),
    ("exceptions can only be called", "give the exception one text"),
    ("is not supported in this environment", "a script reaches nothing but its functions"),
    ("PermissionError: Permission denied", "a script reaches files only through its functions"),
    ("unexpected EOF", "the program ends in the middle"),
    ("missing closing quote", "a text in several lines needs three quotes"),
    ("'coroutine'", "await is missing before a call"),
    ("coroutine found", "await is missing before a call"),
)


def told(error: str, at: Sequence[int], code: str, hint: str | None = None) -> str:
    """An error of a program, for the model: what, where, and what to do about it.

    Args:
        error: its type and its message.
        at: the lines that it passed through, the innermost one last.
        code: the program.
        hint: what to write instead.
    """
    for theirs, known in _NAMES:
        error = error.replace(theirs, known)
    text = cut(error)
    place = _place(at, code)
    return f"{text}{f' ({place})' if place else ''}{f'; {hint}' if hint else ''}"


def cut(text: str) -> str:
    """The beginning of a text that may be long."""
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"


def hint(error: str, functions: Collection[str]) -> str | None:
    """What to write instead of what has led to an error of the interpreter.

    Args:
        error: its type and its message.
        functions: what the program may call.
    """
    if undefined := _UNDEFINED.match(error):
        return _instead_of(undefined[1], functions)
    if _NO_MODULE.match(error):
        return f"there are {_MODULES}"
    if (lacking := _NO_ATTRIBUTE.match(error)) and _has(lacking[1], lacking[2]):
        return f"a method is no value here, it must be called: lambda x: x.{lacking[2]}()"
    return next((found for sign, found in _HINTS if sign in error), None)


def not_run(coroutines: Sequence[str]) -> str | None:
    """What is wrong with a program that does nothing but call coroutines of its own."""
    if not coroutines:
        return None
    return f"nothing ran, since {coroutines[0]}() is not awaited: write await {coroutines[0]}()"


def _place(at: Sequence[int], code: str) -> str:
    """Where it was, as `line 3: x = len(5)`."""
    lines = code.split("\n")
    known = [line for line in at if 0 < line <= len(lines)]
    if not known:
        return ""
    text = lines[known[-1] - 1].strip()
    shown = text if len(text) <= _MOST_LINE_CHARS else f"{text[:_MOST_LINE_CHARS]}…"
    called = f", called in line {known[0]}" if known[0] != known[-1] else ""
    return f"line {known[-1]}: {shown}{called}" if shown else f"line {known[-1]}{called}"


def _instead_of(name: str, functions: Collection[str]) -> str | None:
    if re.search(rf"\b{name}\b", _MODULES):
        return f"import {name} first"
    if near := get_close_matches(name, functions, n=1):
        return f"did you mean {near[0]}?"
    if hasattr(builtins, name):
        return "the interpreter has no such function"
    return f"there are {', '.join(sorted(functions))}" if functions else None


def _has(kind: str, attribute: str) -> bool:
    """Whether Python's own type has what the interpreter's lacks."""
    return hasattr(getattr(builtins, kind, None), attribute)
