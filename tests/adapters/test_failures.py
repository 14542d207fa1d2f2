"""Errors of any library are read as the refusals that they stand for."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest

import batchwrap
from batchwrap import Throttle
from batchwrap.adapters import sdk_errors
from batchwrap.lab import Lab, Raw
from batchwrap.testing import ManualClock
from tests.adapters.conversation import END, USER

JSON = {"content-type": "application/json"}
BODY = {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}
REFUSED = Raw(429, {"retry-after": "0.01", **JSON}, (json.dumps(BODY).encode(),))
BUSY_EVENT = Raw(
    200,
    {"content-type": "text/event-stream"},
    (b'data: {"error": {"message": "Too many requests", "code": 429}}\n\n',),
)
Serve = Callable[..., Lab]


def with_httpx(running: Lab, **body: Any) -> Any:
    """A completion by hand with httpx."""
    response = httpx.post(f"{running.base_url}/chat/completions", json={"model": "m", **body})
    response.raise_for_status()
    return response.json()


def with_httpx2(running: Lab, **body: Any) -> Any:
    """A completion by hand with httpx2."""
    response = httpx2.post(f"{running.base_url}/chat/completions", json={"model": "m", **body})
    response.raise_for_status()
    return response.json()


def with_urllib(running: Lab, **body: Any) -> Any:
    """A completion by hand with the standard library."""
    url, data = f"{running.base_url}/chat/completions", json.dumps({"model": "m", **body})
    request = urllib.request.Request(url, data.encode(), JSON)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def with_openai(running: Lab, **body: Any) -> Any:
    """A completion with an SDK that does not retry."""
    with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0) as client:
        return client.chat.completions.create(model="m", **body).model_dump()


@pytest.mark.filterwarnings("ignore:unclosed|Implicitly cleaning up:ResourceWarning")
@pytest.mark.parametrize("ask", [with_httpx, with_httpx2, with_urllib, with_openai])
def test_refusals_of_any_library(serve: Serve, ask: Callable[..., Any]) -> None:
    """Status and `Retry-After` are found wherever a library keeps them."""
    running = serve(REFUSED, REFUSED, END)

    @batchwrap.batched(throttle=Throttle(clock=ManualClock()))
    def complete(**body: Any) -> Any:
        return ask(running, **body)

    done = complete(messages=[USER])
    assert done["choices"][0]["message"]["content"] == "Both read."
    assert (running.refusals, batchwrap.stats(complete).retries) == (2, 2)
    assert batchwrap.stats(complete).waited_s < 0.5, "not the second that is waited without a word"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("ask", [with_httpx, with_httpx2, with_openai])
def test_what_an_error_says(serve: Serve, ask: Callable[..., Any]) -> None:
    """The provider's body and headers, not the library's words for them."""
    running = serve(REFUSED)
    with pytest.raises(Exception, match="429") as caught:
        ask(running, messages=[USER])
    assert sdk_errors.status_of(caught.value) == 429
    assert sdk_errors.headers_of(caught.value)["retry-after"] == "0.01"
    assert sdk_errors.body_of(caught.value) == BODY


def test_given_up_unchanged(serve: Serve) -> None:
    """When batchwrap gives up, the very error that the function raised comes out."""
    running, raised = serve(*[REFUSED] * 9), list[Exception]()
    with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0) as client:

        @batchwrap.batched(throttle=Throttle(clock=ManualClock()))
        def complete(**kwargs: Any) -> Any:
            try:
                return client.chat.completions.create(model="m", **kwargs)
            except openai.RateLimitError as error:
                raised.append(error)
                raise

        with pytest.raises(openai.RateLimitError) as caught:
            complete(messages=[USER])
    assert caught.value is raised[-1]
    assert running.refusals == len(raised) == 6


def test_retries_beneath_are_counted(serve: Serve) -> None:
    """An SDK's own retries beneath ours do not multiply: six attempts are six requests."""
    running = serve(*[REFUSED] * 20)
    with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=2) as client:

        @batchwrap.batched(throttle=Throttle(clock=ManualClock()))
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        with pytest.raises(openai.RateLimitError):
            complete(messages=[USER])
    assert running.refusals == 6


def test_refused_in_the_first_event(serve: Serve) -> None:
    """An error in place of a stream's first chunk is retried although its status was 200."""
    running = serve(BUSY_EVENT, END)
    with openai.OpenAI(base_url=running.base_url, api_key="k") as client:

        @batchwrap.batched(throttle=Throttle(clock=ManualClock()))
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        chunks = list(complete(messages=[USER], stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Both read."
    assert batchwrap.stats(complete).retries == 1


def test_another_error_in_the_first_event(serve: Serve) -> None:
    """One that no waiting helps comes out of the call as the SDK's own."""
    broken = b'data: {"error": {"message": "No such model", "code": 404}}\n\n'
    running = serve(Raw(200, {"content-type": "text/event-stream"}, (broken,)))
    with openai.OpenAI(base_url=running.base_url, api_key="k") as client:

        @batchwrap.batched
        def complete(**kwargs: Any) -> Any:
            return client.chat.completions.create(model="m", **kwargs)

        with pytest.raises(openai.APIError, match="No such model"):
            complete(messages=[USER], stream=True)


class Odd(Exception):
    """An error with a shape of its own."""

    def __init__(self, **fields: Any) -> None:
        super().__init__("odd")
        vars(self).update(fields)


def odd_errors() -> Iterator[Odd]:
    """Fields that SDKs use, with what they never hold."""
    for value in (
        None,
        True,
        99,
        1e9,
        "429",
        [],
        object(),
        httpx.Response(429),
        httpx.ReadError(""),
    ):
        yield Odd(status_code=value, response=value, body=value, headers=value, request=value)
        yield Odd(status_code=429, response=value, body=value, headers=value, num_retries=value)


def test_odd_errors() -> None:
    """Whatever an error holds, reading it does not fail."""
    for error in odd_errors():
        assert sdk_errors.status_of(error) in (429, None)
        assert isinstance(sdk_errors.headers_of(error), dict)
        assert "error" in sdk_errors.body_of(error)
        assert sdk_errors.tries_of(error, 0) >= 1
