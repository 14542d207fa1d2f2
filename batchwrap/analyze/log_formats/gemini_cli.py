"""Reads sessions of Gemini CLI: ``~/.gemini/tmp/<project>/chats/session-*``, and saved checkpoints.

A session is one document (older versions) or JSON lines. In JSON lines, a message is written again
whenever something was added to it, and the last version counts. Only the newest message is written
again, so one is kept at a time. ``$set`` with messages is what a compressed history was replaced
with, and repeats messages that were read already.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.gemini_parts import messages_of, response_of, text_in
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
from batchwrap.core.limits.cost import Usage

NAME = "Gemini CLI"


def recognises(record: Record) -> bool:
    """Whether a record begins a session, or is a checkpoint."""
    is_session = "sessionId" in record and "projectHash" in record
    return is_session or any(map(_is_content, _history(record)[:2]))


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a session or a checkpoint."""
    session, last, seen = file, Record(), set[int]()
    for record in records:
        session = text_of(record.get("sessionId")) or session
        for content in _history(record):
            yield from _said_of_content(content, session)
        for message in _messages(record):
            is_again = "id" in message and message["id"] == last.get("id")
            if not is_again:
                yield from _once(last, session, seen)
            last = message
    yield from _once(last, session, seen)


def _history(record: Record) -> list[Record]:
    """The contents of a checkpoint, which is a list of them or has them as its history."""
    listed = record.get("history", record.get("messages"))
    return [one for one in dicts_in(listed) if _is_content(one)]


def _is_content(one: Record) -> bool:
    parts = one.get("parts")
    # Messages of other programs have parts, too, but those have a type.
    is_typed = any("type" in part for part in dicts_in(parts))
    return one.get("role") in ("user", "model") and isinstance(parts, list) and not is_typed


def _said_of_content(content: Record, session: str) -> Iterator[Said]:
    for message, failed in messages_of(content):
        yield Said(session=session, message=message, source=NAME, failed=failed)


def _messages(record: Record) -> Iterator[Record]:
    """The messages of a whole session, or a line that is one."""
    if isinstance(record.get("type"), str) and "content" in record:
        yield record
    if "projectHash" in record:
        yield from dicts_in(record.get("messages"))


def _once(message: Record, session: str, seen: set[int]) -> Iterator[Said]:
    """The messages for one message, unless it was read before."""
    key = text_of(message.get("id"))
    if not message or (key and hash(key) in seen):
        return
    seen.add(hash(key))
    if message.get("type") != "gemini":
        # Results are repeated as messages of the user. They stand in the calls, too.
        parts = dicts_in(message.get("content"))
        if message.get("type") == "user" and not any("functionResponse" in one for one in parts):
            content = {"role": "user", "content": text_in(message.get("content"))}
            yield Said(session=session, message=content, source=NAME)
        return
    calls = dicts_in(message.get("toolCalls"))
    yield Said(
        session=session,
        message=assistant(
            text_in(message.get("content")),
            calls_of(calls, "id", "name", "args"),
            "\n".join(text_of(one.get("description")) for one in dicts_in(message.get("thoughts"))),
        ),
        source=NAME,
        model=text_of(message.get("model")),
        usage=_usage(dict_of(message, "tokens")),
        answer=key or None,
        everywhere=True,
    )
    for one in calls:
        failed = one.get("status") in ("error", "cancelled")
        yield Said(session=session, message=_result(one), source=NAME, failed=failed)


def _result(one: Record) -> Record:
    """The result of a call, which is a list of parts with the function's response in it."""
    answered = [dict_of(part, "functionResponse") for part in dicts_in(one.get("result"))]
    texts = (text_of(response_of(response)[0].get("content")) for response in answered if response)
    return result(one.get("id"), "\n".join(texts) or text_in(one.get("result")))


def _usage(tokens: Record) -> Usage | None:
    prompt = count_of(tokens.get("input"))
    output = count_of(tokens.get("output")) + count_of(tokens.get("thoughts"))
    return usage_from(prompt, output, count_of(tokens.get("cached")))
