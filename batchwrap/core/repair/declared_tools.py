"""The tools of a request, for the repair of calls."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.repair.arguments import names_not_text
from batchwrap.core.tools.schema import required_in


class DeclaredTools:
    """The tools that may be called, and their arguments.

    Args:
        listed: lists of tools as requests hold them. Of several tools with one name, the first
            counts.
        made_up: names that are accepted although no list has them.
        harmless: names of tools that are known to be read-only.
    """

    def __init__(
        self,
        *listed: object,
        made_up: Collection[str] = (),
        harmless: Collection[str] = (),
    ) -> None:
        self._listed = listed
        self._harmless = harmless
        self._made_up = made_up
        self._not_text: dict[str, frozenset[str]] = {}

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        """The schemas by the tools' names, read when an answer first needs them: few do."""
        found: dict[str, Any] = {}
        for tools in self._listed:
            for function in chat.function_tools(tools):
                found.setdefault(function["name"], function.get("parameters"))
        for name in self._made_up:
            found.setdefault(name, None)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __bool__(self) -> bool:
        return bool(self._made_up or self._parameters)

    def parameters(self, name: object) -> Any:
        """The JSON schema of a tool's arguments; None if it is unknown."""
        return self._parameters.get(name) if isinstance(name, str) else None

    def takes_nothing(self, name: object) -> bool:
        """Whether a tool can be called without arguments."""
        return name in self and not required_in(self.parameters(name))

    def is_dangerous(self, name: object) -> bool:
        """Whether a tool may change something; unknown tools may."""
        return name not in self._harmless

    def is_ours(self, name: str) -> bool:
        """Whether it is a multi-tool, whose arguments are accepted in several shapes."""
        return name in self._made_up

    def not_text(self, name: str) -> frozenset[str]:
        """Names of a tool's parameters whose values are not strings."""
        if name not in self._not_text:
            self._not_text[name] = names_not_text(self.parameters(name))
        return self._not_text[name]

    def resolve_name(self, name: str) -> str:
        """The declared tool for a name with markup around it; the name itself if that is ambiguous.

        https://github.com/vllm-project/vllm/issues/32587
        """
        if not name or name in self._parameters:
            return name
        found = {bare for bare in _bare(name) if bare in self._parameters}
        return found.pop() if len(found) == 1 else name

    def may_grow(self, name: str) -> bool:
        """Whether an undeclared name is the beginning of a declared one."""
        return name not in self._parameters and any(
            declared.startswith(name) for declared in self._parameters
        )


# What templates and parsers leave around a name: special tokens with any kind of bar, Mistral's
# brackets, tags with their attributes, quotes. Braces and commas are not among them: a name with
# these holds the arguments, too.
_MARKS = re.compile(
    r"<[|｜‖][^<>]{0,60}[|｜‖]>|\[CALL_ID\]\w*|\[/?[A-Z_]{2,20}\]|</?[\w:]*(?:=|\bname=)?|\(\)"
    r"|[\s\"'`<>|｜‖]+"
)
# Words among them: harmony's channels, content types, roles.
_FILLERS = frozenset({"commentary", "analysis", "final", "json", "code", "assistant", "function"})
_NAMESPACES = re.compile(r"(?:to=|call_|functions?|tools?|default_api)[.:_/=]*")
_LONGEST_NAME = 300  # characters; no API takes a longer one, residue included


@lru_cache(maxsize=1_024)
def _bare(name: str) -> tuple[str, ...]:
    """The names that may be meant, without channels, namespaces and counters."""
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
