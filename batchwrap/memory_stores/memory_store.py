"""What a store of shared memory does, and the bounds that all of them keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from batchwrap.core.moves.turn_memory import MOST_AGE_S

KEPT_S = MOST_AGE_S  # as long as the memory of a process, counted from the last change
# The answers to one and the same conversation. Above it, others of them are dropped.
MOST_PARTS = 32
# What one request loads. Conversations have a few kilobytes a turn.
MOST_LOADED_BYTES = 16_000_000
# How long a server may take to connect, and to answer; how long a file may be locked.
TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class SealedRecord:
    """An encrypted record.

    Attributes:
        name: the name under which it is looked for, which says nothing of its content.
        part: tells it from other records of that name; the same part replaces it.
        sealed: the encrypted content, as text.
    """

    name: str
    part: str
    sealed: str


class SharedStore(Protocol):
    """A store that processes share. Its methods block, and raise `StoreUnavailable`.

    Attributes:
        name: its URL without a password.
        timeout_s: how long it may take to answer.
    """

    @property
    def name(self) -> str:
        """Its URL without a password."""

    @property
    def timeout_s(self) -> float:
        """How long it may take to answer."""

    def load(self, account: str, names: Sequence[str]) -> list[list[str]]:
        """The sealed contents under each of the names, all of one account."""

    def keep(self, account: str, records: Sequence[SealedRecord]) -> None:
        """Keep records, and drop those of the same part."""

    def close(self) -> None:
        """Let go of connections; they are opened again if the store is used again."""
