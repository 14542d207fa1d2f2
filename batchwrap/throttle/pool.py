"""Chooses the account of a pool that takes a request.

A conversation stays with one account while that costs little, since prompt caches are kept per
account; new conversations are spread over all of them.

A key that is revoked, out of money, or exhausted for hours leaves the pool for as long as the
provider says. If it names no time, one request tries the key again after a minute, and after each
further refusal after twice that time, up to an hour; meanwhile all other requests use other keys.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchwrap._forks import ForkSafeLock
from batchwrap.core.recent import Recent
from batchwrap.throttle.accounts import Account

_log = logging.getLogger("batchwrap")

# A key that was topped up or renewed should be back the same day; a key that stays refused should
# not cost a round trip each minute.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3_600.0
_MAX_ENTRIES = _MAX_CONVERSATIONS = 4_096


@dataclass(slots=True)
class _Out:
    """The state of an account that has left the pool.

    Attributes:
        until_s: when a request may try it again.
        pause_s: how long it stays out if that request is refused, too, without a time.
        is_tried: whether that request is under way.
    """

    until_s: float
    pause_s: float
    is_tried: bool = False


class Pool:
    """The accounts of one budget: those that are out, by scope, and those of conversations.

    Args:
        clock: seconds of any clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._out: dict[tuple[str, str], _Out] = {}
        self._lock = ForkSafeLock()
        self._stays: Recent[bytes, str] = Recent(_MAX_CONVERSATIONS, lock=self._lock)
        self._turn = 0

    def leave(self, account: Account, scope: str, asked_s: float | None) -> None:
        """Take an account out for as long as the provider says; None if it names no time."""
        with self._lock:
            out, now = self._out.pop((account.name, scope), None), self._clock()
            pause_s = _FIRST_PAUSE_S if out is None else out.pause_s
            if out is not None and out.is_tried:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            until_s = now + (pause_s if asked_s is None else asked_s)
            self._out[account.name, scope] = _Out(until_s, pause_s)
            while len(self._out) > _MAX_ENTRIES:
                del self._out[next(iter(self._out))]
        _log.warning(
            "the key of account %s is left out of the pool for %.0f s: the provider refuses it",
            account.name,
            until_s - now,
        )

    def came_back(self, account: Account, scope: str) -> None:
        """Record that an account has taken a request."""
        if self._out:  # checked without the lock, since mostly none is out
            with self._lock:
                self._out.pop((account.name, scope), None)

    def usable(self, accounts: Sequence[Account], scope: str) -> bool:
        """Whether any of these accounts may take a request now."""
        with self._lock:
            return any(self._is_usable(account, scope) for account in accounts)

    def order(
        self,
        accounts: Sequence[Account],
        scope: str,
        conversation: bytes | None = None,
        without: Sequence[Account] = (),
    ) -> tuple[tuple[Account, ...], bool]:
        """The accounts that may take a request, the preferred one first.

        The preferred one is the account of the conversation, or else the next in turn.

        Args:
            accounts: all accounts that the request may be sent with.
            scope: the name of the buckets that it takes from.
            conversation: the conversation that it belongs to.
            without: accounts that have refused this request.

        Returns:
            The accounts, and whether the first one is the account of the conversation.
        """
        accounts = tuple(one for one in accounts if one not in without) or tuple(accounts)
        own = None
        if conversation is not None:
            own = self._stays.get(conversation)
            place = next((n for n, one in enumerate(accounts) if one.name == own), None)
            if place is None:  # a new conversation, or one whose account has refused it
                with self._lock:
                    self._turn = place = (self._turn + 1) % len(accounts)
            accounts = (*accounts[place:], *accounts[:place])
        accounts = self.choose(accounts, scope)
        return accounts, accounts[0].name == own

    def stays(self, conversation: bytes, account: Account) -> None:
        """Record the account of a conversation, which prefers it from now on."""
        self._stays.put(conversation, account.name)

    def choose(self, accounts: Sequence[Account], scope: str) -> tuple[Account, ...]:
        """The accounts that are not out, in the same order.

        An account whose time is over comes first, once, and this request tries it. If all are out,
        the result is the one that returns first, so that the user gets the provider's own error.
        """
        if not self._out or len(accounts) == 1:
            return tuple(accounts)
        with self._lock:
            now = self._clock()
            outs = {one.name: self._out.get((one.name, scope)) for one in accounts}
            for account in accounts:
                out = outs[account.name]
                if out is not None and out.until_s <= now:
                    out.until_s, out.is_tried = now + out.pause_s, True
                    rest = [one for one in accounts if outs[one.name] is None]
                    return (account, *rest)
            inside = tuple(one for one in accounts if outs[one.name] is None)
            return inside or (min(accounts, key=lambda one: _until(outs[one.name])),)

    def _is_usable(self, account: Account, scope: str) -> bool:
        out = self._out.get((account.name, scope))
        return out is None or out.until_s <= self._clock()


def _until(out: _Out | None) -> float:
    return out.until_s if out is not None else 0.0
