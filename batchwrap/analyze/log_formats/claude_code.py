"""Reads session logs of Claude Code: ``~/.claude/projects/<project>/<session>.jsonl``.

An answer has several lines, one for each block. All have the answer's id and a usage, of which the
last one counts. Subagents have their own lines or files, which are marked as side chains.
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
    return record.get("type") in ("user", "assistant") and has_message and "sessionId" in record


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
    side = record.get("agentId") or ("side chain" if record.get("isSidechain") is True else "")
    return f"{record.get('sessionId')}{f'/{side}' if side else ''}"
