"""Accounts in a SQLite file, for several processes of one host, and over restarts.

The file is in WAL mode. Every operation is one transaction that takes the write lock at once, and
committed transactions survive the death of any process. A process has one connection, since writes
are sequential anyway. It is closed before the process forks, because SQLite connections must not be
used in a child process. The file must be on a local disk.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from math import inf
from pathlib import Path
from typing import Any

import orjson

from batchwrap.core.limits import account
from batchwrap.core.limits.account import TTL_S
from batchwrap.core.limits.state import AccountState
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.errors import ConfigError, StoreRefused, StoreUnavailable
from batchwrap.throttle.presence import is_alive
from batchwrap.throttle.stores.contract import DAYS_KEPT_S, BookLine, book_line
from batchwrap.throttle.stores.local import LocalStore

APPLICATION_ID = 0x62777270  # "bwrp"
SCHEMA_VERSION = 2
_RETRY_S = 0.01
# An account is kept for this long after it is full, with what was learned about its provider.
_KEEP_S = 3_600.0
# After this many operations, accounts that are as good as new are dropped.
_SWEEP = 1_024
# How long the answer is used whether another process is alive.
_LOOK_S = 0.25
_MAX_OWNERS = 1_024

# Permanent errors: the file may not be written, or is damaged.
_FINAL = ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CORRUPT", "SQLITE_NOTADB")

# `over`: when the account is as good as new, according to the limits that were used last.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    key TEXT PRIMARY KEY, state BLOB NOT NULL, over REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS books (
    span TEXT NOT NULL, start INTEGER NOT NULL, key TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, prompt INTEGER NOT NULL, cached INTEGER NOT NULL,
    output INTEGER NOT NULL, PRIMARY KEY (span, start, key, model)
) WITHOUT ROWID
"""
_SAVE = """
INSERT INTO accounts VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET state = excluded.state, over = max(over, excluded.over)
"""
_ENTER = """
INSERT INTO books VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, prompt = prompt + excluded.prompt,
    cached = cached + excluded.cached, output = output + excluded.output
"""


class SqliteStore(LocalStore):
    """One budget for all processes that open the same file, which is created if it is missing.

    Args:
        url: ``"sqlite:///relative/path"`` or ``"sqlite:////absolute/path"``; ``~`` is expanded.
        clock: seconds since 1970, the same for all processes.
        timeout_s: how long to wait for other processes before giving up.

    Raises:
        ConfigError: the URL names no file, or the file is not a store of this version.
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
        self._saved = 0
        self._seen: dict[
            str, tuple[float, bool | None]
        ] = {}  # by owner: when it was checked, and whether it is alive
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
            self._connection = connect(self._path, self._timeout_s)
            self._closer = weakref.finalize(self, self._connection.close)
        return self._connection

    def _let_go(self) -> None:
        self._disconnect()

    def _attend(self, state: AccountState) -> None:
        """Update which processes of this machine are alive, according to the system."""
        for owner, until in state["owners"].items():
            alive = self._lives(owner)
            if alive is not None:
                state["owners"][owner] = max(until, state["heard"] + TTL_S) if alive else 0.0

    def _lives(self, owner: str) -> bool | None:
        now_s = time.monotonic()
        looked_s, alive = self._seen.get(owner, (-inf, None))
        if now_s - looked_s > _LOOK_S:
            if len(self._seen) > _MAX_OWNERS:
                self._seen.clear()
            alive = is_alive(owner)
            self._seen[owner] = now_s, alive
        return alive

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = str(getattr(error, "sqlite_errorname", ""))
            kind = StoreRefused if code.startswith(_FINAL) else StoreUnavailable
            raise kind(self.name, str(error)) from error

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

    def _load(self, key: str) -> AccountState | None:
        query = "SELECT state FROM accounts WHERE key = ?"
        row = self._connected().execute(query, (key,)).fetchone()
        try:
            state: AccountState | None = None if row is None else orjson.loads(row[0])
        except orjson.JSONDecodeError as error:
            raise self._damaged(key) from error
        if state is not None:
            account.check(state)
        return state

    def _damaged(self, key: str) -> StoreRefused:
        return StoreRefused(self.name, f"the account {key!r} is damaged")

    def _apply(self, key: str, *how: Any) -> Any:
        try:
            return super()._apply(key, *how)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # The arithmetic raises only if something else has written the state.
            raise self._damaged(key) from error

    def _save(self, key: str, state: AccountState, meters: Sequence[LimitMeter]) -> None:
        now = self._clock()
        over = now + account.over_s(state, meters) + _KEEP_S
        self._connected().execute(_SAVE, (key, orjson.dumps(state), over))
        self._saved += 1
        if self._saved % _SWEEP == 0:
            self._connected().execute("DELETE FROM accounts WHERE over < ?", (now,))

    def _keys(self) -> list[str]:
        rows = self._connected().execute("SELECT key FROM accounts").fetchall()
        return [key for (key,) in rows]

    def _enter(self, line: BookLine) -> None:
        place = (line.span, line.start_unix_s, line.key, line.model)
        self._connected().execute(_ENTER, place + astuple(line.spent))

    def _forget(self, span: str, before_unix_s: float) -> None:
        query = "DELETE FROM books WHERE span = ? AND start < ?"
        self._connected().execute(query, (span, before_unix_s))

    def _lines(self, key: str | None) -> list[BookLine]:
        query = "SELECT * FROM books WHERE ? IS NULL OR key = ?"
        rows = self._connected().execute(query, (key, key)).fetchall()
        return [
            book_line(self.name, str(owner), model, span, start, *counts)
            for span, start, owner, model, *counts in rows
        ]


def path_of(url: str, option: str = "Throttle.store") -> Path:
    """The file that a store's URL names.

    Args:
        url: the URL.
        option: the option that holds it.

    Raises:
        ConfigError: it names no file.
    """
    path = url.removeprefix("sqlite:///")
    if path == url or path in ("", ":memory:"):
        raise ConfigError(option, f'{url!r} names no file: "sqlite:///path" does')
    return Path(path).expanduser()


def connect(path: Path, timeout_s: float, option: str = "Throttle.store") -> sqlite3.Connection:
    """Open a file of batchwrap, which is made if it is missing.

    Args:
        path: the file.
        timeout_s: how long to wait for other processes before giving up.
        option: the option that names the file.

    Raises:
        ConfigError: the file cannot be made, or is not one of this version of batchwrap.
    """
    _make_private(path, option)
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
    try:
        _check_ours(connection, path, option)
        _use_wal(connection, timeout_s)
        # A commit survives a crash of the process. One of the machine may lose the last commits.
        connection.execute("PRAGMA synchronous = NORMAL")
        _make_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path, option: str) -> None:
    # Opened only if it is new, since closing a file drops all POSIX locks of this process on it.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_dir():
            raise ConfigError(option, f"{path} is a folder") from None
    except OSError as error:
        raise ConfigError(option, f"{path} cannot be made: {error.strerror}") from error


def _check_ours(connection: sqlite3.Connection, path: Path, option: str) -> None:
    try:
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname != "SQLITE_NOTADB":
            raise
        raise ConfigError(option, f"{path} is not a SQLite file") from error
    if tables and application != APPLICATION_ID:
        raise ConfigError(option, f"{path} belongs to another program")
    if tables and not 1 <= version <= SCHEMA_VERSION:
        raise ConfigError(option, f"{path} was made by another version of batchwrap")


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    # SQLite does not wait here if another process does the same at this time.
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
    if connection.execute("PRAGMA user_version").fetchone() == (1,):
        _upgrade(connection)
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Convert a file of the first version: keep what was spent, without the reservations."""
    connection.execute("ALTER TABLE accounts ADD COLUMN over REAL NOT NULL DEFAULT 0")
    for key, kept in connection.execute("SELECT key, state FROM accounts").fetchall():
        state = orjson.loads(kept)
        state |= {"heard": 0.0, "owners": {}, "leases": {}, "queue": []}
        # When it is as good as new is unknown until it is used again.
        line = (orjson.dumps(state), state["at"] + DAYS_KEPT_S, key)
        connection.execute("UPDATE accounts SET state = ?, over = ? WHERE key = ?", line)
