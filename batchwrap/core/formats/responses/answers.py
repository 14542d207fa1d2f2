"""Reads and writes answers of the Responses API: complete ones, streams, and local answers.

The readers of a stream need different events of it: LangChain needs the deltas, Codex runs a call
at `output_item.done`, and the SDK's final response is the `output` in the last event. So a call
that batchwrap makes has the complete series of events: the item is added, a delta, the arguments
are done, the item is done; and the last event repeats all items of the agent view.

Each item has its own `output_index`, since the SDK raises an error if one is used twice. Once a
call was expanded, all later items get new indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Any

from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.calls import Fragment, in_places
from batchwrap.core.formats.format import Delta, Local, Piece
from batchwrap.core.formats.responses import (
    CALL,
    CUSTOM,
    Body,
    Item,
    index_of,
    is_of_item,
    items_of,
)
from batchwrap.core.formats.responses.calls import (
    is_call,
    item_id,
    read_fragment,
    text_field,
    text_of,
    write_fragment,
)

_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_TEXT = "response.output_text.delta"
# What is written of a call piece by piece.
_WRITTEN = {
    CALL: "response.function_call_arguments",
    CUSTOM: "response.custom_tool_call_input",
}
_DELTAS = tuple(f"{written}.delta" for written in _WRITTEN.values())
_ENDS = (*(f"{written}.done" for written in _WRITTEN.values()), _DONE)
_FAILED, _ERROR = "response.failed", "error"
_OVER = ("response.completed", "response.incomplete", _FAILED)
_SILENT = frozenset({"response.created", "response.queued", "response.in_progress"})
_REPEATED = ("model", "created_at")
_NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


def deltas(answer: Body) -> list[Delta]:
    """The content of a complete answer; empty if it is an error."""
    output = answer.get("output")
    if not isinstance(output, list):
        return []
    calls = [item for item in items_of(output) if is_call(item)]
    parts = [read_fragment(item, place) for place, item in enumerate(calls)]
    texts = [
        part["text"]
        for item in items_of(output)
        for part in items_of(item.get("content"))
        if isinstance(part.get("text"), str) and item.get("type") == "message"
    ]
    is_tied = any(map(_is_reasoning, dropwhile(lambda item: not is_call(item), items_of(output))))
    text, is_cut = "\n".join(texts) or None, _is_cut(answer)
    return [Delta(0, parts, text, is_over=True, is_cut=is_cut, is_tied=is_tied)]


def _is_reasoning(item: Item) -> bool:
    return item.get("type") == "reasoning"


def _is_cut(response: Mapping[str, Any]) -> bool:
    details = response.get("incomplete_details")
    return isinstance(details, dict) and details.get("reason") == "max_output_tokens"


def with_calls(answer: Body, calls: Sequence[Sequence[Fragment]]) -> Body:
    """The answer with other calls, each at the place of the call that it was made from."""
    if not calls:
        return answer
    output = answer["output"]
    made = [part.source if part.source is not None else write_fragment(part) for part in calls[0]]
    own = [(item, item.get("call_id")) for item in items_of(output) if is_call(item)]
    new = in_places(output, own, [*zip(made, (part.origin for part in calls[0]), strict=True)])
    return answer if new is output else {**answer, "output": new}


def response_of(answer: Body) -> Mapping[str, Any]:
    """The response in an event; otherwise the answer or event itself."""
    response = answer.get("response")
    return response if isinstance(response, dict) else answer


def head(answer: Body) -> Mapping[str, Any]:
    """The fields of a response that local answers repeat."""
    response = response_of(answer)
    return {name: response[name] for name in _REPEATED if name in response}


def usage(answer: Body) -> Any:
    """The usage that an answer, or its last event, reports."""
    found = response_of(answer).get("usage")
    return found if isinstance(found, dict) else None


def cached(found: Any) -> tuple[int, int] | None:
    """(prompt tokens from the cache, all prompt tokens); None unless both are reported."""
    details = found.get("input_tokens_details") if isinstance(found, dict) else None
    read = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt = found.get("input_tokens") if isinstance(found, dict) else None
    return (read, prompt) if isinstance(read, int) and isinstance(prompt, int) else None


def output_tokens(answer: Body) -> float | None:
    """The output tokens that an answer reports."""
    count = (usage(answer) or {}).get("output_tokens")
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def piece_alone(event: Body) -> Piece | None:
    """The piece of a text or of arguments that an event holds; None for any other event."""
    kind, text = event.get("type"), event.get("delta")
    if type(text) is not str:
        return None
    if kind == _TEXT:
        return 0, None, text
    index = event.get("output_index")
    return (0, index, text) if kind in _DELTAS and type(index) is int else None


def is_silent(event: Body) -> bool:
    """Whether an event shows no more than that an answer has begun."""
    return event.get("type") in _SILENT


def local(answer: Local) -> Body:
    """A local answer as a complete answer."""
    return {
        **_begun(answer),
        "status": "completed",
        "output": _local_items(answer),
        "usage": answer.usage or _NO_USAGE,
    }


def local_events(answer: Local) -> list[Body]:
    """A local answer as events."""
    begun = _begun(answer)
    series = [
        event for place, item in enumerate(_local_items(answer)) for event in _series(place, item)
    ]
    events: list[Body] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *series,
        {"type": "response.completed", "response": local(answer)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _begun(answer: Local) -> Body:
    """The response of a local answer before its first item."""
    told: Body = {"error": None, "incomplete_details": None, "instructions": None, "metadata": {}}
    asked = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    free: Body = {"temperature": None, "top_p": None, "usage": None, "output": []}
    top = {"id": f"resp_bw{answer.answer_id}", "object": "response", "status": "in_progress"}
    known = {"created_at": 0, "model": "", **answer.head}
    return {**top, **known, **told, **asked, **free}


def _local_items(answer: Local) -> list[Item]:
    """The calls as items, each with a new item id: the model's own id was handed out before."""
    return [{**item, "id": item_id(item)} for item in map(write_fragment, answer.calls)]


@dataclass(slots=True, repr=False)
class _Item:
    """An item that the provider has begun.

    Attributes:
        begun: the item in its first event.
        done: the item in its last event; None before that.
        place: its index in the agent view; None if the agent has received nothing of it.
        has_text: whether a piece of the call's arguments has arrived.
        held: its last events, if they arrived before the item began in the agent view.
    """

    begun: Item
    done: Item | None = None
    place: int | None = None
    has_text: bool = False
    held: list[Body] = field(default_factory=list)


class ResponsesStream:
    """Reads and writes the events of one answer."""

    is_numbered = True

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}  # by number, in the order in which they began
        self._newest: dict[object, int] = {}  # the newest item with each index of the provider
        # The items of the agent view: those that batchwrap made, and the numbers of the provider's.
        self._given: list[Item | int] = []
        # The item that began in the agent view after the provider had ended it: a call that was
        # held back until it was complete. Its last events are sent before the next item begins.
        self._late: _Item | None = None
        self._number = 0  # the sequence number of the next event in the agent view
        self._is_changed = False
        self._begun_as: Mapping[str, Any] = {}  # the response in the first event
        self._is_over = False

    def deltas(self, event: Body) -> list[Delta]:
        """What an event adds: a part of a call, or the end of the answer.

        Some servers send no deltas. If no piece of the arguments has arrived, they are read from
        the events at the end of the item. These repeat all arguments, perhaps with other spacing,
        so they never continue pieces.
        """
        kind = event.get("type")
        if kind in _SILENT:
            self._begun_as = self._begun_as or response_of(event)
        self._is_over = self._is_over or kind == _ERROR or kind in _OVER
        if kind in _OVER:
            is_cut = _is_cut(response_of(event))
            return [Delta(0, is_over=kind != _FAILED, is_cut=is_cut)]
        number = self._item_of(event)
        # Some servers send only the last event of an item, which then also begins it.
        if kind == _ADDED or (kind == _DONE and number not in self._items):
            begun, ended = self._begun(event), self._ended(event)
            return [Delta(0, begun, is_tied=_is_reasoning(_item_in(event)), ended=ended)]
        item = self._items.get(number)
        if item is None or not is_call(item.begun):
            return [Delta(0)]
        if kind in _DELTAS and isinstance(event.get("delta"), str):
            item.has_text = item.has_text or bool(event["delta"])
            part = Fragment(number, text=event["delta"], form="", source=(number, event))
            return [Delta(0, [part])]
        told = _item_in(event) if kind == _DONE else event if kind in _ENDS else {}
        whole = told.get(text_field(item.begun))
        parts = []
        if isinstance(whole, str) and whole and not item.has_text:
            item.has_text = True
            parts.append(Fragment(number, text=whole, form="", source=(number, None)))
        return [Delta(0, parts, ended=self._ended(event))]

    def _ended(self, event: Body) -> int | None:
        """The number of the call that is complete with an event; None: none is."""
        number = self._item_of(event)
        is_done = event.get("type") == _DONE and number in self._items
        return number if is_done and is_call(self._items[number].begun) else None

    def _begun(self, event: Body) -> list[Fragment]:
        """Record an item that begins; returns the first fragment if it is a call."""
        given = _item_in(event)
        if not given:
            return []
        number = len(self._items)
        self._newest[index_of(event)] = number
        self._items[number] = item = _Item(given)
        if not is_call(given):
            return []
        part = read_fragment(given, number, (number, event))
        item.has_text = bool(part.text)
        return [part]

    def _item_of(self, event: Body) -> int:
        """The number of the item that an event belongs to; -1 if there is none.

        A server may leave out an index, or use one again for a later item.
        """
        return self._newest.get(index_of(event), -1) if is_of_item(event) else -1

    def rewritten(
        self, event: Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[Body] | None:
        """The events that replace an event, with the indices and numbers of the agent view."""
        made = next((some for some in calls if some is not None), None)
        out = [one for part in made or () for one in self._part(part)]
        kind, number = event.get("type"), self._item_of(event)
        item = self._items.get(number)
        if kind in _OVER:
            out += [*self._close(), self._over(event)]
        elif item is None:
            out.append(event)
        elif made is None or not (is_call(item.begun) and _is_part(event, item)):
            out += self._of_item(event, item, number)
        out = [self._numbered(one, event) for one in out]
        return None if len(out) == 1 and out[0] is event else out

    def _of_item(self, event: Body, item: _Item, number: int) -> list[Body]:
        """The events for an unchanged event of an item; it is kept if the item has not begun."""
        if event.get("type") == _DONE and isinstance(event.get("item"), dict):
            item.done = event["item"]
        if _begins(event, item):
            return self._begin(event, item, number)
        item.held.append(event)
        if item.place is None:
            self._is_changed = True
            return []
        return self._released(item)

    def _part(self, part: Fragment) -> Iterator[Body]:
        """The events for a fragment of the model's call, or for a call that was made from it."""
        if part.source is None:
            if part.name is None:
                return
            self._is_changed = True
            yield from self._close()
            made = write_fragment(part)
            yield from _series(len(self._given), made)
            self._given.append(made)
            return
        number, event = part.source
        item = self._items[number]
        if event is not None and item.place is None:
            yield from self._begin(event, item, number)
        elif event is not None:
            yield self._moved(event, item)

    def _begin(self, event: Body, item: _Item, number: int) -> list[Body]:
        """The events that begin an item in the agent view, with the next free index."""
        out = self._close()
        item.place = len(self._given)
        self._given.append(number)
        self._late = item if item.done is not None else None
        return [*out, self._moved(event, item)]

    def _close(self) -> list[Body]:
        """Ends the item that began in the agent view after the provider had ended it."""
        late, self._late = self._late, None
        return [] if late is None else self._released(late)

    def _released(self, item: _Item) -> list[Body]:
        """The last events of an item, which were held until it began."""
        held, item.held = item.held, []
        return [self._moved(event, item) for event in held]

    def _moved(self, event: Body, item: _Item) -> Body:
        """An event with its item's index in the agent view."""
        if event.get("output_index") == item.place:
            return event
        self._is_changed = True
        return {**event, "output_index": item.place}

    def _over(self, event: Body) -> Body:
        """The last event, which repeats the items of the agent view."""
        response = event.get("response")
        output = response.get("output") if isinstance(response, dict) else None
        if not self._is_changed or not isinstance(response, dict) or not isinstance(output, list):
            return event
        # Some servers leave out items here. Then positions do not match, and the items are taken
        # from their own last events.
        is_whole = len(self._items) == len(output)
        # They may begin in another order; an index that is no position says nothing.
        is_by_index = self._newest.keys() == set(range(len(output)))
        numbers = map(self._newest.get, range(len(output))) if is_by_index else self._items
        final = dict(zip(numbers, output, strict=True)) if is_whole else {}
        items = [
            given
            if isinstance(given, dict)
            else final.get(given, self._items[given].done or self._items[given].begun)
            for given in self._given
        ]
        return {**event, "response": {**response, "output": items}}

    def _numbered(self, event: Body, came: Body) -> Body:
        """An event with the next sequence number, if the provider numbers its events."""
        number, self._number = self._number, self._number + 1
        if "sequence_number" not in came or event.get("sequence_number") == number:
            return event
        return {**event, "sequence_number": number}

    def passes(self, event: Body, piece: Piece) -> bool:
        """Whether the item and the event have the same numbers in both views, or nothing goes out.

        Nothing goes out for a call that is held back or expanded.
        """
        number = self._item_of(event)
        item = self._items.get(number)
        if item is None or number != event.get("output_index"):
            return False
        if piece[1] is not None:
            item.has_text = item.has_text or bool(piece[2])
        if item.place is None:
            return is_call(item.begun)
        if item.place != number:
            return False
        if event.get("sequence_number", self._number) != self._number:
            return False
        self._number += 1
        return True

    def continued(self, event: Body, calls: Sequence[Fragment]) -> list[Body]:
        """The events that replace a piece of a call that is expanded."""
        return self.rewritten(event, [calls]) or []

    def left(
        self, event: Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[Body]:
        """The events for calls that remain when a stream breaks off; the response stays open."""
        return [one for _, some in calls for part in some for one in self._part(part)]

    def broken_off(self, error: ApiError) -> list[Body]:
        """A `response.failed` event with the complete items of the agent view.

        An `error` event if the response itself is unknown; nothing if the answer is complete.
        """
        if self._is_over or not (self._begun_as or self._items):
            return []
        told: Body = {"code": error.code, "message": error.message}
        event: Body = {"type": _ERROR, **told, "param": error.param}
        if self._begun_as:
            ended = {"status": "failed", "error": told, "output": self._complete_items()}
            event = {"type": _FAILED, "response": {**self._begun_as, **ended}}
        return [{**event, "sequence_number": self._number}]

    def _complete_items(self) -> list[Item]:
        """The items of the agent view that are complete."""
        items = [
            given if isinstance(given, dict) else self._items[given].done for given in self._given
        ]
        return [item for item in items if item is not None]


def _item_in(event: Body) -> Item:
    item = event.get("item")
    return item if isinstance(item, dict) else {}


def _is_part(event: Body, item: _Item) -> bool:
    """Whether an event holds a part of a call, and nothing else."""
    return event.get("type") in _DELTAS or _begins(event, item)


def _begins(event: Body, item: _Item) -> bool:
    """Whether it is an item's first event: it was added, or its only event holds all of it."""
    return event.get("type") == _ADDED or item.begun is event.get("item")


def _series(place: int, item: Item) -> list[Body]:
    """All events of a call that batchwrap makes."""
    where = {"output_index": place, "item_id": item["id"]}
    text, key, written = text_of(item), text_field(item), _WRITTEN[item["type"]]
    named = {"name": item["name"]} if item["type"] == CALL else {}
    begun = {**item, key: "", "status": "in_progress"}
    return [
        {"type": _ADDED, "output_index": place, "item": begun},
        {"type": f"{written}.delta", **where, "delta": text},
        {"type": f"{written}.done", **where, key: text, **named},
        {"type": _DONE, "output_index": place, "item": item},
    ]
