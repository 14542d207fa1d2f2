"""Entries: the parts of a conversation in a form that is the same for all APIs.

A format reads the items of a request into entries and writes entries back as items. An entry is
what the moves work on: an instruction, a message of the user, a turn of the model, or one result.
One entry may represent several items (Responses: a turn is a run of items), and one item may hold
several entries (Messages: a user's message holds several results).

Entries are immutable: a changed entry is a new one. An unchanged entry is written as the items that
it was read from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import Literal

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call

# The agent's instructions, the user, the model, the result of a tool call, or anything else.
Role = Literal["system", "user", "model", "result", "other"]

# The parts of a content: texts as strings, all others (pictures, files) in the API's own form.
Parts = Sequence[object]


def plain_parts(
    content: Iterable[object], text_fields: AbstractSet[str], mark: str
) -> list[object]:
    """The parts of a content without cache marks; adjacent texts are joined.

    Args:
        content: the parts in the API's form.
        text_fields: the fields that a part may have if it is only a text.
        mark: the field that holds a cache mark.
    """
    plain = (_without_mark(part, text_fields, mark) for part in content)
    return _with_texts_joined(plain, "")


def joined(contents: Sequence[Parts], text_part: Callable[[str], object]) -> object:
    """Joins several contents into one: a text if all parts are texts, otherwise a list of parts.

    The result does not depend on whether the agent wrote its texts as strings or as parts.
    """
    listed = [part for parts in contents for part in parts]
    if listed and all(isinstance(part, str) for part in listed):  # as nearly all
        return "\n".join(map(str, listed))
    made = _with_texts_joined(listed, "\n")
    if len(made) == 1 and isinstance(made[0], str):
        return made[0]
    return [text_part(part) if isinstance(part, str) else part for part in made]


def _without_mark(part: object, text_fields: AbstractSet[str], mark: str) -> object:
    """A part without its cache mark; a string if it is only a text."""
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("text"), str) and part.keys() <= text_fields:
        return part["text"]
    return {key: part[key] for key in part if key != mark} if mark in part else part


def _with_texts_joined(parts: Iterable[object], between: str) -> list[object]:
    """The parts with each run of texts as one text."""
    made: list[object] = []
    for is_text, run in groupby(parts, lambda part: isinstance(part, str)):
        same = list(run)
        made += [between.join(map(str, same))] if is_text else same
    return made


class Entry(ABC):
    """One part of a conversation: an instruction, a user's message, a turn of the model, a result.

    Attributes:
        role: whose it is.
        calls: the tool calls of a turn of the model.
        call_id: the id of the call that a result answers; None for all other entries.
        items: how many items of the request begin in this entry. 0 for the later entries of an item
            that holds several.
    """

    __slots__ = ("_canonical", "call_id", "calls", "items", "role")

    def __init__(
        self, role: Role, calls: Sequence[Call] = (), call_id: str | None = None, items: int = 1
    ) -> None:
        self.role = role
        self.calls = calls
        self.call_id = call_id
        self.items = items
        self._canonical: bytes | None = None

    # Reading an entry.

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """The texts of the content, part by part."""

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """The content without calls and cache marks; adjacent texts are joined."""

    @property
    @abstractmethod
    def has_content(self) -> bool:
        """Whether there is any content besides calls; an empty text does not count."""

    @property
    @abstractmethod
    def says_nothing(self) -> bool:
        """Whether it is an empty turn of the model, without texts, calls or other parts."""

    @property
    @abstractmethod
    def is_plain(self) -> bool:
        """Whether it can be rebuilt from its texts and calls without losing anything.

        True for a turn that holds only texts and function calls, and for a result that holds only
        content.
        """

    @property
    @abstractmethod
    def takes_text(self) -> bool:
        """Whether batchwrap may add a text at its end or after it."""

    def takes_beside(self, role: Role) -> bool:
        """Whether batchwrap may add an entry of this role, with a text, after it."""
        return True

    @property
    def is_error(self) -> bool:
        """Whether it is a result that a flag beside its text marks as an error."""
        return False

    @property
    def is_bound(self) -> bool:
        """Whether it holds a signature over everything before it, as signed thinking does."""
        return False

    @property
    def speaker(self) -> object:
        """The name of the speaker, if there are several of one role; otherwise None."""
        return None

    @property
    def text(self) -> str:
        """Its texts, joined by newlines."""
        return "\n".join(self.texts())

    @property
    def canonical(self) -> bytes:
        """Bytes that are equal for entries with equal content; ids and unknown fields are left out.

        `sameness` says which differences between two conversations do not count.
        """
        if self._canonical is None:
            parts = self.parts
            said = parts[0] if len(parts) == 1 else list(parts)
            calls = [call.canonical for call in self.calls]
            self._canonical = fingerprint([self.role, self.speaker, said or "", calls])
        return self._canonical

    # Making new entries.

    @abstractmethod
    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> Entry:
        """The same turn of the model with other calls.

        Args:
            calls: the calls in order.
            places: for each call, the id of the turn's call whose place it takes; None if it
                follows the call before it. By default the calls' own ids.
        """

    @abstractmethod
    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> Entry:
        """One turn of the model with the content of this turn and of others, and these calls."""

    @abstractmethod
    def with_text(self, text: str) -> Entry:
        """The same entry with a text at its end."""

    @abstractmethod
    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> Entry:
        """The same result with other content, and with the cache mark of its sources.

        Args:
            parts: the new content, group by group.
            like: the results that the content was taken from.
        """

    @abstractmethod
    def beside(self, role: Role, text: str) -> Entry:
        """A separate new entry that holds a text."""

    @abstractmethod
    def result(self, call: Call, parts: Sequence[Parts], like: Sequence[Entry]) -> Entry:
        """A new result for a call.

        Args:
            call: the call that it answers.
            parts: its content, group by group.
            like: the results that the content was taken from; their cache mark is kept.
        """
