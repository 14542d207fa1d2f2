"""The tools of a request, as the repair of calls sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.repair.arguments import names_not_text
from batchwrap.core.tools.schema import required_in


class DeclaredTools:
    """What may be called, and with which arguments.

    Args:
        listed: lists of tools as requests have them; of several tools of one name the first
            counts.
        made_up: names that are understood although no list has them.
        harmless: names of tools that are known to change nothing.
    """

    def __init__(
        self,
        *listed: object,
        made_up: Iterable[str] = (),
        harmless: Iterable[str] = (),
    ) -> None:
        self._parameters: dict[str, Any] = {}
        for tools in listed:
            for function in chat.function_tools(tools):
                self._parameters.setdefault(function["name"], function.get("parameters"))
        self._harmless = frozenset(harmless)
        self._made_up = frozenset(made_up)
        for name in self._made_up:
            self._parameters.setdefault(name, None)
        self._not_text: dict[str, frozenset[str]] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __bool__(self) -> bool:
        return bool(self._parameters)

    def parameters(self, name: object) -> Any:
        """The JSON schema of a tool's arguments; None if nobody knows it."""
        return self._parameters.get(name) if isinstance(name, str) else None

    def takes_nothing(self, name: object) -> bool:
        """Whether a tool can be called without arguments."""
        return name in self and not required_in(self.parameters(name))

    def is_dangerous(self, name: object) -> bool:
        """Whether a tool may change something; all do that are not known not to."""
        return name not in self._harmless

    def is_ours(self, name: str) -> bool:
        """Whether it is a multi-tool, whose arguments are read in more shapes than one."""
        return name in self._made_up

    def not_text(self, name: str) -> frozenset[str]:
        """Names of a tool's parameters that are no texts."""
        if name not in self._not_text:
            self._not_text[name] = names_not_text(self.parameters(name))
        return self._not_text[name]

    def meant_by(self, name: str) -> str:
        """The tool that a name with remains of markup in it means; the name itself if unsure."""
        if not name or name in self._parameters:
            return name
        found = {bare for bare in _bare(name) if bare in self._parameters}
        return found.pop() if len(found) == 1 else name

    def may_grow(self, name: str) -> bool:
        """Whether a name that nobody declared is the beginning of one that is declared."""
        return name not in self._parameters and any(
            declared.startswith(name) for declared in self._parameters
        )


# Marks of templates and parsers around a name: special tokens with any kind of bar, Mistral's
# brackets, tags with their attributes, quotes. Braces and commas are none: there the name holds
# the arguments, too.
_MARKS = re.compile(
    r"<[|｜‖][^<>]{0,60}[|｜‖]>|\[CALL_ID\]\w*|\[/?[A-Z_]{2,20}\]|</?[\w:]*(?:=|\bname=)?|\(\)"
    r"|[\s\"'`<>|｜‖]+"
)
# What else stands there: harmony's channels, the kind of what follows, who speaks.
_FILLERS = frozenset({"commentary", "analysis", "final", "json", "code", "assistant", "function"})
_NAMESPACES = re.compile(r"(?:to=|call_|functions?|tools?|default_api)[.:_/=]*")
_LONGEST_NAME = 300  # characters; no API takes a longer one, residue included


@lru_cache(maxsize=1_024)
def _bare(name: str) -> tuple[str, ...]:
    """What a name may be once markup of models is taken off: channels, namespaces, counters."""
    pieces = [piece for piece in _MARKS.split(name[:_LONGEST_NAME]) if piece]
    if len(pieces) > 1:
        pieces = [piece for piece in pieces if piece not in _FILLERS]
    forms: list[str] = []
    form = pieces[0] if len(pieces) == 1 else ""
    while form:
        forms += (form, form.rstrip("0123456789").rstrip(":"))
        found = _NAMESPACES.match(form)
        form = form[found.end() :] if found else ""
    return tuple(forms)
