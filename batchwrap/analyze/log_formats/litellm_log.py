"""Reads logs of litellm: its standard logging payload, one for each request."""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record, Unreadable
from batchwrap.analyze.log_formats.chat_messages import answer_of, usage_in
from batchwrap.analyze.log_formats.requests import LoggedRequest, Stitcher
from batchwrap.analyze.log_formats.response_items import messages_of
from batchwrap.analyze.log_formats.responses_log import is_response
from batchwrap.analyze.log_messages import Said, count_of, dict_of, dicts_in, text_of, usage_from
from batchwrap.core.limits.cost import Usage

NAME = "litellm"


def recognises(record: Record) -> bool:
    """Whether a record is such a payload, or contains one."""
    payload = _payload(record)
    return "call_type" in payload and "messages" in payload and "response" in payload


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log.

    Raises:
        Unreadable: all messages of the log were redacted.
    """
    stitcher, redacted, understood = Stitcher(NAME, file), 0, 0
    for record in records:
        payload = _payload(record)
        if not recognises(record) or payload.get("status") == "failure":
            continue
        request = _request(payload)
        understood += request is not None
        redacted += request is None
        if request is not None:
            yield from stitcher.said(request)
    if redacted and not understood:
        raise Unreadable("its messages were redacted when they were logged")


def _request(payload: Record) -> LoggedRequest | None:
    given, response = payload.get("messages"), payload.get("response")
    messages = dicts_in(given.get("messages") if isinstance(given, dict) else given)
    answer = answer_of(response)
    if is_response(response):
        messages = messages_of(given)
        answer = next(iter(messages_of(dict_of(response)["output"])), None)
    if not messages or all(m.get("content") == "redacted-by-litellm" for m in messages):
        return None
    return LoggedRequest(
        messages=messages,
        answer=answer,
        name=text_of(payload.get("session_id")) or text_of(payload.get("trace_id")),
        model=text_of(payload.get("model")),
        tools=dict_of(payload, "model_parameters").get("tools"),
        usage=_usage(payload),
    )


def _usage(payload: Record) -> Usage | None:
    reported = usage_in(payload.get("response"))
    logged = usage_in({"usage": dict_of(payload, "metadata", "usage_object")})
    prompt, output = count_of(payload.get("prompt_tokens")), payload.get("completion_tokens")
    return reported or logged or usage_from(prompt, count_of(output))


def _payload(record: Record) -> Record:
    return dict_of(record, "standard_logging_object") or record
