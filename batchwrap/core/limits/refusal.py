"""Reading a refusal: what sort it is, whose fault, and how long to wait.

An error has one of three shapes: ``{"error": {…}}``, the same without the wrapper, or with a
text for ``"error"``; each may come in a list. What its codes and its message mean is data:
`batchwrap.core.limits.matchers`. The message itself is not kept, since some providers write
the account's ids into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from batchwrap.core.limits.headers import Observation, read_headers
from batchwrap.core.limits.matchers import MATCHERS, Matcher, Reason, RefusalKind, Scope
from batchwrap.core.limits.resets import number, seconds_in_prose, seconds_until

# What an error says, it says in its first lines; an HTML page is not searched to its end.
_LONGEST_TEXT, _LONGEST_CODE = 4_000, 200

_SCOPE = re.compile(
    r"(?P<second>per[ _-]?sec|\b[RTQ]PS\b)|(?P<minute>per[ _-]?min|/ ?min|\b(?:R|[IO]?T)PM\b)"
    r"|(?P<hour>per[ _-]?hour|\b[RT]PH\b)|(?P<day>per[ _-]?day|/ ?day|daily|\b[RT]PD\b)"
    r"|(?P<month>per[ _-]?month|monthly)",
    re.IGNORECASE,
)
# What may leave this module as a code: a short word, and not the HTTP status once more.
_TIDY = re.compile(r"(?![45]\d\d$)[\w.:/-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused attempt. Holds nothing of the provider's message.

    Attributes:
        status: the HTTP status; in a stream the one that the error names, else 200.
        retry_after_s: seconds that the provider asked for; None if it said nothing, or
            nothing true.
        kind: ``"bucket"``: the account's own limit, wait. ``"overloaded"``: the provider is
            full; back off, the buckets are as they were. ``"growth"``: ramp down.
            ``"final"``: waiting is useless, fail at once.
        reason: why it is final: ``"quota"`` (an allowance is spent), ``"billing"``, ``"plan"``,
            ``"too_large"`` (the request can never fit), ``"daily"``.
        scope: the period of the limit that was hit, where the provider says which.
        code: the provider's own code, where it has one.
        retry_after_is_window: `retry_after_s` is the length of the limit's period: the bucket
            may have room earlier, never later.
        tries: how often layers beneath had sent the attempt when it was given up.
    """

    status: int
    retry_after_s: float | None = None
    kind: RefusalKind = "bucket"
    reason: Reason | None = None
    scope: Scope | None = None
    code: str | None = None
    retry_after_is_window: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True)
class _Error:
    """What the shapes have in common."""

    codes: Sequence[str] = ()
    text: str = ""
    status: int | None = None
    delay: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_refusal(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    now_unix_s: float,
    provider: str = "",
    extra: Sequence[Matcher] = (),
) -> Refusal | None:
    """The refusal that an answer is, or None for any other answer.

    An error that has nothing to do with limits (a bad request, a wrong key, a prompt longer
    than the model's window) is none.

    Args:
        status: the HTTP status.
        headers: with lower-case names.
        body: decoded JSON of any shape, a text, or None if it was not read.
        now_unix_s: the time of day.
        provider: its name as in the presets; empty for one that is not known.
        extra: matchers that count before the known ones.
    """
    if status < 400:
        return None
    return _judge(status, headers, _error_of(body), now_unix_s, provider, extra)


def read_stream_error(
    chunk: Any, now_unix_s: float, provider: str = "", extra: Sequence[Matcher] = ()
) -> Refusal | None:
    """The refusal that a chunk of a stream is, though its status was 200; None for others.

    Args:
        chunk: a decoded chunk of any shape.
        now_unix_s: the time of day.
        provider: see `read_refusal`.
        extra: see `read_refusal`.
    """
    first = _first(chunk)
    if not isinstance(first, dict):
        return None
    if not first.get("error") and "error" not in (first.get("type"), first.get("object")):
        return None
    error = _error_of(first)
    return _judge(error.status or 200, {}, error, now_unix_s, provider, extra)


def _judge(
    status: int,
    headers: Mapping[str, str],
    error: _Error,
    now_unix_s: float,
    provider: str,
    extra: Sequence[Matcher],
) -> Refusal | None:
    found = (
        matcher
        for matcher in (*extra, *MATCHERS)
        if matcher.matches(provider, status, error.codes, error.text)
    )
    matcher = next(found, None)
    if matcher is None or matcher.kind is None:
        return None
    seen = read_headers({**error.headers, **headers}, now_unix_s, provider)
    wait_s = _wait_s({**error.headers, **headers}, error, seen, now_unix_s)
    refusal = Refusal(
        status,
        None if matcher.waits == "untrue" else wait_s,
        matcher.kind,
        matcher.reason,
        matcher.scope or _scope_of(error, matcher.kind),
        next((code for code in error.codes if _TIDY.fullmatch(code)), None),
        matcher.waits == "window" and wait_s is not None,
    )
    return _without_hope(refusal, seen) if refusal.kind == "bucket" else refusal


def _without_hope(refusal: Refusal, seen: Sequence[Observation]) -> Refusal:
    """The same, final if the account admits nothing, or nothing for an unknown, long time."""
    if any(observation.limit == 0 for observation in seen):
        return replace(refusal, kind="final", reason="plan", retry_after_s=None)
    if refusal.retry_after_s is None and refusal.scope in ("day", "month"):
        reason: Reason = "daily" if refusal.scope == "day" else "quota"
        return replace(refusal, kind="final", reason=reason)
    return refusal


def _wait_s(
    headers: Mapping[str, str], error: _Error, seen: Sequence[Observation], now_unix_s: float
) -> float | None:
    milliseconds = number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    for text in (headers.get("retry-after", ""), error.delay):
        if (seconds := seconds_until(text, now_unix_s)) is not None:
            return seconds
    if (seconds := seconds_in_prose(error.text)) is not None:
        return seconds
    # A bucket may have room long before it is full; a window has none before its end.
    ends = (o.reset_s for o in seen if o.remaining == 0 and o.reset_means == "window")
    return max((end for end in ends if end is not None), default=None)


def _scope_of(error: _Error, kind: RefusalKind) -> Scope | None:
    if kind == "overloaded":
        return None
    found = _SCOPE.search(" ".join((*error.codes, error.text)))
    return None if found is None else cast(Scope, found.lastgroup)


def _error_of(body: Any) -> _Error:
    body = _first(body)
    if isinstance(body, str):
        return _Error(text=body[:_LONGEST_TEXT])
    if not isinstance(body, dict):
        return _Error()
    inner = body.get("error") or _first(body.get("errors"))
    error = inner if isinstance(inner, dict) else body
    details, metadata = _dicts(error.get("details")), _dict(error.get("metadata"))
    delays = (detail.get("retryDelay") for detail in details)
    texts = (error.get("message"), inner, error.get("detail"))
    return _Error(
        codes=list(_codes([error, metadata, *details])),
        text=next((text for text in texts if isinstance(text, str)), "")[:_LONGEST_TEXT],
        status=_http_status(error.get("code"), error.get("status"), body.get("status_code")),
        # Google's RetryInfo.
        delay=next((delay for delay in delays if isinstance(delay, str)), ""),
        # OpenRouter repeats them here. https://github.com/Gitlawb/openclaude/issues/936
        headers={
            name.lower(): text
            for name, text in _dict(metadata.get("headers")).items()
            if isinstance(name, str) and isinstance(text, str)
        },
    )


def _codes(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        for name in ("code", "error_code", "status", "reason", "error_type", "type"):
            yield from _code(part.get(name))
        for violation in _dicts(part.get("violations")):
            yield from _code(violation.get("quotaId"))


def _code(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value[:_LONGEST_CODE]]
    return [f"{value:d}"] if type(value) is int and abs(value) < 1_000_000 else []


def _http_status(*candidates: Any) -> int | None:
    codes = (code for candidate in candidates for code in _code(candidate))
    return next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), None)


def _first(value: Any) -> Any:
    """Some put their errors into a list."""
    return next(iter(value), None) if isinstance(value, list) else value


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[Any, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
