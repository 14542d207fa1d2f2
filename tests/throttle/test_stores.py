"""One promise for all stores; and what a file that several processes share must survive."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from batchwrap.core.limits.state import Seen
from batchwrap.core.limits.windows import meters
from batchwrap.errors import ConfigError, StoreRefused, StoreUnavailable
from batchwrap.options import Limit
from batchwrap.throttle.stores import BookLine, Store, TokenTotals, open_store
from batchwrap.throttle.stores.sqlite import SqliteStore
from tests.core.limits.accounts import CONTINUOUS, FIXED, ROLLING, RUNNING, START, STEPS, Account

LIMITS = (RUNNING, CONTINUOUS, FIXED, ROLLING)
METERS = meters(LIMITS)
TOKENS = meters([FIXED])


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the store."""
    return Clock()


KINDS = ["memory", "sqlite", "redis", "valkey", "cluster", "sentinel"]
SERVERS = {
    "redis": "redis_server",
    "valkey": "valkey_server",
    "cluster": "redis_cluster",
    "sentinel": "watched_redis",
}


def open_kind(kind: str, request: pytest.FixtureRequest, clock: Callable[[], float]) -> Store:
    """An empty store of this kind."""
    if kind in SERVERS:
        servers = request.getfixturevalue(SERVERS[kind])
        servers.empty()
        return open_store(servers.url, clock=clock)
    url = request.getfixturevalue("url") if kind == "sqlite" else kind
    return open_store(url, clock=clock)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Store]:
    """Each of the stores, empty."""
    with closing(open_kind(request.param, request, clock)) as opened:
        yield opened


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file that does not exist yet."""
    return f"sqlite:///{tmp_path}/limits.db"


@given(STEPS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_arithmetic(
    store: Store, clock: Clock, steps: list[tuple[str, int, int, float]]
) -> None:
    """Whatever is done in whatever order, a store answers as the account itself does."""
    one, key = Account(*LIMITS), os.urandom(8).hex()
    one.now = clock.now
    store.close_for(key, 0)
    one.close_for(0)
    own: dict[str, Any] = {"owner": "me", "max_wait_s": 90.0}
    for step, (action, who, amount, passed) in enumerate(steps):
        clock.now += passed
        one.now = clock.now
        ticket, amounts = f"t{who}", [float(amount > 0), *[float(amount)] * 3]
        if action == "reserve":
            wanted = one.reserve(ticket, *amounts, priority=step % 3, **own)
            assert store.reserve(key, METERS, amounts, ticket, priority=step % 3, **own) == wanted
        elif action == "settle":
            one.settle(ticket, *amounts)
            store.settle(key, METERS, ticket, amounts)
        elif action == "arrived":
            seen = [Seen(1, amount, 600.0), Seen(2, amount, 600.0, 20.0)]
            one.arrived(ticket)
            one.learn(ticket, *seen)
            store.arrived(key, METERS, ticket)
            store.learn(key, METERS, ticket, seen)
        elif action == "leave":
            one.leave(ticket)
            store.leave(key, METERS, ticket)
            one.close_for(amount / 100)
            store.close_for(key, amount / 100)
            one.crowded(f"t{(who + 1) % 5}", amount / 100)
            store.crowded(key, METERS, f"t{(who + 1) % 5}", amount / 100)
        else:
            one.renew("me", ticket)
            store.renew(key, METERS, "me", [ticket])
        assert store.snapshot(key, METERS) == one.snapshot()
    clock.now = START


def test_accounts_are_apart(store: Store) -> None:
    """What is spent under one key is not spent under another."""
    store.reserve("a", TOKENS, [600], "t")
    assert store.reserve("b", TOKENS, [600], "t").status == "admitted"
    assert store.reserve("a", TOKENS, [1], "u").status == "waiting"


def test_all_accounts(store: Store) -> None:
    """A store names the accounts that it holds, whatever they are called."""
    assert store.accounts() == []
    for key in ("b:own", "a}b", "a:m"):
        store.reserve(key, TOKENS, [1], "t")
    assert store.accounts() == ["a:m", "a}b", "b:own"]


def test_the_books(store: Store, clock: Clock) -> None:
    """What was used is added up by account, model, minute and day."""
    day = int(START // 86_400 * 86_400)
    clock.now = day + 30.0
    store.spend("a", "m", TokenTotals(1, 100, 50, 10))
    store.spend("a", "m", TokenTotals(1, 200, 0, 20))
    store.spend("a", "n", TokenTotals(1, 1, 0, 0))
    store.spend("b", "m", TokenTotals(1, 2, 0, 0))
    clock.now += 60
    store.spend("a", "m", TokenTotals(1, 5, 0, 5))
    assert store.usage("a") == [
        BookLine("a", "m", "day", day, TokenTotals(3, 305, 50, 35)),
        BookLine("a", "n", "day", day, TokenTotals(1, 1, 0, 0)),
        BookLine("a", "m", "minute", day, TokenTotals(2, 300, 50, 30)),
        BookLine("a", "n", "minute", day, TokenTotals(1, 1, 0, 0)),
        BookLine("a", "m", "minute", day + 60, TokenTotals(1, 5, 0, 5)),
    ]
    assert {line.key for line in store.usage()} == {"a", "b"}


def test_old_books(store: Store, clock: Clock) -> None:
    """Minutes are forgotten after an hour or so, days after some weeks."""
    store.spend("a", "m", TokenTotals(1))
    clock.now += 2 * 3_600
    store.spend("a", "m", TokenTotals(1))
    assert sorted(line.span for line in store.usage("a")) == ["day", "minute"]
    clock.now += 40 * 86_400
    store.spend("a", "m", TokenTotals(1))
    assert [line.spent.requests for line in store.usage("a")] == [1, 1]


def test_threads(store: Store) -> None:
    """Many threads together get exactly what the limit allows."""
    admitted: list[str] = []

    def work(name: str) -> None:
        for number in range(40):
            ticket = f"{name}-{number}"
            if store.reserve("k", TOKENS, [10], ticket, max_wait_s=0).status == "admitted":
                store.settle("k", TOKENS, ticket, [10])
                admitted.append(ticket)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for ticket in [f"w{number}-39" for number in range(6)]:
        store.leave("k", TOKENS, ticket)
    assert len(admitted) <= 60
    assert store.snapshot("k", TOKENS).levels[0].free == 600 - 10 * len(admitted)


def test_closed_and_used_again(store: Store) -> None:
    """Closing loses nothing that was kept."""
    store.reserve("a", TOKENS, [600], "t")
    store.close()
    store.close()
    assert store.reserve("a", TOKENS, [600], "t").status == "admitted"


@pytest.mark.parametrize("kind", KINDS)
def test_settled_from_inside(kind: str, request: pytest.FixtureRequest) -> None:
    """A settlement that comes in the middle of an operation of the same thread is done after it."""
    inside: list[Callable[[], object]] = []

    def clock() -> float:
        if inside:
            inside.pop()()
        return START

    with closing(open_kind(kind, request, clock)) as store:
        store.reserve("k", TOKENS, [600], "a")
        inside.append(lambda: store.settle("k", TOKENS, "a", [0]))
        assert store.reserve("k", TOKENS, [600], "b").status == "waiting"
        assert store.reserve("k", TOKENS, [600], "b").status == "admitted"
        inside.append(lambda: store.snapshot("k", TOKENS))
        with pytest.raises(RuntimeError, match="busy in the same thread"):
            store.snapshot("k", TOKENS)
        assert store.snapshot("k", TOKENS).running == 1


@pytest.mark.parametrize("wrong", ["", "disk", "sqlite:", "sqlite:///", "sqlite:///:memory:"])
def test_no_such_store(wrong: str) -> None:
    """A URL that names no store is refused by the name of the option."""
    with pytest.raises(ConfigError, match=r"Throttle\.store"):
        open_store(wrong)


def test_over_a_restart(url: str) -> None:
    """A quota that was used stays used, in another process, too."""
    with closing(open_store(url)) as store:
        store.reserve("k", TOKENS, [500], "a")
        store.spend("k", "m", TokenTotals(1, 7))
    with closing(open_store(url)) as again:
        assert again.snapshot("k", TOKENS).running == 1
        assert again.usage("k")[0].spent == TokenTotals(1, 7)


def test_nobody_else_may_read_it(url: str, tmp_path: Path) -> None:
    """The file and its companions are the owner's alone, whatever the umask."""
    before = os.umask(0)
    try:
        with closing(open_store(url)) as store:
            store.spend("k", "m", TokenTotals(1))
            modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_a_file_that_is_not_ours(url: str, tmp_path: Path) -> None:
    """A file of another kind or program is refused by its name, and left as it is."""
    path = tmp_path / "limits.db"
    path.write_text("this is no database, whatever its name may say")
    with pytest.raises(ConfigError, match=r"limits\.db is not a SQLite file"):
        open_store(url)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"limits\.db belongs to another program"):
        open_store(url)
    assert path.read_bytes() == before


def test_a_file_of_another_version(url: str, tmp_path: Path) -> None:
    """A file that a later version has made is refused."""
    open_store(url).close()
    with closing(sqlite3.connect(tmp_path / "limits.db")) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="another version"):
        open_store(url)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A path that cannot be made is refused by name."""
    with pytest.raises(ConfigError, match=r"nowhere/limits\.db cannot be made"):
        open_store(f"sqlite:///{tmp_path}/nowhere/limits.db")


def test_a_damaged_account(url: str, tmp_path: Path) -> None:
    """What cannot be read is an error that names the store; other accounts go on."""
    with closing(open_store(url)) as store:
        store.reserve("k", TOKENS, [1], "a")
        with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
            raw.execute("UPDATE accounts SET state = '{'")
        with pytest.raises(StoreUnavailable) as caught:
            store.snapshot("k", TOKENS)
        assert caught.value.store == url
        assert store.snapshot("other", TOKENS).running == 0


@pytest.mark.parametrize(
    "state", ["[]", "7", '{"at": "noon"}', '{"leases": null, "queue": {}, "owners": []}']
)
def test_a_state_of_wrong_types(url: str, tmp_path: Path, state: str) -> None:
    """What somebody else has written is refused by the name of the store, whatever it is."""
    with closing(open_store(url)) as store:
        store.reserve("k", TOKENS, [1], "a")
        with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
            raw.execute("UPDATE accounts SET state = ?", (state.encode(),))
        with pytest.raises(StoreRefused) as caught:
            store.reserve("k", TOKENS, [1], "b")
        assert caught.value.store == url


@pytest.mark.parametrize("number", [1e300, -1e300])
@pytest.mark.parametrize("name", ["at", "skew", "closed", "heard", "until"])
def test_forged_numbers(url: str, tmp_path: Path, name: str, number: float) -> None:
    """A number that would stop an account for ever is refused by the name of the store."""
    with closing(open_store(url)) as store:
        store.reserve("k", TOKENS, [1], "a")
        with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
            state = json.loads(raw.execute("SELECT state FROM accounts").fetchone()[0])
            [bucket] = state["buckets"].values()
            (state if name in state else bucket)[name] = number
            raw.execute("UPDATE accounts SET state = ?", (json.dumps(state).encode(),))
        with pytest.raises(StoreRefused, match="the account 'k' is damaged"):
            store.reserve("k", TOKENS, [1], "b")


@pytest.mark.parametrize(
    "forged", ["start = 1 << 62", "start = -1", "prompt = 'x'", "prompt = 9e999", "model = x'00'"]
)
def test_forged_books(url: str, tmp_path: Path, forged: str) -> None:
    """What is no line of the books is refused by the name of the store."""
    with closing(open_store(url)) as store:
        store.spend("k", "m", TokenTotals(1, 2, 0, 3))
        with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
            raw.execute(f"UPDATE books SET {forged} WHERE span = 'day'")
        with pytest.raises(StoreRefused, match="the books of 'k' are damaged"):
            store.usage()


def test_a_file_of_the_first_version(url: str, tmp_path: Path) -> None:
    """What was spent is taken over; reservations of processes that had no names are not."""
    with closing(open_store(url)) as store:
        store.reserve("k", TOKENS, [300], "a")
        store.settle("k", TOKENS, "a", [200])
        store.reserve("k", TOKENS, [100], "b")
    with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
        raw.execute("ALTER TABLE accounts DROP COLUMN over")
        raw.execute("PRAGMA user_version = 1")
        raw.execute("UPDATE accounts SET state = json_remove(state, '$.heard', '$.owners')")
    with closing(open_store(url)) as store:
        shot = store.snapshot("k", TOKENS)
        assert shot.running == 0 and shot.levels[0].free <= 400


def test_accounts_are_dropped(store: Store, clock: Clock) -> None:
    """Of thousands of accounts those are kept of which something still matters."""
    if store.name.startswith("redis"):
        return  # the server forgets them by itself
    store.reserve("kept", meters([Limit("tokens", 600, 1e9)]), [600], "a")
    for number in range(1_100):
        store.reserve(f"k{number}", TOKENS, [1], "a")
        store.settle(f"k{number}", TOKENS, "a", [1])
    clock.now += 2 * 3_600
    for number in range(1_200):
        store.reserve(f"n{number}", TOKENS, [1], "a")
        store.settle(f"n{number}", TOKENS, "a", [1])
    keys = store.accounts()
    assert "kept" in keys and len(keys) < 1_300


def test_a_damaged_file(url: str, tmp_path: Path) -> None:
    """A file that was overwritten in the middle is an error that names the store."""
    path = tmp_path / "limits.db"
    with closing(open_store(url)) as store:
        for number in range(50):
            store.spend(f"k{number}", "m" * 200, TokenTotals(1))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:4_096] + b"\xff" * (size - 4_096))
    with pytest.raises(StoreUnavailable) as caught, closing(open_store(url)) as store:
        store.usage()
    assert caught.value.store == url


def test_held_by_somebody_else(url: str, tmp_path: Path) -> None:
    """Who cannot write in time says so, and goes on once he can."""
    with closing(SqliteStore(url, timeout_s=0.01)) as store:
        with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                store.reserve("k", TOKENS, [1], "a")
            with pytest.raises(StoreUnavailable, match="locked"):
                SqliteStore(url, timeout_s=0.01)
        assert store.reserve("k", TOKENS, [1], "a").status == "admitted"


# Takes one at a time and says so each time, until there are no more. After so many as it is
# told it waits to be killed.
TAKER = """
import os, sys
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store

METERS = meters([Limit("requests", 2000, 1e9), Limit("concurrency", 50)])
store, number = open_store(sys.argv[1]), 0
print("ready", flush=True)
sys.stdin.readline()
while True:
    if number == int(sys.argv[2]):
        sys.stdin.readline()
    number += 1
    ticket = f"{os.getpid()} {number}"
    admission = store.reserve("k", METERS, [1, 1], ticket)
    if admission.status != "admitted":
        store.leave("k", METERS, ticket)
        break
    print(ticket, flush=True)
    store.settle("k", METERS, ticket, [1, 1])
"""
TAKEN = meters([Limit("requests", 2_000, 1e9), Limit("concurrency", 50)])


@contextmanager
def takers(url: str, *most: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that share the file and have begun at the same time."""
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        made = []
        for number in most:
            command = [sys.executable, "-c", TAKER, url, str(number)]
            made.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            stack.enter_context(made[-1])
            stack.callback(made[-1].kill)
        assert [one.stdout.readline() for one in made if one.stdout] == ["ready\n"] * len(most)
        for one in made:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        yield made


def test_processes_together(url: str) -> None:
    """Four processes at once get exactly what the limit allows, none of it twice."""
    with takers(url, *[2_001] * 4) as together:
        lines = [line for one in together for line in one.communicate(timeout=60)[0].splitlines()]
    assert [one.returncode for one in together] == [0] * 4
    assert len(lines) == len(set(lines)) == 2_000
    assert len({line.split()[0] for line in lines}) > 1


def test_killed_in_the_middle(url: str, tmp_path: Path) -> None:
    """Processes that are killed leave a sound file, and all that they were granted stays spent."""
    lines: list[str] = []
    with takers(url, 900, 900) as victims:
        for victim in victims:
            assert victim.stdout is not None
            lines += [victim.stdout.readline() for _ in range(100)]
            victim.kill()
            lines += victim.stdout.read().splitlines()
            assert victim.wait() == -signal.SIGKILL
    with takers(url, 2_001) as [survivor]:
        lines += survivor.communicate(timeout=60)[0].splitlines()
    # Each of the two may have been granted one that it could not tell of any more.
    assert 1_998 <= len(lines) <= 2_000
    with closing(sqlite3.connect(tmp_path / "limits.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(open_store(url)) as store:
        shot = store.snapshot("k", TAKEN)
        assert shot.levels[0].free < 1
        assert shot.running <= 2


FORKER = """
import os, sys
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store

METERS = meters([Limit("requests", 3, 1e9)])
store, unused = open_store(sys.argv[1]), open_store(sys.argv[1])
take = lambda: store.reserve("k", METERS, [1], str(os.getpid()))
with store._turnstile._lock:  # as if another thread were inside
    child = os.fork()
if child == 0:
    status = take().status
    store.close()
    sys.exit(status != "admitted")
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, take().status, store.snapshot("k", METERS).running)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork(url: str) -> None:
    """Parent and child go on with one budget, each with a connection of its own."""
    command = [sys.executable, "-W", "error", "-c", FORKER, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0 admitted 2\n", "")
