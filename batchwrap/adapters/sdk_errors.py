"""Reads the errors that a completion function raised as answers of the provider.

Every SDK has errors of its own. Those of openai and similar SDKs carry `status_code`, `body` and
`response`; litellm adds headers; httpx and requests carry a response only, aiohttp a `status`.
Errors are recognised by these attributes, so no SDK has to be imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any

from batchwrap.core.formats import chat

_STATUS = ("status_code", "http_status", "status", "code")
_HEADERS = ("litellm_response_headers", "headers")
_RETRIED = "x-stainless-retry-count"  # SDKs made by Stainless send it with each request
_DEEPEST = 8
_COUNT = re.compile(r"[0-9]{1,4}")


def status_of(error: BaseException) -> int | None:
    """The HTTP status of the answer that this error was raised for; None for other errors."""
    for source in (error, field(error, "response")):
        for name in _STATUS:
            status = field(source, name)
            if type(status) is int and 400 <= status <= 599:
                return status
    return None


def is_answer(error: BaseException) -> bool:
    """Whether an error was raised for an answer of the provider."""
    return status_of(error) is not None or isinstance(field(error, "body"), dict)


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers of that answer, with lower-case names; empty if they were not kept."""
    for one in _chain(error):
        for source in (one, field(one, "response")):
            for name in _HEADERS:
                headers = lowered(field(source, name))
                if headers:
                    return headers
    return {}


def body_of(error: BaseException) -> chat.Body:
    """The body of that answer; if it was not kept, one with the error's own message."""
    for one in _chain(error):
        body = field(one, "body") or _read(field(one, "response"))
        if isinstance(body, dict) and body:
            return body if "error" in body else {"error": body}
    return {"error": {"message": str(error)}}


def event_of(error: BaseException) -> chat.Body:
    """The event in the middle of a stream that an SDK raised an error for.

    The SDK makes up a status for it, which says less than the provider's own code.
    """
    for one in _causes(error):
        body = field(one, "body")
        if isinstance(body, dict) and body:
            return body if "error" in body else {"error": body}
    return {**body_of(error), "status_code": status_of(error)}


def tries_of(error: BaseException, told: int) -> int:
    """How often the request was sent, including retries of lower layers.

    Args:
        error: the last error.
        told: the number of retries that litellm was given, on top of the SDK's own.
    """
    retries = 0
    for one in _chain(error):
        request = field(one, "request") or field(field(one, "response"), "request")
        count = lowered(field(request, "headers")).get(_RETRIED, "")
        retries = max(retries, int(count) if _COUNT.fullmatch(count) else 0)
    again = field(error, "num_retries")  # litellm's own count, if there is one
    return 1 + retries + max(told, again if type(again) is int else 0)


def field(source: object, name: str) -> Any:
    """An attribute, or None; some libraries' properties raise errors of their own."""
    try:
        return getattr(source, name, None)
    except Exception:  # httpx: a response that was never given its request
        return None


def lowered(headers: object) -> dict[str, str]:
    """The headers of any library, as a dict with lower-case names."""
    if not isinstance(headers, Mapping | Message):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes with the same status."""
    status = status_of(error)
    return (one for one in _causes(error) if one is error or status_of(one) == status)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_DEEPEST):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _read(response: Any) -> Any:
    """The JSON body of a response that was read; None for any other response."""
    decode = field(response, "json")
    try:
        return decode() if callable(decode) else None
    except Exception:  # not JSON, or a stream that was never read: each library has its own error
        return None
