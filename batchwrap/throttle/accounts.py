"""Accounts: the target of a request, and names for API keys that do not reveal them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Origin:
    """The target of a request, and the key that the agent sends it with.

    Attributes:
        host: the provider's host name; empty if it is unknown.
        api_key: empty if it is unknown.
        model: the provider's name of the model, if the request has an alias.
        port: of the host; None if it is unknown.
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
        name: derived from the key, without revealing it.
        api_key: the key to send with; None for the agent's own.
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
    # Long enough to distinguish keys, too short to test guesses of a key against it.
    digest = blake2b(api_key.encode(), digest_size=6, person=b"batchwrap")
    return digest.hexdigest() if api_key else "default"
