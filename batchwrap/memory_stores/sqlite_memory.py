"""Shared memory in a SQLite file, for the processes of one host. It may be that of the budget."""

from __future__ import annotations

import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import orjson

from batchwrap.errors import StoreUnavailable
from batchwrap.memory_stores import OPTION
from batchwrap.memory_stores.memory_store import (
    KEPT_S,
    MOST_LOADED_BYTES,
    MOST_PARTS,
    TIMEOUT_S,
    SealedRecord,
)
from batchwrap.throttle.stores.sqlite import connect, path_of
from batchwrap.throttle.stores.turnstile import Turnstile

T = TypeVar("T")
# The contents of the whole file. Above it the older half is dropped.
MOST_BYTES = 256_000_000
# After this many operations, what is too old or too much is dropped.
_SWEEP = 256

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS memory (account TEXT NOT NULL, name TEXT NOT NULL,"
    " part TEXT NOT NULL, sealed TEXT NOT NULL, over REAL NOT NULL,"
    " PRIMARY KEY (account, name, part))",
    "CREATE INDEX IF NOT EXISTS memory_over ON memory (over)",
)
_LOAD = """
SELECT name, sealed FROM memory
WHERE account = ? AND over > ? AND name IN (SELECT value FROM json_each(?))
"""
_KEEP = "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?)"
_TRIM = """
DELETE FROM memory WHERE rowid IN (
    SELECT rowid FROM memory WHERE account = ? AND name = ? ORDER BY over DESC LIMIT -1 OFFSET ?
)
"""
_USED = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size
"""
_SIZE = "SELECT total(length(sealed)) FROM memory"
_OLDER_HALF = """
DELETE FROM memory WHERE over <= (
    SELECT over FROM memory ORDER BY over LIMIT 1 OFFSET (SELECT count(*) / 2 FROM memory)
)
"""


class SqliteMemory:
    """The memory of all processes that open the same file; see `SharedStore`.

    Args:
        url: as for `Throttle.store`.
        clock: seconds since 1970, the same for all processes.

    Raises:
        ConfigError: the URL names no file, or the file is not one of this version of batchwrap.
        StoreUnavailable: the file cannot be opened now.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.name, self.timeout_s = url, TIMEOUT_S
        self._path = path_of(url, OPTION)
        self._clock = clock
        self._kept = 0
        self._connection: sqlite3.Connection | None = None
        self._closer: weakref.finalize[..., SqliteMemory] | None = None
        # A child must not use its parent's connection.
        self._turnstile = Turnstile(before_fork=self._disconnect)
        self._run(lambda connection: None)

    def load(self, account: str, names: Sequence[str]) -> list[list[str]]:
        """The sealed contents under each of the names."""
        return self._run(lambda connection: self._load(connection, account, names))

    def keep(self, account: str, records: Sequence[SealedRecord]) -> None:
        """Keep records, and drop those of the same part."""
        self._run(lambda connection: self._keep(connection, account, records))

    def close(self) -> None:
        """Close the file."""
        self._turnstile.run(self._disconnect)

    def _load(
        self, connection: sqlite3.Connection, account: str, names: Sequence[str]
    ) -> list[list[str]]:
        found: dict[str, list[str]] = {name: [] for name in names}
        size = 0
        asked = account, self._clock(), orjson.dumps([*names]).decode()
        for name, sealed in connection.execute(_LOAD, asked):
            size += len(sealed)
            if size > MOST_LOADED_BYTES:
                break
            found[name].append(sealed)
        return [*found.values()]

    def _keep(
        self, connection: sqlite3.Connection, account: str, records: Sequence[SealedRecord]
    ) -> None:
        over = self._clock() + KEPT_S
        with _transaction(connection):
            for one in records:
                connection.execute(_KEEP, (account, one.name, one.part, one.sealed, over))
                connection.execute(_TRIM, (account, one.name, MOST_PARTS))
            self._kept += 1
            if self._kept % _SWEEP == 0:
                self._sweep(connection)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM memory WHERE over < ?", (self._clock(),))
        # The exact size takes a look at every record, so it is read only if the file is that large.
        if all(connection.execute(size).fetchone()[0] > MOST_BYTES for size in (_USED, _SIZE)):
            connection.execute(_OLDER_HALF)

    def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                return operation(self._connected())
            except sqlite3.Error as error:
                raise StoreUnavailable(self.name, str(error)) from error

        return self._turnstile.run(run)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = connect(self._path, TIMEOUT_S, OPTION)
            self._closer = weakref.finalize(self, connection.close)
            for statement in _SCHEMA:
                connection.execute(statement)
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        if self._closer is not None:
            self._closer()
        self._connection = self._closer = None


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
