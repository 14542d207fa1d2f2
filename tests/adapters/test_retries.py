"""Refusals: who retries, how often, and what the caller gets in the end."""

from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest
import tenacity

import batchwrap
from batchwrap.lab import Lab, RateLimit, Raw
from batchwrap.options import Limit, Throttle
from batchwrap.testing import ManualClock
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, calls_of, gather
from tests.adapters.events import EVENTS
from tests.core.harness import completion

JSON = {"content-type": "application/json"}


def refused(**headers: str) -> Raw:
    """A 429 of the provider."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Raw(429, {**JSON, **named}, (b'{"error": {"message": "slow down", "code": "rpm"}}',))


def attempts(lab: Lab) -> list[str]:
    """The number of the SDK's attempt that each request belongs to."""
    return [entry.headers["x-stainless-retry-count"] for entry in lab.journal]


def three_attempts() -> Throttle:
    """Three attempts and no wait between them."""
    return Throttle(
        retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_none())
    )


def test_plain(caller: Caller, serve: Any) -> None:
    """After a refusal and the wait that it asked for the caller gets an ordinary answer."""
    clock = ManualClock()
    lab = serve(refused(retry_after="30"), MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab), throttle=Throttle(clock=clock))
    assert calls_of(caller.ask(client, tools=TOOLS).choices[0].message) == READS
    assert attempts(lab) == ["0", "0"], "the SDK does not know that there were two"
    first, second = lab.journal
    assert second.body == first.body
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.round_trips, stats.refusals, stats.retries) == (1, 2, 1, 1)
    assert clock.passed_s >= stats.waited_s >= 30


def test_streamed(caller: Caller, serve: Any) -> None:
    """A stream that is refused before it starts is retried, and is then whole."""
    lab = serve(refused(retry_after="0.01"), refused(retry_after_ms="10"), MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab))
    assert gather(caller.ask(client, tools=TOOLS, stream=True))["calls"] == READS
    assert attempts(lab) == ["0", "0", "0"]


def test_connections_of_retries(caller: Caller, serve: Any) -> None:
    """A retry goes over the connection of the attempt that was refused."""
    lab = serve(refused(retry_after="0.01"), refused(retry_after="0.01"), MULTI_CALL)
    caller.ask(batchwrap.wrap(caller.open(lab)))
    assert lab.connections == 1


@pytest.mark.parametrize("stream", [False, True])
def test_giving_up(caller: Caller, serve: Any, stream: bool) -> None:
    """Giving up is the SDK's own error, and its own retries do not multiply ours."""
    lab = serve(lambda request: refused(x_plan="free"))
    client = batchwrap.wrap(caller.open(lab, max_retries=2), throttle=three_attempts())
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        caller.ask(client, stream=stream)
    assert attempts(lab) == ["0", "0", "0"]
    assert caught.value.code == "rpm"
    assert caught.value.response.headers["x-plan"] == "free"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_no_retries_wanted(caller: Caller, serve: Any) -> None:
    """A client with `max_retries=0` has its 429 at once: a router above it needs it."""
    lab = serve(lambda request: refused(retry_after="5"))
    clock = ManualClock()
    client = batchwrap.wrap(caller.open(lab, max_retries=0), throttle=Throttle(clock=clock))
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(client)
    assert clock.passed_s == 0
    assert len(lab.journal) == 1
    assert "x-should-retry" not in caught.value.response.headers


def test_retries_left_to_the_sdk(caller: Caller, serve: Any) -> None:
    """Where we do not retry, a copy that wants retries has those of the SDK."""
    lab = serve(lambda request: refused(retry_after_ms="1"))
    client = batchwrap.wrap(caller.open(lab, max_retries=0)).with_options(max_retries=1)
    with pytest.raises(openai.RateLimitError):
        caller.ask(client)
    assert attempts(lab) == ["0", "1"]


def test_throttle_off(caller: Caller, serve: Any) -> None:
    """Without a throttle nothing is retried here; the SDK does as if it were not wrapped."""
    lab = serve(lambda request: refused(retry_after_ms="1"))
    client = batchwrap.wrap(caller.open(lab, max_retries=2), throttle=None)
    with pytest.raises(openai.RateLimitError):
        caller.ask(client)
    assert attempts(lab) == ["0", "1", "2"]
    assert batchwrap.stats(client).retries == 0


def test_errors_of_the_server(caller: Caller, serve: Any) -> None:
    """A 500 is the SDK's to retry, as often as it was told to."""
    lab = serve(lambda request: Raw(500, {**JSON, "retry-after-ms": "1"}, (b"{}",)))
    client = batchwrap.wrap(caller.open(lab, max_retries=2))
    with pytest.raises(openai.InternalServerError):
        caller.ask(client, tools=TOOLS)
    assert attempts(lab) == ["0", "1", "2"]
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.retries, stats.refusals) == (3, 0, 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_wait_that_is_too_long(caller: Caller, serve: Any, stream: bool) -> None:
    """A `Retry-After` above `max_wait_s` is not waited for: the caller knows at once."""
    lab = serve(lambda request: refused(retry_after="3600"))
    client = batchwrap.wrap(caller.open(lab), throttle=Throttle(max_wait_s=60))
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(client, stream=stream)
    assert caught.value.response.headers["retry-after"] == "3600"
    assert len(lab.journal) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_never_fits(caller: Caller, serve: Any, stream: bool) -> None:
    """A request above a limit fails as the SDK's own error for 413, and is not sent."""
    lab = serve(MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab), limits=[Limit("tokens", 1_000, 60)])
    with pytest.raises(openai.APIStatusError, match="never admits more than 1,000") as caught:
        caller.ask(client, max_tokens=2_000, stream=stream)
    assert caught.value.status_code == 413
    assert caught.value.code == "batchwrap_request_too_large"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    assert lab.journal == []


def test_a_queue_that_is_too_long(caller: Caller, serve: Any) -> None:
    """A request that would wait too long fails at once and says when it could come again."""
    lab = serve(MULTI_CALL, MULTI_CALL)
    client = batchwrap.wrap(
        caller.open(lab), limits=[Limit("requests", 1, 600)], throttle=Throttle(max_wait_s=60)
    )
    caller.ask(client)
    with pytest.raises(openai.RateLimitError, match="max_wait_s=60") as caught:
        caller.ask(client)
    assert caught.value.code == "batchwrap_limit_exceeded"
    assert 500 < float(caught.value.response.headers["retry-after"]) <= 600
    assert len(lab.journal) == 1


def test_queueing(caller: Caller, serve: Any) -> None:
    """A client that knows the provider's limit waits for it and is not refused."""
    clock = ManualClock()
    lab = serve(lambda request: MULTI_CALL, limits=[RateLimit("requests", 4, 2)], clock=clock)
    # A little slower than the provider, whose clock starts when the first request arrives.
    throttle = Throttle(limits=[Limit("requests", 4, 4)], clock=clock)
    client = batchwrap.wrap(caller.open(lab), throttle=throttle)
    for _ in range(6):
        caller.ask(client)
    assert (lab.round_trips, lab.refusals) == (6, 0)
    assert batchwrap.stats(client).waited_s > 0


def test_connection_errors(caller: Caller, serve: Any) -> None:
    """A server that cannot be reached is the SDK's `APIConnectionError`, retried by it alone."""
    lab = serve(MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab, max_retries=1), limits=[Limit("requests", 2, 3600)])
    lab.stop()
    with pytest.raises(openai.APIConnectionError):
        caller.ask(client)
    stats = batchwrap.stats(client)
    assert (stats.requests, stats.round_trips, stats.retries) == (2, 0, 0)


OVERLOADED = Raw(503, JSON, (b'{"error": {"message": "The server is overloaded"}}',))
LATE = Raw(200, EVENTS, (b'data: {"error": {"message": "overloaded", "code": 503}}\n\n',))
BROKE = b'{"error": {"message": "Out of credit", "code": "insufficient_quota"}}'


@pytest.mark.parametrize("first", [OVERLOADED, LATE])
def test_an_overloaded_provider(caller: Caller, serve: Any, first: Raw) -> None:
    """It is asked again after a while; so is one that says it in a stream's first event."""
    lab = serve(first, MULTI_CALL)
    retry = tenacity.Retrying(wait=tenacity.wait_fixed(0.01), stop=tenacity.stop_after_attempt(2))
    client = batchwrap.wrap(caller.open(lab, max_retries=1), throttle=Throttle(retry=retry))
    gather(caller.ask(client, tools=TOOLS, stream=True))
    assert batchwrap.stats(client).refusals == batchwrap.stats(client).retries == 1
    assert len(lab.journal) == 2


def test_money_is_not_waited_for(caller: Caller, serve: Any) -> None:
    """A refusal that no waiting helps is handed on at once, and the SDK does not try again."""
    lab = serve(Raw(429, JSON, (BROKE,)))
    client = batchwrap.wrap(caller.open(lab, max_retries=3))
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(client)
    assert caught.value.code == "insufficient_quota"
    assert len(lab.journal) == 1


def test_a_daily_quota(caller: Caller, serve: Any) -> None:
    """What is used up for the day fails at once, and says so by its code."""
    lab = serve(MULTI_CALL, MULTI_CALL)
    client = batchwrap.wrap(caller.open(lab), limits=[Limit("requests", 1, 86_400)])
    caller.ask(client)
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(client)
    assert caught.value.code == "batchwrap_quota_exhausted"


def test_limits_that_the_provider_names(caller: Caller, serve: Any) -> None:
    """By default amounts come from headers; from then on nothing is sent in vain."""
    named = {
        **JSON,
        "x-ratelimit-limit-requests-minute": "2",
        "x-ratelimit-remaining-requests-minute": "0",
    }
    body = orjson.dumps(completion({"role": "assistant", "content": "yes"}, "stop"))
    lab = serve(Raw(200, named, (body,)))
    client = batchwrap.wrap(caller.open(lab), throttle=Throttle(max_wait_s=0))
    caller.ask(client)
    with pytest.raises(openai.RateLimitError, match="max_wait_s=0"):
        caller.ask(client)
    assert len(lab.journal) == 1
