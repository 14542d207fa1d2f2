"""The defects of `tests/core/data/quirks.json`, played through an exchange without a network."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from batchwrap.adapters.events import EventPipe, Opening, render_all
from batchwrap.core.exchange.actions import Head, ReadBody, ReadFirst, Resend, Respond, Stream
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import sse
from batchwrap.core.repair.diagnosis import decoded
from batchwrap.options import Batching, Options, Repair
from batchwrap.throttle.estimate import Estimator
from tests.core.harness import context_of

Entry = dict[str, Any]
ENTRIES: list[Entry] = json.loads(
    (Path(__file__).parents[1] / "data" / "quirks.json").read_text(encoding="utf-8")
)
# Where we do otherwise than the entry says, and why.
EXCEPTIONS = {
    "end.idle-1": "the stream is silent and still open: time-outs are the HTTP client's, whose"
    " own error reaches the caller. Once the connection ends, it is an incomplete stream",
}
_FACTS = {"retry": "retry", "status": "status", "limit": "limit", "requested": "requested"}
_FACTS |= {"retry_after": "retry_after_s", "input": "input", "fixable": "hint"}
_FACTS |= {"max_tokens_allowed": "max_tokens_allowed"}
_STREAMS = ("sse_lines", "sse_chunks_b64")


@dataclass(slots=True)
class Seen:
    """What the agent got.

    Attributes:
        message: what a careful client puts together.
        error: the body of the error that ended it; None if it ended well.
        handed_out: the bytes.
        defects: what was reported, kind by kind.
        counts: all counters.
        status: of the error, where it is the whole answer.
    """

    message: dict[str, Any] = field(default_factory=lambda: message_of([]))
    error: dict[str, Any] | None = None
    handed_out: bytes = b""
    defects: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    status: int | None = None


def entries(*formats: str) -> list[Entry]:
    """The entries whose samples have one of these formats."""
    return [entry for entry in ENTRIES if entry["sample"]["format"] in formats]


def request_of(entry: Entry, *, stream: bool) -> dict[str, Any]:
    """The agent's request for an entry."""
    given = entry["request_context"]
    messages = given.get("messages") or [{"role": "user", "content": "go"}]
    for name in given.get("history_tools", ()):
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}
        messages = [*messages, {"role": "assistant", "content": None, "tool_calls": [call]}]
        messages += [{"role": "tool", "tool_call_id": "c", "content": "r"}]
    body = {"model": given.get("model", "m"), "messages": messages, "stream": stream}
    return {**body, "tools": given["tools"]} if given.get("tools") else body


def exchange_for(entry: Entry, options: Repair | None, *, stream: bool) -> Exchange:
    """An exchange whose request has been sent."""
    numbers = itertools.count(100_000_000)
    window = entry["request_context"].get("context_limit")
    batching = None if options is None else Batching(context_tokens=window)
    context = context_of(
        Options(repair=options, batching=batching),
        random_text=lambda length: f"{next(numbers):0{length}}"[-length:],
    )
    body = request_of(entry, stream=stream)
    exchange = Exchange(
        body,
        context=context,
        counter=Estimator(),
        limits_tokens=False,
        backoff=lambda _: None,
        retries=False,
    )
    exchange.start()
    exchange.reserved(0.0)
    return exchange


def chunks_of(sample: dict[str, Any]) -> list[bytes]:
    """The sample as it comes over the network, in pieces."""
    if sample["format"] == "sse_lines":
        if sample.get("joiner") == "\n":
            return ["\n".join(sample["lines"]).encode() + b"\n\n"]
        return [line.encode() + b"\n\n" for line in sample["lines"]]
    if sample["format"] == "sse_chunks_b64":
        return [base64.b64decode(chunk) for chunk in sample["chunks"]]
    if sample["format"] == "json_body":
        return [json.dumps(sample["body"], ensure_ascii=False).encode()]
    return [sample["body"].encode()]


@dataclass(frozen=True, slots=True)
class Out:
    """What is handed out for a sample, not looked at.

    Attributes:
        raw: the bytes.
        status: the HTTP status.
        is_stream: whether they are a stream's.
        exchange: what handed them out.
    """

    raw: bytes
    status: int
    is_stream: bool
    exchange: Exchange


def run(entry: Entry, options: Repair | None, pieces: list[bytes] | None = None) -> Out:
    """Take a sample through an exchange.

    Args:
        entry: the entry.
        options: what is repaired.
        pieces: the answer in other pieces than the sample's.
    """
    sample = entry["sample"]
    is_stream = sample["format"] in _STREAMS
    stream = sample.get("requested_stream", is_stream)
    exchange = exchange_for(entry, options, stream=stream)
    kind = "text/event-stream" if is_stream else "application/json"
    headers = {"content-type": kind, **sample.get("headers", {})}
    head = Head(sample.get("status", 200), headers, is_stream)
    pieces = chunks_of(sample) if pieces is None else pieces
    raw = b"".join(pieces)
    action = exchange.received(head, 0.0)
    while not isinstance(action, Respond | Stream):
        if isinstance(action, ReadFirst):
            action = opened(exchange, pieces)
        elif isinstance(action, ReadBody):
            action = exchange.body(exchange.read(raw))
        else:
            assert isinstance(action, Resend)
            action = exchange.received(head, 0.0)
    if isinstance(action, Stream):
        pipe = EventPipe(exchange)
        return Out(b"".join([*map(pipe.feed, pieces), pipe.finish()]), head.status, True, exchange)
    status = action.status or head.status
    if action.chunks is not None:
        return Out(render_all(action.chunks), status, True, exchange)
    return Out(raw if action.body is None else orjson.dumps(action.body), status, False, exchange)


def play(entry: Entry, options: Repair | None, pieces: list[bytes] | None = None) -> Seen:
    """What the agent gets for a sample, and what was told of it; see `run`."""
    out = run(entry, options, pieces)
    metrics = out.exchange.metrics
    seen = Seen(handed_out=out.raw, counts=dict(metrics.counts))
    seen.defects = [dict(event.data) for event in metrics.events if event.name == "defect"]
    if out.status >= 400:
        body = decoded(out.raw)
        seen.error, seen.status = (body if isinstance(body, dict) else {}), out.status
    elif out.is_stream:
        chunks, seen.error = read_stream(out.raw)
        seen.message = message_of(chunks)
    else:
        seen.message = message_of([_as_chunk(orjson.loads(out.raw))])
    return seen


def opened(exchange: Exchange, pieces: list[bytes]) -> Any:
    """What is done about a stream, by its first events."""
    opening, rest = Opening(exchange.guard), iter(pieces)
    action: Any = ReadFirst()
    while isinstance(action, ReadFirst):
        while not opening.is_ready() and (piece := next(rest, None)) is not None:
            opening.feed(piece)
        action = exchange.first(opening.next())
    return action


def _as_chunk(body: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for choice in body["choices"]:
        calls = choice["message"].get("tool_calls") or ()
        numbered = [{**call, "index": place} for place, call in enumerate(calls)]
        choices.append({**choice, "delta": {**choice["message"], "tool_calls": numbered}})
    return {**body, "choices": choices}


def read_stream(out: bytes) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The chunks of a stream up to its end mark, and the error that ended it."""
    splitter = sse.Splitter()
    chunks: list[dict[str, Any]] = []
    for event in [*splitter.feed(out), splitter.rest()]:
        data = sse.data_of(event)
        if data == sse.DONE:
            break
        if not data:
            continue
        chunk = orjson.loads(data)
        if chunk.get("error"):
            return chunks, chunk
        chunks.append(chunk)
    return chunks, None


def message_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a strict client puts together: by index, everything appended."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "finish_reason": None, "usage": None}
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        message["usage"] = chunk.get("usage") or message["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            message["finish_reason"] = choice.get("finish_reason") or message["finish_reason"]
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                function = call.get("function") or {}
                known["id"] += call.get("id") or ""
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message


def differences(got: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What a message has otherwise than wanted."""
    exact = wanted.get("compare", {}).get("content", "strip") == "exact"
    exact = exact or wanted["kind"] == "unchanged"
    pairs: dict[str, tuple[Any, Any]] = {
        "content": (got["content"], wanted.get("content") or ""),
        "finish_reason": (got["finish_reason"], wanted.get("finish_reason")),
    }
    if "reasoning" in wanted:
        pairs["reasoning"] = (got["reasoning"].strip(), wanted["reasoning"].strip())
    if "usage" in wanted:
        pairs["usage"] = (got["usage"], wanted["usage"])
    if not exact:
        pairs["content"] = (pairs["content"][0].strip(), pairs["content"][1].strip())
    found = [f"{name}: {a!r} is not {b!r}" for name, (a, b) in pairs.items() if a != b]
    return found + _call_differences(got["tool_calls"], wanted.get("tool_calls") or [])


def _call_differences(got: list[dict[str, str]], wanted: list[dict[str, Any]]) -> list[str]:
    found = [] if len(got) == len(wanted) else [f"{len(got)} calls in place of {len(wanted)}"]
    for call, want in zip(got, wanted, strict=False):
        if call["name"] != want["name"]:
            found.append(f"name {call['name']!r}")
        if json.loads(call["arguments"]) != want["arguments"]:
            found.append(f"arguments {call['arguments']!r}")
        if not call["id"] or want["id"] not in ("*", call["id"]):
            found.append(f"id {call['id']!r}")
    if len({call["id"] for call in got}) < len(got):
        found.append("ids are not unique")
    return found


def recut(sample: dict[str, Any], size: int) -> list[bytes]:
    """A stream whose texts and arguments come in pieces of so many characters."""
    out = []
    for line in sample["lines"]:
        chunk = json.loads(line[6:]) if line.startswith("data: {") else None
        parts = [chunk] if chunk is None else list(_recut(chunk, size))
        out += [
            f"{line if part is None else 'data: ' + json.dumps(part, ensure_ascii=False)}\n\n"
            for part in parts
        ]
    return [line.encode() for line in out]


def _recut(chunk: dict[str, Any], size: int) -> Any:
    """The chunk; or, where it has one choice with a text, one for each piece of it."""
    choices: list[Any] = chunk.get("choices") or []
    delta = choices[0].get("delta") if len(choices) == 1 else None
    keys = [key for key in ("content", "reasoning_content") if (delta or {}).get(key)]
    if not isinstance(delta, dict) or len(keys) != 1 or not isinstance(delta[keys[0]], str):
        yield chunk
        return
    [key] = keys
    text = delta[key]
    for at in range(0, len(text), size):
        piece = {**(delta if not at else {}), key: text[at : at + size]}
        last = at + size >= len(text)
        finish = choices[0].get("finish_reason") if last else None
        yield {**chunk, "choices": [{**choices[0], "delta": piece, "finish_reason": finish}]}


def check(entry: Entry, pieces: list[bytes] | None = None) -> None:
    """Play an entry with all repairs and compare."""
    wanted, options = entry["expected_after_repair"], Repair.all()
    if "alternative" in wanted:
        rebuilt = play(entry, options, pieces)
        assert rebuilt.error is None
        alternative = {"kind": "message", "finish_reason": "tool_calls", **wanted["alternative"]}
        assert differences(rebuilt.message, alternative) == []
        options = replace(options, leaked_calls="off")
    seen = play(entry, options, pieces)
    if wanted["kind"] == "error":
        _check_error(entry, wanted, seen)
        return
    assert seen.error is None
    assert differences(seen.message, wanted) == []
    assert seen.defects or "flag" not in wanted


def _check_error(entry: Entry, wanted: dict[str, Any], seen: Any) -> None:
    if entry["id"] in EXCEPTIONS:
        assert seen.defects or seen.error
        assert seen.message["tool_calls"] == []
        return
    told = [one for one in seen.defects if one["kind"] == wanted["error_class"]]
    assert told, seen.defects
    for name, ours in _FACTS.items():
        assert name not in wanted or told[0].get(ours) == wanted[name], name
    assert seen.error is not None
    if "normalized_body" in wanted:
        assert seen.error == wanted["normalized_body"]
    if "partial_content" in wanted:
        assert seen.message["content"] == wanted["partial_content"]
