"""Stores of what exchanges remember, which processes and hosts share, and their encryption."""

from __future__ import annotations

from batchwrap._forks import LOADING
from batchwrap.memory_stores.memory_store import SharedStore

__all__ = ["open_memory"]

OPTION = "Batching.memory"


def open_memory(url: str) -> SharedStore:
    """The store that a URL names: ``"sqlite:///memory.db"``, ``"redis://host"``.

    The URLs have the form of those in `Throttle.store`, and may be the same.

    Raises:
        ConfigError: there is no such store, or its file is not one of batchwrap.
        MissingExtraError: a package for it is not installed.
        StoreUnavailable: its file cannot be opened now.
    """
    if url.startswith("sqlite:"):
        with LOADING:
            from batchwrap.memory_stores.sqlite_memory import SqliteMemory

        return SqliteMemory(url)
    with LOADING:
        from batchwrap.memory_stores.redis_memory import RedisMemory

    return RedisMemory(url)
