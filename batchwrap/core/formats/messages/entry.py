"""The entries of the Messages API.

A user's message may hold several results and other blocks. Each result is an entry of its own, and
the other blocks together are one; `write` joins them again:

    user: [result a, result b, text]   <->   result a · result b · user: [text]

The API requires that all results of a turn stand in the next message, before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from batchwrap.core.formats.calls import PROGRAM, Call, beside
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
# A result that begins with one of these already shows the model that it is an error.
_TELLS_ERROR = ("error", "<tool_use_error", "exit code")

Message = dict[str, Any]


class MessagesEntry(Entry):
    """A message, or a part of one.

    Attributes:
        content: a text or a list of blocks; of a result, its block.
        message: the message that it was read from; None if batchwrap made the entry.
        of: how many entries were read from that message.
        is_for_program: whether it is a result that goes back to a program of the model's, or
            a text behind one.
        is_whole: whether it is all of one of the agent's messages.
    """

    __slots__ = (
        "_is_error",
        "_parts",
        "content",
        "is_for_program",
        "is_whole",
        "message",
        "of",
    )

    def __init__(
        self,
        role: Role,
        content: Any,
        message: Message | None = None,
        *,
        of: int = 1,
        items: int = 1,
        is_for_program: bool = False,
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
        self._is_error = is_error
        self.is_for_program = is_for_program
        self.is_whole = message is not None and items > 0 and of == 1
        self._parts: Parts | None = None

    @property
    def begins_message(self) -> bool:
        """Whether it was the beginning of one of the agent's messages."""
        return self.message is not None and self.items > 0

    @property
    def said(self) -> Any:
        """Its content; for a result, the content of its block."""
        return self.content.get("content") if self.role == "result" else self.content

    @property
    def is_error(self) -> bool:
        """Whether it is a result with `is_error`."""
        return self._is_error

    def texts(self) -> Iterator[str]:
        """The texts of its content. The text of an error begins with a word that says so.

        A folded result has only one `is_error` for all of its parts, so each part must show it.
        """
        return (part for part in self.parts if isinstance(part, str))

    @property
    def parts(self) -> Parts:
        """Its content without calls and cache marks; adjacent texts are joined."""
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
        # The mark of a folded result is lost for its parts, so the text must show the error.
        if self.is_error and not (
            isinstance(first, str) and first.lstrip().lower().startswith(_TELLS_ERROR)
        ):
            found[0:1] = [f"Error: {first}"] if isinstance(first, str) else ["Error:", first]
        return found

    @property
    def has_content(self) -> bool:
        """Whether there is any content besides calls."""
        return any(part != "" for part in self.parts)

    @property
    def says_nothing(self) -> bool:
        """Whether it is an empty turn of the model."""
        return self.role == "model" and not self.content

    @property
    def is_plain(self) -> bool:
        """Whether it can be rebuilt from its texts and calls without losing anything."""
        if self.role == "result":
            block = self.content
            return not self.is_error and not (block.keys() - _PLAIN_RESULT)
        if self.role != "model" or not (self.message is None or self.message.keys() <= _MESSAGE):
            return False
        return isinstance(self.content, str) or all(map(_is_plain, self.content))

    @property
    def takes_text(self) -> bool:
        """Whether it is a user's message or a result."""
        return self.role in ("user", "result") and not self.is_for_program

    @property
    def is_bound(self) -> bool:
        """Whether it is a turn that contains thinking."""
        return self.role == "model" and any(map(is_thinking, blocks_of(self.content)))

    def takes_beside(self, role: Role) -> bool:
        """Always False: a text block after results makes the model end its turn with no answer.

        https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
        """
        return False

    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> MessagesEntry:
        """The same turn with other calls, each at the place of the calls that it replaces.

        Other blocks stay in their places among the calls: moved thinking is refused.
        """
        listed = self.content
        blocks = [text_block(listed)] if isinstance(listed, str) and listed else list(listed or ())
        places = places or [call.call_id for call in calls]
        made = beside(blocks, _call_id, map(write_call, calls), places)
        return MessagesEntry("model", made)

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> MessagesEntry:
        """One turn with the content of all turns, and these calls."""
        said = [
            part if isinstance(part, dict) else text_block(str(part))
            for entry in (self, *others)
            for part in entry.parts
            if part != ""
        ]
        return MessagesEntry("model", [*said, *map(write_call, calls)])

    def with_text(self, text: str) -> MessagesEntry:
        """The same entry with a text at its end; for a result, inside its block.

        The model reads the same text whether the content is a string or a list of blocks.
        """
        said = self.said
        added: object
        if isinstance(said, list) and said:
            gap = "\n\n" if isinstance(said[-1], dict) and said[-1].get("text") else ""
            added = [*said, text_block(gap + text)]
        else:
            added = f"{said}\n\n{text}" if said else text
        content = {**self.content, "content": added} if self.role == "result" else added
        return MessagesEntry(self.role, content, items=self.items)

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> MessagesEntry:
        """The same result with other content."""
        made = _answered(self.call_id or "", parts, like)
        return MessagesEntry("result", {**self.content, **made}, items=self.items)

    def beside(self, role: Role, text: str) -> MessagesEntry:
        """A new message with a text."""
        return MessagesEntry(role, text)

    def result(self, call: Call, parts: Sequence[Parts], like: Sequence[Entry]) -> MessagesEntry:
        """A new result with the cache mark of its sources; an error if all of them are errors.

        If it has the content of a single result, that block is kept, with another id.
        """
        if len(like) == 1 and len(parts) == 1 and list(parts[0]) == like[0].parts:
            own = cast(MessagesEntry, like[0]).content
            block = {**own, "tool_use_id": call.call_id}
        else:
            block = _answered(call.call_id, parts, like)
        return MessagesEntry("result", block, is_for_program=call.form == PROGRAM)


def _answered(call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": call_id}
    block["content"] = joined(parts, text_block)
    sources = [cast(MessagesEntry, entry) for entry in like]
    if sources and all(entry.is_error for entry in sources):
        block["is_error"] = True
    marks = [found for entry in sources for found in _marks(entry.content)]
    return {**block, _MARK: marks[-1]} if marks else block


_MESSAGE = frozenset({"role", "content"})


def read(messages: Sequence[Message]) -> Iterator[Entry]:
    """The entries of a list of messages."""
    of_programs: set[str] = set()  # ids of calls that programs have made
    for message in messages:
        content, role = message.get("content"), _ROLES.get(str(message.get("role")), "other")
        results = [block for block in blocks_of(content) if role == "user" and _is_result(block)]
        if not results:
            entry = MessagesEntry(role, content, message)
            of_programs.update(one.call_id for one in entry.calls if one.form == PROGRAM)
            yield entry
            continue
        rest = [block for block in blocks_of(content) if not _is_result(block)]
        of = len(results) + bool(rest)
        is_for = [str(block.get("tool_use_id")) in of_programs for block in results]
        for place, block in enumerate(results):
            yield MessagesEntry(
                "result",
                block,
                message,
                of=of,
                items=int(not place),
                is_for_program=is_for[place],
            )
        if rest:
            yield MessagesEntry("user", rest, message, of=of, items=0, is_for_program=any(is_for))


def write(entries: Sequence[Entry]) -> Iterator[Message]:
    """The messages of a list of entries. Results and the user's blocks after them are one message.

    Results that the agent sent in several messages stay in several, unless batchwrap made one of
    them. Then the turn was folded, and all results of a turn have to be in one message: "`tool_use`
    ids were found without `tool_result` blocks immediately after".
    """
    listed = cast(Sequence[MessagesEntry], entries)
    at, end = 0, len(listed)
    while at < end:
        entry = listed[at]
        upto = _past_results(listed, at) if entry.role == "result" else at + 1
        if upto > at + 1 or (entry.role == "result" and not entry.is_whole):
            yield from _results(listed[at:upto])
        else:
            yield _alone(entry)
        at = upto


def _past_results(entries: Sequence[MessagesEntry], at: int) -> int:
    """The place after a run of results and the user's blocks in the message of the last one."""
    end = len(entries)
    while at < end and entries[at].role == "result":
        at += 1
    while at < end and entries[at].role == "user" and not entries[at].items:
        at += 1
    return at


def _results(run: Sequence[MessagesEntry]) -> Iterator[Message]:
    """The messages of a run of results."""
    is_folded = any(entry.message is None and entry.role == "result" for entry in run)
    begin = 0
    for place, entry in enumerate(run):
        if place and not is_folded and entry.begins_message:
            yield _together(run[begin:place])
            begin = place
    yield _together(run[begin:])


def _alone(entry: MessagesEntry) -> Message:
    """The message of an entry that shares it with no other."""
    if entry.is_whole:
        return cast(Message, entry.message)
    return {"role": _NAMES.get(entry.role, entry.role), "content": entry.content}


def _together(entries: Sequence[MessagesEntry]) -> Message:
    """One message with these entries; the agent's own object if they are exactly that message."""
    message = entries[0].message
    is_whole = entries[0].begins_message and entries[0].of == len(entries)
    if message is not None and is_whole and all(one.message is message for one in entries):
        return message
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


def _call_id(block: Block) -> object:
    return str(block.get("id") or "") if is_call(block) else None


def _is_plain(block: Block) -> bool:
    """Whether a block of a turn holds only a text or a call."""
    fields = _PLAIN.get(str(block.get("type")))
    return fields is not None and not any(v for k, v in block.items() if k not in fields)


def _marks(block: Any) -> list[Any]:
    """The cache marks in a result: those of the blocks inside it, and then its own."""
    if not isinstance(block, dict):
        return []
    inside = [one[_MARK] for one in blocks_of(block.get("content")) if one.get(_MARK)]
    return [*inside, *([block[_MARK]] if block.get(_MARK) else [])]
