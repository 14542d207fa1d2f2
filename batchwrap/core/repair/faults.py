"""Errors that a provider reports, and those that its answer is: what they mean, and what helps.

Providers say the same thing in many shapes. Here each is read into one `Fault`, whose kind
and remedy have one name for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from batchwrap.core import chat

_CONTEXT = re.compile(
    r"context[ _-]?(length|window|limit|size)|maximum context|prompt is too long"
    r"|too many (input )?tokens"
    r"|(exceed|beyond|over).{0,40}(token limit|context)|input (is |length )?too long"
    r"|tokens.{0,20}\+.{0,20}max_new_tokens|token count.{0,30}exceeds"
    r"|range of input length"
    r"|reduce the length of the (messages|prompt|input)|model token limit"
    r"|(prompt|input|request).{0,30}exceeds?.{0,30}(maximum|max|limit).{0,20}token",
    re.IGNORECASE | re.DOTALL,
)
_OUTPUT = re.compile(
    r"max(_completion|_output)?_tokens['\"]?\s*(or [^ ]+ )?(is |are |must be |value |)"
    r"(too large|too big|at most|exceeds|less than)|max_tokens.{0,40}too (large|big)"
    r"|max(_completion|_output)?_tokens['\"]?:? \d+ ?>",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"rate.?limit|too many requests|per[ _-](minute|hour|day|second)|quota", re.IGNORECASE
)
_A_MINUTE = re.compile(r"per[ _-]minute|\b[TR]PM\b", re.IGNORECASE)
_TOOL = re.compile(
    r"tool_use_failed|failed to call a function|not present in the tools list"
    r"|not in request\.tools|tool call validation failed",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"overload|capacity|unavailable|insufficient_system_resource|temporarily|bad gateway"
    r"|internal.?(server.?)?error|upstream|gateway",
    re.IGNORECASE,
)
_MARKED = re.compile(r"\[?\bHTTP(?:/\d\.\d)?[ :]\s*([45]\d\d)\b\]?|status(?: code)?:? ([45]\d\d)\b")
_WAIT = re.compile(
    r"(?:try again|retry|wait)(?: in| after| for)? (?:about |at least )?"
    r"((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|h|hours?|m|min|minutes?|s|sec|secs|seconds?)[ ,]*)+)",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|h|m(?!s)|s)", re.IGNORECASE)
_UNITS_S = {"ms": 1e-3, "milli": 1e-3, "h": 3_600.0, "m": 60.0, "s": 1.0}
_NUMBERS = {
    "limit": re.compile(
        r"(?:limit(?: is|:)?|maximum context length(?: is| of)?|maximum of|at most) ?:? ?"
        r"(\d[\d,]*)",
        re.IGNORECASE,
    ),
    "requested": re.compile(
        r"(?:requested:?|current length is|you requested|resulted in|requested about) ?\(?"
        r"(\d[\d,]*)",
        re.IGNORECASE,
    ),
    "input": re.compile(
        r"(\d[\d,]*) (?:tokens )?in the (?:messages|prompt|input)"
        r"|(?:has|request has) (\d[\d,]*) input",
        re.IGNORECASE,
    ),
}
# "210000 tokens > 200000 maximum", "(1200000) exceeds the maximum … (1048576)", "Given: 9 … <= 8"
_OVER = re.compile(
    r"(\d[\d,]*)\)? ?(?:tokens)? ?(?:>|exceeds?)[^\d]{0,80}\(?(\d[\d,]*)", re.IGNORECASE
)
_FIELD = re.compile(r"property '([^']+)' is unsupported|Unrecognized request argument[^:]*: (\w+)")
_ID_FORM = re.compile(r"tool call id .{0,80}length of 9", re.IGNORECASE)
CONTEXT_CODE = "context_length_exceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One error.

    Attributes:
        kind: what it is, in one word for all providers: ``"rate_limit"``,
            ``"context_overflow"``, ``"incomplete_stream"``, …
        retry: what helps: ``"no"``, ``"backoff"``, ``"after_seconds"``, ``"same_request"``,
            ``"same_request_once"``, ``"after_compaction"``, ``"with_smaller_max_tokens"``,
            ``"ask_model_again"``, …
        message: the words of the provider, or ours.
        status: the HTTP status that it has, or would have.
        retry_after_s: seconds that the provider asked for.
        code: the code that the caller sees.
        numbers: what the provider told: ``limit``, ``requested``, ``input`` (tokens), …
        hint: what would mend the request, where that is known.
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
        """The fault as the error body that SDKs understand, in a stream or as an answer."""
        code = self.code if self.code is not None else f"batchwrap_{self.kind}"
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": code}}

    @property
    def facts(self) -> dict[str, Any]:
        """What an event tells of it: names and numbers, no words of anybody."""
        told: dict[str, Any] = {"retry": self.retry, "status": self.status, **self.numbers}
        told |= {"retry_after_s": self.retry_after_s, "hint": self.hint}
        return {name: value for name, value in told.items() if value not in (None, "")}


class Broken(Exception):
    """An answer cannot go on; carries the fault."""

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
EMPTY = Fault(
    kind="empty_response",
    retry="same_request_once",
    message="The provider's answer has neither text nor calls.",
    status=502,
)
NO_ANSWER = Fault(
    kind="server_error",
    retry="backoff",
    message="The provider answered with a page in place of a completion.",
    status=502,
)


def malformed_call(retry: str) -> Fault:
    """A call whose fragments do not make one; `retry` says what helps."""
    return Fault(
        kind="malformed_tool_call",
        retry=retry,
        message="The provider's stream holds a tool call whose text was lost or mixed up.",
        status=502,
    )


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def error_in(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error that a body or a chunk reports, in whatever shape; None if it reports none."""
    found = body.get("error")
    if isinstance(found, dict):
        return found
    if isinstance(found, str) and found:
        return {"message": found, "code": body.get("code"), "type": body.get("type")}
    if body.get("choices") or not isinstance(body.get("message"), str):
        return None
    if body.get("object") == "error" or body.get("type") or body.get("code"):
        return {name: value for name, value in body.items() if name != "object"}
    return None


def read_fault(
    error: Mapping[str, Any],
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """What an error means.

    Args:
        error: the error object.
        status: the HTTP status; None for an error inside of a stream.
        headers: of the answer, with lower-case names.
    """
    message = error.get("message")
    text = message if isinstance(message, str) else ""
    words = " ".join(str(error.get(name) or "") for name in ("message", "type", "code", "raw"))
    metadata = as_mapping(error.get("metadata"))
    inner = str(metadata.get("raw") or "")
    found = status or _status_of(error, text)
    fault = Fault(kind="", retry="", message=text or "The provider reports an error.", status=found)
    fault = replace(fault, code=error.get("code") or error.get("type"), numbers=_numbers(words))
    return _placed(fault, f"{words} {inner}", _wait_s(words, headers or {}))


def _placed(fault: Fault, words: str, wait_s: float | None) -> Fault:
    status = fault.status
    if _OUTPUT.search(words) and status not in (429,):
        return _output(fault)
    if status == 413 and _A_MINUTE.search(words):
        return replace(fault, kind="request_exceeds_rate_budget", retry="after_compaction")
    is_rate = status == 429 or (status in (None, 200) and _RATE.search(words))
    if is_rate:
        retry = "backoff" if wait_s is None else "after_seconds"
        return replace(fault, kind="rate_limit", retry=retry, retry_after_s=wait_s, status=429)
    if (status in (400, 413, 422, None) and _CONTEXT.search(words)) or status == 413:
        return replace(fault, kind="context_overflow", retry="after_compaction", code=CONTEXT_CODE)
    if _TOOL.search(words):
        return replace(fault, kind="tool_generation_failed", retry="same_request_once")
    if (status or 0) >= 500 or (status is None and _BUSY.search(words)):
        retry = "backoff" if wait_s is None else "after_seconds"
        kind = "server_overloaded" if "overload" in words.lower() else "server_error"
        return replace(fault, kind=kind, retry=retry, retry_after_s=wait_s)
    if status is None:
        return replace(fault, kind="server_error", retry="backoff")
    if status == 402:
        return replace(fault, kind="payment_required", retry="no")
    return replace(fault, kind="invalid_request", retry="no", hint=_hint(words))


def _output(fault: Fault) -> Fault:
    """The answer may not be as long as it was asked to; the prompt itself fits."""
    numbers = dict(fault.numbers)
    if "limit" in numbers and "input" in numbers:
        numbers["max_tokens_allowed"] = max(0, numbers["limit"] - numbers["input"])
    return replace(
        fault, kind="output_budget_too_large", retry="with_smaller_max_tokens", numbers=numbers
    )


def _status_of(error: Mapping[str, Any], text: str) -> int | None:
    for name in ("status_code", "status", "code", "http_code"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    marked = _MARKED.search(text)
    return int(marked[1] or marked[2]) if marked else None


def _wait_s(words: str, headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait for, in a header or in words."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    found = _WAIT.search(words)
    if found is None:
        return None
    spans = _SPAN.findall(found[1])
    return round(sum(float(amount) * _UNITS_S[unit.lower()] for amount, unit in spans), 3)


def _numbers(words: str) -> dict[str, int]:
    found = {name: pattern.search(words) for name, pattern in _NUMBERS.items()}
    told = {
        name: int(next(group for group in match.groups() if group).replace(",", ""))
        for name, match in found.items()
        if match is not None
    }
    over = _OVER.search(words)
    if over is not None and "limit" not in told:
        told |= {"requested": int(over[1].replace(",", "")), "limit": int(over[2].replace(",", ""))}
    return told


def _hint(words: str) -> str:
    if _ID_FORM.search(words):
        return "tool_call_id_format"
    unknown = _FIELD.search(words)
    return f"drop_field:{unknown[1] or unknown[2]}" if unknown else ""


def read_refused(
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    undeclared: bool = False,
    fills: float | None = None,
) -> Fault:
    """What an answer with an error status means.

    Args:
        status: the HTTP status.
        body: what its body decodes to; a text or None where it is no JSON.
        headers: with lower-case names.
        undeclared: the history calls a tool that the request does not declare.
        fills: the share of the model's window that the request takes up, as far as it is
            known. An overflow is not believed where it is small.
    """
    error = error_in(body) if isinstance(body, dict) else None
    said = error is not None or bool(body)
    fault = read_fault(error or {"message": ""}, status, headers)
    if status in (400, 422) and not said:
        return replace(fault, kind="invalid_request_unknown", retry="no", message=_NO_REASON)
    if status == 413 and error is None and fills is not None and fills < _SMALL:
        return replace(fault, kind="invalid_request_unknown", retry="no", code=None)
    if status == 413 and error is None:
        return replace(fault, message=_TOO_LARGE)
    if fault.kind == "tool_generation_failed" and undeclared:
        return replace(fault, kind="invalid_request", retry="no", hint=_UNDECLARED)
    return fault


def mended_body(body: object, fault: Fault) -> chat.Body | None:
    """The error body as SDKs read it; None if it is that already, or is no error at all."""
    error = error_in(body) if isinstance(body, dict) else None
    if error is None:
        silent = not body and fault.kind in ("invalid_request_unknown", "context_overflow")
        return fault.body() if silent else None
    code = CONTEXT_CODE if fault.kind == "context_overflow" else error.get("code")
    whole: Mapping[str, Any] = as_mapping(body)
    wrapped = isinstance(whole.get("error"), dict)
    if wrapped and code == error.get("code"):
        return None
    rest = whole if wrapped else {}
    return {**rest, "error": {**error, "code": code} if "code" in error or code else dict(error)}


_SMALL = 0.5
_NO_REASON = "The provider refused the request and gave no reason."
_TOO_LARGE = "The provider refused the request as too large and gave no reason."
_UNDECLARED = "history uses a tool that this request does not declare"


def decoded(content: bytes) -> object:
    """What a body decodes to; its text where it is no JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode(errors="replace").strip()


def failed(error: object, reason: str, kind: str | None) -> Fault:
    """A choice that ended in an error, with or without one beside it."""
    if isinstance(error, dict):
        return read_fault(error)
    message = f"The provider broke off the answer ({reason})."
    status = 503 if kind == "server_overloaded" else 502
    return Fault(kind=kind or "server_error", retry="backoff", message=message, status=status)
