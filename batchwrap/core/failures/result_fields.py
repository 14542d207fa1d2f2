"""Reads the status in the fields of a JSON object: `isError`, `success`, `exit_code`, `status`, …

A field counts at the top level, and in the envelopes that tools put around a result. An object that
merely describes something that failed (a job, a log record, a list of translations) is recognised
by its other fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from batchwrap.core.failures.status import ResultStatus

_FAILED, _DENIED, _SUCCEEDED = ResultStatus.FAILED, ResultStatus.DENIED, ResultStatus.SUCCEEDED
# Larger objects are not parsed. Of these, a flag at the beginning or the end is still read.
_MOST_JSON = 65_536
_MOST_LITERAL = 2_048
_DEEPEST = 4
_MOST_ITEMS = 100
_MOST_FIELDS = 12  # of a result with an error; an object with more fields is a document


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_IS_ERROR = _names("isError is_error")
_SUCCESS = _names("success ok succeeded successful")
_CODES = _names("exit_code exitCode exit_status exitStatus exit returncode return_code returnCode")
_STREAMS = _names("stdout stderr output")  # beside them, "code" is an exit code
_REFUSED = _names("denied rejected declined cancelled canceled aborted interrupted")
_GRANTED = _names("approved allowed permitted confirmed granted")
_STATES = _names("status outcome state decision behavior permissionDecision type")
_SAYS_DENIED = _names(
    "denied deny rejected reject declined decline cancelled canceled cancel aborted interrupted"
    " blocked block forbidden access_denied permission_denied not_approved user_rejected"
    " execution-denied tool-denied output-denied"  # Vercel's AI SDK, pydantic-ai
)
_SAYS_FAILED = _names("failed failure timeout timed_out timedout errored error-text")
_ENVELOPES = _names(
    "result response output metadata structuredContent details tool_result toolResult"
)
# Fields that may hold a message.
_WORDS = _names("error message reason detail text content output result response stderr feedback")
# Fields of things that have a status of their own: jobs, pull requests, log records, rows.
_THING = _names(
    "id name title number url html_url created_at createdAt updated_at state conclusion level"
    " timestamp time ts logger severity passed tests total properties version items"
)
_LOGGED = _names("level severity logger properties")
_TRANSLATED = _names("warning cancel save success info yes loading submit")


@dataclass(frozen=True, slots=True)
class Fields:
    """The status and the texts of a result that is a JSON value.

    Attributes:
        status: how the call ended; None if no field says it.
        texts: its messages, if it is a result and nothing else.
    """

    status: ResultStatus | None = None
    texts: tuple[str, ...] = ()


def fields_of(result: str) -> Fields | None:
    """The status and texts of a result that is, or resembles, a JSON value; None otherwise."""
    first = result[:64].lstrip()[:1]
    if first not in ("{", "[", '"'):
        return None
    if len(result) > _MOST_JSON:
        return _of_large(result) if first == "{" else None
    value = _parsed(result.strip())
    if isinstance(value, str):
        return Fields(None, (value,))
    if isinstance(value, list):
        return _of_list(value)
    return _of_object(value, _DEEPEST) if isinstance(value, dict) else None


_FLAG = (
    r'"(?:is_?error"\s*:\s*true|(?:success|ok)"\s*:\s*false|status"\s*:\s*"error"'
    r'|(?:exit_?code|returncode)"\s*:\s*-?[1-9]\d*)'
)
_FIRST_FIELD = re.compile(rf"\s*\{{\s*{_FLAG}", re.IGNORECASE)
_LAST_FIELD = re.compile(rf",\s*{_FLAG}\s*\}}\s*$", re.IGNORECASE)
_FIELD = 256  # characters at either end that are read


def _of_large(result: str) -> Fields | None:
    """The status in the first and last field of an object that is too large to parse."""
    ends = _FIRST_FIELD.match(result[:_FIELD]) or _LAST_FIELD.search(result[-_FIELD:])
    return Fields(_FAILED) if ends else None


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _of_literal(text) if len(text) <= _MOST_LITERAL else None


_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"(?:[^\"\\]|\\.)*\"|\b(True|False|None)\b", re.DOTALL)
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


def _of_literal(text: str) -> Any:
    """The value of a Python literal: `str()` of a dict writes one."""
    if not text.startswith(("{'", "[{'")):
        return None
    try:
        return orjson.loads(_LITERAL.sub(_as_json, text))
    except orjson.JSONDecodeError:
        return None


def _as_json(found: re.Match[str]) -> str:
    if found[2]:
        return _CONSTANTS[found[2]]
    if found[1] is None:
        return found[0]
    return orjson.dumps(found[1].replace("\\'", "'").replace("\\n", "\n")).decode()


def _of_list(value: list[Any]) -> Fields:
    """The status of content parts, or of several steps: these failed only if all of them failed."""
    items = [item for item in value[:_MOST_ITEMS] if isinstance(item, dict)]
    if not items or len(items) < len(value):
        return Fields()
    if all(isinstance(item.get("text"), str) for item in items):
        return Fields(None, ("\n".join(item["text"] for item in items),))
    read = [_of_object(item, _DEEPEST - 1) for item in items]
    return read[0] if all(one.status in (_FAILED, _DENIED) for one in read) else Fields()


def _of_object(told: Mapping[str, Any], depth: int) -> Fields:
    status = _status(told, depth)
    is_result = (
        not _is_record(told)
        and len(told) <= _MOST_FIELDS // 2
        and not any(name in told for name in _THING)
    )
    texts = tuple(_texts(told, depth)) if status is not None or is_result else ()
    return Fields(status, texts)


def _status(told: Mapping[str, Any], depth: int) -> ResultStatus | None:
    is_error = any(told.get(name) is True for name in _IS_ERROR)
    if is_error or any(told.get(name) is False for name in _SUCCESS):
        return _DENIED if _is_denied(told) else _FAILED
    codes = list(_exit_codes(told))
    if codes or any(told.get(name) is True for name in _SUCCESS):
        return _FAILED if any(codes) else _SUCCEEDED
    is_thing = any(name in told for name in _THING)
    if _is_denied(told) and not is_thing:
        return _DENIED
    if _has_failed(told, is_thing=is_thing):
        return _FAILED
    inner = (told.get(name) for name in _ENVELOPES) if depth else ()
    read = (_status(one, depth - 1) for one in inner if isinstance(one, dict))
    return next((one for one in read if one is not None), None)


def _exit_codes(told: Mapping[str, Any]) -> Iterator[int]:
    ended = told.get("exit")
    values = [told.get(name) for name in _CODES]
    if isinstance(ended, dict) or any(name in told for name in _STREAMS):
        values.append((ended if isinstance(ended, dict) else told).get("code"))
    return (value for value in values if type(value) is int)


def _is_denied(told: Mapping[str, Any]) -> bool:
    states = (told.get(name) for name in _STATES)
    return (
        any(told.get(name) is True for name in _REFUSED)
        or any(told.get(name) is False for name in _GRANTED)
        or any(isinstance(state, str) and state.lower() in _SAYS_DENIED for state in states)
    )


def _has_failed(told: Mapping[str, Any], *, is_thing: bool) -> bool:
    state = str(told.get("status")).lower()
    return (
        bool(told.get("error") and not _is_record(told))
        or state == "error"
        or (state in _SAYS_FAILED and not is_thing)
        or told.get("type") == "error"
        or bool(told.get("errors") and told.get("data", told) is None)  # GraphQL
    )


def _is_record(told: Mapping[str, Any]) -> bool:
    """Whether an object with an error is a log record, or a list of translations."""
    return (
        len(told) > _MOST_FIELDS
        or any(name in told for name in _LOGGED)
        or any(isinstance(told.get(name), str) for name in _TRANSLATED)
    )


def _texts(told: object, depth: int) -> Iterator[str]:
    """The messages in a value."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, list) and depth:
        for item in told[:_MOST_ITEMS]:
            yield from _texts(item, depth - 1)
    elif isinstance(told, Mapping) and depth:
        for name in _WORDS:
            yield from _texts(told.get(name), depth - 1)
