"""Reads and writes answers of the Messages API: complete ones, streams, and local answers.

A streamed answer is a series of blocks with the indices 0, 1, 2 … The SDK uses an index as a
position in a list, so gaps raise an `IndexError` there: once a call was expanded, all later blocks
get new indices. Each block has a start, deltas and a stop. For readers of streams

- a call's start holds an empty input, and its input follows in a delta: Claude Code ignores an
  input in the start (https://github.com/inflaborg/ccrelay/pull/119);
- every block is stopped: Claude Code runs a call when its block stops;
- an answer with calls ends with the stop reason `tool_use`: the SDK's tool runner runs nothing
  otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Any

from batchwrap.core.formats.api_errors import ApiError, anthropic_error
from batchwrap.core.formats.calls import Fragment, in_places
from batchwrap.core.formats.format import Delta, Local, Piece
from batchwrap.core.formats.messages import Block, Body, blocks_of, index_of
from batchwrap.core.formats.messages.calls import is_call, read_fragment, write_fragment
from batchwrap.core.formats.messages.thinking import is_thinking

_START, _DELTA, _STOP = "content_block_start", "content_block_delta", "content_block_stop"
_BEGIN, _ERROR = "message_start", "error"
_ENDS = ("message_delta", "message_stop")
_CUT = "max_tokens"
_ENDED = ("end_turn", "stop_sequence", None)
_SILENT = frozenset({_BEGIN, "ping", _STOP})
_NO_USAGE = {"input_tokens": 0, "output_tokens": 0}


def deltas(answer: Body) -> list[Delta]:
    """The content of a complete answer; empty if it is an error."""
    if not isinstance(answer.get("content"), list):
        return []
    blocks = list(blocks_of(answer["content"]))
    parts = [read_fragment(block, i) for i, block in enumerate(filter(is_call, blocks))]
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    is_cut = answer.get("stop_reason") == _CUT
    text, is_bound = "\n".join(texts) or None, any(map(is_thinking, blocks))
    is_tied = any(map(is_thinking, dropwhile(lambda block: not is_call(block), blocks)))
    told = Delta(0, parts, text, is_over=True, is_cut=is_cut, is_bound=is_bound, is_tied=is_tied)
    return [told]


def with_calls(answer: Body, calls: Sequence[Sequence[Fragment]]) -> Body:
    """The answer with other calls, each at the place of the call that it was made from."""
    if not calls:
        return answer
    content, made = answer["content"], [(write_fragment(part), part.origin) for part in calls[0]]
    own = [(block, block.get("id")) for block in blocks_of(content) if is_call(block)]
    new = in_places(content, own, made)
    if new is content:
        return answer
    reason = answer.get("stop_reason")
    return {**answer, "content": new, "stop_reason": _reason(reason) if made else reason}


def _reason(given: object) -> object:
    """Why a message with calls of ours ends: agents run none if it says that the turn is over.

    A refusal, or a message that was cut off or paused, stays what it is.
    """
    return "tool_use" if given in _ENDED else given


def head(answer: Body) -> Mapping[str, Any]:
    """The model's name, which local answers repeat."""
    message = _message_of(answer)
    return {"model": message["model"]} if "model" in message else {}


def usage(answer: Body) -> Any:
    """The usage of a complete answer, or of the first event, which reports all prompt tokens."""
    found = _message_of(answer).get("usage")
    return found if isinstance(found, dict) and "input_tokens" in found else None


def cached(found: Any) -> tuple[int, int] | None:
    """(prompt tokens from the cache, all prompt tokens); None unless both are reported.

    `input_tokens` excludes tokens that were read from the cache or written to it.
    """
    if not isinstance(found, dict):
        return None
    read, written = found.get("cache_read_input_tokens"), found.get("cache_creation_input_tokens")
    fresh = found.get("input_tokens")
    if not isinstance(fresh, int) or not isinstance(read, int):
        return None
    return read, fresh + read + (written if isinstance(written, int) else 0)


def output_tokens(answer: Body) -> float | None:
    """The output tokens that an answer or an event reports."""
    found = answer.get("usage")
    count = found.get("output_tokens") if isinstance(found, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def piece_alone(event: Body) -> Piece | None:
    """The piece of a text or of a call's input that an event holds; None for any other event."""
    delta, index = event.get("delta"), event.get("index")
    if event.get("type") != _DELTA or type(delta) is not dict or type(index) is not int:
        return None
    text = delta.get("text", delta.get("thinking"))
    if type(text) is str:
        return 0, None, text
    text = delta.get("partial_json")
    return (0, index, text) if type(text) is str else None


def is_silent(event: Body) -> bool:
    """Whether an event shows no more than that an answer has begun."""
    kind = event.get("type")
    if kind == _START:  # a text block begins empty
        block = event.get("content_block")
        return isinstance(block, dict) and block.get("type") == "text" and not block.get("text")
    if kind == _DELTA:
        delta = event.get("delta")
        return isinstance(delta, dict) and delta.get("text") == ""
    return kind in _SILENT


def is_empty(event: Body) -> bool:
    """Whether an event holds nothing of an answer's content."""
    return event.get("type") not in (None, "message", _BEGIN, _START, _DELTA)


def local(answer: Local) -> Body:
    """A local answer as a complete answer."""
    return {
        **_local_head(answer),
        "content": [write_fragment(call) for call in answer.calls],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": answer.usage or _NO_USAGE,
    }


def local_events(answer: Local) -> list[Body]:
    """A local answer as events."""
    told = answer.usage or _NO_USAGE
    begun = {**_local_head(answer), "content": [], "stop_reason": None, "stop_sequence": None}
    blocks = [event for i, call in enumerate(answer.calls) for event in _block(i, call)]
    over = {"stop_reason": "tool_use", "stop_sequence": None}
    return [
        {"type": "message_start", "message": {**begun, "usage": told}},
        *blocks,
        {
            "type": "message_delta",
            "delta": over,
            "usage": {"output_tokens": told["output_tokens"] or 0},
        },
        {"type": "message_stop"},
    ]


@dataclass(slots=True, repr=False)
class _Block:
    """A block that the provider has begun.

    Attributes:
        is_call: whether it is a call that the client runs.
        has_text: whether a piece of the call's input has arrived.
        place: its index in the agent view; None if the agent has received nothing of it.
        has_stopped: whether the provider has stopped it.
        is_open: whether it has begun in the agent view and was not stopped there.
    """

    is_call: bool
    has_text: bool = False
    place: int | None = None
    has_stopped: bool = False
    is_open: bool = False


class MessagesStream:
    """Reads and writes the events of one answer."""

    is_numbered = True

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}  # by number, in the order in which they began
        self._newest: dict[object, int] = {}  # the newest block with each index of the provider
        self._next = 0  # the index of the next block in the agent view
        # The block that began in the agent view after the provider had stopped it: a call that was
        # held back until it was complete. Its stop is sent before the next block begins.
        self._late: _Block | None = None
        self._calls = 0  # how many calls the agent has received
        self._has_begun = self._is_over = False

    def deltas(self, event: Body) -> list[Delta]:
        """What an event adds: a part of a call, or the end of the answer."""
        kind = event.get("type")
        if kind == _START:
            is_bound = is_thinking(event.get("content_block"))
            return [Delta(0, self._begun(event), is_bound=is_bound, is_tied=is_bound)]
        index = self._number(event)
        block = self._blocks.get(index)
        if kind == _DELTA and block is not None and block.is_call:
            return [Delta(0, self._piece(event, index, block))]
        if kind == _STOP and block is not None and block.is_call:
            # A call without arguments has no delta, but the moves read its input as JSON.
            part = Fragment(index, text="{}", form="", source=(index, None))
            return [Delta(0, [] if block.has_text else [part], ended=index)]
        # Some servers leave out `message_delta`, which holds the stop reason.
        if kind in _ENDS and not self._is_over:
            self._is_over = True
            delta = event.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, dict) else None
            return [Delta(0, is_over=True, is_cut=reason == _CUT)]
        self._has_begun = self._has_begun or kind == _BEGIN
        self._is_over = self._is_over or kind == _ERROR
        return [Delta(0)]

    def _number(self, event: Body) -> int:
        """The number of the block that an event belongs to; -1 if there is none.

        A server may leave out an index, or use one again for a later block.
        """
        return self._newest.get(index_of(event), -1)

    def _begun(self, event: Body) -> list[Fragment]:
        """Record a block that begins; returns the first fragment if it is a call."""
        content = event.get("content_block")
        index = len(self._blocks)
        self._newest[index_of(event)] = index
        is_tool = isinstance(content, dict) and is_call(content)
        self._blocks[index] = block = _Block(is_tool)
        if not is_tool or not isinstance(content, dict):
            return []
        part = read_fragment(content, index)
        block.has_text = bool(part.text)
        return [replace(part, source=(index, event))]

    def _piece(self, event: Body, index: Any, block: _Block) -> list[Fragment]:
        """The fragment for a delta of a call."""
        delta = event.get("delta")
        text = delta.get("partial_json") if isinstance(delta, dict) else None
        if not isinstance(text, str):
            return []
        block.has_text = block.has_text or bool(text)
        return [Fragment(index, text=text, form="", source=(index, event))]

    def rewritten(
        self, event: Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[Body] | None:
        """The events that replace an event, with the indices of the agent view."""
        kind = event.get("type")
        out: list[Body] = []
        # Changed calls go out before the event, which may be the end of a block or of the message.
        made = next((some for some in calls if some is not None), None)
        if made is not None:
            for part in made:
                out += self._part(part)
        is_of_block = kind in (_START, _DELTA, _STOP)
        block = self._blocks.get(self._number(event)) if is_of_block else None
        if block is None:
            if kind in _ENDS:
                return self._over(event, out)
            return [*out, event] if out else None
        if block.is_call:
            out += self._call_event(event, block, is_same=made is None)
        else:
            out += self._other(event, block)
        return None if len(out) == 1 and out[0] is event else out

    def _call_event(self, event: Body, block: _Block, *, is_same: bool) -> list[Body]:
        """The events for an event of a call, after its changed parts have gone out."""
        kind = event.get("type")
        if kind == _STOP:
            block.has_stopped = True
            return self._stopped(block, event)
        if not is_same:
            return []
        return self._begin(event, block) if kind == _START else self._moved(event, block)

    def _other(self, event: Body, block: _Block) -> list[Body]:
        """The events for an event of a block that is not a call."""
        if event.get("type") == _START:
            return self._begin(event, block)
        if event.get("type") == _STOP:
            block.has_stopped = True
            return self._stopped(block, event)
        return self._moved(event, block)

    def _part(self, part: Fragment) -> list[Body]:
        """The events for a fragment of the model's call, or for a call that was made from it."""
        if part.source is None:
            if part.name is None:
                return []
            self._calls += 1
            out = [*self._close(), *_block(self._next, part)]
            self._next += 1
            return out
        number, event = part.source
        if event is None:
            return []
        block = self._blocks[number]
        return self._begin(event, block) if block.place is None else self._moved(event, block)

    def _begin(self, event: Body, block: _Block) -> list[Body]:
        """The events that begin a block in the agent view, with the next free index."""
        out = self._close()
        block.place, self._next = self._next, self._next + 1
        block.is_open = True
        self._late = block if block.has_stopped else None
        self._calls += block.is_call
        return [*out, *self._moved(event, block)]

    def _moved(self, event: Body, block: _Block) -> list[Body]:
        """An event with its block's index in the agent view; none if the block is not there."""
        if block.place is None:
            return []
        return [event if event.get("index") == block.place else {**event, "index": block.place}]

    def _stopped(self, block: _Block, event: Body | None = None) -> list[Body]:
        """The event that stops a block in the agent view; none if it is not open there."""
        if not block.is_open:
            return []
        block.is_open = False
        return self._moved(event or {"type": _STOP}, block)

    def _close(self) -> list[Body]:
        """Stops the block that began in the agent view after the provider had stopped it."""
        late, self._late = self._late, None
        return [] if late is None else self._stopped(late)

    def _over(self, event: Body, before: list[Body]) -> list[Body] | None:
        """The events at the end, with the stop reason of an answer with calls if it has any."""
        out = [*before, *self._close()]
        delta = event.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        # Calls that become complete only at the end may not match the provider's stop reason.
        is_changed = self._calls and (out or any(map(_is_apart, self._blocks.values())))
        if is_changed and isinstance(delta, dict) and reason not in (None, _reason(reason)):
            event = {**event, "delta": {**delta, "stop_reason": _reason(reason)}}
            return [*out, event]
        return [*out, event] if out else None

    def passes(self, event: Body, piece: Piece) -> bool:
        """Whether the block has the same index in both views, or nothing of the call goes out."""
        number = self._number(event)
        block = self._blocks.get(number)
        if block is None or number != event["index"]:
            return False
        block.has_text = block.has_text or bool(piece[2])
        return block.place == event["index"] or (block.is_call and block.place is None)

    def continued(self, event: Body, calls: Sequence[Fragment]) -> list[Body]:
        """The events that replace a piece of a call that is expanded."""
        return self.rewritten(event, [calls]) or []

    def left(
        self, event: Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[Body]:
        """The events for calls that remain when a stream breaks off; the message stays open."""
        return [one for _, some in calls for part in some for one in self._part(part)]

    def broken_off(self, error: ApiError) -> list[Body]:
        """An `error` event, if a message has begun and has not ended."""
        return [] if self._is_over or not self._has_begun else [anthropic_error(error)[1]]


def _is_apart(block: _Block) -> bool:
    """Whether it is a call that the agent has not got as it came."""
    return block.is_call and block.place is None


def _block(index: int, call: Fragment) -> list[Body]:
    """The events of a complete call."""
    block: Block = {**write_fragment(call), "input": {}}
    piece = {"type": "input_json_delta", "partial_json": call.text or "{}"}
    return [
        {"type": _START, "index": index, "content_block": block},
        {"type": _DELTA, "index": index, "delta": piece},
        {"type": _STOP, "index": index},
    ]


def _local_head(answer: Local) -> Body:
    top = {"id": f"msg_bw{answer.answer_id}", "type": "message", "role": "assistant"}
    return {**top, "model": answer.head.get("model", "")}


def _message_of(answer: Body) -> Mapping[str, Any]:
    """The message in an event that begins an answer; otherwise the answer or event itself."""
    message = answer.get("message")
    return message if isinstance(message, dict) else answer
