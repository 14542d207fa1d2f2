"""Finds the call that a fragment of a stream belongs to, whatever its provider says about it.

Providers leave out the index, give all calls the index 0, or interleave calls under wrong
ones. https://github.com/openai/openai-python/pull/3246, https://github.com/apache/maka/issues/1976
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.repair.arguments import ArgumentStream
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.faults import Broken, malformed_call
from batchwrap.options import Repair


@dataclass(slots=True, repr=False)
class OpenCall:
    """A call that is still incomplete.

    Attributes:
        index: of the call in the agent's stream.
        name: its tool, as far as it is known.
        id: of the call in the agent's stream.
        arguments: the part that has arrived.
        opening: its first fragment, held until the name is complete.
        given_id: the id that the provider gave it.
        place: the number of the delta with its last fragment, and the position in that delta.
    """

    index: int
    name: str
    id: str
    arguments: ArgumentStream
    opening: chat.ToolCall | None = None
    given_id: Any = None
    place: tuple[int, int] = (0, 0)


class OpenCalls:
    """The calls of one streamed choice.

    Attributes:
        calls: in the order in which they began.
        given: the same calls by the provider's index.
        last: the call that the last fragment belonged to.
        deltas: the number of deltas with fragments so far.

    Args:
        options: what to repair.
        tools: what may be called.
    """

    def __init__(self, options: Repair, tools: DeclaredTools) -> None:
        self.calls: list[OpenCall] = []
        self.given: dict[int | None, OpenCall] = {}
        self.last: OpenCall | None = None
        self.deltas = 0
        self._open: list[OpenCall] = []  # those that may still be incomplete
        self._by_id: dict[str | int, OpenCall] = {}
        self._options = options
        self._tools = tools

    def of(self, fragment: chat.ToolCall, place: int, *, opens: bool) -> tuple[OpenCall, bool]:
        """The call that a fragment belongs to, and whether the fragment begins it.

        A fragment without a name never begins a call. Under an index that is in use, a name begins
        a new call only if its id differs and the arguments so far are complete.

        Args:
            fragment: a fragment of a call.
            place: its position in its delta.
            opens: whether it has a name.

        Raises:
            Broken: it could belong to more than one call.
        """
        index = chat.index_of(fragment)
        known = self.given.get(index) if index is not None else self._without_index(fragment)
        if known is None and not opens and self._options.calls and not fragment.get("id"):
            known = self._only_open(index)
        if known is None or (opens and self._is_another(fragment, known, place)):
            return self._new(fragment, index), True
        self.given[index] = known
        return known, False

    def stream_for(self, name: str) -> ArgumentStream:
        """The accumulator for the arguments of a call of this tool."""
        return ArgumentStream(
            self._tools.not_text(name),
            holds=self._options.arguments != "off",
            snapshots=self._options.snapshots,
        )

    def _new(self, fragment: chat.ToolCall, index: int | None) -> OpenCall:
        ours = len(self.calls)  # clients keep calls in a list: a gap in the indices breaks it
        if not self._options.calls and index is not None:
            ours = index
        name = str(chat.function_of(fragment).get("name") or "")
        made = OpenCall(ours, name, "", self.stream_for(name), given_id=fragment.get("id"))
        self.calls.append(made)
        self.given[index] = made
        self._open.append(made)
        if isinstance(made.given_id, str | int):
            self._by_id.setdefault(made.given_id, made)
        return made

    def _without_index(self, fragment: chat.ToolCall) -> OpenCall | None:
        """The call whose id a fragment without an index has; otherwise the last one."""
        given = fragment.get("id")
        named = self._by_id.get(given) if isinstance(given, str | int) else None
        return named or self.last

    def _only_open(self, index: int | None) -> OpenCall | None:
        """The only incomplete call, for a fragment that has neither a known index nor an id."""
        if not self.calls:
            return None
        # A complete call gets no more fragments, so it is not checked again.
        self._open = [call for call in self._open if not call.arguments.is_complete]
        waiting = [call for call in self._open if not self._is_complete(call)]
        if len(waiting) > 1 or index is None:
            raise Broken(malformed_call("ask_model_again"))
        return waiting[0] if waiting else self.calls[-1]

    def _is_another(self, fragment: chat.ToolCall, known: OpenCall, place: int) -> bool:
        """Whether a fragment with a name begins another call than the one under its index."""
        new_id, index = fragment.get("id"), chat.index_of(fragment)
        if not self._is_complete(known):
            return index is None and bool(new_id) and new_id != known.id
        if known.place[0] == self.deltas and known.place[1] < place:
            return True  # two members of one list are two calls, even if they have the same index
        return new_id != known.id if new_id else index is None

    def _is_complete(self, call: OpenCall) -> bool:
        if call.arguments.is_blank:
            return self._tools.takes_nothing(call.name)
        return call.arguments.is_complete
