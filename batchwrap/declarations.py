"""The line that declares tools which batchwrap does not recognise: ``Batching(tools={…})``.

Reports and `stats` show it for tools whose single calls came in a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# Words in the names of tools: those that only look, those that act, and those whose calls follow
# each other for a reason or have nothing to batch.
_LOOKS, _ACTS, _NEVER = (
    frozenset(words.split())
    for words in (
        "check describe fetch find get list lookup query read search show view",
        """add bash book browser cancel create delete edit exec execute insert move patch post put
        remove run send set shell update write""",
        "agent answer ask completion finish plan subagent submit task think thinking todo todos",
    )
)
# The longest line that is shown names this many tools.
_MOST = 8


def suggested_kind(name: str) -> str | None:
    """The kind to declare a tool with, by its name alone; None for one to leave alone.

    A name that does not clearly say that the tool only looks gets ``"sequential"``, with which
    calls run one after the other.

    >>> suggested_kind("get_weather"), suggested_kind("bash"), suggested_kind("TodoWrite")
    ('read_only', 'sequential', None)
    """
    words = {found.lower() for found in _WORD.findall(name)}
    if not words.isdisjoint(_NEVER):
        return None
    return "read_only" if words & _LOOKS and not words & _ACTS else "sequential"


def declaration(names: Iterable[str]) -> str:
    """The option that declares these tools, as Python; empty if there is none to declare.

    >>> declaration(["get_weather", "bash", "think"])
    'Batching(tools={"get_weather": "read_only", "bash": "sequential"})'
    """
    kinds = ((name, suggested_kind(name)) for name in names)
    found = dict([(name, kind) for name, kind in kinds if kind is not None][:_MOST])
    listed = ", ".join(f"{_quoted(name)}: {_quoted(kind)}" for name, kind in found.items())
    return f"Batching(tools={{{listed}}})" if found else ""


def _quoted(name: str) -> str:
    """A Python literal of printable ASCII, since an agent may name its tools in any way."""
    return '"{}"'.format(name.encode("unicode_escape").decode().replace('"', r"\""))
