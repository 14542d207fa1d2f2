"""Classifies refusals: their kind, whose fault they are, and how long to wait.

An error has one of three shapes: ``{"error": {…}}``, the same without the wrapper, or with a string
as ``"error"``; each may be in a list. FastAPI's wrapper is ``"detail"``. What codes and messages
mean is data: first that of the provider (`batchwrap.core.limits.signals`), then that of all
(`batchwrap.core.limits.matchers`). The message itself is not kept, since some providers write the
account's ids into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from batchwrap.core.limits.headers import Observation, admits_again_s, read_headers
from batchwrap.core.limits.matchers import MATCHERS, Reason, RefusalKind, Scope
from batchwrap.core.limits.moments import ZoneOffset, no_zones
from batchwrap.core.limits.prose import seconds_in_prose
from batchwrap.core.limits.resets import (
    LONGEST_S,
    milliseconds_until,
    number,
    seconds_until,
    server_time,
)
from batchwrap.core.limits.signals import NO_SIGNALS, LimitSignals

# An error states its cause in its first lines; an HTML page is not searched to its end.
_LONGEST_TEXT, _LONGEST_CODE = 4_000, 200

_SCOPE = re.compile(
    r"(?P<second>per[ _-]?sec|\b[RTQ]PS\b)|(?P<minute>per[ _-]?min|/ ?min|\b(?:R|[IO]?T)PM\b)"
    r"|(?P<hour>per[ _-]?hour|\b[RT]PH\b)|(?P<day>per[ _-]?day|/ ?day|daily|\b[RT]PD\b)"
    r"|(?P<week>per[ _-]?week|weekly|\b1-week\b)|(?P<month>per[ _-]?month|monthly)",
    re.IGNORECASE,
)
_OF_TOKENS = re.compile(r"\btokens? (?:per|rate|limit)\b|\b[IO]?TPM\b", re.IGNORECASE)
_OF_REQUESTS = re.compile(r"\brequests? (?:per|rate|limit)\b|\bRPM\b", re.IGNORECASE)
# What may leave this module as a code: a short word that is not merely the HTTP status.
_TIDY = re.compile(r"(?![45]\d\d$)[\w.:/-]{1,64}", re.ASCII)

# Fields of an error that say when to come back, without case, hyphens and underscores. Durations
# come first, since they need no clock.
# Google: retryDelay, quotaResetDelay, quotaResetTimeStamp. Codex: resets_in_seconds, resets_at.
# https://github.com/earendil-works/pi/issues/4172
_TIME_FIELDS = (
    *("retrydelay", "quotaresetdelay", "resetsinseconds", "resetinseconds", "resetsin", "resetin"),
    *("retryafterms", "retryafter", "retryafterseconds", "retryaftersec", "retryafters"),
    *("resetafter", "resetafterseconds", "waitseconds", "resetsat", "resetat", "resettime"),
    *("quotaresettimestamp", "quotaresettime", "resettimestamp", "nextflushtime", "retryat"),
)
# Headers that say when to come back, besides `Retry-After` and those of single limits.
_TIME_HEADERS = (
    *("anthropic-ratelimit-unified-reset", "x-codex-primary-reset-after-seconds"),
    *("x-codex-secondary-reset-after-seconds", "x-codex-primary-reset-at"),
    *("x-ratelimit-reset-after", "x-ratelimit-retry-after", "x-retry-after"),
)
_LARGEST_TIME = 1e17


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused attempt. It holds nothing of the provider's message.

    Attributes:
        status: the HTTP status; in a stream, the one that the error names, otherwise 200.
        retry_after_s: seconds that the provider asked for; None if it named none, or a
            meaningless number.
        kind: ``"bucket"``: the account's own limit; wait. ``"overloaded"``: the provider is at
            capacity; back off, the buckets are unchanged. ``"growth"``: ramp down.
            ``"concurrency"``: too many requests at a time; one has to end first. ``"final"``:
            waiting is useless; fail at once. ``"key"``: the provider does not accept this key. No
            limit was hit, but another key of a pool may be accepted.
        reason: why it is final: ``"quota"`` (an allowance is spent), ``"billing"``, ``"plan"``,
            ``"too_large"`` (the request can never fit), ``"daily"``.
        scope: the period of the limit that was hit, if the provider names it.
        code: the provider's own code, if there is one.
        retry_after_is_window: `retry_after_s` is the length of the limit's period: the bucket may
            have room earlier, but not later.
        tries: how often lower layers had sent the attempt before giving up.
        counts: what the limit that was hit counts, if the error says it.
    """

    status: int
    retry_after_s: float | None = None
    kind: RefusalKind = "bucket"
    reason: Reason | None = None
    scope: Scope | None = None
    code: str | None = None
    retry_after_is_window: bool = False
    tries: int = 1
    counts: Literal["tokens", "requests"] | None = None

    @property
    def is_queued(self) -> bool:
        """Whether the limits make the request wait. If so, it enters the queue again at once."""
        return self.kind in ("bucket", "concurrency")


@dataclass(frozen=True, slots=True, repr=False)
class _Error:
    """An error in a common form, whatever shape it came in."""

    codes: Sequence[str] = ()
    text: str = ""
    status: int | None = None
    parts: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def read_refusal(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    now_unix_s: float,
    signals: LimitSignals = NO_SIGNALS,
    zones: ZoneOffset = no_zones,
) -> Refusal | None:
    """The refusal in an answer; None for any other answer.

    An error that has nothing to do with limits or keys (a bad request, a prompt longer than the
    model's window) is not a refusal.

    Args:
        status: the HTTP status.
        headers: with lower-case names.
        body: decoded JSON of any shape, a string, or None if it was not read.
        now_unix_s: the current time. Points in time are read by the server's clock, if its
            headers show one.
        signals: how its provider reports its limits.
        zones: returns the offset of a time zone by its name.
    """
    if status < 400:
        return None
    now_unix_s = server_time(headers, now_unix_s)
    return _judge(status, headers, _error_of(body), now_unix_s, signals, zones)


def read_stream_error(
    chunk: Any,
    now_unix_s: float,
    signals: LimitSignals = NO_SIGNALS,
    zones: ZoneOffset = no_zones,
) -> Refusal | None:
    """The refusal in a chunk of a stream, whose status was 200; None for other chunks.

    Args:
        now_unix_s: the current time.
        now_unix_s: the time of day.
        signals: see `read_refusal`.
        zones: see `read_refusal`.
    """
    first = _first(chunk)
    if not isinstance(first, dict):
        return None
    if first.get("type") == "response.failed":  # an error of OpenAI's Responses API
        first = _dict(first.get("response"))
    if not first.get("error") and "error" not in (first.get("type"), first.get("object")):
        return None
    error = _error_of(first)
    return _judge(error.status or 200, {}, error, now_unix_s, signals, zones)


def _judge(
    status: int,
    headers: Mapping[str, str],
    error: _Error,
    now_unix_s: float,
    signals: LimitSignals,
    zones: ZoneOffset,
) -> Refusal | None:
    found = (
        matcher
        for matcher in (*signals.refusals, *MATCHERS)
        if matcher.matches(status, error.codes, error.text)
    )
    matcher = next(found, None)
    if matcher is None or matcher.kind is None:
        return None
    headers = {**error.headers, **headers}
    seen = read_headers(headers, now_unix_s, signals.headers)
    times = _times_s(headers, error, now_unix_s)
    times.append(
        seconds_in_prose(error.text, now_unix_s, utc_offset_s=signals.utc_offset_s, zones=zones)
    )
    times.append(admits_again_s(seen))
    wait_s = _wait_s(times, longest=matcher.reason is not None)
    refusal = Refusal(
        status,
        None if matcher.waits == "untrue" else wait_s,
        matcher.kind,
        matcher.reason if matcher.kind == "final" else None,
        matcher.scope or _scope_of(error, matcher.kind),
        next((code for code in error.codes if _TIDY.fullmatch(code)), None),
        matcher.waits == "window" and wait_s is not None,
        counts=_counted_in(error),
    )
    return _without_hope(refusal, seen, matcher.reason) if refusal.kind == "bucket" else refusal


def _without_hope(refusal: Refusal, seen: Sequence[Observation], reason: Reason | None) -> Refusal:
    """The refusal as final, if the account admits nothing, or nothing for an unknown, long time."""
    if any(observation.limit == 0 for observation in seen):
        return replace(refusal, kind="final", reason="plan", retry_after_s=None)
    if refusal.retry_after_s is None and refusal.scope in ("day", "week", "month"):
        reason = "daily" if refusal.scope == "day" else "quota"
    if refusal.retry_after_s is None and reason is not None:
        return replace(refusal, kind="final", reason=reason)
    return refusal


def _times_s(headers: Mapping[str, str], error: _Error, now_unix_s: float) -> list[float | None]:
    """The times to come back in headers and fields, in order of precedence."""
    return [
        milliseconds_until(headers.get("retry-after-ms", ""), now_unix_s),
        milliseconds_until(headers.get("x-ms-retry-after-ms", ""), now_unix_s),
        seconds_until(headers.get("retry-after", ""), now_unix_s),
        *_fields_s(error.parts, now_unix_s),
        *(seconds_until(headers.get(name, ""), now_unix_s) for name in _TIME_HEADERS),
    ]


def _fields_s(parts: Sequence[Mapping[str, Any]], now_unix_s: float) -> Iterator[float | None]:
    fields = [(_plain(name), value) for part in parts for name, value in part.items()]
    for wanted in _TIME_FIELDS:
        read = milliseconds_until if wanted.endswith("ms") else seconds_until
        yield from (read(_written(value), now_unix_s) for name, value in fields if name == wanted)


def _plain(name: Any) -> str:
    return name.lower().replace("_", "").replace("-", "") if isinstance(name, str) else ""


def _written(value: Any) -> str:
    """A field's value as it would be written in a header.

    A duration or timestamp of protobuf may be an object: {"seconds": 5, "nanos": 0}. Its seconds
    have 64 bits, so JSON writes them as strings.
    https://protobuf.dev/reference/protobuf/google.protobuf/#duration
    """
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() & {"seconds", "nanos"}:
        parts = [value.get(name) for name in ("seconds", "nanos")]
        seconds, nanos = (number(str(part)) or 0.0 for part in parts)
        return _written(seconds + nanos / 1e9)
    is_time = type(value) in (int, float) and 0 < value < _LARGEST_TIME
    return f"{value:.3f}" if is_time else ""


def _wait_s(times_s: Sequence[float | None], *, longest: bool) -> float | None:
    """The wait to use.

    A time of 0 or in the past does not mean "at once"; it means nothing. If an allowance of hours
    or days is spent, the longest time counts, since a gateway in front sends a `Retry-After` of its
    own. Otherwise it is the first: headers, then fields, then prose.
    """
    waits_s = [min(time_s, LONGEST_S) for time_s in times_s if time_s is not None and time_s > 0]
    return (max(waits_s) if longest else waits_s[0]) if waits_s else None


def _counted_in(error: _Error) -> Literal["tokens", "requests"] | None:
    """What the limit counts: OpenAI and Groq name it as `type`, others in the message."""
    if "tokens" in error.codes or _OF_TOKENS.search(error.text):
        return "tokens"
    of_requests = "requests" in error.codes or _OF_REQUESTS.search(error.text)
    return "requests" if of_requests else None


def _scope_of(error: _Error, kind: RefusalKind) -> Scope | None:
    if kind == "overloaded":
        return None
    found = _SCOPE.search(" ".join((*error.codes, error.text)))
    return None if found is None else cast(Scope, found.lastgroup)


def _error_of(body: Any) -> _Error:
    """The error in a body or an event of any shape."""
    body = _first(body)
    if isinstance(body, str):
        return _Error(text=body[:_LONGEST_TEXT])
    if not isinstance(body, dict):
        return _Error()
    inner = body.get("error") or _first(body.get("errors")) or _inner_detail(body)
    error = inner if isinstance(inner, dict) else body
    details, metadata = _dicts(error.get("details")), _dict(error.get("metadata"))
    more = [_dict(detail.get("metadata")) for detail in details]
    texts = (
        *(error.get(name) for name in ("message", "msg")),
        *(inner, error.get("detail")),
        *(body.get(name) for name in ("message", "msg", "detail")),
    )
    written = dict.fromkeys(text for text in texts if isinstance(text, str))
    return _Error(
        codes=list(_codes([error, metadata, *details])),
        text=" ".join(written)[:_LONGEST_TEXT],
        status=_http_status(error.get("code"), error.get("status"), body.get("status_code")),
        parts=[*([body] if error is not body else []), error, metadata, *details, *more],
        # OpenRouter and Codex repeat headers in the body.
        # https://github.com/Gitlawb/openclaude/issues/936
        headers={
            name.lower(): text
            for repeated in (body.get("headers"), metadata.get("headers"))
            for name, text in _dict(repeated).items()
            if isinstance(name, str) and isinstance(text, str)
        },
    )


def _inner_detail(body: Mapping[str, Any]) -> Any:
    """What FastAPI has wrapped as "detail": a text, an object, or a list of them.

    https://fastapi.tiangolo.com/tutorial/handling-errors/
    """
    detail = _first(body.get("detail"))
    return (detail.get("error") or detail) if isinstance(detail, dict) else None


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
    """The first item of a list: some providers send errors in one."""
    return next(iter(value), None) if isinstance(value, list) else value


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[Any, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
