"""Fold: single calls that came from one turn of the model become that turn again.

The model sees what it did, and one result for each of its own calls. The waves of a turn,
which the agent knows as turns of their own, become one. A group that cannot be rebuilt
stays as the agent wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchwrap.core import chat
from batchwrap.core.memory import Turn, Turns
from batchwrap.core.tally import Tally
from batchwrap.core.views import ids
from batchwrap.core.views.multi import MIXED, SINGLE, name_of, render
from batchwrap.core.views.results import contents, item, join, not_run

Results = dict[str, list[chat.Message]]


@dataclass(slots=True)
class _Group:
    """The calls that came from one call of the model, by their index in it."""

    first: ids.DerivedId
    members: dict[int, chat.ToolCall] = field(default_factory=dict)
    count: int = 0

    def add(self, derived: ids.DerivedId, call: chat.ToolCall) -> None:
        """Take in one of its calls."""
        self.members.setdefault(derived.index, call)
        self.count = max(self.count, derived.count, derived.index + 1)

    @property
    def call(self) -> chat.ToolCall | None:
        """The model's call, written anew; None for a form that is not known."""
        kind, members = self.first.kind, [self.members[index] for index in sorted(self.members)]
        named = [(chat.name_of(call), chat.arguments_of(call)) for call in members]
        if kind == SINGLE or kind.isupper():
            name = named[0][0] if kind == SINGLE else name_of(kind, named[0][0])
            arguments = named[0][1]
        else:
            one_tool = len({tool for tool, _ in named}) == 1
            name = name_of(kind, named[0][0]) if one_tool or kind in MIXED else None
            arguments = render(kind, named) if name else ""
        function = {"name": name, "arguments": arguments}
        return {"id": self.first.origin, "type": "function", "function": function} if name else None

    def result(self, results: Results) -> chat.Message:
        """One tool message with every item's own result under a line that names it."""
        if self.first.kind == SINGLE or self.first.kind.isupper():
            content = join([contents(results.get(self.members[0]["id"], []))])
        else:
            content = join([self._item(index, results) for index in range(self.count)])
        return {"role": "tool", "tool_call_id": self.first.origin, "content": content}

    def _item(self, index: int, results: Results) -> list[object]:
        call = self.members.get(index)
        if call is None:
            return not_run(index, self.count)
        return item(index, self.count, call, results.get(call["id"], []))


def fold(messages: Sequence[chat.Message], turns: Turns, tally: Tally) -> list[chat.Message] | None:
    """The conversation in the provider view, or None if there is nothing to fold.

    Messages that do not take part are the same objects as in `messages`.
    """
    folded: list[chat.Message] = []
    found = False
    place = 0
    while place < len(messages):
        end, turn = _turn_at(messages, place, turns)
        if turn is not None:
            found = True
            tally.add("folds")
        folded += messages[place:end] if turn is None else turn
        place = end
    return folded if found else None


def _turn_at(
    messages: Sequence[chat.Message], place: int, turns: Turns
) -> tuple[int, list[chat.Message] | None]:
    """Where the turn that begins here ends, and what it folds into; None if it is not ours.

    Each request brings the whole conversation again: what was folded before, and is still
    the same, is not folded anew.
    """
    first = _first_id(messages[place])
    if first is None:
        return place + 1, None
    source, made = turns.folded(first) or ([], [])
    end = place + len(source)
    is_whole = end >= len(messages) or not _may_go_on(messages[end], first, turns)
    if source and is_whole and messages[place:end] == source:
        return end, made
    end, calls, answers = _turn_from(messages, place, turns)
    turn = _fold_turn(messages[place], calls, answers, turns) if calls else None
    if turn is not None:
        turns.keep_folded(first, list(messages[place:end]), turn)
    return end, turn


def _first_id(message: chat.Message) -> str | None:
    """The id of an assistant message's first tool call."""
    calls = chat.tool_calls(message) if message.get("role") == "assistant" else ()
    return str(calls[0].get("id")) if calls else None


def _may_go_on(message: chat.Message, first: str, turns: Turns) -> bool:
    """Whether a message may belong to the turn whose first call has this id."""
    other = _first_id(message)
    if other is None:
        return message.get("role") == "tool"
    one, two = ids.decode(first), ids.decode(other)
    if one is not None and two is not None:
        return one.nonce == two.nonce
    return turns.of({"id": first}) is turns.of({"id": other}) is not None


def _turn_from(
    messages: Sequence[chat.Message], place: int, turns: Turns
) -> tuple[int, list[chat.ToolCall], list[chat.Message]]:
    """Where the turn that begins here ends, its calls, and their results.

    Assistant messages that hold nothing but calls of the same turn belong to it: they are
    its waves. No calls: the message is not a turn of ours.
    """
    if messages[place].get("role") != "assistant":
        return place + 1, [], []
    calls = chat.tool_calls(messages[place])
    nonces = {derived.nonce for call in calls if (derived := ids.decode(call.get("id")))}
    known = next((turn for call in calls if (turn := turns.of(call))), None)
    mine: set[object] = {placed.call["id"] for placed in known.calls} if known else set()
    end, answers = place + 1, list[chat.Message]()
    while (nonces or mine) and end < len(messages):
        message = messages[end]
        if message.get("role") == "tool":
            answers.append(message)
        elif _goes_on(message, nonces, mine):
            calls += chat.tool_calls(message)
        else:
            break
        end += 1
    ours = any(ids.decode(call.get("id")) for call in calls)
    return (end, calls, answers) if ours else (place + 1, [], [])


def _goes_on(message: chat.Message, nonces: set[str], mine: set[object]) -> bool:
    """Whether a message holds nothing but calls of a turn, by their nonces or ids."""
    calls = chat.tool_calls(message)
    return (
        message.get("role") == "assistant"
        and bool(calls)
        and not any(chat.texts(message.get("content")))
        and all(
            call.get("id") in mine or ((d := ids.decode(call.get("id"))) and d.nonce in nonces)
            for call in calls
        )
    )


def _fold_turn(
    message: chat.Message,
    calls: list[chat.ToolCall],
    answers: list[chat.Message],
    turns: Turns,
) -> list[chat.Message] | None:
    groups: dict[tuple[str, str, str], _Group] = {}
    parts: dict[str, _Group | chat.ToolCall] = {}  # by the model's id, in order
    for call in calls:
        derived = ids.decode(call.get("id"))
        if derived is None:
            parts.setdefault(str(call.get("id")), call)
            continue
        group = groups.setdefault(derived.group, _Group(derived))
        group.add(derived, call)
        if parts.setdefault(derived.origin, group) is not group:
            return None  # the model's id stands for two calls: nobody could tell the results
    results: Results = {}
    for answer in answers:
        results.setdefault(str(answer.get("tool_call_id")), []).append(answer)
    members = [call for group in groups.values() for call in group.members.values()]
    if not any(call["id"] in results for call in members):
        return None
    known = turns.get(next(iter(groups.values())).first.nonce)
    own = _own_calls(parts, known)
    if own is None:
        return None
    folded: list[chat.Message] = [{**message, "tool_calls": own}]
    for call in own:
        part = parts.get(str(call.get("id")))
        if isinstance(part, _Group):
            if known is not None:
                part.count = max(part.count, known.counts.get(part.first.origin, 0))
            folded.append(part.result(results))
        else:
            folded += results.get(str(call.get("id")), [])
    taken = {id(answer) for answer in folded}
    mine = {call["id"] for call in members}
    left = (a for a in answers if id(a) not in taken and a.get("tool_call_id") not in mine)
    return [*folded, *left]


def _own_calls(
    parts: dict[str, _Group | chat.ToolCall], known: Turn | None
) -> list[chat.ToolCall] | None:
    """The model's own calls: to the byte where they are known, else written anew."""
    if known is not None and {str(call.get("id")) for call in known.original} == set(parts):
        own = []
        for call in known.original:
            part = parts[str(call.get("id"))]
            own.append(call if isinstance(part, _Group) else part)
        return own
    written = [part.call if isinstance(part, _Group) else part for part in parts.values()]
    return [call for call in written if call is not None] if None not in written else None
