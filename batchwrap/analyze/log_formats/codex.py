"""Session logs of Codex: ``~/.codex/sessions/…/rollout-*.jsonl``.

Items of one answer follow each other; the next answer begins with the first item after a
result or a message of the user. The tokens of an answer stand in an event behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    call,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage

NAME = "Codex"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")
_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")


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
        usage = _usage(payload) if payload.get("type") == "token_count" else None
        message = _message(payload) if record.get("type") == "response_item" else None
        if message is None and usage is not None and answers:
            message = assistant("", [])  # a piece without words: it only brings the tokens
        if message is None:
            continue
        if usage is None and message["role"] == "assistant":
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
            failed=dict_of(payload, "output").get("success") is False,
        )


def _message(item: dict[str, Any]) -> chat.Message | None:
    kind = item.get("type")
    if kind == "message":
        content = "\n".join(text_of(part.get("text")) for part in dicts_in(item.get("content")))
        is_answer = item.get("role") == "assistant"
        return (
            assistant(content, []) if is_answer else {"role": item.get("role"), "content": content}
        )
    if kind in _CALLS:
        given = item.get("arguments", item.get("input", item.get("action")))
        name = item.get("name") or "local_shell"
        return assistant("", [call(item.get("call_id"), name, given)])
    if kind in _RESULTS:
        output = item.get("output")
        inner = output.get("content") if isinstance(output, dict) else output
        return result(item.get("call_id"), inner)
    return None


def _usage(payload: dict[str, Any]) -> Usage | None:
    last = dict_of(payload, "info", "last_token_usage")
    prompt = count_of(last.get("input_tokens"))
    cached = min(prompt, count_of(last.get("cached_input_tokens")))
    return Usage(prompt, count_of(last.get("output_tokens")), cached) if prompt else None
