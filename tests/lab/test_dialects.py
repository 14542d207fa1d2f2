"""Refusals and rate-limit headers as Cerebras and OpenAI word them."""

from __future__ import annotations

import math

import pytest

from batchwrap.lab.dialects import dialect, duration
from batchwrap.lab.rate_limits import RateLimit, RateLimitRefusal, RateLimitStanding

MINUTE = RateLimit("tokens", 300_000, 60)
DAY = RateLimit("tokens", 24_000_000, 86_400)
REQUESTS = RateLimit("requests", 50, 60)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.3, "300ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3723, "1h2m3s"),
        (7200, "2h0m0s"),
    ],
)
def test_duration_is_written_as_in_go(seconds: float, text: str) -> None:
    """Resets in OpenAI's headers are Go durations, never shorter than the real time."""
    assert duration(seconds) == text


def test_cerebras_headers_have_a_rung_for_each_period() -> None:
    """Each limit has its own three headers, with seconds as floats."""
    standings = [RateLimitStanding(MINUTE, 1234.9, 11.5), RateLimitStanding(DAY, 5e6, 100.0)]
    assert dialect("cerebras").headers(standings, 1.0) == {
        "x-ratelimit-limit-tokens-minute": "300000",
        "x-ratelimit-remaining-tokens-minute": "1234",
        "x-ratelimit-reset-tokens-minute": "11.5",
        "x-ratelimit-limit-tokens-day": "24000000",
        "x-ratelimit-remaining-tokens-day": "5000000",
        "x-ratelimit-reset-tokens-day": "100.0",
    }


def test_cerebras_refusal_is_flat_and_tells_the_window() -> None:
    """The body has no wrapper and `retry-after` is the window's length, not the wait."""
    answer = dialect("cerebras").refusal(RateLimitRefusal(MINUTE, 9000, 100, 2.5), "m", 1.0)
    assert answer.status == 429
    assert answer.body == {
        "message": "Tokens per minute limit exceeded - too many tokens processed.",
        "type": "too_many_tokens_error",
        "param": "quota",
        "code": "token_quota_exceeded",
    }
    assert answer.headers == {"retry-after": "60"}


def test_cerebras_names_requests() -> None:
    """A refusal for too many requests has a code of its own."""
    answer = dialect("cerebras").refusal(RateLimitRefusal(REQUESTS, 1, 0, 1.0), "m", 1.0)
    assert answer.body["code"] == "request_quota_exceeded"
    assert answer.body["type"] == "too_many_requests_error"


def test_openai_headers_have_one_set_for_each_kind() -> None:
    """With several limits of one kind, the shortest period is shown."""
    standings = [
        RateLimitStanding(MINUTE, 0, 360.0),
        RateLimitStanding(DAY, 5e6, 1.0),
        RateLimitStanding(REQUESTS, 49, 1.2),
    ]
    assert dialect("openai").headers(standings, 1.0) == {
        "x-ratelimit-limit-tokens": "300000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-ratelimit-reset-requests": "1.2s",
    }


def test_openai_refusal_is_wrapped_and_tells_the_wait() -> None:
    """The body has the wrapper, and the wait is true to the millisecond."""
    answer = dialect("openai").refusal(RateLimitRefusal(MINUTE, 9000, 100, 2.5), "m", 1.0)
    assert answer.body["error"] == {
        "message": "Rate limit reached for m on tokens per min (TPM): Limit 300000, "
        "Used 299900, Requested 9000. Please try again in 2.5s.",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert answer.headers == {"retry-after": "2.5", "retry-after-ms": "2500"}


def test_a_headerless_provider_speaks_in_refusals_only() -> None:
    """It refuses as OpenAI does, and no other answer tells of its limits."""
    refusal = RateLimitRefusal(MINUTE, 9000, 100, 2.5)
    assert dialect("headerless").headers([RateLimitStanding(MINUTE, 0, 360.0)], 1.0) == {}
    assert dialect("headerless").refusal(refusal, "m", 1.0) == dialect("openai").refusal(
        refusal, "m", 1.0
    )


def test_openai_wall_has_no_retry_after() -> None:
    """A request above the limit is told so, with no time after which to try again."""
    answer = dialect("openai").refusal(RateLimitRefusal(MINUTE, 400_000, 100, math.inf), "m", 1.0)
    assert answer.body["error"]["message"].startswith("Request too large for m")
    assert answer.headers == {}


def test_times_are_in_the_clients_seconds() -> None:
    """With a faster clock at the provider all times in headers are shorter by its factor."""
    refusal = RateLimitRefusal(MINUTE, 9000, 100, 3.0)
    cerebras = dialect("cerebras")
    assert cerebras.refusal(refusal, "m", 60).headers == {"retry-after": "1"}
    assert cerebras.refusal(refusal, "m", 80).headers == {
        "retry-after": "0.75",
        "retry-after-ms": "750",
    }
    headers = cerebras.headers([RateLimitStanding(MINUTE, 0, 30.0)], 60)
    assert headers["x-ratelimit-reset-tokens-minute"] == "0.5"
    assert dialect("openai").refusal(refusal, "m", 60).headers["retry-after-ms"] == "50"
