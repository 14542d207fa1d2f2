"""A format that nobody speaks: what has to be written for an API, and nothing else.

    {"model": "m", "kit": [{"n": "read_file", "p": {...}}], "talk": [["you", "text", []], ...]}

An item of the talk is ``[who, text, calls]``, a call ``[id, name, arguments]``, and a result
``["out", id, text]``. An answer is ``{"bot": [text, calls]}``; its stream is ``{"say": text}``,
``{"call": [index, id, name, piece]}`` and ``{"over": true}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.calls import Call, Fragment
from batchwrap.core.formats.endpoints import Endpoint
from batchwrap.core.formats.entries import Entry, Parts, Role
from batchwrap.core.formats.format import (
    Binding,
    Body,
    Delta,
    Local,
    OriginOf,
    Piece,
    Settings,
    ToolSpec,
)

ROLES: dict[str, Role] = {"sys": "system", "you": "user", "bot": "model", "out": "result"}
WHO = {role: who for who, role in ROLES.items()}


class ToyEntry(Entry):
    """One item of the talk."""

    __slots__ = ("item",)

    def __init__(self, item: list[Any]) -> None:
        role = ROLES.get(item[0], "other")
        calls = (
            [Call(one[0], one[1], one[2], source=one) for one in item[2]] if role == "model" else ()
        )
        super().__init__(role, calls, item[1] if role == "result" else None)
        self.item = item

    @property
    def said(self) -> str:
        """Its text, wherever it stands."""
        return str(self.item[2] if self.role == "result" else self.item[1])

    def texts(self) -> Iterator[str]:
        """Its only text."""
        yield self.said

    @property
    def parts(self) -> Parts:
        """Its only text."""
        return [self.said]

    @property
    def has_content(self) -> bool:
        """Whether it has a text."""
        return bool(self.said)

    @property
    def says_nothing(self) -> bool:
        """Whether the model has said and called nothing."""
        return self.role == "model" and not self.said and not self.calls

    @property
    def is_plain(self) -> bool:
        """There is nothing else in an item."""
        return True

    @property
    def takes_text(self) -> bool:
        """Whether the model answers it."""
        return self.role in ("user", "result")

    def with_calls(self, calls: Sequence[Call], places: Sequence[str | None] = ()) -> ToyEntry:
        """The same turn with these calls."""
        return ToyEntry([self.item[0], self.item[1], [write_call(call) for call in calls]])

    def merged(self, others: Sequence[Entry], calls: Sequence[Call]) -> ToyEntry:
        """One turn for several."""
        text = "\n\n".join(filter(None, [self.said, *(other.text for other in others)]))
        return ToyEntry([self.item[0], text, []]).with_calls(calls)

    def with_text(self, text: str) -> ToyEntry:
        """The same with a text at its end."""
        place = 2 if self.role == "result" else 1
        item = [*self.item]
        item[place] = f"{item[place]}\n\n{text}"
        return ToyEntry(item)

    def with_parts(self, parts: Sequence[Parts], like: Sequence[Entry]) -> ToyEntry:
        """The same result with another text."""
        return _answered(str(self.call_id), parts)

    def beside(self, role: Role, text: str) -> ToyEntry:
        """An item of its own."""
        return ToyEntry([WHO[role], text, []])

    def result(self, call: Call, parts: Sequence[Parts], like: Sequence[Entry]) -> ToyEntry:
        """A result for a call."""
        return _answered(call.call_id, parts)


def _answered(call_id: str, parts: Sequence[Parts]) -> ToyEntry:
    return ToyEntry(["out", call_id, "\n".join(str(one) for some in parts for one in some)])


def write_call(call: Call) -> list[str]:
    """A call as it stands in the talk."""
    return call.source or [call.call_id, call.name, call.arguments]


def write_whole(part: Fragment) -> list[str]:
    """A whole call of an answer."""
    return part.source or [part.call_id, part.name or "", part.text or ""]


def write_part(part: Fragment) -> Body:
    """An event with a part of a call."""
    return {"call": [part.index, part.call_id, part.name, part.text or ""]}


class ToyStream:
    """Reads and writes events."""

    is_numbered = False

    def deltas(self, event: Body) -> list[Delta]:
        """What an event adds."""
        call = event.get("call")
        parts = [Fragment(*call)] if call else []
        return [Delta(0, parts, is_over="over" in event)]

    def rewritten(
        self, event: Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[Body] | None:
        """The calls, and the end of the answer."""
        if calls == [None]:
            return None
        made = [write_part(part) for some in calls for part in some or ()]
        return [*made, event] if "over" in event else made

    def passes(self, event: Body, piece: Piece) -> bool:
        """An event has no number of its own."""
        return True

    def continued(self, event: Body, calls: Sequence[Fragment]) -> list[Body]:
        """The calls."""
        return [write_part(part) for part in calls]

    def left(
        self, event: Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[Body]:
        """The calls."""
        return [write_part(part) for _, some in calls for part in some]

    def broken_off(self, error: ApiError) -> list[Body]:
        """Nobody is told."""
        return []


class ToySalvage:
    """Owes nothing."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Nothing is kept."""

    def held(self, piece: Piece) -> bool:
        """Nothing is kept."""
        return True

    def chunk(self, event: Body) -> list[Body] | None:
        """The event goes out as it came."""
        return None

    def end(self) -> list[Body]:
        """Nothing is owed."""
        return []


class ToyFormat:
    """The format."""

    is_repaired = False
    leaves = ""
    items_key = "talk"
    end_mark: bytes | None = None
    carries_scripts = True
    binding: Binding | None = None

    def may_rewrite(self, body: Body) -> bool:
        """Nothing is signed."""
        return True

    def declined(self, body: Body, helper: str) -> None:
        """No helper has to be told anything."""

    def is_kept(self, body: Body) -> bool:
        """Each request has the whole talk."""
        return False

    def is_continued(self, body: Body) -> bool:
        """Each request has the whole talk."""
        return False

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether there is a talk."""
        return isinstance(body, dict) and isinstance(body.get("talk"), list)

    def items(self, body: Body) -> list[Any]:
        """The talk."""
        return list(body["talk"])

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """Another talk."""
        return {**body, "talk": items}

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """An entry for each item."""
        return [ToyEntry(item) for item in items]

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """An item for each entry."""
        return [entry.item for entry in entries if isinstance(entry, ToyEntry)]

    def key_of(self, item: Any) -> str | None:
        """The id of its last call."""
        return str(item[2][-1][0]) if item[0] == "bot" and item[2] else None

    def said(self, role: Role, text: str | None, calls: Sequence[Call] = ()) -> Entry:
        """An item that is made here."""
        return ToyEntry([WHO[role], text or "", []]).with_calls(calls)

    def settings(self, body: Body) -> Settings:
        """There is nothing to set."""
        return Settings(tools=frozenset(tool["n"] for tool in body.get("kit", ())))

    def tool_items(self, body: Body) -> object:
        """The kit."""
        return body.get("kit")

    def tools(self, listed: Any) -> list[ToolSpec]:
        """The tools in it."""
        return [ToolSpec(tool["n"], tool["p"], tool.get("d", "")) for tool in listed or ()]

    def definition(self, tool: ToolSpec) -> object:
        """A tool as it stands in the kit."""
        return {"n": tool.name, "p": tool.parameters, "d": tool.description}

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hidden: Set[str],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """More tools in the kit."""
        return {**body, "kit": [*(one for one in body["kit"] if one["n"] not in hidden), *added]}

    def deltas(self, answer: Body) -> list[Delta]:
        """What an answer says."""
        text, calls = answer["bot"]
        parts = [Fragment(i, one[0], one[1], one[2], source=one) for i, one in enumerate(calls)]
        return [Delta(0, parts, text, is_over=True)]

    def piece_alone(self, event: Body) -> Piece | None:
        """No event is known to be simple."""
        return None

    def with_calls(self, answer: Body, calls: Sequence[Sequence[Fragment]]) -> Body:
        """The answer with other calls."""
        made = [write_whole(part) for part in calls[0]]
        text, own = answer["bot"]
        return answer if made == own else {**answer, "bot": [text, made]}

    def stream(self) -> ToyStream:
        """Writes events."""
        return ToyStream()

    def salvage(self, origin_of: OriginOf) -> ToySalvage:
        """Owes nothing."""
        return ToySalvage()

    def event_name(self, event: Body) -> None:
        """Events have no names."""

    def is_silent(self, event: Body) -> bool:
        """Every event says something."""
        return False

    def head(self, answer: Body) -> Mapping[str, Any]:
        """There is nothing to repeat."""
        return {}

    def usage(self, answer: Body) -> Any:
        """Nobody counts."""
        return None

    def cached(self, usage: Any) -> None:
        """Nobody counts."""

    def timing(self, answer: Body) -> tuple[None, None]:
        """Nobody measures."""
        return None, None

    def local(self, answer: Local) -> Body:
        """An answer without a round trip."""
        return {"id": answer.answer_id, "bot": ["", [write_whole(one) for one in answer.calls]]}

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """The same as a stream."""
        return [*(write_part(one) for one in answer.calls), {"over": True}]

    def wants_usage(self, body: Body) -> bool:
        """Nobody counts."""
        return False

    def with_usage(self, body: Body) -> Body:
        """Nobody counts."""
        return body

    def is_empty(self, event: Body) -> bool:
        """Every event says something."""
        return False


TOY = Endpoint(name="toy", suffix="/toy", prompt=("talk",), format=ToyFormat())
