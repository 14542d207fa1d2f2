"""The hook for the litellm proxy: every chat completion that its router makes is translated.

    # config.yaml
    litellm_settings:
      callbacks: batchwrap.litellm.proxy
    callback_settings:
      batchwrap: {limits: cerebras/code-max, remind_every: 6}   # options of `batched`, if any

The proxy's hooks before and after a call cannot answer in place of the provider, send a request
again or wait for limits, and those for streams see chunks only. So naming the hook puts the
engine around `Router.acompletion`, which all of the proxy's chat completions go through. Importing
this module changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from batchwrap import errors
from batchwrap._api import batched
from batchwrap.adapters.function import batch_function, engine_of
from batchwrap.engine import Engine
from batchwrap.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from litellm.integrations.custom_logger import CustomLogger

__all__ = ["hook"]

_OURS = "_batchwrap_acompletion"  # on each router: its decorated method
_ENGINE = "__batchwrap__"


def hook(**options: Any) -> CustomLogger:
    """Put the engine around every router of this process.

    For options that a YAML file cannot express: make the hook in a module of your own beside
    ``config.yaml`` (``translate = batchwrap.litellm.hook(…)``) and name it under `callbacks`. A
    later hook replaces an earlier one.

    Args:
        options: those of `batchwrap.batched`.

    Returns:
        An object that `callbacks` may name, and that `batchwrap.stats` takes.

    Raises:
        ConfigError: an option is wrong.
        MissingExtraError: litellm is not installed.
    """
    litellm = _litellm()
    from litellm.integrations.custom_logger import CustomLogger

    try:
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
    """Let the routers' `acompletion` go through the engine, each router's as one function."""
    plain = getattr(router_type.acompletion, _OURS, router_type.acompletion)

    @functools.wraps(plain)
    async def acompletion(self: Any, *args: Any, **kwargs: Any) -> Any:
        ours = self.__dict__.get(_OURS)
        if engine_of(ours) is not engine:
            ours = self.__dict__[_OURS] = batch_function(
                plain.__get__(self), engine.options, engine
            )
        try:
            return await ours(*args, **kwargs)
        except errors.BatchwrapError as error:
            raise _as_litellms(error, kwargs.get("model")) from error

    setattr(acompletion, _OURS, plain)
    router_type.acompletion = acompletion


def _as_litellms(error: errors.BatchwrapError, model: object) -> Exception:
    """An error of ours as one that the proxy answers with the right status."""
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
