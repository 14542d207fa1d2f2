"""Redis servers that take over for each other: nothing is admitted twice, and work goes on."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from uuid import uuid4

import pytest

from batchwrap.core.limits.windows import meters
from batchwrap.errors import ConfigError, StoreRefused, StoreUnavailable
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store
from batchwrap.throttle.stores.contract import TokenTotals
from tests.throttle.redis_cluster import Cluster, RedisServers, Watched
from tests.throttle.redis_server import BINARY, REQUIRED, free_port, wait_until

if not REQUIRED:
    pytest.importorskip("redis")
    if BINARY is None:
        pytest.skip("redis-server is not installed", allow_module_level=True)

from batchwrap.throttle.stores.redis import account_key

# A budget that does not come back while the test runs.
MAX_AMOUNT = 300
ONCE = meters([Limit("requests", MAX_AMOUNT, 1e9)])


@pytest.fixture(params=[Cluster, Watched])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServers]:
    """Servers of the test's own, since it kills some of them."""
    with request.param(tmp_path) as started:
        yield started


# Takes one at a time until there are no more; says so after the first.
TAKER = """
import os, sys
from itertools import count
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores import open_store

METERS = meters([Limit("requests", int(sys.argv[3]), 1e9)])
store, taken = open_store(sys.argv[1]), 0
for number in count():
    ticket = f"{os.getpid()} {number}"
    reply = store.reserve(
        sys.argv[2], METERS, [1], ticket, max_wait_s=0
    )
    if reply.status != "admitted":
        break
    taken += 1
    if taken == 10:
        print("began", flush=True)
        sys.stdin.readline()
    store.settle(sys.argv[2], METERS, ticket, [1])
store.close()
print(taken)
"""


@pytest.mark.thorough
def test_a_master_dies(servers: RedisServers) -> None:
    """Three processes go on at the replica that takes over, and share what the limit allows."""
    key = uuid4().hex
    command = [sys.executable, "-W", "error", "-c", TAKER, servers.url, key, str(MAX_AMOUNT)]
    takers = [Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) for _ in range(3)]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "began\n"
    servers.servers[servers.master_of(account_key(key))].kill()
    told = [taker.communicate("go on\n", timeout=60) for taker in takers]
    assert [errors for _, errors in told] == [""] * 3
    assert sum(int(taken) for taken, _ in told) == MAX_AMOUNT


@pytest.mark.thorough
def test_what_no_replica_has_does_not_count(tmp_path: Path) -> None:
    """What only a dying master knew of is not admitted before its replica knows of it, too."""
    with Watched(tmp_path) as servers, closing(open_store(servers.url)) as store:
        key = uuid4().hex
        assert store.reserve(key, ONCE, [1], "first").status == "admitted"
        master = servers.masters()[0]
        replica = servers.servers[servers.replica_of(master)]
        os.kill(replica.process.pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(store.reserve, key, ONCE, [MAX_AMOUNT - 1], "second")
            wait_until(lambda: open_running(servers.servers[master].url, key) == 2)
            servers.servers[master].kill()
            assert not asked.done()
            os.kill(replica.process.pid, signal.SIGCONT)
            assert asked.result(timeout=60).status == "admitted"
        assert store.reserve(key, ONCE, [1], "third").status == "waiting"


def open_running(url: str, key: str) -> int:
    """How many leases a server knows of."""
    with closing(open_store(url)) as store:
        return store.snapshot(key, ONCE).running


def test_a_lone_master_waits_for_nobody(tmp_path: Path) -> None:
    """A master whose replica is gone admits as before: nothing can take over for it."""
    with Watched(tmp_path) as servers, closing(open_store(servers.url)) as store:
        master = servers.masters()[0]
        servers.servers[servers.replica_of(master)].kill()
        wait_until(lambda: not servers.role(master)[2])
        for number in range(20):
            assert store.reserve("k", ONCE, [1], f"t{number}").status == "admitted"
        commands = servers.servers[master].ask("INFO", "commandstats")
        assert "cmdstat_wait" not in commands


@pytest.mark.thorough
def test_nobody_takes_over(tmp_path: Path) -> None:
    """When no replica is left, the store is down, and says which one."""
    with Cluster(tmp_path) as servers:
        url = f"{servers.url}?failover_s=0.2"
        with closing(open_store(url)) as store:
            assert store.reserve("k", ONCE, [1], "a").status == "admitted"
            for server in servers.servers.values():
                server.kill()
            with pytest.raises(StoreUnavailable) as caught:
                store.reserve("k", ONCE, [1], "b")
        assert caught.value.store == store.name == servers.url


@pytest.mark.thorough
def test_a_slot_moves(tmp_path: Path) -> None:
    """An account whose slot is on its way to another node is found in either."""
    with Cluster(tmp_path) as servers, closing(open_store(servers.url)) as store:
        name = account_key("k")
        assert store.reserve("k", ONCE, [MAX_AMOUNT - 1], "a").status == "admitted"
        source = servers.master_of(name)
        target = next(port for port in servers.masters() if port != source)
        ask = {port: servers.servers[port].ask for port in (source, target)}
        slot = str(ask[source]("CLUSTER", "KEYSLOT", name))
        its = {port: str(ask[port]("CLUSTER", "MYID")) for port in ask}
        ask[target]("CLUSTER", "SETSLOT", slot, "IMPORTING", its[source])
        ask[source]("CLUSTER", "SETSLOT", slot, "MIGRATING", its[target])
        ask[source]("MIGRATE", "127.0.0.1", str(target), name, "0", "5000")
        assert store.reserve("k", ONCE, [2], "b").status == "waiting"
        store.leave("k", ONCE, "b")
        assert store.reserve("k", ONCE, [1], "c").status == "admitted"
        for port in servers.masters():
            servers.servers[port].ask("CLUSTER", "SETSLOT", slot, "NODE", its[target])
        assert store.reserve("k", ONCE, [1], "d").status == "waiting"
        assert store.snapshot("k", ONCE).running == 2


def test_books_of_all_nodes(redis_cluster: RedisServers) -> None:
    """The books of accounts on different nodes are read together."""
    redis_cluster.empty()
    with closing(open_store(redis_cluster.url)) as store:
        for number in range(12):
            store.spend(f"account {number}", "m", TokenTotals(1))
        assert len({line.key for line in store.usage()}) == 12


def test_one_node_of_a_cluster(redis_cluster: RedisServers) -> None:
    """Named alone, as if it were a server by itself, it is a mistake, and an error at once."""
    redis_cluster.empty()
    with closing(open_store(redis_cluster.url)) as store:
        assert store.reserve("k", ONCE, [1], "a").status == "admitted"
    holds = redis_cluster.master_of(account_key("k"))
    other = next(port for port in redis_cluster.masters() if port != holds)
    named = f"127.0.0.1:{other}"
    with closing(open_store(f"redis://{named}")) as store, pytest.raises(StoreRefused, match=named):
        store.reserve("k", ONCE, [1], "b")
    with closing(open_store(f"redis+cluster://127.0.0.1:{free_port()}?failover_s=0")) as store:
        with pytest.raises(StoreUnavailable) as caught:
            store.reserve("k", ONCE, [1], "b")
        assert not isinstance(caught.value, StoreRefused)


def test_a_server_that_is_no_cluster(redis_url: str) -> None:
    """Named as a cluster it is a mistake, and an error at once, not after a fail-over."""
    url = redis_url.replace("redis://", "redis+cluster://")
    with closing(open_store(url)) as store, pytest.raises(StoreRefused):
        store.reserve("k", ONCE, [1], "a")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis+cluster://me:secret@one,two:7001", "redis+cluster://one:6379,two:7001"),
        ("rediss+cluster://:secret@[::1]:7000?socket_timeout=1", "rediss+cluster://[::1]:7000"),
        ("redis+sentinel://:secret@one,two:7/limits", "redis+sentinel://one:26379,two:7/limits/0"),
        (
            "rediss+sentinel://one/limits/3?sentinel_password=secret",
            "rediss+sentinel://one:26379/limits/3",
        ),
    ],
)
def test_names(url: str, name: str) -> None:
    """A store is called by its URL, without user, password and options; nothing is sent yet."""
    with closing(open_store(url)) as store:
        assert store.name == name
        assert "secret" not in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://:secret@host/service",
        "redis+cluster://:secret@host:port",
        "redis+cluster://:secret@host?failover_s=long",
        "redis+sentinel://:secret@host",
        "redis+sentinel://:secret@host/limits/x",
        "redis+nothing://:secret@host",
    ],
)
def test_no_url(url: str) -> None:
    """It is refused when the store is made, without telling the password."""
    with pytest.raises(ConfigError, match=r"Throttle\.store") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis+cluster://:secret@{}", "redis+sentinel://:secret@{}/m"])
def test_nobody_there(scheme: str) -> None:
    """Servers that nobody can reach are an error that names the store and not its password."""
    url = scheme.format(f"127.0.0.1:{free_port()}") + "?failover_s=0"
    operations: list[Callable[[Any], object]] = [
        lambda store: store.reserve("k", ONCE, [1], "a"),
        lambda store: store.usage(),
    ]
    with closing(open_store(url)) as store:
        for operation in operations:
            with pytest.raises(StoreUnavailable) as caught:
                operation(store)
            assert "secret" not in str(caught.value) and store.name in str(caught.value)
