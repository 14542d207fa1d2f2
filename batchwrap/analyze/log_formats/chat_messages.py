"""Reads conversations and requests in the form of chat completions.

A conversation may be one record (``messages``), a list of messages, or one message a line. Logs of
requests have the answers, too (``request`` or ``body``, and ``response``). Anthropic's messages
with content blocks are read as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.blocks import as_chat, has_blocks
from batchwrap.analyze.log_formats.blocks import usage_of as blocks_usage
from batchwrap.analyze.log_formats.requests import LoggedRequest, Stitcher, has_failed
from batchwrap.analyze.log_messages import Said, dict_of, dicts_in, text_of
from batchwrap.core.formats import chat
from batchwrap.core.formats.chat.usage import usage_of
from batchwrap.core.limits.cost import Usage

NAME = "chat messages"
_ROLES = ("assistant", "developer", "function", "system", "tool", "user")


def recognises(record: Record) -> bool:
    """Whether a record is a conversation, a request, or a message."""
    messages = dicts_in(_request(record).get("messages"))
    return _is_message(record) or (bool(messages) and all(map(_is_message, messages)))


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    stitcher, number = Stitcher(NAME, file), 0
    for record in records:
        if _is_message(record):
            yield from _said(record, file, text_of(record.get("model")), None, record)
            continue
        number += 1
        request, answer = _request(record), _answer(record)
        if answer is not None:
            yield from stitcher.said(_logged(record, request, answer))
            continue
        if has_failed(record, request):
            continue
        name = text_of(record.get("id")) or f"{file}#{number}"
        model = text_of(request.get("model")) or text_of(record.get("model"))
        tools = request.get("tools")
        for message in dicts_in(request.get("messages")):
            yield from _said(message, name, model, tools, record)


def answer_of(response: object) -> chat.Message | None:
    """The assistant message of a completion; None if there is none."""
    body = dict_of(response)
    if body.get("role") == "assistant":
        return body
    return next((chat.part_of(choice) for _, choice in chat.choices(body)), None)


def usage_in(response: object) -> Usage | None:
    """The usage of a completion, in OpenAI's or Anthropic's form; None if there is none."""
    body = dict_of(response)
    return usage_of(body) or blocks_usage(dict_of(body, "usage"))


def _said(
    message: chat.Message, session: str, model: str, tools: object, record: Record
) -> Iterator[Said]:
    # Some traces mark in this way that their calls are text that the agent reads.
    as_text = record.get("native") is False
    pieces = as_chat(message) if has_blocks(message) else [(message, False)]
    for piece, failed in pieces:
        yield Said(
            session=session,
            message=piece,
            source=text_of(record.get("agent")) or NAME,
            model=model,
            usage=usage_in(message) if piece.get("role") == "assistant" else None,
            failed=failed,
            tools=tools,
            as_text=as_text,
        )


def _logged(record: Record, request: Record, answer: chat.Message) -> LoggedRequest:
    response = _response(record)
    model = text_of(request.get("model")) or text_of(response.get("model"))
    return LoggedRequest(
        messages=dicts_in(request.get("messages")),
        answer=answer,
        name=text_of(record.get("session_id")) or text_of(record.get("conversation_id")),
        model=model,
        tools=request.get("tools"),
        usage=usage_in(response) or usage_in(record),
    )


def _request(record: Record) -> Record:
    inner = (dict_of(record, key) for key in ("request", "body"))
    return next((one for one in inner if isinstance(one.get("messages"), list)), record)


def _response(record: Record) -> Record:
    response = dict_of(record, "response")
    inner = dict_of(response, "body")  # as in files of batch APIs
    return inner or response or (record if "choices" in record else {})


def _answer(record: Record) -> chat.Message | None:
    return answer_of(_response(record))


def _is_message(record: Record) -> bool:
    return record.get("role") in _ROLES and ("content" in record or "tool_calls" in record)
