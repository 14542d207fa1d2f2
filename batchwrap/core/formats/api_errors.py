"""Writes batchwrap's own errors in the form of each API, so that an SDK raises its own exceptions.

An error of OpenAI's APIs holds a code. Anthropic's API has the code in `details`, which its SDK
shows as `error_code`, and reports a temporary overload with the status 529.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]

_FROM_SERVER = 500
_OVERLOADED = 529
# https://platform.claude.com/docs/en/api/errors
_ANTHROPIC_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """One error, independent of the API.

    Attributes:
        status: its HTTP status in OpenAI's APIs.
        message: for a person.
        code: for a program.
        param: the field of the request that is wrong; None if no field is.
        is_passing: whether the error is temporary: the same request may succeed later.
    """

    status: int
    message: str
    code: Any
    param: str | None = None
    is_passing: bool = False


# Returns the status and the body of the answer that reports an error.
ErrorForm = Callable[[ApiError], tuple[int, Body]]


def openai_error(error: ApiError) -> tuple[int, Body]:
    """The status and body of an error of chat completions, Responses, and similar APIs."""
    kind = "server_error" if error.status >= _FROM_SERVER else "invalid_request_error"
    fields = {
        "message": error.message,
        "type": "rate_limit_error" if error.status == 429 else kind,
        "param": error.param,
        "code": error.code,
    }
    return error.status, {"error": fields}


def anthropic_error(error: ApiError) -> tuple[int, Body]:
    """The status and body of an error of Anthropic's API."""
    status = _OVERLOADED if error.is_passing else error.status
    kind = "api_error" if status >= _FROM_SERVER else "invalid_request_error"
    fields = {
        "type": _ANTHROPIC_KINDS.get(status, kind),
        "message": error.message,
        "details": {"error_code": error.code},
    }
    return status, {"type": "error", "error": fields, "request_id": None}
