"""What providers say when they refuse, sorted into four classes: real errors, and odd ones."""

import json
from dataclasses import asdict
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.matchers import MATCHERS, Matcher
from batchwrap.core.limits.refusal import Refusal, read_refusal, read_stream_error
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.core.limits.signals import LimitSignals
from batchwrap.errors import ConfigError
from batchwrap.providers import provider_files, provider_named

NOW = 1_790_000_000.0
# Errors as they were published or measured; "sources" are the keys of the table of providers.
CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "refusals.json").read_text(encoding="utf-8")
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELDS = [
    "resets_in_seconds",
    "resets_at",
    "response",
    "error",
    "errors",
    "code",
    "type",
    "status",
    "reason",
    "message",
    "detail",
    "details",
    "metadata",
    "headers",
    "violations",
    "quotaId",
    "retryDelay",
    "status_code",
    "object",
]
WORDS = [
    "rate_limit_exceeded",
    "error",
    "RESOURCE_EXHAUSTED",
    "429",
    "37s",
    "retry-after",
    "per",
    "day",
    "please",
    "retry",
    "after",
    "5s",
]
ODD_ERRORS = st.recursive(
    JSON | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=20,
)


def read(case: dict[str, Any], provider: str | None = None) -> Refusal | None:
    """What is understood of a case of the table."""
    name = case["provider"] if provider is None else provider
    signals = provider_named(name).signals
    if case.get("stream"):
        return read_stream_error(case["body"], NOW, signals)
    return read_refusal(case["status"], case["headers"], case["body"], NOW, signals)


def refused(message: str = "", status: int = 429, code: str = "", **headers: str) -> Refusal:
    """A refusal of a provider that is not known."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = {"error": {"message": message, "code": code}}
    refusal = read_refusal(status, named, body, NOW)
    assert refusal is not None
    return refusal


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{n}-{case['provider']}" for n, case in enumerate(CASES)]
)
def test_real_errors(case: dict[str, Any]) -> None:
    """Every error that is known of a provider is sorted as its documents say."""
    refusal = read(case)
    told = None if refusal is None else asdict(refusal)
    status = told.pop("status") if told else None
    assert told is None or told.pop("counts") in (None, "tokens", "requests")
    assert told is None or told.pop("tries") == 1, "the layers beneath know, not the answer"
    assert told == case["expect"]
    if told and not case.get("stream"):
        assert status == case["status"]


@pytest.mark.parametrize("case", [case for case in CASES if case["status"] == 429])
def test_a_429_is_a_refusal_whoever_sent_it(case: dict[str, Any]) -> None:
    """An error that is read without knowing its provider is a refusal all the same."""
    assert read(case, provider="") is not None


def test_without_the_body() -> None:
    """Before the body is read, the status alone tells what can be told."""
    kinds = {
        status: refusal and refusal.kind
        for status in (200, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529, 402)
        for refusal in [read_refusal(status, {}, None, NOW)]
    }
    assert {status: kind for status, kind in kinds.items() if kind} == {
        429: "bucket",
        503: "overloaded",
        529: "overloaded",
        402: "final",
        401: "key",
        403: "key",
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "60"}, 60),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after-ms": "-5"}, None),
        ({"retry-after-ms": "0", "retry-after": "2"}, 2),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-reset-after": "7.5"}, 7.5),
        ({"x-ratelimit-retry-after": "7"}, 7),
        ({"x-retry-after": "7"}, 7),
        ({"x-codex-secondary-reset-after-seconds": "7"}, 7),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 +0000"}, 40),
        ({"retry-after": "Thu Jan  1 00:01:40 1970"}, 40),
        ({"retry-after": "Thursday, 01-Jan-70 00:01:40 GMT"}, 40),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "0.0"}, None),
        ({"retry-after": "9" * 8_000}, None),
        ({"retry-after": "999999999"}, 366 * 86_400),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood, nonsense is not."""
    refusal = read_refusal(429, headers, None, now_unix_s=60.0)
    assert refusal is not None and refusal.retry_after_s == seconds


@pytest.mark.parametrize("ahead_s", [-86_400, -3_600, 3_600, 86_400])
def test_dates_are_read_by_the_clock_of_the_server(ahead_s: int) -> None:
    """A server whose clock is wrong names its own times: `Date` says how late it is there."""
    there = NOW + ahead_s
    for wait, headers in (
        (45, {"retry-after": formatdate(there + 45, usegmt=True)}),
        (None, {"retry-after": formatdate(there - 45, usegmt=True)}),
        (7_200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{there + 7_200:.0f}"}),
    ):
        dated = {"date": formatdate(there, usegmt=True), **headers}
        refusal = read_refusal(429, dated, None, NOW)
        assert refusal is not None and refusal.retry_after_s == wait


@pytest.mark.parametrize(
    ("provider", "rest", "seconds"),
    [
        ("", {"reset": "6h0m0s"}, 21_600),
        ("", {"reset": "21600", "limit": "1000"}, 21_600),
        ("", {"reset": "30"}, None),  # our own backoff comes back in that time, too
        ("openai", {"reset": "24h", "limit": "200"}, 432),
        ("azure", {"reset": "50"}, 50),
        ("", {"reset": "soon"}, None),
        ("", {}, None),
    ],
)
def test_nothing_is_left(provider: str, rest: dict[str, str], seconds: float | None) -> None:
    """Where a header says that no request is left, and until when, that is the wait."""
    headers = {f"x-ratelimit-{name}-requests": value for name, value in rest.items()}
    headers["x-ratelimit-remaining-requests"] = "0"
    refusal = read_refusal(429, headers, None, NOW, provider_named(provider).signals)
    assert refusal is not None and refusal.retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"retry_after": 12}, 12),
        ({"retryAfterMs": 1500}, 1.5),
        ({"retry_after_ms": "20000"}, 20),
        ({"retry_after_ms": "1.5s"}, 1.5),
        ({"retry_after_ms": (NOW + 90) * 1_000}, 90),
        ({"resets_at": (NOW + 90) * 1_000_000}, 90),
        ({"retry_after": "1m"}, 60),
        ({"resets_at": NOW + 90}, 90),
        ({"reset_time": "2026-09-21T14:14:20Z"}, 60),
        ({"resets_in_seconds": 0, "resets_at": NOW + 90}, 90),
        ({"resets_in_seconds": True}, None),
        ({"resets_at": NOW - 90}, None),
        ({"resets_in_seconds": 10**400}, None),
        ({"retry_after": None, "resets_at": {}, "": []}, None),
    ],
)
def test_fields(error: dict[str, Any], seconds: float | None) -> None:
    """A wait that stands in a field of the error is read, whatever it is called."""
    for body in ({"error": error}, {"error": {"message": "m", "metadata": error}}, error):
        refusal = read_refusal(429, {}, body, NOW)
        assert refusal is not None and refusal.retry_after_s == seconds


def test_a_gateway_in_front_does_not_shorten_an_allowance() -> None:
    """Of an allowance that is spent for hours the longest time counts, not a general header."""
    message = "5-hour usage limit reached. Resets in 3hr 12min"
    assert refused(message, retry_after="1").retry_after_s == 11_520


def test_the_header_counts_before_the_message() -> None:
    """Where both state a wait, it is the header's; with none of them, nothing is made up."""
    sentence = "Please try again in 300ms."
    assert refused(sentence, retry_after="2").retry_after_s == 2
    assert refused(sentence).retry_after_s == 0.3
    assert refused("Slow down, please.").retry_after_s is None


def test_a_full_bucket_is_not_waited_for() -> None:
    """A reset is a wait only where a window ends; a bucket has room before it is full."""
    headers = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "50",
    }
    waits = {
        provider: refusal.retry_after_s
        for provider in ("azure", "groq", "")
        for refusal in [read_refusal(429, headers, None, NOW, provider_named(provider).signals)]
        if refusal
    }
    assert waits == {"azure": 50, "groq": None, "": None}


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        ("Rate limit reached on requests per day (RPD): Limit 200", "day"),
        ("Limit: 3 / min. Please try again in 20s.", "minute"),
        ("exceeds your limit of 5 requests per second", "second"),
        ("TPM limit reached; the free plan has 1M tokens per day", "minute"),
        ("hourly? no: 150 requests per hour", "hour"),
        ("monthly allowance", "month"),
        ("Rate limit reached", None),
    ],
)
def test_scope(message: str, scope: str | None) -> None:
    """The period is the first that the message names."""
    assert refused(message).scope == scope


@pytest.mark.parametrize(
    ("message", "code", "counts"),
    [
        ("Rate limit reached on tokens per min (TPM): Limit 8000, Used 2591", "", "tokens"),
        ("Rate limit reached on requests per day (RPD): Limit 200", "", "requests"),
        ("Requests to the Operation have exceeded token rate limit", "", "tokens"),
        ("Rate limit reached", "tokens", "tokens"),
        ("request reached organization max RPM: 3", "", "requests"),
        ("Too many requests", "", None),
    ],
)
def test_what_the_limit_counts(message: str, code: str, counts: str | None) -> None:
    """Where an error says whether tokens or requests are too many, it is understood."""
    assert refused(message, code=code).counts == counts


def test_a_day_without_a_time_is_final() -> None:
    """A daily limit is waited for only if the provider says how long; a monthly one likewise."""
    daily, monthly = "Limit of requests per day reached.", "Monthly limit reached."
    assert (refused(daily).kind, refused(daily).reason) == ("final", "daily")
    assert (refused(monthly).kind, refused(monthly).reason) == ("final", "quota")
    assert refused(daily, retry_after="9").kind == "bucket"
    assert refused("Limit of requests per minute reached.").kind == "bucket"


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached on tokens per minute (TPM): Limit 8000, Used 2591, Requested 5863. "
        "Need more tokens? Upgrade today at https://console.groq.com/settings/billing",
        "You exceeded your current quota, please check your plan and billing details.",
    ],
)
def test_a_word_is_not_yet_a_bill(message: str) -> None:
    """Refusals that only mention the billing page are waited for."""
    assert refused(message).kind == "bucket"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Invalid value: 'rate limit'", "code": "invalid_value"}}),
        (400, {"error": {"message": "too many requests in a batch"}}),
        (400, {"error": {"code": "context_length_exceeded", "message": "..."}}),
        (400, {"error": {"message": "prompt is too long: 208310 tokens > 200000 maximum"}}),
        (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum"}}),
        (400, {"error": {"message": "exceeds the model's context window", "type": "tokens"}}),
        (403, {"error": {"message": "Input flagged by moderation"}}),
        (500, {"error": {"message": "The server had an error", "type": "server_error"}}),
        (404, "<html>not found</html>"),
    ],
)
def test_other_errors_are_no_refusals(status: int, body: Any) -> None:
    """Bad requests, long prompts and crashes are somebody else's."""
    assert read_refusal(status, {}, body, NOW) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": "Incorrect API key"}}),
        (401, None),
        (403, {"error": {"message": "Country not supported"}}),
        (400, {"code": "Client error", "error": "Incorrect API key provided: xa***ey."}),
    ],
)
def test_keys_that_are_not_taken(status: int, body: Any) -> None:
    """A wrong key is a kind of its own: only another key helps, and no time is believed."""
    refusal = read_refusal(status, {"retry-after": "5"}, body, NOW)
    assert refusal is not None and (refusal.kind, refusal.retry_after_s) == ("key", None)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("queue_exceeded", "overloaded"),
        ("MODEL_CAPACITY_EXHAUSTED", "overloaded"),
        ("server_is_overloaded", "overloaded"),
        ("UNAVAILABLE", "overloaded"),
        ("capacity_exceeded", "overloaded"),
        ("rate_limit_exceeded", "bucket"),
        ("rate_limited", "bucket"),
        ("token_quota_exceeded", "bucket"),
        ("Throttling.RateQuota", "bucket"),
        ("resource-exhausted", "bucket"),
        ("limit_burst_rate", "growth"),
        ("slow_down", "growth"),
        ("insufficient_quota", "final"),
    ],
)
def test_a_code_alone(code: str, kind: str) -> None:
    """The code of a limit is enough, without a message and under any status of an error."""
    assert refused(status=400, code=code).kind == kind
    assert refused(status=500, code=code).kind == kind
    assert read_refusal(200, {}, {"error": {"code": code}}, NOW) is None


@pytest.mark.parametrize(
    ("message", "status", "kind", "reason"),
    [
        ("Only 1 concurrent request is allowed", 429, "concurrency", None),
        ("Number of parallel requests exceeded", 429, "concurrency", None),
        ("You may have 2 simultaneous requests", 429, "concurrency", None),
        ("Too many requests in flight", 429, "concurrency", None),
        ("Too many concurrent requests", 403, "concurrency", None),
        ("Rate limit: 60 requests per minute", 429, "bucket", None),
        ("You have run out of credits", 429, "final", "billing"),
        ("Insufficient funds", 429, "final", "billing"),
        ("Monthly quota exceeded", 403, "final", "quota"),
        ("Daily limit reached", 403, "final", "daily"),
    ],
)
def test_more_wordings(message: str, status: int, kind: str, reason: str | None) -> None:
    """Requests at a time, money and allowances in other words, and under another status."""
    refusal = refused(message, status=status)
    assert (refusal.kind, refusal.reason) == (kind, reason)


def test_an_allowance_in_other_words() -> None:
    """A general header does not shorten it either."""
    message = "Your weekly limit is reached. Resets in 2 days"
    assert refused(message, retry_after="1").retry_after_s == 2 * 86_400


def test_money_under_another_status() -> None:
    """Money also comes with 400 and 403."""
    assert refused("You have no credits left", status=403).reason == "billing"
    assert refused("Your credit balance is too low", status=400).reason == "billing"


def test_a_status_of_groq_alone() -> None:
    """498 means something at Groq only."""
    refusal = read_refusal(498, {}, None, NOW, provider_named("groq").signals)
    assert refusal is not None and refusal.kind == "overloaded"
    assert read_refusal(498, {}, None, NOW) is None


def test_an_overload_has_no_period() -> None:
    """Where the provider is full, no bucket of the account is blamed."""
    refusal = refused("We have high demand: more requests per minute than usual.")
    assert (refusal.kind, refusal.scope) == ("overloaded", None)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "slow_down", "message": "m"}},
        {"code": "slow_down", "message": "m"},
        {"code": "slow_down", "error": "m"},
        [{"error": {"code": "slow_down"}}],
        {"errors": [{"code": "slow_down"}]},
        {"error": {"details": [{"reason": "SLOW_DOWN"}], "code": True}},
    ],
)
def test_shapes(body: Any) -> None:
    """A code is found in all shapes that errors come in."""
    refusal = read_refusal(429, {}, body, NOW)
    assert refusal is not None and refusal.kind == "growth"
    assert refusal.code in ("slow_down", "SLOW_DOWN")


def test_nothing_of_the_message_is_kept() -> None:
    """Ids of accounts and keys, which some messages contain, go nowhere."""
    message = "Your account org-123<ak-secret> request reached organization max RPM: 3"
    refusal = refused(message, code=f"rate limit: {message}")
    assert "secret" not in repr(refusal) and refusal.code is None


def test_own_matchers_count_first() -> None:
    """What is known of a provider, or told by the user, overrules what all have in common."""
    body = {"error": {"message": "Zu viele Anfragen", "code": "rate_limit_exceeded"}}
    final = Matcher(kind="final", reason="plan", text="zu viele", waits="untrue")
    never = Matcher(kind=None, code="rate_limit_.*")
    known = read_refusal(418, {"retry-after": "3"}, body, NOW)
    taught = read_refusal(418, {"retry-after": "3"}, body, NOW, LimitSignals(refusals=(final,)))
    assert known == Refusal(418, 3.0, code="rate_limit_exceeded")
    assert taught == Refusal(418, None, "final", "plan", code="rate_limit_exceeded")
    assert read_refusal(418, {}, body, NOW, LimitSignals(refusals=(never, final))) is None
    assert (
        read_stream_error({"error": "Zu viele"}, NOW, LimitSignals(refusals=(final,))) is not None
    )


def test_a_matcher_refuses_a_broken_expression() -> None:
    """A wrong expression fails when it is written, and says where."""
    with pytest.raises(ConfigError, match=r"Matcher\.text"):
        Matcher(kind="bucket", text="(")


def test_what_is_final_has_a_reason() -> None:
    """Every matcher that ends a request says why, and so does one that may."""
    own = (matcher for file in provider_files() for matcher in file.provider.signals.refusals)
    for matcher in (*MATCHERS, *own):
        assert matcher.reason is not None or matcher.kind != "final"
        assert matcher.reason is None or matcher.kind in ("final", "bucket")


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        ({"error": {"code": 429, "message": "m"}}, 429),
        ({"error": {"message": "m", "type": "overloaded_error"}}, 200),
        ({"error": {"message": "m", "code": "rate_limit_exceeded"}, "status_code": 429}, 429),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m"}, 200),
        ({"type": "response.failed", "response": {"error": {"code": "slow_down"}}}, 200),
        ({"error": "Rate limit exceeded"}, 200),
    ],
)
def test_errors_in_a_stream(chunk: Any, status: int) -> None:
    """An error inside a 200 is a refusal, with the status that it names itself."""
    refusal = read_stream_error(chunk, NOW)
    assert refusal is not None and refusal.status == status


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [{"delta": {"content": "rate_limit_exceeded"}}], "code": "rate_limit_exceeded"},
        {"choices": [], "error": None},
        {"error": {"message": "Internal error", "code": 500}},
        {"error": {"code": 400, "message": "maximum context length is 8192 tokens"}},
        {"type": "response.failed", "response": None},
        {"type": "response.failed", "response": {"error": {"code": "server_error"}}},
        {"type": "response.created", "response": {"error": None}, "error": None},
        [],
        "rate limit",
        None,
    ],
)
def test_other_chunks(chunk: Any) -> None:
    """Chunks without an error, or with one that is no limit, are no refusals."""
    assert read_stream_error(chunk, NOW) is None


@given(
    st.sampled_from([400, 402, 403, 413, 429, 500, 503]),
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-limit-requests"]), st.text()
    ),
    ODD_ERRORS,
    st.sampled_from(["", "gemini", "mistral", "zai"]),
)
def test_anything_can_be_read(
    status: int, headers: dict[str, str], body: Any, provider: str
) -> None:
    """No answer, however odd, breaks the reader; a wait is never negative or endless."""
    signals = provider_named(provider).signals
    for refusal in (
        read_refusal(status, headers, body, NOW, signals),
        read_stream_error(body, NOW, signals),
    ):
        if refusal and refusal.retry_after_s is not None:
            assert 0 < refusal.retry_after_s <= LONGEST_S
    assert status != 429 or read_refusal(status, headers, "", NOW, signals) is not None


@given(st.text(), st.floats(0, 4e9))
def test_any_text_is_a_message(text: str, now_unix_s: float) -> None:
    """A 429 with any text is a refusal."""
    assert read_refusal(429, {}, text, now_unix_s) is not None


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"detail": "Rate limit exceeded. Try again in 20 seconds."}, 20),
        ({"detail": {"message": "Too many requests", "retry_after": 20}}, 20),
        ({"detail": {"error": {"message": "Try again in 20 s"}}}, 20),
        ({"detail": [{"msg": "Please wait 20 seconds"}]}, 20),
        ({"error": "Too Many Requests", "detail": "try again in 20s"}, 20),
        ({"error": "rate_limited", "message": "Please retry after 20 seconds."}, 20),
        ({"error": {"code": 429}, "message": "Please retry after 20 seconds."}, 20),
        ({"title": "Too Many Requests", "status": 429, "detail": "Retry in PT20S"}, 20),
        ({"detail": "Rate limit exceeded"}, None),
        ({"detail": {}}, None),
    ],
)
def test_bodies_with_a_detail(body: object, seconds: float | None) -> None:
    """What FastAPI and problem details (RFC 9457) say under "detail" is read like any message."""
    refusal = read_refusal(429, {}, body, NOW)
    assert refusal is not None
    assert (refusal.kind, refusal.retry_after_s) == ("bucket", seconds)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ({"seconds": 5, "nanos": 0}, 5),
        ({"seconds": "5", "nanos": 500_000_000}, 5.5),
        ({"nanos": 250_000_000}, 0.25),
        ("5s", 5),
        ({"seconds": NOW + 7}, 7),
        ({"seconds": "soon"}, None),
        ({}, None),
    ],
)
def test_a_delay_as_an_object(delay: object, seconds: float | None) -> None:
    """A duration or timestamp of protobuf is read as text and as an object."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [info]}}
    refusal = read_refusal(429, {}, body, NOW)
    assert refusal is not None
    assert refusal.retry_after_s == seconds


def test_an_empty_policy_says_when() -> None:
    """Where a policy of the IETF's headers is used up, its time is the one to wait."""
    headers = {"ratelimit-policy": '"default";q=100;w=60', "ratelimit": '"default";r=0;t=30'}
    refusal = read_refusal(429, headers, None, NOW)
    assert refusal is not None
    assert refusal.retry_after_s == 30
