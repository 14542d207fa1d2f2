"""Reads calls that a provider generated and then refused: Groq's `failed_generation`.

https://github.com/huggingface/smolagents/issues/1119
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.leaks.dialect import Leak, json_at, named_call, skip_space
from batchwrap.core.repair.leaks.families import Family
from batchwrap.core.repair.leaks.leak_gates import Gates, Promoted
from batchwrap.core.repair.leaks.scanner import LeakScanner

_BEFORE = re.compile(r"^\s*(?:<tool[_-]\w+>)?\s*(?:[<(]function=)?\s*")
_AFTER = re.compile(r"</tool[_-]\w+>$")
_NAMED = re.compile(r"([\w.:|<>-]+?)\s*+(?:>|=|,|\[\]|\()?\s*+(?=\{)")


def refused_calls(
    error: Mapping[str, Any], tools: DeclaredTools, family: Family, gates: Gates
) -> list[Promoted]:
    """The calls in an error, if it holds nothing else and the gates are open; otherwise none.

    Args:
        error: the error object.
        tools: what may be called.
        family: of the model, whose own markup is read, too.
        gates: decide whether markup is a call.
    """
    text = error.get("failed_generation")
    if not isinstance(text, str) or not text.strip():
        return []
    leaks = [replace(leak, name=tools.resolve_name(leak.name)) for leak in _calls_in(text, family)]
    judged = gates.judge(leaks, [text], None) if leaks else []
    return [] if isinstance(judged, str) else judged


def _calls_in(generation: str, family: Family) -> list[Leak]:
    scanner = LeakScanner(family.dialects)
    scanner.feed(generation)
    found = scanner.finish()
    # A text before the markup may be an explanation of a call, not a call.
    if found is not None and not generation[: found.before].strip():
        return list(found.calls)
    text = _AFTER.sub("", _BEFORE.sub("", generation).rstrip()).rstrip()
    text = text.removesuffix("</function>").removesuffix("<function>").rstrip()
    text = text.removesuffix(")").strip()
    return next((calls for calls in _readings(text) if calls), [])


def _readings(text: str) -> Iterator[list[Leak]]:
    """Reads the text as the JSON of a call or of a list of calls, or as a name with arguments."""
    found = json_at(text, 0)
    if found is not None and skip_space(text, found[2]) == len(text):
        value = found[1].get("tool_calls", found[1]) if isinstance(found[1], dict) else found[1]
        listed = value if isinstance(value, list) else [value]
        calls = [call for call in map(named_call, listed) if call is not None]
        yield calls if len(calls) == len(listed) else []
    named = _NAMED.match(text)
    given = json_at(text, named.end()) if named else None
    if named is not None and given is not None and skip_space(text, given[2]) == len(text):
        yield [Leak(named[1], given[0])]
