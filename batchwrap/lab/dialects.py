"""How a provider writes its refusals and rate-limit headers.

Times are given in provider seconds and sent in the client's: `time_scale` provider seconds are one
second of the client, so that a client that obeys a header waits for the right real time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from batchwrap.lab.rate_limits import RateLimit, RateLimitRefusal, RateLimitStanding

DialectName = Literal["cerebras", "openai", "headerless"]

_PERIODS: dict[float, str] = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}


@dataclass(frozen=True, slots=True)
class LabResponse:
    """A response that is complete before it is sent.

    Attributes:
        status: the HTTP status.
        body: sent as JSON.
        headers: in addition to the content type.
    """

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class ProviderDialect(Protocol):
    """The parts of an answer that differ between providers."""

    def headers(self, standings: Iterable[RateLimitStanding], time_scale: float) -> dict[str, str]:
        """The rate-limit headers of an admitted request."""

    def refusal(self, refusal: RateLimitRefusal, model: str, time_scale: float) -> LabResponse:
        """The 429 of a request that was not admitted."""


def error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> LabResponse:
    """An error in OpenAI's shape, wrapped in `error`."""
    wrapped = {"message": message, "type": kind, "param": param, "code": code}
    return LabResponse(status, {"error": wrapped}, {})


def dialect(name: DialectName) -> ProviderDialect:
    """The dialect of that name."""
    voices: dict[DialectName, ProviderDialect] = {
        "cerebras": _Cerebras(),
        "openai": _OpenAI(),
        "headerless": _Headerless(),
    }
    return voices[name]


def duration(seconds: float) -> str:
    """A time as Go prints it (``6m0s``, ``8.64s``, ``300ms``), rounded up to a millisecond."""
    milliseconds = math.ceil(round(seconds * 1000, 6))
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{text}{rest / 1000:g}s"


class _Cerebras:
    """Flat error bodies, headers for each period, `retry-after` of a whole window."""

    def headers(self, standings: Iterable[RateLimitStanding], time_scale: float) -> dict[str, str]:
        found = {}
        for standing in standings:
            limit = standing.limit
            rung = f"{limit.kind}-{period(limit)}"
            found[f"x-ratelimit-limit-{rung}"] = f"{limit.amount:.0f}"
            found[f"x-ratelimit-remaining-{rung}"] = f"{math.floor(standing.remaining)}"
            found[f"x-ratelimit-reset-{rung}"] = str(standing.reset_s / time_scale)
        return found

    def refusal(self, refusal: RateLimitRefusal, model: str, time_scale: float) -> LabResponse:
        limit = refusal.limit
        if limit.kind == "concurrency":
            return _too_many(refusal, time_scale)
        # The wording of Cerebras, which clients and batchwrap's matchers read.
        what, past = ("tokens", "processed") if limit.kind == "tokens" else ("requests", "sent")
        body = {
            "message": f"{what.capitalize()} per {period(limit)} limit exceeded"
            f" - too many {what} {past}.",
            "type": f"too_many_{what}_error",
            "param": "quota",
            "code": f"{what.removesuffix('s')}_quota_exceeded",
        }
        # Cerebras sends the window's length, not the time until the limit has room.
        return LabResponse(429, body, _retry_after(limit.per_s / time_scale))


class _OpenAI:
    """Wrapped error bodies, one header for each kind, and the true wait in `retry-after`."""

    def headers(self, standings: Iterable[RateLimitStanding], time_scale: float) -> dict[str, str]:
        found = {}
        # With several limits of a kind, the header of the shortest period is written last.
        for standing in sorted(standings, key=lambda standing: -standing.limit.per_s):
            limit = standing.limit
            found[f"x-ratelimit-limit-{limit.kind}"] = f"{limit.amount:.0f}"
            found[f"x-ratelimit-remaining-{limit.kind}"] = f"{math.floor(standing.remaining)}"
            found[f"x-ratelimit-reset-{limit.kind}"] = duration(standing.reset_s / time_scale)
        return found

    def refusal(self, refusal: RateLimitRefusal, model: str, time_scale: float) -> LabResponse:
        limit = refusal.limit
        if limit.kind == "concurrency":
            return _too_many(refusal, time_scale)
        short = {"minute": "min"}.get(period(limit), period(limit))
        unit = f"{limit.kind} per {short} ({limit.kind[0].upper()}P{short[0].upper()})"
        asked = f"Limit {limit.amount:.0f}, Requested {refusal.requested:.0f}"
        if math.isinf(refusal.wait_s):  # no `retry-after`: waiting would not help
            message = (
                f"Request too large for {model} on {unit}: {asked}. "
                "The input or output tokens must be reduced in order to run successfully."
            )
            headers = {}
        else:
            wait_s = refusal.wait_s / time_scale
            message = (
                f"Rate limit reached for {model} on {unit}: Limit {limit.amount:.0f}, "
                f"Used {limit.amount - refusal.remaining:.0f}, "
                f"Requested {refusal.requested:.0f}. Please try again in {duration(wait_s)}."
            )
            headers = _retry_after(wait_s)
        answer = error(429, message, code="rate_limit_exceeded", kind=limit.kind)
        return LabResponse(answer.status, answer.body, headers)


class _Headerless(_OpenAI):
    """OpenAI's refusals; other answers say nothing about the limits."""

    def headers(self, standings: Iterable[RateLimitStanding], time_scale: float) -> dict[str, str]:
        return {}


def _too_many(refusal: RateLimitRefusal, time_scale: float) -> LabResponse:
    """The refusal of too many requests at a time, as Moonshot writes it."""
    message = (
        f"Your account reached max organization concurrency: {refusal.limit.amount:.0f}, "
        f"please try again after {refusal.wait_s:g} seconds"
    )
    answer = error(429, message, kind="rate_limit_reached_error")
    return LabResponse(answer.status, answer.body, _retry_after(refusal.wait_s / time_scale))


def period(limit: RateLimit) -> str:
    """The period of a limit in a word, such as ``minute``, or in seconds."""
    return _PERIODS.get(limit.per_s, f"{limit.per_s:g}s")


def _retry_after(seconds: float) -> dict[str, str]:
    """`retry-after`, and `retry-after-ms` if whole seconds would lose a fraction."""
    milliseconds = math.ceil(round(seconds * 1000, 6))
    headers = {"retry-after": str(milliseconds / 1000).removesuffix(".0")}
    if milliseconds % 1000:
        headers["retry-after-ms"] = str(milliseconds)
    return headers
