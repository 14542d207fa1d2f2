"""The entries of the Responses API.

All items of one turn of the model are a single entry; any other item is an entry of its own:

    reasoning · message · function_call · function_call   ->  one turn of the model
    function_call_output                                  ->  one result
    message of the user                                   ->  one entry
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Parts, Role, joined, plain_parts
from batchwrap.core.formats.responses import OUTPUT, OUTPUTS, Item, is_of_model, items_of
from batchwrap.core.formats.responses.calls import is_call, is_plain, read_call, write_call

_MARK = "prompt_cache_breakpoint"
_TEXT = frozenset({"type", "text", "annotations", "logprobs", _MARK})
_ROLES: dict[object, Role] = {"system": "system", "developer": "system", "user": "user"}
_NAMES: dict[Role, str] = {"system": "developer", "user": "user", "model": "assistant"}
_PLAIN_OUTPUT = frozenset({"type", "call_id", "output", "id", "status"})
_PLAIN_MESSAGE = frozenset({"type", "role", "content", "id", "status"})


class ResponsesEntry(Entry):
    """One item, or the run of items of one turn of the model.

    Attributes:
        content: the items.
    """

    __slots__ = ("_parts", "content")

    def __init__(self, role: Role, content: Sequence[Item]) -> None:
        calls: Sequence[Call] = ()
        call_id = None
        if role == "model":
            calls = [read_call(item) for item in content if is_call(item)]
        elif role == "result":
            call_id = str(content[0].get("call_id"))
        super().__init__(role, calls, call_id, len(content))
        self.content = content
        self._parts: Parts | None = None

    def texts(self) -> Iterator[str]:
        """The texts of its messages, or of its output."""
        return (part for part in self.parts if isinstance(part, str))

    @property
    def parts(self) -> Parts:
        """Its content without calls, reasoning and cache marks; adjacent texts are joined."""
        if self._parts is None:
            self._parts = plain_parts(self._given(), _TEXT, _MARK) or [""]
        return self._parts

    def _given(self) -> Iterator[object]:
        """The parts of all items that are neither calls nor reasoning, in the API's form."""
        for item in self.content:
            if is_call(item) or item.get("type") == "reasoning":
                continue
            said = item.get("output") if self.role == "result" else item.get("content")
            # An item of any other type (a hosted call, for example) is one part. Its id and status
            # are left out, since clients change them.
            if self.role == "other" or (self.role == "model" and "content" not in item):
                yield {key: value for key, value in item.items() if key not in ("id", "status")}
            elif isinstance(said, list):
                yield from said
            else:
                yield said or ""

    @property
    def has_content(self) -> bool:
        """Whether there is anything besides calls. Reasoning counts: it begins a new turn."""
        if self.role == "model":
            return any(not is_call(item) for item in self.content)
        return any(part != "" for part in self.parts)

    @property
    def says_nothing(self) -> bool:
        """Whether it is a turn of the model that holds only empty messages."""
        said_only = all(item.get("type") in (None, "message") for item in self.content)
        return self.role == "model" and said_only and not any(self.parts)

    @property
    def is_plain(self) -> bool:
        """Whether it can be rebuilt from its texts and calls without losing anything."""
        if self.role == "result":
            item = self.content[0]
            return item.get("type") == OUTPUT and not (item.keys() - _PLAIN_OUTPUT)
        return self.role == "model" and all(is_plain(i) or _is_message(i) for i in self.content)

    @property
    def takes_text(self) -> bool:
        """Whether it is a user's message or a result."""
        return self.role in ("user", "result")

    def with_calls(
        self, calls: Sequence[Call], places: Sequence[str | None] = ()
    ) -> ResponsesEntry:
        """The same turn with other calls, each at the place of the call that it replaces.

        Reasoning keeps its place among the calls: OpenAI refuses reasoning without the item that
        followed it. https://github.com/vercel/ai/issues/7099
        """
        waiting = deque(zip(calls, places or [call.call_id for call in calls], strict=True))
        made: list[Item] = []
        for item in self.content:
            if not is_call(item):
                made.append(item)
                continue
            while waiting and waiting[0][1] in (None, item.get("call_id")):
                made.append(write_call(waiting.popleft()[0]))
        return ResponsesEntry("model", [*made, *(write_call(call) for call, _ in waiting)])

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> ResponsesEntry:
        """One turn with the messages of all turns, and these calls."""
        messages = [
            item
            for entry in (self, *others)
            for item in cast(ResponsesEntry, entry).content
            if not is_call(item)
        ]
        return ResponsesEntry("model", [*messages, *map(write_call, calls)])

    def with_text(self, text: str) -> ResponsesEntry:
        """The same entry with a text at its end.

        A text stays a text, since some servers accept no list of parts.
        """
        [item] = self.content
        key = "output" if self.role == "result" else "content"
        said = item.get(key)
        added: object
        if isinstance(said, list):
            added = [*said, {"type": "input_text", "text": f"\n\n{text}" if said else text}]
        else:
            added = f"{said}\n\n{text}" if said else text
        return ResponsesEntry(self.role, [{**item, key: added}])

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> ResponsesEntry:
        """The same result with another output."""
        made = self.result(self.call_id or "", parts, like).content[0]
        return ResponsesEntry("result", [{**self.content[0], "output": made["output"]}])

    def beside(self, role: Role, text: str) -> ResponsesEntry:
        """A new message with a text."""
        return said(role, text)

    def result(self, call_id: str, parts: Sequence[Parts], like: Sequence[Entry]) -> ResponsesEntry:
        """A new output with the cache mark of its sources."""
        output: Any = joined(parts, _text)
        marks = [found for entry in like for found in _marks(cast(ResponsesEntry, entry).content)]
        if marks:
            listed = output if isinstance(output, list) else [_text(str(output))]
            output = [*listed[:-1], {**listed[-1], _MARK: marks[-1]}]
        return ResponsesEntry("result", [{"type": OUTPUT, "call_id": call_id, "output": output}])


def said(role: Role, text: str | None, calls: Sequence[Call] = ()) -> ResponsesEntry:
    """A new entry with a text and calls."""
    if role != "model":
        return ResponsesEntry(role, [{"role": _NAMES[role], "content": text or ""}])
    message = {"type": "message", "role": "assistant", "content": text}
    return ResponsesEntry(role, [*([message] if text else []), *map(write_call, calls)])


def read(items: Sequence[Item]) -> Iterator[Entry]:
    """The entries of a list of items."""
    run: list[Item] = []
    for item in items:
        if is_of_model(item):
            run.append(item)
            continue
        if run:
            yield ResponsesEntry("model", run)
            run = []
        is_message = item.get("type") in (None, "message")
        role: Role = _ROLES.get(item.get("role"), "other") if is_message else "other"
        yield ResponsesEntry("result" if item.get("type") in OUTPUTS else role, [item])
    if run:
        yield ResponsesEntry("model", run)


def _is_message(item: Item) -> bool:
    return item.get("type") in (None, "message") and not (item.keys() - _PLAIN_MESSAGE)


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _marks(items: Sequence[Item]) -> list[Any]:
    """The cache marks in the parts of outputs."""
    return [
        part[_MARK] for item in items for part in items_of(item.get("output")) if part.get(_MARK)
    ]
