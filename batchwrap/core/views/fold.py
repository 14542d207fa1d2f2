"""Fold: single calls that came from one turn of the model become that turn again.

The model sees what it did, and one result for each of its own calls. The waves of a turn,
which the agent knows as turns of their own, become one. A group that cannot be rebuilt
stays as the agent wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from batchwrap.core import chat
from batchwrap.core.memory import Turn, Turns
from batchwrap.core.views import ids
from batchwrap.core.views.multi import AHEAD, MIXED, SINGLE, name_of, render
from batchwrap.core.views.results import contents, item, join, label, not_run
from batchwrap.core.views.written import extras_of

Results = dict[str, list[chat.Message]]


@dataclass(frozen=True, slots=True)
class Segment:
    """Messages of the agent view that belong together, and what they become.

    Attributes:
        taken: how many messages of the agent view it stands for.
        messages: the same in the provider view.
        is_folded: whether they are a turn that was taken apart.
    """

    taken: int
    messages: list[chat.Message]
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Recall:
    """What folding may look up.

    Attributes:
        turns: turns that were taken apart.
        now_s: the time.
        kept: tells for the contents of added reads, in order, which of them are shown.
    """

    turns: Turns
    now_s: float
    kept: Callable[[Sequence[Sequence[object]]], Sequence[bool]]

    def turn_of(self, call: chat.ToolCall) -> Turn | None:
        """The turn that one of the agent's calls belongs to, if it is known."""
        return self.turns.of(call, self.now_s)


@dataclass(slots=True)
class _Group:
    """The calls that came from one call of the model, by their index in it."""

    first: ids.DerivedId
    members: dict[int, chat.ToolCall] = field(default_factory=dict)
    count: int = 0
    notes: Mapping[int, str] = field(default_factory=dict)  # why items did not run

    def add(self, derived: ids.DerivedId, call: chat.ToolCall) -> None:
        """Take in one of its calls."""
        self.members.setdefault(derived.index, call)
        self.count = max(self.count, derived.count, derived.index + 1)

    @property
    def call(self) -> chat.ToolCall | None:
        """The model's call, written anew; None for a form that is not known."""
        kind, members = self.first.kind, [self.members[index] for index in sorted(self.members)]
        if kind == SINGLE:
            return {**members[0], "id": self.first.origin}
        named = [(chat.name_of(call), chat.arguments_of(call)) for call in members]
        if kind.isupper():
            name, arguments = name_of(kind, named[0][0]), named[0][1]
        else:
            one_tool = len({tool for tool, _ in named}) == 1
            name = name_of(kind, named[0][0]) if one_tool or kind in MIXED else None
            arguments = render(kind, named) if name else ""
        extras = next((found for call in members if (found := extras_of(call))), {})
        function = {"name": name, "arguments": arguments}
        made = {"id": self.first.origin, "type": "function", "function": function, **extras}
        return made if name else None

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
            return not_run(index, self.count, self.notes.get(index))
        return item(index, self.count, call, results.get(call["id"], []))


def fold(messages: Sequence[chat.Message], start: int, recall: Recall) -> list[Segment]:
    """The conversation from a place on, in the provider view.

    Messages that do not take part are the same objects as in `messages`.
    """
    segments: list[Segment] = []
    place = start
    while place < len(messages):
        end, calls, answers = _turn_from(messages, place, recall)
        turn = _fold_turn(messages[place], calls, answers, recall) if calls else None
        if turn is None:
            segments += [Segment(1, [message]) for message in messages[place:end]]
        else:
            segments.append(Segment(end - place, turn, is_folded=True))
        place = end
    return segments


def _turn_from(
    messages: Sequence[chat.Message], place: int, recall: Recall
) -> tuple[int, list[chat.ToolCall], list[chat.Message]]:
    """Where the turn that begins here ends, its calls, and their results.

    Assistant messages that hold nothing but calls of the same turn belong to it: they are
    its waves. No calls: the message is not a turn of ours.
    """
    if messages[place].get("role") != "assistant":
        return place + 1, [], []
    calls = chat.tool_calls(messages[place])
    mine = _Mine.of(calls, recall, place)
    end, answers = place + 1, list[chat.Message]()
    while calls and end < len(messages):
        message = messages[end]
        if message.get("role") == "tool":
            answers.append(message)
        elif _goes_on(message, mine, calls):
            calls += chat.tool_calls(message)
        else:
            break
        end += 1
    ours = any(ids.decode(call.get("id")) for call in calls) or mine.lacks_some
    return (end, calls, answers) if ours else (place + 1, [], [])


@dataclass(frozen=True, slots=True)
class _Mine:
    """What tells that a call belongs to a turn: its nonce, or its id, or that of its read."""

    nonces: set[str]
    calls: set[object]
    lacks_some: bool = False  # whether the agent never got some of the model's calls

    @classmethod
    def of(cls, calls: Sequence[chat.ToolCall], recall: Recall, place: int) -> _Mine:
        nonces = {derived.nonce for call in calls if (derived := ids.decode(call.get("id")))}
        found = (turn for call in calls if (turn := recall.turn_of(call)))
        # Some providers repeat their ids each turn: only the turn of this very place counts.
        known = next((turn for turn in found if nonces or turn.length == place), None)
        placed = [one.call["id"] for one in known.calls] if known else []
        lacks_some = known is not None and bool(known.refused)
        return cls(nonces, {*placed, *(call.get("id") for call in calls)}, lacks_some)

    def has(self, call: chat.ToolCall) -> bool:
        derived = ids.decode(call.get("id"))
        if derived is None:
            return call.get("id") in self.calls
        added = derived.kind == AHEAD and derived.origin in self.calls
        return added or derived.nonce in self.nonces or call.get("id") in self.calls


def _goes_on(message: chat.Message, mine: _Mine, before: Sequence[chat.ToolCall]) -> bool:
    """Whether a message holds nothing but calls of a turn that were not handed out before."""
    calls = chat.tool_calls(message)
    known = {call.get("id") for call in before}
    return (
        message.get("role") == "assistant"
        and bool(calls)
        and not any(chat.texts(message.get("content")))
        and all(mine.has(call) and call.get("id") not in known for call in calls)
    )


@dataclass(slots=True)
class _Parts:
    """The agent's calls of one turn, by what they came from.

    Attributes:
        groups: those that came from multi-calls.
        own: a group, or a call that went out as it was, by the model's id, in order.
        ahead: reads that were added, by the id of the model's read.
    """

    groups: dict[tuple[str, str, str], _Group] = field(default_factory=dict)
    own: dict[str, _Group | chat.ToolCall] = field(default_factory=dict)
    ahead: dict[str, list[chat.ToolCall]] = field(default_factory=dict)

    def take(self, call: chat.ToolCall) -> bool:
        """Take in a call; False if the model's id stands for two: nobody could tell which."""
        derived = ids.decode(call.get("id"))
        if derived is None:
            self.own.setdefault(str(call.get("id")), call)
            return True
        if derived.kind == AHEAD:
            self.ahead.setdefault(derived.origin, []).append(call)
            return True
        group = self.groups.setdefault(derived.group, _Group(derived))
        group.add(derived, call)
        return self.own.setdefault(derived.origin, group) is group

    @property
    def made(self) -> list[chat.ToolCall]:
        """The calls that the model does not know."""
        members = [call for group in self.groups.values() for call in group.members.values()]
        return [*members, *(call for calls in self.ahead.values() for call in calls)]


def _fold_turn(
    message: chat.Message,
    calls: list[chat.ToolCall],
    answers: list[chat.Message],
    recall: Recall,
) -> list[chat.Message] | None:
    parts = _Parts()
    if not all(map(parts.take, calls)) or not parts.ahead.keys() <= parts.own.keys():
        return None
    results: Results = {}
    for answer in answers:
        results.setdefault(str(answer.get("tool_call_id")), []).append(answer)
    made = parts.made
    if not any(call["id"] in results for call in calls):
        return None
    known = recall.turn_of(made[0] if made else calls[0])
    own = _own_calls(parts.own, known)
    if own is None:
        return None
    folded: list[chat.Message] = [{**message, "tool_calls": own}]
    for call in own:
        folded += _answers(parts, call, results, known, recall)
    taken = {id(answer) for answer in folded}
    mine = {call["id"] for call in made} | parts.ahead.keys()
    left = (a for a in answers if id(a) not in taken and a.get("tool_call_id") not in mine)
    return [*folded, *left]


def _answers(
    parts: _Parts, call: chat.ToolCall, results: Results, known: Turn | None, recall: Recall
) -> list[chat.Message]:
    """The results of one of the model's own calls."""
    key = str(call.get("id"))
    part = parts.own.get(key)
    if isinstance(part, _Group):
        if known is not None:
            part.count = max(part.count, known.counts.get(part.first.origin, 0))
            part.notes = known.notes.get(part.first.origin, {})
        return [part.result(results)]
    if part is None and known is not None:  # nothing of it ran
        return [{"role": "tool", "tool_call_id": key, "content": known.refused[key]}]
    answers = results.get(key, [])
    read = [(one, contents(results.get(one["id"], []))) for one in parts.ahead.get(key, ())]
    kept = recall.kept([found for _, found in read])
    added = [
        [f"[read ahead] {label(one)}", *found]
        for (one, found), keep in zip(read, kept, strict=True)
        if keep
    ]
    if not answers or not added:
        return answers
    return [{**answers[0], "content": join([contents(answers), *added])}]


def _own_calls(
    parts: dict[str, _Group | chat.ToolCall], known: Turn | None
) -> list[chat.ToolCall] | None:
    """The model's own calls: to the byte where they are known, else written anew."""
    there = {*parts, *known.refused} if known is not None else set()
    if known is not None and {str(call.get("id")) for call in known.original} == there:
        own = []
        for call in known.original:
            part = parts.get(str(call.get("id")))
            own.append(part if isinstance(part, dict) else call)
        return own
    written = [part.call if isinstance(part, _Group) else part for part in parts.values()]
    return [call for call in written if call is not None] if None not in written else None
