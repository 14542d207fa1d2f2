"""Reads session logs of Codex: ``~/.codex/sessions/…/rollout-*.jsonl``.

The items of one answer follow each other. The next answer begins with the first item after a result
or a message of the user. The tokens of an answer are in an event after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.response_items import failed, message_of, usage_of
from batchwrap.analyze.log_messages import Said, assistant, dict_of, text_of

NAME = "Codex"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


def recognises(record: Record) -> bool:
    """Whether a record is a line of such a log."""
    return record.get("type") in _TYPES and isinstance(record.get("payload"), dict)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    session, model, answers, is_open = file, "", 0, False
    for record in records:
        payload = dict_of(record, "payload")
        if record.get("type") == "session_meta":
            session = text_of(payload.get("id")) or session
        model = text_of(payload.get("model")) or model
        counted = dict_of(payload, "info", "last_token_usage")
        usage = usage_of(counted) if payload.get("type") == "token_count" else None
        message = message_of(payload) if record.get("type") == "response_item" else None
        if message is None and usage is not None and answers:
            message = assistant("", [])  # an empty piece of the answer, which carries its tokens
        if message is None:
            continue
        if usage is None and message["role"] == "assistant":
            # The first item of the model after a result or a prompt begins a new answer.
            answers, is_open = answers + (not is_open), True
        elif usage is None:
            is_open = False
        yield Said(
            session=session,
            message=message,
            source=NAME,
            model=model,
            usage=usage,
            answer=str(answers),
            failed=failed(payload),
        )
