"""One promise for all stores of shared memory, with real servers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from batchwrap.errors import ConfigError, StoreUnavailable
from batchwrap.memory_stores import open_memory
from batchwrap.memory_stores.memory_store import (
    KEPT_S,
    MOST_LOADED_BYTES,
    MOST_PARTS,
    SealedRecord,
    SharedStore,
)
from batchwrap.memory_stores.sqlite_memory import SqliteMemory
from tests.throttle.redis_server import RedisServer

Open = Callable[[], SharedStore]
PATIENT = "socket_timeout=60&socket_connect_timeout=60"  # a busy machine is no failure
SERVERS = {"redis": "redis_server", "valkey": "valkey_server", "cluster": "redis_cluster"}


@pytest.fixture(params=["sqlite", *SERVERS])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store as often as wanted, as each process does."""
    if request.param == "sqlite":
        return lambda: open_memory(f"sqlite:///{tmp_path}/shared.db")
    url = request.getfixturevalue(SERVERS[request.param]).url
    return lambda: open_memory(f"{url}?{PATIENT}")


@pytest.fixture
def account() -> str:
    """An account that no other test uses."""
    return uuid4().hex


def record(name: str, part: str, sealed: str = "content") -> SealedRecord:
    """One record."""
    return SealedRecord(name, part, sealed)


def test_kept_for_others(opened: Open, account: str) -> None:
    """What one keeps is there for others, in the order of the names; nothing else is."""
    opened().keep(account, [record("a", "1", "one"), record("a", "2", "two"), record("b", "1")])
    found = opened().load(account, ["none", "a", "b"])
    assert [sorted(some) for some in found] == [[], ["one", "two"], ["content"]]
    assert opened().load("another", ["a"]) == [[]]
    assert opened().load(account, ["a"] * 2)[0]


def test_bytes_that_are_no_text(redis_server: RedisServer, account: str) -> None:
    """What somebody else has put there makes the store unusable, as an error of the server does."""
    store = open_memory(f"{redis_server.url}?{PATIENT}")
    store.keep(account, [record("a", "1")])
    key = f"batchwrap:{{{account}}}:memory:1:a"
    script = "redis.call('HSET', KEYS[1], 'x', string.char(255))"
    redis_server.ask("EVAL", script, "1", key)
    with pytest.raises(StoreUnavailable, match="no text"):
        store.load(account, ["a"])


def test_replaced(opened: Open, account: str) -> None:
    """The same part of the same name replaces what was there; another one adds."""
    store = opened()
    for sealed in ("old", "new"):
        store.keep(account, [record("a", "1", sealed)])
    assert store.load(account, ["a"]) == [["new"]]


def test_bounded(opened: Open, account: str) -> None:
    """One name holds so many parts; the newest is among them."""
    store = opened()
    for part in range(MOST_PARTS + 3):
        store.keep(account, [record("a", str(part), str(part))])
    [kept] = store.load(account, ["a"])
    assert len(kept) == MOST_PARTS
    assert str(MOST_PARTS + 2) in kept


def test_not_too_much(opened: Open, account: str) -> None:
    """A request never loads more than it can bear; the names that come first count."""
    store, huge = opened(), "x" * (MOST_LOADED_BYTES // 2)
    for name in ("a", "b", "c"):
        store.keep(account, [record(name, "1", huge)])
    found = store.load(account, ["a", "b", "c"])
    assert len(found) == 3
    assert sum(len(one) for some in found for one in some) <= MOST_LOADED_BYTES


def test_many_at_once(opened: Open, account: str) -> None:
    """Whoever keeps something at the same time loses nothing of the others."""
    stores = [opened() for _ in range(4)]

    def keep(number: int) -> None:
        for part in range(4):
            stores[number].keep(account, [record("a", f"{number}-{part}")])

    threads = [threading.Thread(target=keep, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].load(account, ["a"])[0]) == 16


def test_used_again(opened: Open, account: str) -> None:
    """A store that was closed opens again when it is used."""
    store = opened()
    store.keep(account, [record("a", "1")])
    store.close()
    assert store.load(account, ["a"]) == [["content"]]


def test_forgotten(tmp_path: Path) -> None:
    """A file forgets what is too old."""
    now = [0.0]
    store = SqliteMemory(f"sqlite:///{tmp_path}/shared.db", clock=lambda: now[0])
    store.keep("account", [record("a", "1")])
    now[0] = KEPT_S - 1
    assert store.load("account", ["a"]) == [["content"]]
    now[0] = KEPT_S + 1
    assert store.load("account", ["a"]) == [[]]


def test_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has grown beyond its bound drops its older half."""
    monkeypatch.setattr("batchwrap.memory_stores.sqlite_memory.MOST_BYTES", 1_000)
    monkeypatch.setattr("batchwrap.memory_stores.sqlite_memory._SWEEP", 4)
    now = [0.0]
    store = SqliteMemory(f"sqlite:///{tmp_path}/shared.db", clock=lambda: now[0])
    for number in range(4):
        now[0] += 1
        store.keep("account", [record(str(number), "1", "x" * 400)])
    kept = [bool(some) for some in store.load("account", ["0", "1", "2", "3"])]
    assert kept[0] is False and kept[-1] is True


def test_one_file_for_both(tmp_path: Path) -> None:
    """Limits and memory may share a file, whichever opens it first."""
    from batchwrap.throttle.stores import open_store

    for first, second in ((open_store, open_memory), (open_memory, open_store)):
        url = f"sqlite:///{tmp_path}/{first.__name__}.db"
        for opens in (first, second):
            opens(url)
        open_memory(url).keep("account", [record("a", "1")])


def test_after_a_fork(tmp_path: Path) -> None:
    """A child uses a connection of its own, and what it keeps is there for its parent."""
    code = (
        "import os, sys\n"
        "from batchwrap.memory_stores import open_memory\n"
        "from batchwrap.memory_stores.memory_store import SealedRecord\n"
        f"store = open_memory('sqlite:///{tmp_path}/shared.db')\n"
        "child = os.fork()\n"
        "store.keep('account', [SealedRecord('a', str(child == 0), 'x')])\n"
        "if child == 0:\n    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(len(store.load('account', ['a'])[0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


@pytest.mark.parametrize(
    "url", ["", "disk", "sqlite:///", "sqlite:///:memory:", "postgres://:secret@h", "redis://h:x"]
)
def test_no_store(url: str) -> None:
    """What names no store is refused by the name of the option, and is not repeated."""
    with pytest.raises(ConfigError, match=r"^Batching\.memory: ") as wrong:
        open_memory(url)
    assert "secret" not in str(wrong.value)


def test_another_file(tmp_path: Path) -> None:
    """A file of another program is left alone."""
    (tmp_path / "notes.txt").write_text("nothing of ours\n" * 100)
    with pytest.raises(ConfigError, match=r"^Batching\.memory: .* is not a SQLite file"):
        open_memory(f"sqlite:///{tmp_path}/notes.txt")


def test_out_of_reach() -> None:
    """A server that is not there is told as such."""
    store = open_memory("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        store.load("account", ["a"])
