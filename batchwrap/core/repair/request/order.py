"""Reorders, merges and splits messages as a provider's chat template requires. Off by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchwrap.core.formats import chat
from batchwrap.core.provider import RequestRules

Count = Callable[[str], None]
_SYSTEM = ("system", "developer")


def arrange(
    messages: Sequence[chat.Message], rules: RequestRules, count: Count
) -> list[chat.Message]:
    """The messages as the template requires; those that stay are the same objects.

    Args:
        messages: of the request.
        rules: what the provider accepts.
        count: called with ``"rearrange"`` for each rule that changed something.
    """
    made = list(messages)
    steps = (
        (rules.system_first, _system_first),
        (rules.alternates, _alternating),
        (rules.single_calls, _one_call_each),
    )
    for wanted, rule in steps:
        new = rule(made) if wanted else made
        if new != made:
            count("rearrange")
            made = new
    return made


def _system_first(messages: list[chat.Message]) -> list[chat.Message]:
    """Merges all system messages into the first."""
    heads = [message for message in messages if message.get("role") in _SYSTEM]
    if not heads or messages[: len(heads)] == heads[:1]:
        return messages
    first, *others = heads
    for other in others:
        for text in chat.texts(other.get("content")):
            first = chat.with_text(first, text)
    return [first, *(message for message in messages if message.get("role") not in _SYSTEM)]


def _alternating(messages: list[chat.Message]) -> list[chat.Message]:
    """Merges consecutive messages of the user."""
    made: list[chat.Message] = []
    for message in messages:
        before = made[-1] if made else {}
        if message.get("role") == "user" and before.get("role") == "user":
            made[-1] = _joined(before, message)
        else:
            made.append(message)
    return made


def _joined(one: chat.Message, other: chat.Message) -> chat.Message:
    left, right = one.get("content"), other.get("content")
    if isinstance(left, str) and isinstance(right, str):
        return {**one, "content": f"{left}\n\n{right}"}
    return {**one, "content": [*_parts(left), *_parts(right)]}


def _parts(content: object) -> list[object]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) else []


def _one_call_each(messages: list[chat.Message]) -> list[chat.Message]:
    """Gives each call an assistant message of its own, followed by its result."""
    made: list[chat.Message] = []
    place = 0
    while place < len(messages):
        message = messages[place]
        calls = chat.tool_calls(message)
        place += 1
        if len(calls) < 2 or message.get("role") != "assistant":
            made.append(message)
            continue
        results: dict[object, chat.Message] = {}
        while place < len(messages) and messages[place].get("role") == "tool":
            results.setdefault(str(messages[place].get("tool_call_id")), messages[place])
            place += 1
        if not results:
            made.append(message)  # its calls may still be running
            continue
        for number, call in enumerate(calls):
            # The text and the reasoning of the turn stay with its first call.
            own = message if not number else {"role": "assistant", "content": None}
            made.append({**own, "tool_calls": [call]})
            result = results.get(str(call.get("id")))
            made += [result] if result else []
    return made
