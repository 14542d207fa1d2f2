"""Reads session logs of Codex: ``~/.codex/sessions/…/rollout-*.jsonl``.

The items of one answer follow each other. The next answer begins with the first item after a result
or a message of the user. The tokens of an answer are in an event after it. In older logs each line
is an item itself, after a header, or all items are in one document.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.response_items import failed, message_of, usage_of
from batchwrap.analyze.log_messages import Said, assistant, dict_of, dicts_in, text_of

NAME = "Codex"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


def recognises(record: Record) -> bool:
    """Whether a record is a line of such a log, or the header of an older one."""
    is_line = record.get("type") in _TYPES and isinstance(record.get("payload"), dict)
    is_header = "type" not in record and {"id", "timestamp", "instructions"} <= record.keys()
    return is_line or is_header or _is_document(record)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    session, model, answers, is_open = file, "", 0, False
    for record in chain.from_iterable(map(_lines, records)):
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


def _is_document(record: Record) -> bool:
    return isinstance(record.get("session"), dict) and isinstance(record.get("items"), list)


def _lines(record: Record) -> Iterator[Record]:
    """The lines of today's form for a record of any form."""
    if "payload" in record:
        yield record
    elif _is_document(record):
        yield {"type": "session_meta", "payload": record["session"]}
        yield from ({"type": "response_item", "payload": one} for one in dicts_in(record["items"]))
    else:
        kind = "response_item" if "type" in record else "session_meta"
        yield {"type": kind, "payload": record}
