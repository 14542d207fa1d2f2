"""A Redis server of the test's own, on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

BINARY = shutil.which("redis-server")
# .ci/run says so: there, tests are not skipped because something is missing.
REQUIRED = "BATCHWRAP_TEST_REDIS" in os.environ


class RedisServer:
    """A process that keeps nothing on disk.

    Args:
        folder: where it may write.
        options: further options of ``redis-server``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [str(BINARY), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "no", *options]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return
        self.process.communicate()
        raise RuntimeError(f"redis-server ended with {self.process.returncode}")

    def empty(self) -> None:
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"

    def kill(self) -> None:
        """End it at once; all that it held is gone."""
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
