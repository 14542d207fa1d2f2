"""Reads events of OpenHands before version 1: trajectories, event files and evaluation outputs.

The action of a tool call has the whole response of the model in its metadata, with the tokens.
Older agents write calls as text. Their actions have no such metadata, and count as text.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.chat_messages import answer_of, usage_in
from batchwrap.analyze.log_messages import Said, assistant, call, dict_of, dicts_in, result, text_of
from batchwrap.core.formats import chat

NAME = "OpenHands (before version 1)"
# What the program does to itself.
_NO_CALLS = ("change_agent_state", "condensation", "message", "null", "recall", "system")


def recognises(record: Record) -> bool:
    """Whether a record is such an event, or has a history of them."""
    return any(map(_is_event, _events(record)[:3]))


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of the events."""
    for record in records:
        name = text_of(record.get("instance_id")) or file
        for event in _events(record):
            if _is_event(event):
                yield from _said(event, name)


def _events(record: Record) -> list[Record]:
    """The event itself, or those of a history; older histories are pairs."""
    history = record.get("history", record.get("trajectory"))
    if not isinstance(history, list):
        return [record]
    return [event for one in history for event in dicts_in(one if isinstance(one, list) else [one])]


def _is_event(event: Record) -> bool:
    is_action = isinstance(event.get("action"), str) and "args" in event
    is_result = isinstance(event.get("observation"), str) and "content" in event
    return "source" in event and (is_action or is_result)


def _said(event: Record, session: str) -> Iterator[Said]:
    about = dict_of(event, "tool_call_metadata")
    response = dict_of(about, "model_response")
    message = _message(event, about, response)
    if message is None:
        return
    is_answer = message["role"] == "assistant"
    yield Said(
        session=session,
        message=message,
        source=NAME,
        model=text_of(response.get("model")),
        usage=usage_in(response) if is_answer else None,
        answer=text_of(response.get("id")) or None,
        failed=event.get("success") is False or event.get("observation") == "error",
        as_text=is_answer and not about,
    )


def _message(event: Record, about: Record, response: Record) -> chat.Message | None:
    """The chat message for an event; None for one that the model neither made nor sees."""
    action, given = event.get("action"), dict_of(event, "args")
    if "observation" in event:
        of_call = about.get("tool_call_id", event.get("cause"))
        return result(of_call, event["content"]) if of_call is not None else None
    if action == "system":
        return {"role": "system", "content": given.get("content")}
    if event.get("source") != "agent":
        return {"role": "user", "content": given.get("content")} if action == "message" else None
    if about:
        # All actions of one response share its text. Each is a piece of it.
        answer = answer_of(response) or {}
        own = [one for one in chat.tool_calls(answer) if one.get("id") == about.get("tool_call_id")]
        first = chat.tool_calls(answer)[:1] == own
        return assistant(chat.text_of(answer.get("content")) if first else "", own)
    if action == "message":
        return assistant(text_of(given.get("content")), [])
    if action in _NO_CALLS:
        return None
    return assistant(text_of(given.get("thought")), [call(event.get("id"), action, given)])
