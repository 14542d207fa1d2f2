"""Which call a fragment of a stream belongs to, whatever its provider says about that."""

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
    """A call that is being written.

    Attributes:
        index: of the call as it goes out.
        name: its tool, as far as it is known.
        id: as it goes out.
        arguments: what has come of them.
        opening: its first fragment, which waits until the name is known.
        given_id: the id that the provider gave it.
        place: delta, and place in it, of its last fragment.
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
        calls: in the order in which they were opened.
        given: the same by the provider's index.
        last: the one that the last fragment belonged to.
        deltas: how many deltas with fragments have come.

    Args:
        options: what to repair.
        tools: what may be called.
    """

    def __init__(self, options: Repair, tools: DeclaredTools) -> None:
        self.calls: list[OpenCall] = []
        self.given: dict[int | None, OpenCall] = {}
        self.last: OpenCall | None = None
        self.deltas = 0
        self._open: list[OpenCall] = []  # those that are not known to be complete
        self._by_id: dict[str | int, OpenCall] = {}
        self._options = options
        self._tools = tools

    def of(self, fragment: chat.ToolCall, place: int, *, opens: bool) -> tuple[OpenCall, bool]:
        """The call that a fragment belongs to, and whether it opens it.

        A delta without a name never opens a call. Under an index in use, only a new name
        with another id opens one, and only if the arguments so far are complete.

        Args:
            fragment: of a call.
            place: where it stands in its delta.
            opens: whether it has a name.

        Raises:
            Broken: it could belong to several calls.
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
        """What takes in the arguments of a call of this tool."""
        return ArgumentStream(
            self._tools.not_text(name),
            holds=self._options.arguments != "off",
            snapshots=self._options.snapshots,
        )

    def _new(self, fragment: chat.ToolCall, index: int | None) -> OpenCall:
        ours = len(self.calls)  # clients keep calls in lists: a gap breaks them
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
        """The call that a fragment without an index names by its id; else the last one."""
        given = fragment.get("id")
        named = self._by_id.get(given) if isinstance(given, str | int) else None
        return named or self.last

    def _only_open(self, index: int | None) -> OpenCall | None:
        """The one call that is still being written, for a fragment that names none."""
        if not self.calls:
            return None
        # What has come to its end gets nothing more, and is not looked at again.
        self._open = [call for call in self._open if not call.arguments.is_complete]
        waiting = [call for call in self._open if not self._is_complete(call)]
        if len(waiting) > 1 or index is None:
            raise Broken(malformed_call("ask_model_again"))
        return waiting[0] if waiting else self.calls[-1]

    def _is_another(self, fragment: chat.ToolCall, known: OpenCall, place: int) -> bool:
        """Whether a fragment with a name opens another call than the one under its index."""
        new_id, index = fragment.get("id"), chat.index_of(fragment)
        if not self._is_complete(known):
            return index is None and bool(new_id) and new_id != known.id
        if known.place[0] == self.deltas and known.place[1] < place:
            return True  # two members of one list are two calls
        return new_id != known.id if new_id else index is None

    def _is_complete(self, call: OpenCall) -> bool:
        if call.arguments.is_blank:
            return self._tools.takes_nothing(call.name)
        return call.arguments.is_complete
