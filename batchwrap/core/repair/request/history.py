"""Calls and results of a history: paired, in order, with ids and arguments that are taken.

One defect here fails every later request of a conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.parse import is_object
from batchwrap.core.provider import RequestRules
from batchwrap.core.repair.arguments import repair_arguments
from batchwrap.core.repair.request.right import MISTRAL_ID, Checked, is_content, is_right

Count = Callable[[str], None]
NO_RESULT = "[no result: the call was interrupted before it finished]"
_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_MISTRAL_LENGTH = 9
_COUNTED = re.compile(r"(.*:)(\d{1,9})", re.DOTALL)


@dataclass(slots=True, repr=False)
class _Turn:
    """An assistant message, and what follows up to the next one."""

    message: chat.Message
    results: list[chat.Message] = field(default_factory=list)
    others: list[chat.Message] = field(default_factory=list)
    between: bool = False  # something else stands before one of its results

    @property
    def calls(self) -> list[chat.ToolCall]:
        return chat.tool_calls(self.message)


def mend(
    messages: Sequence[chat.Message],
    rules: RequestRules,
    count: Count,
    checked: Checked | None = None,
) -> list[chat.Message]:
    """The messages as every provider takes them; those that are right are the same objects.

    Args:
        messages: of the request.
        rules: what the provider wants.
        count: called with ``"history"`` for each thing that was mended.
        checked: what is known of the conversation's beginning.
    """
    if is_right(messages, rules) if checked is None else checked.is_right(messages, rules):
        return list(messages)
    bare = [_content(message, rules, count) for message in messages]
    kept = [message for message in bare if not _is_nothing(message)]
    if len(kept) < len(bare):
        count("history")
    return _ids(_paired(kept, count), rules, count)


def _content(message: chat.Message, rules: RequestRules, count: Count) -> chat.Message:
    """The message with a content, and arguments, of a kind that is taken."""
    role, content, made = message.get("role"), message.get("content"), message
    if role == "tool" and not is_content(content):
        made = {**message, "content": "" if content is None else _json(content)}
    calls = chat.tool_calls(message)
    if role == "assistant" and calls:
        if content is None and not rules.null_content:
            made = {**made, "content": ""}
        elif (content == "" and not rules.empty_content) or "content" not in message:
            made = {**made, "content": None}
        right = [_arguments(call) for call in calls]
        if any(new is not old for new, old in zip(right, calls, strict=True)):
            made = {**made, "tool_calls": right}
    if made is not message:
        count("history")
    return made


def _arguments(call: chat.ToolCall) -> chat.ToolCall:
    """The call with arguments that are the JSON text of an object.

    Those that can be repaired without loss were run in that form. The others were refused, or never
    run: nothing of them may stand there as if it had been done; the result tells of it.
    """
    function = chat.function_of(call)
    given = function.get("arguments")
    if isinstance(given, dict):
        text = _json(given)
    elif (isinstance(given, str) and is_object(given)) or not function:
        return call
    else:
        made = repair_arguments(given if isinstance(given, str) else "", None, dangerous=True)
        text = "{}" if made.refused else made.text
    return {**call, "function": {**function, "arguments": text}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_nothing(message: chat.Message) -> bool:
    """Whether a turn of the assistant was given up before it said anything."""
    return message.get("role") == "assistant" and not any(
        value for key, value in message.items() if key not in ("role", "name")
    )


def _paired(messages: Sequence[chat.Message], count: Count) -> list[chat.Message]:
    """Each call with its result right behind it, and no result without a call."""
    made: list[chat.Message] = []
    turn: _Turn | None = None
    for message in messages:
        role = message.get("role")
        if role == "tool" and turn is not None and not message.get("tool_call_id"):
            given, message = message, _named(turn, message)
            if message is not given:
                count("history")
        if role == "assistant":
            made += _closed(turn, count, last=False)
            turn = _Turn(message)
        elif role == "tool" and not _takes(turn, message):
            count("history")  # its call is not there any more
        elif role == "tool":
            assert turn is not None
            turn.between = turn.between or bool(turn.others)
            _add(turn, message, count)
        elif turn is None:
            made.append(message)
        else:
            turn.others.append(message)
    return made + _closed(turn, count, last=True)


def _named(turn: _Turn, result: chat.Message) -> chat.Message:
    """A result without an id, with that of the only call that waits for one."""
    answered = [result.get("tool_call_id") for result in turn.results]
    waiting = [call for call in turn.calls if call.get("id") not in answered]
    return {**result, "tool_call_id": waiting[0].get("id")} if len(waiting) == 1 else result


def _add(turn: _Turn, result: chat.Message, count: Count) -> None:
    """One result for each call: a later one is added to the first, if it says anything else."""
    given = result.get("tool_call_id")
    calls = sum(call.get("id") == given for call in turn.calls)
    places = [n for n, one in enumerate(turn.results) if one.get("tool_call_id") == given]
    if len(places) < calls:
        turn.results.append(result)
        return
    count("history")
    first = turn.results[places[-1]]
    if result.get("content") != first.get("content"):
        for text in chat.texts(result.get("content")):
            first = chat.with_text(first, text)
        turn.results[places[-1]] = first


def _takes(turn: _Turn | None, message: chat.Message) -> bool:
    given = message.get("tool_call_id")
    return turn is not None and any(call.get("id") == given for call in turn.calls)


def _closed(turn: _Turn | None, count: Count, *, last: bool) -> list[chat.Message]:
    """A turn's messages in the order that providers want."""
    if turn is None:
        return []
    answered = [result.get("tool_call_id") for result in turn.results]
    open_calls = [call for call in turn.calls if call.get("id") not in answered]
    # The newest turn without results may still be going on.
    missing = [] if last and not turn.others and not turn.results else open_calls
    if missing or turn.between:
        count("history")
    blank = [
        {"role": "tool", "tool_call_id": call.get("id"), "content": NO_RESULT} for call in missing
    ]
    return [turn.message, *turn.results, *blank, *turn.others]


def _ids(messages: Sequence[chat.Message], rules: RequestRules, count: Count) -> list[chat.Message]:
    """Ids that no other call has, in the form that the provider takes.

    A result belongs to the call before it, whatever other calls have the same id.
    """
    names = _Names(rules.ids)
    current: dict[Any, list[str]] = {}
    made: list[chat.Message] = []
    for message in messages:
        new = message
        if message.get("role") == "assistant":
            current = {}
            new = names.renamed(message, current)
        elif message.get("role") == "tool":
            waiting = current.get(_key(message.get("tool_call_id")), [])
            wanted = waiting.pop(0) if len(waiting) > 1 else next(iter(waiting), None)
            if wanted is not None and wanted != message.get("tool_call_id"):
                new = {**message, "tool_call_id": wanted}
        if new is not message:
            count("history")
        made.append(new)
    return made


class _Names:
    """Gives calls ids of their own, the same ones in each request."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._taken: set[str] = set()

    def renamed(self, message: chat.Message, current: dict[Any, list[str]]) -> chat.Message:
        """The message with the new ids; `current` then tells them by the old ones."""
        calls = chat.tool_calls(message)
        made = []
        for call in calls:
            given = call.get("id")
            new = self._name(given)
            current.setdefault(_key(given), []).append(new)
            made.append(call if new == given else {**call, "id": new})
        if all(new is old for new, old in zip(made, calls, strict=True)):
            return message
        return {**message, "tool_calls": made}

    def _name(self, given: Any) -> str:
        name = given if isinstance(given, str) else ""
        tries = 0
        wanted = self._formed(name, tries)
        while not wanted or wanted in self._taken:
            tries += 1
            wanted = self._formed(name, tries)
        self._taken.add(wanted)
        return wanted

    def _formed(self, name: str, tries: int) -> str:
        if self._form == "mistral":
            fits = MISTRAL_ID.fullmatch(name) is not None
            return name if fits and not tries else _nine(f"{name}/{tries}")
        if not tries:
            return name
        counted = _COUNTED.fullmatch(name)  # Kimi's own form must stay what it is
        return f"{counted[1]}{int(counted[2]) + tries}" if counted else f"{name}_{tries + 1}"


def _nine(text: str) -> str:
    """Nine letters and digits that stand for a text."""
    number = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
    letters = []
    for _ in range(_MISTRAL_LENGTH):
        number, place = divmod(number, len(_ALPHANUMERIC))
        letters.append(_ALPHANUMERIC[place])
    return "".join(letters)


def _key(given: Any) -> str:
    return given if isinstance(given, str) else repr(given)
