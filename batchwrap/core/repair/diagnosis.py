"""Reads the errors that providers report: what each one means, and what the caller can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.parse import parsed_exactly
from batchwrap.core.repair import wording
from batchwrap.core.repair.faults import CONTEXT_CODE, Fault, as_mapping, error_in


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
    words = " ".join(_words(error.get(name)) for name in ("message", "type", "code", "raw"))
    metadata = as_mapping(error.get("metadata"))
    inner = _words(metadata.get("raw"))
    found = status or wording.status_in(error, _words(text))
    fault = Fault(kind="", retry="", message=text or "The provider reports an error.", status=found)
    fault = replace(
        fault, code=error.get("code") or error.get("type"), numbers=wording.numbers_in(words)
    )
    return _placed(fault, f"{words} {inner}", wording.wait_in(words, headers or {}))


def may_be_about_request(status: int, headers: Mapping[str, str], body: object) -> bool:
    """Whether an error that a server calls its own may be due to what the request says.

    llama.cpp answers 500 if the chat template of a model refuses a conversation, and other servers
    do so if it raises. Gateways make 503 of it. A server under strain says so instead, in words or
    by the time after which to come back; a gateway that reaches no server answers with a page.

    Args:
        status: the HTTP status.
        headers: of the answer, with lower-case names.
        body: the answer: JSON, a text, or None.
    """
    error = error_in(body) if isinstance(body, dict) else None
    if status not in (500, 503) or (status == 503 and error is None):
        return False
    given = body if error is None else [error.get(name) for name in ("message", "type", "code")]
    words = _words(given)
    return wording.STRAINED.search(words) is None and wording.wait_in(words, headers) is None


def _words(value: object) -> str:
    """The text of a field of an error, up to the length that is searched."""
    text = value if isinstance(value, str) else str(value or "")
    return text[: wording.MOST_WORDS]


def _placed(fault: Fault, words: str, wait_s: float | None) -> Fault:
    status = fault.status
    # The order matters: a message about the output budget also names the context. Groq sends 413
    # for a limit per minute: the prompt fits into the context, but not into the minute.
    if wording.OUTPUT.search(words) and status not in (429,):
        return _output(fault)
    if status == 413 and wording.A_MINUTE.search(words):
        return replace(fault, kind="request_exceeds_rate_budget", retry="after_compaction")
    is_rate = status == 429 or (status in (None, 200) and wording.RATE.search(words))
    if is_rate:
        retry = "backoff" if wait_s is None else "after_seconds"
        return replace(fault, kind="rate_limit", retry=retry, retry_after_s=wait_s, status=429)
    if (status in (400, 413, 422, None) and wording.CONTEXT.search(words)) or status == 413:
        return replace(fault, kind="context_overflow", retry="after_compaction", code=CONTEXT_CODE)
    if wording.TOOL.search(words):
        return replace(fault, kind="tool_generation_failed", retry="same_request_once")
    if (status or 0) >= 500 or (status is None and wording.BUSY.search(words)):
        retry = "backoff" if wait_s is None else "after_seconds"
        kind = "server_overloaded" if "overload" in words.lower() else "server_error"
        return replace(fault, kind=kind, retry=retry, retry_after_s=wait_s)
    if status is None:
        return replace(fault, kind="server_error", retry="backoff")
    if status == 402:
        return replace(fault, kind="payment_required", retry="no")
    return replace(fault, kind="invalid_request", retry="no", hint=wording.hint_in(words))


def _output(fault: Fault) -> Fault:
    """The requested output is too long, and the prompt itself fits.

    vLLM says so in words that clients take for a context overflow. They then summarise the
    conversation, where a smaller ``max_tokens`` is enough.
    """
    numbers = dict(fault.numbers)
    if "limit" in numbers and "input" in numbers:
        numbers["max_tokens_allowed"] = max(0, numbers["limit"] - numbers["input"])
    return replace(
        fault, kind="output_budget_too_large", retry="with_smaller_max_tokens", numbers=numbers
    )


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
        body: its decoded body; a string or None if it is not JSON.
        headers: with lower-case names.
        undeclared: the history calls a tool that the request does not declare.
        fills: the share of the model's context window that the request takes up, if it is
            known. A 413 without a reason is not taken for an overflow if that share is small.
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


def repaired_body(body: object, fault: Fault) -> chat.Body | None:
    """The error body in the shape that SDKs read; None if it has that shape, or is no error.

    Without the ``error`` wrapper, openai-node reports "400 status code (no body)", which agents
    take for a context overflow. https://github.com/QwenLM/qwen-code/issues/11045
    """
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


_SMALL = 0.5  # an estimate of tokens may be wrong, but hardly by half
_NO_REASON = "The provider refused the request and gave no reason."
_TOO_LARGE = "The provider refused the request as too large and gave no reason."
_UNDECLARED = "history uses a tool that this request does not declare"


def decoded(content: bytes) -> object:
    """A body decoded as JSON; its text if it is not JSON."""
    try:
        return parsed_exactly(content)
    except ValueError:
        return content.decode(errors="replace").strip()


def failed(error: object, reason: str, kind: str | None) -> Fault:
    """The fault of a choice that ended with an error, whether or not it holds an error object."""
    if isinstance(error, dict):
        return read_fault(error)
    message = f"The provider broke off the answer ({reason})."
    status = 503 if kind == "server_overloaded" else 502
    retry = "same_request_once" if kind == "tool_generation_failed" else "backoff"
    return Fault(kind=kind or "server_error", retry=retry, message=message, status=status)
