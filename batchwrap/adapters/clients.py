"""Wrapping a client: a copy with another transport, the original left as it was.

An SDK client (openai and those built alike) holds an http client in `_client`, and that
holds its transports in `_transport` and `_mounts`. None of these is public, and there is
no public way in that keeps subclasses, instance attributes and settings: `copy(http_client=)`
calls the constructor again. They are the same in every version of both libraries so far;
`_part` names the one that is missing should that change.
"""

from __future__ import annotations

import copy
import sys
from functools import cached_property
from types import ModuleType
from typing import Any, TypeVar

from batchwrap.adapters.wire import AsyncWire, SyncWire
from batchwrap.engine import Engine
from batchwrap.errors import ConfigError
from batchwrap.options import Options

Target = TypeVar("Target")
_LIBRARIES = ("httpx", "httpx2")


def wrap_client(target: Target, options: Options, *, in_place: bool) -> Target:
    """A wrapped copy of a client, or the client itself with `in_place`.

    Raises:
        ConfigError: the target is not a client that can be wrapped.
    """
    http_client = http_client_of(target)
    if http_client is None:
        raise ConfigError(
            "target",
            f"cannot wrap a {type(target).__module__}.{type(target).__qualname__}: it is neither "
            "an httpx or httpx2 client nor an SDK client built on one (OpenAI, AsyncOpenAI, …)",
        )
    retries = options.throttle is not None and getattr(target, "max_retries", None) != 0
    engine = Engine(options, retries=retries)
    wrapped_http = http_client if in_place else _copy_http_client(http_client)
    _install(wrapped_http, engine, retries=retries)
    if http_client is target:
        return wrapped_http  # type: ignore[no-any-return]  # the same type as the target
    wrapped = target if in_place else _copy_sdk_client(target)
    wrapped._client = wrapped_http  # type: ignore[attr-defined]  # see the module's note
    return wrapped


def engine_of(target: object) -> Engine | None:
    """The engine of a wrapped client, or None."""
    http_client = http_client_of(target)
    transport = getattr(http_client, "_transport", None)
    return transport.engine if isinstance(transport, (SyncWire, AsyncWire)) else None


def http_client_of(target: object) -> Any | None:
    """The httpx or httpx2 client that the target is or holds, or None."""
    for candidate in (target, getattr(target, "_client", None)):
        if _library_of(candidate) is not None:
            return candidate
    return None


def _library_of(candidate: object) -> ModuleType | None:
    """httpx or httpx2, if the candidate is one of its clients; neither is imported for it."""
    for name in _LIBRARIES:
        library = sys.modules.get(name)
        if library is not None and isinstance(candidate, (library.Client, library.AsyncClient)):
            return library
    return None


def _install(http_client: Any, engine: Engine, *, retries: bool) -> None:
    """Put our transport around each of the client's own."""
    library = _library_of(http_client)
    assert library is not None
    if library.__name__ == "httpx":
        from batchwrap.adapters import httpx as binding
    else:
        from batchwrap.adapters import httpx2 as binding  # type: ignore[no-redef]
    is_async = isinstance(http_client, library.AsyncClient)
    around = binding.AsyncTransport if is_async else binding.Transport

    def wrapped(transport: Any) -> Any:
        if transport is None:
            return None
        # A client that was wrapped before is translated once, by the newer options.
        inner = transport.inner if isinstance(transport, (SyncWire, AsyncWire)) else transport
        return around(inner, engine, retries=retries)

    http_client._transport = wrapped(_part(http_client, "_transport"))
    mounts = _part(http_client, "_mounts")
    http_client._mounts = {pattern: wrapped(mount) for pattern, mount in mounts.items()}


def _part(http_client: Any, name: str) -> Any:
    try:
        return getattr(http_client, name)
    except AttributeError as error:
        raise ConfigError(
            "target", f"this version of {type(http_client).__module__} has no {name}"
        ) from error


def _copy_http_client(original: Any) -> Any:
    """A shallow copy that shares the connection pool and keeps its owner alive.

    Closing either closes the pool, as with the SDK's own copies. Being garbage-collected
    closes nothing: the original's `__del__` closes the shared pool, so the copy keeps the
    original alive, and its own `__del__` is taken away.
    """
    duplicate = copy.copy(original)
    kind = type(original)
    if hasattr(kind, "__del__"):
        duplicate.__class__ = type(kind.__name__, (kind,), {"__del__": _keep_open})
    duplicate._batchwrap_original = original
    return duplicate


def _keep_open(_: object) -> None:
    """In place of a `__del__` that would close a pool that others use."""


def _copy_sdk_client(original: Target) -> Target:
    """A shallow copy without its cached resources, which hold the original client."""
    duplicate = copy.copy(original)
    for kind in type(original).__mro__:
        for name, attribute in vars(kind).items():
            if isinstance(attribute, cached_property):
                vars(duplicate).pop(name, None)
    return duplicate
