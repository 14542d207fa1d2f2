"""Redis servers that take over for each other: a cluster, and a master that a sentinel watches."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.throttle.redis_server import RedisServer, free_port, wait_until

# How long a server may be silent until another one takes its place.
TAKEN_FOR_DEAD_MS = 500


class RedisServers:
    """Several servers of the test's own.

    Attributes:
        url: for a store.
        servers: by port.
    """

    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[int, RedisServer] = {}
        self._stack = ExitStack()

    def start(self, *options: str) -> RedisServer:
        """One more server."""
        folder = self.folder / str(len(self.servers))
        folder.mkdir()
        server = self._stack.enter_context(RedisServer(folder, *options))
        self.servers[server.port] = server
        return server

    def role(self, port: int) -> Any:
        """What a server says that it is, and of whom."""
        return self.servers[port].ask("ROLE")

    def masters(self) -> list[int]:
        """The ports of all that are running masters."""
        alive = [port for port, server in self.servers.items() if server.process.poll() is None]
        return [port for port in alive if self.role(port)[0] == "master"]

    def master_of(self, key: str) -> int:
        """The port of the master that holds a key."""
        return next(port for port in self.masters() if self.servers[port].ask("KEYS", key))

    def replica_of(self, master: int) -> int:
        """The port of the replica of a master."""
        [[_, port, _]] = self.role(master)[2]
        return int(port)

    def empty(self) -> None:
        """Forget everything."""
        for port in self.masters():
            self.servers[port].empty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class Cluster(RedisServers):
    """Three masters, each with a replica."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        places = []
        for _ in range(6):
            bus = free_port()
            server = self.start(
                *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", str(TAKEN_FOR_DEAD_MS)),
                *("--repl-diskless-sync-delay", "0"),
            )
            places.append(f"127.0.0.1:{server.port}@{bus}")
        create = ["redis-cli", "--cluster", "create", *places]
        create += ["--cluster-replicas", "1", "--cluster-yes"]
        made = subprocess.run(create, capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        wait_until(lambda: all(map(self.is_ready, self.servers)))
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in self.servers)}"

    def is_ready(self, port: int) -> bool:
        """Whether a node takes part, and its replica, or its master, is there."""
        state = str(self.servers[port].ask("CLUSTER", "INFO"))
        role = self.role(port)
        linked = bool(role[2]) if role[0] == "master" else role[3] == "connected"
        return "cluster_state:ok" in state and linked


class Watched(RedisServers):
    """A master and a replica, and a sentinel that watches them."""

    service = "limits"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        master = self.start("--repl-diskless-sync-delay", "0")
        self.start("--replicaof", "127.0.0.1", str(master.port))
        wait_until(lambda: bool(self.role(master.port)[2]))
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {self.service} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {self.service} {TAKEN_FOR_DEAD_MS}\n"
            f"sentinel failover-timeout {self.service} 3000\n"
        )
        self.sentinel = self._stack.enter_context(RedisServer.sentinel(folder, config))
        wait_until(lambda: "slaves=1" in str(self.sentinel.ask("INFO", "sentinel")))
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.service}"
