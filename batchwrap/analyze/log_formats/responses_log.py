"""Reads logs of requests to the Responses API with their responses.

A record contains the request (under ``request`` or ``body``, or directly) and the ``response``. The
input of a request is the whole conversation, or only what is new if the request continues a
response by its id. A record without a response is a conversation as a whole, as its input.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.requests import LoggedRequest, Stitcher, has_failed
from batchwrap.analyze.log_formats.response_items import messages_of, usage_of
from batchwrap.analyze.log_messages import Said, dict_of, dicts_in, text_of

NAME = "Responses API"


def recognises(record: Record) -> bool:
    """Whether a record is a request to this API with its response, or a conversation's items."""
    return "input" in _request(record) and (is_response(_response(record)) or _is_input(record))


def is_response(value: object) -> bool:
    """Whether a value is a response of this API."""
    return isinstance(dict_of(value).get("output"), list)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a log."""
    stitcher = Stitcher(NAME, file)
    for number, record in enumerate(records):
        if _is_input(record):
            session = f"{file}#{number}" if number else file
            for message in messages_of(_request(record)["input"]):
                yield Said(session=session, message=message, source=NAME)
        elif recognises(record):
            yield from stitcher.said(_logged(record))


def _is_input(record: Record) -> bool:
    """Whether a record has the items of a conversation, with calls, and no response."""
    request = _request(record)
    if is_response(_response(record)) or has_failed(record, request):
        return False
    return any(one.get("type") == "function_call" for one in dicts_in(request.get("input")))


def _logged(record: Record) -> LoggedRequest:
    request, response = _request(record), _response(record)
    answer = messages_of(response["output"])
    return LoggedRequest(
        messages=messages_of(request["input"]),
        answer=answer[0] if answer else None,
        name=text_of(record.get("session_id")) or text_of(record.get("conversation_id")),
        model=text_of(request.get("model")) or text_of(response.get("model")),
        tools=functions_of(request.get("tools")),
        usage=usage_of(dict_of(response, "usage")),
        continues=text_of(request.get("previous_response_id")),
        answer_id=text_of(response.get("id")),
    )


def functions_of(tools: object) -> object:
    """A request's functions in the form of chat completions; None if the log has no tools."""
    if not isinstance(tools, list):
        return None
    functions = [one for one in tools if dict_of(one).get("type") == "function"]
    return [
        one if "function" in one else {"type": "function", "function": one} for one in functions
    ]


def _request(record: Record) -> Record:
    inner = (dict_of(record, key) for key in ("request", "body"))
    return next((one for one in inner if "input" in one), record)


def _response(record: Record) -> Record:
    response = dict_of(record, "response")
    return dict_of(response, "body") or response  # files of batch APIs have a `body`
