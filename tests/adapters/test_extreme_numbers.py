"""Numbers that others send, each replaced by one that cannot be true: nothing stops because of it.

A number in an accepted answer never makes a later request fail or wait for longer than a period. A
refusal ends in an answer, or at once in the provider's own error, and the next request is sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Raw
from batchwrap.options import Limit, Throttle
from batchwrap.testing import ManualClock
from tests.adapters.servers import Keyed, keyed_server

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
TINY = "0." + "0" * 300 + "1"
TEXTS = ("0", "-1", TINY, "0.000001", "1", "9" * 15, "9" * 300, "1e300", "nan", "9" * 15 + "s", "")
NUMBERS = (0, -1, 2**26, 10**12, 2**40, 2**63, 10**30, 1e300, 1e-300, True, None, "9" * 50)
LIMITS = [
    Limit("tokens", 300_000, 60),
    Limit("input_tokens", 10**6, 86_400, "fixed"),
    Limit("output_tokens", 10**5, 3_600, "rolling"),
]
HEADERS = {
    f"x-ratelimit-{field}-{what}": value
    for what, values in (
        ("requests-minute", "50 49 1s"),
        ("requests-hour", "500 499 7"),
        ("tokens-minute", "100000 90000 6s"),
        ("tokens-hour", "1000000 900000 360"),
    )
    for field, value in zip(("limit", "remaining", "reset"), values.split(), strict=True)
}
POLICIES = {"ratelimit-policy": '"default";q=100;w=60', "ratelimit": '"default";r=50;t=30'}
PERIOD_S = 60
MESSAGE: Any = {"role": "user", "content": "Hello there, how are you?"}


class Provider:
    """Answers with what was prepared, and with plain answers after that."""

    def __init__(self) -> None:
        self.prepared: list[Raw] = []
        self.served = Keyed()

    def answer(self, key: str, body: dict[str, Any]) -> Raw:
        """The next answer."""
        return self.prepared.pop(0) if self.prepared else accepted()

    def asked(self, *answers: Raw, limits: Any = "auto") -> Any:
        """The outcomes of three requests, how long each waited, and the client's counters."""
        clock, outcomes = ManualClock(), list[tuple[str, float]]()
        self.prepared[:] = answers
        throttle = Throttle(limits=limits, clock=clock)
        with openai.OpenAI(base_url=self.served.base_url, api_key="sk", max_retries=2) as bare:
            client = batchwrap.wrap(bare, throttle=throttle)
            for _ in range(3):
                before_s = clock.passed_s
                outcome = outcome_of(client)
                outcomes.append((outcome, clock.passed_s - before_s))
            return outcomes, batchwrap.stats(client)


def outcome_of(client: openai.OpenAI) -> str:
    """What a request is answered with: a text, or the message of the SDK's error."""
    try:
        answer = client.chat.completions.create(model="m", messages=[MESSAGE])
        return str(answer.choices[0].message.content)
    except openai.RateLimitError as error:
        return error.message


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A real HTTP server."""
    provider = Provider()
    with keyed_server(provider.answer) as provider.served:
        yield provider


def accepted(usage: Any = None, headers: Mapping[str, str] | None = None) -> Raw:
    """A plain answer."""
    choice = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    body: dict[str, Any] = {"id": "c", "object": "chat.completion", "choices": [choice]}
    body |= {"model": "m", "created": 1} | ({} if usage is None else {"usage": usage})
    return Raw(200, {**JSON, **(headers or {})}, (json.dumps(body).encode(),))


def refused(headers: Mapping[str, str] | None = None, **fields: Any) -> Raw:
    """A refusal."""
    error = {"message": "slow down", "code": "rate_limit_exceeded", **fields}
    return Raw(429, {**JSON, **(headers or {})}, (json.dumps({"error": error}).encode(),))


def goes_on(outcomes: list[tuple[str, float]], stats: batchwrap.Stats) -> bool:
    """Whether all requests were answered, each within a period."""
    is_soon = all(outcome == "yes" and waited_s <= PERIOD_S for outcome, waited_s in outcomes)
    return is_soon and stats.internal_errors == 0


def ends(outcomes: list[tuple[str, float]], stats: batchwrap.Stats) -> bool:
    """Whether a refused request ended soon, and the others were answered at once."""
    (first, waited_s), *others = outcomes
    is_soon = (first == "yes" or "slow down" in first) and waited_s <= PERIOD_S
    return is_soon and others == [("yes", 0)] * 2 and stats.internal_errors == 0


@pytest.mark.parametrize("name", HEADERS)
def test_headers(provider: Provider, name: str) -> None:
    """A limit that cannot be true is not used, and no header makes requests fail."""
    for text in TEXTS:
        said = accepted(headers={**HEADERS, name: text})
        assert goes_on(*provider.asked(said, said)), text


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("ratelimit-policy", '"default";q={};w=60'),
        ("ratelimit-policy", '"default";q=100;w={}'),
        ("ratelimit", '"default";r={};t=30'),
        ("ratelimit", '"default";r=50;t={}'),
        ("x-ratelimit-limit", "10, 10;w={}"),
    ],
)
def test_policies(provider: Provider, name: str, form: str) -> None:
    """The same for headers of the IETF's form, in which a period can be anything."""
    for text in TEXTS:
        said = accepted(headers={**POLICIES, name: form.format(text)})
        assert goes_on(*provider.asked(said, said)), text


def test_one_warning(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """It names the limit, once."""
    said = accepted(headers={"x-ratelimit-limit-tokens-minute": "0.5"})
    provider.asked(said, said, said)
    [warning] = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "a limit of 0.5 tokens per 60 s" in warning


@pytest.mark.parametrize(
    "place", ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"]
)
def test_usage(provider: Provider, place: str) -> None:
    """A usage that no request can have is not charged to the limits, and not counted."""
    for number in NUMBERS:
        usage: dict[str, Any] = {"prompt_tokens": 14, "completion_tokens": 2, "total_tokens": 16}
        usage |= {"prompt_tokens_details": {place: number}, place: number}
        outcomes, stats = provider.asked(accepted(usage), limits=LIMITS)
        assert goes_on(outcomes, stats), number
        assert stats.prompt_tokens + stats.completion_tokens < 100


def test_a_warning_of_usage(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """It comes once, and the answers are counted."""
    said = accepted({"prompt_tokens": 10**12, "completion_tokens": 2})
    _, stats = provider.asked(said, said)
    [warning] = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "more tokens than any request has" in warning
    assert stats.defects == {"impossible_usage": 2}


@pytest.mark.parametrize(
    "name", ["retry-after", "retry-after-ms", "x-ratelimit-reset-after", "x-ratelimit-reset-tokens"]
)
def test_headers_of_refusals(provider: Provider, name: str) -> None:
    """A wait above the maximum is the provider's own error at once; a short one is waited for."""
    for text in TEXTS:
        assert ends(*provider.asked(refused({name: text}))), text


@pytest.mark.parametrize("name", ["retry_after", "retryDelay", "resets_at", "resets_in_seconds"])
def test_fields_of_refusals(provider: Provider, name: str) -> None:
    """The same for fields of the error, and for its message."""
    for value in (*NUMBERS, *TEXTS, {"seconds": 10**18}):
        message = f"slow down, and try again in {value} s"
        for said in (refused(None, **{name: value}), refused(None, message=message)):
            assert ends(*provider.asked(said)), value


def test_a_refusal_in_a_stream(provider: Provider) -> None:
    """A wait of years in the middle of a stream does not close the account for years."""
    text = {"index": 0, "delta": {"role": "assistant", "content": "ye"}, "finish_reason": None}
    events = [
        {"id": "c", "object": "chat.completion.chunk", "choices": [text]},
        {"error": {"message": "slow down", "code": "rate_limit_exceeded", "retry_after": 10**8}},
    ]
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)

    provider.prepared[:] = [Raw(200, EVENTS, (data,))]
    throttle = Throttle(limits=LIMITS, clock=ManualClock())
    with openai.OpenAI(base_url=provider.served.base_url, api_key="sk", max_retries=0) as bare:
        client = batchwrap.wrap(bare, throttle=throttle)
        with pytest.raises(openai.APIError, match="slow down"):
            list(client.chat.completions.create(model="m", messages=[MESSAGE], stream=True))
        assert outcome_of(client) == "yes"
