"""The hook for the litellm proxy, which translates what its router sends.

    # config.yaml
    litellm_settings:
      callbacks: batchwrap.litellm.proxy
    callback_settings:
      batchwrap: {limits: cerebras/code-max, remind_every: 6}   # options of `batched`, if any

The proxy's own hooks before and after a call cannot answer instead of the provider, send a request
again or wait for limits, and those for streams see only chunks. So naming this hook puts the engine
around the methods of `Router` through which all chat completions, responses and messages of the
proxy go. Importing this module changes nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any

from batchwrap import errors
from batchwrap._api import batched
from batchwrap.adapters.function import batch_function, engine_of
from batchwrap.core.formats.endpoints import CHAT, MESSAGES, RESPONSES, Endpoint
from batchwrap.engine import Engine
from batchwrap.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from litellm.integrations.custom_logger import CustomLogger

__all__ = ["hook"]

# The methods of the router that the proxy calls, and the API of each.
_METHODS = {
    "acompletion": CHAT,
    "aresponses": RESPONSES,
    "anthropic_messages": MESSAGES,
    "aanthropic_messages": MESSAGES,
}
_ENGINE = "__batchwrap__"


def hook(**options: Any) -> CustomLogger:
    """Put the engine around every router of this process.

    Use it for options that a YAML file cannot express: make the hook in a module of your own beside
    ``config.yaml`` (``translate = batchwrap.litellm.hook(…)``) and name it under `callbacks`. A
    later hook replaces an earlier one.

    Args:
        options: the options of `batchwrap.batched`.

    Returns:
        An object that `callbacks` may name, and that `batchwrap.stats` accepts.

    Raises:
        ConfigError: an option is wrong.
        MissingExtraError: litellm is not installed.
    """
    litellm = _litellm()
    from litellm.integrations.custom_logger import CustomLogger

    try:
        # `batched` checks the options and makes an engine; the function itself is not used.
        engine = engine_of(batched(**options)(hook))
    except TypeError as error:
        raise ConfigError("callback_settings.batchwrap", str(error)) from error
    assert engine is not None
    _install(litellm.Router, engine)
    made = CustomLogger()
    setattr(made, _ENGINE, engine)
    return made


def __getattr__(name: str) -> Any:
    if name != "proxy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = (_litellm().callback_settings or {}).get("batchwrap") or {}
    if not isinstance(settings, dict):
        raise ConfigError("callback_settings.batchwrap", f"{settings!r} is no mapping of options")
    globals()[name] = made = hook(**settings)
    return made


def _litellm() -> Any:
    """The package itself."""
    try:
        import litellm
    except ImportError as error:
        raise MissingExtraError("litellm", extra="litellm") from error
    return litellm


def _install(router_type: Any, engine: Engine) -> None:
    """Put the engine around the methods of the router class."""
    for name, endpoint in _METHODS.items():
        there = inspect.getattr_static(router_type, name, None)
        is_ours = isinstance(there, _Served)
        plain = there.plain if is_ours else getattr(router_type, name, None)
        setattr(router_type, name, _Served(name, plain, endpoint, engine))


class _Served:
    """A descriptor for a router's method, which puts the engine around it.

    Some methods belong to the router's class, others are set on the object by its constructor, and
    that differs between versions of litellm. A descriptor in the class handles both: it also gets
    what the constructor sets.

    Args:
        name: the name of the method.
        plain: the class's own method; None if it has none.
        endpoint: the endpoint of the method's API.
        engine: the engine that serves its requests.
    """

    def __init__(self, name: str, plain: Any, endpoint: Endpoint, engine: Engine) -> None:
        self.plain = plain
        self._name = name
        self._set, self._made = f"_batchwrap_plain_{name}", f"_batchwrap_{name}"
        self._endpoint = endpoint
        self._engine = engine

    def __set__(self, router: Any, method: Any) -> None:
        router.__dict__[self._set] = method
        router.__dict__.pop(self._made, None)

    def __get__(self, router: Any, owner: type | None = None) -> Any:
        if router is None:
            return self.plain
        made = router.__dict__.get(self._made)
        if made is None or engine_of(made) is not self._engine:
            made = router.__dict__[self._made] = self._batched(router)
        return made

    def _batched(self, router: Any) -> Any:
        method = router.__dict__.get(self._set)
        if method is None and self.plain is None:
            raise AttributeError(
                f"{type(router).__name__!r} object has no attribute {self._name!r}"
            )
        bound = self.plain.__get__(router) if method is None else _bound(method, router)
        ours = batch_function(bound, self._engine.options, self._engine, self._endpoint)

        @functools.wraps(bound)
        async def served(*args: Any, **kwargs: Any) -> Any:
            try:
                return await ours(*args, **kwargs)
            except errors.BatchwrapError as error:
                raise _as_litellms(error, kwargs.get("model")) from error

        setattr(served, _ENGINE, self._engine)
        return served


def _bound(method: Any, router: Any) -> Any:
    """A function as a bound method, so that `__self__` names the router."""
    if getattr(method, "__self__", None) is not None:
        return method

    async def call(self: Any, **kwargs: Any) -> Any:
        return await method(**kwargs)

    return MethodType(call, router)


def _as_litellms(error: errors.BatchwrapError, model: object) -> Exception:
    """An error of ours as litellm's error, which the proxy answers with the right status."""
    litellm = _litellm()
    kinds: dict[type[errors.BatchwrapError], Callable[..., Exception]] = {
        errors.RequestTooLarge: litellm.BadRequestError,
        errors.LimitExceeded: litellm.RateLimitError,
        errors.StoreUnavailable: litellm.ServiceUnavailableError,
        errors.ContextLimitExceeded: litellm.ContextWindowExceededError,
        errors.BrokenAnswer: litellm.BadGatewayError,
    }
    found = next((made for kind, made in kinds.items() if isinstance(error, kind)), None)
    return found(str(error), model=str(model), llm_provider="batchwrap") if found else error
