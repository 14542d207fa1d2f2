"""The memory that processes share, as drivers use it: it never fails and never takes long.

A store that cannot be used is left alone for some seconds. Meanwhile each process has only its own
memory, so a batch whose next wave another process would have to hand out ends early.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, move_on_after, to_thread
from anyio.lowlevel import RunVar

from batchwrap.core.exchange.recall import Record
from batchwrap.errors import StoreUnavailable
from batchwrap.memory_stores.memory_store import SealedRecord, SharedStore
from batchwrap.memory_stores.sealing import Sealing, sealing_of

T = TypeVar("T")
_log = logging.getLogger("batchwrap")
# How long a store that could not be used is left alone.
AGAIN_S = 5.0
# A task waits for so many times the store's own timeout, whatever the store does in its thread.
_PATIENCE = 3
_MOST_THREADS = 16
_DOWN = (
    "the shared memory cannot be used, so batches and scripts may end early whose next calls "
    "another process has to hand out; it is tried again every %g s: %s"
)

_slots: RunVar[CapacityLimiter] = RunVar("batchwrap_memory_slots")


class SharedMemory:
    """A store, and whether it can be used now. Threads and event loops may share one.

    Args:
        store: the store.
        clock: seconds of any clock.
    """

    def __init__(
        self,
        store: SharedStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._most_s = _PATIENCE * store.timeout_s
        self._off_until_s = -1.0
        self._has_warned = False

    def of(self, api_key: str) -> AccountMemory:
        """The part of an account."""
        return AccountMemory(self, sealing_of(api_key))

    def run(self, operation: Callable[[SharedStore], T]) -> T | None:
        """The result of an operation; None if the store cannot be used."""
        if self._clock() < self._off_until_s:
            return None
        try:
            return operation(self._store)
        except StoreUnavailable as error:
            self._failed(str(error))
            return None

    async def run_async(self, operation: Callable[[SharedStore], T]) -> T | None:
        """The same for tasks: the operation runs in a thread."""
        if self._clock() < self._off_until_s:
            return None
        try:
            slots = _slots.get()
        except LookupError:
            slots = CapacityLimiter(_MOST_THREADS)
            _slots.set(slots)
        with move_on_after(self._most_s):
            work = partial(self.run, operation)
            return await to_thread.run_sync(work, limiter=slots, abandon_on_cancel=True)
        self._failed(f"{self._store.name}: no answer in {self._most_s:g} s")
        return None

    def _failed(self, reason: str) -> None:
        self._off_until_s = self._clock() + AGAIN_S
        if not self._has_warned:
            self._has_warned = True
            _log.warning(_DOWN, AGAIN_S, reason)

    def close(self) -> None:
        """Let go of the store's connections."""
        self._store.close()


class AccountMemory:
    """What processes share of one account; see `batchwrap.drive.answer.Remembers`.

    Args:
        shared: where it is kept.
        sealing: the keys of the account.
    """

    def __init__(self, shared: SharedMemory, sealing: Sealing) -> None:
        self._shared = shared
        self._sealing = sealing

    def load(self, names: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """What is kept under these names."""
        return self._shared.run(partial(self._load, names)) or {}

    async def load_async(self, names: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """What is kept under these names, without blocking the event loop."""
        return await self._shared.run_async(partial(self._load, names)) or {}

    def keep(self, records: Sequence[Record]) -> None:
        """Keep records."""
        self._shared.run(partial(self._keep, records))

    async def keep_async(self, records: Sequence[Record]) -> None:
        """Keep records, without blocking the event loop."""
        await self._shared.run_async(partial(self._keep, records))

    def _load(self, names: Sequence[str], store: SharedStore) -> Mapping[str, Sequence[bytes]]:
        sealing = self._sealing
        hidden = [sealing.name(name) for name in names]
        found: dict[str, Sequence[bytes]] = {}
        for plain, name, kept in zip(
            names, hidden, store.load(sealing.account, hidden), strict=False
        ):
            opened = (sealing.open(name, one) for one in kept)
            found[plain] = [content for content in opened if content is not None]
        return found

    def _keep(self, records: Sequence[Record], store: SharedStore) -> None:
        sealing, made = self._sealing, []
        for record in records:
            name, part = sealing.name(record.name), sealing.name(record.part)
            made.append(SealedRecord(name, part, sealing.seal(name, record.content)))
        store.keep(sealing.account, made)
