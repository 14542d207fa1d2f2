"""Accounts: where a request goes, and API keys under names from which they cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request goes, and with which key the agent sends it.

    Attributes:
        host: the provider's host name; empty if it is not known.
        api_key: empty if it is not known.
        model: the provider's name of the model, where the request has an alias.
        port: of the host; None if it is not known.
    """

    host: str = ""
    api_key: str = ""
    model: str = ""
    port: int | None = None

    def __repr__(self) -> str:
        return f"Origin(host={self.host!r})"


@dataclass(frozen=True, slots=True)
class Account:
    """An account with limits of its own.

    Attributes:
        name: made from the key, which cannot be read from it.
        api_key: what to send with; None for the agent's own.
    """

    name: str
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"Account(name={self.name!r})"


def accounts_of(keys: Sequence[str] | None, origin: Origin) -> tuple[Account, ...]:
    """The accounts that may take a request: the user's pool, or that of the agent's own key."""
    if keys:
        return tuple(Account(name_of(key), key) for key in dict.fromkeys(keys))
    return (Account(name_of(origin.api_key)),)


def name_of(api_key: str) -> str:
    """Twelve hexadecimal digits for a key."""
    # Long enough to tell keys apart, too short to try keys against it.
    digest = blake2b(api_key.encode(), digest_size=6, person=b"batchwrap")
    return digest.hexdigest() if api_key else "default"
