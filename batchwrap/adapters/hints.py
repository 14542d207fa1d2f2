"""Infers the provider that the calls of a completion function go to.

On the wire each request names its host. For a function it is inferred from the arguments
(`api_base`, `base_url`, a model such as ``"cerebras/…"``), from the object that it is bound to (an
SDK's client, litellm's Router, a partial's arguments), or otherwise from its answers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from batchwrap.adapters.sdk_errors import field, lowered
from batchwrap.core.formats.endpoints import CHAT, MESSAGES, RESPONSES, Endpoint
from batchwrap.providers import provider_of
from batchwrap.throttle.accounts import Origin

# The modules in which SDKs define the methods of each API.
_RESOURCES = {
    ".anthropic.": MESSAGES,
    ".resources.responses.": RESPONSES,
    ".resources.chat.": CHAT,
}
_LITELLM_MESSAGES = "litellm.anthropic_interface.messages"
_FUNCTIONS = {
    "completion": CHAT,
    "acompletion": CHAT,
    "responses": RESPONSES,
    "aresponses": RESPONSES,
    "anthropic_messages": MESSAGES,
}
_FOREIGN = "llm_provider-"  # litellm's prefix for the provider's own headers


def given_to(function: Callable[..., Any]) -> dict[str, Any]:
    """The values of arguments that a call does not name: defaults, and a partial's arguments."""
    named: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        named = {**function.keywords, **named}
        function = function.func
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return named
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return {name: value for name, value in {**defaults, **named}.items() if value is not None}


def spoken_by(function: Callable[..., Any]) -> Endpoint | None:
    """The endpoint of the API that an SDK's or litellm's function calls; None for others."""
    while isinstance(function, functools.partial):
        function = function.func
    bound = getattr(function, "__self__", None)
    owner = function if bound is None else type(bound)
    path = str(getattr(owner, "__module__", ""))
    if bound is not None:
        found = (one for place, one in _RESOURCES.items() if place in f".{path}.")
        return next(found, None)
    name = str(getattr(function, "__name__", ""))
    if path == _LITELLM_MESSAGES:
        return MESSAGES
    return _FUNCTIONS.get(name) if path.partition(".")[0] == "litellm" else None


class Hints:
    """What is known about the provider of one function's calls.

    Args:
        function: the decorated function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        while isinstance(function, functools.partial):
            function = function.func
        self._bound = getattr(function, "__self__", None)
        self._came_from: dict[str, str] = {}  # the host of the answers, by the request's model

    def origin(self, arguments: Mapping[str, Any]) -> Origin:
        """The host and API key of a call."""
        model = str(arguments.get("model") or "")
        routed = self._of_router(model)
        told = {**routed, **{name: value for name, value in arguments.items() if value is not None}}
        name = str(routed.get("model") or model)
        client = getattr(self._bound, "_client", None)
        url = told.get("api_base") or told.get("base_url") or getattr(client, "base_url", None)
        key = told.get("api_key") or getattr(client, "api_key", None)
        host = _host(url) or self._known(name, model)
        key = key if isinstance(key, str) else ""
        return Origin(host=host, api_key=key, model=name if routed else "")

    def headers(self, arguments: Mapping[str, Any], answer: Any) -> dict[str, str]:
        """The headers of an answer, if they are about the account of the request.

        They are not if the answer is from a cache, and it is unknown if a router has chosen one of
        several deployments.
        """
        model = str(arguments.get("model") or "")
        if is_cached(answer) or len(self._deployments(model)) > 1:
            return {}
        return _headers(answer)

    def learn(self, arguments: Mapping[str, Any], answer: Any) -> None:
        """Remember the host of an answer, if it is a known provider's."""
        url = _hidden(answer).get("api_base") or field(field(answer, "response"), "url")
        model, host = str(arguments.get("model") or ""), _host(url)
        if provider_of(host).name and len(self._deployments(model)) < 2:
            self._came_from[model] = host

    @property
    def is_router(self) -> bool:
        """Whether the function is a method of a router."""
        return self._listed is not None

    @property
    def retries(self) -> int:
        """The number of retries that the function's router makes."""
        told = getattr(self._bound, "num_retries", None)
        return told if type(told) is int else 0

    def _known(self, name: str, model: str) -> str:
        """The host of earlier answers; empty if the model's name identifies the provider."""
        return "" if provider_of(model=name).name else self._came_from.get(model, "")

    def _of_router(self, model: str) -> Mapping[str, Any]:
        """The parameters of a router's only deployment of a model."""
        deployments = self._deployments(model)
        only = deployments[0] if len(deployments) == 1 else None
        params = only.get("litellm_params") if isinstance(only, dict) else None
        return params if isinstance(params, dict) else {}

    def _deployments(self, model: str) -> list[Any]:
        listed = self._listed
        return [] if listed is None else list(listed(model_name=model) or ())

    @property
    def _listed(self) -> Callable[..., Any] | None:
        """What lists the deployments of a router; None if the function belongs to no router.

        litellm's routers have a registry for that. Older ones have only a method of their own,
        which the newer ones are about to drop.
        """
        registry = getattr(self._bound, "registry", None) if _is_litellms(self._bound) else None
        place, name = (registry(), "deployments") if registry else (self._bound, "get_model_list")
        listed = getattr(place, name, None)
        return listed if callable(listed) else None


def _is_litellms(bound: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "litellm" for kind in type(bound).__mro__)


def is_cached(answer: Any) -> bool:
    """Whether litellm took an answer from its cache."""
    return _hidden(answer).get("cache_hit") is True


def _hidden(answer: Any) -> Mapping[str, Any]:
    hidden = getattr(answer, "_hidden_params", None)
    return hidden if isinstance(hidden, Mapping) else {}


def _headers(answer: Any) -> dict[str, str]:
    own = getattr(answer, "_response_headers", None)
    response = getattr(answer, "response", None)
    for headers in (own, getattr(response, "headers", None)):
        if found := lowered(headers):
            return found
    beside = lowered(_hidden(answer).get("additional_headers"))
    return {name.removeprefix(_FOREIGN): value for name, value in beside.items()}


def _host(url: object) -> str:
    try:
        return urlsplit(str(url or "")).hostname or ""
    except ValueError:  # not a URL
        return ""
