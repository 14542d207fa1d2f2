"""The formats of logs. The format of a file is recognised by its content, not by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from batchwrap.analyze.files import LogFile, Record, Unreadable
from batchwrap.analyze.log_formats import (
    atif,
    chat_messages,
    claude_code,
    cline,
    codex,
    copilot_cli,
    gemini_cli,
    inspect_ai,
    litellm_log,
    opencode,
    openhands,
    openhands_v0,
    opentelemetry,
    pi,
    qwen_code,
    responses_log,
    skeleton,
    swe_agent,
    vscode_chat,
)
from batchwrap.analyze.log_formats.text_calls import with_text_calls
from batchwrap.analyze.log_formats.unread import unread_format
from batchwrap.analyze.log_messages import LogFormat, Reader
from batchwrap.analyze.record import LogReading
from batchwrap.analyze.record import sessions as recorded
from batchwrap.analyze.recorded_session import Session

# Specific formats come first, since their records often contain chat messages, too.
_READERS: Mapping[LogFormat, Reader] = {
    qwen_code: qwen_code.read,
    claude_code: claude_code.read,
    codex: codex.read,
    pi: pi.read,
    copilot_cli: copilot_cli.read,
    vscode_chat: vscode_chat.read,
    gemini_cli: gemini_cli.read,
    opencode: opencode.read,
    openhands: openhands.read,
    openhands_v0: openhands_v0.read,
    cline: cline.read,
    swe_agent: swe_agent.read,
    atif: atif.read,
    inspect_ai: inspect_ai.read,
    litellm_log: litellm_log.read,
    opentelemetry: opentelemetry.read,
    responses_log: responses_log.read,
}
NAMES = (*(one.NAME for one in _READERS), chat_messages.NAME, skeleton.NAME)
# A log may begin with lines that say nothing of its format, such as summaries.
_LOOKED_AT = 50


def sessions_in(source: LogFile, reading: LogReading) -> tuple[str, Iterator[Session]]:
    """The format of a file, and its sessions, which are read lazily.

    Raises:
        Unreadable: the file cannot be read, or has no known format. Iterating over the sessions
            may raise it, too.
    """
    records = source.records()
    head: list[Record] = []
    for record in records:
        head.append(record)
        if skeleton.recognises(record):
            return skeleton.NAME, _skeletons(chain(head, records), source.name)
        found = _reader_for(record)
        if found is not None:
            name, read = found
            said = with_text_calls(read(chain(head, records), source.name))
            return name, recorded(said, source.name, reading)
        if len(head) >= _LOOKED_AT:
            break
    if not head:
        raise Unreadable("contains no JSON object")
    raise Unreadable(f"none of its first {len(head)} records is of a known format")


def _reader_for(record: Record) -> tuple[str, Reader] | None:
    """The name and the reader of a record's format; None if it is unknown so far.

    Raises:
        Unreadable: the format is known, but not read.
    """
    for one, read in _READERS.items():
        if one.recognises(record):
            return one.NAME, read
    unread = unread_format(record)
    if unread is not None:
        raise Unreadable(f"is not read: it is {unread}")
    # Last, since records of many formats look like chat messages, too.
    is_chat = chat_messages.recognises(record)
    return (chat_messages.NAME, chat_messages.read) if is_chat else None


def _skeletons(records: Iterator[Record], file: str) -> Iterator[Session]:
    broken = 0
    for record in records:
        try:
            yield from skeleton.sessions(record, file)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            broken += 1
    if broken:
        raise Unreadable(f"{broken} of its sessions are not whole")
