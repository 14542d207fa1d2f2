"""Reading one multi-call of the model: what runs of it, what does not, and what is wrong.

While it is being written, items of the form that was asked for are handed out as each closes,
as long as they change nothing. All else is read when the arguments are complete, by the search
over meanings. What was handed out before is the beginning of what is meant in the end; where it
is not, nothing more runs. An edit is never run in part: if anything of a call that changes
something is not understood, nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from batchwrap.core.moves import ids
from batchwrap.core.parse import rendered
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
from batchwrap.core.tools.multi import MultiTool

Understood = Literal["exactly", "tolerantly", "in_part", "not_at_all"]

_HARMLESS = ("read", "read_only", "bookkeeping")
_CUT_OFF = "the arguments break off here"
_NOT_JSON = "the arguments are no JSON"
_BESIDE = "another item was not understood, and changes are made all together or not at all"
_TOO_MANY = f"a call has at most {ids.MOST_ITEMS} items; send the rest in another one"
_BEHIND = "what stands behind the list was not heeded: put it into each item"
# The two fields of an item of a batch, as it was asked for.
_NAMED = {"tool", "arguments"}


class Reading:
    """Reads the arguments of one multi-call.

    Attributes:
        arguments: what the model is shown of them; what broke off is closed.
        understood: how well, once all is read.

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
        """Whether the list of items has ended, and all of it was handed out."""
        return self._scanner.closed and not self._holds

    @property
    def _is_full(self) -> bool:
        """Whether no more can be handed out; the last item is kept to say so."""
        return len(self._out) >= ids.MOST_ITEMS - 1

    def feed(self, text: str) -> list[Meant]:
        """The calls that can be handed out now."""
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
        """What follows what was handed out: calls, and in their places what does not run."""
        self.arguments = text = self._scanner.text
        if self.is_closed and self._out and self._scanner.is_alone:
            return []
        parts, is_cut = self._parts(text)
        rest = self._behind(parts)
        broken = is_cut or any(isinstance(p, Misread) and p.unknown is None for p in rest)
        if broken and any(map(_may_change, rest)):
            rest = [p if isinstance(p, Misread) else Misread(_BESIDE) for p in rest]
        room = ids.MOST_ITEMS - len(self._out)
        rest = rest if len(rest) <= room else [*rest[: room - 1], Misread(_TOO_MANY)]
        self.understood = self._judge(rest, is_cut=is_cut)
        return rest

    def _parts(self, text: str) -> tuple[list[Part], bool]:
        """All that the arguments mean, and whether they broke off."""
        tool = None if self._multi.is_mixed else self._multi.single
        value = decoded(text)
        if value is not NOTHING:
            if isinstance(value, list):  # every provider wants an object
                self.arguments = f'{{"{self._multi.key}":{text}}}'
            return self._with_bytes(read(value, self._toolbox, tool)), False
        rest = cut_back(text)
        if rest is None:
            return [Misread(_CUT_OFF if text.lstrip()[:1] in ("{", "[") else _NOT_JSON)], True
        self.arguments = rest.text
        parts = read(decoded(rest.text), self._toolbox, tool)
        return [*parts, *([Misread(_CUT_OFF)] if rest.lacks_item else [])], True

    def _with_bytes(self, parts: list[Part]) -> list[Part]:
        """The same calls with their arguments as the model wrote them, where it wrote them so."""
        if not self._scanner.is_alone or len(parts) != len(self._items):
            return parts
        exact = map(self._exactly, self._items)
        return [part if own is None else own for own, part in zip(exact, parts, strict=True)]

    def _behind(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that were not handed out yet."""
        done = len(self._out)
        if not done:
            return list(parts)
        if len(parts) >= done and all(map(_is_same, self._out, parts)):
            return list(parts[done:])
        return [Misread(_BEHIND)]

    def _judge(self, rest: Sequence[Part], *, is_cut: bool) -> Understood:
        calls = sum(isinstance(part, Meant) for part in rest)
        if not calls and not self._out:
            return "not_at_all"
        if is_cut or calls < len(rest):
            return "in_part"
        exact = len(self._items) == len(self._out) + calls and self._scanner.is_alone
        return "exactly" if exact and all(map(self._exactly, self._items)) else "tolerantly"

    def _exactly(self, item: str) -> Meant | None:
        """The call that an item is, in the form that was asked for."""
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
    if isinstance(part, Meant):
        return not _is_harmless(part)
    return part.form is not None and part.form.tool.kind not in _HARMLESS


def _is_same(one: Meant, other: Part) -> bool:
    if not isinstance(other, Meant) or one.tool is not other.tool:
        return False
    return bool(decoded(one.arguments) == decoded(other.arguments))
