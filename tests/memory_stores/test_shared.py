"""A memory that is down, slow or full of rubbish costs a batch at most, and one warning."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from batchwrap.core.exchange.recall import Record
from batchwrap.errors import StoreUnavailable
from batchwrap.memory_stores.memory_store import SealedRecord
from batchwrap.memory_stores.shared import AGAIN_S, SharedMemory

RECORDS = [Record("name", "part", b"content")]


class Store:
    """A store in this process, which can be made to fail, or to hang.

    Attributes:
        kept: what it holds.
        asked: how often it was used.
        is_down: whether it fails.
        may_go: set: it answers.
    """

    name = "store://here"
    timeout_s = 20.0

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.asked = 0
        self.is_down = False
        self.may_go = threading.Event()
        self.may_go.set()

    def load(self, account: str, names: Sequence[str]) -> list[list[str]]:
        """What it holds."""
        self._use()
        return [[*self.kept.get(name, {}).values()] for name in names]

    def keep(self, account: str, records: Sequence[SealedRecord]) -> None:
        """Hold it."""
        self._use()
        for one in records:
            self.kept.setdefault(one.name, {})[one.part] = one.sealed

    def close(self) -> None:
        """Nothing."""

    def _use(self) -> None:
        self.asked += 1
        assert self.may_go.wait(60)
        if self.is_down:
            raise StoreUnavailable(self.name, "down")


def test_of_an_account() -> None:
    """An account finds what it has kept, and no other does; rubbish counts as missing."""
    store = Store()
    shared = SharedMemory(store)
    shared.of("key").keep(RECORDS)
    assert shared.of("key").load(["name", "none"]) == {"name": [b"content"], "none": []}
    assert shared.of("other").load(["name"]) == {"name": []}
    [parts] = store.kept.values()
    parts["more"] = "rubbish"
    assert shared.of("key").load(["name"]) == {"name": [b"content"]}


def test_down(caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone for a while, and then used again; there is one warning for all times."""
    store, now = Store(), [100.0]
    own = SharedMemory(store, clock=lambda: now[0]).of("key")
    store.is_down = True
    for _ in range(2):
        for _ in range(3):
            own.keep(RECORDS)
            assert own.load(["name"]) == {}
        now[0] += AGAIN_S
    assert store.asked == 2
    store.is_down = False
    own.keep(RECORDS)
    assert own.load(["name"]) == {"name": [b"content"]}
    [told] = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert "shared memory cannot be used" in told and "store://here: down" in told


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_tasks() -> None:
    """Tasks find the same; one that hangs is let go."""
    store = Store()
    own = SharedMemory(store).of("key")
    await own.keep_async(RECORDS)
    assert await own.load_async(["name"]) == {"name": [b"content"]}
    store.may_go.clear()
    store.timeout_s = 0.01
    short = SharedMemory(store).of("key")
    assert await short.load_async(["name"]) == {}
    before = store.asked
    assert await short.load_async(["name"]) == {}
    assert store.asked == before
    store.may_go.set()
