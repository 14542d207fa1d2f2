"""The faults that an answer can have: a name for each kind, and what the caller can do.

Providers report the same fault in many shapes; `diagnosis` reads each of them into a `Fault`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.sse import MOST_EVENT_BYTES

CONTEXT_CODE = "context_length_exceeded"
# The status of an error inside a stream, which has none of its own; all others are server errors.
_STATUS = {"context_overflow": 400, "output_budget_too_large": 400, "tool_generation_failed": 400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One error.

    Attributes:
        kind: its name, the same for all providers: ``"rate_limit"``,
            ``"context_overflow"``, ``"incomplete_stream"``, …
        retry: what the caller can do: ``"no"``, ``"backoff"``, ``"after_seconds"``,
            ``"same_request"``,
            ``"same_request_once"``, ``"after_compaction"``, ``"with_smaller_max_tokens"``,
            ``"ask_model_again"``, …
        message: the provider's text, or ours.
        status: the HTTP status that it has, or would have.
        retry_after_s: seconds that the provider asked for.
        code: the code that the caller sees.
        numbers: what the provider reported: ``limit``, ``requested``, ``input`` (tokens), …
        hint: what would repair the request, if it is known.
    """

    kind: str
    retry: str
    message: str
    status: int | None = None
    retry_after_s: float | None = None
    code: Any = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    hint: str = ""

    def body(self) -> chat.Body:
        """The fault as the error body that SDKs read, in a stream or as an answer."""
        code = self.as_api_error.code
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": code}}

    @property
    def as_api_error(self) -> ApiError:
        """The fault in the form that every API's errors are made of."""
        code = self.code if self.code is not None else f"batchwrap_{self.kind}"
        return ApiError(status=self.http_status, message=self.message, code=code)

    @property
    def http_status(self) -> int:
        """The status of the answer; for a fault in a stream, the one that it would have."""
        return self.status or _STATUS.get(self.kind, 502)

    @property
    def facts(self) -> dict[str, Any]:
        """What an event reports of it: names and numbers, never a message's text."""
        told: dict[str, Any] = {"retry": self.retry, "status": self.status, **self.numbers}
        told |= {"retry_after_s": self.retry_after_s, "hint": self.hint}
        return {name: value for name, value in told.items() if value not in (None, "")}


class Broken(Exception):
    """Raised when an answer cannot be continued; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


INCOMPLETE = Fault(
    kind="incomplete_stream",
    retry="same_request",
    message="The provider's stream ended before the answer was complete.",
)
MALFORMED = Fault(
    kind="malformed_stream",
    retry="same_request",
    message="The provider's stream holds an event that is broken; a part of the answer is lost.",
)
OVERSIZED = Fault(
    kind="oversized_event",
    retry="no",
    message=f"The provider's stream holds an event of more than {MOST_EVENT_BYTES:,} bytes.",
)
EMPTY = Fault(
    kind="empty_response",
    retry="same_request_once",
    message="The provider's answer has neither text nor calls.",
    status=502,
)
TRUNCATED = Fault(
    kind="truncated_tool_call",
    retry="ask_model_again_smaller",
    message="The model's call was cut off. Allow a longer answer, or ask for less in one call.",
    status=502,
)
NO_ANSWER = Fault(
    kind="server_error",
    retry="backoff",
    message="The provider answered with a page in place of a completion.",
    status=502,
)
_FAILED = "response.failed"  # how the Responses API ends a stream with an error


def malformed_call(retry: str) -> Fault:
    """The fault of a call whose fragments do not form one; `retry` says what helps."""
    return Fault(
        kind="malformed_tool_call",
        retry=retry,
        message="The provider's stream holds a tool call whose text was lost or mixed up.",
        status=502,
    )


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def is_empty_answer(body: Mapping[str, Any]) -> bool:
    """Whether a chunk is the error that stands for an empty answer."""
    return bool(body.get("error") == EMPTY.body()["error"])


def error_in_event(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error that an event of a stream reports, for any of the APIs."""
    if event.get("type") == _FAILED:
        response = event.get("response")
        return error_in(response) if isinstance(response, dict) else None
    return error_in(event)


def is_whole_error(event: Mapping[str, Any]) -> bool:
    """Whether an event has its error at the place where `read_refusal` looks for it."""
    return bool(event.get("error")) or event.get("type") == _FAILED


def as_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """The body that reports an error."""
    return {"error": dict(error)}


def may_hold_error(event: Mapping[str, Any]) -> bool:
    """Whether an event may report an error; nearly all events do not, so this check is quick."""
    return "error" in event or not event.get("choices")


def error_in(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error that a body or a chunk reports, in any shape; None if it reports none."""
    found = body.get("error")
    if isinstance(found, dict) and found:
        return found
    if isinstance(found, str) and found:
        return {"message": found, "code": body.get("code"), "type": body.get("type")}
    if body.get("choices") or not isinstance(body.get("message"), str):
        return None
    if body.get("object") == "error" or body.get("type") or body.get("code"):
        return {name: value for name, value in body.items() if name != "object"}
    return None
