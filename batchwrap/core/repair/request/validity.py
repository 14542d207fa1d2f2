"""A quick check whether a history needs any repair. Nearly none does.

It may report a valid history as invalid; `history` then decides. The reverse must not happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.provider import RequestRules

MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Pairing:
    """Reads a history message by message, until the first one that needs a repair."""

    __slots__ = ("_answered", "_taken", "_waiting")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._waiting: set[str] = set()
        self._answered = True  # whether the newest turn has a result

    def copy(self) -> Pairing:
        """A copy that can continue independently."""
        new = Pairing()
        new._taken, new._waiting = set(self._taken), set(self._waiting)
        new._answered = self._answered
        return new

    @property
    def is_valid(self) -> bool:
        """Whether the history may end here."""
        return not (self._waiting and self._answered)

    def read(self, messages: Iterable[chat.Message], rules: RequestRules) -> bool:
        """Read the messages that follow; False if one of them needs a repair."""
        taken, waiting, answered = self._taken, self._waiting, self._answered
        for message in messages:
            role = message.get("role")
            if role == "tool":
                given = message.get("tool_call_id")
                if type(given) is not str or given not in waiting:
                    return False
                content = message.get("content")
                if type(content) is not str and not is_content(content):
                    return False
                waiting.discard(given)
                answered = True
                continue
            if waiting:
                return False
            if role == "assistant":
                ids = _ids(message, rules)
                if ids is None or not taken.isdisjoint(ids):
                    return False
                taken.update(ids)
                waiting, answered = set(ids), not ids
        self._waiting, self._answered = waiting, answered
        return True


class Checked:
    """How much of the histories of one conversation is known to be valid.

    Each request holds the whole conversation. Its beginning consists of the same objects each time
    and is checked once.

    Args:
        beginning: the messages that do not change any more; later requests may add to them.
        before: what is known of a shorter beginning.
    """

    def __init__(self, beginning: Sequence[chat.Message], before: Checked | None = None) -> None:
        self._beginning = beginning
        known = before._known if before is not None else {}
        self._known: dict[RequestRules, tuple[int, Pairing]] = dict(known)

    def is_valid(self, messages: Sequence[chat.Message], rules: RequestRules) -> bool:
        """Whether calls and results are paired, in order, with valid ids and arguments."""
        size = len(self._beginning)
        if len(messages) < size or not all(map(is_, messages, self._beginning)):
            return is_valid(messages, rules)
        place, known = self._known.get(rules) or (0, Pairing())
        if place < size:
            known = known.copy()  # shared with what is known of shorter beginnings
            if not known.read(messages[place:size], rules):
                return False
            self._known[rules] = size, known
        pairing = known.copy()
        return pairing.read(messages[size:], rules) and pairing.is_valid


def is_valid(messages: Sequence[chat.Message], rules: RequestRules) -> bool:
    """Whether calls and results are paired, in order, with valid ids and arguments."""
    pairing = Pairing()
    return pairing.read(messages, rules) and pairing.is_valid


def is_content(content: object) -> bool:
    """Whether a tool's result is a string, or a list of the API's content parts."""
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
    )


def _ids(message: chat.Message, rules: RequestRules) -> list[str] | None:
    """The ids of an assistant message's calls; None if something needs a repair."""
    calls = message.get("tool_calls")
    if not calls:
        return [] if message.get("content") else None
    if type(calls) is not list or "content" not in message:
        return None
    content = message["content"]
    if (content is None and not rules.null_content) or (content == "" and not rules.empty_content):
        return None
    if len(calls) == 1:  # as nearly all are
        only = _id(calls[0], rules)
        return None if only is None else [only]
    ids = [_id(call, rules) for call in calls]
    found = [one for one in ids if one is not None]
    return found if len(set(found)) == len(calls) else None


def _id(call: Any, rules: RequestRules) -> str | None:
    """The id of a call; None if something needs a repair."""
    if type(call) is not dict or type(call.get("function")) is not dict:
        return None
    given, text = call.get("id"), call["function"].get("arguments")
    if type(given) is not str or not given or type(text) is not str:
        return None
    if rules.ids == "mistral" and MISTRAL_ID.fullmatch(given) is None:
        return None
    try:
        return given if type(orjson.loads(text)) is dict else None
    except orjson.JSONDecodeError:
        return None
