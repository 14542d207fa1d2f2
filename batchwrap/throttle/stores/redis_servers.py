"""The servers behind a Redis URL: one, the nodes of a cluster, or the master that sentinels name.

    redis://host:6379/0                              one server
    redis+cluster://host:7000,host:7001              a cluster, by some of its nodes
    redis+sentinel://host:26379,host:26379/name/0    the master that sentinels call "name"

Discovery is redis-py's: `RedisCluster` knows which node holds a key, `Sentinel` which server is
the master. All commands of one account go to the one server that holds it.

While a replica replaces a master, commands are sent again until one succeeds or ``failover_s`` have
passed. A replica may lack the last writes of its master. So a write that must not be lost (an
admission) is followed by ``WAIT`` on the same connection, in the same round trip, and counts once a
replica has it. With a master that has no replicas there is no wait, since nothing can replace it.
"""

from __future__ import annotations

import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from batchwrap._forks import renew_in_child
from batchwrap.errors import ConfigError, MissingExtraError

try:
    import redis
    from redis import exceptions as errors
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.connection import parse_url
    from redis.retry import Retry
    from redis.sentinel import Sentinel
except ImportError as error:
    raise MissingExtraError("redis", extra="redis") from error

# If the store takes longer than this, the limiter costs more time than it saves.
_TIMEOUT_S = 2.0
# A replica replaces its master after the servers' own time-out (5 to 30 seconds by default, often
# set to less) and an election of about a second.
_FAILOVER_S = 15.0
_AGAIN_S = 0.05
# How often a master is asked for the number of its replicas, together with another command.
_ROLE_S = 1.0
# A connected replica acknowledges within a round trip between the two servers.
_ACKNOWLEDGE_MS = 1_000
_MAX_SERVERS = 1_024
_MOST_CAUSES = 32
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379
_SCHEMES = ("redis", "rediss")

__all__ = ["Servers", "errors", "servers_of"]

# Errors of a server while another one replaces it.
_CHANGING = (
    errors.ConnectionError,
    errors.TimeoutError,
    errors.ReadOnlyError,
    errors.ClusterDownError,
    errors.MovedError,
    errors.TryAgainError,
    errors.RedisClusterException,
)
# An error that a server answers is permanent, unless it is one of these.
_PASSING = (
    errors.ReadOnlyError,
    errors.ClusterDownError,
    errors.MasterDownError,
    errors.TryAgainError,
    errors.OutOfMemoryError,
    errors.MovedError,
    errors.AskError,
)
_PASSING_CODES = ("BUSY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")
# Errors of connecting that are permanent.
_NEVER = (
    errors.AuthenticationError,
    errors.AuthorizationError,
    errors.InvalidResponse,
    ssl.SSLCertVerificationError,
)
_NO_CLUSTER = ("cluster mode is not enabled", "cluster support disabled")


class Servers(ABC):
    """Runs commands on the server that holds a key. It connects at the first command.

    Attributes:
        name: the URL without user, password and options.
    """

    name: str
    _failover_s = 0.0

    def run(self, key: str, *command: Any, lasting: bool = False) -> Any:
        """Run a command on the server that holds a key.

        It may run twice if the connection breaks while the server answers.

        Args:
            key: the key, or one of several in the same slot.
            command: the name of the command and its arguments.
            lasting: whether a replica, if there is one, must have it before it counts.

        Raises:
            redis.RedisError: the server refused it, or no server was reached in time.
        """
        until_s = time.monotonic() + self._failover_s
        while True:
            try:
                return self._run(key, command, lasting)
            except _CHANGING as error:
                if self.is_refusal(error) or time.monotonic() >= until_s:
                    raise
                time.sleep(_AGAIN_S)
                self._look_again()

    def is_refusal(self, error: BaseException) -> bool:
        """Whether an error is permanent: an answer of a server, and not a lost connection."""
        parts = list(_chain(error))
        if any(isinstance(one, _NEVER) for one in parts):
            return True
        if any(words in str(one).lower() for one in parts for words in _NO_CLUSTER):
            return True
        refused = isinstance(error, errors.ResponseError) and not isinstance(error, _PASSING)
        return refused and str(error).partition(" ")[0] not in _PASSING_CODES

    @abstractmethod
    def each(self) -> list[Any]:
        """A redis-py client for each server that holds keys."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections. They are opened again if the servers are used again."""

    @abstractmethod
    def _run(self, key: str, command: tuple[Any, ...], lasting: bool) -> Any:
        """Run a command once."""

    @abstractmethod
    def _look_again(self) -> None:
        """Forget the roles of the servers, since one of them has changed."""


class OneServer(Servers):
    """A server with a fixed address."""

    def __init__(self, url: str, timeout_s: float) -> None:
        options = _defaults(timeout_s)
        self._client: Any = redis.Redis.from_url(url, **options, retry=_no_retries())
        pool = self._client.connection_pool
        # Made and dropped, so that an unknown option raises now.
        pool.connection_class(**pool.connection_kwargs)
        scheme, found = url.partition("://")[0], pool.connection_kwargs
        host, port = found.get("host", "localhost"), found.get("port", _REDIS_PORT)
        place = found["path"] if "path" in found else f"{host}:{port}/{found.get('db', 0)}"
        self.name = f"{scheme}://{place}"

    def each(self) -> list[Any]:
        """The one client."""
        return [self._client]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, key: str, command: tuple[Any, ...], lasting: bool) -> Any:
        return self._client.execute_command(*command)

    def _look_again(self) -> None:
        pass  # there is no other server

    def is_refusal(self, error: BaseException) -> bool:
        """Whether an error is permanent. A redirect is, too: one node never becomes a cluster."""
        return isinstance(error, errors.MovedError) or super().is_refusal(error)


class SentinelServers(Servers):
    """The master that sentinels name. A new connection asks them which server that is."""

    def __init__(self, url: _Url) -> None:
        self.name, self._failover_s = url.name, url.failover_s
        self._replicas = Replicas()
        options = {**url.options}
        asked = {name: options[name] for name in ("ssl", *_TIMEOUTS) if name in options}
        for name in ("username", "password"):
            asked[name] = options.pop(f"sentinel_{name}", None)
        sentinel: Any = Sentinel  # redis-py does not type these
        self._sentinel = sentinel(url.hosts, sentinel_kwargs={**asked, "retry": _no_retries()})
        self._client: Any = self._sentinel.master_for(
            url.service, db=url.db, retry=_no_retries(), **options
        )

    def each(self) -> list[Any]:
        """The master's client."""
        return [self._client]

    def close(self) -> None:
        """Close the connections."""
        for client in (self._client, *self._sentinel.sentinels):
            client.close()

    def _run(self, key: str, command: tuple[Any, ...], lasting: bool) -> Any:
        if lasting:
            return self._replicas.run(self._client, "master", command)
        return self._client.execute_command(*command)

    def _look_again(self) -> None:
        self._replicas.forget()
        self._client.connection_pool.disconnect(inuse_connections=False)


class ClusterServers(Servers):
    """The nodes of a cluster. Each knows which node holds which keys."""

    def __init__(self, url: _Url) -> None:
        self.name, self._failover_s = url.name, url.failover_s
        self._url = url
        self._replicas = Replicas()
        self._known: Any = None
        self._lock = Lock()
        renew_in_child(self)

    def after_fork(self) -> None:
        """Make a new lock in a child process, where no thread would release the old one."""
        self._lock = Lock()

    def each(self) -> list[Any]:
        """The clients of all masters."""
        cluster = self._cluster()
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            known, self._known = self._known, None
        if known is not None:
            known.close()

    def _run(self, key: str, command: tuple[Any, ...], lasting: bool) -> Any:
        cluster = self._cluster()
        node = cluster.get_node_from_key(key)
        client = cluster.get_redis_connection(node)
        try:
            if lasting:
                return self._replicas.run(client, node.name, command)
            return client.execute_command(*command)
        except errors.MovedError:
            raise
        except errors.AskError:  # the key's slot is being moved to another node
            return cluster.execute_command(*command)

    def _cluster(self) -> Any:
        with self._lock:
            if self._known is None:
                node: Any = ClusterNode
                hosts = [node(host, port) for host, port in self._url.hosts]
                options = {**self._url.options, "retry": Retry(NoBackoff(), 1)}
                self._known = RedisCluster(startup_nodes=hosts, **options)
            return self._known

    def _look_again(self) -> None:
        self._replicas.forget()
        if self._known is None:
            return
        try:
            self._known.nodes_manager.initialize()
        except _CHANGING:
            self.close()  # no known node is left, so begin with those of the URL


class Replicas:
    """Runs writes that count only when a replica has them, if there is one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}  # by server: when asked, and the number

    def forget(self) -> None:
        """Ask for the number of replicas again before the next write."""
        self._known.clear()

    def run(self, client: Any, server: str, command: tuple[Any, ...]) -> Any:
        """Run a command on a master, and return its reply once a replica has it.

        Raises:
            redis.TimeoutError: the master has run it, but no replica has acknowledged it.
        """
        if server not in self._known:
            self._note(server, client.execute_command("ROLE"))
        looked_s, count = self._known.get(server, (0.0, 0))
        looks = time.monotonic() - looked_s > _ROLE_S
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command(*command)
        if count:
            pipeline.execute_command("WAIT", 1, _ACKNOWLEDGE_MS)
        if looks:
            pipeline.execute_command("ROLE")
        reply, *others = pipeline.execute(raise_on_error=False)
        if isinstance(reply, errors.RedisError):
            raise reply
        if looks:
            self._note(server, others.pop())
        missing = bool(others) and not others[0]
        if missing and self._known.get(server, (0.0, 0))[1]:
            raise errors.TimeoutError("no replica has acknowledged the write")
        return reply

    def _note(self, server: str, role: Any) -> None:
        if isinstance(role, Exception):
            raise role
        kind, replicas = role[0], role[2]
        if len(self._known) >= _MAX_SERVERS:
            self._known.clear()
        is_master = kind in ("master", b"master")
        self._known[server] = time.monotonic(), len(replicas) if is_master else 0


@dataclass(frozen=True, slots=True)
class _Url:
    """The parts of a URL of several servers.

    Attributes:
        name: the URL without user, password and options.
        hosts: the servers to ask first, with their ports.
        service: the name of the master at the sentinels.
        db: the number of the database.
        failover_s: how long commands are sent again while a replica replaces a master.
        options: the options for redis-py's clients.
    """

    name: str
    hosts: list[tuple[str, int]]
    service: str
    db: int
    failover_s: float
    options: dict[str, Any]

    @classmethod
    def read(cls, url: str, port: int, timeout_s: float, failover_s: float) -> _Url:
        """Read a URL; raises ValueError if it is not one. Its own options count first."""
        scheme, _, rest = url.partition("://")
        protocol, _, kind = scheme.partition("+")
        place, _, query = rest.partition("?")
        place, _, path = place.partition("/")
        user, _, listed = place.rpartition("@")
        hosts = [_host(one, port) for one in listed.split(",")]
        service, _, db = path.partition("/")
        if protocol not in _SCHEMES or bool(service) != (kind == "sentinel"):
            raise ValueError(url)
        user = f"{user}@" if user else ""
        read: Any = parse_url
        options = {**_defaults(timeout_s), **read(f"redis://{user}host?{query}")}
        for name in ("host", "port", "db"):
            options.pop(name, None)
        if protocol == "rediss":
            options["ssl"] = True
        name = f"{scheme}://{','.join(f'{_shown(host)}:{port}' for host, port in hosts)}"
        if service:
            name += f"/{service}/{int(db or 0)}"
        failover_s = float(options.pop("failover_s", failover_s))
        return cls(name, hosts, service, int(db or 0), failover_s, options)


def servers_of(
    url: str,
    *,
    option: str = "Throttle.store",
    timeout_s: float = _TIMEOUT_S,
    failover_s: float = _FAILOVER_S,
) -> Servers:
    """The servers that a URL names.

    Args:
        url: the URL, whose own options count first.
        option: the option that holds it.
        timeout_s: how long a server may take to connect, and to answer.
        failover_s: how long commands are sent again while a replica replaces a master.

    Raises:
        ConfigError: it names no server.
    """
    try:
        kind = url.partition("://")[0].partition("+")[2]
        if kind == "cluster":
            return ClusterServers(_Url.read(url, _REDIS_PORT, timeout_s, failover_s))
        if kind == "sentinel":
            return SentinelServers(_Url.read(url, _SENTINEL_PORT, timeout_s, failover_s))
        return OneServer(url, timeout_s)
    except (ValueError, TypeError) as error:
        del error  # it may contain the password
        raise ConfigError(option, _NO_URL) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, of which one may be its own cause."""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _host(text: str, port: int) -> tuple[str, int]:
    found = urlsplit(f"//{text}")
    if not found.hostname:
        raise ValueError(text)
    return found.hostname, found.port or port


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _no_retries() -> Retry:
    # redis-py must not send a command twice on its own. It still reconnects before a command.
    return Retry(NoBackoff(), 0)


def _defaults(timeout_s: float) -> dict[str, Any]:
    return {"decode_responses": True, **dict.fromkeys(_TIMEOUTS, timeout_s)}


_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")
_NO_URL = (
    'is not a URL of Redis: "redis://host:6379/0", "rediss://…", "unix:///path", '
    '"redis+cluster://host:7000,host:7001", "redis+sentinel://host:26379,host:26379/name"'
)
