"""Which accounts of a pool take requests.

A conversation stays with one account while that costs little, since prompt caches are kept per
account; new conversations are spread over all of them.

A key that is revoked, out of money, or spent for hours is out of the pool for as long as the
provider says. Where it does not say, one request tries the key again after a minute, and after
twice as long each time that it is refused, up to an hour; all others take other keys meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchwrap._forks import ForkSafeLock
from batchwrap.core.recent import Recent
from batchwrap.throttle.accounts import Account

_log = logging.getLogger("batchwrap")

# A key that was topped up or renewed should not be missing for a day; one that stays refused
# should not cost a round trip a minute.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3_600.0
_MAX_ENTRIES = _MAX_CONVERSATIONS = 4_096


@dataclass(slots=True)
class _Out:
    """An account that is out.

    Attributes:
        until_s: when a request may try it again.
        pause_s: how long it is out if that request is refused, too, and no time is said.
        is_tried: whether that request is under way.
    """

    until_s: float
    pause_s: float
    is_tried: bool = False


class Pool:
    """The accounts of one budget: which are out, in which scope, and which conversation is where.

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
        """Take an account out, for as long as the provider asks; None: it has not said."""
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
        """An account has taken a request."""
        if self._out:  # checked without the lock: mostly none is out
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
        """Those that may take a request, the preferred one first.

        That is the account of the conversation, else the next one in turn.

        Args:
            accounts: all that the request may be sent with.
            scope: the name of the buckets that it takes from.
            conversation: the one that it belongs to.
            without: accounts that have refused this request before.

        Returns:
            The accounts, and whether the first one is that of the conversation.
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
        """An account has taken a request of a conversation, which prefers it from now on."""
        self._stays.put(conversation, account.name)

    def choose(self, accounts: Sequence[Account], scope: str) -> tuple[Account, ...]:
        """Those that are not out, in the same order.

        An account whose time is over comes first, once: this request tries it. Where all are
        out it is the one that comes back first, so that the provider's own error is seen.
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
