"""Accounts in a SQLite file, for several processes of one host, and over restarts.

The file is in WAL mode, every operation is one transaction that takes the write lock at
once, and what was committed survives the death of any process. There is one connection in
a process: writers come one after the other anyway. The file must be on a local disk.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import orjson

from batchwrap.core.limits.state import State
from batchwrap.errors import ConfigError, StoreUnavailable
from batchwrap.throttle.stores.contract import Spent, Used
from batchwrap.throttle.stores.local import LocalStore

APPLICATION_ID = 0x62777270  # "bwrp"
SCHEMA_VERSION = 1
_RETRY_S = 0.01

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS books (
    span TEXT NOT NULL, start INTEGER NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, prompt INTEGER NOT NULL, cached INTEGER NOT NULL,
    output INTEGER NOT NULL, PRIMARY KEY (span, start, key, model)
) WITHOUT ROWID
"""
_ENTER = """
INSERT INTO books VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, prompt = prompt + excluded.prompt,
    cached = cached + excluded.cached, output = output + excluded.output
"""


class SqliteStore(LocalStore):
    """One budget for all processes that open the same file. It is made if it does not exist.

    Args:
        url: ``"sqlite:///relative/path"`` or ``"sqlite:////absolute/path"``; ``~`` is expanded.
        clock: seconds since 1970, the same for all processes.
        timeout_s: how long to wait for the others before giving up.

    Raises:
        ConfigError: the URL names no file, or one that is not a store of this version.
        StoreUnavailable: the file cannot be opened now.
    """

    shared = True

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.time, timeout_s: float = 5.0
    ) -> None:
        super().__init__(url, clock)
        self._path = path_of(url)
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._closer: weakref.finalize[..., SqliteStore] | None = None
        _stores.add(self)
        with self._errors():
            self._connected()

    def close(self) -> None:
        """Close the file. It is opened again if the store is used again."""
        self._turnstile.run(self._disconnect)

    def _disconnect(self) -> None:
        if self._closer is not None:
            self._closer()
        self._connection = self._closer = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path, self._timeout_s)
            self._closer = weakref.finalize(self, self._connection.close)
        return self._connection

    def _abandon(self) -> None:
        if self._connection is not None and self._closer is not None:
            self._closer.detach()
            # Never dropped: that would close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        self._connection = self._closer = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreUnavailable(self.name, str(error)) from error

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        with self._errors():
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _load(self, key: str) -> State | None:
        query = "SELECT state FROM accounts WHERE key = ?"
        row = self._connected().execute(query, (key,)).fetchone()
        try:
            state: State | None = None if row is None else orjson.loads(row[0])
        except orjson.JSONDecodeError as error:
            raise StoreUnavailable(self.name, f"the account {key!r} is damaged") from error
        return state

    def _save(self, key: str, state: State) -> None:
        line = (key, orjson.dumps(state))
        self._connected().execute("INSERT OR REPLACE INTO accounts VALUES (?, ?)", line)

    def _keys(self) -> list[str]:
        rows = self._connected().execute("SELECT key FROM accounts").fetchall()
        return [key for (key,) in rows]

    def _enter(self, line: Used) -> None:
        place = (line.span, line.start_unix_s, line.key, line.model)
        self._connected().execute(_ENTER, place + astuple(line.spent))

    def _forget(self, span: str, before_unix_s: float) -> None:
        query = "DELETE FROM books WHERE span = ? AND start < ?"
        self._connected().execute(query, (span, before_unix_s))

    def _lines(self, key: str | None) -> list[Used]:
        query = "SELECT * FROM books WHERE ? IS NULL OR key = ?"
        rows = self._connected().execute(query, (key, key)).fetchall()
        return [
            Used(owner, model, span, start, Spent(*counts))
            for span, start, owner, model, *counts in rows
        ]


_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


def _after_fork() -> None:
    # A connection must neither be used nor closed in a child process.
    for store in list(_stores):
        store._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def path_of(url: str) -> Path:
    """The file that a store's URL names.

    Raises:
        ConfigError: it names none.
    """
    path = url.removeprefix("sqlite:///")
    if path == url or path in ("", ":memory:"):
        raise ConfigError("Throttle.store", f'{url!r} names no file: "sqlite:///path" does')
    return Path(path).expanduser()


def _connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        _check_ours(connection, path)
        _use_wal(connection, timeout_s)
        # What is committed is safe from a crash of the process, which is all that counts here.
        connection.execute("PRAGMA synchronous = NORMAL")
        _make_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    # Only if it is new: closing a file drops all locks that this process has on it.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError("Throttle.store", f"{path} cannot be made: {error.strerror}") from error


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    try:
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname != "SQLITE_NOTADB":
            raise
        raise ConfigError("Throttle.store", f"{path} is not a SQLite file") from error
    if tables and application != APPLICATION_ID:
        raise ConfigError("Throttle.store", f"{path} belongs to another program")
    if tables and version != SCHEMA_VERSION:
        raise ConfigError("Throttle.store", f"{path} was made by another version of batchwrap")


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    # SQLite does not wait here while another process is doing the same.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
