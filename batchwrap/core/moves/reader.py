"""The way back, for one choice of an answer, plain or streamed.

gather (native multi-tools) -> expand -> read ahead
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.moves.expand import Expander
from batchwrap.core.moves.gather import Gatherer
from batchwrap.core.moves.turn_memory import Turn
from batchwrap.core.tools.find import SingleTool

Reads = list[tuple[SingleTool, str]]

# Fields of a message that may stand beside a tool call that is changed. Anything else (signed
# thinking, say) belongs to the calls as the model wrote them.
_FREE = frozenset({"role", "content", "tool_calls", "function_call", "refusal", "annotations"})
_FREE |= {"audio", "reasoning", "reasoning_content"}


class ChoiceReader:
    """Translates one choice into the agent view.

    Args:
        gatherer: merges calls for the agent's own multi-tools; None switches it off.
        expander: takes multi-calls apart.
        ahead: the reads to add to a turn of a single read.
    """

    def __init__(
        self,
        gatherer: Gatherer | None,
        expander: Expander,
        ahead: Callable[[Turn], Reads],
    ) -> None:
        self._gatherer = gatherer
        self._expander = expander
        self._ahead = ahead
        self._is_whole = False
        self._let_go: list[chat.ToolCall] = []

    @property
    def turn(self) -> Turn:
        """The calls that have come so far."""
        return self._expander.turn

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with its calls, by their ids, where none of them was understood."""
        return self._expander.problems

    def continues(self, place: int | None) -> bool:
        """Whether a piece of a text is read without a look at the rest of its chunk.

        Args:
            place: the index of the call that it belongs to; None: it is the choice's text.
        """
        if self._let_go:  # calls wait to be handed out with whatever comes next
            return False
        if place is None:
            return True
        is_gathered = self._gatherer is not None and not self._gatherer.passes(place)
        return not is_gathered and self._expander.continues(place)

    def continued(self, place: int, text: str) -> list[chat.ToolCall] | None:
        """The agent's fragments for a piece of arguments; None if it stays as it is."""
        return self._expander.continued(place, text)

    def plain(self, choice: dict[str, Any]) -> dict[str, Any]:
        """A choice of a plain completion; the same object if it stays as it is."""
        message = chat.part_of(choice)
        calls = chat.tool_calls(message)
        self._look_at(message)
        numbered = [{**call, "index": place} for place, call in enumerate(calls)]
        made = [*self._fragments(numbered), *self.finish(), *self._reads()]
        made = [{key: value for key, value in call.items() if key != "index"} for call in made]
        if made == [{key: call[key] for key in call if key != "index"} for call in calls]:
            return choice
        return {**choice, "message": {**message, "tool_calls": made}}

    def delta(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        """A choice of a chunk; the same object if it stays as it is, None if nothing is left."""
        delta = choice["delta"] if isinstance(choice.get("delta"), dict) else {}
        self._look_at(delta)
        given = chat.tool_calls(delta)
        calls = self._fragments(given)
        if choice.get("finish_reason"):
            calls += [*self.finish(), *self._reads()]
        if len(calls) == len(given) and all(
            new is old for new, old in zip(calls, given, strict=True)
        ):
            return choice
        rest = without_calls(delta)
        if calls:
            return {**choice, "delta": {**rest, "tool_calls": calls}}
        said = any(value for key, value in rest.items() if key != "role")
        first = bool(delta.get("role"))
        return {**choice, "delta": rest} if said or first or choice.get("finish_reason") else None

    def finish(self) -> list[chat.ToolCall]:
        """What is left when the message is complete."""
        gathered = self._gatherer.finish() if self._gatherer is not None else []
        calls = [call for given in gathered for call in self._expander.fragment(given)]
        return calls + self._expander.finish()

    def _reads(self) -> list[chat.ToolCall]:
        """The calls of the reads that are added, once."""
        if self._is_whole:
            return []
        self._is_whole = True
        return self._expander.add_reads(self._ahead(self._expander.turn))

    def _fragments(self, given: Sequence[chat.ToolCall]) -> list[chat.ToolCall]:
        if self._gatherer is not None:
            let_go, self._let_go = self._let_go, []
            given = [*let_go, *(held for call in given for held in self._gatherer.fragment(call))]
        return [made for call in given for made in self._expander.fragment(call)]

    def _look_at(self, message: chat.Message) -> None:
        """Gather no calls of a message with fields that belong to them as they are."""
        if self._gatherer is not None and any(
            value and key not in _FREE for key, value in message.items()
        ):
            self._let_go += self._gatherer.release()


def without_calls(delta: chat.Message) -> chat.Message:
    """The delta without its tool calls."""
    return {key: value for key, value in delta.items() if key != "tool_calls"}
