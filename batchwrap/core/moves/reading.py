"""Reads one multi-call of the model: which items run, which do not, and what is wrong with them.

While the call is being written, each complete item that has exactly the offered form and changes
nothing is handed out. All other items are read when the arguments are complete, with the search
over meanings (`tools/meaning`), which also accepts other forms. If its result does not begin with
the items that were handed out, nothing more runs.

Changes are made all together or not at all: if any item of a call that changes something is not
understood, none of them runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from batchwrap.core.moves import ids
from batchwrap.core.parse import is_object, rendered
from batchwrap.core.tools.items import ItemScanner
from batchwrap.core.tools.meaning import (
    NOTHING,
    Meant,
    Misread,
    ParameterForm,
    Part,
    Toolbox,
    cut_back,
    decoded,
    read,
)
from batchwrap.core.tools.multi import MultiTool, render

Understood = Literal["exactly", "tolerantly", "in_part", "not_at_all"]

_HARMLESS = ("read", "read_only", "bookkeeping")
_CUT_OFF = "the arguments break off here"
_NOT_JSON = "the arguments are not valid JSON"
_BESIDE = "another item was not understood, and changes are made all together or not at all"
_TOO_MANY = f"a call has at most {ids.MOST_ITEMS} items; send the rest in another one"
_BEHIND = "the fields after the list were ignored: put them into each item"
# The fields of an item of `batch` in the offered form.
_NAMED = {"tool", "arguments"}


class Reading:
    """Reads the arguments of one multi-call.

    Attributes:
        arguments: the arguments as the model will see them again, always an object if anything
            runs: closed if they broke off, and else those of the items that run.
        understood: how well they were understood, set by `finish`.

    Args:
        multi: the multi-tool that is called.
        toolbox: the agent's tools.
    """

    def __init__(self, multi: MultiTool, toolbox: Toolbox) -> None:
        self.arguments = ""
        self.understood: Understood = "exactly"
        self._multi = multi
        self._toolbox = toolbox
        self._scanner = ItemScanner(multi.key)
        self._items: list[str] = []
        self._out: list[Meant] = []
        self._holds = False

    @property
    def is_closed(self) -> bool:
        """Whether the list of items has ended and all items were handed out."""
        return self._scanner.closed and not self._holds

    @property
    def _is_full(self) -> bool:
        """Whether no more items can be handed out. The last place is kept for the error message."""
        return len(self._out) >= ids.MOST_ITEMS - 1

    def feed(self, text: str) -> list[Meant]:
        """Add a piece of the arguments; returns the calls that can be handed out now."""
        calls: list[Meant] = []
        for item in self._scanner.feed(text):
            self._items.append(item)
            meant = None if self._holds else self._exactly(item)
            if meant is None or not _is_harmless(meant) or self._is_full:
                self._holds = True
                continue
            self._out.append(meant)
            calls.append(meant)
        return calls

    def finish(self) -> list[Part]:
        """The remaining parts after those that were handed out.

        Returns:
            A call for each item that runs, and a `Misread` in the place of each that does not.
        """
        rest = self._rest()
        run = [part for part in (*self._out, *rest) if isinstance(part, Meant)]
        # What is no JSON would go back to the model as a call without arguments.
        if run and not is_object(self.arguments):
            named = [(meant.tool.name, meant.arguments) for meant in run]
            self.arguments = render(self._multi.kind, named)
        return rest

    def _rest(self) -> list[Part]:
        """The remaining parts, by the complete arguments."""
        self.arguments = text = self._scanner.text
        if self.is_closed and self._out and self._scanner.is_alone:
            return []
        parts, is_cut = self._parts(text)
        rest = self._behind(parts)
        broken = is_cut or any(isinstance(p, Misread) and p.unknown is None for p in rest)
        # An unknown tool does not break a call: its item names no change that others depend on.
        if broken and any(map(_may_change, rest)):
            rest = [p if isinstance(p, Misread) else Misread(_BESIDE) for p in rest]
        room = ids.MOST_ITEMS - len(self._out)
        rest = rest if len(rest) <= room else [*rest[: room - 1], Misread(_TOO_MANY)]
        self.understood = self._judge(rest, is_cut=is_cut)
        return rest

    def _parts(self, text: str) -> tuple[list[Part], bool]:
        """All parts that the arguments contain, and whether the arguments broke off."""
        tool = None if self._multi.is_mixed else self._multi.single
        value = decoded(text)
        if value is not NOTHING:
            # A bare list of items is understood, but providers accept only an object in a history.
            if isinstance(value, list):
                self.arguments = f'{{"{self._multi.key}":{text}}}'
            return self._with_bytes(read(value, self._toolbox, tool)), False
        rest = cut_back(text)
        if rest is None:
            return [Misread(_CUT_OFF if text.lstrip()[:1] in ("{", "[") else _NOT_JSON)], True
        self.arguments = rest.text
        parts = read(decoded(rest.text), self._toolbox, tool)
        return [*parts, *([Misread(_CUT_OFF)] if rest.lacks_item else [])], True

    def _with_bytes(self, parts: list[Part]) -> list[Part]:
        """The same calls, with the arguments as the model wrote them if the form was exact."""
        if not self._scanner.is_alone or len(parts) != len(self._items):
            return parts
        exact = map(self._exactly, self._items)
        return [part if own is None else own for own, part in zip(exact, parts, strict=True)]

    def _behind(self, parts: Sequence[Part]) -> list[Part]:
        """The parts after those that were handed out; a single `Misread` if these differ."""
        done = len(self._out)
        if not done:
            return list(parts)
        if len(parts) >= done and all(map(_is_same, self._out, parts)):
            return list(parts[done:])
        return [Misread(_BEHIND)]

    def _judge(self, rest: Sequence[Part], *, is_cut: bool) -> Understood:
        """How well the call was understood."""
        calls = sum(isinstance(part, Meant) for part in rest)
        if not calls and not self._out:
            return "not_at_all"
        if is_cut or calls < len(rest):
            return "in_part"
        exact = len(self._items) == len(self._out) + calls and self._scanner.is_alone
        return "exactly" if exact and all(map(self._exactly, self._items)) else "tolerantly"

    def _exactly(self, item: str) -> Meant | None:
        """The call for an item in exactly the offered form; None for any other item."""
        value = decoded(item)
        if not isinstance(value, dict):
            return None
        if not self._multi.is_mixed:
            form = self._toolbox.form(self._multi.single)
            return Meant(form.tool, item) if form.is_whole(value) else None
        named = self._toolbox.resolve(value["tool"]) if value.keys() == _NAMED else None
        given = value.get("arguments")
        if not isinstance(named, ParameterForm) or not isinstance(given, dict):
            return None
        is_exact = named.tool.name == value["tool"] and named.is_whole(given)
        return Meant(named.tool, rendered(given).decode()) if is_exact else None


def _is_harmless(meant: Meant) -> bool:
    return meant.tool.kind in _HARMLESS


def _may_change(part: Part) -> bool:
    """Whether a part is, or was meant to be, a call that changes something."""
    if isinstance(part, Meant):
        return not _is_harmless(part)
    return part.form is not None and part.form.tool.kind not in _HARMLESS


def _is_same(one: Meant, other: Part) -> bool:
    """Whether two parts are the same call, compared as JSON."""
    if not isinstance(other, Meant) or one.tool is not other.tool:
        return False
    return bool(decoded(one.arguments) == decoded(other.arguments))
