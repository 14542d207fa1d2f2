"""Stores of budgets: in memory, in a file, or on a server, which others may share."""

from __future__ import annotations

import time
from collections.abc import Callable

from batchwrap._forks import LOADING
from batchwrap.checks import store_url
from batchwrap.throttle.stores.contract import BookLine, Store, TokenTotals
from batchwrap.throttle.stores.in_memory import MemoryStore

__all__ = ["BookLine", "MemoryStore", "Store", "TokenTotals", "open_store"]


def open_store(url: str, *, clock: Callable[[], float] | None = None) -> Store:
    """The store that a URL names: ``"memory"``, ``"sqlite:///limits.db"``, ``"redis://host"``.

    Args:
        url: a path follows ``sqlite:///``; an absolute path begins with a fourth slash.
            URLs of Redis have the form that redis-py takes.
        clock: seconds since 1970, the same for all that share the store; by default this
            host's clock, or the Redis server's.

    Raises:
        ConfigError: there is no such store, or its file is not a store of batchwrap.
        StoreUnavailable: the store cannot be opened now.
    """
    store_url("Throttle.store", url)
    if url == "memory":
        return MemoryStore(clock or time.time)
    if url.startswith("sqlite:"):
        with LOADING:
            from batchwrap.throttle.stores.sqlite import SqliteStore

        return SqliteStore(url, clock=clock or time.time)
    with LOADING:
        from batchwrap.throttle.stores.redis import RedisStore

    return RedisStore(url, clock=clock)
