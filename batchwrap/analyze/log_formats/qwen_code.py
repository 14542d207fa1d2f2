"""Reads session logs of Qwen Code: ``~/.qwen/projects/<project>/chats/<session>.jsonl``.

A line is one content of Gemini's API, with what is said about it. Subagents are marked, and are
sessions of their own. A branch copies the lines before it with their ids.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.gemini_parts import messages_of, usage_of
from batchwrap.analyze.log_messages import Said, dict_of, text_of

NAME = "Qwen Code"
_TYPES = ("assistant", "tool_result", "user")
_FAILED = ("cancelled", "error")


def recognises(record: Record) -> bool:
    """Whether a record is a line of such a log."""
    parts = dict_of(record, "message").get("parts")
    return record.get("type") in _TYPES and isinstance(parts, list) and "sessionId" in record


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    for record in records:
        if not recognises(record):
            continue
        is_answer = record.get("type") == "assistant"
        content = {**dict_of(record, "message"), "role": "model" if is_answer else "user"}
        status = dict_of(record, "toolCallResult").get("status")
        for message, failed in messages_of(content):
            yield Said(
                session=_session(record),
                message=message,
                source=NAME,
                model=text_of(record.get("model")),
                usage=usage_of(dict_of(record, "usageMetadata")) if is_answer else None,
                answer=text_of(record.get("uuid")) or None,
                everywhere=True,
                failed=failed or status in _FAILED,
            )


def _session(record: Record) -> str:
    agent = text_of(record.get("agentId"))
    return f"{text_of(record.get('sessionId'))}{f'/{agent}' if agent else ''}"
