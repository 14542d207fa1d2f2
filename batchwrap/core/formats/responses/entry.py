"""The entries of the Responses API.

All items of one turn of the model are a single entry; any other item is an entry of its own:

    reasoning · message · function_call · function_call   ->  one turn of the model
    function_call_output                                  ->  one result
    message of the user                                   ->  one entry
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from batchwrap.core.formats.calls import PROGRAM, Call, beside, is_of_program
from batchwrap.core.formats.entries import Entry, Parts, Role, joined, plain_parts
from batchwrap.core.formats.responses import (
    OUTPUT,
    OUTPUTS,
    Item,
    is_of_agent,
    is_of_model,
    is_said,
    items_of,
)
from batchwrap.core.formats.responses.calls import (
    is_call,
    is_plain,
    output_type,
    read_call,
    write_call,
)

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
        is_for_program: whether it is an output that goes back to a program of the model's.
    """

    __slots__ = ("_parts", "content", "is_for_program")

    def __init__(
        self, role: Role, content: Sequence[Item], *, is_for_program: bool = False
    ) -> None:
        calls: Sequence[Call] = ()
        call_id = None
        if role == "model":
            calls = [read_call(item) for item in content if is_call(item)]
        elif role == "result":
            call_id = str(content[0].get("call_id"))
        super().__init__(role, calls, call_id, len(content))
        self.content = content
        self.is_for_program = is_for_program
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
        said_only = all(map(is_said, self.content))
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
        return self.role in ("user", "result") and not self.is_for_program

    def with_calls(
        self, calls: Sequence[Call], places: Sequence[str | None] = ()
    ) -> ResponsesEntry:
        """The same turn with other calls, each at the place of the call that it replaces.

        Reasoning keeps its place among the calls: OpenAI refuses reasoning without the item that
        followed it. https://github.com/vercel/ai/issues/7099
        """
        places = places or [call.call_id for call in calls]
        made = beside(self.content, _call_id, map(write_call, calls), places)
        return ResponsesEntry("model", made)

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
        return ResponsesEntry("result", [{**self.content[0], "output": _output(parts, like)}])

    def beside(self, role: Role, text: str) -> ResponsesEntry:
        """A new message with a text."""
        return said(role, text)

    def result(self, call: Call, parts: Sequence[Parts], like: Sequence[Entry]) -> ResponsesEntry:
        """A new output with the cache mark of its sources.

        The content of a single output keeps the other fields of that output.
        """
        answers = {"type": output_type(call), "call_id": call.call_id}
        if len(like) == 1 and len(parts) == 1 and list(parts[0]) == list(like[0].parts):
            made = {**cast(ResponsesEntry, like[0]).content[0], **answers}
        else:
            made = {**answers, "output": _output(parts, like)}
        return ResponsesEntry("result", [made], is_for_program=call.form == PROGRAM)


def _output(parts: Sequence[Parts], like: Sequence[Entry]) -> Any:
    output: Any = joined(parts, _text)
    marks = [found for entry in like for found in _marks(cast(ResponsesEntry, entry).content)]
    if marks:
        listed = output if isinstance(output, list) else [_text(str(output))]
        output = [*listed[:-1], {**listed[-1], _MARK: marks[-1]}]
    return output


def said(role: Role, text: str | None, calls: Sequence[Call] = ()) -> ResponsesEntry:
    """A new entry with a text and calls."""
    if role != "model":
        return ResponsesEntry(role, [{"role": _NAMES[role], "content": text or ""}])
    message = {"type": "message", "role": "assistant", "content": text}
    return ResponsesEntry(role, [*([message] if text else []), *map(write_call, calls)])


def read(items: Sequence[Item]) -> Iterator[Entry]:
    """The entries of a list of items."""
    of_programs: set[str] = set()  # ids of calls that programs have made
    for run in _runs(items):
        item = run[0]
        if is_of_model(item):
            entry = ResponsesEntry("model", run)
            of_programs.update(one.call_id for one in entry.calls if one.form == PROGRAM)
            yield entry
            continue
        is_for = is_of_program(item) or str(item.get("call_id")) in of_programs
        is_output = item.get("type") in OUTPUTS
        role: Role = _ROLES.get(item.get("role"), "other") if is_said(item) else "other"
        yield ResponsesEntry("result" if is_output else role, run, is_for_program=is_for)


def _runs(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The turns of the model, and each other item by itself.

    What nobody knows belongs to a turn where it stands between two of its items: a request for an
    approval, a list of tools, a reference to something that the model said.
    """
    run: list[Item] = []
    unknown: list[Item] = []  # behind the turn so far
    for item in items:
        if is_of_model(item):
            run += [*unknown, item]
            unknown = []
        elif run and not is_of_agent(item):
            unknown.append(item)
        else:
            yield from filter(None, (run, *([one] for one in (*unknown, item))))
            run, unknown = [], []
    yield from filter(None, (run, *([one] for one in unknown)))


def _call_id(item: Item) -> object:
    return str(item.get("call_id") or "") if is_call(item) else None


def _is_message(item: Item) -> bool:
    return is_said(item) and not (item.keys() - _PLAIN_MESSAGE)


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _marks(items: Sequence[Item]) -> list[Any]:
    """The cache marks in the parts of outputs."""
    return [
        part[_MARK] for item in items for part in items_of(item.get("output")) if part.get(_MARK)
    ]
