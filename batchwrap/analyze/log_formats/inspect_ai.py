"""Reads logs of Inspect AI: ``.eval`` (a zip file with a document for each sample) and ``.json``.

A sample has its conversation and its events. The events of the model have the tokens of each
request, by the id of the message that came back.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    calls_of,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage

NAME = "Inspect AI"


def recognises(record: Record) -> bool:
    """Whether a record is a log, its header, or one of its samples."""
    is_log = isinstance(record.get("eval"), dict) and "plan" in record and "status" in record
    return is_log or _is_sample(record)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of the samples."""
    for record in records:
        for sample in [record] if _is_sample(record) else dicts_in(record.get("samples")):
            yield from _said(sample)


def _is_sample(record: Record) -> bool:
    return "epoch" in record and "events" in record and isinstance(record.get("messages"), list)


def _said(sample: Record) -> Iterator[Said]:
    session = f"{sample.get('id')}, epoch {sample.get('epoch')}"
    usages = dict(_usages(sample))
    for message in dicts_in(sample.get("messages")):
        is_answer = message.get("role") == "assistant"
        # An answer that the sample begins with was no round trip. Its source says so.
        given = is_answer and message.get("source") == "input"
        said = _message(message)
        yield Said(
            session=session,
            message={"role": "user", "content": said.get("content")} if given else said,
            source=NAME,
            model=text_of(message.get("model")) or text_of(dict_of(sample, "output").get("model")),
            usage=usages.get(text_of(message.get("id"))) if is_answer else None,
            failed=bool(message.get("error")),
        )


def _message(message: Record) -> chat.Message:
    content = message.get("content")
    if message.get("role") == "assistant":
        made = dicts_in(message.get("tool_calls"))
        calls = calls_of(made, "id", "function", "arguments")
        return assistant(_text(content, "text"), calls, _text(content, "reasoning"))
    if message.get("role") == "tool":
        error = text_of(dict_of(message, "error").get("message"))
        return result(message.get("tool_call_id"), _text(content, "text") or error)
    return {"role": text_of(message.get("role")) or "user", "content": _text(content, "text")}


def _text(content: object, kind: str) -> str:
    if isinstance(content, str):
        return content if kind == "text" else ""
    return "\n".join(text_of(part.get(kind)) for part in dicts_in(content) if kind in part)


def _usages(sample: Record) -> Iterator[tuple[str, Usage]]:
    """The tokens of each request, by the id of its answer."""
    for event in dicts_in(sample.get("events")):
        output = dict_of(event, "output")
        usage = _usage(dict_of(output, "usage")) if event.get("event") == "model" else None
        for choice in dicts_in(output.get("choices"))[:1]:
            answer = text_of(dict_of(choice, "message").get("id"))
            if usage is not None and answer:
                yield answer, usage


def _usage(usage: Record) -> Usage | None:
    """The tokens of a request, of which Inspect counts those of the cache apart."""
    cached, written = (
        count_of(usage.get(f"input_tokens_cache_{kind}")) for kind in ("read", "write")
    )
    prompt = count_of(usage.get("input_tokens")) + cached + written
    return usage_from(prompt, count_of(usage.get("output_tokens")), cached)
