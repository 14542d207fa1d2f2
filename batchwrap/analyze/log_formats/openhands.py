"""Reads events of OpenHands' agent server and SDK (version 1): a line or a file for each event.

Actions with one response id came from one answer. The tokens come before the answer, as new totals
of the conversation. They are those of a request only if exactly one was added.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    call,
    count_of,
    dict_of,
    result,
    text_of,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage

NAME = "OpenHands"
_RESULTS = ("AgentErrorEvent", "ObservationEvent", "UserRejectObservation")
_KINDS = ("ActionEvent", "MessageEvent", "SystemPromptEvent", *_RESULTS)
_OTHERS = ("ConversationStateUpdateEvent", "Condensation", "PauseEvent")


def recognises(record: Record) -> bool:
    """Whether a record is such an event."""
    return record.get("kind") in (*_KINDS, *_OTHERS) and "source" in record and "id" in record


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a conversation."""
    totals, usage, model = Usage(0, 0), None, ""
    for record in records:
        counted = dict_of(record, "value", "usage_to_metrics", "default")
        if counted:
            spent = dict_of(counted, "accumulated_token_usage")
            now = _usage(spent)
            usage, totals = _added(totals, now, count_of(spent.get("per_turn_token"))), now
            model = text_of(counted.get("model_name")) or model
        message = _message(record)
        if message is None:
            continue
        is_answer = message["role"] == "assistant"
        yield Said(
            session=file,
            message=message,
            source=NAME,
            model=model if is_answer else "",
            usage=usage if is_answer else None,
            answer=text_of(record.get("llm_response_id")) or None,
            failed=record.get("kind") in _RESULTS[::2]
            or dict_of(record, "observation").get("is_error") is True,
        )
        usage = None


def _message(record: Record) -> chat.Message | None:
    """The chat message for an event; None for one that the model does not see."""
    kind = record.get("kind")
    if kind == "ActionEvent":
        made = dict_of(record, "tool_call")
        given = made.get("arguments", dict_of(made, "function").get("arguments"))
        calls = [call(record.get("tool_call_id"), record.get("tool_name"), given)]
        return assistant(
            chat.text_of(record.get("thought")), calls, text_of(record.get("reasoning_content"))
        )
    if kind in _RESULTS:
        observed = dict_of(record, "observation")
        said = chat.text_of(observed.get("content")) or text_of(observed.get("output"))
        said = said or text_of(record.get("error")) or text_of(record.get("rejection_reason"))
        return result(record.get("tool_call_id"), said)
    if kind == "SystemPromptEvent":
        prompt = text_of(dict_of(record, "system_prompt").get("text"))
        return {"role": "system", "content": prompt}
    if kind != "MessageEvent":
        return None
    said = chat.text_of(dict_of(record, "llm_message").get("content"))
    is_answer = record.get("source") == "agent"
    return assistant(said, []) if is_answer else {"role": "user", "content": said}


def _usage(spent: Record) -> Usage:
    prompt, output = (count_of(spent.get(f"{kind}_tokens")) for kind in ("prompt", "completion"))
    return Usage(prompt, output, count_of(spent.get("cache_read_tokens")))


def _added(before: Usage, now: Usage, of_one: int) -> Usage | None:
    """The tokens of the request between two totals; None if it was not exactly one."""
    prompt = now.prompt_tokens - before.prompt_tokens
    output = now.completion_tokens - before.completion_tokens
    cached = min(prompt, now.cached_tokens - before.cached_tokens)
    is_one = prompt > 0 and prompt + output == of_one
    return Usage(prompt, output, max(0, cached)) if is_one else None
