"""Classifies a turn of the model: it is a batch, a single call, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.mentions import Mentions
from batchwrap.core.tools.find import SingleTool, path_in
from batchwrap.core.tools.multi import MultiTool
from batchwrap.directives import DirectiveKind

# Longer texts are written as "…" in the call that a reminder shows.
_LONG = 40


@dataclass(frozen=True, slots=True, repr=False)
class Single:
    """A turn with one call of a tool that has a multi-tool.

    Attributes:
        multi: the multi-tool.
        path: the path in its arguments.
        arguments: its arguments.
        at: the number of entries before the turn, in the provider view.
    """

    multi: MultiTool
    path: str
    arguments: dict[str, Any]
    at: int


@dataclass(frozen=True, slots=True)
class Made:
    """The calls of one turn. Repeated calls count once.

    Attributes:
        calls: (tool, arguments as JSON text) of each call.
        is_batch: whether it is a multi-call, or several calls that could be one.
        kinds: the kinds of the tools that it may have run.
    """

    calls: tuple[tuple[str, str], ...] = ()
    is_batch: bool = False
    kinds: Set[str] = field(default_factory=frozenset)

    @property
    def names(self) -> set[str]:
        """The names of the tools that were called."""
        return {name for name, _ in self.calls}

    @classmethod
    def of(
        cls,
        entry: Entry,
        multis: Mapping[str, MultiTool],
        singles: Mapping[str, SingleTool],
        batches: Set[str] = frozenset(),
    ) -> Made:
        """The calls of an entry of the model.

        Args:
            entry: the entry.
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
        """Its only call, if that is of a tool with a multi-tool and names a path; otherwise None.

        Args:
            own: the multi-tools, by the name of their single tool.
            at: the number of entries before the turn.
        """
        if len(self.calls) != 1 or self.calls[0][0] not in own:
            return None
        try:
            arguments = orjson.loads(self.calls[0][1])
        except orjson.JSONDecodeError:
            return None
        path = path_in(arguments)
        return Single(own[self.calls[0][0]], path, arguments, at) if path else None

    def follows(self, kind: DirectiveKind, todo: str | None) -> bool | None:
        """Whether the turn follows a directive of this kind; None if it had no occasion to."""
        if kind == "bookkeeping":
            return len(self.calls) > 1 if todo in self.names else None
        wanted = {"prefetch": {"read"}, "group_edits": {"edit", "write"}}.get(kind)
        had_chance = bool(self.kinds & wanted if wanted else self.kinds) or self.is_batch
        return self.is_batch if had_chance else None


def could_be_scripted(calls: Sequence[Call], singles: Mapping[str, SingleTool]) -> bool:
    """Whether a program could have made these single calls, one after the other.

    That is so if they only look (a search, what it found, what that leads to), or if they change
    the same in several files: their arguments differ in the path alone.

    Args:
        calls: the calls, of tools that can be batched.
        singles: these tools, by name.
    """
    if all(singles[call.name].kind in ("read", "read_only") for call in calls):
        return True
    names = {call.name for call in calls}
    path = singles[calls[0].name].path
    given = [_without(call.arguments, path) for call in calls]
    return len(names) == 1 and path is not None and all(one == given[0] for one in given)


def _without(arguments: str, name: str | None) -> object:
    """The arguments of a call without one of them."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    is_object = isinstance(value, dict)
    return {key: value[key] for key in value if key != name} if is_object else value


def could_be_one(first: Single, then: Single, before: Mentions) -> bool:
    """Whether the model could have made two single calls as one batch.

    That is so if they are of the same tool, and the path of the second was named before the first.
    """
    name = then.path.rsplit("/", 1)[-1]
    if first.multi.name != then.multi.name or not name:
        return False
    return before.has(name, first.at)


def spelled_out(singles: Sequence[Single]) -> str:
    """The arguments of the multi-call that could have replaced these calls, as JSON."""
    items = [{key: _short(value, one) for key, value in one.arguments.items()} for one in singles]
    return orjson.dumps({singles[0].multi.key: items}).decode()


def _short(value: Any, single: Single) -> Any:
    is_short = isinstance(value, (int, float)) or value is None or value == single.path
    return value if is_short or (isinstance(value, str) and len(value) <= _LONG) else "…"
