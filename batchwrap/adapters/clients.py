"""Wraps a client: makes a copy with another transport and leaves the original as it was.

An SDK client (openai's, and those built like it) holds an http client in `_client`, and the http
client holds its transports in `_transport` and `_mounts`. None of these is public, but no public
way keeps subclasses, instance attributes and settings: `copy(http_client=)` calls the constructor
again. The attributes are the same in every version of both libraries so far. Should that change,
`_part` raises an error that names the missing one.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from inspect import getattr_static
from types import ModuleType
from typing import Any, TypeGuard, TypeVar

from batchwrap.adapters.wire import AsyncWire, SyncWire
from batchwrap.engine import Engine
from batchwrap.errors import ConfigError
from batchwrap.options import Options

Target = TypeVar("Target")
_LIBRARIES = ("httpx", "httpx2")
_CLIENTS = ("Client", "AsyncClient")
# The classes of an HTTP library that our bindings derive from.
_BOUND = ("BaseTransport", "AsyncBaseTransport", "SyncByteStream", "AsyncByteStream")


def wrap_client(target: Target, options: Options, *, in_place: bool) -> Target:
    """A wrapped copy of a client, or the client itself with `in_place` and for a module.

    Raises:
        ConfigError: the target is not a client that can be wrapped.
    """
    if _is_openai_module(target):
        # Without an `http_client` the module would make one at its first request, unwrapped.
        target.http_client = target.http_client or target.DefaultHttpxClient()
        in_place = True
    http_client = http_client_of(target)
    if http_client is None:
        raise ConfigError("target", _not_a_client(target))
    engine = Engine(options)
    wrapped_http = http_client if in_place else _copy_http_client(http_client)
    _install(wrapped_http, engine, target)
    if http_client is target:
        return wrapped_http  # type: ignore[no-any-return]  # the same type as the target
    if in_place:
        return target
    wrapped = _copy_sdk_client(target)
    wrapped._client = wrapped_http  # type: ignore[attr-defined]  # see the module's note
    return wrapped


def wrap_new(client: object, engine: Engine) -> None:
    """Wrap a new SDK client in place, unless the client that it is built on is wrapped already.

    Nobody asked for this client to be wrapped, so a client that cannot be wrapped stays bare.
    """
    http_client = http_client_of(client)
    if http_client is None or engine_of(http_client) is not None:
        return
    try:
        _install(http_client, engine, client)
    except ConfigError as error:
        engine.warn_once("unwrapped", "a client was not wrapped: %s", error)


def _not_a_client(target: object) -> str:
    kind = type(target)
    named = target if isinstance(target, type) else kind
    text = (
        f"cannot wrap a {kind.__module__}.{kind.__qualname__}: it is neither an httpx or httpx2 "
        "client nor an SDK client built on one (OpenAI, AsyncOpenAI, …)"
    )
    if isinstance(target, type):
        return f"{text}; make a client first: wrap({named.__name__}(…))"
    if callable(target):
        return f"{text}; for functions there is @batchwrap.batched"
    return text


def _is_openai_module(target: object) -> TypeGuard[Any]:
    """Whether the target is the module `openai`, which sends requests by its `http_client`."""
    return isinstance(target, ModuleType) and target.__name__ == "openai"


def engine_of(target: object) -> Engine | None:
    """The engine of a wrapped client, or None."""
    http_client = http_client_of(target)
    transport = getattr(http_client, "_transport", None)
    return transport.engine if isinstance(transport, (SyncWire, AsyncWire)) else None


def http_client_of(target: object) -> Any | None:
    """The target itself, or the client that it holds, if that is one of httpx or httpx2."""
    held = "http_client" if _is_openai_module(target) else "_client"
    for candidate in (target, getattr(target, held, None)):
        if _base_of(candidate) is not None:
            return candidate
    return None


def _base_of(candidate: object) -> type | None:
    """The client class of httpx or httpx2 that the candidate is an instance of, or None.

    Its own base classes decide. `sys.modules` proves nothing: a test may have put a stub there, an
    import may not be complete, and others patch names in it.
    """
    for base in type(candidate).__mro__:
        if base.__name__ in _CLIENTS and base.__module__.partition(".")[0] in _LIBRARIES:
            return base
    return None


def _binding_to(name: str) -> ModuleType:
    """Our transports for a library. It is loaded already, since a client of it exists.

    Raises:
        ConfigError: the module of that name in this process is not the library.
    """
    path = f"batchwrap.adapters.{name}"
    library = sys.modules.get(name)
    loaded = (isinstance(getattr_static(library, base, None), type) for base in _BOUND)
    if path not in sys.modules and not all(loaded):
        raise ConfigError("target", f"the module {name} in this process is a part of it, or a stub")
    return import_module(path)


def _install(http_client: Any, engine: Engine, client: object) -> None:
    """Put our transport around each transport of the http client.

    Args:
        http_client: the http client.
        engine: handles its requests from now on.
        client: the client that holds it; with ``max_retries=0`` it gets each refusal at once.
    """
    base = _base_of(http_client)
    assert base is not None
    binding = _binding_to(base.__module__.partition(".")[0])
    around = binding.AsyncTransport if base.__name__ == "AsyncClient" else binding.Transport

    retries = engine.options.throttle is not None and getattr(client, "max_retries", None) != 0
    error = _connection_error_of(client)

    def wrapped(transport: Any) -> Any:
        if transport is None:
            return None
        # A client that was wrapped before is translated once only, with the newer options.
        inner = transport.inner if isinstance(transport, (SyncWire, AsyncWire)) else transport
        return around(inner, engine, retries=retries, connection_error=error)

    # Mounts are the transports for single hosts and for proxies; None there means "no proxy".
    http_client._transport = wrapped(_part(http_client, "_transport"))
    mounts = _part(http_client, "_mounts")
    http_client._mounts = {pattern: wrapped(mount) for pattern, mount in mounts.items()}


def _connection_error_of(client: object) -> Callable[..., Exception] | None:
    """`APIConnectionError` of the SDK that defines the client's class or a base class."""
    for kind in type(client).__mro__:
        path = kind.__module__.split(".")
        # From the module of the class outwards, since `groq._client` has no errors but `groq` has.
        for length in range(len(path), 0, -1):
            module = sys.modules.get(".".join(path[:length]))
            error = getattr_static(module, "APIConnectionError", None)
            if isinstance(error, type) and issubclass(error, Exception):
                return error
    return None


def _part(http_client: Any, name: str) -> Any:
    try:
        return getattr(http_client, name)
    except AttributeError as error:
        raise ConfigError(
            "target", f"this version of {type(http_client).__module__} has no {name}"
        ) from error


def _copy_http_client(original: Any) -> Any:
    """A shallow copy that shares the connection pool and keeps its owner alive.

    Closing either of them closes the pool, as with the SDK's own copies. Garbage collection must
    not close it while the other is in use. The original's `__del__` would, so the copy keeps the
    original alive; the copy's own `__del__` is replaced.
    """
    duplicate = copy.copy(original)
    kind = type(original)
    if hasattr(kind, "__del__"):
        looks = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        duplicate.__class__ = type(kind.__name__, (kind,), {**looks, "__del__": _keep_open})
    duplicate._batchwrap_original = original
    return duplicate


def _keep_open(_: object) -> None:
    """Replaces a `__del__` that would close a shared pool."""


def _copy_sdk_client(original: Target) -> Target:
    """A shallow copy with parts of its own, where those of the original hold the original.

    Most SDKs make a resource when it is asked for and cache it; some make it in the constructor.
    Plain values that are kept in place of a cached property, such as a region, stay.
    """
    duplicate = copy.copy(original)
    for kind in type(original).__mro__:
        for name, attribute in vars(kind).items():
            if isinstance(attribute, cached_property) and hasattr(
                vars(duplicate).get(name), "__dict__"
            ):
                del vars(duplicate)[name]
    for name, value in vars(duplicate).items():
        if getattr(value, "__dict__", {}).get("_client") is original:
            setattr(duplicate, name, type(value)(duplicate))
    # The chain of anthropic's middleware ends in the client that has built it.
    if (build := getattr(duplicate, "_build_middleware_chain", None)) is not None:
        vars(duplicate)["_middleware_chain"] = build()
    return duplicate
