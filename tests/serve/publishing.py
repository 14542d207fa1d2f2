"""What a process publishes, once and now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

from batchwrap.serve.peers import Peers, Publication

SECRET = b"only the processes know"


def publish(peers: Peers, renders: Mapping[Publication, Callable[[], bytes]]) -> None:
    """Publish as a process does at its end."""

    async def once() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await peers.run(renders)

    anyio.run(once)
