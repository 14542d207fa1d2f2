"""What a wrapped client has reserved, and who waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from batchwrap.adapters.clients import engine_of
from batchwrap.throttle.budget import Budget


def budget(client: Any) -> Budget:
    """The budget of a wrapped client."""
    engine = engine_of(client)
    assert engine is not None
    return engine.budget


def settled(client: Any) -> bool:
    """Whether nothing is reserved and nobody waits."""
    return budget(client).is_idle


def waiting(client: Any) -> int:
    """How many requests wait for their turn."""
    return sum(now.waiting for _, now in budget(client).limiter.snapshots().values())


def until(condition: Callable[[], Any]) -> None:
    """Wait until something has happened elsewhere."""
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
