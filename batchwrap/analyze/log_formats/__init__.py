"""The formats of logs. The format of a file is recognised by its content, not by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from batchwrap.analyze.files import LogFile, Record, Unreadable
from batchwrap.analyze.log_formats import (
    chat_messages,
    claude_code,
    codex,
    litellm_log,
    opencode,
    opentelemetry,
    responses_log,
    skeleton,
    swe_agent,
)
from batchwrap.analyze.log_messages import LogFormat, Reader
from batchwrap.analyze.record import LogReading
from batchwrap.analyze.record import sessions as recorded
from batchwrap.analyze.recorded_session import Session

# Specific formats come first, since their records often contain chat messages, too.
_READERS: Mapping[LogFormat, Reader] = {
    claude_code: claude_code.read,
    codex: codex.read,
    opencode: opencode.read,
    swe_agent: swe_agent.read,
    litellm_log: litellm_log.read,
    opentelemetry: opentelemetry.read,
    responses_log: responses_log.read,
    chat_messages: chat_messages.read,
}
NAMES = (*(one.NAME for one in _READERS), skeleton.NAME)
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
        for one, read in _READERS.items():
            if one.recognises(record):
                said = read(chain(head, records), source.name)
                return one.NAME, recorded(said, source.name, reading)
        if len(head) >= _LOOKED_AT:
            break
    known = ", ".join(NAMES)
    raise Unreadable(f"none of its first {len(head)} records is of a known format ({known})")


def _skeletons(records: Iterator[Record], file: str) -> Iterator[Session]:
    broken = 0
    for record in records:
        try:
            yield from skeleton.sessions(record, file)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            broken += 1
    if broken:
        raise Unreadable(f"{broken} of its sessions are not whole")
