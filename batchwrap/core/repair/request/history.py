"""Repairs the calls and results of a history: paired, in order, with valid ids and arguments.

A history is sent again with every request, so one defect in it fails all later requests.
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
from batchwrap.core.repair.request.validity import MISTRAL_ID, Checked, is_content, is_valid

Count = Callable[[str], None]
NO_RESULT = "[no result: the call was interrupted before it finished]"
_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_MISTRAL_LENGTH = 9
_COUNTED = re.compile(r"(.*:)(\d{1,9})", re.DOTALL)


@dataclass(slots=True, repr=False)
class _Turn:
    """An assistant message, and the messages up to the next one."""

    message: chat.Message
    results: list[chat.Message] = field(default_factory=list)
    others: list[chat.Message] = field(default_factory=list)
    between: bool = False  # whether another message stands before one of its results

    @property
    def calls(self) -> list[chat.ToolCall]:
        return chat.tool_calls(self.message)


def repair_history(
    messages: Sequence[chat.Message],
    rules: RequestRules,
    count: Count,
    checked: Checked | None = None,
) -> list[chat.Message]:
    """The messages in a form that every provider accepts; valid ones are the same objects.

    Args:
        messages: of the request.
        rules: what the provider accepts.
        count: called with ``"history"`` for each repair.
        checked: the part of the conversation that is known to be valid.
    """
    if is_valid(messages, rules) if checked is None else checked.is_valid(messages, rules):
        return list(messages)
    bare = [_content(message, rules, count) for message in messages]
    kept = [message for message in bare if not _is_nothing(message)]
    if len(kept) < len(bare):
        count("history")
    return _ids(_paired(kept, count), rules, count)


def _content(message: chat.Message, rules: RequestRules, count: Count) -> chat.Message:
    """The message with content and arguments of an accepted type."""
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

    Arguments that can be repaired without loss were run in that form. All others were refused
    or never run, so they become ``{}``: the history must not claim that they were run, and
    some servers fail on broken JSON in it. https://github.com/noonghunna/club-3090/issues/1195
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
    """Whether an assistant message is empty, as one is that was aborted before its first token.

    Some providers refuse it. https://github.com/OpenHands/OpenHands/issues/8685
    """
    return message.get("role") == "assistant" and not any(
        value for key, value in message.items() if key not in ("role", "name")
    )


def _paired(messages: Sequence[chat.Message], count: Count) -> list[chat.Message]:
    """Puts each result directly after its call, and drops results without a call.

    https://github.com/pydantic/pydantic-ai/pull/6319
    """
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
            count("history")  # its call was removed from the history
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
    """A result without an id gets the id of the call without a result, if there is only one."""
    answered = [result.get("tool_call_id") for result in turn.results]
    waiting = [call for call in turn.calls if call.get("id") not in answered]
    return {**result, "tool_call_id": waiting[0].get("id")} if len(waiting) == 1 else result


def _add(turn: _Turn, result: chat.Message, count: Count) -> None:
    """Keep one result for each call: a later, different one is appended to the first."""
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
    """A turn's messages in the order that providers require."""
    if turn is None:
        return []
    answered = [result.get("tool_call_id") for result in turn.results]
    open_calls = [call for call in turn.calls if call.get("id") not in answered]
    # The newest turn may still be running, so its calls need no results yet.
    missing = [] if last and not turn.others and not turn.results else open_calls
    if missing or turn.between:
        count("history")
    blank = [
        {"role": "tool", "tool_call_id": call.get("id"), "content": NO_RESULT} for call in missing
    ]
    return [turn.message, *turn.results, *blank, *turn.others]


def _ids(messages: Sequence[chat.Message], rules: RequestRules, count: Count) -> list[chat.Message]:
    """Gives each call a unique id in the form that the provider accepts.

    A result belongs to the nearest call before it that has its id.
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
    """Makes unique ids for calls, the same ones in each request."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._taken: set[str] = set()
        self._made: dict[str, int] = {}  # by the part without a number: the last number

    def renamed(self, message: chat.Message, current: dict[Any, list[str]]) -> chat.Message:
        """The message with new ids. `current` maps each old id to the new ones."""
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
        is_wrong = self._form == "mistral" and MISTRAL_ID.fullmatch(name) is None
        wanted = _nine(f"{name}/0") if is_wrong else name
        while not wanted or wanted in self._taken:
            wanted = self._next(name)
        self._taken.add(wanted)
        return wanted

    def _next(self, name: str) -> str:
        """The next id that is made of a name. None is made twice, however often the name comes."""
        # Kimi K2 calls tools worse if its ids do not keep their form, ``functions.name:0``.
        # https://github.com/MoonshotAI/kimi-code/pull/2503
        counted = None if self._form == "mistral" else _COUNTED.fullmatch(name)
        stem, least = (counted[1], int(counted[2]) + 1) if counted else (name, 1)
        number = self._made[stem] = max(least, self._made.get(stem, 0) + 1)
        if self._form == "mistral":
            return _nine(f"{name}/{number}")
        return f"{stem}{number}" if counted else f"{name}_{number + 1}"


def _nine(text: str) -> str:
    """Nine letters and digits derived from a text."""
    number = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
    letters = []
    for _ in range(_MISTRAL_LENGTH):
        number, place = divmod(number, len(_ALPHANUMERIC))
        letters.append(_ALPHANUMERIC[place])
    return "".join(letters)


def _key(given: Any) -> str:
    return given if isinstance(given, str) else repr(given)
