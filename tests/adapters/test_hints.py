"""Where a function's calls go, as far as anything tells."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from batchwrap.adapters.hints import Hints, given_to, is_cached


def nothing(**kwargs: Any) -> None:
    """A function that tells nothing."""


@pytest.mark.parametrize(
    ("arguments", "host", "key"),
    [
        ({"model": "m", "api_base": "https://api.groq.com/openai/v1"}, "api.groq.com", ""),
        ({"base_url": "https://api.cerebras.ai/v1", "api_key": "k"}, "api.cerebras.ai", "k"),
        ({"model": "cerebras/gpt-oss-120b", "api_base": None}, "", ""),
        ({"api_base": "http://[", "api_key": 5}, "", ""),
        ({"api_base": object()}, "", ""),
    ],
)
def test_arguments(arguments: dict[str, Any], host: str, key: str) -> None:
    """`api_base` and `base_url` tell the host, `api_key` the account; odd values tell nothing."""
    origin = Hints(nothing).origin(arguments)
    assert (origin.host, origin.api_key) == (host, key)


def test_a_clients_own_method() -> None:
    """A method of an SDK's client goes where the client does."""
    with openai.OpenAI(base_url="https://api.groq.com/openai/v1", api_key="k") as client:
        for function in (
            client.chat.completions.create,
            functools.partial(client.chat.completions.create, model="m"),
        ):
            origin = Hints(function).origin({"model": "m"})
            assert (origin.host, origin.api_key) == ("api.groq.com", "k")


def test_defaults() -> None:
    """Defaults and a partial's arguments count as given; the outer partial's first."""

    def complete(messages: Any, model: str = "groq/a", stream: Any = None) -> None:
        """A function with defaults."""

    assert given_to(complete) == {"model": "groq/a"}
    inner = functools.partial(complete, model="groq/b", stream=True)
    assert given_to(functools.partial(inner, model="groq/c")) == {"model": "groq/c", "stream": True}


def test_answers_tell_where_they_came_from() -> None:
    """A function that names its model inside is known by its first answer, for that model."""
    hints = Hints(nothing)
    answer = SimpleNamespace(_hidden_params={"api_base": "https://api.cerebras.ai/v1"})
    assert hints.origin({}).host == ""
    hints.learn({}, answer)
    assert hints.origin({}).host == "api.cerebras.ai"
    assert hints.origin({"model": "groq/x"}).host == "", "the name tells the provider"
    assert hints.origin({"api_base": "http://localhost:1"}).host == "localhost"


def test_headers() -> None:
    """An answer's headers, by whatever name; none of an answer out of a cache."""
    spent = {"X-RateLimit-Remaining-Requests": "1"}
    lower = {"x-ratelimit-remaining-requests": "1"}
    beside = {"additional_headers": {"llm_provider-x-ratelimit-remaining-requests": 1}}
    answers = [
        SimpleNamespace(_response_headers=spent),
        SimpleNamespace(response=SimpleNamespace(headers=spent)),
        SimpleNamespace(_hidden_params=beside),
    ]
    for answer in answers:
        assert Hints(nothing).headers({}, answer) == lower
    cached = SimpleNamespace(_response_headers=spent, _hidden_params={"cache_hit": True})
    assert is_cached(cached)
    assert Hints(nothing).headers({}, cached) == {}
    assert Hints(nothing).headers({}, {"choices": []}) == {}


def test_a_router() -> None:
    """The only deployment of a model tells where it goes; of several, none's headers count."""

    class Router:
        num_retries = 3

        def get_model_list(self, model_name: str) -> list[Any] | None:
            """What the router has."""
            params = {"model": "openai/x", "api_base": "https://api.groq.com/v1", "api_key": "k"}
            listed: dict[str, list[Any]] = {"one": [{"litellm_params": params}], "two": [{}, {}]}
            return listed.get(model_name)

        def completion(self, **kwargs: Any) -> None:
            """What is decorated."""

    hints = Hints(Router().completion)
    answer = SimpleNamespace(_response_headers={"a": "b"}, response=None)
    origin = hints.origin({"model": "one"})
    assert (origin.host, origin.api_key, origin.model) == ("api.groq.com", "k", "openai/x")
    assert (hints.retries, hints.is_router, Hints(nothing).is_router) == (3, True, False)
    assert hints.headers({"model": "one"}, answer) == {"a": "b"}
    assert hints.origin({"model": "two"}).host == hints.origin({"model": "none"}).host == ""
    assert hints.headers({"model": "two"}, answer) == {}
