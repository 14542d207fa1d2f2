"""Entries of the Messages API: an instruction, a turn of the model, a result, or what a user says.

A user's message may hold several results and texts. Each result is an entry, and so is the rest;
`write` puts them together again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, cast

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Parts, Role, joined, plain_parts
from batchwrap.core.formats.messages import Block, blocks_of, text_block
from batchwrap.core.formats.messages.calls import is_call, read_call, write_call
from batchwrap.core.formats.messages.thinking import is_thinking

_MARK = "cache_control"
_TEXT = frozenset({"type", "text", _MARK})
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "model"}
_NAMES = {"system": "system", "user": "user", "model": "assistant", "result": "user"}
_PLAIN = {
    "text": frozenset({"type", "text"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}
_PLAIN_RESULT = frozenset({"type", "tool_use_id", "content", "is_error"})
# How results tell of an error that do not need to be told apart from others.
_TELLS_ERROR = ("error", "<tool_use_error", "exit code")

Message = dict[str, Any]


class MessagesEntry(Entry):
    """A message, or a part of one.

    Attributes:
        content: a text, or blocks.
        message: the message that holds it, as it came; None: it was made here.
        of: how many entries that message has.
        is_error: whether it is a result that is marked as an error.
    """

    __slots__ = ("_parts", "content", "is_error", "message", "of")

    def __init__(
        self,
        role: Role,
        content: Any,
        message: Message | None = None,
        *,
        of: int = 1,
        items: int = 1,
    ) -> None:
        calls: Sequence[Call] = ()
        call_id, is_error = None, False
        if role == "model":
            calls = [read_call(block) for block in blocks_of(content) if is_call(block)]
        elif role == "result":
            call_id, is_error = str(content.get("tool_use_id")), bool(content.get("is_error"))
        super().__init__(role, calls, call_id, items)
        self.content = content
        self.message = message
        self.of = of
        self.is_error = is_error
        self._parts: Parts | None = None

    @property
    def said(self) -> Any:
        """Its content; of a result that of its block."""
        return self.content.get("content") if self.role == "result" else self.content

    def texts(self) -> Iterator[str]:
        """The texts of its content; an error says that it is one."""
        return (part for part in self.parts if isinstance(part, str))

    @property
    def parts(self) -> Parts:
        """Its content, without cache marks; neighbouring texts are one. Calls are none of it."""
        if self._parts is None:
            self._parts = self._read_parts()
        return self._parts

    def _read_parts(self) -> Parts:
        said = self.said
        given = said if isinstance(said, list) else [said or ""]
        if self.role == "model":
            given = [part for part in given if not (isinstance(part, dict) and is_call(part))]
        found = plain_parts(given, _TEXT, _MARK) or [""]
        first = found[0]
        if self.is_error and not (
            isinstance(first, str) and first.lstrip().lower().startswith(_TELLS_ERROR)
        ):
            found[0:1] = [f"Error: {first}"] if isinstance(first, str) else ["Error:", first]
        return found

    @property
    def has_content(self) -> bool:
        """Whether it holds anything but calls."""
        return any(part != "" for part in self.parts)

    @property
    def says_nothing(self) -> bool:
        """Whether it is an empty turn of the model."""
        return self.role == "model" and not self.content

    @property
    def is_plain(self) -> bool:
        """Whether nothing is lost if it is written anew."""
        if self.role == "result":
            block = self.content
            return not self.is_error and not (block.keys() - _PLAIN_RESULT)
        if self.role != "model" or not (self.message is None or self.message.keys() <= _MESSAGE):
            return False
        return isinstance(self.content, str) or all(map(_is_plain, self.content))

    @property
    def takes_text(self) -> bool:
        """Whether it is the user's, or a result."""
        return self.role in ("user", "result")

    @property
    def is_bound(self) -> bool:
        """Whether it is a turn that begins with, or holds, thinking."""
        return self.role == "model" and any(map(is_thinking, blocks_of(self.content)))

    def takes_beside(self, role: Role) -> bool:
        """Never: behind results a text of its own makes the model end its turn.

        https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
        """
        return False

    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> MessagesEntry:
        """The same turn with these calls, each where those stand that it was taken apart into.

        What stands between them, thinking above all, stays between them.
        """
        listed = self.content
        blocks = [text_block(listed)] if isinstance(listed, str) and listed else list(listed or ())
        waiting = deque(zip(calls, places or [call.call_id for call in calls], strict=True))
        made: list[Block] = []
        for block in blocks:
            if not is_call(block):
                made.append(block)
                continue
            while waiting and waiting[0][1] in (None, block.get("id")):
                made.append(write_call(waiting.popleft()[0]))
        return MessagesEntry("model", [*made, *(write_call(call) for call, _ in waiting)])

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> MessagesEntry:
        """The first turn with what all of them say."""
        said = [
            part if isinstance(part, dict) else text_block(str(part))
            for entry in (self, *others)
            for part in entry.parts
            if part != ""
        ]
        return MessagesEntry("model", [*said, *map(write_call, calls)])

    def with_text(self, text: str) -> MessagesEntry:
        """The same with a text at its end: of a result, inside of it."""
        said = self.said
        added: object
        if isinstance(said, list) and said:
            added = [*said, text_block(text)]
        else:
            added = f"{said}\n\n{text}" if said else text
        content = {**self.content, "content": added} if self.role == "result" else added
        return MessagesEntry(self.role, content, items=self.items)

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> MessagesEntry:
        """The same result with another content."""
        made = self.result(self.call_id or "", parts, like)
        return MessagesEntry("result", {**self.content, **made.content}, items=self.items)

    def beside(self, role: Role, text: str) -> MessagesEntry:
        """A message that says a text."""
        return MessagesEntry(role, text)

    def result(self, call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> MessagesEntry:
        """A result, with the cache mark of those that it comes from; an error if all are.

        What is nothing but one result stays as it came, apart from its id.
        """
        if len(like) == 1 and len(parts) == 1 and list(parts[0]) == like[0].parts:
            return MessagesEntry(
                "result", {**cast(MessagesEntry, like[0]).content, "tool_use_id": call_id}
            )
        block: Block = {"type": "tool_result", "tool_use_id": call_id}
        block["content"] = joined(parts, text_block)
        sources = [cast(MessagesEntry, entry) for entry in like]
        if sources and all(entry.is_error for entry in sources):
            block["is_error"] = True
        marks = [found for entry in sources for found in _marks(entry.content)]
        return MessagesEntry("result", {**block, _MARK: marks[-1]} if marks else block)


_MESSAGE = frozenset({"role", "content"})


def read(messages: Sequence[Message]) -> Iterator[Entry]:
    """The entries of some messages."""
    for message in messages:
        content, role = message.get("content"), _ROLES.get(str(message.get("role")), "other")
        results = [block for block in blocks_of(content) if role == "user" and _is_result(block)]
        if not results:
            yield MessagesEntry(role, content, message)
            continue
        rest = [block for block in blocks_of(content) if not _is_result(block)]
        of = len(results) + bool(rest)
        for place, block in enumerate(results):
            yield MessagesEntry("result", block, message, of=of, items=int(not place))
        if rest:
            yield MessagesEntry("user", rest, message, of=of, items=0)


def write(entries: Sequence[Entry]) -> Iterator[Message]:
    """The messages of some entries: results and what is said behind them are one of them.

    Results that the agent sent in several messages stay in them, unless one was made here: then
    its turn was folded, and all results of a turn have to stand in a single message.
    """
    listed = [cast(MessagesEntry, entry) for entry in entries]
    together: list[MessagesEntry] = []
    for _, group in groupby(listed, lambda entry: entry.role == "result"):
        run = list(group)
        is_folded = any(entry.message is None for entry in run)
        for place, entry in enumerate(run):
            is_next = place > 0 and (is_folded or not _begins(entry))
            if together and not _belongs(entry, together[0], is_next=is_next):
                yield _message(together)
                together = []
            together.append(entry)
    if together:
        yield _message(together)


def _belongs(entry: MessagesEntry, first: MessagesEntry, *, is_next: bool) -> bool:
    """Whether an entry stands in the message that begins with the first one."""
    if first.role != "result":
        return False
    return is_next if entry.role == "result" else entry.role == "user" and entry.items == 0


def _begins(entry: MessagesEntry) -> bool:
    """Whether an entry begins a message of the agent's own."""
    return entry.message is not None and entry.items > 0


def _message(entries: Sequence[MessagesEntry]) -> Message:
    first = entries[0]
    message = first.message
    is_whole = first.items > 0 and first.of == len(entries)
    if message is not None and is_whole and all(one.message is message for one in entries):
        return message
    if len(entries) == 1 and first.role != "result":
        return {"role": _NAMES.get(first.role, first.role), "content": first.content}
    blocks: list[Block] = []
    for entry in entries:
        if entry.role == "result":
            blocks.append(entry.content)
        elif isinstance(entry.content, str):
            blocks.append(text_block(entry.content))
        else:
            blocks += entry.content
    return {"role": "user", "content": blocks}


def _is_result(block: Block) -> bool:
    return block.get("type") == "tool_result"


def _is_plain(block: Block) -> bool:
    """Whether a block of a turn holds nothing but a text or a call."""
    fields = _PLAIN.get(str(block.get("type")))
    return fields is not None and not any(v for k, v in block.items() if k not in fields)


def _marks(block: Any) -> list[Any]:
    """The cache marks of a result, its own and those inside of it."""
    if not isinstance(block, dict):
        return []
    inside = [one[_MARK] for one in blocks_of(block.get("content")) if one.get(_MARK)]
    return [*inside, *([block[_MARK]] if block.get(_MARK) else [])]
