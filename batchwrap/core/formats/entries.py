"""Entries: what was said in a conversation, one by one, whatever the API.

A format reads the items of a request into entries, and writes entries back as items. One entry
may stand for several items, and one item may hold several entries. Entries never change; what is
made of one is a new one. An entry that nobody has changed is written as the items that it came
from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from itertools import groupby
from typing import Literal

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call

# Who speaks: the agent's instructions, its user, the model, a tool.
Role = Literal["system", "user", "model", "result", "other"]

# Texts, and parts of other kinds in the form of the API.
Parts = Sequence[object]


def plain_parts(
    content: Iterable[object], text_fields: AbstractSet[str], mark: str
) -> list[object]:
    """A content without its cache marks; neighbouring texts are one.

    Args:
        content: its parts, in the form of the API.
        text_fields: what a part may have that is nothing but a text.
        mark: the field of a cache mark.
    """
    plain = (_without_mark(part, text_fields, mark) for part in content)
    return _with_texts_joined(plain, "")


def joined(contents: Sequence[Parts], text_part: Callable[[str], object]) -> object:
    """Several contents as one: a text where all are texts, else a list of parts.

    The texts are the same whether an agent writes them as text or as parts.
    """
    made = _with_texts_joined((part for parts in contents for part in parts), "\n")
    if len(made) == 1 and isinstance(made[0], str):
        return made[0]
    return [text_part(part) if isinstance(part, str) else part for part in made]


def _without_mark(part: object, text_fields: AbstractSet[str], mark: str) -> object:
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("text"), str) and part.keys() <= text_fields:
        return part["text"]
    return {key: part[key] for key in part if key != mark} if mark in part else part


def _with_texts_joined(parts: Iterable[object], between: str) -> list[object]:
    made: list[object] = []
    for is_text, run in groupby(parts, lambda part: isinstance(part, str)):
        same = list(run)
        made += [between.join(map(str, same))] if is_text else same
    return made


class Entry(ABC):
    """One thing that was said.

    Attributes:
        role: who speaks.
        calls: the tool calls of the model in it.
        call_id: the call that a result answers; None for all other entries.
        items: how many items of the request begin with it.
    """

    __slots__ = ("_canonical", "_digest", "call_id", "calls", "items", "role")

    def __init__(
        self, role: Role, calls: Sequence[Call] = (), call_id: str | None = None, items: int = 1
    ) -> None:
        self.role = role
        self.calls = calls
        self.call_id = call_id
        self.items = items
        self._canonical: bytes | None = None
        self._digest: bytes | None = None

    # What it says.

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """The texts that it says, each part by itself."""

    @property
    @abstractmethod
    def parts(self) -> Parts:
        """Texts and other parts, without cache marks; neighbouring texts are one."""

    @property
    @abstractmethod
    def has_content(self) -> bool:
        """Whether it holds anything but calls; an empty text is nothing."""

    @property
    @abstractmethod
    def says_nothing(self) -> bool:
        """Whether it is the model's, and holds neither a text nor a call nor anything else."""

    @property
    @abstractmethod
    def is_plain(self) -> bool:
        """Whether nothing is lost if it is written anew.

        That is: a turn of nothing but text and functions, or a result of nothing but content.
        """

    @property
    @abstractmethod
    def takes_text(self) -> bool:
        """Whether a text of ours may stand at its end, or behind it."""

    def takes_beside(self, role: Role) -> bool:
        """Whether an entry of that role that says a text of ours may stand behind it."""
        return True

    @property
    def is_bound(self) -> bool:
        """Whether it holds something that is signed for all that stands before it."""
        return False

    @property
    def speaker(self) -> object:
        """Which of several speakers of that role; None: there is one."""
        return None

    @property
    def text(self) -> str:
        """Its texts as one, part under part."""
        return "\n".join(self.texts())

    @property
    def canonical(self) -> bytes:
        """The same bytes for entries that say the same; ids and unknown fields do not count."""
        if self._canonical is None:
            parts = self.parts
            said = parts[0] if len(parts) == 1 else list(parts)
            calls = [call.canonical for call in self.calls]
            self._canonical = fingerprint([self.role, self.speaker, said or "", calls])
        return self._canonical

    @property
    def digest(self) -> bytes:
        """The digest of what it says."""
        if self._digest is None:
            self._digest = blake2b(self.canonical, digest_size=16).digest()
        return self._digest

    # What can be made of it.

    @abstractmethod
    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> Entry:
        """The same turn of the model with these calls.

        Args:
            calls: in order.
            places: for each, the id of the call of the turn at whose place it stands; None: it
                follows the one before it. Without them their own ids tell.
        """

    @abstractmethod
    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> Entry:
        """One turn of the model that says what it and others say, with these calls."""

    @abstractmethod
    def with_text(self, text: str) -> Entry:
        """The same with a text at its end."""

    @abstractmethod
    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> Entry:
        """The same result with another content, and the cache mark of those that it comes from."""

    @abstractmethod
    def beside(self, role: Role, text: str) -> Entry:
        """An entry of its own that says a text."""

    @abstractmethod
    def result(self, call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> Entry:
        """A result for one of the calls of a turn.

        Args:
            call_id: of the call that it answers.
            parts: what it says, one group under the other.
            like: the results that it comes from, whose cache mark it has.
        """
