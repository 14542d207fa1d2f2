"""Reads session logs of Claude Code: ``~/.claude/projects/<project>/<session>.jsonl``.

An answer has several lines, one for each block. All have the answer's id and a usage, of which the
last one counts. Subagents have their own lines or files, which are marked as side chains. What
``claude -p --output-format stream-json`` prints is read, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.blocks import as_chat, usage_of
from batchwrap.analyze.log_messages import Said, dict_of, text_of

NAME = "Claude Code"
# The model name of answers that Claude Code writes itself, such as "API Error".
_NOBODY = "<synthetic>"


def recognises(record: Record) -> bool:
    """Whether a record is a line of such a log."""
    has_message = isinstance(dict_of(record, "message").get("role"), str)
    is_named = "sessionId" in record or "session_id" in record
    return record.get("type") in ("user", "assistant") and has_message and is_named


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    for record in records:
        message = dict_of(record, "message")
        if not recognises(record) or message.get("model") == _NOBODY:
            continue
        for said, failed in as_chat(message):
            is_answer = said["role"] == "assistant"
            yield Said(
                session=_session(record),
                message=said,
                source=NAME,
                model=text_of(message.get("model")),
                usage=usage_of(dict_of(message, "usage")) if is_answer else None,
                answer=text_of(message.get("id")) or None,
                everywhere=True,
                failed=failed,
            )


def _session(record: Record) -> str:
    side = record.get("agentId") or record.get("parent_tool_use_id")
    side = side or ("side chain" if record.get("isSidechain") is True else "")
    session = record.get("sessionId") or record.get("session_id")
    return f"{session}{f'/{side}' if side else ''}"
