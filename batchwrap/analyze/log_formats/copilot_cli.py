"""Reads sessions of GitHub's Copilot CLI: ``~/.copilot/session-state/<session>/events.jsonl``.

Events of a subagent have an id of its own, or that of the call that began it. A usage event, where
it was written, comes after its answer. In older logs an answer does not have its calls. Then those
that begin after it are its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    call,
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

NAME = "Copilot CLI"
_ANSWER, _USAGE = "assistant.message", "assistant.usage"
_BEGUN, _RESULT = "tool.execution_start", "tool.execution_complete"
_TYPES = (_ANSWER, _USAGE, _BEGUN, _RESULT, "session.start", "user.message")


def recognises(record: Record) -> bool:
    """Whether a record is an event of such a session."""
    return record.get("type") in _TYPES and isinstance(record.get("data"), dict)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a session."""
    session, model, last, asked = file, "", dict[str, str](), set[int]()
    for record in records:
        kind, data = record.get("type"), dict_of(record, "data")
        if kind == "session.start":
            session = text_of(data.get("sessionId")) or session
        model = text_of(data.get("model", data.get("newModel"))) or model
        agent = text_of(record.get("agentId", data.get("parentToolCallId")))
        message = _message(kind, data)
        if kind == _ANSWER:
            key = data.get("apiCallId") or data.get("messageId") or record.get("id")
            last[agent] = text_of(key)
            asked.update(hash(text_of(one.get("toolCallId"))) for one in _requests(data))
        known = kind == _BEGUN and hash(text_of(data.get("toolCallId"))) in asked
        if message is None or known or (kind in (_BEGUN, _USAGE) and agent not in last):
            continue
        is_answer = message["role"] == "assistant"
        yield Said(
            session=f"{session}{f'/{agent}' if agent else ''}",
            message=message,
            source=NAME,
            model=model if is_answer else "",
            usage=_usage(data) if kind == _USAGE else None,
            answer=last.get(agent) if is_answer else None,
            failed=data.get("success") is False,
        )


def _requests(data: Record) -> list[Record]:
    return dicts_in(data.get("toolRequests"))


def _message(kind: object, data: Record) -> chat.Message | None:
    if kind == _ANSWER:
        calls = calls_of(_requests(data), "toolCallId", "name", "arguments")
        return assistant(text_of(data.get("content")), calls, text_of(data.get("reasoningText")))
    if kind == _BEGUN:
        made = call(data.get("toolCallId"), data.get("toolName"), data.get("arguments"))
        return assistant("", [made])
    if kind == _USAGE:
        return assistant("", [])  # an empty piece of the answer, which carries its tokens
    if kind == _RESULT:
        given = data.get("result")
        said = given if isinstance(given, str) else text_of(dict_of(data, "result").get("content"))
        said = said or text_of(dict_of(data, "error").get("message"))
        return result(data.get("toolCallId"), said)
    return {"role": "user", "content": data.get("content")} if kind == "user.message" else None


def _usage(data: Record) -> Usage | None:
    cached = count_of(data.get("cacheReadTokens"))
    # The SDK does not document whether the input includes the tokens of the cache. It seems so.
    prompt = max(count_of(data.get("inputTokens")), cached)
    return usage_from(prompt, count_of(data.get("outputTokens")), cached)
