"""The public functions. `batchwrap` re-exports them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, TypeVar, Unpack, overload

from batchwrap._forks import LOADING
from batchwrap.errors import ConfigError
from batchwrap.option_arguments import DEFAULT_ARGUMENTS, OptionArguments
from batchwrap.options import Options
from batchwrap.stats import PROCESS, Stats

Target = TypeVar("Target")
Function = TypeVar("Function", bound=Callable[..., Any])


def wrap(
    target: Target,
    *,
    in_place: bool = False,
    **options: Unpack[OptionArguments],
) -> Target:
    """Wrap a client: same type, same methods, fewer round trips and refusals.

    Args:
        target: an `OpenAI`, `AsyncOpenAI` or Azure client, any SDK client built the same
            way (groq, cerebras, anthropic), an `httpx`/`httpx2` client, or the module
            `openai` itself for code that uses it as a client.
        limits: short for `Throttle.limits`: ``"auto"``, a plan such as
            ``"cerebras/code-max"``, or a list of `Limit`.
        batching: how calls are batched; None switches it off.
        reminders: when the model is reminded; None switches it off.
        throttle: how requests wait for limits and are retried; None switches it off.
        repair: which defects of the provider are repaired; None switches it off.
        preset: ``"fast"`` (the single tools are hidden, reads are added ahead, more reminders) or
            ``"careful"`` (small batches, the history is not rewritten). A part that is passed
            here with other than its default values replaces the preset's part.
        remind_every: short for `Reminders.every`.
        on_event: called with each `Event`, in the thread or task that made the request.
        config: where options that are not passed here come from: ``"auto"`` for the variables
            ``BATCHWRAP_…`` and the nearest ``batchwrap.toml``; a path for the variables and
            that file; None for neither.
        in_place: change the client itself instead of a copy. The module is always changed
            itself; ``openai.http_client = None`` undoes it.

    Returns:
        The wrapped client. Unless `in_place`, the original stays as it was; both share
        one connection pool, so closing one closes the other's connections.

    Raises:
        ConfigError: an option is wrong, or the target cannot be wrapped.

    Example:
        >>> import batchwrap
        >>> from openai import OpenAI
        >>> client = batchwrap.wrap(OpenAI(api_key="…"), remind_every=4)
        >>> type(client).__name__
        'OpenAI'
    """
    with LOADING:
        from batchwrap.adapters.clients import wrap_client

    return wrap_client(target, _resolved(options), in_place=in_place)


def _resolved(given: OptionArguments) -> Options:
    """The options that were passed, and below them those that were configured without code."""
    with LOADING:
        from batchwrap.configuration import options_for

    return options_for(**given)


@overload
def batched(fn: Function) -> Function: ...
@overload
def batched(
    **options: Unpack[OptionArguments],
) -> Callable[[Function], Function]: ...
def batched(
    fn: Any = None,
    **options: Unpack[OptionArguments],
) -> Any:
    """Decorate a completion function: bare, or with the options of `wrap`.

    Args:
        fn: a function, sync or async, that takes the fields of a chat request as keyword
            arguments (`messages`, `tools`, `stream`, …) and returns a completion, or a
            stream of chunks, as objects of OpenAI or litellm, or as dicts.
        options: those of `wrap`.

    Returns:
        A function of the same signature, whose results keep their type and hidden fields.
        Without `fn`, a decorator that returns such a function.

    Raises:
        ConfigError: an option is wrong.

    Example:
        >>> import batchwrap
        >>> @batchwrap.batched(remind_every=6)
        ... def complete(**kwargs):
        ...     import litellm
        ...     return litellm.completion(**kwargs)
    """
    with LOADING:
        from batchwrap.adapters.function import batch_function

    chosen = _resolved(options)
    if fn is not None:
        return batch_function(fn, chosen)
    return lambda function: batch_function(function, chosen)


def install(
    **options: Unpack[OptionArguments],
) -> None:
    """Wrap every client that is made from now on in this process, with the options of `wrap`.

    Use it for clients that a framework creates for itself and does not expose. Call it before the
    framework is imported. It wraps the clients of openai (including Azure's), groq, cerebras and
    anthropic, and `litellm.completion` and `acompletion`; all of them share one budget. Clients
    that were made before stay as they are. A second call replaces the first.

    Args:
        options: the options of `wrap`.

    Raises:
        ConfigError: an option is wrong.

    Example:
        >>> import batchwrap
        >>> batchwrap.install(remind_every=6)
        >>> batchwrap.uninstall()
    """
    with LOADING:
        from batchwrap.adapters import process

    process.install(_resolved(options))


def uninstall() -> None:
    """Undo `install`: new clients are not wrapped, and wrapped ones act as if they were not.

    Without an `install` it does nothing.
    """
    with LOADING:
        from batchwrap.adapters import process

    process.uninstall()


def stats(target: object = None) -> Stats:
    """Counters since wrapping.

    Args:
        target: a wrapped client or a decorated function; None for the whole process.

    Returns:
        A snapshot of the counters, which does not change any more.

    Raises:
        ConfigError: the target was not wrapped.
    """
    if target is None:
        return PROCESS.stats()
    with LOADING:
        from batchwrap.adapters import clients, function
    engine = function.engine_of(target) or clients.engine_of(target)
    if engine is None:
        raise ConfigError("target", f"{target!r} was not wrapped by batchwrap")
    return engine.counters.stats()


def _show_options(function: Any) -> None:
    """Add each option to a function's signature, where `help` and documentation tools read it."""
    shown = signature(function)
    kinds = {name: kind.__forward_arg__ for name, kind in OptionArguments.__annotations__.items()}
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kinds[name])
        for name, default in DEFAULT_ARGUMENTS.items()
    ]
    own = [one for one in shown.parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
    function.__signature__ = shown.replace(parameters=[*own, *options])


for _function in (wrap, batched, install):
    _show_options(_function)
