"""An error in a stream of status 200: as the first event it is a refusal, later it is the end."""

from __future__ import annotations

from typing import Any

import openai
import pytest

import batchwrap
from batchwrap import Repair, Throttle
from batchwrap.lab import Raw
from tests.adapters.callers import Caller
from tests.adapters.conversation import TOOLS, gather
from tests.adapters.events import DONE, EVENTS, event, raw
from tests.adapters.retries import SOON
from tests.core.harness import chunk

ANSWER = event(chunk({"role": "assistant", "content": "hi"})) + event(chunk({}, "stop")) + DONE
WRAPPED = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
FLAT = {"message": "Tokens per minute limit exceeded", "type": "too_many_tokens_error"}
FLAT |= {"param": "quota", "code": "token_quota_exceeded"}
TEXT = {"error": "429 Too many requests", "code": 429}
RATE_LIMITS = {
    "wrapped": event(WRAPPED),
    "flat": event(FLAT),
    "text": event(TEXT),
    "named": b"event: error\n" + event(WRAPPED),
    "after a comment": b": keep-alive\n\n" + event(WRAPPED),
}
# What a first event says, and the SDK's exception for it.
ERRORS: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str]] = {
    "context": (
        {"error": {"message": "This model's maximum context length is 8192 tokens."}},
        openai.BadRequestError,
        "context_length_exceeded",
    ),
    "server": (
        {"error": {"message": "Internal server error", "code": 500}},
        openai.InternalServerError,
        "500",
    ),
    "no status": (
        {"error": {"message": "upstream connect error"}},
        openai.InternalServerError,
        "None",
    ),
    "key": (
        {"error": {"message": "Invalid API key", "code": "invalid_api_key", "status": 401}},
        openai.AuthenticationError,
        "invalid_api_key",
    ),
    "money": (
        {"error": {"message": "Out of credit", "code": "insufficient_quota"}},
        openai.RateLimitError,
        "insufficient_quota",
    ),
}


@pytest.mark.parametrize("first", RATE_LIMITS)
def test_a_rate_limit_is_waited_for(caller: Caller, serve: Any, first: str) -> None:
    """In whatever shape it comes first, the request is sent again and the caller sees nothing."""
    lab = serve(raw(RATE_LIMITS[first]), raw(ANSWER))
    client = batchwrap.wrap(caller.open(lab, max_retries=1), throttle=Throttle(retry=SOON))
    assert gather(caller.ask(client, stream=True))["content"] == "hi"
    stats = batchwrap.stats(client)
    assert (stats.refusals, stats.retries, len(lab.journal)) == (1, 1, 2)


@pytest.mark.parametrize("first", RATE_LIMITS)
def test_giving_up(caller: Caller, serve: Any, first: str) -> None:
    """With the retries used up it is the SDK's own error for its status, asked for once each."""
    lab = serve(lambda _: raw(RATE_LIMITS[first]))
    client = batchwrap.wrap(caller.open(lab, max_retries=3), throttle=Throttle(retry=SOON))
    with pytest.raises(openai.RateLimitError):
        caller.start(client, stream=True)
    assert len(lab.journal) == 2, "the SDK's own retries do not multiply ours"


@pytest.mark.parametrize("throttle", [Throttle(), None])
@pytest.mark.parametrize("name", ERRORS)
def test_other_errors(caller: Caller, serve: Any, name: str, throttle: Throttle | None) -> None:
    """Any other error is raised by the request, as with an error status, with its code."""
    said, kind, code = ERRORS[name]
    client = batchwrap.wrap(
        caller.open(serve(raw(event(said))), max_retries=0), throttle=throttle, batching=None
    )
    with pytest.raises(kind) as caught:
        caller.start(client, stream=True)
    assert str(caught.value.code) == code


def test_what_we_added_is_not_to_blame(caller: Caller, serve: Any) -> None:
    """If the first event refuses a request that we changed, the agent's own is sent once."""
    refused = event({"error": {"message": "unknown tool", "status_code": 400}})
    lab = serve(raw(refused), raw(ANSWER))
    client = batchwrap.wrap(caller.open(lab, max_retries=0))
    assert gather(caller.ask(client, stream=True, tools=TOOLS))["content"] == "hi"
    offered, plain = (entry.json["tools"] for entry in lab.journal)
    assert len(offered) > len(plain) == len(TOOLS)


@pytest.mark.parametrize("first", RATE_LIMITS)
def test_an_error_later(caller: Caller, serve: Any, first: str) -> None:
    """After the first text nothing is sent again: the SDK raises its own error behind it."""
    text = event(chunk({"role": "assistant", "content": "The fix"}))
    lab = serve(raw(text + RATE_LIMITS[first] + ANSWER))
    client = batchwrap.wrap(caller.open(lab, max_retries=3))
    stream = caller.each(caller.start(client, stream=True))
    assert next(stream).choices[0].delta.content == "The fix"
    with pytest.raises(openai.APIError):
        list(stream)
    assert len(lab.journal) == 1
    assert batchwrap.stats(client).defects == {"rate_limit": 1}


def test_switched_off(caller: Caller, serve: Any) -> None:
    """Without this repair, and without retries, the stream is handed out as it came."""
    lab = serve(Raw(200, EVENTS, (event(WRAPPED),)))
    client = batchwrap.wrap(caller.open(lab, max_retries=0), repair=Repair(errors=False))
    stream = caller.start(client, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(caller.each(stream))
    assert type(caught.value) is openai.APIError
