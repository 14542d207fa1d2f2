"""What one turn of the model was: a batch, a single call, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.mentions import Mentions
from batchwrap.core.tools.find import SingleTool, path_in
from batchwrap.core.tools.multi import MultiTool
from batchwrap.directives import DirectiveKind

# Texts longer than that stand as "…" in a call that is spelled out.
_LONG = 40


@dataclass(frozen=True, slots=True, repr=False)
class Single:
    """A turn that was one call of one tool.

    Attributes:
        multi: the multi-tool for it.
        path: what it touched.
        arguments: what it was called with.
        at: entries before its turn, in the provider view.
    """

    multi: MultiTool
    path: str
    arguments: dict[str, Any]
    at: int


@dataclass(frozen=True, slots=True)
class Made:
    """The calls of one turn. Repeats count once.

    Attributes:
        calls: (tool, arguments as JSON text).
        is_batch: whether several calls were made at once.
        kinds: what the tools do that it may have run.
    """

    calls: tuple[tuple[str, str], ...] = ()
    is_batch: bool = False
    kinds: Set[str] = field(default_factory=frozenset)

    @property
    def names(self) -> set[str]:
        """The tools that were called."""
        return {name for name, _ in self.calls}

    @classmethod
    def of(
        cls,
        entry: Entry,
        multis: Mapping[str, MultiTool],
        singles: Mapping[str, SingleTool],
        batches: Set[str] = frozenset(),
    ) -> Made:
        """What an entry of the model was.

        Args:
            entry: it.
            multis: the multi-tools on offer, by name.
            singles: the tools that they run, by name.
            batches: names of other tools whose calls are batches.
        """
        calls = tuple(dict.fromkeys((call.name, call.arguments) for call in entry.calls))
        names = [name for name, _ in calls]
        alone = [singles[name] for name in names if name in singles]
        run = [*alone, *(tool for n in names if n in multis for tool in multis[n].tools.values())]
        is_batch = len(alone) > 1 or any(name in multis or name in batches for name in names)
        return cls(calls, is_batch, frozenset(tool.kind for tool in run))

    def single(self, own: Mapping[str, MultiTool], at: int) -> Single | None:
        """The one call that it was, of a tool that has a multi-tool; None if it was no such."""
        if len(self.calls) != 1 or self.calls[0][0] not in own:
            return None
        try:
            arguments = orjson.loads(self.calls[0][1])
        except orjson.JSONDecodeError:
            return None
        path = path_in(arguments)
        return Single(own[self.calls[0][0]], path, arguments, at) if path else None

    def follows(self, kind: DirectiveKind, todo: str | None) -> bool | None:
        """Whether the turn does what a directive of a kind wants; None: it was no chance to."""
        if kind == "bookkeeping":
            return len(self.calls) > 1 if todo in self.names else None
        wanted = {"prefetch": {"read"}, "group_edits": {"edit", "write"}}.get(kind)
        had_chance = bool(self.kinds & wanted if wanted else self.kinds) or self.is_batch
        return self.is_batch if had_chance else None


def could_be_one(first: Single, then: Single, before: Mentions) -> bool:
    """Whether two single calls could have been one, as far as the conversation shows.

    That is: they are of one tool, and what the second touched was named before the first.
    """
    name = then.path.rsplit("/", 1)[-1]
    if first.multi.name != then.multi.name or not name:
        return False
    return before.has(name, first.at)


def spelled_out(singles: Sequence[Single]) -> str:
    """The arguments of the multi-call that they should have been, as JSON."""
    items = [{key: _short(value, one) for key, value in one.arguments.items()} for one in singles]
    return orjson.dumps({singles[0].multi.key: items}).decode()


def _short(value: Any, single: Single) -> Any:
    is_short = isinstance(value, (int, float)) or value is None or value == single.path
    return value if is_short or (isinstance(value, str) and len(value) <= _LONG) else "…"
