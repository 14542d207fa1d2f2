"""Shared by the tests of the throttle."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.throttle.redis_server import BINARY, REQUIRED, RedisServer

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
