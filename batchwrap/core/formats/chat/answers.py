"""Reads and writes answers of chat completions: complete ones, streams, and local answers.

A stream of this format needs little state: each chunk holds the index of its call, and a call that
batchwrap makes is one chunk with its id, name and all arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.chat.calls import read_fragment, write_fragment
from batchwrap.core.formats.format import Delta, Local

# Fields of a message that do not depend on its calls. Any other field (signed thinking, for
# example) belongs to the calls as the model wrote them, so these are not merged with others.
_FREE = frozenset({"role", "content", "tool_calls", "function_call", "refusal", "annotations"})
_FREE |= {"audio", "reasoning", "reasoning_content"}
# Fields of a delta that hold nothing of the answer.
_SILENT = frozenset({"role", "index", "name"})
_REPEATED = ("model", "created", "system_fingerprint")
_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def deltas(completion: chat.Body) -> list[Delta]:
    """The content of a complete answer, choice by choice."""
    return [_whole(index, choice) for index, choice in chat.choices(completion)]


def _whole(index: int, choice: dict[str, Any]) -> Delta:
    """What a choice of a complete answer holds."""
    message = chat.part_of(choice)
    text = message.get("content")
    calls = [read_fragment(call, place) for place, call in enumerate(chat.tool_calls(message))]
    said = text if isinstance(text, str) and text else None
    return _delta(index, choice, message, calls, said)


def event_deltas(chunk: chat.Body) -> list[Delta]:
    """What a chunk adds to each choice."""
    made = []
    for index, choice in chat.choices(chunk):
        delta = _delta_of(choice)
        calls = [read_fragment(call) for call in chat.tool_calls(delta)]
        made.append(_delta(index, choice, delta, calls, None))
    return made


def _delta(
    index: int,
    choice: dict[str, Any],
    part: chat.Message,
    calls: list[Fragment],
    text: str | None,
) -> Delta:
    """What a choice adds, given the calls and the text in it."""
    finish = choice.get("finish_reason")
    is_bound = any(value and key not in _FREE for key, value in part.items())
    return Delta(index, calls, text, bool(finish), finish == "length", is_bound)


def with_calls(completion: chat.Body, calls: Sequence[Sequence[Fragment]]) -> chat.Body:
    """The completion with other calls; the same object if the calls are equal."""
    listed, changed = completion.get("choices"), False
    new = list(listed) if isinstance(listed, list) else []
    places = (place for place, choice in enumerate(new) if isinstance(choice, dict))
    for place, made in zip(places, calls, strict=True):
        message = chat.part_of(new[place])
        given = [_unnumbered(call) for call in chat.tool_calls(message)]
        written = [write_fragment(fragment, numbered=False) for fragment in made]
        if written != given:
            new[place] = {**new[place], "message": {**message, "tool_calls": written}}
            changed = True
    return {**completion, "choices": new} if changed else completion


class ChatStream:
    """Reads and writes chunks."""

    is_numbered = False

    def deltas(self, event: chat.Body) -> list[Delta]:
        """What a chunk adds to each choice."""
        return event_deltas(event)

    def rewritten(
        self, event: chat.Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[chat.Body] | None:
        """The chunks that replace a chunk; None if it goes out unchanged.

        If the chunk finishes a choice, its calls go out in chunks before it: clients stop reading
        at `finish_reason`.
        """
        if all(made is None for made in calls):
            return None
        before: list[chat.Body] = []
        new = []
        for (index, choice), made in zip(chat.choices(event), calls, strict=True):
            if made is None:
                new.append(choice)
                continue
            delta = _delta_of(choice)
            rest = {key: value for key, value in delta.items() if key != "tool_calls"}
            if choice.get("finish_reason"):
                before += _calls_chunks(event, index, made)
                new.append({**choice, "delta": rest})
            elif made:
                listed = [write_fragment(fragment) for fragment in made]
                new.append({**choice, "delta": {**rest, "tool_calls": listed}})
            # All calls of the delta are held back: it goes out only if something else is in it.
            elif event.get("usage") or delta.get("role") or any(rest.values()):
                new.append({**choice, "delta": rest})
        return [*before, *_one_call_each({**event, "choices": new})] if new else before

    def passes(self, event: chat.Body, piece: chat.Piece) -> bool:
        """Always True: chunks are not numbered."""
        return True

    def continued(self, event: chat.Body, calls: Sequence[Fragment]) -> list[chat.Body]:
        """The chunks that replace one with a single piece of a call's arguments."""
        listed = [write_fragment(fragment) for fragment in calls]
        choice = {**event["choices"][0], "delta": {"tool_calls": listed}}
        return _one_call_each({**event, "choices": [choice]})

    def left(
        self, event: chat.Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[chat.Body]:
        """A chunk for each remaining call."""
        like = event or {"object": "chat.completion.chunk"}
        return [part for index, made in calls for part in _calls_chunks(like, index, made)]

    def broken_off(self, error: ApiError) -> list[chat.Body]:
        """Always empty: `core.repair` reports incomplete answers of this API."""
        return []


def is_silent(chunk: chat.Body) -> bool:
    """Whether no choice of a chunk holds more than a role."""
    listed = chunk.get("choices")
    return not any(
        choice.get("finish_reason")
        or any(value for key, value in chat.part_of(choice).items() if key not in _SILENT)
        for choice in (listed if isinstance(listed, list) else ())
        if isinstance(choice, dict)
    )


def head(answer: chat.Body) -> Mapping[str, Any]:
    """The fields of an answer that local answers repeat."""
    return {name: answer[name] for name in _REPEATED if name in answer}


def cached(usage: Any) -> tuple[int, int] | None:
    """(prompt tokens from the cache, all prompt tokens); None unless both are reported."""
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    found = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return (found, prompt) if isinstance(found, int) and isinstance(prompt, int) else None


def timing(answer: chat.Body) -> tuple[float | None, float | None]:
    """(output tokens, seconds). Groq reports the seconds in `usage`, Cerebras in `time_info`."""
    usage = answer.get("usage")
    seconds = _number(usage, "completion_time") or _number(
        answer.get("time_info"), "completion_time"
    )
    return _number(usage, "completion_tokens"), seconds


def local(answer: Local) -> chat.Body:
    """A local answer as a complete answer."""
    calls = [write_fragment(call, numbered=False) for call in answer.calls]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    top = {"id": f"chatcmpl-bw{answer.answer_id}", "object": "chat.completion", **answer.head}
    return {**top, "choices": [choice], "usage": answer.usage or _NO_USAGE}


def local_events(answer: Local, *, with_usage: bool) -> list[chat.Body]:
    """A local answer as chunks."""
    calls = [write_fragment(call) for call in answer.calls]
    whole = {"role": "assistant", "content": None, "tool_calls": calls}
    top = {
        "id": f"chatcmpl-bw{answer.answer_id}",
        "object": "chat.completion.chunk",
        **answer.head,
    }
    parts: list[tuple[dict[str, Any], str | None]] = [
        *((delta, None) for delta in chat.one_call_each(whole)),
        ({}, "tool_calls"),
    ]
    made = [
        {**top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in parts
    ]
    last = {**top, "choices": [], "usage": answer.usage or _NO_USAGE}
    return [*made, last] if with_usage else made


def _delta_of(choice: dict[str, Any]) -> chat.Message:
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def _unnumbered(call: chat.ToolCall) -> chat.ToolCall:
    return {key: value for key, value in call.items() if key != "index"}


def _calls_chunks(like: chat.Body, index: Any, calls: Sequence[Fragment]) -> list[chat.Body]:
    """One chunk for each call, with the other fields of `like`."""
    return _chunks(like, index, [write_fragment(call) for call in calls])


def _chunks(like: chat.Body, index: Any, calls: Sequence[chat.ToolCall]) -> list[chat.Body]:
    """One chunk for each call, with the other fields of `like` but its usage."""
    top = {key: value for key, value in like.items() if key not in ("choices", "usage")}
    deltas = ({"tool_calls": [call]} for call in calls)
    return [
        {**top, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]


def _one_call_each(chunk: chat.Body) -> list[chat.Body]:
    """Splits a chunk of one choice into chunks with one call each.

    The first keeps the other fields, such as the usage.
    """
    [choice, *others] = chunk["choices"]
    first, *more = chat.one_call_each(chat.part_of(choice))
    if others or not more:
        return [chunk]
    calls = [delta["tool_calls"][0] for delta in more]
    return [
        {**chunk, "choices": [{**choice, "delta": first}]},
        *_chunks(chunk, choice.get("index"), calls),
    ]


def _number(fields: Any, name: str) -> float | None:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
