"""Reads session logs of pi: ``~/.pi/agent/sessions/<folder>/<time>_<id>.jsonl``.

The entries of a session are a tree. Answers of a branch that was left were round trips, too, so all
entries are read in the order of the file. A fork copies entries with their ids and times.
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

NAME = "pi"
_ROLES = ("assistant", "bashExecution", "custom", "toolResult", "user")


def recognises(record: Record) -> bool:
    """Whether a record is the header of a session, or one of its messages."""
    is_header = record.get("type") == "session" and "cwd" in record and "timestamp" in record
    message = dict_of(record, "message")
    is_message = record.get("type") == "message" and message.get("role") in _ROLES
    return is_header or (is_message and "timestamp" in record)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a session."""
    session = file
    for record in records:
        if record.get("type") == "session":
            session = text_of(record.get("id")) or session
        inner = dict_of(record, "message")
        message = _message(inner) if record.get("type") == "message" else _summary(record)
        if message is None:
            continue
        key = f"{record.get('timestamp')}/{record.get('id')}"
        yield Said(
            session=session,
            message=message,
            source=NAME,
            model=text_of(inner.get("model")),
            usage=_usage(dict_of(inner, "usage")),
            answer=key if message["role"] == "assistant" else None,
            everywhere=True,
            failed=inner.get("isError") is True,
        )


def _message(message: Record) -> chat.Message | None:
    """The chat message; None for an answer that was aborted before it began."""
    role, blocks = message.get("role"), dicts_in(message.get("content"))
    if role == "assistant":
        made = [block for block in blocks if block.get("type") == "toolCall"]
        calls = calls_of(made, "id", "name", "arguments")
        answer = assistant(_text(blocks, "text"), calls, _text(blocks, "thinking"))
        return answer if blocks or dict_of(message, "usage").get("output") else None
    if role == "toolResult":
        return result(message.get("toolCallId"), _text(blocks, "text"))
    if role == "bashExecution":  # a command of the user
        return {"role": "user", "content": text_of(message.get("output"))}
    content = message.get("content")
    said = content if isinstance(content, str) else _text(blocks, "text")
    return {"role": "user", "content": said} if role in _ROLES else None


def _summary(record: Record) -> chat.Message | None:
    """What an entry adds to the conversation that is no message: a summary, or an extension's."""
    if record.get("type") not in ("branch_summary", "compaction", "custom_message"):
        return None
    said = text_of(record.get("summary")) or text_of(record.get("content"))
    return {"role": "user", "content": said}


def _text(blocks: list[Record], kind: str) -> str:
    return "\n".join(text_of(block.get(kind)) for block in blocks if block.get("type") == kind)


def _usage(usage: Record) -> Usage | None:
    cached, written = (count_of(usage.get(key)) for key in ("cacheRead", "cacheWrite"))
    prompt = count_of(usage.get("input")) + cached + written
    return usage_from(prompt, count_of(usage.get("output")), cached)
